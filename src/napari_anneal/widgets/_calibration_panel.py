"""Does a probability mean what it says: the reliability diagram of a run's model, before and after its temperature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph
from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QComboBox, QSizePolicy, QToolTip, QVBoxLayout, QWidget

from napari_anneal.widgets._form import WrappedLabel, shrinkable
from napari_anneal.widgets._plots import canvas_of_plots, dotted, quiet_plot
from napari_anneal.widgets._small_plot import name_below

if TYPE_CHECKING:
    from napari_anneal.validation import Calibration

__all__ = ["CalibrationPanel", "CalibrationStep"]

HEIGHT = 210
BEFORE, AFTER, EQUAL = "#e69f00", "#56b4e9", "#8a96a3"
TIP = (
    "Validation pixels by the confidence of their prediction: of those the model gives 80 %, four in five should be "
    "right. Below the dashed line the model is too sure of itself. The temperature divides what goes into the softmax; "
    "no label changes."
)


@dataclass(frozen=True)
class CalibrationStep:
    """How far a calibration is."""

    done: int
    total: int


class CalibrationPanel(QWidget):
    """Reliability before and after, and a sentence; of several models one at a time. Hidden while there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.results: list[tuple[str, Calibration]] = []
        self.which = shrinkable(QComboBox())
        self.which.setToolTip("Whose calibration is shown.")
        self.which.currentIndexChanged.connect(self._show)
        self.canvas = canvas_of_plots(HEIGHT)
        self.canvas.setFixedHeight(HEIGHT)
        self.canvas.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._plot = quiet_plot(self.canvas, 0, "right (%)")
        name_below(self._plot, "confidence (%)")
        self._plot.showGrid(x=True, y=True, alpha=0.15)
        self._plot.addLegend(offset=(10, 6), labelTextSize="8pt", verSpacing=-6)
        equal = pyqtgraph.mkPen(EQUAL, width=1.5, style=Qt.PenStyle.DashLine)
        self._plot.plot([0, 100], [0, 100], pen=equal, name="as sure as right")
        self._curves = {"before": dotted(self._plot, BEFORE, "before"), "after": dotted(self._plot, AFTER, "after")}
        self._plot.setYRange(0, 100, padding=0.02)
        self.canvas.setToolTip(TIP)
        self.canvas.scene().sigMouseMoved.connect(self._on_pointer)
        self.says = WrappedLabel()
        self.says.setTextFormat(Qt.TextFormat.PlainText)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.setSpacing(3)
        for part in (self.which, self.canvas, self.says):
            layout.addWidget(part)
        self.setVisible(False)

    def clear(self) -> None:
        """Nothing to show."""
        self.show_results([])

    def show_results(self, results: Sequence[tuple[str, Calibration]]) -> None:
        """Show what was found of some models, by their names; the first one first."""
        self.results = list(results)
        self.which.blockSignals(True)
        self.which.clear()
        self.which.addItems([name for name, _ in self.results])
        self.which.blockSignals(False)
        self.which.setVisible(len(self.results) > 1)
        self.setVisible(bool(self.results))
        self._show()

    def points(self, side: str) -> list[tuple[float, float]]:
        """What is drawn ``before`` or ``after``: confidence and share of right pixels, percent, of bins with pixels."""
        found = getattr(self.results[self.which.currentIndex()][1], side)
        bins = zip(found.confidence, found.accuracy, strict=True)
        return [(100 * float(sure), 100 * float(right)) for sure, right in bins if not np.isnan(sure)]

    def _show(self, index: int = 0) -> None:
        if not self.results:
            return
        lowest = 100.0
        for side, curve in self._curves.items():
            drawn = self.points(side)
            curve.setData([x for x, _ in drawn], [y for _, y in drawn])
            lowest = min([lowest, *(min(point) for point in drawn)])
        # Confidence is 1/K at least: what lies below is left away.
        self._plot.setXRange(max(0, lowest - 5), 100, padding=0.02)
        self._plot.setYRange(max(0, lowest - 5), 100, padding=0.02)
        self.says.setText(_sentence(*self.results[self.which.currentIndex()]))

    def _on_pointer(self, place: QPointF) -> None:
        if self.results and self._plot.vb.sceneBoundingRect().contains(place):
            x = self._plot.vb.mapSceneToView(place).x()
            QToolTip.showText(QCursor.pos(), self.read(x), self.canvas)

    def read(self, confidence: float) -> str:
        """The bins nearest to a confidence in percent, before and after."""
        found = self.results[self.which.currentIndex()][1]
        lines = []
        for side in self._curves:
            drawn, counts = self.points(side), [n for n in getattr(found, side).count.tolist() if n]
            at = int(np.argmin([abs(x - confidence) for x, _ in drawn]))
            (sure, right), pixels = drawn[at], counts[at]
            lines.append(f"{side}: {sure:.1f} % sure, {right:.1f} % right, {pixels:,} px")
        return "\n".join(lines)


def _sentence(name: str, found: Calibration) -> str:
    """What was found of a model, for a person."""
    was = "surer than it was right" if found.before.overconfidence > 0 else "less sure than it was right"
    images = ", ".join(found.images[:3]) + (f" and {len(found.images) - 3} more" if len(found.images) > 3 else "")
    pixels: Any = int(found.before.count.sum())
    return (
        f"“{name}” was {was}: expected calibration error {100 * found.before.ece:.1f} %, now "
        f"{100 * found.after.ece:.1f} %, with temperature {found.temperature:.2f}. Fitted on {pixels:,} validation "
        f"pixels of {images} and kept in the model; no label changes."
    )
