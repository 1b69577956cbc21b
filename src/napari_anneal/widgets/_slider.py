"""A number on a slider, with a box for exact values beside it: linear, or even in the logarithm."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractSpinBox, QHBoxLayout, QSlider, QSpinBox, QWidget

from napari_anneal.widgets._recipe_form import NumberBox, calm

__all__ = ["STEPS", "Scale", "Slider", "number_box"]

STEPS = 200
LARGEST = 1e6


class Scale(NamedTuple):
    """Between the numbers and the steps of a handle: linear, or even in the logarithm."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def step(self, value: float) -> int:
        """Where the handle stands for a value; at an end for one beyond it."""
        inside = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(inside / self.low) / math.log(self.high / self.low)
        else:
            share = (inside - self.low) / (self.high - self.low)
        return round(share * STEPS)

    def value(self, step: int) -> float:
        """What the handle says, to the three digits that are as fine as a hand can drag."""
        share = step / STEPS
        span = self.high - self.low
        value = self.low * (self.high / self.low) ** share if self.log else self.low + share * span
        digits = 0 if self.whole else 2 - math.floor(math.log10(max(abs(self.low), abs(self.high)) / 10 or 1))
        if self.log and value > 0:
            digits = 2 - math.floor(math.log10(value))
        return round(value, digits)


class Slider(QWidget):
    """Drag over the usual values; type any that the setting allows.

    Parameters
    ----------
    low, high
        Ends of the slider.
    limits
        What may be typed; ``None``: whatever is below, or above.
    whole
        Whole numbers only.
    log
        Even in the logarithm: for settings that span decades.

    Signals
    -------
    changed
        There is another value.
    """

    changed = Signal()

    def __init__(
        self,
        low: float,
        high: float,
        limits: tuple[float | None, float | None] = (None, None),
        *,
        whole: bool = False,
        log: bool = False,
        suffix: str = "",
    ) -> None:
        super().__init__()
        self._scale = Scale(low, high, log, whole)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        self.slider.setPageStep(STEPS // 10)
        self.slider.setMinimumWidth(60)
        self.box = number_box(limits, whole, 58, 5)
        self.box.setSuffix(suffix)
        for widget in (self.slider, self.box):
            calm(widget)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.slider, 1)
        layout.addWidget(self.box)
        self.slider.valueChanged.connect(self._dragged)
        self.box.valueChanged.connect(self._typed)
        self._show(self.value())

    def value(self) -> Any:
        """The number in the box."""
        return self.box.value()

    def setValue(self, value: float) -> None:
        """Show another value; tells ``changed`` if it is one."""
        self.box.setValue(round(value) if self._scale.whole else value)

    def setToolTip(self, text: str) -> None:
        """Put the tooltip on both parts."""
        for widget in (self.slider, self.box):
            widget.setToolTip(text)

    def _dragged(self, step: int) -> None:
        self.setValue(self._scale.value(step))

    def _typed(self, value: float) -> None:
        self._show(value)
        self.changed.emit()

    def _show(self, value: float) -> None:
        """Move the handle without moving the number."""
        self.slider.blockSignals(True)
        self.slider.setValue(self._scale.step(value))
        self.slider.blockSignals(False)


def number_box(limits: tuple[float | None, float | None], whole: bool, width: int, padding: int) -> Any:
    """A box to type a number in, between limits (``None``: whatever is below, or above); the rest in pixels."""
    box: Any = QSpinBox() if whole else NumberBox()
    ends = (-LARGEST if limits[0] is None else limits[0], LARGEST if limits[1] is None else limits[1])
    box.setRange(*(map(int, ends) if whole else ends))
    box.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
    box.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
    # Typing "512" must not run a preview at 5 and at 51.
    box.setKeyboardTracking(False)
    # napari asks for 70 px and 10 px at either side.
    box.setStyleSheet(f"QAbstractSpinBox {{ min-width: {width}px; max-width: {width}px; padding: 1px {padding}px; }}")
    return box
