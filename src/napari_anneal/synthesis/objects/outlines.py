"""Compiled: the outline of one body (superellipse or rounded polygon, with dents), and drawing many of them.

A body's *level* is 1 on its outline and grows linearly from its centre, so (level − 1) / |∇level| is the distance to
the outline to second order in that distance.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled

__all__ = ["body_level", "draw_bodies", "level_along"]

FloatImage = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]
# Exponent of the norm that joins flat sides: their corners are rounded over about a tenth of the radius.
FACET_EXPONENT = 12.0
# Stands for the exponent of a rod with round ends: half length and radius are its first two axes.
ROD = 0.0


@compiled
def body_level(
    dz: float,
    dy: float,
    dx: float,
    turn: Array,
    axes: Array,
    exponent: float,
    facets: Array,
    dents: Array,
    depth: float,
) -> tuple[float, float]:
    """Level and slope (1/px) at an offset from the centre.

    ``turn`` rows are the body's axes in (Z, Y, X); ``facets`` (F, 3) are normals over their distance in units of
    ``axes``, none for a superellipse; ``dents`` (3, 3) are the axes of waves over the directions, ``depth`` their
    amplitude.
    """
    u = turn[0, 0] * dz + turn[0, 1] * dy + turn[0, 2] * dx
    v = turn[1, 0] * dz + turn[1, 1] * dy + turn[1, 2] * dx
    w = turn[2, 0] * dz + turn[2, 1] * dy + turn[2, 2] * dx
    if exponent == ROD:
        half = axes[0] - axes[1]
        u -= min(max(u, -half), half)
        return np.sqrt(u * u + v * v + w * w) / axes[1], 1.0 / axes[1]
    a, b, c = u / axes[0], v / axes[1], w / axes[2]
    if facets.shape[0] == 0:
        a, b, c = abs(a), abs(b), abs(c)
        largest = max(a, b, c)
        if largest < 1e-6:
            return largest, 1.0 / axes.min()
        a, b, c = a / largest, b / largest, c / largest
        if exponent == 2.0:
            p, q, r = a * a, b * b, c * c
            norm = np.sqrt(p + q + r)
        else:
            p, q, r = a**exponent, b**exponent, c**exponent
            norm = (p + q + r) ** (1.0 / exponent)
        level = largest * norm
        ga = p / (max(a, 1e-9) * axes[0])
        gb = q / (max(b, 1e-9) * axes[1])
        gc = r / (max(c, 1e-9) * axes[2])
        slope = norm / (p + q + r) * np.sqrt(ga * ga + gb * gb + gc * gc)
    else:
        largest = 0.0
        for k in range(facets.shape[0]):
            largest = max(largest, facets[k, 0] * a + facets[k, 1] * b + facets[k, 2] * c)
        if largest < 1e-6:
            return largest, 1.0 / axes.min()
        total, ga, gb, gc = 0.0, 0.0, 0.0, 0.0
        for k in range(facets.shape[0]):
            t = (facets[k, 0] * a + facets[k, 1] * b + facets[k, 2] * c) / largest
            # Below 0.6 a side's power is under 1/400 of the nearest one's.
            if t > 0.6:
                power = t ** (FACET_EXPONENT - 1.0)
                total += power * t
                ga += power * facets[k, 0] / axes[0]
                gb += power * facets[k, 1] / axes[1]
                gc += power * facets[k, 2] / axes[2]
        norm = total ** (1.0 / FACET_EXPONENT)
        level = largest * norm
        slope = norm / total * np.sqrt(ga * ga + gb * gb + gc * gc)
    # Dents matter only near the outline.
    if depth > 0.0 and 0.5 < level < 2.0:
        far = np.sqrt(u * u + v * v + w * w)
        # Chebyshev polynomials of the cosine: cos 3θ, cos 4θ and cos 5θ about axes of their own, at most 1 together.
        t = (dents[0, 0] * u + dents[0, 1] * v + dents[0, 2] * w) / far
        wave = 0.6 * t * (4.0 * t * t - 3.0)
        t = (dents[1, 0] * u + dents[1, 1] * v + dents[1, 2] * w) / far
        t *= t
        wave += 0.25 * (8.0 * t * (t - 1.0) + 1.0)
        t = (dents[2, 0] * u + dents[2, 1] * v + dents[2, 2] * w) / far
        wave += 0.15 * t * ((16.0 * t * t - 20.0) * t * t + 5.0)
        swell = max(1.0 + depth * wave, 0.3)
        level, slope = level / swell, slope / swell
    return level, slope


@compiled
def level_along(
    offsets: Array, axes: Array, exponent: float, facets: Array, dents: Array, depth: float, out: Array
) -> None:
    """Level of each body at each of its offsets ``(N, K, 3)`` (along, across and out of it) into ``out`` ``(N, K)``."""
    upright = np.eye(3)
    for i in range(offsets.shape[0]):
        # Taken out of the arrays once: a view costs as much as the level itself.
        own_axes, own_facets, own_dents = axes[i], facets[i], dents[i]
        for k in range(offsets.shape[1]):
            dz, dy, dx = offsets[i, k, 0], offsets[i, k, 1], offsets[i, k, 2]
            out[i, k] = body_level(dz, dy, dx, upright, own_axes, exponent, own_facets, own_dents, depth)[0]


@compiled
def draw_bodies(
    body: npt.NDArray[np.int64],
    centres: Array,
    turn: Array,
    axes: Array,
    reach: Array,
    exponent: float,
    facets: Array,
    dents: Array,
    depth: float,
    owner: npt.NDArray[np.int32],
    inside: FloatImage,
) -> None:
    """Draw copies of bodies one upon the other.

    ``body[k]`` tells the body that copy k at ``centres[k]`` is of. ``owner`` gets the number of the topmost copy, and
    ``inside`` the distance to the nearest outline that shows: negative in bodies, valid within 2 px of an outline.
    """
    sizes = owner.shape
    for k in range(body.shape[0]):
        i = body[k]
        own_turn, own_axes, own_facets, own_dents = turn[i], axes[i], facets[i], dents[i]
        cz, cy, cx = centres[k, 0], centres[k, 1], centres[k, 2]
        far = reach[i] + 2.0
        z0, z1 = max(int(np.ceil(cz - far)), 0), min(int(np.floor(cz + far)) + 1, sizes[0])
        y0, y1 = max(int(np.ceil(cy - far)), 0), min(int(np.floor(cy + far)) + 1, sizes[1])
        for z in range(z0, z1):
            for y in range(y0, y1):
                # Only the stretch of the row that is within reach.
                side = np.sqrt(max(far * far - (z - cz) ** 2 - (y - cy) ** 2, 0.0))
                x0, x1 = max(int(np.ceil(cx - side)), 0), min(int(np.floor(cx + side)) + 1, sizes[2])
                for x in range(x0, x1):
                    level, slope = body_level(
                        z - cz, y - cy, x - cx, own_turn, own_axes, exponent, own_facets, own_dents, depth
                    )
                    away = np.float32((level - 1.0) / slope)
                    if away < 0.0:
                        owner[z, y, x] = k
                        inside[z, y, x] = away
                    elif inside[z, y, x] < 0.0:
                        inside[z, y, x] = max(inside[z, y, x], -away)
                    elif away < inside[z, y, x]:
                        inside[z, y, x] = away
