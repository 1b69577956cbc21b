"""Form fields made from a recipe: one editor a field, its tooltip the field's own description, its limits the recipe's.

The only place that turns pydantic fields into Qt editors, so a new recipe field appears in its form by itself.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QWidget,
)

from napari_anneal.errors import InputError
from napari_anneal.widgets._form import form_layout, shrinkable

__all__ = ["NumberBox", "RecipeForm", "build", "calm", "caption"]

LARGEST_INT, LARGEST_FLOAT = 1_000_000, 1e6
UNITS = {"deg": "°", "px": "px", "um": "µm", "nm": "nm"}


def build(recipe: type[BaseModel], values: Mapping[str, Any]) -> Any:
    """Make a recipe from form values.

    Raises
    ------
    InputError
        A value the recipe refuses, in one sentence.
    """
    try:
        return recipe(**values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        message = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
        raise InputError(f"{caption(field) + ': ' if field else ''}{message}.") from error


def caption(name: str) -> str:
    """Words of a field name without its unit: ``blur_sigma_px`` → ``blur sigma``."""
    words = name.split("_")
    return " ".join(words[:-1] if words[-1] in UNITS and len(words) > 1 else words)


class RecipeForm(QWidget):
    """Editors for some fields of a recipe.

    Parameters
    ----------
    recipe
        The values to begin with; its class says which fields there are.
    names
        Fields to show, in this order; ``None``: all that have an editor.
    skip
        Fields to leave out.
    captions
        What to call a field where its name says too little.

    Signals
    -------
    changed
        A value was edited.
    """

    changed = Signal()

    def __init__(
        self,
        recipe: BaseModel,
        names: Sequence[str] | None = None,
        skip: Iterable[str] = (),
        captions: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        named = captions or {}
        self._get: dict[str, Callable[[], Any]] = {}
        self._set: dict[str, Callable[[Any], None]] = {}
        self._rows: dict[str, tuple[QWidget, QWidget]] = {}
        layout = form_layout(self)
        fields, hidden = type(recipe).model_fields, set(skip)
        for name in fields if names is None else names:
            editor = None if name in hidden else self._editor(name, fields[name])
            if editor is None:
                continue
            tip = tooltip(name, fields[name])
            words = named.get(name) or caption(name)
            # "rotate" is how often, "rotate_deg" how far: their captions must differ.
            label = QLabel(f"{words} range" if (bare := words.replace(" ", "_")) in fields and bare != name else words)
            for widget in (label, editor, *editor.findChildren(QWidget)):
                widget.setToolTip(tip)
            layout.addRow(label, editor)
            self._rows[name] = (label, editor)
            self._set[name](getattr(recipe, name))

    def values(self) -> dict[str, Any]:
        """Field name → value as edited."""
        return {name: get() for name, get in self._get.items()}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show other values (fields that are not shown are passed over); tells ``changed`` once."""
        self.blockSignals(True)
        for name, put in self._set.items():
            if name in values:
                put(values[name])
        self.blockSignals(False)
        self.changed.emit()

    def leave_out(self, names: Iterable[str]) -> None:
        """Hide the rows of settings that have no effect now, and show all others."""
        hidden = set(names)
        for name, row in self._rows.items():
            for widget in row:
                widget.setVisible(name not in hidden)

    def _editor(self, name: str, info: FieldInfo) -> QWidget | None:
        kind = info.annotation
        optional = get_origin(kind) in (Union, types.UnionType) and type(None) in get_args(kind)
        if optional:
            rest = [part for part in get_args(kind) if part is not type(None)]
            kind = rest[0] if len(rest) == 1 else None
        limits = limits_of(info)
        if get_origin(kind) is tuple and get_args(kind) in ((int, int), (float, float)) and not optional:
            return self._pair(name, get_args(kind)[0], limits)
        if get_origin(kind) is Literal and not optional:
            return self._choice(name, [str(option) for option in get_args(kind)])
        if kind is bool and not optional:
            box = QCheckBox()
            box.toggled.connect(lambda _: self.changed.emit())
            self._get[name], self._set[name] = box.isChecked, box.setChecked
            return box
        if kind in (int, float):
            spin = self._spin(kind, limits, name)
            if optional:
                # One below the least value stands for "leave it to the recipe"; a limit that is no value itself too.
                if not any(hasattr(constraint, "gt") for constraint in info.metadata):
                    spin.setMinimum(spin.minimum() - 1)
                spin.setSpecialValueText("none" if "empty: no " in (info.description or "") else "automatic")
                nothing = spin.minimum()
                self._get[name] = lambda: None if spin.value() == nothing else spin.value()
                self._set[name] = lambda value: spin.setValue(nothing if value is None else value)
            else:
                self._get[name], self._set[name] = spin.value, spin.setValue
            return spin
        if kind is str and not optional:
            line = QLineEdit()
            line.textChanged.connect(lambda _: self.changed.emit())
            self._get[name], self._set[name] = line.text, line.setText
            return line
        return None

    def _choice(self, name: str, options: list[str]) -> QComboBox:
        combo = shrinkable(QComboBox())
        combo.addItems(options)
        combo.currentTextChanged.connect(lambda _: self.changed.emit())
        self._get[name], self._set[name] = combo.currentText, combo.setCurrentText
        calm(combo)
        return combo

    def _pair(self, name: str, kind: type, limits: tuple[float | None, float | None]) -> QWidget:
        box = QWidget()
        row = QHBoxLayout(box)
        row.setContentsMargins(0, 0, 0, 0)
        low, high = self._spin(kind, limits, name), self._spin(kind, limits, name)
        for spin in (low, high):  # two in a row: the numbers need the room of the buttons
            spin.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
        row.addWidget(low, 1)
        row.addWidget(QLabel("…"))
        row.addWidget(high, 1)

        def put(value: tuple[float, float]) -> None:
            low.setValue(value[0])
            high.setValue(value[1])

        self._get[name], self._set[name] = (lambda: (low.value(), high.value())), put
        return box

    def _spin(self, kind: type, limits: tuple[float | None, float | None], name: str) -> Any:
        low, high = limits
        if kind is int:
            spin: Any = QSpinBox()
            spin.setRange(-LARGEST_INT if low is None else int(low), LARGEST_INT if high is None else int(high))
        else:
            spin = NumberBox()
            spin.setRange(-LARGEST_FLOAT if low is None else low, LARGEST_FLOAT if high is None else high)
        spin.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        if low is not None and high is not None and kind is float and high - low <= 1:
            spin.setStepType(QAbstractSpinBox.StepType.DefaultStepType)
            spin.setSingleStep(0.05)
        unit = UNITS.get(name.rsplit("_", 1)[-1])
        if unit:
            spin.setSuffix(unit if unit == "°" else f" {unit}")
        # Typing "512" must not run a preview at 5 and at 51.
        spin.setKeyboardTracking(False)
        spin.valueChanged.connect(lambda _: self.changed.emit())
        spin.setMinimumWidth(60)
        calm(spin)
        return spin


