"""Live curves of a run: the loss at every step, and the Dice of each class at every epoch, under the stages."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyqtgraph
from qtpy.QtCore import QPointF
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QSizePolicy, QToolTip, QVBoxLayout, QWidget

from napari_anneal.widgets._scenes import outlive_scene
from napari_anneal.widgets._small_plot import name_below
from napari_anneal.widgets._stage_band import STAGE_COLOURS, Span, StageBand

__all__ = ["Curves", "canvas_of_plots", "quiet_plot"]

TRAIN, VAL, BEST = "#8fb8ff", "#ffb74d", "#ffd54f"
# Of the bands behind the curves: enough to see where a stage ends, too little to colour the curves.
TINT = "1c"
# More points than the plot has pixels only cost redraws; a longer run is thinned for display.
SHOWN_POINTS = 2000
HEIGHT = 260
AXIS_WIDTH = 46


class Curves(QWidget):
    """Two plots over one axis of optimizer steps: losses above, Dice of each class below; values under the pointer."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        self._canvas = canvas_of_plots(HEIGHT)
        self._loss = quiet_plot(self._canvas, 0, "loss")
        self._dice = quiet_plot(self._canvas, 1, "Dice")
        self._dice.setXLink(self._loss)
        for row in (0, 1):
            self._canvas.ci.layout.setRowStretchFactor(row, 1)
            self._canvas.ci.layout.setRowPreferredHeight(row, HEIGHT / 2)
        self._loss.getAxis("bottom").setStyle(showValues=False)
        name_below(self._dice, "optimizer step")
        self._dice.setYRange(0.0, 1.0, padding=0.03)
        self._loss_legend = self._loss.addLegend(offset=(-6, 4), labelTextSize="8pt", verSpacing=-6)
        self._dice_legend = self._dice.addLegend(offset=(-6, -20), labelTextSize="8pt", verSpacing=-6)
        self.stages = StageBand(lambda step: self._loss.vb.mapViewToScene(QPointF(step, 0)).x())
        self._loss.vb.sigRangeChanged.connect(lambda *_: self.stages.update())
        self._loss.vb.sigResized.connect(lambda *_: self.stages.update())
        layout.addWidget(self.stages)
        layout.addWidget(self._canvas)
        self._pointer = [pyqtgraph.InfiniteLine(angle=90, pen=pyqtgraph.mkPen("#88888888")) for _ in range(2)]
        self._canvas.scene().sigMouseMoved.connect(self._on_pointer)
        self.reset((), (), 1)

    def reset(
        self,
        classes: Sequence[str],
        colours: Sequence[str],
        total_steps: int,
        stages: Sequence[tuple[str, int]] = (),
    ) -> None:
        """Empty the plots for a run over ``classes`` of ``total_steps`` steps; ``stages``: name and epochs of each."""
        for plot, line in zip((self._loss, self._dice), self._pointer, strict=True):
            plot.clear()
            line.setVisible(False)
            plot.addItem(line, ignoreBounds=True)
        self._loss_legend.clear()
        self._dice_legend.clear()
        self._classes = tuple(classes)
        self._steps: list[int] = []
        self._losses = Smoothed()
        self._numbers: list[int] = []
        self._epochs: list[int] = []
        self._val: list[float] = []
        self._scores: list[tuple[float, ...]] = []
        self._bands: list[tuple[pyqtgraph.LinearRegionItem, ...]] = []
        self._total = max(1, total_steps)
        self._train_curve = self._loss.plot([], [], pen=pyqtgraph.mkPen(TRAIN, width=1.5), name="training")
        self._val_curve = dotted(self._loss, VAL, "validation")
        self._dice_curves = [
            dotted(self._dice, colour, name) for name, colour in zip(classes, colours, strict=True)
        ]  # fmt: skip
        self._best = [
            plot.plot([], [], pen=None, symbol="star", symbolSize=13, symbolBrush=BEST, symbolPen="#5d4a00")
            for plot in (self._loss, self._dice)
        ]
        self.best_epoch: int | None = None
        self._loss.setXRange(0, self._total, padding=0.02)
        per_epoch = self._total / max(1, sum(epochs for _, epochs in stages))
        ends = np.cumsum([0, *(epochs * per_epoch for _, epochs in stages)])
        self.stages.reset([Span(name, ends[i], ends[i + 1]) for i, (name, _) in enumerate(stages)])

    def add_stage(self, name: str, first_step: int, steps: int | None = None) -> None:
        """Begin a stage at a step; the stage before ends there."""
        self._close_band(first_step)
        index = len(self._bands)
        last = self._total if steps is None else first_step + steps
        regions = []
        for plot in (self._loss, self._dice):
            region = pyqtgraph.LinearRegionItem(
                (first_step, last),
                movable=False,
                brush=STAGE_COLOURS[index % len(STAGE_COLOURS)] + TINT,
                pen=pyqtgraph.mkPen("#88888855"),
            )
            region.setZValue(-10)
            plot.addItem(region)
            regions.append(region)
        self._bands.append(tuple(regions))
        self.stages.enter(index, name, first_step, last)

    def add_steps(self, steps: Sequence[int], losses: Sequence[float]) -> None:
        """Add the training loss of some steps."""
        self._steps.extend(steps)
        self._losses.extend(losses)
        stride = max(1, len(self._steps) // SHOWN_POINTS)
        self._train_curve.setData(self._steps[::stride], self._losses.values[::stride])

    def add_epoch(self, epoch: int, step: int, val_loss: float | None, val_dice: Sequence[float], best: bool) -> None:
        """Add what was measured on the validation images after an epoch (counted from 1), at a step."""
        self._numbers.append(epoch)
        self._epochs.append(step)
        self._val.append(np.nan if val_loss is None else val_loss)
        self._scores.append(tuple(val_dice))
        self._val_curve.setData(self._epochs, self._val, connect="finite")
        for index, curve in enumerate(self._dice_curves):
            scores = [s[index] if index < len(s) else np.nan for s in self._scores]
            if not all(np.isnan(scores)):  # of a class that is never painted there is nothing to draw
                curve.setData(self._epochs, scores, connect="finite")
        if best and val_loss is not None:
            self._mark_best(epoch, step, val_loss, val_dice)

    def finish(self) -> None:
        """The run is over: the last stage ends where it ended."""
        last = self._steps[-1] if self._steps else 1
        self._close_band(last)
        self.stages.finish(last)
        self._loss.setXRange(0, last, padding=0.02)

    def read(self, step: float) -> str:
        """What was measured nearest to a step, a line a figure; empty before the first step."""
        if not self._steps:
            return ""
        at = nearest(self._steps, step)
        index = max((k for k, span in enumerate(self.stages.spans) if span.first < self._steps[at]), default=0)
        stage = self.stages.spans[index].name if self.stages.spans else ""
        lines = [f"step {self._steps[at]}" + (f" · {stage}" if stage else "")]
        lines.append(f"training loss {self._losses.values[at]:.4g}")
        if self._epochs:
            epoch = nearest(self._epochs, step)
            star = " ★ best" if self._numbers[epoch] == self.best_epoch else ""
            lines.append(f"epoch {self._numbers[epoch]}{star}: validation loss {self._val[epoch]:.4g}")
            lines += [
                f"   Dice of {name}: " + (f"{dice:.3f}" if dice == dice else "n/a (none painted)")
                for name, dice in zip(self._classes, self._scores[epoch], strict=False)
            ]
        return "\n".join(lines)

    def _mark_best(self, epoch: int, step: int, val_loss: float, val_dice: Sequence[float]) -> None:
        """Put the star on the epoch whose weights are kept, on the loss and on each class, and name it."""
        self.best_epoch = epoch
        self._best[0].setData([step], [val_loss])
        seen = [dice for dice in val_dice if dice == dice]
        self._best[1].setData([step] * len(seen), seen)
        self._loss_legend.removeItem(self._best[0])
        self._loss_legend.addItem(self._best[0], f"best: epoch {self.best_epoch}")

    def _on_pointer(self, place: QPointF) -> None:
        """Show the values at the pointer, and where they belong."""
        for plot in (self._loss, self._dice):
            if plot.vb.sceneBoundingRect().contains(place):
                step = plot.vb.mapSceneToView(place).x()
                text = self.read(step)
                for line in self._pointer:
                    line.setPos(step)
                    line.setVisible(bool(text))
                if text:
                    QToolTip.showText(QCursor.pos(), text, self._canvas)
                return
        for line in self._pointer:
            line.setVisible(False)
        QToolTip.hideText()

    def leaveEvent(self, event: Any) -> None:
        """No pointer, no line."""
        super().leaveEvent(event)
        for line in self._pointer:
            line.setVisible(False)

    def _close_band(self, step: int) -> None:
        for region in self._bands[-1] if self._bands else ():
            region.setRegion((region.getRegion()[0], step))


def canvas_of_plots(height: int) -> Any:
    """A canvas for plots that takes the height that is left in a form, and ``height`` pixels at least."""
    canvas = pyqtgraph.GraphicsLayoutWidget()
    outlive_scene(canvas)
    canvas.setBackground(None)
    canvas.setMinimumHeight(height)
    # Its own hint is 480 px; in a form it takes what is left, and the rest of the form stays in view.
    canvas.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
    canvas.ci.layout.setContentsMargins(0, 0, 0, 0)
    canvas.ci.layout.setVerticalSpacing(2)
    return canvas


def quiet_plot(canvas: Any, row: int, name: str) -> Any:
    """A plot that the mouse cannot move, with its axis named."""
    plot = canvas.addPlot(row=row, col=0)
    plot.setLabel("left", name)
    plot.getAxis("left").setWidth(AXIS_WIDTH)
    plot.showGrid(y=True, alpha=0.15)
    plot.setMenuEnabled(False)
    plot.hideButtons()
    plot.setMouseEnabled(x=False, y=False)
    return plot


def dotted(plot: Any, colour: str, name: str | None = None) -> Any:
    """Add an empty line with a dot at every point: what is measured once an epoch."""
    curve = plot.plot([], [], pen=pyqtgraph.mkPen(colour, width=2), symbol="o", symbolSize=4, symbolPen=None, name=name)
    curve.setSymbolBrush(colour)
    # The legend draws its dots like this before there is a first point.
    curve.scatter.opts.update(size=4, brush=pyqtgraph.mkBrush(colour), pen=pyqtgraph.mkPen(None))
    return curve


def nearest(values: Sequence[float], wanted: float) -> int:
    """Index of the entry nearest to a value; ``values`` ascend."""
    right = min(bisect_left(values, wanted), len(values) - 1)
    return right - 1 if right > 0 and wanted - values[right - 1] < values[right] - wanted else right


class Smoothed:
    """Exponential moving average of a growing series, unbiased at the start (as Adam's: divided by 1 - weight^t)."""

    def __init__(self, weight: float = 0.9) -> None:
        self.values: list[float] = []
        self._weight, self._mean = weight, 0.0

    def extend(self, values: Sequence[float]) -> None:
        """Take more of the series."""
        for value in values:
            self._mean = self._weight * self._mean + (1 - self._weight) * value
            self.values.append(self._mean / (1 - self._weight ** (len(self.values) + 1)))
