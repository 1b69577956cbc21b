"""Compiled: the polyhedron of every 3D cell, cut out of a wide cube by the bisectors with the seeds around it.

As in `polygons`, seeds are met nearest first by way of a tree of boxes. A polyhedron is kept as its corners, each the
meeting point of three planes (as in Ray, Sokolov, Lefebvre and Levy 2018): ``faces`` names them counterclockwise, and
``at[p, q]`` is the corner at which, around it, plane q follows plane p; the corner across that edge is ``at[q, p]``.
A cut takes some corners away, and every edge from one that stays to one that goes gets a new corner.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled
from napari_anneal.synthesis.geometry.polygons import ON_IT
from napari_anneal.synthesis.geometry.seed_tree import COINCIDES, EMPTY

__all__ = ["cut_polyhedra"]

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
# More planes than the arrays have room for.
TOO_MANY = np.iinfo(np.int64).min


@compiled
def cut_polyhedra(
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
    """Neighbours of the cells ``first … last - 1``, one after the other, for points in space; see `cut_polygons`."""
    planes = 96
    v, faces, h = np.empty((4 * planes, 3)), np.empty((4 * planes, 3), np.int64), np.empty(4 * planes)
    edges, far = np.empty((4 * planes, 4), np.int64), np.empty(4 * planes)
    at, name, used = np.empty((planes, planes), np.int64), np.empty(planes, np.int64), np.empty(planes, np.int64)
    own = np.empty(len(points) + 8, np.int64)
    found, total = np.empty(20 * (last - first) + 64, np.int64), 0
    for i in range(first, last):
        n = TOO_MANY
        while n == TOO_MANY:
            n = _cut_cell(
                points, weights, order, ends, boxes, heaviest, wide, i, v, faces, h, edges, far, at, name, used, own,
                radius,
            )  # fmt: skip
            if n == TOO_MANY:
                planes *= 2
                v, faces, h = np.empty((4 * planes, 3)), np.empty((4 * planes, 3), np.int64), np.empty(4 * planes)
                edges, far = np.empty((4 * planes, 4), np.int64), np.empty(4 * planes)
                at, name = np.empty((planes, planes), np.int64), np.empty(planes, np.int64)
                used = np.empty(planes, np.int64)
        degree[i] = n
        if n > 0:
            if total + n > len(found):
                longer = np.empty(2 * (total + n), np.int64)
                longer[:total] = found[:total]
                found = longer
            found[total : total + n] = own[:n]
            total += n
    return found[:total]


@compiled
def _cut_cell(
    points: Array,
    weights: Array,
    order: IntArray,
    ends: IntArray,
    boxes: Array,
    heaviest: Array,
    wide: float,
    i: int,
    v: Array,
    faces: IntArray,
    h: Array,
    edges: IntArray,
    far: Array,
    at: IntArray,
    name: IntArray,
    used: IntArray,
    own: IntArray,
    radius: Array,
) -> int:
    """Write the neighbours of cell i to ``own`` and return how many; `EMPTY` or `TOO_MANY` planes for the arrays."""
    leaves, spread, weight = len(boxes) // 2, heaviest[1], weights[i]
    point = points[i]
    pz, py, px = point
    n, m = _begin(wide, v, faces, at, name), 6
    reach2 = 3.0 * wide * wide
    far[:n] = reach2
    secure2 = np.inf
    # Where rounding has made a cut ambiguous, whatever is in reach counts as a neighbour: more planes than needed
    # change nothing.
    broken, listed = False, 0
    stack, to_stack = np.empty(128, np.int64), np.empty(128)
    stack[0], to_stack[0] = 1, 0.0
    top = 1
    while top > 0:
        top -= 1
        node = stack[top]
        if to_stack[top] > secure2:
            continue
        if node < leaves:
            if to_stack[top] > 0.0:
                excess = heaviest[node] - weight
                z0, y0, x0 = boxes[node, 0] - pz, boxes[node, 1] - py, boxes[node, 2] - px
                z1, y1, x1 = boxes[node, 3] - pz, boxes[node, 4] - py, boxes[node, 5] - px
                near = False
                for k in range(n):
                    z, y, x = v[k, 0], v[k, 1], v[k, 2]
                    dz, dy, dx = max(z0 - z, 0.0, z - z1), max(y0 - y, 0.0, y - y1), max(x0 - x, 0.0, x - x1)
                    if dz * dz + dy * dy + dx * dx < far[k] + excess + 1e-12 * far[k]:
                        near = True
                        break
                if not near:
                    continue
            left, right = 2 * node, 2 * node + 1
            to_left, to_right = _beyond(point, boxes[left]), _beyond(point, boxes[right])
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
            rz, ry, rx = points[j, 0] - pz, points[j, 1] - py, points[j, 2] - px
            square = rz * rz + ry * ry + rx * rx
            if square > secure2:
                continue
            if square == 0.0:
                # Of coincident seeds only the heaviest, and of equal ones the first, can own anything.
                if weights[j] > weight or (weights[j] == weight and j < i):
                    return int(COINCIDES - j)
                continue
            if broken:
                own[listed] = j
                listed += 1
                continue
            middle = 0.5 * (square + weight - weights[j])
            least = 0.0
            for k in range(n):
                h[k] = middle - rz * v[k, 0] - ry * v[k, 1] - rx * v[k, 2]
                least = min(least, h[k])
            beyond = -ON_IT * (np.sqrt(square * reach2) + square)
            if least >= beyond:
                continue
            if m == len(name):
                return TOO_MANY
            # Edges from corners that go (t) to corners that stay (u); they run once around the new face.
            used[:m] = 0
            cuts, gone = 0, 0
            for t in range(n):
                if h[t] >= beyond:
                    continue
                gone += 1
                for a in range(3):
                    p, q = faces[t, a], faces[t, a + 1 if a < 2 else 0]
                    u = at[q, p]
                    if h[u] >= beyond:
                        broken = broken or used[p] == 1
                        used[p] = 1
                        edges[cuts, 0], edges[cuts, 1], edges[cuts, 2], edges[cuts, 3] = t, u, p, q
                        cuts += 1
            if gone == n:
                return EMPTY
            name[m] = j
            if broken:
                for k in range(6, m + 1):
                    own[listed] = name[k]
                    listed += 1
                continue
            for c in range(cuts):
                t, u, p, q = edges[c, 0], edges[c, 1], edges[c, 2], edges[c, 3]
                s = min(max(h[u] / (h[u] - h[t]), 0.0), 1.0)
                k = n + c
                for a in range(3):
                    v[k, a] = v[u, a] + s * (v[t, a] - v[u, a])
                h[k] = 0.0
                far[k] = v[k, 0] * v[k, 0] + v[k, 1] * v[k, 1] + v[k, 2] * v[k, 2]
                faces[k, 0], faces[k, 1], faces[k, 2] = p, q, m
                at[p, q], at[q, m], at[m, p] = k, k, k
            m += 1
            # Corners from the end fill the gaps.
            n += cuts
            t = 0
            while t < n:
                if h[t] >= beyond:
                    t += 1
                    continue
                n -= 1
                if t < n and h[n] >= beyond:
                    for a in range(3):
                        v[t, a], faces[t, a] = v[n, a], faces[n, a]
                    h[t], far[t] = h[n], far[n]
                    p, q, r = faces[t, 0], faces[t, 1], faces[t, 2]
                    at[p, q], at[q, r], at[r, p] = t, t, t
                    t += 1
            reach2 = 0.0
            for k in range(n):
                reach2 = max(reach2, far[k])
            # Nothing farther away can reach any corner.
            secure2 = (np.sqrt(reach2) + np.sqrt(reach2 + spread - weight)) ** 2 * (1.0 + 1e-12)
    radius[i] = np.sqrt(reach2)
    if broken:
        return listed
    used[:m] = 0
    for k in range(n):
        for a in range(3):
            used[faces[k, a]] = 1
    for k in range(6, m):
        if used[k] == 1:
            own[listed] = name[k]
            listed += 1
    return listed


@compiled
def _begin(wide: float, v: Array, faces: IntArray, at: IntArray, name: IntArray) -> int:
    """Write the cube: corner 4z + 2y + x, planes 2 axis + side."""
    name[:6] = -1
    for k in range(8):
        z, y, x = k >> 2, (k >> 1) & 1, k & 1
        v[k, 0], v[k, 1], v[k, 2] = (2 * z - 1) * wide, (2 * y - 1) * wide, (2 * x - 1) * wide
        p, q, r = z, 2 + y, 4 + x
        if (z + y + x) % 2 == 0:
            q, r = r, q
        faces[k, 0], faces[k, 1], faces[k, 2] = p, q, r
        at[p, q], at[q, r], at[r, p] = k, k, k
    return 8


@compiled
def _beyond(point: Array, box: Array) -> float:
    """Squared distance from a point to a box."""
    total = 0.0
    for a in range(3):
        d = max(box[a] - point[a], 0.0, point[a] - box[3 + a])
        total += d * d
    return total
