"""Whatever happens in the worker reaches the user as a sentence, and the end always comes."""

from __future__ import annotations

import errno
import gc
import threading
import time

import pytest
from qtpy.QtWidgets import QWidget

from napari_anneal.errors import InputError
from napari_anneal.widgets._worker import DRAIN_MS, Job, sentence, stop_all


class Listener:
    def __init__(self, job: Job) -> None:
        self.batches: list[list] = []
        self.values: list = []
        self.sentences: list[str] = []
        self.ends = 0
        job.events.connect(self.batches.append)
        job.done.connect(self.values.append)
        job.failed.connect(self.sentences.append)
        job.ended.connect(self._end)

    def _end(self) -> None:
        self.ends += 1


class OutOfMemoryError(RuntimeError):
    """Named as torch's, which this test must not import."""


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "mat1 and mat2 shapes cannot be multiplied"),
        (MemoryError(), "memory was not enough"),
        (OutOfMemoryError("CUDA out of memory"), "memory was not enough"),
        (SystemExit(3), "told to exit"),
        (KeyboardInterrupt(), "interrupted"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
        (InputError("the image is constant; take another."), "the image is constant; take another."),
        (AssertionError(), "AssertionError"),
    ],
)  # fmt: skip
def test_every_way_to_end_badly_becomes_one_sentence_and_the_end_comes(qtbot, error, says) -> None:
    job = Job()
    heard = Listener(job)

    def work(report, cancel):
        report("began")
        raise error

    with qtbot.waitSignal(job.ended, timeout=5000):
        job.start(work)
    assert len(heard.sentences) == 1
    assert says in heard.sentences[0]
    assert "Traceback" not in heard.sentences[0]
    assert "\n" not in heard.sentences[0]
    assert heard.values == []
    assert heard.ends == 1
    assert heard.batches == [["began"]]
    assert not job.running


def test_events_keep_their_order_arrive_in_batches_and_before_the_end(qtbot) -> None:
    job = Job()
    heard = Listener(job)

    def work(report, cancel):
        for i in range(5000):
            report(i)
        time.sleep(3 * DRAIN_MS / 1000)
        report("last")
        return "value"

    with qtbot.waitSignal(job.ended, timeout=5000):
        job.start(work)
    assert [e for batch in heard.batches for e in batch] == [*range(5000), "last"]
    assert len(heard.batches) < 50
    assert heard.values == ["value"]


def test_events_come_on_the_gui_thread(qtbot) -> None:
    job = Job()
    threads = []
    job.events.connect(lambda batch: threads.append(threading.current_thread()))
    job.done.connect(lambda value: threads.append(threading.current_thread()))
    with qtbot.waitSignal(job.ended, timeout=5000):
        job.start(lambda report, cancel: report(1))
    assert threads == [threading.main_thread()] * 2


def test_cancel_reaches_the_function_and_a_second_run_starts_uncancelled(qtbot) -> None:
    job = Job()
    heard = Listener(job)

    def work(report, cancel):
        return cancel.wait(0.3)

    with qtbot.waitSignal(job.ended, timeout=5000):
        job.start(work)
        job.cancel()
    with qtbot.waitSignal(job.ended, timeout=5000):
        job.start(work)
    assert heard.values == [True, False]


def test_stop_waits_for_the_thread_and_delivers_nothing(qtbot) -> None:
    job = Job()
    heard = Listener(job)
    job.start(lambda report, cancel: cancel.wait(10))
    began = time.monotonic()
    assert job.stop()
    assert time.monotonic() - began < 1
    qtbot.wait(3 * DRAIN_MS)
    assert heard.ends == 0
    assert not job.running


def test_stop_gives_up_on_a_function_that_does_not_listen(qtbot) -> None:
    job = Job()
    release = threading.Event()
    job.start(lambda report, cancel: release.wait(20))
    began = time.monotonic()
    assert not job.stop(0.3)
    assert time.monotonic() - began < 2
    release.set()


def test_all_jobs_together_stop_in_one_budget(qtbot) -> None:
    jobs = [Job() for _ in range(3)]
    for job in jobs:
        job.start(lambda report, cancel: cancel.wait(10))
    began = time.monotonic()
    stop_all()
    assert time.monotonic() - began < 2
    assert not any(job.running for job in jobs)


def test_a_job_ends_when_qt_deletes_its_widget(qtbot) -> None:
    widget = QWidget()
    job = Job(widget)
    stopped = threading.Event()

    def work(report, cancel):
        cancel.wait(20)
        stopped.set()

    job.start(work)
    widget.deleteLater()
    qtbot.wait(50)
    assert stopped.wait(2)
    assert not job.running


def test_garbage_is_collected_as_before_once_the_last_job_has_ended(qtbot) -> None:
    first, second = Job(), Job()
    first.start(lambda report, cancel: cancel.wait(10))
    second.start(lambda report, cancel: cancel.wait(10))
    assert gc.get_freeze_count() > 0
    first.stop()
    assert gc.get_freeze_count() > 0
    with qtbot.waitSignal(second.ended, timeout=5000):
        second.cancel()
    assert gc.get_freeze_count() == 0


def test_a_long_message_is_cut_to_its_first_line() -> None:
    text = sentence(RuntimeError("Error(s) in loading state_dict:\n\tsize mismatch for a\n\tsize mismatch for b"))
    assert "Error(s) in loading state_dict:" in text
    assert "size mismatch" not in text
