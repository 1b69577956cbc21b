"""Intercepts: how often lines through the image cross from one grain into the next, by direction and by field.

Lines run through pixel centres along 8 directions (13 in 3D), all of them, so that nothing is left to the choice of
lines (E1382: automatic measurement). A line cut off by the edge or by a mask counts with the length it has; its two
ends lie in grains, each counts one half, and so N intercepts are P crossings exactly. A line of no width meets neither
tangents nor triple points.

What steps of finite length h miss are short chords that begin and end within one; the loss grows as h. Steps of twice
the length lose once more as much, and that can be counted: it is the crossings of two steps less those of the double
step. So N_L at a step of 0 is N_L(h) plus what doubling the step loses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Crossings", "circle_crossings", "lattice_directions", "line_crossings"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int32]

_KNIGHT = ((1, 2), (2, 1), (2, -1), (1, -2))
# Abrams' three circles: their circumferences are as 3 : 2 : 1.
CIRCLES = (3, 2, 1)
LARGEST_CIRCLE = 0.9


@dataclass(frozen=True, eq=False)
class Crossings:
    """Crossings counted on F fields, along D kinds of lines.

    Attributes
    ----------
    changes
        int64 ``(F, D)``: steps from one grain into another.
    lost
        float64 ``(F, D)``: changes that double steps miss of their two halves.
    covered, doubly
        float64 ``(F, D)``: length of all steps, and of all double steps (each as often as there is one).
    weight
        float64 ``(D,)``: share of all directions that each stands for, sum 1.
    directions
        float64 ``(D, ndim)`` unit vectors; empty for circles.
    """

    changes: IntArray
    lost: FloatArray
    covered: FloatArray
    doubly: FloatArray
    weight: FloatArray
    directions: FloatArray

    def per_length(self) -> FloatArray:
        """Crossings per length along each direction ``(D,)``, of all fields together; ``nan`` without steps."""
        return _ratio(self.changes.sum(0), self.covered.sum(0)) + _ratio(self.lost.sum(0), self.doubly.sum(0))

    def mean_per_length(self) -> float:
        """Crossings per length, averaged over directions, of all fields together."""
        return float(self.weight @ self.per_length())

    def each_per_length(self) -> FloatArray:
        """Crossings per length, averaged over directions, of every field ``(F,)``; ``nan`` where one has no line."""
        per_length = _ratio(self.changes, self.covered) + _ratio(self.lost, self.doubly)
        return np.asarray(per_length @ self.weight, dtype=np.float64)

    @property
    def counted(self) -> int:
        """Crossings seen, over all lines."""
        return int(self.changes.sum())


def lattice_directions(ndim: int) -> IntArray:
    """Steps in pixels: rows, columns, diagonals and knight's moves in 2D; the 13 neighbours in 3D."""
    # Imported here: it brings the compiler.
    from napari_anneal.synthesis.statistics.contacts import line_directions

    steps = line_directions(ndim)
    if ndim == 2:
        steps = np.vstack([steps, [(0, *knight) for knight in _KNIGHT]])
    return steps


def line_crossings(grains: Labels, steps: tuple[float, ...], blocks: int, stride: int = 1) -> Crossings:
    """Count along all lines.

    Parameters
    ----------
    grains
        int32 ``(Y, X)`` or ``(Z, Y, X)``, 0 = unknown: lines end there.
    steps
        Pixel size along each axis.
    blocks
        The field is cut into this many parts along each axis; a step belongs to the part where it starts.
    stride
        Steps are this many times the shortest. Where boundaries were drawn thick, chords about as short as that are
        gone from the map, and steps longer than they extrapolate better.
    """
    from napari_anneal.synthesis.statistics.contacts import crofton_weights

    ndim = grains.ndim
    full = grains.reshape((1,) * (3 - ndim) + grains.shape)
    size = np.array([1.0] * (3 - ndim) + list(steps))
    lattice = stride * lattice_directions(ndim)
    counts = np.array([_count(full, step, blocks, ndim) for step in lattice]).transpose(1, 2, 0)
    length = np.linalg.norm(lattice * size, axis=1)
    weight = crofton_weights(lattice, size, ndim) * length
    return Crossings(
        changes=counts[0],
        lost=counts[2].astype(np.float64),
        covered=counts[1] * length,
        doubly=counts[3] * 2 * length,
        weight=weight / weight.sum(),
        directions=(lattice * size / length[:, None])[:, 3 - ndim :],
    )


