"""Compiled kernels: the exact size, centroid and facets of every cell, by clipping the box with a cell's planes.

A cell is the part of the box on the inner side of all its planes (see `cells`), so it is cut out of the box one plane
after the other (Sutherland and Hodgman 1974); what is left of each plane is a facet.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled

__all__ = ["clip_polygons", "clip_polyhedra"]

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@compiled
def clip_polygons(
    start: IntArray, planes: Array, box: Array, first: int, last: int, size: Array, centroid: Array, facet: Array
) -> None:
    """Area (px²), centroid (z, y, x) and edge lengths (px, one a plane) of the 2D cells ``first … last - 1``.

    ``box`` is ``((y0, y1), (x0, x1))`` in px. A cell without extent has size 0 and keeps its ``centroid``.
    """
    most = np.max(start[1:] - start[:-1]) + 8
    y, x, d = np.empty(most), np.empty(most), np.empty(most)
    next_y, next_x = np.empty(most), np.empty(most)
    side, next_side = np.empty(most, np.int64), np.empty(most, np.int64)
    for i in range(first, last):
        if start[i] == start[i + 1] and start.size > 2:
            continue  # hidden by others
        # Corner k is where side k begins; the sides of the box bear the number -1.
        n = 4
        y[0], x[0], y[1], x[1] = box[0, 0], box[1, 0], box[0, 0], box[1, 1]
        y[2], x[2], y[3], x[3] = box[0, 1], box[1, 1], box[0, 1], box[1, 0]
        side[:4] = -1
        for e in range(start[i], start[i + 1]):
            least = np.inf
            for k in range(n):
                d[k] = planes[e, 1] * y[k] + planes[e, 2] * x[k] + planes[e, 3]
                least = min(least, d[k])
            if least >= 0.0:
                continue
            m = 0
            for k in range(n):
                after = k + 1 if k + 1 < n else 0
                if d[k] >= 0.0:
                    next_y[m], next_x[m], next_side[m] = y[k], x[k], side[k]
                    m += 1
                if (d[k] >= 0.0) != (d[after] >= 0.0):
                    t = d[k] / (d[k] - d[after])
                    next_y[m], next_x[m] = y[k] + t * (y[after] - y[k]), x[k] + t * (x[after] - x[k])
                    next_side[m] = e if d[k] >= 0.0 else side[k]
                    m += 1
            y, next_y, x, next_x, side, next_side = next_y, y, next_x, x, next_side, side
            n = m
            if n == 0:
                break
        area, total_y, total_x = 0.0, 0.0, 0.0
        for k in range(n):
            after = k + 1 if k + 1 < n else 0
            # Relative to a corner, so that nothing cancels far from the origin.
            ay, ax, by, bx = y[k] - y[0], x[k] - x[0], y[after] - y[0], x[after] - x[0]
            cross = ax * by - bx * ay
            area += cross / 2.0
            total_y += cross * (ay + by) / 6.0
            total_x += cross * (ax + bx) / 6.0
            if side[k] >= 0:
                facet[side[k]] += np.hypot(by - ay, bx - ax)
        if area > 0.0:
            size[i] = area
            centroid[i, 0], centroid[i, 1], centroid[i, 2] = 0.0, y[0] + total_y / area, x[0] + total_x / area


@compiled
def clip_polyhedra(
    start: IntArray, planes: Array, box: Array, first: int, last: int, size: Array, centroid: Array, facet: Array
) -> None:
    """Volume (px³), centroid (z, y, x) and facet areas (px², one a plane) of the 3D cells ``first … last - 1``.

    ``box`` is ``((z0, z1), (y0, y1), (x0, x1))`` in px. A cell without extent has size 0 and keeps its ``centroid``.
    """
    most = np.max(start[1:] - start[:-1]) + 8
    # Every face is a polygon of corners of its own, counterclockwise seen from outside.
    corner, count, label = np.empty((most, most, 3)), np.zeros(most, np.int64), np.empty(most, np.int64)
    d, clipped, cap, angle = np.empty(most), np.empty((most, 3)), np.empty((most, 3)), np.empty(most)
    total, cross = np.empty(3), np.empty(3)
    for i in range(first, last):
        if start[i] == start[i + 1] and start.size > 2:
            continue  # hidden by others
        faces = _box_faces(box, corner, count, label)
        for e in range(start[i], start[i + 1]):
            g, c = planes[e, :3], planes[e, 3]
            least, greatest = np.inf, -np.inf
            for f in range(faces):
                for k in range(count[f]):
                    value = g[0] * corner[f, k, 0] + g[1] * corner[f, k, 1] + g[2] * corner[f, k, 2] + c
                    least, greatest = min(least, value), max(greatest, value)
            if least >= 0.0:
                continue
            if greatest <= 0.0:
                faces = 0
                break
            cuts = 0
            kept = 0
            for f in range(faces):
                n, m = count[f], 0
                for k in range(n):
                    d[k] = g[0] * corner[f, k, 0] + g[1] * corner[f, k, 1] + g[2] * corner[f, k, 2] + c
                for k in range(n):
                    after = k + 1 if k + 1 < n else 0
                    if d[k] >= 0.0:
                        clipped[m] = corner[f, k]
                        m += 1
                    if (d[k] >= 0.0) != (d[after] >= 0.0):
                        # From the inner corner whichever face asks: both of an edge's faces get the same point.
                        inner, outer = (k, after) if d[k] >= 0.0 else (after, k)
                        t = d[inner] / (d[inner] - d[outer])
                        for a in range(3):
                            clipped[m, a] = corner[f, inner, a] + t * (corner[f, outer, a] - corner[f, inner, a])
                        if inner == k:
                            cap[cuts] = clipped[m]
                            cuts += 1
                        m += 1
                if m >= 3:
                    corner[kept, :m] = clipped[:m]
                    count[kept], label[kept] = m, label[f]
                    kept += 1
            faces = kept
            if cuts >= 3:
                _order_around(g, cap, angle, cuts)
                corner[faces, :cuts] = cap[:cuts]
                count[faces], label[faces] = cuts, e
                faces += 1
        volume = 0.0
        total[:] = 0.0
        if faces > 0:
            apex = corner[0, 0].copy()
        for f in range(faces):
            cross[:] = 0.0
            p = corner[f, 0]
            for k in range(1, count[f] - 1):
                q, r = corner[f, k], corner[f, k + 1]
                nz = (q[1] - p[1]) * (r[2] - p[2]) - (q[2] - p[2]) * (r[1] - p[1])
                ny = (q[2] - p[2]) * (r[0] - p[0]) - (q[0] - p[0]) * (r[2] - p[2])
                nx = (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])
                cross[0], cross[1], cross[2] = cross[0] + nz, cross[1] + ny, cross[2] + nx
                part = (nz * (p[0] - apex[0]) + ny * (p[1] - apex[1]) + nx * (p[2] - apex[2])) / 6.0
                volume += part
                for a in range(3):
                    total[a] += part * (p[a] + q[a] + r[a] - 3.0 * apex[a]) / 4.0
            if label[f] >= 0:
                facet[label[f]] = 0.5 * np.sqrt(cross[0] ** 2 + cross[1] ** 2 + cross[2] ** 2)
        if volume > 0.0:
            size[i] = volume
            for a in range(3):
                centroid[i, a] = apex[a] + total[a] / volume


@compiled
def _box_faces(box: Array, corner: Array, count: IntArray, label: IntArray) -> int:
    """Write the six faces of the box, counterclockwise seen from outside; they bear the number -1."""
    for axis in range(3):
        b, c = (axis + 1) % 3, (axis + 2) % 3
        for high in range(2):
            f = 2 * axis + high
            for k in range(4):
                # Around the axis, and the other way round on the low side.
                turn = k if high == 1 else 3 - k
                corner[f, k, axis] = box[axis, high]
                corner[f, k, b] = box[b, 1 if turn == 1 or turn == 2 else 0]
                corner[f, k, c] = box[c, 1 if turn >= 2 else 0]
            count[f], label[f] = 4, -1
    return 6


@compiled
def _order_around(g: Array, cap: Array, angle: Array, n: int) -> None:
    """Sort the corners of a new face, whose outer normal is -g, counterclockwise seen from outside."""
    # Two directions in the plane with u × v = -g.
    u, v, middle = np.zeros(3), np.empty(3), np.zeros(3)
    least = np.argmin(np.abs(g))
    b, c = (least + 1) % 3, (least + 2) % 3
    length = np.hypot(g[b], g[c])
    u[b], u[c] = g[c] / length, -g[b] / length
    v[0], v[1], v[2] = u[1] * g[2] - u[2] * g[1], u[2] * g[0] - u[0] * g[2], u[0] * g[1] - u[1] * g[0]
    for k in range(n):
        middle += cap[k] / n
    for k in range(n):
        along, across = 0.0, 0.0
        for a in range(3):
            along += u[a] * (cap[k, a] - middle[a])
            across += v[a] * (cap[k, a] - middle[a])
        angle[k] = np.arctan2(across, along)
    for k in range(1, n):
        value, z, y, x = angle[k], cap[k, 0], cap[k, 1], cap[k, 2]
        j = k
        while j > 0 and angle[j - 1] > value:
            angle[j] = angle[j - 1]
            cap[j] = cap[j - 1]
            j -= 1
        angle[j], cap[j, 0], cap[j, 1], cap[j, 2] = value, z, y, x
