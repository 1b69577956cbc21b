"""Several runs in one plot: mean Dice above, validation loss below, one colour a run."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QPointF
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QToolTip, QVBoxLayout, QWidget

from napari_anneal.widgets._plots import canvas_of_plots, dotted, nearest, quiet_plot
from napari_anneal.widgets._small_plot import name_below

__all__ = ["RUN_COLOURS", "ComparedCurves"]

# Okabe and Ito's, which differ for every eye and on both themes.
RUN_COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#999999")
HEIGHT = 220

Point = tuple[float, float, float]


class ComparedCurves(QWidget):
    """Curves of several runs, to be told apart by colour and name; values under the pointer.

    Parameters
    ----------
    along
        What they are drawn over: ``"epoch"`` or ``"optimizer step"``.
    """

    def __init__(self, along: str = "epoch") -> None:
        super().__init__()
        self._along = along
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._canvas = canvas_of_plots(HEIGHT)
        self._dice = quiet_plot(self._canvas, 0, "mean Dice")
        self._loss = quiet_plot(self._canvas, 1, "val. loss")
        self._loss.setXLink(self._dice)
        name_below(self._loss, along)
        self._dice.getAxis("bottom").setStyle(showValues=False)
        self._dice.setYRange(0.0, 1.0, padding=0.03)
        self._legend = self._dice.addLegend(offset=(-6, -6), labelTextSize="8pt", verSpacing=-6)
        layout.addWidget(self._canvas)
        self._canvas.scene().sigMouseMoved.connect(self._on_pointer)
        self._curves: dict[str, tuple[list[Point], tuple[object, object]]] = {}

    def clear(self) -> None:
        """No runs."""
        for plot in (self._dice, self._loss):
            plot.clear()
        self._legend.clear()
        self._curves = {}

    def show_run(self, name: str, points: Sequence[Point]) -> None:
        """Show or renew the curve of a run: ``(place, validation loss, mean Dice)`` a row; nan where there is none."""
        if name not in self._curves:
            colour = RUN_COLOURS[len(self._curves) % len(RUN_COLOURS)]
            curves = (dotted(self._dice, colour, name), dotted(self._loss, colour))
            self._curves[name] = ([], curves)
        kept, (dice, loss) = self._curves[name]
        kept[:] = points
        for curve, column in ((loss, 1), (dice, 2)):
            seen = [(point[0], point[column]) for point in points if point[column] == point[column]]
            curve.setData([x for x, _ in seen], [y for _, y in seen])  # type: ignore[attr-defined]

    @property
    def names(self) -> tuple[str, ...]:
        """Runs that are shown, in the order they came."""
        return tuple(self._curves)

    def points(self, name: str) -> list[Point]:
        """What is shown of a run."""
        return list(self._curves[name][0])

    def read(self, place: float) -> str:
        """Values of every run nearest to an epoch or step, a line a run."""
        lines = []
        for name, (points, _) in self._curves.items():
            if points:
                number, loss, dice = points[nearest([p[0] for p in points], place)]
                lines.append(f"{name}: {self._along} {number:.0f} · mean Dice {dice:.3f} · validation loss {loss:.4g}")
        return "\n".join(lines)

    def _on_pointer(self, place: QPointF) -> None:
        for plot in (self._dice, self._loss):
            if plot.vb.sceneBoundingRect().contains(place):
                QToolTip.showText(QCursor.pos(), self.read(plot.vb.mapSceneToView(place).x()), self._canvas)
                return
        QToolTip.hideText()
