"""Compiled kernel: who owns each pixel of a generalised power diagram, also where its boundaries are bent.

Every seed has a power of its own, V_i(x) = (x − s_i)ᵀM_i(x − s_i) − w_i, and a pixel belongs to the seed of least power
(Alpers et al. 2015, Philosophical Magazine 95: a generalised balanced power diagram). Boxes of pixels are halved again
and again; a seed is dropped for a box as soon as another one beats it everywhere in the box, so that only the few that
are left are compared at each pixel. Nothing is approximate: what is dropped cannot own a pixel.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled
from napari_anneal.synthesis.geometry.cells import Cells
from napari_anneal.synthesis.geometry.coverage import share_of_pixel

__all__ = ["own_pixels", "power", "site_rows", "slopes"]

Array = npt.NDArray[np.float64]
FloatImage = npt.NDArray[np.float32]
# A seed is dropped only where it loses by more than rounding (px²) could account for.
SLACK = 1e-6
# Boxes are halved until they hold no more pixels than this; finer ones cost more than they save.
LEAF = 64


def site_rows(cells: Cells) -> Array:
    """Rows for these kernels: the seed (z, y, x), its M as (zz, yy, xx, 2 zy, 2 zx, 2 yx), its weight."""
    m = np.moveaxis(np.broadcast_to(cells.metric, (len(cells.seeds), 3, 3)), 0, -1)
    forms = (m[0, 0], m[1, 1], m[2, 2], 2 * m[0, 1], 2 * m[0, 2], 2 * m[1, 2])
    return np.column_stack([cells.seeds, *forms, cells.weights])


@compiled
def power(sites: Array, i: int, z: float, y: float, x: float) -> float:
    """V_i at a point."""
    dz, dy, dx = z - sites[i, 0], y - sites[i, 1], x - sites[i, 2]
    return float(
        dz * (sites[i, 3] * dz + sites[i, 6] * dy + sites[i, 7] * dx)
        + dy * (sites[i, 4] * dy + sites[i, 8] * dx)
        + dx * sites[i, 5] * dx
        - sites[i, 9]
    )


@compiled
def slopes(sites: Array, i: int, z: float, y: float, x: float, out: Array) -> None:
    """∇V_i at a point."""
    dz, dy, dx = z - sites[i, 0], y - sites[i, 1], x - sites[i, 2]
    out[0] = 2.0 * sites[i, 3] * dz + sites[i, 6] * dy + sites[i, 7] * dx
    out[1] = 2.0 * sites[i, 4] * dy + sites[i, 6] * dz + sites[i, 8] * dx
    out[2] = 2.0 * sites[i, 5] * dx + sites[i, 7] * dz + sites[i, 8] * dy


@compiled
def _contenders(
    sites: Array,
    pool: npt.NDArray[np.int32],
    first: int,
    last: int,
    centre: Array,
    half: Array,
    best_slope: Array,
    slope: Array,
) -> int:
    """Append those of ``pool[first:last]`` to the pool that may own a point of a box; return where they end."""
    best, least = pool[first], np.inf
    for k in range(first, last):
        value = power(sites, pool[k], centre[0], centre[1], centre[2])
        if value < least:
            best, least = pool[k], value
    slopes(sites, best, centre[0], centre[1], centre[2], best_slope)
    end = last
    for k in range(first, last):
        j = pool[k]
        # V_j − V_best is quadratic: its value at the centre, less the most that slope and curvature take off.
        margin = power(sites, j, centre[0], centre[1], centre[2]) - least
        slopes(sites, j, centre[0], centre[1], centre[2], slope)
        for a in range(3):
            margin -= abs(slope[a] - best_slope[a]) * half[a]
            margin -= abs(sites[j, 3 + a] - sites[best, 3 + a]) * half[a] * half[a]
        margin -= abs(sites[j, 6] - sites[best, 6]) * half[0] * half[1]
        margin -= abs(sites[j, 7] - sites[best, 7]) * half[0] * half[2]
        margin -= abs(sites[j, 8] - sites[best, 8]) * half[1] * half[2]
        if margin <= SLACK:
            pool[end] = j
            end += 1
    return end


@compiled
def own_pixels(
    sites: Array,
    origin: npt.NDArray[np.int64],
    shift: FloatImage,
    reach: Array,
    first_z: int,
    last_z: int,
    first_y: int,
    last_y: int,
    labels: npt.NDArray[np.int32],
    second: npt.NDArray[np.int32],
    cover: FloatImage,
) -> None:
    """Fill a box of ``labels`` with the seed of least power at x + shift(x); of equal ones with the first.

    ``origin`` is the index of the first pixel in the frame of the seeds; ``shift`` ``(3, Z, Y, X)`` px, or of size 0
    for straight boundaries, and ``reach`` its largest absolute value along each axis. Where ``second`` and ``cover``
    have the shape of the labels they take the seed beyond the nearest boundary and the owner's share of the pixel
    (0.5 … 1, to first order); the owner itself and 1 where no boundary cuts the pixel.
    """
    bent = shift.size > 0
    wants_second = second.size > 0
    # So far beyond its pixels a box is culled, so that a seed with a boundary within a pixel stays.
    rim = 1.0 if wants_second else 0.0
    flat = labels.shape[0] == 1
    pool = np.empty(2 * sites.shape[0] + 64, np.int32)
    for i in range(sites.shape[0]):
        pool[i] = i
    stack = np.empty((256, 8), np.int64)
    stack[0] = (first_z, last_z, first_y, last_y, 0, labels.shape[2], 0, sites.shape[0])
    depth = 1
    centre, half = np.zeros(3), np.zeros(3)
    best_slope, slope = np.zeros(3), np.zeros(3)
    while depth > 0:
        depth -= 1
        z0, z1, y0, y1, x0, x1, begin, end = stack[depth]
        count = (z1 - z0) * (y1 - y0) * (x1 - x0)
        low = (z0, y0, x0)
        high = (z1 - 1, y1 - 1, x1 - 1)
        for a in range(3):
            below, above = -reach[a], reach[a]
            if bent and count <= LEAF:
                below, above = np.inf, -np.inf
                for z in range(z0, z1):
                    for y in range(y0, y1):
                        for x in range(x0, x1):
                            below = min(below, shift[a, z, y, x])
                            above = max(above, shift[a, z, y, x])
            centre[a] = origin[a] + 0.5 * (low[a] + high[a] + below + above)
            half[a] = 0.5 * (high[a] - low[a] + above - below) + rim
        if flat:
            half[0] = 0.0
        if pool.size < 2 * end:
            wider = np.empty(4 * end, np.int32)
            wider[:end] = pool[:end]
            pool = wider
        last = _contenders(sites, pool, begin, end, centre, half, best_slope, slope)
        if count > LEAF and (last - end > 1 or wants_second):
            nz, ny, nx = z1 - z0, y1 - y0, x1 - x0
            if nz >= ny and nz >= nx:
                middle = z0 + nz // 2
                stack[depth] = (middle, z1, y0, y1, x0, x1, end, last)
                stack[depth + 1] = (z0, middle, y0, y1, x0, x1, end, last)
            elif ny >= nx:
                middle = y0 + ny // 2
                stack[depth] = (z0, z1, middle, y1, x0, x1, end, last)
                stack[depth + 1] = (z0, z1, y0, middle, x0, x1, end, last)
            else:
                middle = x0 + nx // 2
                stack[depth] = (z0, z1, y0, y1, middle, x1, end, last)
                stack[depth + 1] = (z0, z1, y0, y1, x0, middle, end, last)
            depth += 2
            continue
        alone = last - end == 1
        for z in range(z0, z1):
            for y in range(y0, y1):
                for x in range(x0, x1):
                    if alone:
                        labels[z, y, x] = pool[end]
                        if wants_second:
                            second[z, y, x], cover[z, y, x] = pool[end], np.float32(1.0)
                        continue
                    pz, py, px = float(origin[0] + z), float(origin[1] + y), float(origin[2] + x)
                    if bent:
                        pz += shift[0, z, y, x]
                        py += shift[1, z, y, x]
                        px += shift[2, z, y, x]
                    owner, least = -1, np.inf
                    for k in range(end, last):
                        value = power(sites, pool[k], pz, py, px)
                        if value < least:
                            owner, least = pool[k], value
                    labels[z, y, x] = owner
                    if not wants_second:
                        continue
                    other, away, norm = owner, 1.0, 1.0
                    slopes(sites, owner, pz, py, px, best_slope)
                    for k in range(end, last):
                        slopes(sites, pool[k], pz, py, px, slope)
                        steep = 0.0
                        for a in range(3):
                            steep += (slope[a] - best_slope[a]) ** 2
                        value = power(sites, pool[k], pz, py, px) - least
                        if pool[k] != owner and value * value < away * away * steep:
                            other, norm = pool[k], np.sqrt(steep)
                            away = value / norm
                    slopes(sites, other, pz, py, px, slope)
                    for a in range(3):
                        slope[a] = (slope[a] - best_slope[a]) / norm
                    second[z, y, x] = other
                    cover[z, y, x] = np.float32(share_of_pixel(away, slope[0], slope[1], slope[2]))
