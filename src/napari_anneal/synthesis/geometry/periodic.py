"""A tessellation that continues itself across the sides of the image: seeds and their copies, cut as one.

Copies of the seeds, shifted by whole periods, surround the image as far as they can reach into it. Cells of copies are
cells like any other, so whatever works with `Cells` works with these; `Cells.grain` says whose copies they are.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError

__all__ = ["number_pairs", "reach_of_cells", "surround", "wrap"]

FloatArray = npt.NDArray[np.float64]
# Periods all around that may be searched for copies: very long thin images of few grains would need millions.
MOST_PERIODS = 50_000


def wrap(points: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Bring points into the image, which spans −0.5 … n − 0.5, by whole periods."""
    size = np.array(shape, dtype=np.float64)
    inside = (points + 0.5) % size - 0.5
    # The remainder of a tiny negative number is the period itself.
    return np.asarray(np.where(inside >= size - 0.5, inside - size, inside), dtype=np.float64)


def reach_of_cells(radius: FloatArray, weights: FloatArray) -> float:
    """How far from the image there may be seeds that matter to it, in the metric.

    ``radius`` is how far the corners of the cells are from their seeds. A point of the image is within R of its owner,
    and every neighbour of that is within R + √(R² + w_max − w) of it.
    """
    return float((2 * radius + np.sqrt(radius**2 + weights.max() - weights)).max()) * (1 + 1e-9)


def surround(
    seeds: FloatArray, shape: tuple[int, ...], margin: FloatArray
) -> tuple[FloatArray, npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Seeds and their copies up to ``margin`` (px, along each axis) outside the image.

    Returns
    -------
    points, grain, period
        ``(V, ndim)`` px, the seeds first; whose copy each is, int32 ``(V,)``; and by how many periods it is shifted,
        ``(V, ndim)``.

    Raises
    ------
    InputError
        There would be far too many.
    """
    count, size = len(seeds), np.array(shape, dtype=np.float64)
    whole = np.ceil(margin / size)
    if np.prod(2 * whole + 1) > MOST_PERIODS:
        raise InputError(
            f"a periodic image of shape {shape} cannot be made of {count} grains: they are so much longer than the "
            "image is wide that millions of their copies meet; use more seeds, a lower aspect_ratio or a shape that is "
            "less long and thin, or leave out periodic."
        )
    low, high = -0.5 - margin, size - 0.5 + margin
    points, grain, period = [seeds], [np.arange(count)], [np.zeros((count, len(shape)), dtype=np.int64)]
    for shift in product(*[range(-n, n + 1) for n in whole.astype(int).tolist()]):
        if not any(shift):
            continue
        moved = seeds + np.array(shift) * size
        near = np.flatnonzero(((moved >= low) & (moved <= high)).all(axis=1))
        points.append(moved[near])
        grain.append(near)
        period.append(np.tile(np.array(shift, dtype=np.int64), (len(near), 1)))
    return np.concatenate(points), np.concatenate(grain).astype(np.int32), np.concatenate(period)


def number_pairs(
    start: npt.NDArray[np.int64],
    neighbour: npt.NDArray[np.int32],
    grain: npt.NDArray[np.int32],
    period: npt.NDArray[np.int64],
) -> npt.NDArray[np.int32]:
    """Give all copies of a boundary one number, 0 … P − 1; those that no cell of the image proper has get 0."""
    owner = np.repeat(np.arange(len(grain)), np.diff(start))
    a, b = grain[owner].astype(np.int64), grain[neighbour].astype(np.int64)
    apart = period[neighbour] - period[owner]
    width = 2 * int(np.abs(apart).max(initial=0)) + 1
    step = apart @ (width ** np.arange(apart.shape[1]))
    # From the grain with the lower number; between a grain and its own copy, forwards.
    turned = (a > b) | ((a == b) & (step < 0))
    a, b, step = np.where(turned, b, a), np.where(turned, a, b), np.where(turned, -step, step)
    count, span = int(grain.max()) + 1, width ** apart.shape[1]
    codes = (a * count + b) * span + step + span // 2
    known = np.unique(codes[: start[count]])
    place = np.minimum(np.searchsorted(known, codes), max(len(known) - 1, 0))
    return np.where(known[place] == codes, place, 0).astype(np.int32)
