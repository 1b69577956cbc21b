"""What is compiled: counting steps of a lattice from grain to grain, and walking round a circle by such steps."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled

__all__ = ["count_steps", "walk_round"]

IntArray = npt.NDArray[np.int64]


@compiled
def count_steps(
    grains: npt.NDArray[np.int32], step: IntArray, part_z: IntArray, part_y: IntArray, part_x: IntArray, blocks: int,
    found: IntArray,
) -> None:  # fmt: skip
    """Count along one direction, from every pixel.

    Parameters
    ----------
    grains
        int32 ``(Z, Y, X)``, 0 = unknown: a step that begins or ends there is none.
    step
        int64 ``(3,)``, in pixels.
    part_z, part_y, part_x, blocks
        The part of the field that each place along an axis lies in, and their number along X (and Y).
    found
        int64 ``(parts, 6)``, added to: changes and steps; changes that double steps miss of their halves, and double
        steps; those that triple steps miss of their thirds, and triple steps.
    """
    depth, height, width = grains.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                a = grains[z, y, x]
                if a == 0:
                    continue
                part = (part_z[z] * blocks + part_y[y]) * blocks + part_x[x]
                here, changes = a, 0
                for lag in range(1, 4):
                    v, u, t = z + lag * step[0], y + lag * step[1], x + lag * step[2]
                    if v < 0 or v >= depth or u < 0 or u >= height or t < 0 or t >= width:
                        break
                    b = grains[v, u, t]
                    if b == 0:
                        break
                    changes += b != here
                    here = b
                    found[part, 2 * lag - 2] += changes - (b != a) if lag > 1 else changes
                    found[part, 2 * lag - 1] += 1


@compiled
def walk_round(
    middle: npt.NDArray[np.float64], radius: float, size: npt.NDArray[np.float64], lattice: IntArray
) -> tuple[IntArray, IntArray]:
    """Walk once round a circle.

    Parameters
    ----------
    middle, radius
        Of the circle: pixels ``(Y, X)``, and a length in units of ``size``.
    size
        Of a pixel along Y and X.
    lattice
        int64 ``(D, 2)``: the steps there are, forwards and backwards.

    Returns
    -------
    places, kind
        int64 ``(n + 1, 2)`` pixels, and ``(n,)`` the direction of each step. Of the steps that go on round, the one is
        taken that ends nearest to the circle for its length.
    """
    most = int(64 * (radius / size.min() + 4))
    places, kind = np.empty((most + 1, 2), dtype=np.int64), np.empty(most, dtype=np.int64)
    y, x = round(middle[0]), round(middle[1] + radius / size[1])
    places[0, 0], places[0, 1] = y, x
    turned, taken = 0.0, 0
    while turned < 2 * math.pi and taken < most:
        out_y, out_x = (y - middle[0]) * size[0], (x - middle[1]) * size[1]
        far = max(math.hypot(out_y, out_x), 1e-12)
        best, least, sign = 0, np.inf, 1
        for d in range(lattice.shape[0]):
            for way in (1, -1):
                v, u = way * lattice[d, 0] * size[0], way * lattice[d, 1] * size[1]
                length = math.hypot(v, u)
                off = abs(math.hypot(out_y + v, out_x + u) - radius) / length
                if (v * out_x - u * out_y) / far > 0.7 * length and off < least:
                    best, least, sign = d, off, way
        y, x = y + sign * lattice[best, 0], x + sign * lattice[best, 1]
        new_y, new_x = (y - middle[0]) * size[0], (x - middle[1]) * size[1]
        turned += math.atan2(new_y * out_x - new_x * out_y, out_y * new_y + out_x * new_x)
        kind[taken] = best
        taken += 1
        places[taken, 0], places[taken, 1] = y, x
    return places[: taken + 1], kind[:taken]
