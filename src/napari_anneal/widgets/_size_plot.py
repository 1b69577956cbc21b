"""Histogram of grain sizes (or of object diameters) beside the distribution that was asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_anneal.widgets._small_plot import name_below, small_plot

if TYPE_CHECKING:
    from napari_anneal.synthesis import Microstructure, MicrostructureRecipe

__all__ = ["SizePlot", "Sizes", "measured", "target"]

HEIGHT = 150
MADE, TARGET = "#56b4e9", "#ffb74d"
FEWEST = 8

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Target:
    """A distribution of sizes over their mean: what it is called, its coefficient of variation and its density."""

    name: str
    cv: float
    density: Callable[[Floats], Floats]


@dataclass(frozen=True)
class Sizes:
    """Sizes in pixels, what they are, and what was asked for."""

    values: Floats
    what: str
    unit: str
    target: Target | None

    @property
    def mean(self) -> float:
        """Mean size; NaN where there is none."""
        return float(self.values.mean()) if self.values.size else math.nan

    @property
    def cv(self) -> float:
        """Coefficient of variation: standard deviation over mean."""
        return float(self.values.std() / self.values.mean()) if self.values.size else math.nan

    @property
    def words(self) -> str:
        """Mean and variation, made and asked for, in one line."""
        if self.values.size < FEWEST:
            return f"{self.values.size} {self.what}: too few for a distribution."
        shown = f"{self.mean:.0f}" if self.mean >= 100 else f"{self.mean:.3g}"
        asked = "" if self.target is None else f"; {self.target.name}: {self.target.cv:.2f}"
        return f"{self.values.size} {self.what}: mean {shown} {self.unit}, variation {self.cv:.2f}{asked}"


def measured(made: Microstructure) -> Sizes:
    """Areas (volumes in 3D) of the grains in pixels, or equivalent diameters of the objects; cut ones as they are."""
    counts = np.bincount(made.grains.ravel())[1:]
    objects = made.recipe.kind != "grains"
    counts = counts[1:] if objects else counts  # the first is the matrix
    values = counts[counts > 0].astype(np.float64)
    ndim = made.grains.ndim
    if objects:
        values = (values * (4 / np.pi)) ** 0.5 if ndim == 2 else (values * (6 / np.pi)) ** (1 / 3)
        return Sizes(values, "diameters", "px", None)
    what, unit = ("grain areas", "px²") if ndim == 2 else ("grain volumes", "px³")
    return Sizes(values, what, unit, target(made.recipe))


def target(recipe: MicrostructureRecipe) -> Target | None:
    """The distribution of grain sizes that a recipe asks for, or that its seeds are known to give.

    Log-normal where `size_cv` prescribes it. Of uniform random seeds the cells are Poisson-Voronoi; their sizes over
    the mean follow a gamma distribution of shape (3d + 1) / 2 closely (Ferenc & Néda, Physica A 385, 2007, 518).
    """
    if recipe.growth.method != "none" or recipe.kind != "grains":
        return None
    if recipe.size_cv:
        sigma = math.sqrt(math.log1p(recipe.size_cv**2))
        return Target("log-normal target", recipe.size_cv, lambda x: _log_normal(x, sigma))
    plain = recipe.placement == "random" and recipe.lloyd_rounds == 0 and recipe.size_dispersion == 0
    if not plain or recipe.target_sizes is not None or recipe.size_cv is not None:
        return None
    shape = (3 * len(recipe.shape) + 1) / 2
    return Target("Poisson-Voronoi", 1 / math.sqrt(shape), lambda x: _gamma(x, shape))


def _log_normal(x: Floats, sigma: float) -> Floats:
    """Log-normal density of mean 1."""
    z = (np.log(x) + sigma**2 / 2) / sigma
    return np.asarray(np.exp(-(z**2) / 2) / (x * sigma * math.sqrt(2 * math.pi)))


def _gamma(x: Floats, shape: float) -> Floats:
    """Gamma density of mean 1."""
    return np.asarray(np.exp(shape * math.log(shape) - math.lgamma(shape) + (shape - 1) * np.log(x) - shape * x))


class SizePlot(QWidget):
    """Bars of what was made, a line of what was asked for, and both in words."""

    def __init__(self) -> None:
        super().__init__()
        self.words = QLabel("Sizes appear with the preview.")
        self.words.setWordWrap(True)
        self.words.setToolTip("Variation: standard deviation over mean.")
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addWidget(self.words)
        self._plot: Any = None
        self._sizes: Sizes | None = None

    def show_sizes(self, sizes: Sizes) -> None:
        """Show other sizes; they are drawn when the plot is in view."""
        self._sizes = sizes
        self.words.setText(sizes.words)
        if self.isVisible():
            self._draw()

    def showEvent(self, event: Any) -> None:
        """Draw what has come while the plot was folded away."""
        super().showEvent(event)
        self._draw()

    def _draw(self) -> None:
        import pyqtgraph

        if self._plot is None:
            self._plot = small_plot(HEIGHT)
            self._plot.getAxis("left").setStyle(showValues=False)
            self._plot.getAxis("left").setWidth(12)
            name_below(self._plot, "size / mean size")
            self._plot.setToolTip("Bars: the preview. Line: what was asked for, or what such seeds are known to give.")
            self._column.addWidget(self._plot)
        self._plot.clear()
        sizes = self._sizes
        if sizes is None or sizes.values.size < FEWEST:
            return
        relative = sizes.values / sizes.mean
        last = max(2.0, float(np.quantile(relative, 0.995)) * 1.1)
        bars = int(np.clip(2 * math.sqrt(relative.size), 8, 40))
        density, edges = np.histogram(relative, bins=bars, range=(0.0, last))
        density = density / (relative.size * (edges[1] - edges[0]))
        edge = pyqtgraph.mkPen("#0003")
        bars_item = pyqtgraph.BarGraphItem(x0=edges[:-1], x1=edges[1:], height=density, brush=MADE, pen=edge)
        self._plot.addItem(bars_item)
        if sizes.target is not None:
            x = np.linspace(last / 400, last, 200)
            self._plot.plot(x, sizes.target.density(x), pen=pyqtgraph.mkPen(TARGET, width=2))
        self._plot.setXRange(0, last, padding=0.01)
