"""Grains of prescribed sizes: the weights under which every cell of a power diagram has its area or volume.

The weights maximise a concave function whose gradient is what the sizes lack (semi-discrete optimal transport). With
V_i(x) = (x − s_i)ᵀM(x − s_i) − w_i, the size of cell i changes with the weight of a neighbour j by
−F_ij / (2‖M(s_i − s_j)‖), where F_ij is the facet between them: so the Hessian is the Laplacian of the graph of
neighbours. The damped Newton method of Kitagawa, Mérigot and Thibert (2019) converges from the Voronoi diagram, in
which no cell is empty, as long as none becomes so. Moving the seeds to the centroids in between makes the grains round
(Bourne, Kok, Roper and Spanjer 2020, there with equal metric).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.synthesis.geometry.cells import Cells, find_cells
from napari_anneal.synthesis.geometry.measure import CellMeasures, measure_cells
from napari_anneal.synthesis.geometry.tessellation import label_slabs

__all__ = ["fit_sizes", "pixel_counts"]

FloatArray = npt.NDArray[np.float64]
# Relative error of the exact sizes at which the weights are good: well within 1 %, and Newton is there in a step more.
GOOD, ROUGH = 1e-3, 0.05
NEWTON_STEPS, SHORTEST_STEP = 60, 2.0**-12
# What the labels may be off, relative and in pixels, and how often the weights are adjusted to get there.
OFF_SHARE, OFF_PIXELS = 0.01, 1.0
PIXEL_ROUNDS, CURVED_ROUNDS = 30, 15
# How far (px, along each axis) and how often the seeds of the last few wrong cells are moved.
NUDGE, NUDGES = 0.15, 3


def fit_sizes(
    seeds: FloatArray,
    sizes: FloatArray,
    metric: FloatArray,
    shape: tuple[int, ...],
    rounds: int,
    rng: np.random.Generator,
    count: Callable[[Cells], npt.NDArray[np.int64]] | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Find weights that give every seed a cell of its size; between ``rounds`` the seeds move to their centroids.

    Parameters
    ----------
    seeds
        ``(N, ndim)`` px, no two in one place.
    sizes
        ``(N,)`` px² or px³, positive, filling the image.
    metric
        ``(ndim, ndim)``, see `metric_matrix`.
    shape
        ``(Y, X)`` or ``(Z, Y, X)`` in pixels.
    rounds
        Rounds of centroids: more, and the grains get rounder. 0: the seeds stay where they are.
    rng
        For what is drawn in `_fit_pixels`.
    count
        Counts the pixels of every cell, where they are not simply those of the cells: boundaries that get curved. Far
        slower than the default, so it is asked `CURVED_ROUNDS` times at most and the best of these is taken.

    Returns
    -------
    seeds, weights
        The pixels of every cell are its size within 1 % or one pixel, whichever is more. A few of the seeds may be
        moved by up to half a pixel for that. (Where even this fails, by a boundary along a row of pixels which can
        only change hands as a whole, the exact area or volume is about right and the pixels are as near as was found.)
        With curved boundaries one grain in a hundred may be off by 1 … 3 %.

    Raises
    ------
    InputError
        Two seeds are so close that no weights do it.
    """
    weights = np.zeros(len(seeds))
    for _ in range(rounds):
        weights, measures = _solve(seeds, sizes, metric, shape, weights, ROUGH)
        # The new seed's V has the same value at its centroid as the old one had, so that the cell stays where it is.
        off = measures.centroid - seeds
        weights = weights - ((off @ metric) * off).sum(axis=1)
        seeds = measures.centroid
    weights, _ = _solve(seeds, sizes, metric, shape, weights, GOOD)
    if count is None:
        seeds, weights = _fit_pixels(seeds, sizes, metric, shape, weights, rng)
    else:
        weights, _, _ = _adjust(seeds, sizes, metric, shape, weights, count, True, CURVED_ROUNDS)
    return seeds, weights - weights.min()


