"""Who is whose neighbour: the planes between a cell and the cells it touches, from a regular triangulation.

With V_i(x) = (x − s_i)ᵀM(x − s_i) − w_i, cell i is where V_i is least, and the boundary to cell j is the plane
V_i = V_j. A cell is convex, so the distance from x to its boundary is that to the nearest plane, and only the
planes of true neighbours can be nearest. The neighbours are the edges of the regular (weighted Delaunay)
triangulation: the lower hull of the seeds lifted onto the paraboloid |u|² − w, with u = Lᵀs and M = LLᵀ.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

__all__ = ["Cells", "find_cells", "metric_matrix"]

FloatArray = npt.NDArray[np.float64]
# Up to this many seeds every other seed is taken as a neighbour: exact too, and no triangulation can degenerate.
ALL_PAIRS = 8
# Seeds closer than this (px, as decimals) count as one: a triangulation cannot tell them apart reliably.
DECIMALS = 6


@dataclass(frozen=True, eq=False)
class Cells:
    """Seeds, their metric, and the planes to their neighbours, in (Z, Y, X) order with Z = 0 for 2D.

    ``planes[start[i]:start[i + 1]]`` are the rows ``(g_z, g_y, g_x, c)`` of cell i: ``g·x + c`` is the Euclidean
    distance (px) from x to the plane between i and ``neighbour[e]``, positive inside i.
    """

    seeds: FloatArray  # (N, 3)
    weights: FloatArray  # (N,), px²
    metric: FloatArray  # (3, 3)
    start: npt.NDArray[np.int64]  # (N + 1,)
    neighbour: npt.NDArray[np.int32]  # (E,)
    planes: FloatArray  # (E, 4)

    @cached_property
    def pair(self) -> npt.NDArray[np.int32]:
        """Number of each plane's boundary, alike from both of its sides: int32 ``(E,)``, 0 … n_pairs - 1."""
        owner = np.repeat(np.arange(len(self.seeds)), np.diff(self.start))
        other = self.neighbour.astype(np.int64)
        codes = np.minimum(owner, other) * len(self.seeds) + np.maximum(owner, other)
        return np.unique(codes, return_inverse=True)[1].reshape(-1).astype(np.int32)

    @property
    def n_pairs(self) -> int:
        """Number of boundaries between two cells."""
        return self.neighbour.size // 2

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
    count, ndim = seeds.shape
    seeds = np.round(seeds, DECIMALS)
    matrix = np.eye(ndim) if metric is None else metric
    weight = np.zeros(count) if weights is None else np.asarray(weights, dtype=np.float64)
    start, neighbour = _neighbours(seeds, weight, np.asarray(np.linalg.cholesky(matrix), dtype=np.float64))
    owner = np.repeat(np.arange(count), np.diff(start))
    stretched = seeds @ matrix
    height = (seeds * stretched).sum(axis=1) - weight
    normal = stretched[owner] - stretched[neighbour]
    norm = np.sqrt((normal**2).sum(axis=1))
    planes = np.zeros((owner.size, 4))
    planes[:, 3 - ndim : 3] = normal / norm[:, None]
    planes[:, 3] = (height[neighbour] - height[owner]) / (2 * norm)
    padded, lifted = np.zeros((count, 3)), np.eye(3)
    padded[:, 3 - ndim :] = seeds
    lifted[3 - ndim :, 3 - ndim :] = matrix
    return Cells(padded, weight, lifted, start.astype(np.int64), neighbour.astype(np.int32), planes)


def _neighbours(
    points: FloatArray, weights: FloatArray, root: FloatArray
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Neighbours of every seed, ``neighbour[start[i]:start[i + 1]]``: the edges of the regular triangulation."""
    count, ndim = points.shape
    # Of coincident seeds only the heaviest, and of equal ones the first, can own anything.
    order = np.lexsort((-weights, *points.T))
    repeated = (points[order[1:]] == points[order[:-1]]).all(axis=1)
    if repeated.any():
        kept = np.sort(order[np.concatenate([[True], ~repeated])])
        start, neighbour = _neighbours(points[kept], weights[kept], root)
        degree = np.zeros(count, dtype=np.int64)
        degree[kept] = np.diff(start)
        return np.concatenate([[0], np.cumsum(degree)]), kept[neighbour]
    if count <= ALL_PAIRS:
        others = np.tile(np.arange(count), (count, 1))[~np.eye(count, dtype=bool)]
        return np.arange(count + 1) * (count - 1), others
    from scipy.spatial import ConvexHull, Delaunay, QhullError

    # Seeds on a line or in a plane are triangulated within it: their cells are prisms across it.
    centred = (points - points.mean(axis=0)) @ root
    _, extent, axes = np.linalg.svd(centred, full_matrices=False)
    rank = int((extent > 1e-9 * extent[0]).sum())
    flat = centred if rank == ndim else centred @ axes[:rank].T
    if rank > 1 and np.ptp(weights) == 0:
        start, neighbour = Delaunay(flat).vertex_neighbor_vertices
        return start.astype(np.int64), neighbour.astype(np.int64)
    scale = np.abs(flat).max()
    lifted = np.column_stack([flat / scale, ((flat**2).sum(axis=1) - weights) / scale**2])
    try:
        hull = ConvexHull(lifted)
    except QhullError:
        # Weights that undo the lift put all in one plane. Joggled input never fails, and what it adds or drops
        # then are faces of no extent.
        hull = ConvexHull(lifted, qhull_options="QJ")
    simplices = hull.simplices[hull.equations[:, rank] < 0].astype(np.int64)
    corners = range(simplices.shape[1])
    both_ways = [simplices[:, a] * count + simplices[:, b] for a in corners for b in corners if a != b]
    codes = np.unique(np.concatenate(both_ways))
    return np.searchsorted(codes, np.arange(count + 1) * count), codes % count
