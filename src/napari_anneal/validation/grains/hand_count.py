"""How a person counts after ASTM E112: test lines or circles over the section, and every intersection with its score.

The rules (E112-13, sections 13 and 14): a grain boundary that the line crosses, or only touches (tangent), is 1
intersection; a point where three grains meet is 1½, on circles 2; an end of a line that just touches a boundary is ½,
an end within a grain nothing. Counted as intercepts, a stretch of line over one grain is 1 and the stretch up to an end
½; a line of no width has as many intercepts as it crosses boundaries.

A line of no width touches nothing and meets no triple point, so the rules need a width: what comes nearer than
``REACH_PX`` counts as met. Then they are right on average: a line that passes a triple point on one side crosses two
boundaries, on the other side one; 1½ is the mean. One that comes near a bulge crosses its boundary twice or not at all;
1 is the mean. The 2 of circles is ½ too much for each such point, which is little where grains are large beside the
reach, and 6 % of the count where they are 20 px wide; so `circles` are for comparing with counts made by hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_anneal.validation.grains.intercepts import CIRCLES, circles_of

__all__ = ["REACH_PX", "HandCount", "TestLine", "circle_pattern", "count_by_hand", "line_pattern"]

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int32]
Kind = Literal["crossing", "tangent", "triple point", "line end"]

# A boundary drawn through pixels steps by up to half of one to either side.
REACH_PX = 0.75
# A line that runs beside the steps of a boundary leaves it only when it is farther away than they are high.
STEPS_PX = 0.75
SAMPLES_A_PX = 4
# E112 asks for 50 intersections a field and more for a good relative accuracy.
WANTED = 100
FAMILIES_DEG = (0.0, 45.0, 90.0, 135.0)


@dataclass(frozen=True, eq=False)
class TestLine:
    """A test line: float64 ``(n, 2)`` points (Y, X) in pixels, and whether it closes (a circle)."""

    points: FloatArray
    closed: bool = False

    # Not a test, whatever its name begins with.
    __test__ = False


@dataclass(frozen=True, eq=False)
class HandCount:
    """What a person would have counted on one section.

    Attributes
    ----------
    lines
        The test lines.
    places
        float64 ``(P, 2)``: (Y, X) of each intersection, in pixels.
    kinds, scores
        Of each: ``crossing``, ``tangent``, ``triple point`` or ``line end``; and what it counts.
    intercepts
        Grains under the lines, ends for one half: what a line of no width crosses.
    length
        Of the lines over known grains, px of the last axis.
    grains
        The section, int32 ``(Y, X)``, 0 = unknown.
    """

    lines: tuple[TestLine, ...]
    places: FloatArray
    kinds: tuple[Kind, ...]
    scores: FloatArray
    intercepts: float
    length: float
    grains: Labels

    @property
    def intersections(self) -> float:
        """Sum of the scores."""
        return float(self.scores.sum())

    @property
    def mean_intercept(self) -> float:
        """Length over intersections, px; ``nan`` where nothing was met."""
        return self.length / self.intersections if self.intersections else math.nan


def line_pattern(
    shape: tuple[int, ...], steps: tuple[float, ...], mean_intercept: float, rng: np.random.Generator
) -> tuple[TestLine, ...]:
    """Parallel lines in four directions, 45° apart and placed at random, with about 100 intersections.

    ``mean_intercept`` is what is expected, in units of ``steps``, the size of a pixel along Y and X.
    """
    size = np.array(steps)
    box = (np.array(shape) - 1) * size
    apart = len(FAMILIES_DEG) * float(box.prod()) / (WANTED * mean_intercept)
    apart = min(apart, float(box.min()) / 1.5)
    found = []
    for angle in np.deg2rad(FAMILIES_DEG):
        along, across = np.array([math.sin(angle), math.cos(angle)]), np.array([math.cos(angle), -math.sin(angle)])
        corners = np.array([[0, 0], [box[0], 0], [0, box[1]], box]) @ across
        for offset in np.arange(corners.min() + rng.random() * apart, corners.max(), apart):
            ends = _within(offset * across, along, box)
            if ends is not None:
                found.append(TestLine(ends / size))
    return tuple(found)


def circle_pattern(shape: tuple[int, ...], steps: tuple[float, ...]) -> tuple[TestLine, ...]:
    """Abrams' three concentric circles in the middle of the section."""
    ((middle, radius),) = circles_of(shape, steps, 1)
    turn = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    round_ = np.column_stack([np.sin(turn), np.cos(turn)]) / np.array(steps)
    return tuple(TestLine(middle + radius * part / CIRCLES[0] * round_, closed=True) for part in CIRCLES)