def pixel_counts(cells: Cells, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Pixels of every cell, counted a slab at a time: labels of the whole need not fit into memory."""
    counts = np.zeros(len(cells.seeds), dtype=np.int64)
    for _, labels in label_slabs(cells, shape):
        counts += np.bincount(labels.ravel(), minlength=len(counts))
    return counts


def _solve(
    seeds: FloatArray, sizes: FloatArray, metric: FloatArray, shape: tuple[int, ...], weights: FloatArray, good: float
) -> tuple[FloatArray, CellMeasures]:
    """Damped Newton from the given weights (from none, where they leave a cell empty) to sizes within ``good``."""
    cells = find_cells(seeds, weights, metric)
    measures = measure_cells(cells, shape)
    if measures.size.min() <= 0:
        weights = np.zeros(len(seeds))
        cells = find_cells(seeds, weights, metric)
        measures = measure_cells(cells, shape)
        if measures.size.min() <= 0:
            raise _too_close(seeds)
    least = 0.5 * min(measures.size.min(), sizes.min())
    for _ in range(NEWTON_STEPS):
        missing = sizes - measures.size
        if np.abs(missing / sizes).max() <= good:
            return weights, measures
        step = _newton_step(cells, measures, missing)
        length = 1.0
        while True:
            tried = weights + length * step
            cells = find_cells(seeds, tried, metric)
            measures = measure_cells(cells, shape)
            falls = np.linalg.norm(sizes - measures.size) <= (1 - length / 2) * np.linalg.norm(missing)
            if falls and measures.size.min() >= least:
                break
            length /= 2
            if length < SHORTEST_STEP:
                raise _too_close(seeds)
        weights = tried
    raise _too_close(seeds)


def _newton_step(cells: Cells, measures: CellMeasures, missing: FloatArray) -> FloatArray:
    """Change of the weights that, to first order, gives every cell what it misses."""
    from scipy.sparse import diags
    from scipy.sparse.linalg import cg

    matrix = _laplacian(cells, measures)
    diagonal = matrix.diagonal()
    # A cell that a nudge has left without extent grows by itself. The rest share out what there is: all weights up by
    # the same changes nothing, so what they miss sums to zero and a touch on the diagonal makes the matrix definite.
    there = diagonal > 0
    matrix = matrix + diags(np.where(there, 1e-9 * diagonal.max(), diagonal.mean()))
    wanted = np.where(there, missing - missing[there].mean(), missing)
    step, _ = cg(matrix, wanted, rtol=1e-4, maxiter=2000, M=diags(1 / matrix.diagonal()))
    return np.asarray(step, dtype=np.float64)


def _laplacian(cells: Cells, measures: CellMeasures) -> Any:
    """Derivatives of the sizes by the weights: a sparse ``(N, N)`` matrix whose rows sum to zero."""
    from scipy.sparse import coo_matrix, diags

    count = len(cells.seeds)
    owner = np.repeat(np.arange(count), np.diff(cells.start))
    apart = (cells.seeds[owner] - cells.seeds[cells.neighbour]) @ cells.metric
    share = measures.facet / (2 * np.linalg.norm(apart, axis=1))
    links = coo_matrix((share, (owner, cells.neighbour)), shape=(count, count)).tocsr()
    links = (links + links.T) / 2
    return diags(np.asarray(links.sum(axis=1)).ravel()) - links


def _fit_pixels(
    seeds: FloatArray,
    sizes: FloatArray,
    metric: FloatArray,
    shape: tuple[int, ...],
    weights: FloatArray,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Adjust good weights until the pixels of every cell are within 1 % or a pixel of its size, or nearly so.

    Counts change in jumps, so steps shrink, and what is within half the tolerance is left in peace. All cells are
    adjusted together; then, from the best so far, each by itself, which gets out of where the first circles. What is
    left are boundaries along a row of pixels: the seeds of those few cells are nudged, which tilts them.
    """
    best, fewest = (seeds, weights), (np.inf, np.inf)
    wrong = np.zeros(len(seeds), dtype=bool)
    for _ in range(NUDGES + 1):
        nudge = rng.uniform(-NUDGE, NUDGE, seeds.shape) * wrong[:, None]
        start = np.clip(best[0] + nudge, -0.5, np.array(shape) - 0.5)
        for together in (True, False):
            seeds, weights = (start if together else best[0]), best[1]
            tried, bad, off = _adjust(
                seeds, sizes, metric, shape, weights, lambda cells: pixel_counts(cells, shape), together, PIXEL_ROUNDS
            )
            if bad < fewest:
                best, fewest, wrong = (seeds, tried), bad, off > 1
            if bad[1] <= 1:
                return best
    return best


def _adjust(
    seeds: FloatArray,
    sizes: FloatArray,
    metric: FloatArray,
    shape: tuple[int, ...],
    weights: FloatArray,
    count: Callable[[Cells], npt.NDArray[np.int64]],
    together: bool,
    rounds: int,
) -> tuple[FloatArray, tuple[float, float], FloatArray]:
    """Adjust weights to counted pixels with steps that shrink; the best, how bad it is, and what each cell is off.

    How bad: the number of cells that are off by more than the tolerance, and by how many tolerances the worst is off.
    """
    tolerance = np.maximum(OFF_SHARE * sizes, OFF_PIXELS)
    best, fewest, least_off = weights, (np.inf, np.inf), np.full(len(seeds), np.inf)
    for number in range(rounds):
        cells = find_cells(seeds, weights, metric)
        missing = sizes - count(cells)
        off = np.abs(missing) / tolerance
        bad = (float((off > 1).sum()), float(off.max()))
        if bad < fewest:
            best, fewest, least_off = weights, bad, off
        if off.max() <= 1:
            break
        # Half of what is missing, lest neighbours overshoot together; all of it as long as most are off.
        share = 1.0 if np.median(off) > 1 else 0.5
        wanted = np.sign(missing) * np.maximum(np.abs(missing) - tolerance / 2, 0) * share
        measures = measure_cells(cells, shape)
        if together:
            weights = weights + _newton_step(cells, measures, wanted / (1 + number / 5))
        else:
            slopes = _laplacian(cells, measures).diagonal()
            weights = weights + wanted / (1 + number / 10) / np.where(slopes > 0, slopes, slopes.mean())
    return best, fewest, least_off


def _too_close(seeds: FloatArray) -> InputError:
    from scipy.spatial import cKDTree

    apart, nearest = cKDTree(seeds).query(seeds, k=2)
    closest = int(apart[:, 1].argmin())
    a, b = sorted(nearest[closest].tolist())
    return InputError(
        f"the grains cannot be given their sizes: seeds {a} and {b} are only {apart[closest, 1]:.2g} px "
        "apart; move seeds apart, or use placement 'blue_noise' or Lloyd rounds."
    )
