"""The learning rate of every layer group over all stages of a run that is planned, on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph
from qtpy.QtCore import QPointF, Qt
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_anneal.widgets._form import WrappedLabel
from napari_anneal.widgets._plots import canvas_of_plots, quiet_plot
from napari_anneal.widgets._small_plot import name_below
from napari_anneal.widgets._stage_band import Span, StageBand

__all__ = ["GROUP_COLOURS", "RatePlot", "in_words"]

# Okabe and Ito's colours, from the head down; with the dashes they can be told apart without colours too.
GROUP_COLOURS = {
    "head": "#d55e00",
    "layer4": "#e69f00",
    "layer3": "#009e73",
    "layer2": "#56b4e9",
    "stem+layer1": "#cc79a7",
}
DASHES = {
    "head": Qt.PenStyle.SolidLine,
    "layer4": Qt.PenStyle.DashLine,
    "layer3": Qt.PenStyle.DashDotLine,
    "layer2": Qt.PenStyle.DotLine,
    "stem+layer1": Qt.PenStyle.DashDotDotLine,
}
LINES = {"head": "━━", "layer4": "╸╸", "layer3": "╸·", "layer2": "···", "stem+layer1": "╸··"}
WORDS = {"head": "head", "layer4": "layer 4", "layer3": "layer 3", "layer2": "layer 2", "stem+layer1": "stem, layer 1"}
HEIGHT = 170
# More points a stage than this only cost redraws.
SHOWN_POINTS = 300
# A cosine ends near zero, which is far down on a logarithmic axis: less than this share of the least peak is cut off.
FLOOR = 0.02


class RatePlot(QWidget):
    """Curves over optimizer steps, the stages as a band above; groups that always share a rate share a curve."""

    def __init__(self) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        self._canvas = canvas_of_plots(HEIGHT)
        self._canvas.setFixedHeight(HEIGHT)
        self._canvas.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._plot = quiet_plot(self._canvas, 0, "learning rate")
        self._plot.setLogMode(y=True)
        name_below(self._plot, "optimizer step")
        self._plot.getAxis("left").setWidth(66)
        self._plot.getAxis("left").enableAutoSIPrefix(False)
        # Beside the curves there is no place that is free in every recipe, so the legend lies below.
        self.legend = WrappedLabel()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.band = StageBand(lambda step: self._plot.vb.mapViewToScene(QPointF(step, 0)).x())
        for changed in (self._plot.vb.sigRangeChanged, self._plot.vb.sigResized):
            changed.connect(lambda *_: self.band.update())
        layout.addWidget(self.band)
        layout.addWidget(self._canvas)
        layout.addWidget(self.legend)
        self.curves: dict[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]] = {}
        self.setToolTip(
            "Learning rate of every layer group at every optimizer step. A group without a curve in a stage is frozen "
            "there: it does not change."
        )

    def show_stages(self, stages: Sequence[Mapping[str, Any]]) -> None:
        """Show the stages of a ``RunPlan``."""
        self._plot.clear()
        self.curves = _curves(stages)
        for name, (steps, rates) in self.curves.items():
            newest = name.split(" = ")[0]
            pen = pyqtgraph.mkPen(GROUP_COLOURS[newest], width=2.5, style=DASHES[newest])
            self._plot.plot(steps, rates, pen=pen, connect="finite")
        self.legend.setText(" &nbsp; ".join(map(_entry, self.curves)))
        ends = np.cumsum([0, *(stage["steps"] for stage in stages)])
        for end in ends[1:-1]:
            self._plot.addItem(pyqtgraph.InfiniteLine(end, angle=90, pen=pyqtgraph.mkPen("#88888888")))
        peaks = [max(rates) for stage in stages for rates in stage["rates"].values()]
        if peaks:
            self._plot.setXRange(0, ends[-1], padding=0.01)
            self._plot.setYRange(np.log10(min(peaks) * FLOOR), np.log10(max(peaks) * 2.5), padding=0)
        self.band.reset([Span(s["name"], ends[i], ends[i + 1]) for i, s in enumerate(stages)])


def _curves(stages: Sequence[Mapping[str, Any]]) -> dict[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """Steps and rates by group; groups with the same rates throughout under one name, joined by " = "."""
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in GROUP_COLOURS}
    first = 0
    for stage in stages:
        steps = np.unique(np.linspace(0, stage["steps"] - 1, min(SHOWN_POINTS, stage["steps"])).round().astype(int))
        for name, (xs, ys) in found.items():
            rates = stage["rates"].get(name)
            if rates is not None:
                # A constant rate of one step is a short line, not a point that nobody sees.
                xs.extend([*(first + steps), first + stage["steps"]])
                ys.extend([*(rates[i] for i in steps), rates[-1]])
            xs.append(first + stage["steps"])
            ys.append(np.nan)
        first += stage["steps"]
    merged: dict[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]] = {}
    for name, (xs, ys) in found.items():
        if not np.isfinite(ys).any():
            continue
        for other, (seen_x, seen_y) in merged.items():
            if np.array_equal(seen_x, xs) and np.array_equal(seen_y, ys, equal_nan=True):
                merged[f"{other} = {name}"] = merged.pop(other)
                break
        else:
            merged[name] = np.array(xs), np.array(ys)
    return merged


def _entry(name: str) -> str:
    """Legend of one curve: its line and what it is of."""
    newest, *_ = groups = name.split(" = ")
    line = f'<span style="color:{GROUP_COLOURS[newest]}"><b>{LINES[newest]}</b></span>'
    return f'<span style="white-space:nowrap">{line} {in_words(groups)}</span>'


def in_words(groups: Sequence[str]) -> str:
    """Layer groups as a legend says them: ``layer 4, layer 3``."""
    return ", ".join(WORDS.get(group, group) for group in groups)
