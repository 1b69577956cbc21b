"""Who is whose neighbour: the planes between a cell and the cells it touches.

With V_i(x) = (x − s_i)ᵀM(x − s_i) − w_i, cell i is where V_i is least, and the boundary to cell j is the plane
V_i = V_j. A cell is convex, so the distance from x to its boundary is that to the nearest plane, and only the
planes of true neighbours can be nearest. Each cell is cut out of a wide box by its planes, nearest seeds first, until
no other seed can reach it (as in Rycroft 2009).
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

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

    @property
    def n_pairs(self) -> int:
        """Number of boundaries between two cells."""
        return self.neighbour.size // 2

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


def find_cells(seeds: FloatArray, weights: FloatArray | None = None, metric: FloatArray | None = None) -> Cells:
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

    Returns
    -------
    Cells
        In (Z, Y, X) order whatever the dimension.
    """
    from napari_anneal.synthesis.geometry.links import link
    from napari_anneal.synthesis.geometry.polygons import cut_polygons
    from napari_anneal.synthesis.geometry.polyhedra import cut_polyhedra
    from napari_anneal.synthesis.geometry.seed_tree import plant

    count, ndim = seeds.shape
    seeds = np.round(seeds, DECIMALS)
    weight = np.zeros(count) if weights is None else np.asarray(weights, dtype=np.float64)
    padded, matrix = np.zeros((count, 3)), np.eye(3)
    padded[:, 3 - ndim :] = seeds
    root = np.eye(ndim)
    if metric is not None:
        matrix[3 - ndim :, 3 - ndim :] = metric
        root = np.asarray(np.linalg.cholesky(metric), dtype=np.float64)
    # In the stretched coordinates u = Lᵀs with M = LLᵀ cells are Euclidean. What lies a thousand times farther out than
    # any seed, or its weight, can reach, nobody asks for.
    points = np.ascontiguousarray(seeds @ root)
    wide = FAR_OUT * (float(np.ptp(points, axis=0).max()) + float(np.sqrt(np.ptp(weight))) + 1.0)
    order, ends, boxes, heaviest = plant(points, weight)
    cut = cut_polygons if ndim == 2 else cut_polyhedra
    degree, radius = np.empty(count, dtype=np.int64), np.empty(count)

    def work(part: tuple[int, int]) -> npt.NDArray[np.int64]:
        return cut(points, weight, order, ends, boxes, heaviest, wide, part[0], part[1], degree, radius)

    workers = min(4, os.cpu_count() or 1) if count >= SEEDS_FOR_THREADS else 1
    if workers == 1:
        found = work((0, count))
    else:
        with ThreadPoolExecutor(workers) as pool:
            parts = pairwise(np.linspace(0, count, 4 * workers + 1).astype(int).tolist())
            found = np.concatenate(list(pool.map(work, parts)))
    start, neighbour, planes, pair = link(degree, found, padded, weight, matrix)
    return Cells(padded, weight, matrix, start, neighbour, planes, pair)
