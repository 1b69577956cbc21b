"""Compiled dart throwing: blue noise with a prescribed number of points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled

__all__ = ["throw_darts"]


@compiled
def throw_darts(
    size: npt.NDArray[np.float64],
    metric: npt.NDArray[np.float64],
    ndim: int,
    count: int,
    distance: float,
    state: int,
) -> npt.NDArray[np.float64]:
    """``count`` points ``(count, 3)`` in the box ``size`` (Z, Y, X) that keep ``distance`` (in the metric) if possible.

    The distance shrinks whenever darts keep missing. The box is periodic. ``state`` > 0 seeds an xorshift generator.
    """
    volume = 1.0
    for a in range(3 - ndim, 3):
        volume *= size[a]
    spacing = (volume / count) ** (1.0 / ndim)
    # A bucket grid of about one point a cell, each a list linked through `after`.
    grid = np.ones(3, np.int64)
    for a in range(3 - ndim, 3):
        grid[a] = max(1, int(size[a] / spacing))
    head = np.full(grid[0] * grid[1] * grid[2], -1, np.int64)
    after = np.full(count, -1, np.int64)
    points = np.zeros((count, 3))
    dart, cell, low, high = np.zeros(3), np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(3, np.int64)
    x = np.uint64(state)
    radius = distance
    # How far along each axis the ball of the metric reaches, in radii.
    inverse = np.linalg.inv(metric)
    difference = np.zeros(3)
    placed = misses = 0
    while placed < count:
        for a in range(3 - ndim, 3):
            x ^= x << np.uint64(13)
            x ^= x >> np.uint64(7)
            x ^= x << np.uint64(17)
            dart[a] = np.float64(x >> np.uint64(11)) / 9007199254740992.0 * size[a]
        for a in range(3):
            cell[a] = min(int(dart[a] / size[a] * grid[a]), grid[a] - 1)
            span = int(np.ceil(radius * np.sqrt(inverse[a, a]) / size[a] * grid[a])) if a >= 3 - ndim else 0
            low[a], high[a] = -span, span
            if 2 * span + 1 > grid[a]:
                low[a], high[a] = -cell[a], grid[a] - 1 - cell[a]
        free = True
        for kz in range(low[0], high[0] + 1):
            for ky in range(low[1], high[1] + 1):
                for kx in range(low[2], high[2] + 1):
                    z, y, w = (cell[0] + kz) % grid[0], (cell[1] + ky) % grid[1], (cell[2] + kx) % grid[2]
                    other = head[(z * grid[1] + y) * grid[2] + w]
                    while other >= 0 and free:
                        square = 0.0
                        for a in range(3 - ndim, 3):
                            gap = points[other, a] - dart[a]
                            difference[a] = gap - size[a] * np.rint(gap / size[a])
                        for a in range(3 - ndim, 3):
                            for b in range(3 - ndim, 3):
                                square += difference[a] * metric[a, b] * difference[b]
                        free = square >= radius * radius
                        other = after[other]
                    if not free:
                        break
                if not free:
                    break
            if not free:
                break
        if not free:
            misses += 1
            if misses > 120:
                radius *= 0.98
                misses = 0
            continue
        misses = 0
        points[placed] = dart
        spot = (cell[0] * grid[1] + cell[1]) * grid[2] + cell[2]
        after[placed] = head[spot]
        head[spot] = placed
        placed += 1
    return points
