"""The transforms of an augmentation recipe: how often and how strongly, with the reason where one is not legal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_anneal.widgets._form import WrappedLabel, fold
from napari_anneal.widgets._range_slider import RangeSlider
from napari_anneal.widgets._recipe_form import caption, limits_of, tooltip
from napari_anneal.widgets._slider import Scale, Slider
from napari_anneal.widgets._status import COLOURS

__all__ = ["FAMILIES", "TransformRows", "words"]

WORDS = {
    "hflip": "left-right flip", "vflip": "up-down flip", "rot180": "half turn", "rot90": "quarter turns",
    "rotate": "rotation", "crop": "crop, resized", "gamma": "gamma", "clahe": "CLAHE", "blur": "blur (PSF)",
    "poisson": "shot noise", "gaussian_noise": "read noise", "salt_pepper": "salt and pepper", "scale": "zoom",
}  # fmt: skip
FAMILIES: dict[str, tuple[str, ...]] = {
    "Turns and flips": ("hflip", "vflip", "rot180", "rot90", "rotate"),
    "Size and shape": ("scale", "shear", "perspective", "crop", "elastic"),
    "Grey levels": ("brightness", "contrast", "gamma", "clahe"),
    "Detector": ("blur", "poisson", "gaussian_noise", "salt_pepper"),
    "Occlusion": ("cutout",),
}
OTHER = "Other"
# Usual values of a strength; others can be typed.
SCALES = {
    "rotate_deg": Scale(-180, 180), "scale_factor": Scale(0.5, 2, log=True), "shear_deg": Scale(-30, 30),
    "perspective_fraction": Scale(0, 0.2), "crop_area": Scale(0.1, 1), "elastic_alpha": Scale(0, 200),
    "elastic_sigma_px": Scale(1, 20), "brightness_shift": Scale(-0.6, 0.6), "contrast_factor": Scale(0.25, 2),
    "gamma_exponent": Scale(0.3, 3, log=True), "clahe_limit": Scale(1, 10), "clahe_tiles": Scale(1, 16, whole=True),
    "blur_sigma_px": Scale(0.1, 5, log=True), "poisson_counts": Scale(5, 10_000, log=True),
    "gaussian_noise_std": Scale(0, 0.3), "salt_pepper_fraction": Scale(0, 0.1),
    "cutout_holes": Scale(1, 16, whole=True), "cutout_fraction": Scale(0.01, 0.5),
}  # fmt: skip
SHORT = {"alpha": "α, px", "sigma px": "σ, px", "std": "σ of range", "deg": "angle, °", "fraction": "fraction"}
# What a tick switches a transform on with where the default recipe has it off.
USUAL = 0.2
CAPTION_PX = 118
PROBABILITY = Scale(0, 1)
DRAWN_TIP = "Each time it happens, a value is drawn from this range."


def words(name: str) -> str:
    """What to call a transform."""
    return WORDS.get(name, caption(name))


class TransformRow(QWidget):
    """One transform: a tick, how often, how strongly; greyed with the reason where it is not legal.

    Signals
    -------
    changed
        A value was edited.
    """

    changed = Signal()

    def __init__(self, name: str, recipe: BaseModel, strengths: Iterable[str]) -> None:
        super().__init__()
        fields = type(recipe).model_fields
        usual = float(fields[name].default) or USUAL
        self.name, self.reason, self._looked_at = name, "", False
        self.tick = QCheckBox(words(name))
        self.often = Slider(PROBABILITY.low, PROBABILITY.high, limits_of(fields[name]))
        self.often.setToolTip(tooltip(name, fields[name]))
        self.tick.setToolTip(tooltip(name, fields[name]))
        self.tick.setMinimumWidth(CAPTION_PX)
        self.strengths: dict[str, Any] = {}
        self._captions: list[QLabel] = []
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 2)
        grid.setVerticalSpacing(2)
        grid.setColumnMinimumWidth(0, CAPTION_PX)
        grid.setColumnStretch(1, 1)
        grid.addWidget(self.tick, 0, 0)
        grid.addWidget(self.often, 0, 1)
        for line, field in enumerate(strengths, start=1):
            editor = strength_editor(field, fields[field])
            tip = tooltip(field, fields[field])
            editor.setToolTip(tip + (f"<p>{DRAWN_TIP}</p>" if isinstance(editor, RangeSlider) else ""))
            rest = field.removeprefix(f"{name}_").replace("_", " ")
            label = QLabel(SHORT.get(rest, rest))
            label.setIndent(22)
            label.setToolTip(tip)
            grid.addWidget(label, line, 0)
            grid.addWidget(editor, line, 1)
            editor.changed.connect(self.changed)
            self.strengths[field] = editor
            self._captions.append(label)
        self.says = WrappedLabel()
        self.says.setIndent(22)
        self.says.setStyleSheet(f"color: {COLOURS['bad']};")
        self.says.setVisible(False)
        grid.addWidget(self.says, grid.rowCount(), 0, 1, 2)
        self.tick.toggled.connect(lambda on: self.often.setValue(usual if on else 0.0))
        self.often.changed.connect(self._on_often)
        self.set_values({name: getattr(recipe, name), **{f: getattr(recipe, f) for f in self.strengths}})
        self._fit()

    def values(self) -> dict[str, Any]:
        """Field name → value, of this transform."""
        return {self.name: self.often.value(), **{field: editor.value() for field, editor in self.strengths.items()}}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show other values; tells ``changed`` for each that is one."""
        for field, editor in ((self.name, self.often), *self.strengths.items()):
            if field in values:
                editor.setValue(values[field])

    def forbid(self, reason: str) -> None:
        """Switch the row off and say why; an empty reason allows it again, with the values that it had."""
        self.reason = reason
        for widget in (self.tick, self.often):
            widget.setEnabled(not reason)
        self.says.setText(f"Off: {reason}." if reason else "")
        self.says.setVisible(bool(reason))
        self._fit()

    def look_at(self, on: bool) -> None:
        """Show the strengths although the recipe has it off: the transform is looked at alone."""
        self._looked_at = on
        self._fit()

    def _on_often(self) -> None:
        self._fit()
        self.changed.emit()

    def _fit(self) -> None:
        on = self.often.value() > 0 and not self.reason
        self.tick.blockSignals(True)
        self.tick.setChecked(on)
        self.tick.blockSignals(False)
        for widget in (*self.strengths.values(), *self._captions):
            widget.setVisible(on or (self._looked_at and not self.reason))


