"""Boundaries smoothed by their curvature: every grain's indicator is blurred, and the largest wins.

One step of threshold dynamics (Merriman, Bence and Osher 1994; Esedoḡlu and Otto 2015 for many phases): boundaries move
towards their centre of curvature by σ²/2 times the curvature, triple junctions towards angles of 120°, and straight
boundaries stay where they are.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled

__all__ = ["RANKS", "blur_and_rank"]

FloatImage = npt.NDArray[np.float32]
# Shares are kept for so many grains a pixel: those that meet at a corner of four, in 2D and 3D.
RANKS = 4


@compiled
def _boxes(
    labels: npt.NDArray[np.int32], second: npt.NDArray[np.int32], cover: FloatImage, boxes: npt.NDArray[np.int64]
) -> None:
    """First and one past the last index, along each axis, of the pixels in which a grain has a share."""
    depth, height, width = labels.shape
    boxes[:, 0::2] = 1 << 40
    boxes[:, 1::2] = -1
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                i = labels[z, y, x]
                for _ in range(2):
                    boxes[i, 0], boxes[i, 1] = min(boxes[i, 0], z), max(boxes[i, 1], z + 1)
                    boxes[i, 2], boxes[i, 3] = min(boxes[i, 2], y), max(boxes[i, 3], y + 1)
                    boxes[i, 4], boxes[i, 5] = min(boxes[i, 4], x), max(boxes[i, 5], x + 1)
                    if cover[z, y, x] == 1.0:
                        break
                    i = second[z, y, x]


@compiled
def blur_and_rank(
    labels: npt.NDArray[np.int32],
    second: npt.NDArray[np.int32],
    cover: FloatImage,
    kernel: FloatImage,
    count: int,
    ranked: npt.NDArray[np.int32],
    share: FloatImage,
) -> None:
    """Blur the indicator of each of ``count`` grains with ``kernel`` and keep the largest shares of every pixel.

    A pixel that a boundary cuts belongs by ``cover`` to its label and by the rest to the grain beyond (``second``).
    ``ranked`` and ``share`` are ``(Z, Y, X, RANKS)``, largest first; label −1 where there are no more.
    """
    depth, height, width = labels.shape
    boxes = np.empty((count, 6), np.int64)
    _boxes(labels, second, cover, boxes)
    ranked[:] = -1
    share[:] = 0.0
    reach = kernel.size // 2
    last = ranked.shape[3] - 1
    for i in range(count):
        if boxes[i, 1] < 0:
            continue
        z0, z1 = max(boxes[i, 0] - reach, 0), min(boxes[i, 1] + reach, depth)
        y0, y1 = max(boxes[i, 2] - reach, 0), min(boxes[i, 3] + reach, height)
        x0, x1 = max(boxes[i, 4] - reach, 0), min(boxes[i, 5] + reach, width)
        nz, ny, nx = z1 - z0, y1 - y0, x1 - x0
        along_x = np.zeros((nz, ny, nx), np.float32)
        line = np.zeros(nx + 2 * reach, np.float32)
        for z in range(boxes[i, 0], boxes[i, 1]):
            for y in range(boxes[i, 2], boxes[i, 3]):
                line[:] = 0.0
                for x in range(boxes[i, 4], boxes[i, 5]):
                    if labels[z, y, x] == i:
                        line[x - x0 + reach] = cover[z, y, x]
                    elif second[z, y, x] == i:
                        line[x - x0 + reach] = np.float32(1.0) - cover[z, y, x]
                row = along_x[z - z0, y - y0]
                for k in range(kernel.size):
                    w = kernel[k]
                    for x in range(nx):
                        row[x] += w * line[x + k]
        along_y = np.zeros((nz, ny, nx), np.float32)
        for z in range(boxes[i, 0] - z0, boxes[i, 1] - z0):
            for y in range(ny):
                row = along_y[z, y]
                for k in range(max(0, reach - y), min(kernel.size, ny + reach - y)):
                    w = kernel[k]
                    source = along_x[z, y + k - reach]
                    for x in range(nx):
                        row[x] += w * source[x]
        full = along_y
        if depth > 1:
            full = along_x
            full[:] = 0.0
            for z in range(nz):
                for k in range(max(0, reach - z), min(kernel.size, nz + reach - z)):
                    w = kernel[k]
                    for y in range(ny):
                        row = full[z, y]
                        source = along_y[z + k - reach, y]
                        for x in range(nx):
                            row[x] += w * source[x]
        for z in range(nz):
            for y in range(ny):
                for x in range(nx):
                    value = full[z, y, x]
                    shares = share[z0 + z, y0 + y, x0 + x]
                    if value <= shares[last]:
                        continue
                    names = ranked[z0 + z, y0 + y, x0 + x]
                    k = last
                    while k > 0 and value > shares[k - 1]:
                        shares[k], names[k] = shares[k - 1], names[k - 1]
                        k -= 1
                    shares[k], names[k] = value, i