def count_by_hand(
    grains: Labels, lines: tuple[TestLine, ...], steps: tuple[float, ...] = (1.0, 1.0), reach: float = REACH_PX
) -> HandCount:
    """Score every intersection of the lines.

    Parameters
    ----------
    grains
        int32 ``(Y, X)``, 0 = unknown: a line ends there.
    lines
        As made by `line_pattern` or `circle_pattern`, or any others within the section.
    steps
        Size of a pixel along Y and X.
    reach
        What comes nearer than this to the line is met, in units of the longer side of a pixel.
    """
    size = np.array(steps)
    places: list[FloatArray] = []
    kinds: list[Kind] = []
    scores: list[float] = []
    intercepts = length = 0.0
    for line in lines:
        path, spacing = _sampled(line, size)
        around = _around(grains, path, size, reach * size.max())
        far = _around(grains, path, size, (reach + STEPS_PX) * size.max())
        beside = ((far != far[0]) & (far > 0)).any(axis=0)
        for stretch, closed in _known_stretches(around[0] > 0, line.closed):
            length += spacing * (len(stretch) if closed else len(stretch) - 1)
            for event in _events(around[:, stretch], beside[stretch], closed):
                where = stretch[event]
                met = around[:, where]
                ended = not closed and (0 in event or len(stretch) - 1 in event)
                kind, score = _score(met, ended, line.closed)
                places.append(path[where[len(where) // 2]])
                kinds.append(kind)
                scores.append(score)
                intercepts += _grains_entered(met[0], ended)
    return HandCount(
        lines,
        np.array(places).reshape(-1, 2),
        tuple(kinds),
        np.array(scores, dtype=np.float64),
        intercepts,
        length,
        grains,
    )


def _within(at: FloatArray, along: FloatArray, box: FloatArray) -> FloatArray | None:
    """Both ends ``(2, 2)`` of the part of a line that lies in the frame; ``None`` where it passes it by."""
    low, high = -math.inf, math.inf
    for place, way, side in zip(at, along, box, strict=True):
        if abs(way) < 1e-12:
            if not 0 <= place <= side:
                return None
            continue
        near, far = sorted((-place / way, (side - place) / way))
        low, high = max(low, near), min(high, far)
    return np.array([at + low * along, at + high * along]) if high > low else None


def _sampled(line: TestLine, size: FloatArray) -> tuple[FloatArray, float]:
    """Points along a line, a quarter of a pixel apart, and how far that is; a closed one has no point twice."""
    corners = np.concatenate([line.points, line.points[:1]]) if line.closed else line.points
    run = np.concatenate([[0.0], np.linalg.norm(np.diff(corners, axis=0) * size, axis=1).cumsum()])
    count = max(int(run[-1] / size.min() * SAMPLES_A_PX), 2)
    at = np.linspace(0, run[-1], count, endpoint=not line.closed)
    path = np.column_stack([np.interp(at, run, corners[:, axis]) for axis in (0, 1)])
    return path, float(run[-1] / (count if line.closed else count - 1))


def _around(grains: Labels, path: FloatArray, size: FloatArray, reach: float) -> Labels:
    """Grains at each point and at eight places round it, int32 ``(9, n)``; 0 outside."""
    turn = np.arange(8) * np.pi / 4
    offsets = np.concatenate([[[0.0, 0.0]], reach * np.column_stack([np.sin(turn), np.cos(turn)]) / size])
    places = np.rint(path + offsets[:, None]).astype(np.int64)
    inside = ((places >= 0) & (places < np.array(grains.shape))).all(axis=-1)
    y, x = np.where(inside, places[..., 0], 0), np.where(inside, places[..., 1], 0)
    return np.where(inside, grains[y, x], 0).astype(np.int32)


def _known_stretches(known: npt.NDArray[np.bool_], closed: bool) -> list[tuple[npt.NDArray[np.intp], bool]]:
    """Where a line lies over grains, as runs of its points in order, and whether a run closes."""
    if closed and known.all():
        return [(np.arange(len(known)), True)]
    # A circle is opened where it is not known, so that no run goes over its first point.
    order = np.roll(np.arange(len(known)), -int(np.argmin(known))) if closed else np.arange(len(known))
    return [(order[run], False) for run in _runs(known[order]) if len(run) > 1]


def _events(around: Labels, beside: npt.NDArray[np.bool_], closed: bool) -> list[npt.NDArray[np.intp]]:
    """Runs of points that are near a boundary: each is one intersection.

    Runs that meet no other grains, and between which the line stays beside the boundary, are one.
    """
    near = ((around != around[0]) & (around > 0)).any(axis=0)
    order = np.roll(np.arange(len(near)), -int(np.argmin(near | beside))) if closed else np.arange(len(near))
    found: list[npt.NDArray[np.intp]] = []
    met: list[set[int]] = []
    for run in _runs(near[order]):
        grains = set(np.unique(around[:, order[run]]).tolist()) - {0}
        if found and beside[order[found[-1][-1] : run[0]]].all() and (grains <= met[-1] or grains >= met[-1]):
            found[-1], met[-1] = np.arange(found[-1][0], run[-1] + 1), grains | met[-1]
        else:
            found.append(run)
            met.append(grains)
    return [order[run] for run in found]


def _runs(flags: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.intp]]:
    """Places of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [np.arange(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _score(met: Labels, ended: bool, circle: bool) -> tuple[Kind, float]:
    """What an intersection is, and what it counts: one half for each grain that meets there."""
    grains = len(np.unique(met[met > 0]))
    if ended:
        return "line end", grains / 4
    if grains > 2:
        return "triple point", 2.0 if circle and grains == 3 else grains / 2
    return ("crossing" if met[0, 0] != met[0, -1] else "tangent"), 1.0


def _grains_entered(centre: Labels, ended: bool) -> float:
    """Boundaries that the line itself crosses there, steps of a boundary along pixels counted once."""
    entered = len(np.unique(centre)) - 1
    return float(entered + (entered > 0 and not ended and centre[0] == centre[-1]))
