"""What was ordered when *Fine-tune* was pressed: copies of all that a run needs, and the run itself on a thread."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anneal.errors import InputError
from napari_anneal.samples.placing import unused
from napari_anneal.samples.sample import Sample
from napari_anneal.widgets._calibration_panel import CalibrationStep
from napari_anneal.widgets._class_table import class_names, count_all
from napari_anneal.widgets._data_choice import CASCADE, IMAGES, SYNTHETIC
from napari_anneal.widgets._draft import Draft
from napari_anneal.widgets._split_choice import ALL_FOLDS, SplitOrder
from napari_anneal.widgets._sweep_panel import SweepStep, Swept
from napari_anneal.widgets._watch import WatchedSlice

if TYPE_CHECKING:
    from napari_anneal.synthesis import SyntheticStream
    from napari_anneal.training import Cascade, ControlledRun, CrossValidation, FineTuneRecipe, Run, RunControl
    from napari_anneal.training.runs import RunRecord
    from napari_anneal.validation import Calibration, SplitPlan

__all__ = ["STREAM_COLOURS", "Order", "again", "is_of_stream", "new_folder"]

# Six decades of rates, about seventeen steps each.
SWEEP_STEPS = 100
# Of the two classes of a synthetic stream; those of the layers that *Synthetic microstructure* makes.
STREAM_COLOURS = ("#56b4e9", "#d55e00")


@dataclass(frozen=True)
class Order:
    """One run as ordered; it holds copies, no widget and no layer, so nothing that is done to those reaches it.

    ``data`` says what is trained on (see ``DataChoice``): ``samples``, ``stream``, or one after the other. ``given``:
    the very recipe of an earlier run, in place of ``draft``. ``controls``: whether scratch and feature extraction are
    trained beside it. ``gold``: locked images whose copies among the samples do not train.
    """

    data: str
    samples: list[Sample]
    stream: SyntheticStream | None
    typed_names: dict[int, str]
    draft: Draft
    start: Any
    out: Path
    colours: tuple[str, ...]
    watch: WatchedSlice | None
    control: RunControl
    given: FineTuneRecipe | None = None
    plan: SplitPlan | None = None
    resume: bool = False
    controls: bool = False
    split: SplitOrder | None = None
    gold: Sequence[Sample] = ()

    def is_synthetic(self, arrow: str) -> bool:
        """Whether an arrow of the cascade, or the run (``""``), learns from the stream."""
        return self.data != IMAGES and arrow != "real"

    def colours_of(self, arrow: str) -> tuple[str, ...]:
        """Colours of the classes in that arrow."""
        return STREAM_COLOURS if self.is_synthetic(arrow) else self.colours

    def carry_out(
        self, report: Callable[[Any], None], cancel: threading.Event
    ) -> Run | Cascade | ControlledRun | CrossValidation:
        """Train, on the worker's thread."""
        free = self._free_of_gold(report)
        if free is not self:
            return free.carry_out(report, cancel)
        from napari_anneal.training import cascade, fine_tune, fine_tune_with_controls

        common: dict[str, Any] = {
            "start": self.start,
            "out": self.out,
            "on_event": report,
            "cancel": cancel,
            "resume": self.resume,
            "watch": None if self.watch is None else self.watch.pixels,
        }
        if self.data == CASCADE:
            first, then = self._recipe(of_stream=True), self._recipe(of_stream=False)
            done = cascade(self.samples, self._plan(), then, first, self.stream, **common)
            return dataclasses.replace(done, runs=tuple(map(_at_full_speed, done.runs)))
        source, plan = self._source, self._plan()
        if plan is not None and self._every_fold:
            return self._cross_validate(plan, report, cancel)
        recipe = self.given or self._recipe(of_stream=self.stream is not None)
        if self.controls:
            compared = fine_tune_with_controls(source, plan, recipe, **common)
            return dataclasses.replace(compared, run=_at_full_speed(compared.run))
        return _at_full_speed(fine_tune(source, plan, recipe, control=self.control, **common))

    def _free_of_gold(self, report: Callable[[Any], None] = lambda event: None) -> Order:
        """The order without samples that are copies of gold, which is told."""
        if not (self.gold and self.samples):
            return self
        from napari_anneal.training.events import Notice

        left = self._no_copies
        names = [sample.name for i, sample in enumerate(self.samples) if i not in left]
        if names and (not left or self.plan is not None):
            raise InputError(f"Image {names[0]!r} shares an image or a group with gold; remove its row.")
        if names:
            report(Notice(f"Left out, because of sharing an image or a group with gold: {', '.join(names)}."))
        split = self.split
        if split is not None:
            split = dataclasses.replace(split, remembered=tuple(split.remembered[i] for i in left))
        return dataclasses.replace(self, samples=[self.samples[i] for i in left], split=split, gold=())

    @functools.cached_property
    def _no_copies(self) -> list[int]:
        """Numbers of the samples that are no copies of gold; looked for once, for a run and its calibration alike."""
        from napari_anneal.validation.gold_free import gold_free

        return [i for i in gold_free([*self.samples, *self.gold])[0] if i < len(self.samples)]

    @property
    def _source(self) -> list[Sample] | SyntheticStream:
        """What is learned from; of a cascade, by its last arrow."""
        return self.samples if self.stream is None or self.data == CASCADE else self.stream

    @property
    def _every_fold(self) -> bool:
        return self.data == IMAGES and self.given is None and self.split is not None and self.split.kind == ALL_FOLDS

    def _plan(self) -> SplitPlan | None:
        """Who trains and who judges: of an earlier run, as it did; ``None``: a fifth is held out."""
        if self.given is not None or self.split is None or self._source is self.stream:
            return self.plan
        return self.split.plan(self.samples)

    def calibrate(
        self, models: Sequence[tuple[str, Run]], report: Callable[[Any], None], cancel: threading.Event
    ) -> list[tuple[str, Run, Calibration]] | None:
        """Calibrate the models of this order on what judged them, on the worker's thread; ``None``: cancelled."""
        from napari_anneal.training.calibrating import calibrate_run
        from napari_anneal.validation import SplitPlan

        free = self._free_of_gold()
        if free is not self:
            return free.calibrate(models, report, cancel)
        whole, found = self._plan(), []
        for number, (name, run) in enumerate(models):
            plan = whole
            if whole is not None and self._every_fold:
                plan = SplitPlan((whole.folds[number],), whole.gold, whole.report)

            def tell(done: int, total: int, before: int = number) -> None:
                report(CalibrationStep(before * total + done, total * len(models)))

            done = calibrate_run(run, self._source, plan, progress=tell, cancel=cancel)
            if done is None:
                return None
            found.append((name, *done))
        return found

    def _cross_validate(
        self, plan: SplitPlan, report: Callable[[Any], None], cancel: threading.Event
    ) -> CrossValidation:
        """One run a fold."""
        from napari_anneal.training import RunControl, cross_validate
        from napari_anneal.training.events import PartStarted

        def begin(number: int, total: int) -> RunControl:
            control = RunControl()
            report(PartStarted("cross-validation", number, total, f"fold {number}", control))
            return control

        done = cross_validate(
            self.samples, plan, self._recipe(of_stream=False), self.start, self.out,
            on_event=lambda _, event: report(event), cancel=cancel, control_of=begin,
        )  # fmt: skip
        return dataclasses.replace(done, runs=tuple(map(_at_full_speed, done.runs)))

    def sweep(self, report: Callable[[Any], None], cancel: threading.Event) -> Swept:
        """Try learning rates, on the worker's thread; of a cascade, those of the run on the images."""
        from napari_anneal.training import find_rate

        free = self._free_of_gold()
        if free is not self:
            return free.sweep(report, cancel)
        of_stream = self.stream is not None and self.data != CASCADE
        recipe = self._recipe(of_stream)
        done = 0

        def tell(rate: float, loss: float) -> None:
            nonlocal done
            done += 1
            report(SweepStep(rate, loss, done, SWEEP_STEPS))

        curve = find_rate(self._source, self._plan(), recipe, self.start, steps=SWEEP_STEPS, cancel=cancel, watch=tell)
        return Swept(recipe, curve)

    def _recipe(self, of_stream: bool) -> FineTuneRecipe:
        """Recipe of the run on the stream, or on the images."""
        draft, painted = self.draft, 0
        if of_stream and self.stream is not None:
            names, colours = self.stream.classes, STREAM_COLOURS
            if self.data == CASCADE:
                draft = dataclasses.replace(draft, preset="scratch" if self.start is None else draft.preset, edits={})
        else:
            counts = count_all([np.asarray(sample.labels) for sample in self.samples])
            names, colours = class_names(counts, self.typed_names), self.colours
            painted = sum(1 for sample in self.samples for _ in sample.painted_slices())
            if self.data == CASCADE:
                draft = draft.after_a_stream()
        pretrained = self.start is not None or (self.data == CASCADE and not of_stream)
        return draft.recipe(painted, pretrained, classes=names, colours=colours[: len(names)])[0]


