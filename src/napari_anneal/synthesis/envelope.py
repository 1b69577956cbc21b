"""Compiled kernels: who owns each pixel, and how far it is to the boundary of its cell.

Along an image row all V_i(x) share their quadratic term, so the owners are the lower envelope of straight lines
whose slopes have the same order in every row: after one sort, a row costs O(seeds that can reach it + pixels).
Seeds are culled for a block of rows at a time. On the run of pixels a cell owns, the distance is the least of a
few functions that are affine in x.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled

__all__ = ["fill_rows", "walk_pixels"]

Array = npt.NDArray[np.float64]


@compiled
def _envelope(
    lines: npt.NDArray[np.int64], slope: Array, offset: Array, stack: npt.NDArray[np.int64], left: Array
) -> int:
    """Lower envelope of lines given in order of falling slope; returns how many are on it.

    ``stack[k]`` owns the row from ``left[k]`` on. Of lines that are equal the first given stays.
    """
    top = 0
    for i in lines:
        begin = -np.inf
        keep = True
        while top > 0:
            other = stack[top - 1]
            fall = slope[other] - slope[i]
            if fall <= 0.0:
                if offset[i] >= offset[other]:
                    keep = False
                    break
                top -= 1
                continue
            begin = (offset[i] - offset[other]) / fall
            if begin > left[top - 1]:
                break
            top -= 1
        if not keep:
            continue
        left[top] = begin if top > 0 else -np.inf
        stack[top] = i
        top += 1
    return top


@compiled
def fill_rows(
    seeds: Array,
    weights: Array,
    metric: Array,
    order: npt.NDArray[np.int64],
    start: npt.NDArray[np.int64],
    planes: Array,
    origin: npt.NDArray[np.int64],
    block: npt.NDArray[np.int64],
    first_block: int,
    last_block: int,
    with_distance: bool,
    labels: npt.NDArray[np.int32],
    distance: npt.NDArray[np.float32],
) -> None:
    """Fill blocks ``first_block … last_block - 1`` of rows of ``labels`` (seed index) and ``distance`` (px).

    ``order`` sorts the seeds by the x component of M s; ``origin`` is the index of the first pixel of the arrays
    in the frame of the seeds; ``block`` the rows of a block along Z and Y.
    """
    depth, height, width = labels.shape
    count = seeds.shape[0]
    mxx = metric[2, 2]
    # What is left of the metric across a row once x is chosen best (the Schur complement).
    azz = metric[0, 0] - metric[0, 2] * metric[0, 2] / mxx
    ayy = metric[1, 1] - metric[1, 2] * metric[1, 2] / mxx
    azy = metric[0, 1] - metric[0, 2] * metric[1, 2] / mxx
    slope, offset, left = np.empty(count), np.empty(count), np.empty(count + 1)
    stack, near, everyone = np.empty(count, np.int64), np.empty(count, np.int64), order
    blocks_y = (height + block[1] - 1) // block[1]
    for number in range(first_block, last_block):
        z0, y0 = (number // blocks_y) * block[0], (number % blocks_y) * block[1]
        z1, y1 = min(z0 + block[0], depth), min(y0 + block[1], height)
        zc, yc = origin[0] + 0.5 * (z0 + z1 - 1), origin[1] + 0.5 * (y0 + y1 - 1)
        dz, dy = 0.5 * (z1 - 1 - z0), 0.5 * (y1 - 1 - y0)
        reach = np.sqrt(metric[0, 0]) * dz + np.sqrt(metric[1, 1]) * dy
        # The envelope of the middle row bounds what any pixel of the block can cost; seeds dearer than that are culled.
        n_near = count
        if count > 16:
            for k in range(count):
                i = order[k]
                qz, qy = zc - seeds[i, 0], yc - seeds[i, 1]
                slope[i] = 2.0 * (metric[2, 0] * qz + metric[2, 1] * qy - mxx * seeds[i, 2])
                offset[i] = (
                    metric[0, 0] * qz * qz
                    + 2.0 * metric[0, 1] * qz * qy
                    + metric[1, 1] * qy * qy
                    - 2.0 * (metric[2, 0] * qz + metric[2, 1] * qy) * seeds[i, 2]
                    + mxx * seeds[i, 2] * seeds[i, 2]
                    - weights[i]
                )
            top = _envelope(everyone, slope, offset, stack, left)
            left[top] = np.inf
            bound = -np.inf
            for k in range(top):
                i = stack[k]
                if left[k + 1] < origin[2] or left[k] > origin[2] + width - 1:
                    continue
                for end in range(2):
                    # Over its stretch of the row V_i is convex, so it is largest at an end.
                    x = left[k + end]
                    x = min(max(x, float(origin[2])), float(origin[2] + width - 1))
                    value = mxx * x * x + slope[i] * x + offset[i]
                    radius = np.sqrt(max(value + weights[i], 0.0))
                    bound = max(bound, value + 2.0 * reach * radius + reach * reach)
            n_near = 0
            for k in range(count):
                i = order[k]
                qz, qy = zc - seeds[i, 0], yc - seeds[i, 1]
                across = np.sqrt(max(azz * qz * qz + 2.0 * azy * qz * qy + ayy * qy * qy, 0.0))
                across = max(across - reach, 0.0)
                if across * across - weights[i] <= bound + 1e-9 * (abs(bound) + 1.0):
                    near[n_near] = i
                    n_near += 1
        else:
            near[:count] = order
        for z in range(z0, z1):
            for y in range(y0, y1):
                for k in range(n_near):
                    i = near[k]
                    qz, qy = origin[0] + z - seeds[i, 0], origin[1] + y - seeds[i, 1]
                    mixed = metric[2, 0] * qz + metric[2, 1] * qy
                    sx = seeds[i, 2]
                    slope[i] = 2.0 * (mixed - mxx * sx)
                    offset[i] = (
                        metric[0, 0] * qz * qz
                        + 2.0 * metric[0, 1] * qz * qy
                        + metric[1, 1] * qy * qy
                        - 2.0 * mixed * sx
                        + mxx * sx * sx
                        - weights[i]
                    )
                top = _envelope(near[:n_near], slope, offset, stack, left)
                left[top] = np.inf
                for k in range(top):
                    a = left[k] - origin[2]
                    b = left[k + 1] - origin[2]
                    if b <= 0.0 or a > width - 1:
                        continue
                    x0 = 0 if a <= 0.0 else int(np.ceil(a))
                    x1 = width if b >= width else int(np.ceil(b))
                    i = stack[k]
                    row = labels[z, y]
                    for x in range(x0, x1):
                        row[x] = i
                    if with_distance and x1 > x0:
                        _distance_of_run(
                            planes,
                            start[i],
                            start[i + 1],
                            origin[0] + z,
                            origin[1] + y,
                            origin[2] + x0,
                            distance[z, y, x0:x1],
                        )


@compiled
def _distance_of_run(
    planes: Array, first: int, last: int, z: int, y: int, x0: int, run: npt.NDArray[np.float32]
) -> None:
    """Least distance to the planes ``first … last - 1`` for pixels x0, x0 + 1, … of one cell and row."""
    run[:] = np.inf
    for e in range(first, last):
        base = np.float32(planes[e, 0] * z + planes[e, 1] * y + planes[e, 2] * x0 + planes[e, 3])
        step = np.float32(planes[e, 2])
        for k in range(run.size):
            run[k] = min(run[k], base + step * np.float32(k))
    for k in range(run.size):
        run[k] = max(run[k], np.float32(0.0))


@compiled
def walk_pixels(
    start: npt.NDArray[np.int64],
    neighbour: npt.NDArray[np.int32],
    planes: Array,
    begin: int,
    shift: npt.NDArray[np.float32],
    smoothing: float,
    labels: npt.NDArray[np.int32],
    distance: npt.NDArray[np.float32],
) -> None:
    """Owners and distances where boundaries are bent or their corners rounded, pixel by pixel.

    Pixel x belongs to the cell that owns x + shift(x): from the previous pixel's cell, step across any plane
    that x lies beyond (each step lowers V, so the walk ends at the owner). To first order the distance is that to the
    plane, divided by how much the shift stretches the normal there. ``shift`` is ``(3, Z, Y, X)``.
    """
    depth, height, width = labels.shape
    values = np.empty(np.max(start[1:] - start[:-1]) + 1)
    jac = np.zeros((3, 3))
    at_row = begin
    for z in range(depth):
        za, zb = max(z - 1, 0), min(z + 1, depth - 1)
        per_z = 1.0 / max(zb - za, 1)
        for y in range(height):
            ya, yb = max(y - 1, 0), min(y + 1, height - 1)
            per_y = 1.0 / max(yb - ya, 1)
            owner = at_row
            for x in range(width):
                pz, py, px = z + shift[0, z, y, x], y + shift[1, z, y, x], x + shift[2, z, y, x]
                moved = True
                while moved:
                    moved = False
                    first, last = start[owner], start[owner + 1]
                    for e in range(first, last):
                        value = planes[e, 0] * pz + planes[e, 1] * py + planes[e, 2] * px + planes[e, 3]
                        if value < 0.0:
                            owner = neighbour[e]
                            moved = True
                            break
                        values[e - first] = value
                if x == 0:
                    at_row = owner
                labels[z, y, x] = owner
                xa, xb = max(x - 1, 0), min(x + 1, width - 1)
                per_x = 0.5 if xb - xa == 2 else 1.0
                excess = 0.0
                for a in range(3):
                    # For 2D the shift along Z is zero, and so are its differences.
                    if a == 0 and depth == 1:
                        jac[0, 0] = 1.0
                        continue
                    jac[a, 0] = (shift[a, zb, y, x] - shift[a, za, y, x]) * per_z
                    jac[a, 1] = (shift[a, z, yb, x] - shift[a, z, ya, x]) * per_y
                    jac[a, 2] = (shift[a, z, y, xb] - shift[a, z, y, xa]) * per_x
                    excess += jac[a, 0] * jac[a, 0] + jac[a, 1] * jac[a, 1] + jac[a, 2] * jac[a, 2]
                    jac[a, a] += 1.0
                # No normal is stretched more than this, so most planes are out of question at once.
                most = 1.0 + np.sqrt(excess)
                least = np.inf
                for e in range(first, last):
                    if values[e - first] < least * most:
                        values[e - first] /= _stretch(planes, e, jac)
                        least = min(least, values[e - first])
                if smoothing > 0.0 and least < 12.0 * smoothing:
                    # Planes that were out of question count at their unstretched distance: their share is tiny.
                    total = 0.0
                    for e in range(first, last):
                        if values[e - first] < least + 12.0 * smoothing:
                            total += np.exp((least - values[e - first]) / smoothing)
                    least -= smoothing * np.log(total)
                distance[z, y, x] = max(least, 0.0)


@compiled
def _stretch(planes: Array, e: int, jac: Array) -> float:
    """By how much the bending stretches the normal of a plane: |Jᵀg|."""
    total = 0.0
    for b in range(3):
        part = planes[e, 0] * jac[0, b] + planes[e, 1] * jac[1, b] + planes[e, 2] * jac[2, b]
        total += part * part
    return float(np.sqrt(total))
