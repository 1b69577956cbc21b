"""What *Grain size* found: G in large, both methods beside each other, notes, and the histogram of the grains."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_anneal.validation.grains.grain_page import KIND_COLOURS, LINE_COLOUR, number
from napari_anneal.widgets._form import WrappedLabel
from napari_anneal.widgets._small_plot import name_below, small_plot

if TYPE_CHECKING:
    from napari_anneal.validation import GrainSize
    from napari_anneal.validation.grains import Estimate

__all__ = ["GrainView", "headline"]

HEIGHT = 170
NUMBER, AREA, FIT = "#56b4e9", "#e69f00", "#b0b8c0"


def headline(size: GrainSize) -> str:
    """The result in one sentence."""
    intercept = f"{size.intercept.value:.4g} px"
    if size.spacing_um is None:
        return f"Mean intercept {intercept}; no pixel size, so no G and nothing in µm."
    return (
        f"G = {_with_interval(size.g, size.g_interval)}, mean intercept {size.mean_intercept_um:.4g} µm = {intercept}."
    )


class GrainView(QWidget):
    """Empty until something is measured."""

    def __init__(self) -> None:
        super().__init__()
        self.title = WrappedLabel()
        self.table = QLabel()
        self.table.setTextFormat(Qt.TextFormat.RichText)
        self.table.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.table.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.shape = WrappedLabel()
        space = "&nbsp;"
        marks = " &nbsp; ".join(
            f"<span style='color:{c}'>●</span>&nbsp;{kind.replace(' ', space)}" for kind, c in KIND_COLOURS.items()
        )
        self.key = WrappedLabel(f"<span style='color:{LINE_COLOUR}'>▬</span>&nbsp;test&nbsp;line &nbsp; {marks}")
        self.key.setToolTip("A crossing or tangent counts 1, a triple point 1½ (2 on circles), a line end ½.")
        self.notes = WrappedLabel()
        self.notes.setStyleSheet("color: #ffb74d;")
        self.caption = WrappedLabel(
            f"<span style='color:{NUMBER}'>■</span> share of the grains &nbsp; "
            f"<span style='color:{AREA}'>▬</span> of their area &nbsp; <span style='color:{FIT}'>▬</span> log-normal"
        )
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 4, 0, 0)
        for part in (self.title, self.table, self.key, self.shape, self.notes, self.caption):
            self._column.addWidget(part)
        self._plot: Any = None
        self.setVisible(False)

    def show_size(self, size: GrainSize) -> None:
        """Show another result."""
        self.setVisible(True)
        self.title.setText(f"<b style='font-size:large'>{html.escape(headline(size))}</b>")
        self.table.setText(_table(size))
        self.key.setVisible(bool(size.hand_counts))
        self.shape.setText(_shape(size))
        self.notes.setText("\n".join(f"{note[:1].upper()}{note[1:]}" for note in size.notes))
        self.notes.setVisible(bool(size.notes))
        self._draw(size)

    def _draw(self, size: GrainSize) -> None:
        import pyqtgraph

        if self._plot is None:
            self._plot = small_plot(HEIGHT)
            self._plot.setLabel("left", "%")
            self._column.addWidget(self._plot)
        plot = self._plot
        plot.clear()
        median, sigma = size.log_normal
        for part in (self.caption, plot):
            part.setVisible(math.isfinite(median))
        if not math.isfinite(median):
            return
        unit, pixel = ("px", 1.0) if size.spacing_um is None else ("µm", size.pixel_um)
        edges, shares = size.histogram()
        _, area = size.histogram(weighted_by="area")
        at = edges * pixel
        plot.addItem(pyqtgraph.BarGraphItem(x0=at[:-1], x1=at[1:], height=100 * shares, brush=NUMBER, pen="#0003"))
        plot.plot((at[:-1] + at[1:]) / 2, 100 * area, pen=pyqtgraph.mkPen(AREA, width=2))
        if sigma > 0:
            x = np.linspace(edges[-1] / 400, edges[-1], 200)
            density = size.log_normal_density(x)
            pen = pyqtgraph.mkPen(FIT, width=2, style=Qt.PenStyle.DashLine)
            plot.plot(x * pixel, 100 * density * (edges[1] - edges[0]), pen=pen)
        name_below(plot, f"equivalent diameter ({unit})")
        plot.setXRange(0, at[-1], padding=0.01)


def _table(size: GrainSize) -> str:
    """Both methods, one column each."""
    known, pixel = size.spacing_um is not None, 1.0 if size.spacing_um is None else size.pixel_um
    columns = [("intercepts", size.intercept, "px", 1), ("counting", size.planimetric, "px²", 2)]
    rows = [("mean", [number(e.value, unit) for _, e, unit, _ in columns])]
    if known:
        scaled = [number(e.value * pixel**power, unit.replace("px", "µm")) for _, e, unit, power in columns]
        numbers = (size.g, size.g_interval), (size.g_planimetric, size.g_planimetric_interval)
        rows += [("", scaled), ("G", [_with_interval(*one) for one in numbers])]
    rows.append(("accuracy", [_accuracy(e) for _, e, _, _ in columns]))
    rows.append(("counted", [f"{e.count:,.0f}" for _, e, _, _ in columns]))
    if size.hand_counts:
        met = sum(count.intersections for count in size.hand_counts)
        by_hand = f"{number(size.mean_intercept_by_hand * pixel, 'µm' if known else 'px')} ({met:g} intersections)"
        rows.append(("by hand", [by_hand, ""]))
    head = "".join(f"<th align='left'>{name}</th>" for name, *_ in columns)
    body = "".join(
        f"<tr><td style='color:gray'>{name}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        for name, cells in rows
    )
    return f"<table cellspacing='0' cellpadding='3'><tr><th></th>{head}</tr>{body}</table>"


def _shape(size: GrainSize) -> str:
    """Grains, aspect ratio and anisotropy."""
    said = [f"{size.whole} whole grains, {size.cut} cut by the edge"]
    if math.isfinite(size.aspect_ratio):
        said.append(f"aspect ratio {size.aspect_ratio:.2f}")
    if math.isfinite(size.anisotropy):
        said.append(f"anisotropy {size.anisotropy:.2f}")
    return "; ".join(said) + "."


def _accuracy(estimate: Estimate) -> str:
    percent = estimate.relative_accuracy_percent
    return f"±{percent:.1f} %" if math.isfinite(percent) else "n/a"


def _with_interval(value: float, ends: tuple[float, float]) -> str:
    """A G number with its interval."""
    if not math.isfinite(value):
        return "n/a"
    return f"{value:.2f}" + (f" ({ends[0]:.2f}–{ends[1]:.2f})" if math.isfinite(sum(ends)) else "")
