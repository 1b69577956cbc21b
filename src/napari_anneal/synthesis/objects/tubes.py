"""Polylines and tubes about them: their length in a box, and compiled, the exact distance to their surface."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled

__all__ = ["draw_tubes", "length_inside", "part_inside"]

FloatImage = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]


def part_inside(
    start: FloatArray, end: FloatArray, shape: tuple[int, ...], margin: float = 0.0
) -> tuple[FloatArray, FloatArray]:
    """Where segments ``(S, ndim)`` enter and leave the image widened by ``margin`` px, as fractions of their length.

    The image spans −0.5 … n − 0.5. Where a segment misses it the second number is not above the first. Clipping as by
    Liang and Barsky (1984).
    """
    step = end - start
    first, last = np.zeros(len(start)), np.ones(len(start))
    for axis, n in enumerate(shape):
        least, most = -0.5 - margin, n - 0.5 + margin
        moving = np.abs(step[:, axis]) > 1e-12
        safe = np.where(moving, step[:, axis], 1.0)
        low, high = (least - start[:, axis]) / safe, (most - start[:, axis]) / safe
        inside = (start[:, axis] >= least) & (start[:, axis] <= most)
        first = np.maximum(first, np.where(moving, np.minimum(low, high), np.where(inside, 0.0, 2.0)))
        last = np.minimum(last, np.where(moving, np.maximum(low, high), 1.0))
    return first, last


def length_inside(start: FloatArray, end: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Length (px) of each segment ``(S, ndim)`` inside the image."""
    first, last = part_inside(start, end, shape)
    return np.asarray(np.maximum(last - first, 0.0) * np.linalg.norm(end - start, axis=1))


@compiled
def draw_tubes(
    start: FloatArray,
    end: FloatArray,
    radius: FloatArray,
    line: npt.NDArray[np.int64],
    reach: float,
    owner: npt.NDArray[np.int32],
    inside: FloatImage,
    segment: npt.NDArray[np.int32],
) -> None:
    """Draw tubes with round ends about segments ``(S, 3)``, a later line on an earlier one.

    ``owner`` gets the number of the topmost line and ``inside`` the distance (px) to the nearest surface that shows,
    negative in tubes, as far as ``reach`` px; ``segment`` the segment that is nearest.
    """
    sizes = owner.shape
    for k in range(start.shape[0]):
        far = radius[k] + reach
        sz, sy, sx = start[k]
        uz, uy, ux = end[k, 0] - sz, end[k, 1] - sy, end[k, 2] - sx
        square = max(uz * uz + uy * uy + ux * ux, 1e-12)
        z0 = max(int(np.ceil(min(sz, sz + uz) - far)), 0)
        z1 = min(int(np.floor(max(sz, sz + uz) + far)) + 1, sizes[0])
        y0 = max(int(np.ceil(min(sy, sy + uy) - far)), 0)
        y1 = min(int(np.floor(max(sy, sy + uy) + far)) + 1, sizes[1])
        for z in range(z0, z1):
            for y in range(y0, y1):
                # Of a long segment only the part near this row: where it is within reach in Y and Z.
                low, high = 0.0, 1.0
                if abs(uy) > 1e-9:
                    a, b = (y - far - sy) / uy, (y + far - sy) / uy
                    low, high = max(low, min(a, b)), min(high, max(a, b))
                if abs(uz) > 1e-9:
                    a, b = (z - far - sz) / uz, (z + far - sz) / uz
                    low, high = max(low, min(a, b)), min(high, max(a, b))
                if low > high:
                    continue
                left, right = min(sx + low * ux, sx + high * ux) - far, max(sx + low * ux, sx + high * ux) + far
                for x in range(max(int(np.ceil(left)), 0), min(int(np.floor(right)) + 1, sizes[2])):
                    dz, dy, dx = z - sz, y - sy, x - sx
                    t = min(max((dz * uz + dy * uy + dx * ux) / square, 0.0), 1.0)
                    dz, dy, dx = dz - t * uz, dy - t * uy, dx - t * ux
                    away = np.float32(np.sqrt(dz * dz + dy * dy + dx * dx) - radius[k])
                    known = inside[z, y, x]
                    if away < 0.0 and owner[z, y, x] != line[k]:
                        owner[z, y, x] = line[k]
                        inside[z, y, x] = away
                        segment[z, y, x] = k
                    elif owner[z, y, x] == line[k] or known >= 0.0:
                        if away < known:
                            inside[z, y, x] = away
                            segment[z, y, x] = k
                    elif -away > known:
                        inside[z, y, x] = -away
