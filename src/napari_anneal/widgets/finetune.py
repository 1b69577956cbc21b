"""*Fine-tune*: painted layers in, a model out, with live curves; the work is ``training.fine_tune`` on a thread."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_anneal.errors import InputError
from napari_anneal.samples.sample import Sample
from napari_anneal.widgets._augmentation_line import open_preview
from napari_anneal.widgets._calibrating import Calibrating
from napari_anneal.widgets._chosen_pairs import chosen_pairs, gold_of
from napari_anneal.widgets._class_table import MOST_CLASSES, ClassTable
from napari_anneal.widgets._core import when_loaded
from napari_anneal.widgets._data_choice import CASCADE, IMAGES, SYNTHETIC, DataChoice
from napari_anneal.widgets._ending import ending_of
from napari_anneal.widgets._fold_table import FoldTable
from napari_anneal.widgets._form import Form, fold
from napari_anneal.widgets._layers import colours_of, sample_from_layers, snapshot
from napari_anneal.widgets._model_choice import StartChoice
from napari_anneal.widgets._order import STREAM_COLOURS, Order, again, is_of_stream, new_folder
from napari_anneal.widgets._outcome import Outcome
from napari_anneal.widgets._output_choice import OutputChoice
from napari_anneal.widgets._pairs import Pair, Pairs
from napari_anneal.widgets._plan_panel import PlanPanel
from napari_anneal.widgets._planning import Planning, Request, one_at_a_time
from napari_anneal.widgets._recipe_choice import RecipeChoice
from napari_anneal.widgets._recipe_settings import RecipeSettings
from napari_anneal.widgets._resume_offer import ResumeOffer
from napari_anneal.widgets._run_view import RunView
from napari_anneal.widgets._runs_panel import RunsPanel
from napari_anneal.widgets._sample_section import SampleSection
from napari_anneal.widgets._split_choice import ALL_FOLDS, SplitChoice
from napari_anneal.widgets._stream_source import StreamSource
from napari_anneal.widgets._sweep_panel import Swept
from napari_anneal.widgets._watch import WatchChoice

if TYPE_CHECKING:
    import napari.viewer

    from napari_anneal.training.runs import RunRecord

__all__ = ["FineTuneWidget"]

CONTROLS_TIP = (
    "Also train from fresh weights, and with the backbone frozen, on the same batches: does the start help on these "
    "images, or do its features mislead? The three curves are drawn in one plot. Not in a cascade."
)


class FineTuneWidget(Form):
    """Train on what is painted, and hand the model to *Segment*."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer, "Fine-tune", "Train a model on the painted pixels of the pairs above.")
        self.data = DataChoice()
        self.row("Train on", self.data, self.data.tip)
        self.pairs = Pairs(viewer)
        self.fields.addRow(self.pairs)
        self.classes = ClassTable(lambda: [p.labels for p in self.pairs.pairs if p.labels is not None])
        self.fields.addRow(self.classes)
        self.start = StartChoice()
        self.row("Start from", self.start, self.start.tip)
        self.choice = RecipeChoice(self)
        self.preset, self.epochs, self.optimizer = self.choice.preset, self.choice.epochs, self.choice.optimizer
        self.row("Recipe", self.preset, "How the layers of the network are trained, and in which order.")
        self.row("Epochs", self.epochs, "Length of the run over all stages; it may end early (patience).")
        self.row("Augment", self.choice.augmentation, self.choice.augmentation.tip)
        self.split = SplitChoice(lambda: [pair.image for pair in self.pairs.pairs])
        self.row("Validate on", self.split, self.split.tip)
        self.watch = WatchChoice(viewer)
        self.row("Watch", self.watch, self.watch.tip)
        self.controls = QCheckBox("scratch, feature extraction (3 × as long)")
        self.row("Controls", self.controls, CONTROLS_TIP)
        self.resume = ResumeOffer()
        self.resume.accepted.connect(lambda record: self.guarded(lambda: self.go_on(record)))
        self.body.addWidget(self.resume)
        self.plan = PlanPanel()
        self.body.addWidget(self.plan)
        self.recipe: RecipeSettings | None = None
        self.more = QWidget()
        self.more_layout = QVBoxLayout(self.more)
        self.more_layout.setContentsMargins(12, 0, 0, 0)
        self.more_layout.setSpacing(2)
        self.body.addWidget(fold("More settings", self.more, "Optimizer, loss, batch, stopping, network, output …"))
        self.view = RunView(viewer, self.bar)
        self.body.addWidget(self.view, 1)
        self.fold_table = FoldTable()
        self.body.addWidget(self.fold_table)
        self.calibrating = Calibrating(self, self._launch_alone)
        self.body.addWidget(self.calibrating.panel)
        self.runs = RunsPanel(lambda: Path(self.folder.text()).expanduser())
        self.runs_fold = fold("Runs", self.runs, "Runs in the folder where models are saved: compare, run again, use.")
        self.runs_fold.toggled.connect(self._on_runs_fold)
        self.body.addWidget(self.runs_fold)
        self.outcome = Outcome()
        self.bar.layout().addWidget(self.outcome)
        self.outcome.calibrate_pressed.connect(lambda: self.guarded(self.calibrating.run))
        self._notices: list[str] = []
        self.data.changed.connect(self._show_source)
        self.pairs.changed.connect(self._on_pairs)
        self._paint = 0
        self._on_pairs()
        self._build_planning()
        self.bar.started.connect(lambda: self.guarded(self._run))
        self.job.events.connect(self.view.listen)
        self.view.shown.connect(lambda: self.scroll.ensureWidgetVisible(self.view))
        self.job.ended.connect(self._on_ended)
        self.runs.again.connect(lambda record: self.guarded(lambda: self.run_again(record)))
        self.runs.resumed.connect(lambda record: self.guarded(lambda: self.go_on(record)))
        self.choice.augmentation.looked_at.connect(lambda: self.guarded(lambda: open_preview(viewer, self.pairs.pairs)))
        when_loaded(self, self._fill)

    def showEvent(self, event: Any) -> None:
        """Groups may have been assigned in *Grouped split* since this form was last seen."""
        super().showEvent(event)
        self.pairs.refresh_groups()
        self.split.refresh()
        self.planning.ask()
        self._look_for_resume()

    def _look_for_resume(self, *_: Any) -> None:
        if self.recipe is not None and not self.job.running:
            self.resume.look(Path(self.folder.text()).expanduser())

    def _build_planning(self) -> None:
        """Plan the run anew whenever something changes that it depends on."""
        self._output = OutputChoice()
        self.name, self.folder = self._output.name, self._output.folder
        self.folder.changed.connect(self._look_for_resume)
        self.planning = Planning(self, self._request)
        self.planning.planned.connect(self.plan.show_plan)
        self.planning.refused.connect(self.plan.show_refusal)
        self.planning.measuring.connect(self.plan.show_measuring)
        self.planning.progress.connect(self.plan.show_progress)
        self.plan.measure_pressed.connect(self.planning.measure)
        self.plan.sweep_pressed.connect(lambda: self.guarded(self._sweep))
        self.plan.sweep.accepted.connect(self.choice.change_rates)
        self.job.events.connect(self._on_sweep)
        self.job.events.connect(self.calibrating.listen)
        for changed in (self.preset, self.optimizer):
            changed.currentIndexChanged.connect(self.plan.sweep.clear)
        self.plan.edited.connect(self.choice.change_rate)
        self.plan.reset_pressed.connect(self.choice.take_back_rates)
        self.classes.counted.connect(self._on_paint)
        for changed in (
            self.choice.changed,
            self.split.changed,
            self.data.changed,
            self.data.stream.currentIndexChanged,
            self.pairs.changed,
            self.classes.itemChanged,
            self.start.combo.currentIndexChanged,
            self.start.path.changed,
        ):
            changed.connect(self.planning.ask)
        self.job.ended.connect(self.planning.release)

    def _fill(self) -> None:
        """Fill in what needs the core: presets, recipe fields, models to start from."""
        self.recipe = self.choice.fill()
        self.sample = SampleSection()
        self.more_layout.addWidget(
            fold("What the sample is", self.sample, "Switches off what could not be true of it.")
        )
        self.more_layout.addWidget(self.recipe)
        self.more_layout.addWidget(fold("Output", self._output, "Name of the model and the folder of the run."))
        self.start.fill()
        self.start.combo.currentIndexChanged.connect(self._fit_preset)
        if not self.job.running:  # else its end does
            self.planning.release()
            self._look_for_resume()

    def _fit_preset(self, index: int = 0) -> None:
        """Fresh weights learn all at once; every other start learns head first."""
        scratch = self.start.value_is_scratch
        if scratch != (self.preset.currentData() == "scratch"):
            self.choice.choose("scratch" if scratch else "canonical")

    def train_on(self, source: StreamSource) -> None:
        """Train on a stream of synthetic images in place of layers, until ✕ is pressed.

        Raises
        ------
        InputError
            A run is going on.
        """
        self._refuse_if_busy()
        self.data.take(source)

    def take_split(self, pairs: Sequence[tuple[Any, Any]], kind: str, fold: int = 0) -> None:
        """Train on these pairs of layers, judged by a fold as *Grouped split* showed it, or by each in turn.

        Raises
        ------
        InputError
            A run is going on.
        """
        self._refuse_if_busy()
        if not self.data.images:
            self.data.choose(IMAGES)
        self.pairs.show_only(pairs)
        self.pairs.refresh_groups()
        self.split.choose(kind, fold)

    def _show_source(self) -> None:
        self.pairs.setVisible(self.data.images)
        self.classes.setVisible(self.data.images)
        for part in (self.split, self.fields.labelForField(self.split)):
            part.setVisible(self.data.images)
        self.controls.setEnabled(self.data.value != CASCADE)

    def _on_pairs(self) -> None:
        self.classes.follow()
        self.watch.follow(self.pairs.pairs[0].image if self.pairs.pairs else None)

    def _on_paint(self) -> None:
        self._paint += 1
        self.planning.ask()

    def pairs_to_use(self) -> list[Pair]:
        """What the rows say now without gold, which is left out with a notice; errors as `chosen_pairs`."""
        chosen, gold = chosen_pairs(self.viewer, self.pairs.pairs)
        self._notices = [f"Left out as gold: {', '.join(gold)}."] if gold else []
        return chosen

    def samples(self) -> list[Sample]:
        """What the rows hold now, copied; gold images are left out.

        Raises
        ------
        InputError
            As `chosen_pairs`, or a row without layers or with layers that do not fit each other.
        """
        return samples_of(self.pairs_to_use())

    def _request(self) -> Request:
        """What is to be planned now; of a cascade, the run on the images."""
        draft, source, images = self.choice.draft, self.data.source, self.data.images
        if images and source is not None:
            draft = draft.after_a_stream()
        pairs = self.pairs_to_use() if images else []
        shots = tuple(
            (snapshot(pair.image, "image", copy=False), snapshot(pair.labels, "labels", copy=False), pair.group)
            for pair in pairs
        )
        stream = None if images or source is None else source.stream(int(draft.settings["patch"]))
        version = (
            (self._paint, *((id(pair.image), id(pair.labels), pair.group) for pair in pairs))
            if images
            else (source, draft.settings["patch"])
        )
        split = self.split.ordered([pair.image for pair in pairs], int(draft.settings["seed"]))
        return Request(version, shots, stream, self.classes.typed_names, draft, self.start.value(), split.plan)

    def _run(self) -> None:
        if self.data.images and self.split.kind.currentData() == ALL_FOLDS:
            beside = "A cascade" if self.data.value == CASCADE else "Controls" if self.controls.isChecked() else ""
            if beside:
                raise InputError(
                    f"{beside} cannot be trained on every fold in turn; validate on one fold, or held out."
                )
        self._carry_out(self._order(self.data.value))

    def run_again(self, record: RunRecord) -> None:
        """Run with the very recipe, start and split of an earlier run, on the pairs of the form.

        Raises
        ------
        InputError
            A run is going on, an image of that run is not among the pairs, or its files are damaged.
        """
        self._refuse_if_busy()
        self._carry_out(again(self._order(SYNTHETIC if is_of_stream(record) else IMAGES), record))
        if not record.facts.start_given:
            self.view.notices.append(
                f"The run {record.name} began with a model in memory ({record.start}); this one begins with what the "
                "form says."
            )

    def go_on(self, record: RunRecord) -> None:
        """Go on with an interrupted run, on the pairs of the form.

        Raises
        ------
        InputError
            As `run_again`; that the images, labels or start are others is told once the run has begun.
        """
        self._refuse_if_busy()
        order = again(self._order(SYNTHETIC if is_of_stream(record) else IMAGES), record)
        self._carry_out(dataclasses.replace(order, out=record.path, resume=True))

    def _refuse_if_busy(self) -> None:
        if self.job.running and self.recipe is not None:
            raise InputError("Fine-tune is busy with a run; wait for its end or cancel it, then press again.")

    def _order(self, data: str) -> Order:
        """What the form says now, of a run on such data."""
        from napari_anneal.training import RunControl

        draft = self.choice.draft
        source = self.data.source if data != IMAGES else None
        self._notices = []
        pairs = self.pairs_to_use() if data != SYNTHETIC else []
        samples = samples_of(pairs)
        labels = [p.labels for p in self.pairs.pairs if p.labels is not None]
        name = samples[0].name if samples else "synthetic"
        return Order(
            data=data,
            samples=samples,
            gold=gold_of(self.viewer),
            stream=None if source is None else source.stream(int(draft.settings["patch"])),
            typed_names=self.classes.typed_names,
            draft=draft,
            start=self.start.value(),
            out=new_folder(Path(self.folder.text()).expanduser(), self.name.text().strip() or name),
            colours=colours_of(labels[0], MOST_CLASSES) if samples else STREAM_COLOURS,
            watch=self.watch.ordered(),
            control=RunControl(),
            controls=self.controls.isChecked() and data != CASCADE,
            split=self.split.ordered([pair.image for pair in pairs], int(draft.settings["seed"])),
        )

    def _carry_out(self, order: Order) -> None:
        self.outcome.clear()
        self.calibrating.begin(order)
        self.fold_table.setVisible(False)
        self.view.begin(order, self._notices)
        self._launch_alone(order.carry_out, self._trained, "Preparing the run …")

    def _launch_alone(self, work: Callable[..., Any], on_done: Callable[[Any], None], saying: str) -> None:
        """Launch something that trains: no plan is made meanwhile, and one that is under way comes to its end first."""
        self.planning.hold()
        self.resume.withdraw()
        self.plan.show_running(True)

        def alone(report: Any, cancel: Any) -> Any:
            with one_at_a_time:
                pass
            return work(report, cancel)

        self.launch(alone, on_done, saying)

    def _sweep(self) -> None:
        """Try learning rates; the bar shows how far it is, and Cancel ends it with what was tried so far."""
        self._refuse_if_busy()
        order = self._order(self.data.value)
        self.plan.sweep.begin()
        self._launch_alone(order.sweep, self._swept, "Trying learning rates …")

    def _on_sweep(self, events: Sequence[Any]) -> None:
        last = self.plan.sweep.listen(events)
        if last is not None:
            self.bar.advance(last.done, last.total)

    def _swept(self, swept: Swept) -> None:
        self.plan.sweep.finish(swept)
        self.bar.say(swept.curve.sentence, "plain" if swept.curve.suggestion is None else "good")

    def stop(self) -> None:
        """Plan no more either."""
        self.planning.stop()
        super().stop()

    def _trained(self, done: Any) -> None:
        """The run is over: name its models, offer them in *Segment*, and say what came of it."""
        from napari_anneal.training import CrossValidation

        self.view.finish(done)
        if isinstance(done, CrossValidation):
            self.fold_table.show_result(done)
        ending = ending_of(done, self.view.notices)
        self.bar.say(ending.status, ending.mood)
        self.outcome.show_outcome(ending)
        self.calibrating.offer(ending.models)
        self.view.come_into_view()

    def _on_ended(self) -> None:
        self.view.end()
        self.plan.show_running(False)
        self._look_for_resume()
        self._on_runs_fold(self.runs_fold.isExpanded())

    def _on_runs_fold(self, expanded: bool) -> None:
        if expanded and self.recipe is not None:
            self.runs.refresh()


def samples_of(pairs: Sequence[Pair]) -> list[Sample]:
    """Copies of what pairs hold now."""
    return [sample_from_layers(pair.image, pair.labels, pair.group) for pair in pairs]
