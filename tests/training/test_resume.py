"""Nothing is lost: runs go on bit for bit, checkpoints survive damage, kills and full disks, a folder has one run."""

from __future__ import annotations

import errno
import json
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from painted_halves import SMALL, specimen

from napari_anneal.errors import InputError, OutputError
from napari_anneal.training import FineTuneRecipe, checkpoint, fine_tune, keeper, loop
from napari_anneal.training.checkpoint import NEWEST, PREVIOUS, has_checkpoint, read_checkpoint
from napari_anneal.training.events import EpochDone, StageStarted, StepDone
from napari_anneal.training.run_lock import LOCK


@pytest.fixture(scope="module")
def samples():
    return [specimen(seed) for seed in range(3)]


def recipe(preset="canonical", epochs=4, **changes):
    return FineTuneRecipe.from_preset(preset, epochs=epochs, **(SMALL | changes))


def interrupted_at(step, samples, out, recipe, monkeypatch):
    """Start a run, write a checkpoint after every step, and cancel it after one."""
    monkeypatch.setattr(keeper, "SAVE_EVERY_S", -1e9)
    monkeypatch.setattr(keeper, "LEAST_WORK_PER_WRITE", 0.0)
    cancel = threading.Event()

    def listen(event):
        if isinstance(event, StepDone) and event.step == step:
            cancel.set()

    return fine_tune(samples, recipe=recipe, out=out, on_event=listen, cancel=cancel)


