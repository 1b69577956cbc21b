"""Sums over instances, block by block: whole numbers about the origin, so that blocks add up to the whole."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled
from napari_anneal.synthesis.statistics.label_maps import numbered
from napari_anneal.synthesis.statistics.moments import sum_runs

__all__ = ["Measures", "Sums"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
# Rows of sums for the pairs of axes that `sum_runs` adds up: zz, zy, zx, yy, yx, xx.
PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over N instances, Z, Y, X along the second axis where there is one.

    Attributes
    ----------
    label
        int64 ``(N,)``, ascending.
    pixels
        int64 ``(N,)``.
    first
        int64 ``(N, 3)``, sum of coordinates.
    second
        int64 ``(N, 6)``, sum of products of coordinates: zz, zy, zx, yy, yx, xx.
    low, high
        int64 ``(N, 3)``, first and last pixel of the box.
    intensity
        float64 ``(N, 3)``, sum, least and greatest; ``nan`` where no intensities were given.
    """

    label: Ints
    pixels: Ints
    first: Ints
    second: Ints
    low: Ints
    high: Ints
    intensity: Floats

    def central(self) -> Floats:
        """Covariance ``(N, 3, 3)`` in pixels; a pixel counts as a cube, so each axis holds its own 1/12."""
        # About the corner of the box, in whole numbers: about the origin of a large volume digits would be lost.
        n, low = self.pixels, self.low
        out = np.zeros((len(n), 3, 3))
        first = self.first - n[:, None] * low
        for column, (i, j) in enumerate(PAIRS):
            product = self.second[:, column] - low[:, i] * self.first[:, j] - low[:, j] * first[:, i]
            out[:, i, j] = out[:, j, i] = product / n - (first[:, i] / n) * (first[:, j] / n)
        return out + np.eye(3) / 12


class Measures:
    """Adds up what `Sums` holds."""

    def __init__(self) -> None:
        self._parts: list[Sums] = []
        self._compact, self._pending = 0, 0

    def add(self, labels: npt.NDArray[Any], start: tuple[int, int, int], intensity: npt.NDArray[Any] | None) -> None:
        """Add a block ``(Z, Y, X)`` of labels that begins at ``start``; 0 is no instance."""
        label, index = numbered(labels)
        count = len(label)
        sums, base = np.zeros((count, 10), np.int64), np.zeros((count, 3), np.int64)
        low = np.full((count, 3), np.iinfo(np.int64).max)
        high = np.full((count, 3), -1, np.int64)
        sum_runs(np.ascontiguousarray(index), sums, base, low, high)
        values = np.full((count, 3), np.nan)
        if intensity is not None:
            values[:] = 0.0, np.inf, -np.inf
            _add_intensity(np.ascontiguousarray(index), np.ascontiguousarray(intensity), values)
        corner = np.array(start)
        base += corner
        n, about = sums[:, 0], sums[:, 1:4]
        second = sums[:, 4:].copy()
        for column, (i, j) in enumerate(PAIRS):
            second[:, column] += base[:, i] * about[:, j] + base[:, j] * about[:, i] + n * base[:, i] * base[:, j]
        self._parts.append(Sums(label, n, about + n[:, None] * base, second, low + corner, high + corner, values))
        self._pending += count
        if self._pending > 2 * self._compact + 100_000:
            self._parts = [self.sums()]
            self._compact = self._pending = len(self._parts[0].label)

    def sums(self) -> Sums:
        """What was added until now, one row an instance."""
        if not self._parts:
            self.add(np.zeros((1, 1, 1), np.int32), (0, 0, 0), None)
        every = {f.name: np.concatenate([getattr(part, f.name) for part in self._parts]) for f in fields(Sums)}
        order = np.argsort(every["label"], kind="stable")
        every = {name: column[order] for name, column in every.items()}
        label = every["label"]
        if not len(label):
            return Sums(**every)
        begin = np.flatnonzero(np.concatenate([[True], label[1:] != label[:-1]]))

        def total(column: npt.NDArray[Any], how: np.ufunc = np.add) -> Any:
            return how.reduceat(column, begin, axis=0)

        value = every["intensity"]
        return Sums(
            label=label[begin],
            pixels=total(every["pixels"]),
            first=total(every["first"]),
            second=total(every["second"]),
            low=total(every["low"], np.minimum),
            high=total(every["high"], np.maximum),
            intensity=np.column_stack(
                [total(value[:, 0]), total(value[:, 1], np.minimum), total(value[:, 2], np.maximum)]
            ),
        )


@compiled
def _add_intensity(index: npt.NDArray[np.int32], intensity: npt.NDArray[Any], values: Floats) -> None:
    """Add to the sum, the least and the greatest intensity of every instance."""
    depth, height, width = index.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                k = index[z, y, x] - 1
                if k >= 0:
                    value = np.float64(intensity[z, y, x])
                    values[k, 0] += value
                    values[k, 1] = min(values[k, 1], value)
                    values[k, 2] = max(values[k, 2], value)
