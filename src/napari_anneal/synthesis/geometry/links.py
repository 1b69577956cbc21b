"""Compiled: from the neighbours that each cell has found to neighbours that agree, with the planes between them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled
from napari_anneal.synthesis.geometry.seed_tree import COINCIDES

__all__ = ["link"]

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
NOBODY = -1


@compiled
def link(
    degree: IntArray, found: IntArray, seeds: Array, weights: Array, metric: Array
) -> tuple[IntArray, npt.NDArray[np.int32], Array, npt.NDArray[np.int32]]:
    """Make neighbours mutual, sort them, and write the planes between them and the number of each boundary.

    ``degree`` is `EMPTY` for cells without extent, which are nobody's neighbours: a walk from cell to cell must not end
    in one. `COINCIDES` - k says that seed k owns the cell of a seed in the same place.
    Where rounding lets only one of two cells see the other, both get the plane. ``seeds`` are ``(N, 3)``, ``metric``
    ``(3, 3)``. Returns ``start``, ``neighbour``, ``planes`` and ``pair`` of `Cells`.
    """
    count = len(degree)
    raw = np.zeros(count + 1, np.int64)
    for i in range(count):
        raw[i + 1] = raw[i] + max(degree[i], 0)
    for i in range(count):
        for e in range(raw[i], raw[i + 1]):
            j = found[e]
            while degree[j] <= COINCIDES:
                j = COINCIDES - degree[j]
            if j != found[e]:
                found[e] = j
                for other in range(raw[i], raw[i + 1]):
                    if other != e and found[other] == j:
                        found[e] = NOBODY
            if degree[j] < 0:
                found[e] = NOBODY
    start = np.zeros(count + 1, np.int64)
    mutual = np.empty(len(found), np.bool_)
    for i in range(count):
        for e in range(raw[i], raw[i + 1]):
            j = found[e]
            mutual[e] = False
            if j == NOBODY:
                continue
            start[i + 1] += 1
            for back in range(raw[j], raw[j + 1]):
                if found[back] == i:
                    mutual[e] = True
                    break
            if not mutual[e]:
                start[j + 1] += 1
    for i in range(count):
        start[i + 1] += start[i]
    neighbour, filled = np.empty(start[count], np.int32), start[:count].copy()
    for i in range(count):
        for e in range(raw[i], raw[i + 1]):
            j = found[e]
            if j == NOBODY:
                continue
            neighbour[filled[i]] = j
            filled[i] += 1
            if not mutual[e]:
                neighbour[filled[j]] = i
                filled[j] += 1
    # Planes are g = M(s_i - s_j) / |M(s_i - s_j)| and c so that g·x + c is 0 where V_i = V_j.
    planes, pair = np.empty((start[count], 4)), np.empty(start[count], np.int32)
    stretched, height = np.zeros((count, 3)), np.empty(count)
    for i in range(count):
        height[i] = -weights[i]
        for a in range(3):
            for b in range(3):
                stretched[i, a] += metric[a, b] * seeds[i, b]
            height[i] += stretched[i, a] * seeds[i, a]
    pairs = 0
    g = np.empty(3)
    for i in range(count):
        for e in range(start[i] + 1, start[i + 1]):
            j, k = neighbour[e], e
            while k > start[i] and neighbour[k - 1] > j:
                neighbour[k] = neighbour[k - 1]
                k -= 1
            neighbour[k] = j
        for e in range(start[i], start[i + 1]):
            j = neighbour[e]
            square = 0.0
            for a in range(3):
                g[a] = stretched[i, a] - stretched[j, a]
                square += g[a] * g[a]
            per_norm = 1.0 / np.sqrt(square)
            for a in range(3):
                planes[e, a] = g[a] * per_norm
            planes[e, 3] = 0.5 * (height[j] - height[i]) * per_norm
            if i < j:
                pair[e] = pairs
                pairs += 1
            else:
                for back in range(start[j], start[j + 1]):
                    if neighbour[back] == i:
                        pair[e] = pair[back]
                        break
    return start, neighbour, planes, pair
