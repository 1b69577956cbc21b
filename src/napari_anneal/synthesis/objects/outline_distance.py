"""Compiled: the distance of every pixel to the nearest outline, sub-pixel, whatever drew the outlines.

Where two neighbouring pixels belong to different objects the outline passes between them, at the place that their
depths tell. Each pixel then hears from its neighbours of the nearest point on an outline (vector distance transform,
Danielsson 1980), so the distance is right to about 0.1 px everywhere, not only near the outline.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled

__all__ = ["measure_outlines", "nothing_near", "spread_nearest"]

FloatImage = npt.NDArray[np.float32]
# px; farther than any image is wide.
FAR = 1e7
# px; a pixel with more depth than this is not next to an outline.
NEXT_TO = 2.5


def measure_outlines(depth: FloatImage, number: npt.NDArray[np.int32]) -> FloatImage:
    """Distance (px) to the nearest outline, float32 ``(Z, Y, X)``, negative inside objects; infinite without outline.

    ``number`` is 1 in the matrix and 2 … in objects. ``depth`` (signed or not) is the distance roughly, within two
    pixels of an outline: what counts is its ratio on either side.
    """
    square, nearest = nothing_near(depth.shape)
    find_crossings(np.abs(depth), number, square, nearest)
    distance = spread_nearest(square, nearest)
    return np.where(number > 1, -distance, distance)


def nothing_near(shape: tuple[int, ...]) -> tuple[FloatImage, FloatImage]:
    """Squared distances and nearest points ``(3, …)`` that nobody knows yet, with a margin of one pixel all round."""
    wide = tuple(n + 2 for n in shape)
    return np.full(wide, FAR * FAR, dtype=np.float32), np.full((3, *wide), FAR, dtype=np.float32)


def spread_nearest(square: FloatImage, nearest: FloatImage) -> FloatImage:
    """Hand nearest points on from the pixels that know one to all others; distance (px) without the margin."""
    sweep(square, nearest[0], nearest[1], nearest[2])
    inner = square[1:-1, 1:-1, 1:-1]
    return np.where(inner < FAR, np.sqrt(inner), np.float32(np.inf))


@compiled
def find_crossings(depth: FloatImage, number: npt.NDArray[np.int32], square: FloatImage, nearest: FloatImage) -> None:
    """Squared distance and nearest point of pixels next to an outline.

    That point is the foot on the plane through the crossings along the axes, or a crossing along a diagonal.
    """
    sizes = depth.shape
    foot, side = np.zeros(3), np.zeros(3)
    for z in range(sizes[0]):
        for y in range(sizes[1]):
            for x in range(sizes[2]):
                own, here = number[z, y, x], depth[z, y, x]
                if here > NEXT_TO:
                    continue
                # 1/t² summed over the axes is 1/distance² to the plane that cuts the axes at t.
                total, best = 0.0, np.inf
                side[:] = 0.0
                for dz in range(-1 if z > 0 else 0, 2 if z < sizes[0] - 1 else 1):
                    for dy in range(-1 if y > 0 else 0, 2 if y < sizes[1] - 1 else 1):
                        for dx in range(-1 if x > 0 else 0, 2 if x < sizes[2] - 1 else 1):
                            if number[z + dz, y + dy, x + dx] == own:
                                continue
                            both = here + depth[z + dz, y + dy, x + dx]
                            t = here / both if both > 1e-6 else 0.5
                            steps = dz * dz + dy * dy + dx * dx
                            if steps == 1:
                                axis = 0 if dz != 0 else 1 if dy != 0 else 2
                                t = max(t, 1e-3)
                                if side[axis] == 0.0 or t < abs(side[axis]):
                                    side[axis] = t * (dz + dy + dx)
                            elif t * t * steps < best:
                                best = t * t * steps
                                foot[0], foot[1], foot[2] = t * dz, t * dy, t * dx
                for a in range(3):
                    if side[a] != 0.0:
                        total += 1.0 / (side[a] * side[a])
                if total > 0.0 and 1.0 / total < best:
                    best = 1.0 / total
                    for a in range(3):
                        foot[a] = 1.0 / (side[a] * total) if side[a] != 0.0 else 0.0
                if best < np.inf:
                    square[z + 1, y + 1, x + 1] = best
                    nearest[0, z + 1, y + 1, x + 1] = z + foot[0]
                    nearest[1, z + 1, y + 1, x + 1] = y + foot[1]
                    nearest[2, z + 1, y + 1, x + 1] = x + foot[2]


@compiled
def sweep(square: FloatImage, pz: FloatImage, py: FloatImage, px: FloatImage) -> None:
    """Down and up through the planes, in each plane to and fro, asking the neighbours already passed."""
    depth, height, width = square.shape
    flat = depth == 3
    for down in range(1 if flat else 2):
        for k in range(1, depth - 1):
            z = k if down == 0 else depth - 1 - k
            above = z - 1 if down == 0 else z + 1
            for turn in range(2):
                side = -1 if turn == 0 else 1
                for j in range(1, height - 1):
                    y = j if turn == 0 else height - 1 - j
                    for x in range(1, width - 1):
                        # What lies nearer than this has an outline of its own in this very pixel.
                        if square[z, y, x] < 0.25:
                            continue
                        for c in range(x - 1, x + 2):
                            _hear(square, pz, py, px, z, y, x, z, y + side, c)
                        if not flat and turn == 0:
                            for b in range(y - 1, y + 2):
                                for c in range(x - 1, x + 2):
                                    _hear(square, pz, py, px, z, y, x, above, b, c)
                    for x in range(2, width - 1):
                        _hear(square, pz, py, px, z, y, x, z, y, x - 1)
                    for x in range(width - 3, 0, -1):
                        _hear(square, pz, py, px, z, y, x, z, y, x + 1)


@compiled
def _hear(
    square: FloatImage, pz: FloatImage, py: FloatImage, px: FloatImage, z: int, y: int, x: int, a: int, b: int, c: int
) -> None:
    """Take over a neighbour's nearest point where it is nearer than one's own."""
    dz, dy, dx = np.float32(z - 1) - pz[a, b, c], np.float32(y - 1) - py[a, b, c], np.float32(x - 1) - px[a, b, c]
    found = dz * dz + dy * dy + dx * dx
    if found < square[z, y, x]:
        square[z, y, x] = found
        pz[z, y, x], py[z, y, x], px[z, y, x] = pz[a, b, c], py[a, b, c], px[a, b, c]
