"""Intercepts: how often lines through the image cross from one grain into the next, by direction and by field.

Lines run through pixel centres along directions that stand for all (`directions.even_directions`), all of them, so that
nothing is left to the choice of lines (E1382: automatic measurement). A line cut off by the edge or by a mask counts
with the length it has; its two ends lie in grains, each counts one half, and so N intercepts are P crossings exactly. A
line of no width meets neither tangents nor triple points; how a person counts those is in `hand_count`.

What steps of finite length h miss are short chords that begin and end within one. Steps of two and three times the
length miss more, and that can be counted: it is the crossings of the single steps less those of the long one, D₂ and
D₃. If the loss grows as 1 − e^(−k h) then what h itself misses is D₂ / q with q = (D₃ − D₂) / D₂; that is used where
three steps are shorter than a mean intercept, and D₂ alone (a loss that grows as h) where they are longer than two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.validation.grains.directions import even_directions

__all__ = ["CIRCLES", "LARGEST_CIRCLE", "Crossings", "Losses", "circle_crossings", "circles_of", "line_crossings"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int32]

# Abrams' three circles: their circumferences are as 3 : 2 : 1.
CIRCLES = (3, 2, 1)
LARGEST_CIRCLE = 0.9
COUNTS = ("changes", "covered", "lost", "doubly", "missed", "triply")
# A loss that levels off faster than this from step to step is noise or a lattice of grains.
STEEPEST = 0.5


@dataclass(frozen=True, eq=False)
class Losses:
    """What longer steps miss of the crossings that shorter ones see, along D directions; counts of fields add up.

    Attributes
    ----------
    step
        float64 ``(D,)``: length of a single step.
    changes, covered
        float64 ``(D,)``: single steps from one grain into another, and the length of all single steps.
    lost, doubly, missed, triply
        float64 ``(D,)``: changes that double steps miss of their two halves and the length of all double steps (each
        as often as there is one); the same for triple steps.
    """

    step: FloatArray
    changes: FloatArray
    covered: FloatArray
    lost: FloatArray
    doubly: FloatArray
    missed: FloatArray
    triply: FloatArray

    def __add__(self, other: Losses) -> Losses:
        """Of both fields."""
        summed = (getattr(self, name) + getattr(other, name) for name in COUNTS)
        return Losses(self.step, *summed)

    @property
    def factor(self) -> FloatArray:
        """Crossings at a step of 0 over those that single steps see, ``(D,)``, 1 or more."""
        seen = _ratio(self.changes, self.covered)
        double, triple = _ratio(self.lost, self.doubly), _ratio(self.missed, self.triply)
        slower = np.nan_to_num(_ratio(triple - double, double), nan=1.0)
        curved = double / np.maximum(slower, STEEPEST)
        # Three steps that are longer than a grain tell of its neighbours; a field without triple steps tells nothing.
        trusted = np.where(np.isnan(triple), 0.0, np.clip(2 - 3 * seen * self.step, 0, 1))
        loss = np.where(trusted > 0, trusted * curved + (1 - trusted) * double, double)
        return np.asarray(1 + np.nan_to_num(_ratio(np.maximum(loss, 0), seen)), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Crossings:
    """Crossings counted on F fields, along D directions.

    Attributes
    ----------
    changes, covered
        Steps from one grain into another, int64 ``(F, D)``, and the length of all steps, float64 ``(F, D)``.
    losses
        What steps of finite length miss, of all fields together.
    weight
        float64 ``(D,)``: share of all directions that each stands for, sum 1.
    directions
        float64 ``(D, ndim)`` unit vectors.
    """

    changes: IntArray
    covered: FloatArray
    losses: Losses
    weight: FloatArray
    directions: FloatArray

    def per_length(self) -> FloatArray:
        """Crossings per length along each direction ``(D,)``, of all fields together; ``nan`` without steps."""
        return np.asarray(_ratio(self.changes.sum(0), self.covered.sum(0)) * self.losses.factor, dtype=np.float64)

    def mean_per_length(self) -> float:
        """Crossings per length, averaged over the directions that have steps, of all fields together."""
        return float(self._averaged(self.per_length()[None])[0])

    def each_per_length(self) -> FloatArray:
        """Crossings per length, averaged over directions, of every field ``(F,)``; ``nan`` where one has no line."""
        return self._averaged(_ratio(self.changes, self.covered) * self.losses.factor)

    def _averaged(self, per_length: FloatArray) -> FloatArray:
        """Mean over directions ``(F,)``; a field thinner than a step (a stack of two slices) has none along it."""
        known = np.isfinite(per_length)
        total = np.where(known, per_length, 0.0) @ self.weight
        return np.asarray(_ratio(total, known @ self.weight), dtype=np.float64)

    @property
    def counted(self) -> int:
        """Crossings seen, over all lines."""
        return int(self.changes.sum())

    @property
    def unseen_share(self) -> float:
        """Share of the crossings per length that no step saw, 0 for large grains."""
        seen = self._averaged(_ratio(self.changes.sum(0), self.covered.sum(0))[None])[0]
        return float(1 - seen / self.mean_per_length())


def line_crossings(
    grains: Labels,
    steps: tuple[float, ...],
    blocks: int,
    stride: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Crossings:
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
    progress
        Called with (directions done, directions in all).
    """
    # Imported here: it brings the compiler.
    from napari_anneal.validation.grains.step_counts import count_steps

    ndim = grains.ndim
    full = np.ascontiguousarray(grains.reshape((1,) * (3 - ndim) + grains.shape))
    chosen = even_directions(steps)
    lattice = stride * chosen.steps
    part_z, part_y, part_x = (_part_of(n, blocks if axis >= 3 - ndim else 1) for axis, n in enumerate(full.shape))
    counts = np.zeros((len(lattice), blocks**ndim, 6), dtype=np.int64)
    for number, step in enumerate(lattice):
        count_steps(full, np.array([0] * (3 - ndim) + step.tolist()), part_z, part_y, part_x, blocks, counts[number])
        if progress is not None:
            progress(number + 1, len(lattice))
    real = lattice * np.array(steps)
    length = np.linalg.norm(real, axis=1)
    changes, once, lost, twice, missed, thrice = counts.transpose(2, 1, 0)
    summed = (changes, once * length, lost, twice * 2 * length, missed, thrice * 3 * length)
    losses = Losses(length, *(values.sum(0).astype(np.float64) for values in summed))
    return Crossings(changes, once * length, losses, chosen.weight, real / length[:, None])


