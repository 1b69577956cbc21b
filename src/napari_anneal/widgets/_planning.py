"""Plans of the run that the form describes, made in the background while its settings are changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from napari_anneal.errors import AnnealError
from napari_anneal.widgets._class_table import class_names, count_all
from napari_anneal.widgets._draft import Draft
from napari_anneal.widgets._layers import Snapshot, sample_of
from napari_anneal.widgets._worker import Job

if TYPE_CHECKING:
    from napari_anneal.synthesis import SyntheticStream
    from napari_anneal.training import FineTuneRecipe
    from napari_anneal.training.run_plan import RunPlan

__all__ = ["Planned", "Planning", "Request", "one_at_a_time"]

# Several changes at once (a preset sets many fields) make one plan.
DELAY_MS = 60
# Fresh weights are drawn from torch's global random numbers, so nothing else of ours may draw from them meanwhile.
one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Request:
    """What the form says now; the pairs are looked at without copying, for a plan outlives nothing.

    ``version`` changes with the rows and the paint; ``split`` makes the plan of the folds from the samples.
    """

    version: Hashable
    pairs: tuple[tuple[Snapshot, Snapshot, str], ...]
    stream: SyntheticStream | None
    typed_names: dict[int, str]
    draft: Draft
    start: Any
    split: Callable[[list[Any]], Any]


@dataclass(frozen=True)
class Planned:
    """A plan, its recipe, why this preset (empty unless chosen by the number of labels), and how many such runs."""

    plan: RunPlan
    recipe: FineTuneRecipe
    why: str
    runs: int = 1


@cache
def session_times() -> dict[Hashable, Any]:
    """Step times that were measured in this session, by network, patch, batch and device."""
    return {}


class Planning(QObject):
    """Makes one plan at a time; what was read of the samples is kept until they change.

    Parameters
    ----------
    owner
        The form; planning stops when it goes.
    gather
        Called on the GUI thread for what the form says now; may raise an ``AnnealError``, which is told as ``refused``.

    Signals
    -------
    planned : Planned
        A plan is ready.
    refused : str
        The run could not start, and why, in the words of the start itself.
    measuring : bool
        A measurement begins or ends.
    progress : int, int
        Steps of a measurement done, of all.
    """

    planned = Signal(object)
    refused = Signal(str)
    measuring = Signal(bool)
    progress = Signal(int, int)

    def __init__(self, owner: QWidget, gather: Callable[[], Request]) -> None:
        super().__init__(owner)
        self._gather = gather
        self.job = Job(owner, drain_ms=15)
        self.job.events.connect(lambda events: self.progress.emit(*events[-1]))
        self.job.done.connect(self._deliver)
        self.job.failed.connect(self._fail)
        self.job.ended.connect(self._over)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY_MS)
        self._timer.timeout.connect(self._go)
        self._held = True
        self._again = self._measures = False
        # Of the worker's thread alone: what was read of the samples of one version.
        self._version: Hashable = None
        self._planner: Any = None
        self._counts: dict[int, int] = {}

    @property
    def idle(self) -> bool:
        """Whether the last plan is that of what the form says now (or planning rests while a run goes)."""
        return not self.job.running and not self._timer.isActive()

    def ask(self, *_: Any) -> None:
        """Something was changed."""
        if self._held:
            self._again = True
            return
        self._timer.start()

    def hold(self) -> None:
        """A run begins: no plans until ``release``, and a measurement ends at its next step."""
        self._held = True
        self._timer.stop()
        self.job.cancel()

    def release(self) -> None:
        """Plan again."""
        self._held = False
        self.ask()

    def measure(self) -> None:
        """Time a few real steps, then plan with them."""
        if not self._held and not self.job.running:
            self._go(measure=True)

    def stop(self) -> None:
        """The form goes."""
        self.hold()
        self.job.stop()

    def _go(self, measure: bool = False) -> None:
        if self.job.running:
            self._again = True
            self.job.cancel()  # a measurement of what is no longer asked for
            return
        try:
            request = self._gather()
        except AnnealError as error:
            self.refused.emit(str(error))
            return
        self._measures = measure
        self.measuring.emit(measure)
        self.job.start(lambda report, cancel: self._plan(request, measure, report, cancel), "plan")

    def _plan(self, request: Request, measure: bool, report: Callable[[Any], None], cancel: threading.Event) -> Planned:
        """On the worker's thread."""
        from napari_anneal.training.plan import Planner

        with one_at_a_time:
            if self._planner is None or self._version != request.version:
                samples = [sample_of(*pair) for pair in request.pairs]
                given = request.stream if request.stream is not None else samples
                self._planner = Planner(given, session_times())
                self._counts = count_all([np.asarray(sample.labels) for sample in samples])
                self._version, self._samples = request.version, samples
            classes = (
                request.stream.classes if request.stream is not None else class_names(self._counts, request.typed_names)
            )
            recipe, why = request.draft.recipe(self._planner.painted, request.start is not None, classes=classes)
            split = request.split(self._samples) if request.stream is None else None
            plan = self._planner.plan(
                split, recipe, request.start, measure, lambda done, total: report((done, total)), cancel
            )
            return Planned(plan, recipe, why, 1 if split is None else len(split.folds))

    def _deliver(self, planned: Planned) -> None:
        if not self._again:
            self.planned.emit(planned)

    def _fail(self, text: str) -> None:
        if not self._again:
            self.refused.emit(text)

    def _over(self) -> None:
        if self._measures:
            self._measures = False
            self.measuring.emit(False)
        if self._again and not self._held:
            self._again = False
            self._timer.start()