def circle_crossings(grains: Labels, steps: tuple[float, ...], blocks: int, stride: int = 1) -> Crossings:
    """Count along Abrams' three concentric circles in the middle of each of ``blocks`` × ``blocks`` parts (2D).

    A circle is a closed chain of pixels, and its length is the chain's: every step is as likely to meet a boundary as
    it is long, whatever its direction.
    """
    edges = [np.linspace(0, n, blocks + 1) for n in grains.shape]
    size = np.array(steps)
    found = np.zeros((blocks * blocks, 4))
    for field, (y, x) in enumerate(np.ndindex(blocks, blocks)):
        low, high = (np.array([edges[0][y + k], edges[1][x + k]]) for k in (0, 1))
        middle, radius = (low + high - 1) / 2, LARGEST_CIRCLE * float(((high - low) * size).min()) / 2
        for part in CIRCLES:
            found[field] += _round(grains, middle, radius * part / CIRCLES[0], size, stride)
    changes, covered, lost, doubly = found.T[:, :, np.newaxis]
    return Crossings(changes.astype(np.int64), lost, covered, doubly, np.ones(1), np.zeros((0, grains.ndim)))


def _round(grains: Labels, middle: FloatArray, radius: float, size: FloatArray, stride: int) -> FloatArray:
    """Changes, length, lost changes and double length along one circle, stepping ``stride`` pixels of its chain."""
    turn = np.linspace(0, 2 * np.pi, max(16, int(8 * np.pi * radius / size.min())), endpoint=False)
    path = np.rint(middle + radius * np.column_stack([np.sin(turn), np.cos(turn)]) / size).astype(np.int64)
    path = path[(path != np.roll(path, 1, axis=0)).any(axis=1)]
    ids = grains[path[:, 0], path[:, 1]]
    a, b, c = (np.roll(ids, -lag * stride) for lag in range(3))
    once, twice = (np.linalg.norm((np.roll(path, -lag * stride, axis=0) - path) * size, axis=1) for lag in (1, 2))
    single, double = (a > 0) & (b > 0), (a > 0) & (b > 0) & (c > 0)
    changes, length, doubly = (single & (a != b)).sum(), once[single].sum(), twice[double].sum()
    # A chain of pixels is longer than its double steps, so what these lose is a matter of crossings per length.
    lost = changes / length * doubly - (double & (a != c)).sum() if length else 0.0
    return np.array([changes, length, lost, doubly])


def _count(full: Labels, step: IntArray, blocks: int, ndim: int) -> IntArray:
    """Changes, steps, lost changes and double steps along one direction, by block: int64 ``(4, blocks ** ndim)``."""
    (a, b), here = _along(full, step, 1)
    known, change = (a > 0) & (b > 0), a != b
    found = [_by_block(values, full.shape, here, blocks, ndim) for values in (known & change, known)]
    (a, b, c), here = _along(full, step, 2)
    known = (a > 0) & (b > 0) & (c > 0)
    # Two changes of which the ends show one, or none.
    both = known & (a != b) & (b != c)
    one, none = (_by_block(values, full.shape, here, blocks, ndim) for values in (both, both & (a == c)))
    found.append(one + none)
    found.append(_by_block(known, full.shape, here, blocks, ndim))
    return np.array(found, dtype=np.int64)


def _along(full: Labels, step: IntArray, steps: int) -> tuple[list[Labels], list[slice]]:
    """Views of an image shifted by 0 … ``steps`` steps, of the same shape, and where the first lies."""
    views = []
    for lag in range(steps + 1):
        where = []
        for n, d in zip(full.shape, step.tolist(), strict=True):
            kept = max(n - steps * abs(d), 0)
            start = (lag * d) if d >= 0 else (steps - lag) * -d
            where.append(slice(start, start + kept))
        views.append((full[tuple(where)], where))
    return [view for view, _ in views], views[0][1]


def _by_block(
    values: npt.NDArray[np.bool_], shape: tuple[int, ...], where: list[slice], blocks: int, ndim: int
) -> IntArray:
    """Sum over each block of the whole image, of values that lie at ``where`` in it."""
    if blocks == 1:
        return np.array([values.sum()], dtype=np.int64)
    total: IntArray = values.astype(np.int64)
    for axis in range(3 - ndim, 3):
        edges = np.linspace(0, shape[axis], blocks + 1).astype(np.int64) - where[axis].start
        edges = np.clip(edges, 0, values.shape[axis])
        summed = np.concatenate([np.zeros_like(total.take([0], axis)), total.cumsum(axis=axis)], axis=axis)
        total = np.diff(summed.take(edges, axis), axis=axis)
    return np.asarray(total.ravel(), dtype=np.int64)


def _ratio(above: npt.NDArray[Any], below: FloatArray) -> FloatArray:
    result: FloatArray = np.full(above.shape, np.nan)
    np.divide(above, below, out=result, where=below > 0)
    return result