def circle_crossings(
    grains: Labels,
    steps: tuple[float, ...],
    blocks: int,
    stride: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Crossings:
    """Count along Abrams' three concentric circles in the middle of each of ``blocks`` × ``blocks`` parts (2D).

    A circle is a closed chain of the steps that lines have, each counted with the steps of its direction: so crossings
    per length are those of every direction, as with lines, whichever way the chain approaches the circle. What steps
    miss is taken from the lines of the same field.
    """
    from napari_anneal.validation.grains.step_counts import walk_round

    lines = line_crossings(grains, steps, 1, stride, progress)
    lattice, size = stride * even_directions(steps).steps, np.array(steps)
    changes = np.zeros((blocks**2, len(lattice)), dtype=np.int64)
    taken = np.zeros_like(changes)
    for field, (middle, radius) in enumerate(circles_of(grains.shape, steps, blocks)):
        for part in CIRCLES:
            places, kind = walk_round(middle, radius * part / CIRCLES[0], size, lattice)
            ids = grains[places[:, 0], places[:, 1]]
            here, there = ids[:-1], ids[1:]
            known = (here > 0) & (there > 0)
            taken[field] += np.bincount(kind[known], minlength=len(lattice))
            changes[field] += np.bincount(kind[known & (here != there)], minlength=len(lattice))
    return replace(lines, changes=changes, covered=taken * lines.losses.step)


def circles_of(shape: tuple[int, ...], steps: tuple[float, ...], blocks: int) -> list[tuple[FloatArray, float]]:
    """Centre in pixels and radius of the largest of the three circles, in each part of a field."""
    edges, size = [np.linspace(0, n, blocks + 1) for n in shape], np.array(steps)
    found = []
    for y, x in np.ndindex(blocks, blocks):
        low, high = (np.array([edges[0][y + k], edges[1][x + k]]) for k in (0, 1))
        found.append(((low + high - 1) / 2, LARGEST_CIRCLE * float(((high - low) * size).min()) / 2))
    return found


def _part_of(n: int, blocks: int) -> IntArray:
    """The part that each place along an axis lies in."""
    edges = np.linspace(0, n, blocks + 1).astype(np.int64)
    return np.searchsorted(edges[1:], np.arange(n), side="right").astype(np.int64)


def _ratio(above: npt.NDArray[Any], below: FloatArray) -> FloatArray:
    result: FloatArray = np.full(above.shape, np.nan)
    np.divide(above, below, out=result, where=below > 0)
    return result
