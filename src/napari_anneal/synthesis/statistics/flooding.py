"""Compiled floods over a pixel grid: basins that are deep enough, and cells that grow until they meet in thin lines.

Cells are connected through pixel faces (4 neighbours in 2D, 6 in 3D), so lines may be connected through corners.
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled

__all__ = ["find_basins", "grow_cells", "root"]

FloatImage = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]
IntArray = npt.NDArray[np.int64]


@compiled
def _faces(p: int | np.integer[Any], depth: int, height: int, width: int, near: IntArray) -> int:
    """Write the flat indices of the pixels that share a face with pixel p to ``near``; return how many there are."""
    plane = height * width
    z, y, x = p // plane, p // width % height, p % width
    n = 0
    if z > 0:
        near[n] = p - plane
        n += 1
    if z < depth - 1:
        near[n] = p + plane
        n += 1
    if y > 0:
        near[n] = p - width
        n += 1
    if y < height - 1:
        near[n] = p + width
        n += 1
    if x > 0:
        near[n] = p - 1
        n += 1
    if x < width - 1:
        near[n] = p + 1
        n += 1
    return n


@compiled
def root(parent: npt.NDArray[Any], k: int) -> int:
    """Representative of basin k in a union-find forest; shortens the path to it."""
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k


@compiled
def find_basins(surface: FloatImage, order: IntArray, least_depth: float, smallest: int, out: Labels) -> None:
    """Watershed basins of the pixels in ``order`` (flat indices, from low to high); ``out`` is 0 elsewhere.

    Two basins that meet stay apart where both lie at least ``least_depth`` below the pass between them and hold
    ``smallest`` pixels below it; otherwise they become one.
    """
    depth, height, width = surface.shape
    level, label = surface.ravel(), out.ravel()
    parent = np.zeros(order.size + 1, np.int32)
    floor = np.zeros(order.size + 1, np.float32)
    size = np.zeros(order.size + 1, np.int64)
    near, roots = np.empty(6, np.int64), np.empty(6, np.int64)
    count = 0
    for p in order:
        met, own = 0, 0
        lowest = np.float32(np.inf)
        for k in range(_faces(p, depth, height, width, near)):
            q = near[k]
            if label[q] == 0:
                continue
            r = root(parent, label[q])
            if level[q] < lowest:
                lowest, own = level[q], r
            roots[met] = r
            met += 1
        if met == 0:
            count += 1
            own = count
            parent[own] = own
            floor[own] = level[p]
        for i in range(met):
            for j in range(i + 1, met):
                a, b = root(parent, roots[i]), root(parent, roots[j])
                if a == b:
                    continue
                if level[p] - max(floor[a], floor[b]) < least_depth or min(size[a], size[b]) < smallest:
                    parent[b] = a
                    floor[a] = min(floor[a], floor[b])
                    size[a] += size[b]
        own = root(parent, own)
        label[p] = own
        size[own] += 1
    for p in order:
        label[p] = root(parent, label[p])


@compiled
def grow_cells(cells: Labels, key: FloatImage) -> None:
    """Grow the cells (> 0) over the pixels of 0, lowest key first, until only pixels where two cells meet are left.

    A pixel joins a cell where all its neighbours that belong to a cell belong to the same one; so cells never touch
    through a face, none vanishes, and what separates nothing is gone.
    """
    depth, height, width = cells.shape
    label, rank = cells.ravel(), key.ravel()
    near = np.empty(6, np.int64)
    # Equal keys come off the queue in the order they went on, so a flat part is shared evenly.
    turn = np.int64(0)
    queue = [(np.float32(0.0), turn, np.int64(0)) for _ in range(0)]
    queued = label > 0
    for p in np.flatnonzero(queued):
        for k in range(_faces(p, depth, height, width, near)):
            q = near[k]
            if not queued[q]:
                queued[q] = True
                turn += 1
                heapq.heappush(queue, (rank[q], turn, q))
    while len(queue) > 0:
        p = heapq.heappop(queue)[2]
        n = _faces(p, depth, height, width, near)
        own = 0
        for k in range(n):
            other = label[near[k]]
            if other > 0:
                own = other if own == 0 or own == other else -1
        if own <= 0:
            continue
        label[p] = own
        for k in range(n):
            q = near[k]
            if not queued[q]:
                queued[q] = True
                turn += 1
                heapq.heappush(queue, (rank[q], turn, q))
