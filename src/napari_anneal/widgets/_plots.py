"""Live curves of a run: the loss at every step, and the Dice of each class at every epoch, over the stages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyqtgraph
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

__all__ = ["Curves"]

STAGE_TINTS = ("#5b8ff91c", "#f6bd161c", "#5ad8a61c", "#e8684a1c", "#9270ca1c")
TRAIN, VAL = "#8fb8ff", "#ffb74d"
# More points than the plot has pixels only cost redraws; a longer run is thinned for display.
SHOWN_POINTS = 2000
HEIGHT = 260


class Curves(QWidget):
    """Two plots over one axis of optimizer steps: losses above, Dice of each class below."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._canvas = pyqtgraph.GraphicsLayoutWidget()
        self._canvas.setBackground(None)
        self._canvas.setMinimumHeight(HEIGHT)
        # Its own hint is 480 px; in a form it takes what is left, and the rest of the form stays in view.
        self._canvas.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
        self._canvas.ci.layout.setContentsMargins(0, 0, 0, 0)
        self._canvas.ci.layout.setVerticalSpacing(2)
        layout.addWidget(self._canvas)
        self._loss = self._canvas.addPlot(row=0, col=0)
        self._dice = self._canvas.addPlot(row=1, col=0)
        self._dice.setXLink(self._loss)
        for row in (0, 1):
            self._canvas.ci.layout.setRowStretchFactor(row, 1)
            self._canvas.ci.layout.setRowPreferredHeight(row, HEIGHT / 2)
        for plot, name in ((self._loss, "loss"), (self._dice, "Dice")):
            plot.setLabel("left", name)
            plot.getAxis("left").setWidth(46)
            plot.showGrid(y=True, alpha=0.15)
            plot.setMenuEnabled(False)
            plot.hideButtons()
            plot.setMouseEnabled(x=False, y=False)
        self._loss.getAxis("bottom").setStyle(showValues=False)
        self._dice.setLabel("bottom", "optimizer step")
        self._dice.setYRange(0.0, 1.0, padding=0.03)
        self._loss_legend = self._loss.addLegend(offset=(-6, 4), labelTextSize="8pt", verSpacing=-6)
        self._dice_legend = self._dice.addLegend(offset=(-6, -20), labelTextSize="8pt", verSpacing=-6)
        self.setToolTip(
            "Loss of every step (smoothed) and of the validation images; Dice per class of the validation images. "
            "The bands are the stages of the recipe, the star is the best model so far."
        )
        self.reset((), (), 1)

    def reset(self, classes: Sequence[str], colours: Sequence[str], total_steps: int) -> None:
        """Empty the plots for a run over ``classes`` of ``total_steps`` steps."""
        for plot in (self._loss, self._dice):
            plot.clear()
        self._loss_legend.clear()
        self._dice_legend.clear()
        self._steps: list[int] = []
        self._losses: list[float] = []
        self._epochs: list[int] = []
        self._val: list[float] = []
        self._scores: list[tuple[float, ...]] = []
        self._bands: list[tuple[pyqtgraph.LinearRegionItem, ...]] = []
        self._total = max(1, total_steps)
        self._train_curve = self._loss.plot([], [], pen=pyqtgraph.mkPen(TRAIN, width=1.5), name="training")
        self._val_curve = self._loss.plot(
            [], [], pen=pyqtgraph.mkPen(VAL, width=2), symbol="o", symbolSize=4, symbolBrush=VAL, symbolPen=None,
            name="validation",
        )  # fmt: skip
        self._dice_curves = [
            self._dice.plot(
                [], [], pen=pyqtgraph.mkPen(colour, width=2), symbol="o", symbolSize=4, symbolBrush=colour,
                symbolPen=None, name=name,
            )
            for name, colour in zip(classes, colours, strict=True)
        ]  # fmt: skip
        self._best = self._loss.plot([], [], pen=None, symbol="star", symbolSize=13, symbolBrush="#ffd54f")
        self._loss.setXRange(0, self._total, padding=0.02)

    def add_stage(self, name: str, first_step: int) -> None:
        """Begin a band for a stage at a step; the stage before ends there."""
        self._close_band(first_step)
        tint = STAGE_TINTS[len(self._bands) % len(STAGE_TINTS)]
        regions = []
        for plot in (self._loss, self._dice):
            region = pyqtgraph.LinearRegionItem(
                (first_step, self._total), movable=False, brush=tint, pen=pyqtgraph.mkPen("#88888855")
            )
            region.setZValue(-10)
            plot.addItem(region)
            regions.append(region)
        label = pyqtgraph.InfLineLabel(regions[1].lines[0], text=name, position=0.0, anchors=[(0, 1), (0, 1)])
        label.setColor("#aaaaaa")
        self._bands.append(tuple(regions))

    def add_steps(self, steps: Sequence[int], losses: Sequence[float]) -> None:
        """Add the training loss of some steps."""
        self._steps.extend(steps)
        self._losses.extend(losses)
        stride = max(1, len(self._steps) // SHOWN_POINTS)
        self._train_curve.setData(self._steps[::stride], smoothed(self._losses)[::stride])

    def add_epoch(self, step: int, val_loss: float | None, val_dice: Sequence[float], best: bool) -> None:
        """Add what was measured on the validation images after an epoch."""
        self._epochs.append(step)
        self._val.append(np.nan if val_loss is None else val_loss)
        self._scores.append(tuple(val_dice))
        self._val_curve.setData(self._epochs, self._val, connect="finite")
        for index, curve in enumerate(self._dice_curves):
            curve.setData(
                self._epochs, [s[index] if index < len(s) else np.nan for s in self._scores], connect="finite"
            )
        if best and val_loss is not None:
            self._best.setData([step], [val_loss])

    def finish(self, last_step: int) -> None:
        """End the last band where the run ended."""
        self._close_band(last_step)
        self._loss.setXRange(0, max(1, last_step), padding=0.02)

    def _close_band(self, step: int) -> None:
        for region in self._bands[-1] if self._bands else ():
            region.setRegion((region.getRegion()[0], step))


def smoothed(values: Sequence[float], weight: float = 0.9) -> list[float]:
    """Exponential moving average, unbiased at the start (as Adam's: divided by 1 - weight^t)."""
    out, mean = [], 0.0
    for t, value in enumerate(values, start=1):
        mean = weight * mean + (1 - weight) * value
        out.append(mean / (1 - weight**t))
    return out
