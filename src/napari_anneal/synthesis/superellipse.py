"""Compiled: in each cell one rounded object, as a level that is 1 on its outline and the slope of that level."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["object_levels"]

# So far outside, the p-norm is as good as the largest coordinate, and much dearer.
FAR_OUTSIDE = 4.0


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def object_levels(
    labels: npt.NDArray[np.int32],
    seeds: npt.NDArray[np.float64],
    axes: npt.NDArray[np.float64],
    direction: npt.NDArray[np.float64],
    exponent: float,
    level: npt.NDArray[np.float32],
    slope: npt.NDArray[np.float32],
) -> None:
    """Fill ``level`` = (Σ|q/a|^p)^(1/p) and ``slope`` = |∇level| (1/px) for the object of each pixel's cell.

    ``axes`` rows are the half axes (px) along, across and out of the (Y, X) plane; ``direction`` the angle (rad) of each.
    """
    depth, height, width = labels.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                i = labels[z, y, x]
                c, s = np.cos(direction[i]), np.sin(direction[i])
                dz, dy, dx = z - seeds[i, 0], y - seeds[i, 1], x - seeds[i, 2]
                u = abs(dx * c + dy * s) / axes[i, 0]
                v = abs(dy * c - dx * s) / axes[i, 1]
                w = abs(dz) / axes[i, 2]
                largest = max(u, v, w)
                if exponent == 2.0 or largest < 1e-3:
                    r = np.sqrt(u * u + v * v + w * w)
                    p = 2.0
                elif largest > FAR_OUTSIDE:
                    r = largest
                    p = exponent
                else:
                    r = largest * (
                        (u / largest) ** exponent + (v / largest) ** exponent + (w / largest) ** exponent
                    ) ** (1.0 / exponent)
                    p = exponent
                level[z, y, x] = r
                if r < 1e-6 or largest > FAR_OUTSIDE:
                    slope[z, y, x] = 1.0 / min(axes[i, 0], axes[i, 1])
                    continue
                gu = (u / r) ** (p - 1.0) / axes[i, 0]
                gv = (v / r) ** (p - 1.0) / axes[i, 1]
                gw = (w / r) ** (p - 1.0) / axes[i, 2]
                slope[z, y, x] = np.sqrt(gu * gu + gv * gv + gw * gw)