def again(order: Order, record: RunRecord) -> Order:
    """The order with recipe, start and split (or stream) of an earlier run; ``order`` gives the images and the rest.

    A run that began with a model in memory, which its files cannot bring back, begins with what ``order`` says.

    Raises
    ------
    InputError
        An image of that run is not among the images, or its files are damaged.
    """
    from napari_anneal.models.bundle import read_card
    from napari_anneal.training.provenance import stream_from_data
    from napari_anneal.training.run_facts import read_facts
    from napari_anneal.training.runs import read_recipe, split_of, start_named

    facts, recipe = read_facts(record.path), read_recipe(record.path)
    given = facts.start_given
    changes: dict[str, Any] = {
        "given": recipe,
        "start": start_named(given) if given else order.start,
        "colours": recipe.colours or facts.colours,
        "out": new_folder(order.out.parent, record.path.name),
        "controls": False,
    }
    if is_of_stream(record):
        stream = stream_from_data(read_card(record.path / "model").lineage[-1].stream)
        return dataclasses.replace(order, data=SYNTHETIC, samples=[], stream=stream, plan=None, **changes)
    plan = split_of(facts, order.samples)
    return dataclasses.replace(order, data=IMAGES, stream=None, plan=plan, **changes)


def is_of_stream(record: RunRecord) -> bool:
    """Whether a run learned from synthetic images."""
    return record.facts is not None and record.facts.judged_by == "synthetic stream"


def _at_full_speed(run: Run) -> Run:
    """The session goes on at the speed that this processor has."""
    from napari_anneal.inference import Model

    return dataclasses.replace(run, model=Model(run.model.network, run.model.card, precision="auto"))


def new_folder(base: Path, wanted: str) -> Path:
    """A folder for a run that does not exist yet, in ``base``, called after what the user wants as far as files may."""
    return unused(base / ("".join(c if c.isalnum() or c in "-_. " else "-" for c in wanted.strip()).strip() or "run"))
