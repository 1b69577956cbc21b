"""A range on a slider with two handles, with boxes for exact values at either side."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QWidget
from superqt import QRangeSlider

from napari_anneal.widgets._recipe_form import calm
from napari_anneal.widgets._slider import STEPS, Scale, number_box

__all__ = ["RangeSlider"]


class RangeSlider(QWidget):
    """Drag either end, or the bar between them, over the usual values; type any that the setting allows.

    The lower end is never above the upper one: an end that is typed beyond the other takes it along.

    Parameters
    ----------
    scale
        Ends of the slider.
    limits
        What may be typed; ``None``: whatever is below, or above.

    Signals
    -------
    changed
        There is another range.
    """

    changed = Signal()

    def __init__(self, scale: Scale, limits: tuple[float | None, float | None] = (None, None)) -> None:
        super().__init__()
        self._scale = scale
        self.slider = QRangeSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        self.slider.setMinimumWidth(50)
        # Three parts in a narrow dock: wider boxes would leave no slider.
        self.low, self.high = (number_box(limits, scale.whole, 46, 3) for _ in range(2))
        for widget in (self.slider, self.low, self.high):
            calm(widget)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.low)
        layout.addWidget(self.slider, 1)
        layout.addWidget(self.high)
        self.slider.valueChanged.connect(self._dragged)
        self.low.valueChanged.connect(lambda value: self._typed(value, max(value, self.high.value())))
        self.high.valueChanged.connect(lambda value: self._typed(min(value, self.low.value()), value))

    def value(self) -> tuple[Any, Any]:
        """The two numbers in the boxes, the lower one first."""
        return (self.low.value(), self.high.value())

    def setValue(self, value: tuple[float, float]) -> None:
        """Show another range; tells ``changed`` once if it is one."""
        before = self.value()
        for box, number in ((self.low, value[0]), (self.high, value[1])):
            box.blockSignals(True)
            box.setValue(round(number) if self._scale.whole else number)
            box.blockSignals(False)
        self.slider.blockSignals(True)
        self.slider.setValue(tuple(self._scale.step(number) for number in value))
        self.slider.blockSignals(False)
        if self.value() != before:
            self.changed.emit()

    def setToolTip(self, text: str) -> None:
        """Put the tooltip on every part."""
        for widget in (self.slider, self.low, self.high):
            widget.setToolTip(text)

    def _dragged(self, steps: tuple[int, int]) -> None:
        """Take over what the handles say: an end that was not dragged keeps a value that lies between two steps."""
        old = self.value()
        self.setValue(
            tuple(
                number if self._scale.step(number) == step else self._scale.value(step)
                for number, step in zip(old, steps, strict=True)
            )  # type: ignore[arg-type]
        )

    def _typed(self, low: float, high: float) -> None:
        """Show the range that a box asks for; told even where the box itself is all that changed."""
        self.blockSignals(True)
        self.setValue((low, high))
        self.blockSignals(False)
        self.changed.emit()
