"""What `grain_size` found: sizes in pixels and micrometres, G with its interval, sizes of single grains."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.validation.grains.e112 import g_from_count, g_from_intercept
from napari_anneal.validation.grains.hand_count import HandCount

__all__ = ["Estimate", "GrainSize"]

FloatArray = npt.NDArray[np.float64]
FEWEST_BARS, MOST_BARS = 8, 24


@dataclass(frozen=True)
class Estimate:
    """A mean over fields with its 95 % confidence interval (E112-13, section 15).

    Attributes
    ----------
    value
        Mean intercept, px, or mean area of a section, px².
    density
        What was counted: intercepts per px of line, or grains per px² of area.
    half_width
        95 % confidence interval of ``density``: ± this; ``nan`` for fewer than two fields.
    count
        Crossings or grains that were counted.
    extent
        Length of lines, px, or area, px².
    fields
        Number of fields (images, or parts of one).
    """

    value: float
    density: float
    half_width: float
    count: float
    extent: float
    fields: int

    @property
    def relative_accuracy_percent(self) -> float:
        """% RA: half of the confidence interval over the mean. E112 calls 10 % acceptable."""
        return 100 * self.half_width / self.density

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of ``value``."""
        if not math.isfinite(self.half_width):
            return math.nan, math.nan
        low = self.density - self.half_width
        return 1 / (self.density + self.half_width), 1 / low if low > 0 else math.inf


