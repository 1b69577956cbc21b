"""The settings of a synthetic microstructure: a preset, its size, a few sliders and the rung; all else folded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QFormLayout, QHBoxLayout, QLabel, QSpinBox, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_anneal.errors import InputError
from napari_anneal.recipe_base import Recipe
from napari_anneal.widgets._applicable import PARTS_OF, SLIDERS, without_effect
from napari_anneal.widgets._form import fold, form_layout, shrinkable
from napari_anneal.widgets._layer_choice import LayerChoice
from napari_anneal.widgets._look_choice import LookChoice
from napari_anneal.widgets._recipe_form import NumberBox, RecipeForm, calm, limits_of, tooltip
from napari_anneal.widgets._rungs import RUNGS
from napari_anneal.widgets._slider import Slider

if TYPE_CHECKING:
    import napari.viewer

    from napari_anneal.synthesis import MicrostructureRecipe, RecipeRanges

__all__ = ["MicrostructureForm"]

GRAINS = 300
FOLDS = {
    "two_phase": ("Two phases", "How far they have coarsened since they formed"),
    "growth": ("Grain growth", "Grains grow before their picture is taken"),
    "objects": ("Objects", "Precipitates, particles, pores, fibres, dislocations, nanoparticles"),
    "appearance": ("Appearance in detail", "Grey levels, boundaries, optics, detector, artefacts"),
}


class MicrostructureForm(QWidget):
    """Editors of one `MicrostructureRecipe` and its seed.

    Signals
    -------
    changed
        Something was edited.
    """

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        from napari_anneal.synthesis import MicrostructureRecipe

        super().__init__()
        self._base = MicrostructureRecipe(n_seeds=GRAINS)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self._fields = form_layout()
        self._fields.setRowWrapPolicy(QFormLayout.RowWrapPolicy.DontWrapRows)
        column.addLayout(self._fields)
        self._build_preset()
        self._build_size()
        self._build_sliders()
        self.look = LookChoice(viewer)
        self.look.changed.connect(self._edited)
        tip = "A real image, unlabelled, whose grey levels, sharpness and noise the synthetic ones take."
        self._row("Look like", self.look, tip)
        self._build_scale(viewer)
        self.forms: dict[str, RecipeForm] = {}
        self._folds: dict[str, QCollapsible] = {}
        skipped = {""} | set(SLIDERS)
        self.forms[""] = RecipeForm(self._base, skip=_below("", skipped))
        box = QWidget()
        inside = QVBoxLayout(box)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self._scale)
        inside.addWidget(self.forms[""])
        column.addWidget(fold("Seeds, grains and scale", box, "Kind, placement, shape and size of grains; pixel size"))
        for name, part in _parts(self._base).items():
            self.forms[name] = RecipeForm(part, skip=_below(name, {*skipped, "appearance.rung"}))
            title, tip = FOLDS.get(name, (name.replace("_", " ").capitalize(), ""))
            self._folds[name] = fold(title, self.forms[name], tip)
            column.addWidget(self._folds[name])
        for form in self.forms.values():
            form.changed.connect(self._edited)
        self._show_applicable()

    def _row(self, label: str, field: QWidget, tip: str) -> QLabel:
        caption = QLabel(label)
        for widget in (caption, field):
            widget.setToolTip(tip)
        self._fields.addRow(caption, field)
        return caption

    def _build_preset(self) -> None:
        from napari_anneal.synthesis import PRESETS

        self.preset = shrinkable(QComboBox())
        self.preset.addItem("Plain grains", None)
        self.preset.setItemData(0, "The settings a recipe has by default.", Qt.ItemDataRole.ToolTipRole)
        for name, text in PRESETS.items():
            self.preset.addItem(text.partition(":")[0], name)
            self.preset.setItemData(self.preset.count() - 1, text, Qt.ItemDataRole.ToolTipRole)
        calm(self.preset)
        self.preset.currentIndexChanged.connect(self._use_preset)
        self.preset.activated.connect(self._use_preset)  # the same one again: back to its settings
        self._row("Preset", self.preset, "A kind of micrograph to begin with; everything below can be changed.")

    def _build_size(self) -> None:
        self.dims = QComboBox()
        self.dims.addItems(["2D", "3D"])
        self.dims.setToolTip("An image, or a volume.")
        calm(self.dims)
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
            spin.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
            # Three in a row, which the viewer's own style would make 90 px wide each.
            spin.setStyleSheet("min-width: 36px;")
            calm(spin)
            spin.valueChanged.connect(self._edited)
            row.addWidget(spin, 1)
        self.dims.currentIndexChanged.connect(self._on_dims)
        self.sizes[0].setVisible(False)
        self._row("Size (px)", box, "Size in pixels, of an image or of a volume.")

    def _build_sliders(self) -> None:
        self.sliders: dict[str, Slider] = {}
        self._captions: dict[str, QLabel] = {}
        for path, (caption, _, low, high, log) in SLIDERS.items():
            part, _, name = path.rpartition(".")
            owner = getattr(self._base, part) if part else self._base
            info = type(owner).model_fields[name]
            unit = " px" if "(px)" in (info.description or "") else ""
            slider = Slider(low, high, limits_of(info), whole=info.annotation is int, log=log, suffix=unit)
            slider.setValue(getattr(owner, name))
            slider.changed.connect(self._edited)
            self.sliders[path] = slider
            self._captions[path] = self._row(caption, slider, tooltip(name, info))
        self.n_seeds = self.sliders["n_seeds"]
        self.rung = shrinkable(QComboBox())
        for rung, text in RUNGS.items():
            self.rung.addItem(text, rung)
        calm(self.rung)
        self.rung.setCurrentIndex(self._base.appearance.rung - 1)
        self.rung.currentIndexChanged.connect(self._edited)
        self._row("Appearance", self.rung, "From clean geometry to a worn specimen; each rung includes those below.")

    def _build_scale(self, viewer: napari.viewer.Viewer) -> None:
        from napari.layers import Points

        self._scale = QWidget()
        layout = form_layout(self._scale)
        self.points = LayerChoice(viewer, (Points,), none="(random seeds)")
        self.seed, self.pixel, self.step, self.unit = QSpinBox(), NumberBox(), NumberBox(), QComboBox()
        self.seed.setRange(0, 2**31 - 1)
        for spin in (self.pixel, self.step):
            spin.setRange(1e-4, 1e6)
            spin.setValue(1.0)
        self.unit.addItems(["pixel", "nm", "µm", "mm"])
        for label, widget, tip in (
            (
                "seeds from",
                self.points,
                "Grow one grain from each point of a Points layer (sets their number).",
            ),
            ("random seed", self.seed, "The same recipe and seed give the same pixels."),
            ("pixel size", self.pixel, "Scale of the layers along Y and X; carried along, nothing is resampled."),
            ("slice distance", self.step, "Scale of the layers along Z."),
            ("unit", self.unit, "Unit of the pixel size."),
        ):
            widget.setToolTip(tip)
            calm(widget)
            layout.addRow(label, widget)
        self.seed.valueChanged.connect(self._edited)
        self.points.layer_changed.connect(self._edited)

    @property
    def shape(self) -> tuple[int, ...]:
        """The size asked for."""
        return tuple(s.value() for s in self.sizes[0 if self.dims.currentIndex() else 1 :])

    @property
    def spacing(self) -> tuple[float, ...]:
        """The pixel size asked for."""
        return (self.step.value(), self.pixel.value(), self.pixel.value())[-len(self.shape) :]

    @property
    def placement(self) -> dict[str, Any]:
        """Scale and units of layers made from the recipe."""
        return {"scale": self.spacing, "units": (self.unit.currentText(),) * len(self.shape)}

    def recipe(self) -> MicrostructureRecipe:
        """The recipe as edited.

        Raises
        ------
        InputError
            Settings that contradict each other, or points that are no seeds of this size.
        """
        values: dict[str, dict[str, Any]] = {part: form.values() for part, form in self.forms.items()}
        for path, slider in self.sliders.items():
            part, _, name = path.rpartition(".")
            values[part][name] = slider.value()
        values["appearance"]["rung"] = self.rung.currentData()
        own = values.pop("")
        own |= {name: type(getattr(self._base, name))(**settings) for name, settings in values.items()}
        own |= {"shape": self.shape, "spacing": self.spacing, "real_look": self.look.look, **self._seeds_from_points()}
        if own["placement"] == "points" and "points" not in own:
            raise InputError("Seeds at points need a Points layer; choose one at “seeds from”, or another placement.")
        return type(self._base)(**own)

    def set_recipe(self, recipe: MicrostructureRecipe) -> None:
        """Show the settings of a recipe; size, pixel size and points stay as they are."""
        self.blockSignals(True)
        parts = {"": recipe, **_parts(recipe)}
        for part, form in self.forms.items():
            form.set_values({name: getattr(parts[part], name) for name in type(parts[part]).model_fields})
        for path, slider in self.sliders.items():
            part, _, name = path.rpartition(".")
            slider.setValue(getattr(parts[part], name))
        self.rung.setCurrentIndex(recipe.appearance.rung - 1)
        self.blockSignals(False)
        self._edited()

    def ranges(self) -> RecipeRanges:
        """The ranges of the chosen preset (without one, wide ones), at the size and of the look asked for."""
        from napari_anneal.synthesis import RecipeRanges, preset_ranges

        name = self.preset.currentData()
        made = RecipeRanges(shape=self.shape) if name is None else preset_ranges(name, self.shape)
        return made.model_copy(update={"spacing": self.spacing, "real_look": self.look.look})

    def _seeds_from_points(self) -> dict[str, Any]:
        layer = self.points.layer
        if layer is None:
            return {}
        if layer.ndim != len(self.shape):
            raise InputError(
                f"Points layer {layer.name!r} has {layer.ndim} coordinates but the size has {len(self.shape)} "
                "axes; choose points drawn on an image of that many axes."
            )
        world = np.array([layer.data_to_world(point) for point in layer.data]).reshape(-1, layer.ndim)
        pixels = np.round(world / np.array(self.spacing), 6)
        points = tuple(tuple(float(c) for c in p) for p in pixels)
        return {"placement": "points", "points": points, "n_seeds": max(1, len(points))}

    def _use_preset(self, index: int) -> None:
        from napari_anneal.synthesis import MicrostructureRecipe, preset

        name = self.preset.currentData()
        if name == "tem_nanoparticles":
            self.dims.setCurrentIndex(0)  # a projection through a film
        plain = MicrostructureRecipe(n_seeds=GRAINS)
        self.set_recipe(plain if name is None else preset(name, self.shape))

    def _on_dims(self, index: int) -> None:
        self.sizes[0].setVisible(index == 1)
        if index == 1 and self.sizes[1].value() * self.sizes[2].value() > 256 * 256:
            self.sizes[1].setValue(128)
            self.sizes[2].setValue(128)
        self._edited()

    def _edited(self, value: Any = None) -> None:
        if self.signalsBlocked():
            return
        self._show_applicable()
        self.changed.emit()

    def _show_applicable(self) -> None:
        """Hide what has no effect with the settings as they are."""
        values = {part: form.values() for part, form in self.forms.items()}
        kind, growth = values[""]["kind"], values["growth"]["method"]
        idle = {part: without_effect(part, values[part], kind, growth) for part in self.forms}
        if kind == "grains" and not values[""]["second_phase"]:
            idle["appearance"] |= {"phase_contrast"}
        for part, form in self.forms.items():
            form.leave_out(idle[part])
        for path, (_, of, *_rest) in SLIDERS.items():
            part, _, name = path.rpartition(".")
            shown = kind in of and name not in idle[part]
            self.sliders[path].setVisible(shown)
            self._captions[path].setVisible(shown)
        for part, of in PARTS_OF.items():
            self._folds[part].setVisible(kind == of)


def _parts(recipe: Recipe) -> dict[str, Recipe]:
    """The recipes inside a recipe, by their field."""
    return {name: part for name in type(recipe).model_fields if isinstance(part := getattr(recipe, name), Recipe)}


def _below(part: str, paths: set[str]) -> set[str]:
    """Names of the settings of one part among dotted names."""
    return {name for owner, _, name in (path.rpartition(".") for path in paths) if owner == part}
