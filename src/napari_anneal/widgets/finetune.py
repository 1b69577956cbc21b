"""*Fine-tune*: painted layers in, a model out, with live curves; the work is ``training.fine_tune`` on a thread."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox, QComboBox, QLineEdit, QSpinBox, QVBoxLayout, QWidget

from napari_anneal.errors import InputError
from napari_anneal.samples.sample import Sample
from napari_anneal.widgets._class_table import MOST_CLASSES, ClassTable
from napari_anneal.widgets._core import when_loaded
from napari_anneal.widgets._data_choice import CASCADE, IMAGES, SYNTHETIC, DataChoice
from napari_anneal.widgets._ending import ending_of
from napari_anneal.widgets._form import Form, fold, form_layout, shrinkable
from napari_anneal.widgets._layers import colours_of, is_gold, made_as, sample_from_layers
from napari_anneal.widgets._model_choice import StartChoice
from napari_anneal.widgets._order import STREAM_COLOURS, Order, again, free_folder, is_of_stream
from napari_anneal.widgets._outcome import Outcome
from napari_anneal.widgets._pairs import Pairs
from napari_anneal.widgets._path_field import PathField
from napari_anneal.widgets._recipe_form import RecipeForm
from napari_anneal.widgets._run_view import RunView
from napari_anneal.widgets._runs_panel import RunsPanel
from napari_anneal.widgets._stream_source import StreamSource
from napari_anneal.widgets._watch import WATCHED, WatchChoice

if TYPE_CHECKING:
    import napari.viewer

    from napari_anneal.training.runs import RunRecord

__all__ = ["FineTuneWidget"]

DEFAULT_EPOCHS = 20
# Where models are saved unless another folder is chosen.
RUNS = "~/napari-anneal/runs"
# Fields of the recipe that are folded away; the rest of it follows from the preset, the start and the layers.
FOLDED = (
    "patch", "batch_size", "micro_batch", "rates_for_batch", "steps_per_epoch", "patience", "balance_classes",
    "cross_entropy", "dice", "focal", "boundary_weight", "boundary_radius", "cldice", "max_gradient", "encoder", "seed",
    "precision", "device",
)  # fmt: skip


OPTIMIZERS = {
    "adamw": "AdamW",
    "adam": "Adam",
    "sgd": "SGD with momentum (rates × 10)",
    "lion": "Lion (rates ÷ 5, weight decay × 5)",
}

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
        self.preset = shrinkable(QComboBox())
        self.row("Recipe", self.preset, "How the layers of the network are trained, and in which order.")
        self.watch = WatchChoice(viewer)
        self.row("Watch", self.watch, self.watch.tip)
        self.controls = QCheckBox("scratch, feature extraction (3 × as long)")
        self.row("Controls", self.controls, CONTROLS_TIP)
        self.recipe: RecipeForm | None = None
        self.more = QWidget()
        self.more_layout = QVBoxLayout(self.more)
        self.more_layout.setContentsMargins(0, 0, 0, 0)
        self._build_output()
        self.body.addWidget(fold("More settings", self.more, "Epochs, patch, batch, stopping, encoder, seed …"))
        self.view = RunView(viewer, self.bar)
        self.body.addWidget(self.view, 1)
        self.runs = RunsPanel(lambda: Path(self.folder.text()).expanduser())
        self.runs_fold = fold("Runs", self.runs, "Runs in the folder where models are saved: compare, run again, use.")
        self.runs_fold.toggled.connect(self._on_runs_fold)
        self.body.addWidget(self.runs_fold)
        self.outcome = Outcome()
        self.bar.layout().addWidget(self.outcome)
        self._notices: list[str] = []
        self.data.changed.connect(self._show_source)
        self.pairs.changed.connect(self._on_pairs)
        self._on_pairs()
        self.bar.started.connect(lambda: self.guarded(self._run))
        self.job.events.connect(self.view.listen)
        self.view.shown.connect(lambda: self.scroll.ensureWidgetVisible(self.view))
        self.job.ended.connect(self._on_ended)
        self.runs.again.connect(lambda record: self.guarded(lambda: self.run_again(record)))
        self.runs.resumed.connect(lambda record: self.guarded(lambda: self.go_on(record)))
        when_loaded(self, self._fill)

    def showEvent(self, event: Any) -> None:
        """Groups may have been assigned in *Grouped split* since this form was last seen."""
        super().showEvent(event)
        self.pairs.refresh_groups()

    def _build_output(self) -> None:
        box = QWidget()
        layout = form_layout(box)
        self.epochs = QSpinBox()
        self.epochs.setRange(1, 1000)
        self.epochs.setValue(DEFAULT_EPOCHS)
        self.optimizer = shrinkable(QComboBox())
        for name, text in OPTIMIZERS.items():
            self.optimizer.addItem(text, name)
        self.name = QLineEdit()
        self.name.setPlaceholderText("made from the image's name")
        self.folder = PathField(RUNS, "folder")
        for label, widget, tip in (
            ("epochs", self.epochs, "Length of the run over all stages; it may end early (patience)."),
            (
                "optimizer",
                self.optimizer,
                "In place of AdamW, with rates to match: SGD's are ten times AdamW's; Lion's are a fifth, with five "
                "times the weight decay, and it keeps half of AdamW's state in memory.",
            ),
            ("model name", self.name, "How lists call the model, and its folder on disk."),
            ("save in", self.folder, "Folder that gets a folder for each run: the model bundle, history and recipe."),
        ):
            widget.setToolTip(tip)
            layout.addRow(label, widget)
            layout.labelForField(widget).setToolTip(tip)
        self.more_layout.addWidget(box)

    def _fill(self) -> None:
        """Fill in what needs the core: presets, recipe fields, models to start from."""
        from napari_anneal.training import PRESETS, FineTuneRecipe

        for index, (preset, text) in enumerate(PRESETS.items()):
            self.preset.addItem(preset.replace("_", " "), preset)
            self.preset.setItemData(index, text, 3)  # Qt.ToolTipRole
        self.recipe = RecipeForm(FineTuneRecipe.from_preset(), FOLDED)
        self.more_layout.addWidget(self.recipe)
        self.start.fill()
        self.start.combo.currentIndexChanged.connect(self._fit_preset)

    def _fit_preset(self, index: int = 0) -> None:
        """Fresh weights learn all at once; every other start learns head first."""
        scratch = self.start.value_is_scratch
        if scratch != (self.preset.currentData() == "scratch"):
            self.preset.setCurrentIndex(self.preset.findData("scratch" if scratch else "canonical"))

    def train_on(self, source: StreamSource) -> None:
        """Train on a stream of synthetic images in place of layers, until ✕ is pressed.

        Raises
        ------
        InputError
            A run is going on.
        """
        self._refuse_if_busy()
        self.data.take(source)

    def _show_source(self) -> None:
        self.pairs.setVisible(self.data.images)
        self.classes.setVisible(self.data.images)
        self.controls.setEnabled(self.data.value != CASCADE)

    def _on_pairs(self) -> None:
        self.classes.follow()
        self.watch.follow(self.pairs.pairs[0].image if self.pairs.pairs else None)

    def samples(self) -> list[Sample]:
        """What the rows hold now, copied; gold images are left out.

        Raises
        ------
        InputError
            A row without layers or with layers that do not fit each other, or the same pair twice.
        """
        samples, seen, gold = [], set(), []
        for pair in self.pairs.pairs:
            if pair.image is not None and is_gold(pair.image):
                gold.append(pair.image.name)
                continue
            if pair.labels is not None and made_as(pair.labels) == WATCHED:
                raise InputError(
                    f"{pair.labels.name!r} is what a network said while it learned, not paint; choose the labels that "
                    "you have painted."
                )
            sample = sample_from_layers(pair.image, pair.labels, pair.group)
            if (id(pair.image), id(pair.labels)) in seen:
                raise InputError(
                    f"Image {pair.image.name!r} with {pair.labels.name!r} is listed twice; remove one row."
                )
            seen.add((id(pair.image), id(pair.labels)))
            samples.append(sample)
        if not samples:
            what = f"all of them are gold ({', '.join(gold)})" if gold else "the list is empty"
            raise InputError(f"There is no pair to train on: {what}; add an image with painted labels.")
        self._notices = [f"Left out as gold: {', '.join(gold)}."] if gold else []
        return samples

    def _run(self) -> None:
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

        settings = {**(self.recipe.values() if self.recipe is not None else {})}
        source = self.data.source if data != IMAGES else None
        self._notices = []
        samples = self.samples() if data != SYNTHETIC else []
        labels = [p.labels for p in self.pairs.pairs if p.labels is not None]
        name = samples[0].name if samples else "synthetic"
        return Order(
            data=data,
            samples=samples,
            stream=None if source is None else source.stream(int(settings["patch"])),
            typed_names=self.classes.typed_names,
            preset=str(self.preset.currentData()),
            optimizer=str(self.optimizer.currentData()),
            epochs=self.epochs.value(),
            settings=settings,
            start=self.start.value(),
            out=free_folder(Path(self.folder.text()).expanduser(), self.name.text().strip() or name),
            colours=colours_of(labels[0], MOST_CLASSES) if samples else STREAM_COLOURS,
            watch=self.watch.ordered(),
            control=RunControl(),
            controls=self.controls.isChecked() and data != CASCADE,
        )

    def _carry_out(self, order: Order) -> None:
        self.outcome.clear()
        self.view.begin(order, self._notices)
        self.launch(order.carry_out, self._trained, "Preparing the run …")

    def _trained(self, done: Any) -> None:
        """The run is over: name its models, offer them in *Segment*, and say what came of it."""
        self.view.finish(done)
        ending = ending_of(done, self.view.notices)
        self.bar.say(ending.status, ending.mood)
        self.outcome.show_outcome(ending)
        self.view.come_into_view()

    def _on_ended(self) -> None:
        self.view.end()
        self._on_runs_fold(self.runs_fold.isExpanded())

    def _on_runs_fold(self, expanded: bool) -> None:
        if expanded and self.recipe is not None:
            self.runs.refresh()
