"""Compiled sums over grains: pixels, first and second moments, extents; and how many grains meet in a window."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled

__all__ = ["moments", "windows_where_grains_meet"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int32]


def moments(index: Labels, count: int, step: FloatArray) -> tuple[IntArray, FloatArray, FloatArray, IntArray, IntArray]:
    """Pixels, centroid, covariance of each grain (with spacing), and the lowest and highest pixel of its box.

    ``index`` is int32 ``(Z, Y, X)`` with 0 for no grain and 1 … count. A pixel counts as a box of uniform density, so
    the covariance holds its own 1/12 along each axis.
    """
    sums = np.zeros((count, 10), dtype=np.int64)
    first = np.zeros((count, 3), dtype=np.int64)
    low = np.full((count, 3), np.iinfo(np.int64).max, dtype=np.int64)
    high = np.full((count, 3), -1, dtype=np.int64)
    sum_runs(np.ascontiguousarray(index), sums, first, low, high)
    pixels = sums[:, 0]
    mean = sums[:, 1:4] / pixels[:, None]
    square = sums[:, [4, 5, 6, 5, 7, 8, 6, 8, 9]].reshape(-1, 3, 3) / pixels[:, None, None]
    covariance = square - mean[:, :, None] * mean[:, None, :] + np.eye(3) / 12
    return pixels, (mean + first) * step, covariance * step[:, None] * step, low, high


@compiled
def sum_runs(index: Labels, sums: IntArray, first: IntArray, low: IntArray, high: IntArray) -> None:
    """Add up rows run by run; ``sums`` columns: 1, z, y, x, zz, zy, zx, yy, yx, xx about the grain's first pixel."""
    depth, height, width = index.shape
    for z in range(depth):
        for y in range(height):
            x = 0
            while x < width:
                k = index[z, y, x] - 1
                a = x
                x += 1
                while x < width and index[z, y, x] == k + 1:
                    x += 1
                if k < 0:
                    continue
                row = sums[k]
                if row[0] == 0:
                    first[k, 0], first[k, 1], first[k, 2] = z, y, a
                low[k, 0], high[k, 0] = min(low[k, 0], z), max(high[k, 0], z)
                low[k, 1], high[k, 1] = min(low[k, 1], y), max(high[k, 1], y)
                low[k, 2], high[k, 2] = min(low[k, 2], a), max(high[k, 2], x - 1)
                n, v, u = x - a, z - first[k, 0], y - first[k, 1]
                p, q = a - first[k, 2], x - first[k, 2]
                # Σ m and Σ m² for m = p … q − 1.
                line = n * (p + q - 1) // 2
                square = ((q - 1) * q * (2 * q - 1) - (p - 1) * p * (2 * p - 1)) // 6
                row[0] += n
                row[1] += n * v
                row[2] += n * u
                row[3] += line
                row[4] += n * v * v
                row[5] += n * v * u
                row[6] += v * line
                row[7] += n * u * u
                row[8] += u * line
                row[9] += square


def windows_where_grains_meet(index: Labels, reach: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Count the different grains in every window of 1 + reach pixels along each axis; uint8 ``shape - reach``."""
    out = np.zeros([max(n - r, 0) for n, r in zip(index.shape, reach, strict=True)], dtype=np.uint8)
    count_distinct(np.ascontiguousarray(index), np.array(reach), out)
    return out


@compiled
def count_distinct(index: Labels, reach: IntArray, out: npt.NDArray[np.uint8]) -> None:
    """Fill ``out`` with the number of different labels above 0 in the window that starts at each pixel."""
    seen = np.empty(8, np.int32)
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                n = 0
                for dz in range(reach[0] + 1):
                    for dy in range(reach[1] + 1):
                        for dx in range(reach[2] + 1):
                            k = index[z + dz, y + dy, x + dx]
                            new = k > 0
                            for m in range(n):
                                if seen[m] == k:
                                    new = False
                            if new:
                                seen[n] = k
                                n += 1
                out[z, y, x] = n
