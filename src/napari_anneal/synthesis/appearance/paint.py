"""Compiled brushes: grains with their boundaries, and scratches and pores on top."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled
from napari_anneal.synthesis.geometry.patches import from_patch
from napari_anneal.synthesis.geometry.powers import power, slopes

__all__ = ["paint_grains", "paint_patches", "shift_lines", "stamp"]

FloatImage = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]
# Depth (px) in a groove that is nowhere near.
FAR_OUT = -1e9
# Keeps the distance to a boundary finite at the seed of two cells that have one in common (px², squared slope).
LEAST_SLOPE = 1e-12


@compiled
def paint_grains(
    labels: npt.NDArray[np.int32],
    distance: FloatImage,
    curved: bool,
    seeds: Array,
    start: npt.NDArray[np.int64],
    neighbour: npt.NDArray[np.int32],
    planes: Array,
    sites: Array,
    pair: npt.NDArray[np.int32],
    grain: Array,
    edge: Array,
    texture: FloatImage,
    filling: FloatImage,
    swell: FloatImage,
    shift: FloatImage,
    settings: Array,
    out: FloatImage,
) -> None:
    """Grey level of every pixel from its grain and from the boundaries near it.

    ``grain`` rows: level, slope (z, y, x), texture amplitude, twin step, twin direction / period (z, y, x), twin
    share. ``edge`` rows: contrast, half width, relief, brightness of the grains beside it. ``filling`` is the grey
    level added inside wide grooves and ``swell`` the factor on boundary widths at each pixel. ``settings``: mean grey,
    softness, light (z, y, x), radius of the fillets where boundaries meet (px), width of the bright edges (px).

    ``distance`` to the nearest boundary, where known, spares pixels that no groove reaches. Where boundaries are
    ``curved`` it is what counts, and the planes at x + ``shift`` only say by how much the others are farther. Where
    seeds have metrics of their own, ``sites`` (see `site_rows`) take the place of the planes. What does not apply is
    empty.
    """
    depth, height, width = labels.shape
    mean, softness, fillet, edge_width = settings[0], settings[1], settings[5], settings[6]
    looks_around = fillet > 0.0 or edge_width > 0.0
    bent, unlike, measured = shift.size > 0, sites.size > 0, distance.size > 0 and edge_width == 0.0
    widest = 0.0
    for p in range(edge.shape[0]):
        widest = max(widest, edge[p, 1])
    away = np.empty(np.max(start[1:] - start[:-1]) + 1)
    ours, theirs, normal = np.zeros(3), np.zeros(3), np.zeros(3)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                i = labels[z, y, x]
                pz, py, px = float(z), float(y), float(x)
                if bent:
                    pz += shift[0, z, y, x]
                    py += shift[1, z, y, x]
                    px += shift[2, z, y, x]
                value = _inside(grain[i], pz - seeds[i, 0], py - seeds[i, 1], px - seeds[i, 2], texture[z, y, x])
                widen = swell[z, y, x]
                reach = widest * widen + 0.25 * fillet
                if measured and distance[z, y, x] > reach + 0.5 * max(1.0, softness * reach):
                    out[z, y, x] = value
                    continue
                first, last = start[i], start[i + 1]
                if unlike:
                    _from_quadrics(sites, i, neighbour[first:last], pz, py, px, away, ours, theirs)
                else:
                    for e in range(first, last):
                        away[e - first] = planes[e, 0] * pz + planes[e, 1] * py + planes[e, 2] * px + planes[e, 3]
                extra = 0.0
                if curved:
                    # The nearest is as far as the distance says, and the others as much farther as they seem.
                    nearest = np.inf
                    for e in range(last - first):
                        nearest = min(nearest, away[e])
                    for e in range(last - first):
                        away[e] += distance[z, y, x] - nearest
                if looks_around:
                    deepest, second, deepest_e = FAR_OUT, FAR_OUT, -1
                    for e in range(first, last):
                        deep = edge[pair[e], 1] * widen - away[e - first]
                        if deep > deepest:
                            deepest, second, deepest_e = deep, deepest, e
                        elif deep > second:
                            second = deep
                    if deepest_e >= 0:
                        extra = _fillet(deepest, second, fillet)
                        value += _beside(edge[pair[deepest_e]], widen, deepest + extra, edge_width)
                best, best_cover, best_e = 0.0, 0.0, -1
                for e in range(first, last):
                    cover = _cover(edge[pair[e], 1] * widen, away[e - first] - extra, softness)
                    if cover <= 0.0:
                        continue
                    strength = cover * (abs(edge[pair[e], 0]) + abs(edge[pair[e], 2]))
                    if strength > best:
                        best, best_cover, best_e = strength, cover, e
                if best_e >= 0:
                    if unlike:
                        _from_quadrics(sites, i, neighbour[best_e : best_e + 1], pz, py, px, away, ours, theirs)
                        normal[:] = theirs - ours
                        normal /= np.sqrt((normal**2).sum() + LEAST_SLOPE)
                    else:
                        for k in range(3):
                            normal[k] = planes[best_e, k]
                    lit = normal[0] * settings[2] + normal[1] * settings[3] + normal[2] * settings[4]
                    value = _groove(value, best_cover, edge[pair[best_e]], widen, lit, mean, filling[z, y, x])
                out[z, y, x] = value


@compiled
def _from_quadrics(
    sites: Array,
    i: int,
    neighbours: npt.NDArray[np.int32],
    z: float,
    y: float,
    x: float,
    away: Array,
    ours: Array,
    theirs: Array,
) -> None:
    """Distance, to first order, to the curved boundary with each neighbour; leaves ∇V_i and the last ∇V_j behind."""
    own = power(sites, i, z, y, x)
    slopes(sites, i, z, y, x, ours)
    for k in range(neighbours.size):
        j = neighbours[k]
        slopes(sites, j, z, y, x, theirs)
        steep = (theirs[0] - ours[0]) ** 2 + (theirs[1] - ours[1]) ** 2 + (theirs[2] - ours[2]) ** 2
        away[k] = (power(sites, j, z, y, x) - own) / np.sqrt(steep + LEAST_SLOPE)


@compiled
def paint_patches(
    labels: npt.NDArray[np.int32],
    seeds: Array,
    place: FloatImage,
    pair: npt.NDArray[np.int32],
    sides: npt.NDArray[np.int32],
    nearest: npt.NDArray[np.int32],
    grain: Array,
    edge: Array,
    texture: FloatImage,
    filling: FloatImage,
    swell: FloatImage,
    settings: Array,
    out: FloatImage,
) -> None:
    """As `paint_grains`, with boundaries of any form: ``nearest`` lists the patches near each pixel.

    ``place``, ``pair`` and ``sides`` are those of `Patches` (``sides`` its ``grains``).
    """
    depth, height, width = labels.shape
    mean, softness, fillet, edge_width = settings[0], settings[1], settings[5], settings[6]
    looks_around = fillet > 0.0 or edge_width > 0.0
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                i = labels[z, y, x]
                value = _inside(grain[i], z - seeds[i, 0], y - seeds[i, 1], x - seeds[i, 2], texture[z, y, x])
                if nearest[z, y, x, 0] >= 0:
                    n = nearest[z, y, x, 0]
                    d = from_patch(place, n, float(z), float(y), float(x))
                    if d < 0.5:
                        # A pixel that the boundary cuts shows both grains.
                        j = sides[pair[n], 0] + sides[pair[n], 1] - i
                        beyond = _inside(grain[j], z - seeds[j, 0], y - seeds[j, 1], x - seeds[j, 2], texture[z, y, x])
                        value += (0.5 - d) * (beyond - value)
                widen = swell[z, y, x]
                extra = 0.0
                if looks_around:
                    deepest, second, deepest_n = FAR_OUT, FAR_OUT, -1
                    # Each of them belongs to another boundary.
                    for k in range(nearest.shape[3]):
                        n = nearest[z, y, x, k]
                        if n < 0:
                            break
                        deep = edge[pair[n], 1] * widen - from_patch(place, n, float(z), float(y), float(x))
                        if deep > deepest:
                            deepest, second, deepest_n = deep, deepest, n
                        elif deep > second:
                            second = deep
                    if deepest_n >= 0:
                        extra = _fillet(deepest, second, fillet)
                        value += _beside(edge[pair[deepest_n]], widen, deepest + extra, edge_width)
                best, best_cover, best_n = 0.0, 0.0, -1
                for k in range(nearest.shape[3]):
                    n = nearest[z, y, x, k]
                    if n < 0:
                        break
                    d = from_patch(place, n, float(z), float(y), float(x))
                    cover = _cover(edge[pair[n], 1] * widen, d - extra, softness)
                    strength = cover * (abs(edge[pair[n], 0]) + abs(edge[pair[n], 2]))
                    if cover > 0.0 and strength > best:
                        best, best_cover, best_n = strength, cover, n
                if best_n >= 0:
                    p = pair[best_n]
                    lit = (
                        place[best_n, 3] * settings[2] + place[best_n, 4] * settings[3] + place[best_n, 5] * settings[4]
                    )
                    # Normals point into the first of the two grains; light is reckoned from the side of this pixel.
                    if i == sides[p, 1]:
                        lit = -lit
                    value = _groove(value, best_cover, edge[p], widen, lit, mean, filling[z, y, x])
                out[z, y, x] = value


@compiled
def _inside(row: Array, qz: float, qy: float, qx: float, texture: float) -> float:
    """Grey level of a grain so far from its seed: level, slope, texture and twins."""
    value = row[0] + row[1] * qz + row[2] * qy + row[3] * qx + row[4] * texture
    if row[5] != 0.0:
        band = row[6] * qz + row[7] * qy + row[8] * qx
        if band - np.floor(band) < row[9]:
            value += row[5]
    return float(value)


@compiled
def _cover(half: float, d: float, softness: float) -> float:
    """How much of a pixel at distance d a groove of that half width covers: 0 … 1, with soft edges."""
    cover = (half - d) / max(1.0, softness * half) + 0.5
    if cover <= 0.0:
        return 0.0
    cover = min(cover, 1.0)
    # A line narrower than a pixel covers no more of it than its width.
    return float(min(cover * cover * (3.0 - 2.0 * cover), 2.0 * half))


@compiled
def _fillet(deepest: float, second: float, radius: float) -> float:
    """How much further (px) a groove reaches where another is near: smooth maximum of the two depths, less the depth.

    Quadratic, as in Quilez (2013), "Smooth minimum": a quarter of the radius where both are alike, nothing where they
    differ by more than it.
    """
    overlap = radius - (deepest - second)
    return float(0.25 * overlap * overlap / radius) if overlap > 0.0 else 0.0


@compiled
def _beside(row: Array, widen: float, deep: float, width: float) -> float:
    """Grey level added to a grain so deep inside a groove (px; < 0: beside it), fading over the width on both sides."""
    if row[3] == 0.0 or abs(deep) > 5.0 * width:
        return 0.0
    return float(row[3] * min(1.0, 2.0 * row[1] * widen) * np.exp(-abs(deep) / width))


@compiled
def _groove(value: float, cover: float, row: Array, widen: float, lit: float, mean: float, filling: float) -> float:
    """Grey level where a boundary covers so much of a pixel whose grain has the grey level ``value``."""
    # A thin line adds to its grain's grey; a wide groove hides it under a filling of its own.
    filled = min(max(0.25 * (row[1] * widen - 1.0), 0.0), 1.0)
    own = mean + row[0] + filling - value
    return float(value + cover * (filled * own + (1.0 - filled) * row[0] + row[2] * lit))


@compiled
def stamp(image: FloatImage, rough: FloatImage, marks: Array) -> None:
    """Blend capsules (a segment with round ends: a scratch, or a pore where it is short) into the image.

    ``marks`` rows: centre (z, y, x), unit direction (z, y, x), half length, half width, grey level, opacity,
    raggedness (relative, times the noise ``rough``), bright lip (grey level).
    """
    depth, height, width = image.shape
    for m in range(marks.shape[0]):
        cz, cy, cx, uz, uy, ux, half, thick, level, opacity, ragged, lip = marks[m]
        reach = thick * (1.0 + 2.5 * ragged) + 3.0
        z0, z1 = max(int(cz - abs(uz) * half - reach), 0), min(int(cz + abs(uz) * half + reach) + 2, depth)
        y0, y1 = max(int(cy - abs(uy) * half - reach), 0), min(int(cy + abs(uy) * half + reach) + 2, height)
        for z in range(z0, z1):
            for y in range(y0, y1):
                low, high = cx - abs(ux) * half - reach, cx + abs(ux) * half + reach
                if depth == 1 and abs(uy) > 0.05:
                    # Only the stretch of the row that the capsule can reach.
                    middle = cx + (y - cy) * ux / uy
                    low, high = max(low, middle - reach / abs(uy)), min(high, middle + reach / abs(uy))
                for x in range(max(int(low), 0), min(int(high) + 2, width)):
                    dz, dy, dx = z - cz, y - cy, x - cx
                    along = min(max(dz * uz + dy * uy + dx * ux, -half), half)
                    dz, dy, dx = dz - along * uz, dy - along * uy, dx - along * ux
                    away = np.sqrt(dz * dz + dy * dy + dx * dx) - thick * (1.0 + ragged * rough[z, y, x])
                    cover = min(max(0.5 - away, 0.0), 1.0) * opacity
                    value = image[z, y, x]
                    value += cover * (level - value)
                    if lip != 0.0 and away > -0.5 and away < 2.5:
                        value += lip * (1.0 - abs(away - 1.0) / 1.5)
                    image[z, y, x] = value


@compiled
def shift_lines(image: FloatImage, shifts: Array, out: FloatImage) -> None:
    """Displace every line along X by its own sub-pixel shift ``(Z, Y)``; ends repeat the last pixel."""
    depth, height, width = image.shape
    for z in range(depth):
        for y in range(height):
            whole = int(np.floor(shifts[z, y]))
            part = np.float32(shifts[z, y] - whole)
            for x in range(width):
                a = min(max(x + whole, 0), width - 1)
                b = min(max(x + whole + 1, 0), width - 1)
                out[z, y, x] = image[z, y, a] * (np.float32(1.0) - part) + image[z, y, b] * part
