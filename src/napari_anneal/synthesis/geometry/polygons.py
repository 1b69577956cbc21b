"""Compiled: the polygon of every 2D cell, cut out of a wide square by the bisectors with the seeds around it.

Seeds are met nearest first, by way of a tree of boxes. With v a corner, seen from the cell's own seed i, another seed j
at r cuts it off where |v - r|² - w_j < |v|² - w_i. So a box of seeds that is far enough from every corner is passed
over whole, and the polygon is done when no box is left (the 'radius of security' of Rycroft 2009, one for each corner).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled
from napari_anneal.synthesis.geometry.seed_tree import COINCIDES, EMPTY

__all__ = ["cut_polygons"]

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
# A corner so little beyond a bisector, relative to how far away it is, is on it: seeds on a grid meet in fours.
ON_IT = 1e-13


@compiled
def cut_polygons(
    points: Array,
    weights: Array,
    order: IntArray,
    ends: IntArray,
    boxes: Array,
    heaviest: Array,
    wide: float,
    first: int,
    last: int,
    degree: IntArray,
    radius: Array,
) -> IntArray:
    """Neighbours of the cells ``first … last - 1``, one after the other, for points in the plane.

    ``order``, ``ends``, ``boxes`` and ``heaviest`` are those of `plant`; ``wide`` is half the side of the square to
    begin with. ``degree`` takes the number of neighbours (or `EMPTY` or `COINCIDES`) and ``radius`` how far the corners
    of the cell are from its seed.
    """
    leaves = len(boxes) // 2
    spread = heaviest[1]
    # Every cut adds one corner at most. (Arrays that could grow in the loop would cost four times as much.)
    most = len(points) + 8
    y, x, far, h, side = np.empty(most), np.empty(most), np.empty(most), np.empty(most), np.empty(most, np.int64)
    next_y, next_x, next_side = np.empty(most), np.empty(most), np.empty(most, np.int64)
    stack, to_stack = np.empty(128, np.int64), np.empty(128)
    found, total = np.empty(8 * (last - first) + 64, np.int64), 0
    for i in range(first, last):
        own_y, own_x, weight = points[i, 0], points[i, 1], weights[i]
        n = 4
        y[0], x[0], y[1], x[1] = -wide, -wide, -wide, wide
        y[2], x[2], y[3], x[3] = wide, wide, wide, -wide
        side[:4] = -1
        degree[i] = EMPTY
        reach2 = 2.0 * wide * wide
        far[:4] = reach2
        secure2 = np.inf
        stack[0], to_stack[0] = 1, 0.0
        top = 1
        while top > 0 and n > 0:
            top -= 1
            node = stack[top]
            if to_stack[top] > secure2:
                continue
            if node < leaves:
                if to_stack[top] > 0.0:
                    excess = heaviest[node] - weight
                    y0, x0 = boxes[node, 0] - own_y, boxes[node, 1] - own_x
                    y1, x1 = boxes[node, 2] - own_y, boxes[node, 3] - own_x
                    near = False
                    for k in range(n):
                        if _beyond(y[k], x[k], y0, x0, y1, x1) < far[k] + excess + 1e-12 * far[k]:
                            near = True
                            break
                    if not near:
                        continue
                left, right = 2 * node, 2 * node + 1
                to_left = _beyond(own_y, own_x, boxes[left, 0], boxes[left, 1], boxes[left, 2], boxes[left, 3])
                to_right = _beyond(own_y, own_x, boxes[right, 0], boxes[right, 1], boxes[right, 2], boxes[right, 3])
                # The nearer child is looked at first.
                if to_left <= to_right:
                    left, right, to_left, to_right = right, left, to_right, to_left
                if to_left <= secure2:
                    stack[top], to_stack[top] = left, to_left
                    top += 1
                stack[top], to_stack[top] = right, to_right
                top += 1
                continue
            for place in range(ends[node - leaves], ends[node - leaves + 1]):
                j = order[place]
                if j == i:
                    continue
                ry, rx = points[j, 0] - own_y, points[j, 1] - own_x
                square = ry * ry + rx * rx
                if square > secure2:
                    continue
                if square == 0.0:
                    # Of coincident seeds only the heaviest, and of equal ones the first, can own anything.
                    if weights[j] > weight or (weights[j] == weight and j < i):
                        n, degree[i] = 0, COINCIDES - j
                        break
                    continue
                middle = 0.5 * (square + weight - weights[j])
                least, lowest = 0.0, 0
                for k in range(n):
                    h[k] = middle - ry * y[k] - rx * x[k]
                    if h[k] < least:
                        least, lowest = h[k], k
                if least == 0.0 or least >= -ON_IT * (np.sqrt(square * reach2) + square):
                    continue
                # The corners beyond the bisector, around the lowest of them: from `out` to before `back`.
                out = back = lowest
                gone = 0
                while h[back] < 0.0 and gone < n:
                    back = back + 1 if back + 1 < n else 0
                    gone += 1
                before = out - 1 if out > 0 else n - 1
                while h[before] < 0.0 and gone < n:
                    out = before
                    before = out - 1 if out > 0 else n - 1
                    gone += 1
                if gone == n:
                    n = 0
                    break
                final = back - 1 if back > 0 else n - 1
                k = back
                for m in range(n - gone):
                    next_y[m], next_x[m], next_side[m] = y[k], x[k], side[k]
                    k = k + 1 if k + 1 < n else 0
                m = n - gone
                t = h[before] / (h[before] - h[out])
                next_y[m], next_x[m] = y[before] + t * (y[out] - y[before]), x[before] + t * (x[out] - x[before])
                next_side[m] = j
                t = h[back] / (h[back] - h[final])
                next_y[m + 1], next_x[m + 1] = y[back] + t * (y[final] - y[back]), x[back] + t * (x[final] - x[back])
                next_side[m + 1] = side[final]
                n = m + 2
                reach2 = 0.0
                for k in range(n):
                    y[k], x[k], side[k] = next_y[k], next_x[k], next_side[k]
                    far[k] = y[k] * y[k] + x[k] * x[k]
                    reach2 = max(reach2, far[k])
                # Nothing farther away can reach any corner.
                secure2 = (np.sqrt(reach2) + np.sqrt(reach2 + spread - weight)) ** 2 * (1.0 + 1e-12)
        radius[i] = np.sqrt(reach2)
        if n == 0:
            continue
        if total + n > len(found):
            longer = np.empty(2 * (total + n), np.int64)
            longer[:total] = found[:total]
            found = longer
        begin = total
        for k in range(n):
            if side[k] >= 0:
                found[total] = side[k]
                total += 1
        degree[i] = total - begin
    return found[:total]


@compiled
def _beyond(y: float, x: float, y0: float, x0: float, y1: float, x1: float) -> float:
    """Squared distance from a point to a box."""
    dy, dx = max(y0 - y, 0.0, y - y1), max(x0 - x, 0.0, x - x1)
    return dy * dy + dx * dx
