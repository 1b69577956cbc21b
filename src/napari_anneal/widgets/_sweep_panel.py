"""The learning-rate sweep in *Fine-tune*: loss over rate as it is tried, and the suggestion to take or leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_anneal.widgets._form import WrappedLabel
from napari_anneal.widgets._plots import canvas_of_plots, quiet_plot
from napari_anneal.widgets._rate_plot import GROUP_COLOURS
from napari_anneal.widgets._small_plot import name_below

if TYPE_CHECKING:
    from napari_anneal.training import FineTuneRecipe, RateCurve

__all__ = ["SweepPanel", "SweepStep", "Swept", "changed_rates"]

HEIGHT = 150


@dataclass(frozen=True)
class SweepStep:
    """One step of a sweep: learning rate of the head, loss, and how far the sweep is."""

    rate: float
    loss: float
    done: int
    total: int


@dataclass(frozen=True)
class Swept:
    """A sweep that is over, and the recipe that it was made with."""

    recipe: FineTuneRecipe
    curve: RateCurve


class SweepPanel(QWidget):
    """Hidden until a sweep begins.

    Signals
    -------
    accepted : dict
        (Stage from 0, layer group) → the rate that the suggestion gives it, for every rate that changes.
    """

    accepted = Signal(dict)

    def __init__(self) -> None:
        super().__init__()
        self._canvas = canvas_of_plots(HEIGHT)
        self._canvas.setFixedHeight(HEIGHT)
        self._canvas.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._plot = quiet_plot(self._canvas, 0, "loss")
        self._plot.setLogMode(x=True)
        name_below(self._plot, "learning rate of the head")
        self._plot.getAxis("bottom").enableAutoSIPrefix(False)
        self._raw = self._plot.plot([], [], pen=pyqtgraph.mkPen("#8a8d93", width=1))
        self._smooth = self._plot.plot([], [], pen=pyqtgraph.mkPen("#8fb8ff", width=2.5))
        self._mark = pyqtgraph.InfiniteLine(
            angle=90, pen=pyqtgraph.mkPen(GROUP_COLOURS["head"], width=2, style=Qt.PenStyle.DashLine)
        )
        self._plot.addItem(self._mark, ignoreBounds=True)
        self.sentence = WrappedLabel()
        self.accept = QPushButton("Take this rate")
        self.accept.setToolTip(
            "Scale the rates of the recipe so that the head gets the suggested one; stages with another optimizer "
            "stay. The plan shows the new rates, and “Preset’s rates” takes them back."
        )
        self.accept.clicked.connect(self._accept)
        self.dismiss = QPushButton("Dismiss")
        self.dismiss.setToolTip("Leave the rates as they are.")
        self.dismiss.clicked.connect(self.clear)
        buttons = QHBoxLayout()
        buttons.addWidget(self.accept)
        buttons.addWidget(self.dismiss)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self._canvas)
        layout.addWidget(self.sentence)
        layout.addLayout(buttons)
        self.setToolTip(
            "Loss at every learning rate tried, from small to large (grey), and smoothed (blue). The dashed line is "
            "where the smoothed loss falls fastest (Smith 2017). The network tried on is thrown away."
        )
        self.clear()

    def begin(self) -> None:
        """A sweep begins."""
        self.clear()
        self.sentence.setText("Trying learning rates from small to large …")
        self.setVisible(True)

    def listen(self, events: Sequence[Any]) -> SweepStep | None:
        """Draw what a sweep told; returns its last step."""
        steps = [event for event in events if isinstance(event, SweepStep)]
        if not steps:
            return None
        self._rates.extend(step.rate for step in steps)
        self._losses.extend(step.loss for step in steps)
        self._raw.setData(self._rates, self._losses)
        return steps[-1]

    def finish(self, swept: Swept) -> None:
        """The sweep is over: mark its suggestion, if it has one."""
        self._swept, curve = swept, swept.curve
        self._raw.setData(curve.rates, curve.losses)
        self._smooth.setData(curve.rates, curve.smoothed)
        self.sentence.setText(curve.sentence)
        found = curve.suggestion is not None
        self._mark.setVisible(found)
        if found:
            self._mark.setPos(np.log10(curve.suggestion))
        self.accept.setVisible(found)
        self.dismiss.setVisible(True)

    def clear(self, *_: Any) -> None:
        """No sweep, or one that is no longer of use."""
        self.setVisible(False)
        self._rates: list[float] = []
        self._losses: list[float] = []
        self._swept: Swept | None = None
        for curve in (self._raw, self._smooth):
            curve.setData([], [])
        for part in (self._mark, self.accept, self.dismiss):
            part.setVisible(False)

    def _accept(self) -> None:
        if self._swept is not None:
            changes = changed_rates(self._swept)
            self.clear()
            self.accepted.emit(changes)


def changed_rates(swept: Swept) -> dict[tuple[int, str], float]:
    """Every rate that taking the suggestion over changes."""
    from napari_anneal.training import with_head_rate

    after = with_head_rate(swept.recipe, swept.curve.suggestion)
    return {
        (number, group): rate
        for number, (old, new) in enumerate(zip(swept.recipe.stages, after.stages, strict=True))
        for group, rate in new.rates.items()
        if rate != old.rates[group]
    }
