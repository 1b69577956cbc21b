"""*Synthetic microstructure*: a recipe in, an Image layer with perfect labels out, with a live preview."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QSpinBox, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_anneal.errors import InputError
from napari_anneal.widgets._form import Form, fold, form_layout, shrinkable
from napari_anneal.widgets._layer_choice import LayerChoice
from napari_anneal.widgets._layers import Snapshot, add_class_labels
from napari_anneal.widgets._layers import made as made_by_form
from napari_anneal.widgets._recipe_form import NumberBox, RecipeForm, calm
from napari_anneal.widgets._worker import Job

if TYPE_CHECKING:
    import napari.viewer

    from napari_anneal.synthesis import Microstructure, MicrostructureRecipe

__all__ = ["SynthesisWidget"]

DEBOUNCE_MS = 300
PREVIEW = "synthetic preview"
# A preview shows a piece of at most this size with the same density of grains, so that it keeps up with the mouse.
PREVIEW_2D, PREVIEW_3D = 768, 72
RUNGS = {
    1: "1 · clean geometry",
    2: "2 · grey levels and texture",
    3: "3 · blur of the optics",
    4: "4 · detector noise",
    5: "5 · artefacts of specimen and scan",
}
COLOURS = ("#56b4e9", "#d55e00")


class SynthesisWidget(Form):
    """Make a micrograph or a volume of grains (or objects) with its labels."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        from napari_anneal.synthesis import MicrostructureRecipe

        super().__init__(viewer, "Create layers", "Add the image, the grains and the boundary labels as layers.")
        self._recipe_type = MicrostructureRecipe
        self._build_size()
        self.n_seeds = QSpinBox()
        self.n_seeds.setRange(1, 1_000_000)
        self.n_seeds.setValue(300)
        self.n_seeds.setKeyboardTracking(False)
        self.row("Grains", self.n_seeds, MicrostructureRecipe.model_fields["n_seeds"].description or "")
        self.rung = shrinkable(QComboBox())
        for rung, text in RUNGS.items():
            self.rung.addItem(text, rung)
        self.rung.setCurrentIndex(3)
        self.row(
            "Appearance",
            self.rung,
            "From clean geometry to a worn specimen; each rung includes those below.",
        )
        self.live = QCheckBox("live preview")
        self.live.setToolTip("Draw a preview layer after every change (of a piece, where the whole is large).")
        self.fields.addRow("", self.live)
        self._build_folded()
        self.body.addStretch()
        self.preview_job = Job(self)
        self.preview_job.done.connect(lambda made: self.guarded(lambda: self._show_preview(made)))
        self.preview_job.failed.connect(lambda text: self.bar.say(text, "bad"))
        self.preview_job.ended.connect(self._preview_again)
        self._again = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DEBOUNCE_MS)
        self._timer.timeout.connect(self._preview)
        for signal in (
            self.n_seeds.valueChanged,
            self.rung.currentIndexChanged,
            self.live.toggled,
            self.dims.currentIndexChanged,
        ):
            signal.connect(self._changed)
        self.bar.started.connect(lambda: self.guarded(self._run))

    def _build_size(self) -> None:
        self.dims = QComboBox()
        self.dims.addItems(["2D", "3D"])
        self.dims.setToolTip("An image, or a volume.")
        self.sizes = [QSpinBox() for _ in "ZYX"]
        box = QWidget()
        row = QHBoxLayout(box)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.dims)
        for spin, axis, value in zip(self.sizes, "ZYX", (64, 512, 512), strict=True):
            spin.setRange(1, 16384)
            spin.setValue(value)
            spin.setPrefix(f"{axis} ")
            spin.setKeyboardTracking(False)
            spin.setToolTip(f"Size along {axis} in pixels.")
            spin.setMinimumWidth(60)
            calm(spin)
            spin.valueChanged.connect(self._changed)
            row.addWidget(spin, 1)
        self.dims.currentIndexChanged.connect(self._on_dims)
        self._on_dims(0)
        self.row("Size (px)", box, "Size in pixels, of an image or of a volume.")

    def _build_folded(self) -> None:
        from napari.layers import Points

        recipe = self._recipe_type()
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, 0, 0)
        layout = form_layout()
        column.addLayout(layout)
        self.points = LayerChoice(self.viewer, (Points,), none="(random seeds)")
        self.seed, self.pixel, self.step = QSpinBox(), NumberBox(), NumberBox()
        self.seed.setRange(0, 2**31 - 1)
        for spin in (self.pixel, self.step):
            spin.setRange(1e-4, 1e6)
            spin.setValue(1.0)
        self.distance = QCheckBox("distance to the boundary")
        for label, widget, tip in (
            (
                "seeds from",
                self.points,
                "Grow one grain from each point of a Points layer (it sets the number of grains).",
            ),
            ("random seed", self.seed, "The same recipe and seed give the same pixels."),
            ("pixel size", self.pixel, "Scale of the layers along Y and X; carried along, nothing is resampled."),
            ("slice distance", self.step, "Scale of the layers along Z."),
            (
                "also make",
                self.distance,
                "An Image layer with the distance (px) of every pixel to the nearest boundary.",
            ),
        ):
            widget.setToolTip(tip)
            layout.addRow(label, widget)
        self.geometry = RecipeForm(recipe, skip=("n_seeds",))
        column.addWidget(self.geometry)
        self.appearance = RecipeForm(recipe.appearance, skip=("rung",))
        self.objects = RecipeForm(recipe.objects)
        self.body.addWidget(fold("Seeds, grains and scale", box, "Placement, shape and size of the grains; pixel size"))
        self.body.addWidget(fold("Appearance in detail", self.appearance, "Grey levels, optics, detector, artefacts"))
        self.objects_fold: QCollapsible = fold("Objects", self.objects, "For kind “objects”: precipitates in a matrix")
        self.body.addWidget(self.objects_fold)
        for form in (self.geometry, self.appearance, self.objects):
            form.changed.connect(self._changed)
        self.seed.valueChanged.connect(self._changed)
        self.points.layer_changed.connect(self._changed)
        self.objects_fold.setVisible(False)

    def _on_dims(self, index: int) -> None:
        self.sizes[0].setVisible(index == 1)
        if index == 1 and self.sizes[1].value() * self.sizes[2].value() > 256 * 256:
            self.sizes[1].setValue(128)
            self.sizes[2].setValue(128)

    @property
    def shape(self) -> tuple[int, ...]:
        """The size asked for."""
        return tuple(s.value() for s in self.sizes[0 if self.dims.currentIndex() else 1 :])

    @property
    def spacing(self) -> tuple[float, ...]:
        """The pixel size asked for."""
        return (self.step.value(), self.pixel.value(), self.pixel.value())[-len(self.shape) :]

    def recipe(self) -> MicrostructureRecipe:
        """The recipe as edited.

        Raises
        ------
        InputError
            Settings that contradict each other, or points that are no seeds of this size.
        """
        from napari_anneal.synthesis import Appearance, Objects

        values = self.geometry.values()
        layer = self.points.layer
        if layer is not None:
            if layer.ndim != len(self.shape):
                raise InputError(
                    f"Points layer {layer.name!r} has {layer.ndim} coordinates but the size has {len(self.shape)} "
                    "axes; choose points drawn on an image of that many axes."
                )
            world = np.array([layer.data_to_world(point) for point in layer.data]).reshape(-1, layer.ndim)
            pixels = np.round(world / np.array(self.spacing), 6)
            values.update(placement="points", points=tuple(tuple(float(c) for c in p) for p in pixels))
        return self._recipe_type(
            **values,
            n_seeds=self.n_seeds.value(),
            shape=self.shape,
            spacing=self.spacing,
            appearance=Appearance(**self.appearance.values(), rung=self.rung.currentData()),
            objects=Objects(**self.objects.values()),
        )

    def _changed(self, value: Any = None) -> None:
        self.objects_fold.setVisible(self.geometry.values()["kind"] == "objects")
        if self.live.isChecked():
            self._timer.start()

    def _preview(self) -> None:
        if self.preview_job.running:
            self._again = True
            return
        self.guarded(lambda: self.preview_job.start(_making(piece(self.recipe()), self.seed.value()), "preview"))

    def _preview_again(self) -> None:
        if self._again:
            self._again = False
            self._timer.start()

    def _show_preview(self, made: Microstructure) -> None:
        if not self.live.isChecked():
            return
        place = {"scale": made.spacing}
        if PREVIEW in self.viewer.layers and self.viewer.layers[PREVIEW].ndim == made.image.ndim:
            layer = self.viewer.layers[PREVIEW]
            layer.data, layer.scale = made.image, made.spacing
        else:
            if PREVIEW in self.viewer.layers:
                self.viewer.layers.remove(PREVIEW)
            self.viewer.add_image(
                made.image, name=PREVIEW, contrast_limits=(0, 1), metadata=made_by_form("preview"), **place
            )
            self.viewer.reset_view()
        size = " × ".join(map(str, made.image.shape))
        whole = "" if made.image.shape == self.shape else " (a piece, with the same density of grains)"
        self.bar.say(f"Preview of {size} px{whole}: {int(made.grains.max())} grains.")

    def _run(self) -> None:
        recipe, distance = self.recipe(), self.distance.isChecked()
        self._timer.stop()
        self.launch(
            _making(recipe, self.seed.value()), lambda made: self._add(made, distance), "Growing the microstructure …"
        )

    def _add(self, made: Microstructure, distance: bool) -> None:
        if PREVIEW in self.viewer.layers:
            self.viewer.layers.remove(PREVIEW)
        number = sum(
            layer.name.startswith("microstructure ") and layer.name.endswith(" image") for layer in self.viewer.layers
        )
        name = f"microstructure {number + 1}"
        place: dict[str, Any] = {"scale": made.spacing}
        self.viewer.add_image(made.image, name=f"{name} image", contrast_limits=(0, 1), **place)
        if distance:
            self.viewer.add_image(
                made.distance,
                name=f"{name} distance",
                colormap="viridis",
                visible=False,
                metadata=made_by_form("distance"),
                **place,
            )
        self.viewer.add_labels(
            made.grains, name=f"{name} grains", opacity=0.4, visible=False, metadata=made_by_form("grains"), **place
        )
        like = Snapshot(name, made.image, "ZYX"[-made.image.ndim :], place, group=name)
        add_class_labels(
            self.viewer, made.labels, f"{name} {made.classes[1]}", like, made.classes, COLOURS, opacity=0.3
        )
        self.viewer.reset_view()
        what = "grains" if made.recipe.kind == "grains" else "objects"
        count = int(made.grains.max()) - (made.recipe.kind == "objects")
        self.bar.say(f"{name}: {count} {what}; the {made.classes[1]} labels can train a model in Fine-tune.", "good")


def piece(recipe: MicrostructureRecipe) -> MicrostructureRecipe:
    """A recipe for a preview: at most so large, with the same density of grains; points stay where they are."""
    largest = PREVIEW_2D if len(recipe.shape) == 2 else PREVIEW_3D
    shape = tuple(min(n, largest) for n in recipe.shape)
    if shape == recipe.shape or recipe.points is not None:
        return recipe
    share = float(np.prod(shape)) / float(np.prod(recipe.shape))
    return recipe.model_copy(update={"shape": shape, "n_seeds": max(1, round(recipe.n_seeds * share))})


def _making(
    recipe: MicrostructureRecipe, seed: int
) -> Callable[[Callable[[Any], None], threading.Event], Microstructure]:
    def work(report: Callable[[Any], None], cancel: threading.Event) -> Microstructure:
        from napari_anneal.synthesis import synthesize

        return synthesize(recipe, seed)

    return work
