"""A number on a slider, with a box for exact values beside it: linear, or even in the logarithm."""

from __future__ import annotations

import math
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractSpinBox, QHBoxLayout, QSlider, QSpinBox, QWidget

from napari_anneal.widgets._recipe_form import NumberBox, calm

__all__ = ["Slider"]

STEPS = 200
LARGEST = 1e6


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
        self._low, self._high, self._log, self._whole = low, high, log, whole
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        self.slider.setPageStep(STEPS // 10)
        self.slider.setMinimumWidth(60)
        self.box: Any = QSpinBox() if whole else NumberBox()
        ends = (-LARGEST if limits[0] is None else limits[0], LARGEST if limits[1] is None else limits[1])
        self.box.setRange(*(map(int, ends) if whole else ends))
        self.box.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        self.box.setSuffix(suffix)
        self.box.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
        # Typing "512" must not run a preview at 5 and at 51.
        self.box.setKeyboardTracking(False)
        self.box.setFixedWidth(78)
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
        self.box.setValue(round(value) if self._whole else value)

    def setToolTip(self, text: str) -> None:
        """Put the tooltip on both parts."""
        for widget in (self.slider, self.box):
            widget.setToolTip(text)

    def _dragged(self, step: int) -> None:
        share = step / STEPS
        if self._log:
            value = self._low * (self._high / self._low) ** share
        else:
            value = self._low + share * (self._high - self._low)
        # Three digits are as fine as a hand can drag.
        digits = 0 if self._whole else 2 - math.floor(math.log10(max(abs(self._low), abs(self._high)) / 10 or 1))
        if self._log and value > 0:
            digits = 2 - math.floor(math.log10(value))
        self.setValue(round(value, digits))

    def _typed(self, value: float) -> None:
        self._show(value)
        self.changed.emit()

    def _show(self, value: float) -> None:
        """Move the handle without moving the number."""
        inside = min(max(value, self._low), self._high)
        if self._log:
            share = math.log(inside / self._low) / math.log(self._high / self._low)
        else:
            share = (inside - self._low) / (self._high - self._low)
        self.slider.blockSignals(True)
        self.slider.setValue(round(share * STEPS))
        self.slider.blockSignals(False)
