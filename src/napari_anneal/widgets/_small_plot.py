"""Small plots of a form: they stay as they are drawn, and the names of their axes are in view."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QSizePolicy

from napari_anneal.widgets._scenes import outlive_scene

__all__ = ["name_below", "small_plot"]

# pyqtgraph lets the name of an axis hang out by this many pixels, where the canvas of a small plot cuts it off.
OVERHANG = 5


def small_plot(height: int) -> Any:
    """A plot of a fixed height, as wide as there is room for, that the mouse cannot move."""
    import pyqtgraph  # which is loaded for what is drawn, not for what may be

    plot = pyqtgraph.PlotWidget(background=None)
    outlive_scene(plot)
    plot.setFixedHeight(height)
    plot.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    plot.setMenuEnabled(False)
    plot.hideButtons()
    plot.setMouseEnabled(x=False, y=False)
    return plot


def name_below(plot: Any, name: str) -> None:
    """Name the horizontal axis of a plot (pyqtgraph's ``PlotItem`` or ``PlotWidget``)."""
    plot.setLabel("bottom", name)
    item = plot.getPlotItem() if hasattr(plot, "getPlotItem") else plot
    item.layout.setContentsMargins(1, 1, 1, 1 + OVERHANG)
