"""The name below a plot, all of it in view."""

from __future__ import annotations

from typing import Any

__all__ = ["name_below"]

# pyqtgraph lets the name of an axis hang out by this many pixels, where the canvas of a small plot cuts it off.
OVERHANG = 5


def name_below(plot: Any, name: str) -> None:
    """Name the horizontal axis of a plot (pyqtgraph's ``PlotItem`` or ``PlotWidget``)."""
    plot.setLabel("bottom", name)
    item = plot.getPlotItem() if hasattr(plot, "getPlotItem") else plot
    item.layout.setContentsMargins(1, 1, 1, 1 + OVERHANG)