class TransformRows(QWidget):
    """All transforms of a recipe, folded by family.

    Signals
    -------
    changed
        A value was edited.
    """

    changed = Signal()

    def __init__(self, recipe: BaseModel, names: Iterable[str]) -> None:
        super().__init__()
        self.rows: dict[str, TransformRow] = {}
        self.folds: dict[str, Any] = {}
        self._looked_at: str | None = None
        names = tuple(names)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        listed = {name for family in FAMILIES.values() for name in family}
        families = {**FAMILIES, OTHER: tuple(name for name in names if name not in listed)}
        for title, members in families.items():
            present = [name for name in names if name in members]
            if not present:
                continue
            box = QWidget()
            column = QVBoxLayout(box)
            column.setContentsMargins(6, 2, 0, 4)
            column.setSpacing(1)
            for name in present:
                row = TransformRow(name, recipe, strengths_of(name, names, type(recipe).model_fields))
                row.changed.connect(self._on_change)
                column.addWidget(row)
                self.rows[name] = row
            section = fold(title, box, ", ".join(words(name) for name in present))
            self.folds[title] = section
            layout.addWidget(section)
        self._count()

    def values(self) -> dict[str, Any]:
        """Field name → value as edited, those of forbidden transforms too."""
        return {field: value for row in self.rows.values() for field, value in row.values().items()}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show other values; tells ``changed`` once."""
        self.blockSignals(True)
        for row in self.rows.values():
            row.set_values(values)
        self.blockSignals(False)
        self._on_change()

    def forbid(self, reasons: Mapping[str, str]) -> None:
        """Grey the transforms that are not legal, each with its reason."""
        for name, row in self.rows.items():
            row.forbid(reasons.get(name, ""))
        self._count()

    def look_at(self, name: str | None) -> None:
        """One transform is looked at alone: open its family and show its strengths."""
        if self._looked_at in self.rows:
            self.rows[self._looked_at].look_at(False)
        self._looked_at = name
        if name in self.rows:
            self.rows[name].look_at(True)

    def unfold(self, name: str) -> None:
        """Open the family of a transform."""
        for section in self.folds.values():
            if section.isAncestorOf(self.rows[name]):
                section.expand(animate=False)
                return

    def _on_change(self) -> None:
        self._count()
        self.changed.emit()

    def _count(self) -> None:
        """Say on every fold how many of its transforms are on."""
        for title, section in self.folds.items():
            inside = [row for row in self.rows.values() if section.isAncestorOf(row)]
            on = sum(row.tick.isChecked() for row in inside)
            section.setText(f"{title}  ·  {on} of {len(inside)} on")


def strengths_of(name: str, names: Iterable[str], fields: Mapping[str, FieldInfo]) -> list[str]:
    """Fields that say how strong a transform is: their names begin with its name, and with no longer one."""
    longer = tuple(f"{other}_" for other in names if other.startswith(f"{name}_"))
    return [
        field
        for field in fields
        if field.startswith(f"{name}_") and field not in names and not field.startswith(longer)
    ]


def strength_editor(field: str, info: FieldInfo) -> Any:
    """A slider, or one with two handles, over the usual values of a field."""
    pair = get_origin(info.annotation) is tuple
    kind = get_args(info.annotation)[0] if pair else info.annotation
    ends = info.default if pair else (info.default, info.default)
    least, most = limits_of(info)
    span = (ends[1] - ends[0]) or abs(ends[1]) or 1.0
    scale = SCALES.get(field) or Scale(
        ends[0] - span if least is None else max(least, ends[0] - span),
        ends[1] + span if most is None else min(most, ends[1] + span),
        whole=kind is int,
    )
    if pair:
        return RangeSlider(scale, (least, most))
    return Slider(scale.low, scale.high, (least, most), whole=kind is int, log=scale.log)
