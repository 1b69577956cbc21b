"""Run one function off the GUI thread: its events come back in batches, its end comes back always.

A plain thread, an event queue and a cancel flag. The queue is drained on the GUI thread by a timer about twenty times
a second, so a loop that reports a thousand steps a second costs the viewer twenty redraws. Whatever leaves the
function, ``SystemExit`` and ``KeyboardInterrupt`` included, becomes one sentence, and ``ended`` always follows:
a generator worker of superqt swallows a ``RuntimeError`` without any signal, which looks like a hang.
"""

from __future__ import annotations

import atexit
import gc
import logging
import queue
import threading
import weakref
from collections.abc import Callable
from typing import Any

from qtpy import compat
from qtpy.QtCore import QCoreApplication, QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from napari_anneal.errors import AnnealError
from napari_anneal.samples.placing import disk_is_full

__all__ = ["CLOSE_SECONDS", "Job", "sentence"]

DRAIN_MS = 50
# Closing a viewer waits this long for the running step to end; the promise to the user is five seconds.
CLOSE_SECONDS = 4.5

Work = Callable[[Callable[[Any], None], threading.Event], Any]
log = logging.getLogger(__name__)
# Strong references: a job lives until its thread has been waited for, whatever becomes of the form that started it.
_running: set[Job] = set()


class Job(QObject):
    """One function at a time on a thread of its own; it is cancelled when ``owner`` goes.

    Signals
    -------
    events : list
        What the function reported since the last time, in order; at most every ``drain_ms``, 50 unless given.
    done : object
        The value that the function returned.
    failed : str
        A sentence: why the function ended without a value.
    ended
        Follows ``done`` or ``failed``, always, exactly once a start.
    """

    events = Signal(list)
    done = Signal(object)
    failed = Signal(str)
    ended = Signal()

    def __init__(self, owner: QWidget | None = None, drain_ms: int = DRAIN_MS) -> None:
        super().__init__()
        self._owner = None if owner is None else weakref.ref(owner)
        if owner is not None:
            owner.destroyed.connect(stop_orphans)
        self._queue: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._cancel = threading.Event()
        self._timer = QTimer(self)
        self._timer.setInterval(drain_ms)
        self._timer.timeout.connect(self._drain)

    @property
    def orphaned(self) -> bool:
        """Whether the widget that the job belongs to is gone."""
        owner = None if self._owner is None else self._owner()
        return self._owner is not None and (owner is None or not compat.isalive(owner))

    @property
    def running(self) -> bool:
        """Whether a function has been started and its end has not been delivered yet."""
        return self._thread is not None

    def start(self, work: Work, name: str = "job") -> None:
        """Call ``work(report, cancel)`` on a new thread; ``report`` may be called from any thread.

        Raises
        ------
        RuntimeError
            The job is running already (a form disables its button, so no user can cause it).
        """
        if self.running:
            raise RuntimeError("this job is running already")
        # A fresh queue and flag: a late event of an abandoned run can never reach this one.
        events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        cancel = threading.Event()
        self._queue, self._cancel = events, cancel
        self._thread = threading.Thread(
            target=_run, args=(work, events, cancel), name=f"napari-anneal {name}", daemon=True
        )
        _running.add(self)
        # A full garbage collection walks the hundreds of thousands of objects of Qt, napari and torch: 0.3 s in which
        # the viewer stands still, again and again while a loop allocates. During a job it looks at what is new only.
        gc.freeze()
        self._timer.start()
        self._thread.start()

    def cancel(self) -> None:
        """Ask the function to stop at its next check; returns at once, the end comes as always."""
        self._cancel.set()

    def stop(self, seconds: float = CLOSE_SECONDS) -> bool:
        """Cancel and wait at most ``seconds``, deliver nothing; whether the thread has ended (True: it has)."""
        thread = self._thread
        if thread is None:
            return True
        self._cancel.set()
        thread.join(seconds)
        self._over()
        return not thread.is_alive()

    def _drain(self) -> None:
        batch: list[Any] = []
        end: tuple[str, Any] | None = None
        while True:
            try:
                kind, value = self._queue.get_nowait()
            except queue.Empty:
                break
            if kind == "event":
                batch.append(value)
            else:
                end = (kind, value)
        if self._thread is None:  # stopped: its owner is closing
            self._timer.stop()
            return
        if batch:
            self.events.emit(batch)
        if end is None:
            return
        self._timer.stop()
        self._over()
        kind, value = end
        try:
            if kind == "done":
                self.done.emit(value)
            else:
                self.failed.emit(sentence(value))
        finally:
            self.ended.emit()

    def _over(self) -> None:
        self._thread = None
        _running.discard(self)
        if not _running:
            gc.unfreeze()


def _run(work: Work, events: queue.SimpleQueue[tuple[str, Any]], cancel: threading.Event) -> None:
    """Body of the thread; a module-level function, so that the thread keeps no Qt object alive."""
    try:
        events.put(("done", work(lambda event: events.put(("event", event)), cancel)))
    # BaseException on purpose: threading drops SystemExit without a word, and the form would wait for ever.
    except BaseException as error:
        if not isinstance(error, AnnealError):
            log.error("a napari-anneal job ended unexpectedly", exc_info=error)
        # The frames of the traceback hold whole images; only the error travels on.
        events.put(("failed", error.with_traceback(None)))


def sentence(error: BaseException) -> str:
    """Say what went wrong in one readable sentence, never a traceback."""
    if isinstance(error, AnnealError):
        return str(error)
    # torch.OutOfMemoryError by name: this module must not import torch.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "The memory was not enough for this job; take a smaller patch, batch or image, or close other programs."
    if isinstance(error, KeyboardInterrupt):
        return "The job was interrupted before it was done; start it again."
    if isinstance(error, SystemExit):
        return f"The job was told to exit before it was done (code {error.code}); start it again."
    if isinstance(error, OSError) and disk_is_full(error):
        return "The disk is full; free some space or choose another output folder, then start again."
    first_line = str(error).strip().splitlines()[0] if str(error).strip() else "no further message"
    return (
        f"Something unexpected went wrong ({type(error).__name__}: {first_line}); the full trace is in the terminal "
        "that started napari, please report it."
    )


def stop_orphans() -> None:
    """Stop the jobs whose widget is gone.

    A function of the module and not a closure of the widget: Qt calls it from within the garbage collector too, when
    what a closure refers to has been taken apart already (a segmentation fault).
    """
    for job in list(_running):
        if job.orphaned:
            job.stop()


def stop_all() -> None:
    """Cancel every running job and give them together ``CLOSE_SECONDS`` to end."""
    jobs = list(_running)
    for job in jobs:
        job.cancel()
    for job in jobs:
        job.stop(CLOSE_SECONDS / max(1, len(jobs)))


# A daemon thread inside torch while the interpreter is torn down can crash the process: stop before that.
atexit.register(stop_all)


def stop_with_application() -> None:
    """Stop every job when the Qt application quits (call it once there is an application)."""
    app = QCoreApplication.instance()
    if app is not None and not app.property("napari_anneal_stops_jobs"):
        app.setProperty("napari_anneal_stops_jobs", True)
        app.aboutToQuit.connect(stop_all)
