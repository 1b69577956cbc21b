"""Compiled kernels: sub-pixel patches of the boundaries between labelled pixels, and the distance to them.

Wherever two pixels side by side have different labels, a boundary crosses the line between their centres. Where it
does, and how it is inclined there, follows from a level that is positive on one side and negative on the other: the
difference of two powers, or of two blurred indicators. The distance of a pixel is that to the nearest of these
patches that bounds its own grain, found by passing patches on from pixel to pixel within the grain.

A grain is where its own level beats all others, so its corners are convex and the patch nearest to a pixel bounds its
own grain: no other patch has to be looked at, and a patch that reaches a little beyond a corner does no harm.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled
from napari_anneal.synthesis.geometry.powers import power, slopes

__all__ = ["far_distance", "find_edges", "power_patches", "share_patches", "spread_distance"]

Array = npt.NDArray[np.float64]
FloatImage = npt.NDArray[np.float32]
# Half the length (px) of the patch of boundary that a crossing stands for: neighbouring crossings are at most
# √2 (2D) or √3 (3D) apart.
PATCH = np.float32(0.75)
# Of patches that are equally far the one opposite is taken, as the next pixel is likely to need it: in px a px.
CENTRAL = np.float32(0.02)
# Sweeps there and back find nearly every patch; what is still open then is followed up pixel by pixel.
SWEEPS = 3


@compiled
def find_edges(labels: npt.NDArray[np.int32], edges: npt.NDArray[np.int64]) -> int:
    """Count the pairs of neighbouring pixels of different labels and, where ``edges`` has room, list them.

    Rows of ``edges``: z, y, x of the first pixel and the axis along which the second lies.
    """
    depth, height, width = labels.shape
    count = 0
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                a = labels[z, y, x]
                for axis in range(3):
                    qz, qy, qx = z + (axis == 0), y + (axis == 1), x + (axis == 2)
                    if qz < depth and qy < height and qx < width and labels[qz, qy, qx] != a:
                        if count < edges.shape[0]:
                            edges[count] = (z, y, x, axis)
                        count += 1
    return count


@compiled
def power_patches(
    labels: npt.NDArray[np.int32],
    edges: npt.NDArray[np.int64],
    sites: Array,
    origin: npt.NDArray[np.int64],
    shift: FloatImage,
    patches: FloatImage,
) -> None:
    """Boundary patches where powers at x + shift(x) are equal, the shift being linear between pixels.

    ``labels`` are the seeds of least power; ``edges`` the pairs of pixels between which a boundary is wanted.

    Rows of ``patches``: the place (z, y, x) in pixels of ``labels`` and the unit normal (z, y, x).
    """
    bent = shift.size > 0
    here, there, way, ours, theirs, column = (
        np.zeros(3),
        np.zeros(3),
        np.zeros(3),
        np.zeros(3),
        np.zeros(3),
        np.zeros(3),
    )
    slope = np.zeros(3)
    p, q, up, down = np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(3, np.int64)
    for n in range(edges.shape[0]):
        p[:] = edges[n, :3]
        axis = edges[n, 3]
        q[:] = p
        q[axis] += 1
        a, b = labels[p[0], p[1], p[2]], labels[q[0], q[1], q[2]]
        for k in range(3):
            here[k], there[k] = origin[k] + p[k], origin[k] + q[k]
            if bent:
                here[k] += shift[k, p[0], p[1], p[2]]
                there[k] += shift[k, q[0], q[1], q[2]]
            way[k] = there[k] - here[k]
        before = power(sites, b, here[0], here[1], here[2]) - power(sites, a, here[0], here[1], here[2])
        after = power(sites, b, there[0], there[1], there[2]) - power(sites, a, there[0], there[1], there[2])
        z, y, x = here[0] + 0.5 * way[0], here[1] + 0.5 * way[1], here[2] + 0.5 * way[2]
        middle = power(sites, b, z, y, x) - power(sites, a, z, y, x)
        t = _root_of_parabola(before, middle, after)
        z, y, x = here[0] + t * way[0], here[1] + t * way[1], here[2] + t * way[2]
        slopes(sites, a, z, y, x, ours)
        slopes(sites, b, z, y, x, theirs)
        for k in range(3):
            column[:] = 0.0
            slope[k] = 0.0
            if labels.shape[k] == 1:
                continue
            if k == axis:
                column[:] = way
            elif bent:
                for end in range(2):
                    up[:] = p if end == 0 else q
                    down[:] = up
                    up[k], down[k] = min(up[k] + 1, labels.shape[k] - 1), max(up[k] - 1, 0)
                    share = (1.0 - t if end == 0 else t) / (up[k] - down[k])
                    for c in range(3):
                        column[c] += share * (shift[c, up[0], up[1], up[2]] - shift[c, down[0], down[1], down[2]])
                column[k] += 1.0
            else:
                column[k] = 1.0
            for c in range(3):
                slope[k] += (theirs[c] - ours[c]) * column[c]
        _write(patches, n, p, axis, t, slope)


@compiled
def share_patches(
    labels: npt.NDArray[np.int32],
    edges: npt.NDArray[np.int64],
    ranked: npt.NDArray[np.int32],
    share: FloatImage,
    patches: FloatImage,
) -> None:
    """Boundary patches where the blurred indicators of two grains are equal; rows as in `power_patches`."""
    slope = np.zeros(3)
    p, q, up, down = np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(3, np.int64)
    for n in range(edges.shape[0]):
        p[:] = edges[n, :3]
        axis = edges[n, 3]
        q[:] = p
        q[axis] += 1
        a, b = labels[p[0], p[1], p[2]], labels[q[0], q[1], q[2]]
        before, after = _level(ranked, share, a, b, p), _level(ranked, share, a, b, q)
        t = _root_of_parabola(before, 0.5 * (before + after), after)
        slope[:] = 0.0
        for k in range(3):
            if labels.shape[k] == 1:
                continue
            # Differences over the same length along all axes, as a level is not quite linear in the distance.
            for end in range(2):
                up[:] = p if end == 0 else q
                down[:] = up
                up[k], down[k] = min(up[k] + 1, labels.shape[k] - 1), max(up[k] - 1, 0)
                rise = _level(ranked, share, a, b, up) - _level(ranked, share, a, b, down)
                slope[k] += rise / (up[k] - down[k]) * (1.0 - t if end == 0 else t)
        _write(patches, n, p, axis, t, slope)


@compiled
def _write(patches: FloatImage, n: int, p: npt.NDArray[np.int64], axis: int, t: float, slope: Array) -> None:
    """Write the patch at the fraction t of the way from pixel p along an axis."""
    norm = np.sqrt(slope[0] ** 2 + slope[1] ** 2 + slope[2] ** 2)
    if norm == 0.0:
        # Beyond the image an outline may be cut straight off: it runs half way between the pixels.
        t, norm = 0.5, 1.0
        slope[axis] = 1.0
    for k in range(3):
        patches[n, k] = np.float32(p[k] + (t if k == axis else 0.0))
        patches[n, 3 + k] = np.float32(slope[k] / norm)


@compiled
def _root_of_parabola(before: float, middle: float, after: float) -> float:
    """Where the parabola through three values at 0, ½ and 1 falls to zero; an end where it does not."""
    if before <= 0.0 or after >= 0.0:
        return 0.0 if before <= -after else 1.0
    bulge = 4.0 * (middle - 0.5 * (before + after))
    low, high, t = 0.0, 1.0, before / (before - after)
    if bulge != 0.0:
        for _ in range(4):
            value = before + t * (after - before) + bulge * t * (1.0 - t)
            if value > 0.0:
                low = t
            else:
                high = t
            steep = after - before + bulge * (1.0 - 2.0 * t)
            t = t - value / steep if steep != 0.0 else low
            if not low <= t <= high:
                t = 0.5 * (low + high)
    return float(t)


@compiled
def _level(ranked: npt.NDArray[np.int32], share: FloatImage, a: int, b: int, p: npt.NDArray[np.int64]) -> float:
    """About how far (in 2σ) pixel p is on the side of a rather than of b."""
    ours, theirs = 0.0, 0.0
    for k in range(ranked.shape[3]):
        name = ranked[p[0], p[1], p[2], k]
        if name == a:
            ours = share[p[0], p[1], p[2], k]
        elif name == b:
            theirs = share[p[0], p[1], p[2], k]
    total = ours + theirs
    if total <= 0.0:
        return 0.0
    # erf⁻¹ to 0.2 % (Winitzki 2008) turns a share blurred by a Gaussian back into a distance.
    v = min(max((ours - theirs) / total, -0.9999), 0.9999)
    ln = np.log(1.0 - v * v)
    half = 2.0 / (np.pi * 0.147) + 0.5 * ln
    return float(np.copysign(np.sqrt(np.sqrt(half * half - ln / 0.147) - half), v))


@compiled
def _away(patches: FloatImage, i: Any, z: np.float32, y: np.float32, x: np.float32, prefer: np.float32) -> np.float32:
    """Distance from a point to a patch (a disc), plus ``prefer`` times that of its foot to the middle."""
    dz, dy, dx = z - patches[i, 0], y - patches[i, 1], x - patches[i, 2]
    across = dz * patches[i, 3] + dy * patches[i, 4] + dx * patches[i, 5]
    across *= across
    along = np.sqrt(max(dz * dz + dy * dy + dx * dx - across, np.float32(0.0)))
    beyond = max(along - PATCH, np.float32(0.0))
    return np.float32(np.sqrt(across + beyond * beyond) + prefer * along)


@compiled
def spread_distance(
    labels: npt.NDArray[np.int32],
    edges: npt.NDArray[np.int64],
    patches: FloatImage,
    origin: npt.NDArray[np.int64],
    nearest: npt.NDArray[np.int32],
    distance: FloatImage,
) -> None:
    """Distance (px) of every pixel to the nearest patch of its own grain's boundary; infinite without one.

    ``distance`` and ``nearest``, the index of that patch or −1, are wanted of a part of the labelled pixels only, whose
    first has the index ``-origin`` among them.

    Sweeps over the image, there and back, hand patches on between neighbouring pixels of one grain (as the vector
    distance transform of Danielsson 1980); then a queue of pixels that took another patch, until nothing changes.
    """
    depth, height, width = labels.shape
    # A rim of no label all around saves asking whether a neighbour exists.
    rim = 1 if depth > 1 else 0
    step_y = width + 2
    step_z = (height + 2) * step_y
    steps = (step_z, step_y, 1)
    size = (depth + 2 * rim) * step_z
    label = np.full(size, -1, np.int32)
    who = np.full(size, -1, np.int32)
    least = np.full(size, np.inf, np.float32)
    for z in range(depth):
        for y in range(height):
            row = (z + rim) * step_z + (y + 1) * step_y + 1
            for x in range(width):
                label[row + x] = labels[z, y, x]
    for i in range(edges.shape[0]):
        z, y, x, axis = edges[i]
        p = (z + rim) * step_z + (y + 1) * step_y + x + 1
        for end in range(2):
            if end == 1:
                z, y, x = z + (axis == 0), y + (axis == 1), x + (axis == 2)
                p += steps[axis]
            # The pixels around get it too: the end itself may prefer another patch, by a hair, that serves them worse.
            for k in range(7):
                q, qz, qy, qx = p, z, y, x
                if k > 0:
                    way, along = 2 * (k % 2) - 1, (k - 1) // 2
                    if along == 0 and rim == 0:
                        continue
                    q += way * steps[along]
                    qz, qy, qx = z + way * (along == 0), y + way * (along == 1), x + way * (along == 2)
                    if label[q] != label[p]:
                        continue
                value = _away(patches, i, np.float32(qz), np.float32(qy), np.float32(qx), CENTRAL)
                if value < least[q]:
                    least[q], who[q] = value, i
    # The neighbours that a sweep has passed already, and how far away they are.
    before = np.empty(13, np.int64)
    length = np.empty(13, np.float32)
    n_before = 0
    for dz in range(-rim, 1):
        for dy in range(-1, 2):
            for dx in range(-1, 2):
                if dz * step_z + dy * step_y + dx < 0:
                    before[n_before] = dz * step_z + dy * step_y + dx
                    length[n_before] = np.sqrt(dz * dz + dy * dy + dx * dx)
                    n_before += 1
    queue = np.empty(size, np.int32)
    waiting = np.zeros(size, np.bool_)
    n_waiting = 0
    for turn in range(SWEEPS):
        way = 1 if turn % 2 == 0 else -1
        offset = way * before[:n_before]
        for rz in range(depth):
            z = rz if way > 0 else depth - 1 - rz
            for ry in range(height):
                y = ry if way > 0 else height - 1 - ry
                row = (z + rim) * step_z + (y + 1) * step_y + 1
                for rx in range(width):
                    x = rx if way > 0 else width - 1 - rx
                    p = np.uint64(row + x)
                    was, best = who[p], least[p]
                    mine, own = was, label[p]
                    for k in range(n_before):
                        # Unsigned, so that no time goes into asking whether an index counts from the end.
                        q = np.uint64(row + x + offset[k])
                        # No patch is nearer to here than to the neighbour by more than the step between them.
                        if least[q] - length[k] >= best or who[q] == mine or label[q] != own:
                            continue
                        value = _away(patches, np.uint64(who[q]), np.float32(z), np.float32(y), np.float32(x), CENTRAL)
                        if value < best:
                            mine, best = who[q], value
                    if mine != was:
                        who[p], least[p] = mine, best
                        if turn == SWEEPS - 1:
                            queue[n_waiting], waiting[p] = row + x, True
                            n_waiting += 1
    head = 0
    while n_waiting > 0:
        q = queue[head]
        head = (head + 1) % size
        n_waiting -= 1
        waiting[q] = False
        for k in range(2 * n_before):
            p = q + (before[k] if k < n_before else -before[k - n_before])
            if label[p] != label[q] or who[p] == who[q] or least[q] - length[k % n_before] >= least[p]:
                continue
            x = p % step_y - 1
            y = p % step_z // step_y - 1
            z = p // step_z - rim
            value = _away(patches, who[q], np.float32(z), np.float32(y), np.float32(x), CENTRAL)
            if value < least[p]:
                least[p], who[p] = value, who[q]
                if not waiting[p]:
                    queue[(head + n_waiting) % size], waiting[p] = p, True
                    n_waiting += 1
    for dz in range(distance.shape[0]):
        for dy in range(distance.shape[1]):
            z, y = dz - origin[0], dy - origin[1]
            row = (z + rim) * step_z + (y + 1) * step_y + 1
            for dx in range(distance.shape[2]):
                x = dx - origin[2]
                i = who[row + x]
                nearest[dz, dy, dx], distance[dz, dy, dx] = i, np.inf
                if i >= 0:
                    distance[dz, dy, dx] = _away(
                        patches, i, np.float32(z), np.float32(y), np.float32(x), np.float32(0.0)
                    )


@compiled
def far_distance(
    start: npt.NDArray[np.int64],
    neighbour: npt.NDArray[np.int32],
    sites: Array,
    origin: npt.NDArray[np.int64],
    shift: FloatImage,
    labels: npt.NDArray[np.int32],
    distance: FloatImage,
) -> None:
    """Where a boundary outside the frame may be nearer than any inside, count it to first order, (V_j − V_i) / |∇|.

    ``labels``, ``shift`` and ``distance`` are those of the image, which the frame surrounds by ``-origin`` px.
    """
    depth, height, width = labels.shape
    ours, theirs = np.zeros(3), np.zeros(3)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                inside = min(min(x, width - 1 - x) - origin[2], min(y, height - 1 - y) - origin[1])
                if depth > 1:
                    inside = min(inside, min(z, depth - 1 - z) - origin[0])
                if distance[z, y, x] <= inside:
                    continue
                pz, py, px = float(z), float(y), float(x)
                if shift.size > 0:
                    pz += shift[0, z, y, x]
                    py += shift[1, z, y, x]
                    px += shift[2, z, y, x]
                i = labels[z, y, x]
                own = power(sites, i, pz, py, px)
                slopes(sites, i, pz, py, px, ours)
                least = float(distance[z, y, x])
                for e in range(start[i], start[i + 1]):
                    j = neighbour[e]
                    slopes(sites, j, pz, py, px, theirs)
                    steep = (theirs[0] - ours[0]) ** 2 + (theirs[1] - ours[1]) ** 2 + (theirs[2] - ours[2]) ** 2
                    if steep > 0.0:
                        away = abs(power(sites, j, pz, py, px) - own) / np.sqrt(steep)
                        least = min(least, max(away, float(inside)))
                distance[z, y, x] = np.float32(least)