def limits_of(info: FieldInfo) -> tuple[float | None, float | None]:
    """Least and greatest legal value of a number (``None``: no limit); exclusive limits are left to validation."""
    low = high = None
    for constraint in info.metadata:
        low = getattr(constraint, "ge", getattr(constraint, "gt", None)) if low is None else low
        high = getattr(constraint, "le", getattr(constraint, "lt", None)) if high is None else high
    return low, high


def tooltip(name: str, info: FieldInfo) -> str:
    """The field's description, and the name it has in a script."""
    text = (info.description or caption(name)).rstrip(".")
    return f"<p>{text[:1].upper()}{text[1:]}.</p><p><i>In a script: <code>{name}</code></i></p>"


class NumberBox(QDoubleSpinBox):
    """A spin box for fractions that shows no zeros at the end: 0.5, not 0.5000."""

    def __init__(self) -> None:
        super().__init__()
        self.setDecimals(4)

    def textFromValue(self, value: float) -> str:
        """Shortest text of the value, in the locale's decimal sign."""
        text = super().textFromValue(value)
        sign = self.locale().decimalPoint()
        return text.rstrip("0").rstrip(sign) if sign in text else text


class _Calm(QObject):
    """Pass the mouse wheel on to the scroll area unless the editor has the focus: scrolling edits nothing."""

    def eventFilter(self, editor: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel and not editor.hasFocus():
            event.ignore()
            return True
        return False


def calm(editor: QWidget) -> None:
    """Let the wheel scroll the form, not the value under the pointer."""
    editor.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    editor.installEventFilter(_Calm(editor))
