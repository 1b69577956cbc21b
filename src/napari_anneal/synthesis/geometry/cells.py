"""Who is whose neighbour: the planes between a cell and the cells it touches.

With V_i(x) = (x − s_i)ᵀM(x − s_i) − w_i, cell i is where V_i is least, and the boundary to cell j is the plane
V_i = V_j. A cell is convex, so the distance from x to its boundary is that to the nearest plane, and only the
planes of true neighbours can be nearest. Each cell is cut out of a wide box by its planes, nearest seeds first, until
no other seed can reach it (as in Rycroft 2009).
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.geometry.periodic import number_pairs, reach_of_cells, surround, wrap

__all__ = ["Cells", "find_cells", "metric_matrix"]

FloatArray = npt.NDArray[np.float64]
# Seeds closer than this (px, as decimals) count as one: the plane between them would be known too poorly.
DECIMALS = 6
# How far out, in extents of all seeds, cells are exact.
FAR_OUT = 1e3
# Below this many seeds a second thread costs more than it brings.
SEEDS_FOR_THREADS = 4000


@dataclass(frozen=True, eq=False)
class Cells:
    """Seeds, their metric, and the planes to their neighbours, in (Z, Y, X) order with Z = 0 for 2D.

    ``planes[start[i]:start[i + 1]]`` are the rows ``(g_z, g_y, g_x, c)`` of cell i: ``g·x + c`` is the Euclidean
    distance (px) from x to the plane between i and ``neighbour[e]``, positive inside i.
    """

    seeds: FloatArray  # (N, 3)
    weights: FloatArray  # (N,), px²
    metric: FloatArray  # (3, 3), or (N, 3, 3) where each seed has its own; boundaries are curved then, and no planes
    start: npt.NDArray[np.int64]  # (N + 1,)
    neighbour: npt.NDArray[np.int32]  # (E,)
    planes: FloatArray  # (E, 4)
    # Number of each plane's boundary, alike from both of its sides: 0 … n_pairs - 1.
    pair: npt.NDArray[np.int32]  # (E,)
    # Whose copy each seed is: itself, where nothing is periodic. The seeds proper come first.
    grain: npt.NDArray[np.int32]  # (N,)
    periodic: bool = False

    @property
    def n_grains(self) -> int:
        """Number of seeds proper, without their copies."""
        return int(self.grain.max()) + 1

    @property
    def n_pairs(self) -> int:
        """Number of boundaries between two cells."""
        return int(self.pair.max(initial=-1)) + 1

    @cached_property
    def crossings(self) -> FloatArray:
        """Where rows leave a cell by each of its planes, see `row_crossings`; float64 ``(E, 3)``."""
        from napari_anneal.synthesis.geometry.envelope import row_crossings

        crossings: FloatArray = row_crossings(self.planes)
        return crossings

    @property
    def an_owner(self) -> int:
        """Some seed that has a cell; not every one has (it may be hidden by a heavier or an equal one)."""
        # The heaviest, and of equals the first, is never hidden.
        return int(self.weights.argmax())


def metric_matrix(ndim: int, aspect_ratio: float = 1.0, direction_deg: float = 0.0) -> FloatArray:
    """Metric M (ndim, ndim) whose unit ball is ``aspect_ratio`` times longer along the direction than across.

    The determinant is 1, so that stretching leaves the mean cell size alone. The direction lies in the (Y, X)
    plane, counted from the X axis towards +Y.
    """
    angle = np.deg2rad(direction_deg)
    along = np.zeros(ndim)
    along[-1], along[-2] = np.cos(angle), np.sin(angle)
    matrix = np.eye(ndim) + (aspect_ratio**-2 - 1) * np.outer(along, along)
    return np.asarray(matrix * aspect_ratio ** (2 / ndim), dtype=np.float64)


def find_cells(
    seeds: FloatArray,
    weights: FloatArray | None = None,
    metric: FloatArray | None = None,
    period: tuple[int, ...] | None = None,
    margin: float = 0.0,
) -> Cells:
    """Find the neighbours of every seed and the planes between them.

    Parameters
    ----------
    seeds
        ``(N, 2)`` or ``(N, 3)``, pixel indices. Duplicates are allowed: the heaviest, then
        the first of them owns the cell.
    weights
        ``(N,)`` in px², as subtracted from the squared distance; ``None``: all zero (Voronoi).
    metric
        ``(ndim, ndim)`` symmetric positive definite; ``None``: Euclidean.
    period
        ``(Y, X)`` or ``(Z, Y, X)`` in pixels: the tessellation repeats itself after so many. The cells are then those
        of the seeds and of all copies that reach into the image 0 … n − 1 or ``margin`` px beyond it.
        ``None``: it does not, and the cells are right however far out.
    margin
        How far outside a periodic image its cells are right, px.

    Returns
    -------
    Cells
        In (Z, Y, X) order whatever the dimension.

    Raises
    ------
    InputError
        A periodic image so long and thin that its few seeds need millions of copies.
    """
    from napari_anneal.synthesis.geometry.links import link

    count, ndim = seeds.shape
    seeds = np.round(seeds, DECIMALS)
    weight = np.zeros(count) if weights is None else np.asarray(weights, dtype=np.float64)
    matrix, root = np.eye(3), np.eye(ndim)
    if metric is not None:
        matrix[3 - ndim :, 3 - ndim :] = metric
        root = np.asarray(np.linalg.cholesky(metric), dtype=np.float64)
    grain = np.arange(count, dtype=np.int32)
    if period is None:
        degree, found, _ = _cut(seeds @ root, weight, 0, count)
    else:
        seeds = wrap(seeds, period)
        # How far a ball of radius 1 in the metric reaches along each axis.
        extent = np.sqrt(np.diag(np.linalg.inv(root @ root.T)))
        reach = 6.0 * (math.prod(period) / count) ** (1 / ndim)
        while True:
            points, grain, periods = surround(seeds, period, reach * extent + margin)
            degree, found, radius = _cut(points @ root, weight[grain], 0, count)
            there = degree >= 0
            needed = reach_of_cells(radius[there], weight[there])
            if needed <= reach:
                break
            # Cells that still lack the copies to bound them seem larger than they are.
            reach = min(needed, 2 * reach)
        seeds, weight = points, weight[grain]
        more, others, _ = _cut(points @ root, weight, count, len(points))
        degree, found = np.concatenate([degree, more]), np.concatenate([found, others])
    padded = np.zeros((len(seeds), 3))
    padded[:, 3 - ndim :] = seeds
    start, neighbour, planes, pair = link(degree, found, padded, weight, matrix)
    if period is not None:
        pair = number_pairs(start, neighbour, grain, periods)
    return Cells(padded, weight, matrix, start, neighbour, planes, pair, grain, period is not None)


def _cut(
    points: FloatArray, weights: FloatArray, first: int, last: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], FloatArray]:
    """Neighbours of the stretched points ``first … last - 1``: how many, which, and how far the cell's corners are.

    In the stretched coordinates u = Lᵀs with M = LLᵀ cells are Euclidean.
    """
    from napari_anneal.synthesis.geometry.polygons import cut_polygons
    from napari_anneal.synthesis.geometry.polyhedra import cut_polyhedra
    from napari_anneal.synthesis.geometry.seed_tree import plant

    points = np.ascontiguousarray(points)
    # What lies a thousand times farther out than any seed, or its weight, can reach, nobody asks for.
    wide = FAR_OUT * (float(np.ptp(points, axis=0).max()) + float(np.sqrt(np.ptp(weights))) + 1.0)
    tree = plant(points, weights)
    cut = cut_polygons if points.shape[1] == 2 else cut_polyhedra
    degree, radius = np.empty(len(points), dtype=np.int64), np.zeros(len(points))

    def work(part: tuple[int, int]) -> npt.NDArray[np.int64]:
        found: npt.NDArray[np.int64] = cut(points, weights, *tree, wide, *part, degree, radius)
        return found

    workers = min(4, os.cpu_count() or 1) if last - first >= SEEDS_FOR_THREADS else 1
    if workers == 1:
        found = work((first, last))
    else:
        with ThreadPoolExecutor(workers) as pool:
            parts = pairwise(np.linspace(first, last, 4 * workers + 1).astype(int).tolist())
            found = np.concatenate(list(pool.map(work, parts)))
    return degree[first:last], found, radius[first:last]