@dataclass(frozen=True, eq=False)
class GrainSize:
    """Grain size of one or several fields. Lengths in px are those of the last axis.

    Attributes
    ----------
    intercept
        Mean lineal intercept over all directions.
    planimetric
        Mean area of a grain's section from the number of grains; its value is ``nan`` where no grain is whole.
    directions, intercepts
        Unit vectors ``(D, ndim)`` along (Z,) Y, X and the mean intercept along each, px (none for circles).
    principal, principal_directions
        px ``(ndim,)``, longest first, and unit vectors ``(ndim, ndim)`` in rows: the mean intercepts along the axes of
        the ellipse (ellipsoid) that fits those of all directions; exact for grains that were stretched.
    diameter
        Diameters of the disks (balls) as large as each whole grain, px.
    grain_weight
        Weights of the whole grains that correct for large ones being cut more often (Miles 1974); sum 1.
    grain_aspect_ratio
        Long over short axis of each whole grain.
    whole, cut
        Number of grains inside the field, and cut by its edge or by a mask.
    ndim
        2 or 3.
    test_lines
        ``lines`` or ``circles``.
    spacing_um
        Pixel size along each axis, µm; ``None``: unknown.
    notes
        What a reader should know about how this was got.
    hand_counts
        For each section (2D): what a person would count along a few test lines; empty for volumes.
    """

    intercept: Estimate
    planimetric: Estimate
    directions: FloatArray
    intercepts: FloatArray
    principal: FloatArray
    principal_directions: FloatArray
    diameter: FloatArray
    grain_weight: FloatArray
    grain_aspect_ratio: FloatArray
    whole: int
    cut: int
    ndim: int
    test_lines: str
    spacing_um: tuple[float, ...] | None
    notes: tuple[str, ...] = ()
    hand_counts: tuple[HandCount, ...] = ()

    @property
    def mean_intercept_by_hand(self) -> float:
        """Mean intercept that a person would find along the few test lines, px; ``nan`` for volumes."""
        met = sum(count.intersections for count in self.hand_counts)
        return sum(count.length for count in self.hand_counts) / met if met else math.nan

    @property
    def pixel_um(self) -> float:
        """Size of a pixel along the last axis, µm; `InputError` where it is unknown."""
        if self.spacing_um is None:
            raise InputError(
                "the pixel size is not known, so there is no grain size in µm and no G; give spacing_um, the size of a "
                "pixel in micrometres."
            )
        return self.spacing_um[-1]

    @property
    def mean_intercept_um(self) -> float:
        """Mean lineal intercept, µm."""
        return self.intercept.value * self.pixel_um

    @property
    def mean_area_um2(self) -> float:
        """Mean area of a grain's section, µm²."""
        return self.planimetric.value * self.pixel_um**2

    @property
    def g(self) -> float:
        """ASTM grain size number by intercepts."""
        return g_from_intercept(self.mean_intercept_um / 1000)

    @property
    def g_interval(self) -> tuple[float, float]:
        """95 % confidence interval of `g`."""
        short, long = self.intercept.interval
        return g_from_intercept(long * self.pixel_um / 1000), g_from_intercept(short * self.pixel_um / 1000)

    @property
    def g_planimetric(self) -> float:
        """ASTM grain size number by counting grains."""
        return g_from_count(1e6 / self.mean_area_um2)

    @property
    def g_planimetric_interval(self) -> tuple[float, float]:
        """95 % confidence interval of `g_planimetric`."""
        small, large = self.planimetric.interval
        return tuple(g_from_count(1e6 / (area * self.pixel_um**2)) for area in (large, small))  # type: ignore[return-value]

    @property
    def anisotropy(self) -> float:
        """Longest over shortest principal intercept, 1 for equiaxed grains (E112's anisotropy index)."""
        return float(self.principal[0] / self.principal[-1]) if len(self.principal) else math.nan

    @property
    def aspect_ratio(self) -> float:
        """Mean aspect ratio of the whole grains; ``nan`` where there is none."""
        return float(self.grain_weight @ self.grain_aspect_ratio) if len(self.diameter) else math.nan

    @property
    def log_normal(self) -> tuple[float, float]:
        """Median diameter in px and standard deviation of its logarithm: the log-normal that fits the whole grains.

        ``nan`` for fewer than two grains.
        """
        if len(self.diameter) < 2:
            return math.nan, math.nan
        logs = np.log(self.diameter)
        middle = float(self.grain_weight @ logs)
        return math.exp(middle), math.sqrt(float(self.grain_weight @ (logs - middle) ** 2))

    def log_normal_density(self, diameter: FloatArray) -> FloatArray:
        """Density per px of that log-normal at diameters above 0, px."""
        median, sigma = self.log_normal
        z = np.log(diameter / median) / sigma
        return np.asarray(np.exp(-(z**2) / 2) / (diameter * sigma * math.sqrt(2 * math.pi)), dtype=np.float64)

    def histogram(
        self, bins: int | None = None, weighted_by: Literal["number", "area"] = "number"
    ) -> tuple[FloatArray, FloatArray]:
        """Share of grains by diameter: edges ``(bins + 1,)`` in px, shares ``(bins,)`` that sum to 1.

        ``bins=None``: 8 to 24, by the number of grains; fewer grains in more bins are noise.

        ``weighted_by="area"`` (volume in 3D): the share of the area that grains of such a diameter fill, as E1181 and
        EBSD standards report it beside the share of their number.
        """
        if bins is not None and bins < 1:
            raise InputError(f"a histogram of {bins} bins cannot be made; give 1 or more.")
        if weighted_by not in ("number", "area"):
            raise InputError(f"weighted_by={weighted_by!r} is not known; a histogram is by 'number' or by 'area'.")
        return self._shares(self.diameter, bins, 0.0, self.ndim if weighted_by == "area" else 0)

    def aspect_histogram(self, bins: int | None = None) -> tuple[FloatArray, FloatArray]:
        """Share of grains by aspect ratio: edges ``(bins + 1,)`` from 1 on, shares ``(bins,)`` that sum to 1."""
        return self._shares(self.grain_aspect_ratio, bins, 1.0, 0)

    def _shares(self, values: FloatArray, bins: int | None, low: float, power: int) -> tuple[FloatArray, FloatArray]:
        if bins is None:
            bins = int(np.clip(1.3 * math.sqrt(len(values)), FEWEST_BARS, MOST_BARS))
        weight = self.grain_weight * self.diameter**power
        top = max(float(values.max()), low * (1 + 1e-9)) if len(values) else low + 1.0
        shares, edges = np.histogram(values, bins, (low, top), weights=weight)
        return edges, shares.astype(np.float64) / (weight.sum() or 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON; ``None`` for n/a, and for all that needs a pixel size where there is none."""
        known = self.spacing_um is not None
        edges, shares = self.histogram()
        aspect_edges, aspect_shares = self.aspect_histogram()
        median, sigma = self.log_normal
        found: dict[str, Any] = {
            "dimensions": self.ndim,
            "spacing_um": list(self.spacing_um) if self.spacing_um is not None else None,
            "grains": {"whole": self.whole, "cut": self.cut},
            "intercept": {
                "lines": self.test_lines,
                **_estimate(self.intercept, "px"),
                "mean_um": _plain(self.mean_intercept_um) if known else None,
                "g": _plain(self.g) if known else None,
                "g_interval_95": [_plain(g) for g in self.g_interval] if known else None,
                "by_direction": [
                    {"direction": vector.tolist(), "mean_px": _plain(length)}
                    for vector, length in zip(self.directions, self.intercepts, strict=True)
                ],
            },
            "planimetric": {
                **_estimate(self.planimetric, "px2"),
                "mean_um2": _plain(self.mean_area_um2) if known else None,
                "g": _plain(self.g_planimetric) if known else None,
                "g_interval_95": [_plain(g) for g in self.g_planimetric_interval] if known else None,
            },
            "by_hand": [_hand(count) for count in self.hand_counts],
            "anisotropy": _plain(self.anisotropy),
            "principal_intercepts_px": [_plain(v) for v in self.principal],
            "principal_directions": self.principal_directions.tolist(),
            "aspect_ratio": _plain(self.aspect_ratio),
            "diameter_histogram": {
                "edges_px": edges.tolist(),
                "shares": shares.tolist(),
                "shares_of_area": self.histogram(weighted_by="area")[1].tolist(),
            },
            "log_normal": {"median_px": _plain(median), "sigma": _plain(sigma)},
            "aspect_ratio_histogram": {"edges": aspect_edges.tolist(), "shares": aspect_shares.tolist()},
            "notes": list(self.notes),
        }
        return found

    def to_csv(self) -> str:
        """One row a whole grain: equivalent diameter, aspect ratio, and its weight against the loss of large ones."""
        known = self.spacing_um is not None
        rows = ["diameter_px,diameter_um,aspect_ratio,weight"]
        for size, aspect, weight in zip(self.diameter, self.grain_aspect_ratio, self.grain_weight, strict=True):
            rows.append(f"{size:.6g},{f'{size * self.pixel_um:.6g}' if known else ''},{aspect:.6g},{weight:.6g}")
        return "\n".join(rows) + "\n"

    def __str__(self) -> str:
        """Return what a person reads."""
        lines = [
            f"{self.whole} whole grains, {self.cut} cut by the edge",
            _line("mean intercept", self.intercept, "px", self.test_lines),
            _line("mean grain section", self.planimetric, "px²", "planimetric"),
        ]
        if self.spacing_um is not None:
            lines[1] += f"\n  = {self.mean_intercept_um:.4g} µm, {_g(self.g, self.g_interval)}"
            lines[2] += f"\n  = {self.mean_area_um2:.4g} µm², {_g(self.g_planimetric, self.g_planimetric_interval)}"
        if self.hand_counts:
            lines.append(
                f"by hand, along {sum(len(count.lines) for count in self.hand_counts)} test lines: "
                f"{sum(count.intersections for count in self.hand_counts):g} intersections, mean intercept "
                f"{_short(self.mean_intercept_by_hand)} px"
            )
        if len(self.principal):
            axes = " × ".join(f"{length:.4g}" for length in self.principal)
            lines.append(f"anisotropy {self.anisotropy:.3f} (mean intercepts {axes} px along its axes)")
        lines.append(f"aspect ratio of the whole grains {_short(self.aspect_ratio)}")
        return "\n".join([*lines, *(f"note: {text}" for text in self.notes)])


def _line(name: str, estimate: Estimate, unit: str, how: str) -> str:
    low, high = estimate.interval
    span = f"95 % interval {_short(low)}–{_short(high)}, ±{estimate.relative_accuracy_percent:.1f} %"
    known = math.isfinite(estimate.half_width)
    return f"{name} {_short(estimate.value)} {unit} ({how}{f'; {span}' if known else ''})"


def _g(g: float, interval: tuple[float, float]) -> str:
    if not math.isfinite(g):
        return "no G"
    low, high = interval
    return f"G = {g:.2f}" + (f" ({low:.2f}–{high:.2f})" if math.isfinite(low + high) else "")


def _estimate(estimate: Estimate, unit: str) -> dict[str, Any]:
    return {
        f"mean_{unit}": _plain(estimate.value),
        f"interval_95_{unit}": [_plain(v) for v in estimate.interval],
        "relative_accuracy_percent": _plain(estimate.relative_accuracy_percent),
        "counted": _plain(estimate.count),
        "fields": estimate.fields,
    }


def _hand(count: HandCount) -> dict[str, Any]:
    kinds = dict(sorted(Counter(count.kinds).items()))
    return {
        "lines": len(count.lines),
        "length_px": count.length,
        "intersections": count.intersections,
        "intercepts": count.intercepts,
        "mean_px": _plain(count.mean_intercept),
        "met": kinds,
    }


def _short(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "n/a"


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
