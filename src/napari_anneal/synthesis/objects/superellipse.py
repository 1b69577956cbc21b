"""Compiled: in each cell one rounded object, as a level that is 1 on its outline and the slope of that level."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled

__all__ = ["object_levels"]

# So far outside, the p-norm is as good as the largest coordinate, and much dearer.
FAR_OUTSIDE = 2.5


@compiled
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

    ``axes`` rows are the half axes (px) along, across and out of the (Y, X) plane; ``direction`` is the angle (rad)
    of each object from the X axis towards +Y.
    """
    depth, height, width = labels.shape
    cosine, sine = np.cos(direction), np.sin(direction)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                i = labels[z, y, x]
                dz, dy, dx = z - seeds[i, 0], y - seeds[i, 1], x - seeds[i, 2]
                u = abs(dx * cosine[i] + dy * sine[i]) / axes[i, 0]
                v = abs(dy * cosine[i] - dx * sine[i]) / axes[i, 1]
                w = abs(dz) / axes[i, 2]
                largest = max(u, v, w)
                if largest < 1e-3 or largest > FAR_OUTSIDE:
                    level[z, y, x] = largest
                    slope[z, y, x] = 1.0 / min(axes[i, 0], axes[i, 1])
                    continue
                # Shares of the p-norm; of the largest coordinate it is 1, so only the others cost a power.
                u, v, w = u / largest, v / largest, w / largest
                a, b, c = _power(u, exponent), _power(v, exponent), _power(w, exponent)
                total = a + b + c
                norm = np.sqrt(total) if exponent == 2.0 else total ** (1.0 / exponent)
                level[z, y, x] = largest * norm
                # ∂norm/∂u = (u/norm)^(p-1), written with the powers already at hand.
                gu = a / (max(u, 1e-9) * axes[i, 0])
                gv = b / (max(v, 1e-9) * axes[i, 1])
                gw = c / (max(w, 1e-9) * axes[i, 2])
                slope[z, y, x] = norm / total * np.sqrt(gu * gu + gv * gv + gw * gw)


@compiled
def _power(base: float, exponent: float) -> float:
    """``base ** exponent`` for base in [0, 1], cheap where it is easy."""
    if base == 1.0 or base == 0.0:
        return base
    return base * base if exponent == 2.0 else base**exponent
