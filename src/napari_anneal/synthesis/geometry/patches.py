"""Boundaries of a label map as small patches: where they cross between pixels, which way they face, whom they part.

Wherever two pixels side by side have different labels, a boundary crosses the line between their centres. How deep each
of the two lies inside its grain says where, and how that depth changes nearby says how the boundary is inclined. The
distance of any pixel is then that to the nearest patch, to a small fraction of a pixel where the depth is smooth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled

__all__ = ["Patches", "distance_to_patches", "find_patches", "from_patch", "nearest_patches"]

FloatImage = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]
# Radius (px) of a patch: neighbouring crossings are at most √2 (2D) or √3 (3D) apart.
RADIUS = np.float32(0.75)
# So far (px) outside a periodic image its boundaries are known.
BEYOND = 40


@dataclass(frozen=True, eq=False)
class Patches:
    """Patches of the boundaries between the grains of a label map."""

    place: FloatImage  # (M, 6): centre (z, y, x), px, and unit normal (z, y, x) into the grain of the lower label
    pair: IntArray  # (M,): number of the boundary, 0 … n_pairs - 1
    grains: IntArray  # (n_pairs, 2): the two labels of each boundary, lower first

    @property
    def n_pairs(self) -> int:
        """Number of boundaries between two grains."""
        return len(self.grains)


def find_patches(labels: IntArray, depth: FloatImage, periodic: bool = False) -> Patches:
    """Find where boundaries cross between neighbouring pixels.

    Parameters
    ----------
    labels
        int32 ``(Z, Y, X)``, any numbers ≥ 0.
    depth
        float32 ``(Z, Y, X)``: how far (px) a pixel lies inside its grain. Only values beside a boundary count, and only
        their ratios: anything ≥ 0 that rises evenly from the boundary will do.
    periodic
        Opposite edges join: boundaries up to `BEYOND` px outside are listed, too, at places outside the image.
    """
    frame = [(min(BEYOND, n),) * 2 if periodic and n > 1 else (0, 0) for n in labels.shape]
    if periodic:
        labels, depth = np.pad(labels, frame, mode="wrap"), np.pad(depth, frame, mode="wrap")
    place, sides = np.empty((0, 6), np.float32), np.empty((0, 2), np.int32)
    count = _write_patches(labels, depth, place, sides)
    place, sides = np.empty((count, 6), np.float32), np.empty((count, 2), np.int32)
    _write_patches(labels, depth, place, sides)
    place[:, :3] -= np.array([before for before, _ in frame], dtype=np.float32)
    base = int(labels.max()) + 1
    codes, pair = np.unique(sides[:, 0].astype(np.int64) * base + sides[:, 1], return_inverse=True)
    grains = np.column_stack([codes // base, codes % base]).astype(np.int32)
    return Patches(place, pair.reshape(-1).astype(np.int32), grains)


def nearest_patches(patches: Patches, labels: IntArray, count: int = 1, reach: float = np.inf) -> IntArray:
    """Find, for every pixel, the nearest patch of each of the ``count`` nearest boundaries of its grain, nearest first.

    Returns
    -------
    nearest
        int32 ``(Z, Y, X, count)`` indices of patches; −1 where there are no more within ``reach`` px. The first is
        exact but for a few pixels; the others may be missed where nearer boundaries shut them off.
    """
    nearest = np.full((*labels.shape, count), -1, dtype=np.int32)
    away = np.full((*labels.shape, count), np.inf, dtype=np.float32)
    _spread(
        patches.place, patches.pair, patches.grains, labels, np.float32(reach), nearest.reshape(-1), away.reshape(-1)
    )
    return nearest


def distance_to_patches(patches: Patches, labels: IntArray) -> FloatImage:
    """Distance (px) of every pixel to the boundary of its grain, float32 ``(Z, Y, X)``; infinite where it has none."""
    nearest = np.full((*labels.shape, 1), -1, dtype=np.int32)
    away = np.full((*labels.shape, 1), np.inf, dtype=np.float32)
    _spread(
        patches.place, patches.pair, patches.grains, labels, np.float32(np.inf), nearest.reshape(-1), away.reshape(-1)
    )
    return away[..., 0]


@compiled
def _write_patches(labels: IntArray, depth: FloatImage, place: FloatImage, sides: IntArray) -> int:
    """Write every crossing to ``place`` and its labels (lower first) to ``sides``; empty arrays: only count."""
    top = (labels.shape[0] - 1, labels.shape[1] - 1, labels.shape[2] - 1)
    count = 0
    end, near = np.zeros(3, np.int64), np.zeros(3, np.int64)
    slope = np.zeros(3)
    for z in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            for x in range(labels.shape[2]):
                a = labels[z, y, x]
                for axis in range(3):
                    qz, qy, qx = z + (axis == 0), y + (axis == 1), x + (axis == 2)
                    if qz > top[0] or qy > top[1] or qx > top[2]:
                        continue
                    b = labels[qz, qy, qx]
                    if a == b:
                        continue
                    if place.size == 0:
                        count += 1
                        continue
                    here, there = depth[z, y, x], depth[qz, qy, qx]
                    total = here + there
                    t = float(here / total) if total > 0.0 and np.isfinite(total) else 0.5
                    # The signed depth, positive in a, falls along the axis by the whole of it.
                    slope[:] = 0.0
                    slope[axis] = -total if total > 0.0 and np.isfinite(total) else -1.0
                    for k in range(3):
                        if k == axis or top[k] == 0:
                            continue
                        rise = seen = 0.0
                        for far in range(2):
                            end[0], end[1], end[2] = z, y, x
                            end[axis] += far
                            middle = -there if far == 1 else here
                            weight = t if far == 1 else 1.0 - t
                            for side in (-1, 1):
                                near[:] = end
                                near[k] += side
                                if near[k] < 0 or near[k] > top[k]:
                                    continue
                                other = labels[near[0], near[1], near[2]]
                                # Beyond a third grain the depth belongs to another boundary.
                                if other != a and other != b:
                                    continue
                                value = depth[near[0], near[1], near[2]]
                                rise += weight * side * ((value if other == a else -value) - middle)
                                seen += weight
                        if seen > 0.0 and np.isfinite(rise):
                            slope[k] = rise / seen
                    norm = np.sqrt((slope**2).sum())
                    place[count, 0], place[count, 1], place[count, 2] = z, y, x
                    place[count, axis] += t
                    for k in range(3):
                        place[count, 3 + k] = (slope[k] if a < b else -slope[k]) / norm
                    sides[count, 0], sides[count, 1] = min(a, b), max(a, b)
                    count += 1
    return count


@compiled
def from_patch(place: FloatImage, i: int, z: float, y: float, x: float) -> float:
    """Distance (px) from a point to patch i, a disc."""
    dz, dy, dx = z - place[i, 0], y - place[i, 1], x - place[i, 2]
    height = dz * place[i, 3] + dy * place[i, 4] + dx * place[i, 5]
    along = dz * dz + dy * dy + dx * dx - height * height
    if along <= RADIUS * RADIUS:
        return float(abs(height))
    beyond = np.sqrt(along) - RADIUS
    return float(np.sqrt(height * height + beyond * beyond))


@compiled
def _offer(
    place: FloatImage,
    pair: IntArray,
    i: int,
    z: int,
    y: int,
    x: int,
    reach: np.float32,
    first: int,
    last: int,
    nearest: IntArray,
    away: FloatImage,
) -> bool:
    """Let a pixel, whose places are first … last, take a patch nearer than what it has; a boundary takes one place."""
    value = np.float32(from_patch(place, i, float(z), float(y), float(x)))
    if value >= away[last] or value > reach:
        return False
    k = last
    for same in range(first, last):
        if nearest[same] >= 0 and pair[nearest[same]] == pair[i]:
            if value >= away[same]:
                return False
            k = same
            break
    while k > first and value < away[k - 1]:
        nearest[k], away[k] = nearest[k - 1], away[k - 1]
        k -= 1
    nearest[k], away[k] = i, value
    return True


@compiled
def _spread(
    place: FloatImage,
    pair: IntArray,
    grains: IntArray,
    labels: IntArray,
    reach: np.float32,
    nearest: IntArray,
    away: FloatImage,
) -> None:
    """Pass patches on within a grain, in sweeps there and back (as in Danielsson 1980), until nothing changes."""
    depth, height, width = labels.shape
    slots = nearest.size // labels.size
    label = labels.ravel()
    for i in range(place.shape[0]):
        # All pixels of the two grains around the line that the patch crosses: patches overlap, so an end may take
        # another one by a hair that serves the next pixel worse. One outside the image enters it at the edge.
        first, second = grains[pair[i], 0], grains[pair[i], 1]
        z0, z1 = max(min(int(np.floor(place[i, 0])), depth - 1) - 1, 0), min(max(int(place[i, 0]) + 3, 1), depth)
        y0, y1 = max(min(int(np.floor(place[i, 1])), height - 1) - 1, 0), min(max(int(place[i, 1]) + 3, 1), height)
        x0, x1 = max(min(int(np.floor(place[i, 2])), width - 1) - 1, 0), min(max(int(place[i, 2]) + 3, 1), width)
        for z in range(z0, z1):
            for y in range(y0, y1):
                for x in range(x0, x1):
                    p = (z * height + y) * width + x
                    if label[p] == first or label[p] == second:
                        _offer(place, pair, i, z, y, x, reach, p * slots, p * slots + slots - 1, nearest, away)
    steps = np.empty((13, 4), np.int64)
    length = np.empty(13, np.float32)
    n_steps = 0
    for dz in range(-1, 1):
        for dy in range(-1, 2):
            for dx in range(-1, 2):
                flat = (dz * height + dy) * width + dx
                if (dz < 0 or dy < 0 or dx < 0) and (depth > 1 or dz == 0) and (dz, dy, dx) < (0, 0, 0):
                    steps[n_steps, 0], steps[n_steps, 1], steps[n_steps, 2], steps[n_steps, 3] = dz, dy, dx, flat
                    length[n_steps] = np.sqrt(float(dz * dz + dy * dy + dx * dx))
                    n_steps += 1
    # The sweep in which a pixel last took a patch: what has not changed since needs no second look.
    taken = np.zeros(label.size, np.int8)
    # Nearly always the fourth sweep changes nothing any more; a limit so that ties cannot go round in circles.
    for sweep in range(1, 9):
        way = 1 if sweep % 2 == 1 else -1
        changed = False
        for rz in range(depth):
            z = rz if way > 0 else depth - 1 - rz
            for ry in range(height):
                y = ry if way > 0 else height - 1 - ry
                for rx in range(width):
                    x = rx if way > 0 else width - 1 - rx
                    p = (z * height + y) * width + x
                    last = p * slots + slots - 1
                    for s in range(n_steps):
                        qz, qy, qx = z + way * steps[s, 0], y + way * steps[s, 1], x + way * steps[s, 2]
                        if qz < 0 or qy < 0 or qx < 0 or qz >= depth or qy >= height or qx >= width:
                            continue
                        q = p + way * steps[s, 3]
                        if label[q] != label[p] or (sweep > 2 and taken[q] < sweep - 1):
                            continue
                        for k in range(q * slots, q * slots + slots):
                            i = nearest[k]
                            # No patch is nearer to here than to the neighbour by more than the step between them.
                            if i < 0 or away[k] - length[s] >= away[last]:
                                break
                            if i == nearest[last] or i == nearest[p * slots]:
                                continue
                            if _offer(place, pair, i, z, y, x, reach, p * slots, last, nearest, away):
                                taken[p] = sweep
                                changed = True
        if sweep > 1 and not changed:
            break