def comparable(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


@pytest.mark.parametrize("optimizer", ["adamw", "lion", "sgd"])
@pytest.mark.parametrize("step", [1, 3, 4, 8, 11])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(samples, tmp_path, monkeypatch, step, optimizer):
    settings = recipe(optimizer=optimizer)
    whole = fine_tune(samples, recipe=settings)
    cut = interrupted_at(step, samples, tmp_path / "run", settings, monkeypatch)
    assert cut.cancelled
    events = []
    resumed = fine_tune(samples, recipe=settings, out=tmp_path / "run", resume=True, on_event=events.append)
    assert min(e.step for e in events if isinstance(e, StepDone)) == step + 1
    assert isinstance(next(e for e in events if isinstance(e, (StageStarted, StepDone))), StageStarted)
    assert comparable(resumed.history) == comparable(whole.history)
    ours, theirs = resumed.model.network.state_dict(), whole.model.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert not has_checkpoint(tmp_path / "run")


def test_a_finished_run_has_nothing_to_resume(samples, tmp_path):
    fine_tune(samples, recipe=recipe("feature_extraction", 1), out=tmp_path / "run")
    with pytest.raises(InputError, match="come to its end"):
        fine_tune(samples, recipe=recipe("feature_extraction", 1), out=tmp_path / "run", resume=True)


@pytest.mark.parametrize("change", ["recipe", "data", "nothing there", "no folder"])
def test_resuming_something_else_is_refused(samples, tmp_path, monkeypatch, change):
    out = tmp_path / "run"
    interrupted_at(2, samples, out, recipe(), monkeypatch)
    other = {
        "recipe": (samples, recipe(seed=1), out, "another recipe"),
        "data": ([specimen(9), *samples[1:]], recipe(), out, "other images or labels"),
        "nothing there": (samples, recipe(), tmp_path / "empty", "no checkpoint"),
        "no folder": (samples, recipe(), None, "nothing to resume without a folder"),
    }[change]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=other[3]):
        fine_tune(other[0], recipe=other[1], out=other[2], resume=True)
    assert has_checkpoint(out)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(samples, tmp_path, monkeypatch, damage):
    out = tmp_path / "run"
    settings = recipe()
    interrupted_at(7, samples, out, settings, monkeypatch)
    newest = out / NEWEST
    content = bytearray(newest.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    newest.write_bytes({"cut": content[: len(content) // 2], "flipped": content, "empty": b""}[damage])
    assert "damaged" in read_checkpoint(out).notice
    resumed = fine_tune(samples, recipe=settings, out=out, resume=True)
    assert any("damaged" in text for text in resumed.notices)
    whole = fine_tune(samples, recipe=settings)
    assert comparable(resumed.history) == comparable(whole.history)


def test_two_damaged_checkpoints_are_one_sentence(samples, tmp_path, monkeypatch):
    out = tmp_path / "run"
    interrupted_at(7, samples, out, recipe(), monkeypatch)
    for name in (NEWEST, PREVIOUS):
        (out / name).write_bytes(b"rubbish")
    with pytest.raises(InputError, match="all are damaged"):
        fine_tune(samples, recipe=recipe(), out=out, resume=True)


def test_a_full_disk_stops_the_run_and_leaves_the_last_checkpoint(samples, tmp_path, monkeypatch):
    out, real, calls = tmp_path / "run", checkpoint.save_file, []
    monkeypatch.setattr(keeper, "SAVE_EVERY_S", -1e9)
    monkeypatch.setattr(keeper, "LEAST_WORK_PER_WRITE", 0.0)

    def full_at_third(tensors, path, metadata):
        calls.append(path)
        real(tensors, path, metadata)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full_at_third)
    run = fine_tune(samples, recipe=recipe(), out=out)
    assert run.reason == "disk full"
    assert any("disk is full" in text and "go on from it" in text for text in run.notices)
    assert read_checkpoint(out).captured.numbers["progress"]["step"] == 2
    monkeypatch.undo()
    resumed = fine_tune(samples, recipe=recipe(), out=out, resume=True)
    assert comparable(resumed.history) == comparable(fine_tune(samples, recipe=recipe()).history)


def test_a_loss_that_is_nan_once_goes_back_with_half_the_rates(samples, monkeypatch):
    real, calls = loop.PaintedLoss.forward, []

    def spiked(self, logits, labels):
        loss = real(self, logits, labels)
        if logits.requires_grad:
            calls.append(1)
            if len(calls) == 5:
                return loss * float("nan")
        return loss

    monkeypatch.setattr(loop.PaintedLoss, "forward", spiked)
    events = []
    run = fine_tune(samples, recipe=recipe("full", 3), on_event=events.append)
    assert run.reason == "complete"
    assert any("half the learning rates" in text for text in run.notices)
    steps = [e.step for e in events if isinstance(e, StepDone)]
    assert steps == [1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9]
    assert [row["epoch"] for row in run.history] == [1, 2, 3]
    before = next(e for e in events if isinstance(e, StepDone) and e.step == 4)
    after = [e for e in events if isinstance(e, StepDone) and e.step == 4][1]
    assert after.rates["head"] == pytest.approx(before.rates["head"] / 2)
    assert all(np.isfinite(row["val_loss"]) for row in run.history)


def test_a_second_run_into_one_folder_is_refused_while_the_first_goes(samples, tmp_path, monkeypatch):
    monkeypatch.setattr(keeper, "SAVE_EVERY_S", -1e9)
    out, refused = tmp_path / "run", []

    def listen(event):
        if isinstance(event, EpochDone) and not refused:
            for resume in (False, True):
                with pytest.raises((OutputError, InputError)) as error:
                    fine_tune(samples, recipe=recipe(), out=out, resume=resume)
                refused.append(str(error.value))

    fine_tune(samples, recipe=recipe("feature_extraction", 1), out=out, on_event=listen)
    assert "not empty" in refused[0]
    assert "another run is writing" in refused[1]
    assert not (out / LOCK).exists()


def test_the_lock_of_a_process_that_is_gone_holds_nobody_up(samples, tmp_path, monkeypatch):
    out = tmp_path / "run"
    interrupted_at(2, samples, out, recipe(), monkeypatch)
    import socket

    (out / LOCK).write_text(json.dumps({"pid": 2**22 + 1, "started": 0.0, "host": socket.gethostname()}))
    assert fine_tune(samples, recipe=recipe(), out=out, resume=True).reason == "complete"


CHILD = """
import sys
sys.path.insert(0, {tests!r})
from painted_halves import SMALL, specimen
from napari_anneal.training import FineTuneRecipe, fine_tune, keeper
keeper.SAVE_EVERY_S, keeper.LEAST_WORK_PER_WRITE = -1e9, 0.0
recipe = FineTuneRecipe.from_preset("full", epochs=100000, **(SMALL | {{"patience": 10**6}}))
print("ready", flush=True)
fine_tune([specimen(s) for s in range(3)], recipe=recipe, out={out!r})
"""


def kill_at_random_moments(folder, rounds, seed=0):
    """SIGKILL a training process at random moments of its checkpointing; count what leaves a loadable checkpoint."""
    chance, loadable = random.Random(seed), 0
    for number in range(rounds):
        out = folder / f"run{number}"
        source = CHILD.format(tests=str(Path(__file__).parent), out=str(out))
        child = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE)
        child.stdout.readline()
        deadline = time.monotonic() + 60
        while not (out / NEWEST).exists() and time.monotonic() < deadline and child.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.5))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        found = read_checkpoint(out)
        loadable += found.captured.numbers["progress"]["step"] > 0
    return loadable


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_process_leaves_a_checkpoint(tmp_path):
    assert kill_at_random_moments(tmp_path, 3) == 3


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_two_hundred_killed_processes_leave_two_hundred_checkpoints(tmp_path):
    assert kill_at_random_moments(tmp_path, 200, seed=1) == 200
