"""Compiled: where bodies may lie without overlap, in a periodic box.

Random sequential addition for any shape, one body after the other (Widom 1966); and for what it cannot reach, disks and
balls (or ellipses all alike) that push each other apart until none overlap.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled
from napari_anneal.synthesis.objects.outlines import body_level

__all__ = ["add_one_by_one", "push_apart"]

FloatImage = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]
# Moves of a body towards its neighbour until they touch, and how near (px) is touching.
SLIDES, CONTACT = 12, 0.2


@compiled
def add_one_by_one(
    proposals: Array,
    outline: Array,
    core: Array,
    turn: Array,
    axes: Array,
    reach: Array,
    exponent: float,
    facets: Array,
    dents: Array,
    depth: float,
    gap: float,
    touch: bool,
    most_tries: int,
    away: FloatImage,
    centres: Array,
) -> int:
    """Place bodies in their order at the first of the ``proposals`` where they keep ``gap`` px from those placed.

    ``outline`` (N, K, 3) are points on the outlines and ``core`` (N,) the radii of the largest balls inside. ``away``
    (Z, Y, X) holds the distance to the nearest body as far as it is known, and is filled on the way; ``centres``
    (N, 3) receives the places. Where ``touch`` is set, a body slides on until it meets the nearest one.
    Returns how many could be placed within ``most_tries`` tries each.
    """
    sizes = away.shape
    far = away[0, 0, 0]
    spot, place = np.zeros(3), np.zeros(3)
    number = 0
    shift = 0.0
    for i in range(outline.shape[0]):
        placed = False
        # Each seventh starts a cluster of its own.
        alone = not touch or i % 7 == 0
        for _ in range(most_tries):
            if number == proposals.shape[0]:
                number = 0
                shift += 0.6180339887498949
            for a in range(3):
                place[a] = proposals[number, a] + shift * sizes[a] * (1.0 + 0.31 * a) if sizes[a] > 1 else 0.0
            number += 1
            if _nearest(away, place) < min(core[i] + gap, far):
                continue
            clear = _clearance(away, outline[i], place, spot)
            if clear < gap:
                continue
            if touch and clear < far:
                for _ in range(SLIDES):
                    if clear < CONTACT:
                        break
                    _step_towards(away, spot, clear, place)
                    clear = _clearance(away, outline[i], place, spot)
            if not alone and clear > CONTACT + 0.3:
                continue
            placed = True
            break
        if not placed:
            return i
        for a in range(3):
            place[a] -= np.floor((place[a] + 0.5) / sizes[a]) * sizes[a] if sizes[a] > 1 else 0.0
            centres[i, a] = place[a]
        _mark(away, place, turn[i], axes[i], reach[i] + far, exponent, facets[i], dents[i], depth)
    return len(outline)


@compiled
def _nearest(away: FloatImage, at: Array) -> float:
    """Value at the nearest pixel of a periodic field."""
    sizes = away.shape
    value: float = away[int(np.rint(at[0])) % sizes[0], int(np.rint(at[1])) % sizes[1], int(np.rint(at[2])) % sizes[2]]
    return value


@compiled
def _clearance(away: FloatImage, outline: Array, place: Array, spot: Array) -> float:
    """Least distance of an outline at a place to what lies there; ``spot`` becomes the point where that is."""
    sizes = away.shape
    least = np.inf
    for k in range(outline.shape[0]):
        z, y, x = place[0] + outline[k, 0], place[1] + outline[k, 1], place[2] + outline[k, 2]
        fy, fx = int(np.floor(y)), int(np.floor(x))
        ty, tx = y - fy, x - fx
        y0, y1, x0, x1 = fy % sizes[1], (fy + 1) % sizes[1], fx % sizes[2], (fx + 1) % sizes[2]
        fz = int(np.floor(z)) if sizes[0] > 1 else 0
        z0 = fz % sizes[0]
        value = (1 - ty) * ((1 - tx) * away[z0, y0, x0] + tx * away[z0, y0, x1])
        value += ty * ((1 - tx) * away[z0, y1, x0] + tx * away[z0, y1, x1])
        if sizes[0] > 1:
            tz, z1 = z - fz, (fz + 1) % sizes[0]
            upper = (1 - ty) * ((1 - tx) * away[z1, y0, x0] + tx * away[z1, y0, x1])
            upper += ty * ((1 - tx) * away[z1, y1, x0] + tx * away[z1, y1, x1])
            value = (1 - tz) * value + tz * upper
        if value < least:
            least = value
            spot[0], spot[1], spot[2] = z, y, x
            if least < 0.0:
                break
    return least


@compiled
def _step_towards(away: FloatImage, spot: Array, step: float, place: Array) -> None:
    """Move a place by ``step`` px down the gradient of the distance at ``spot``."""
    sizes = away.shape
    base = np.zeros(3, np.int64)
    slope = np.zeros(3)
    for a in range(3):
        base[a] = int(np.rint(spot[a])) % sizes[a]
    for a in range(3):
        if sizes[a] > 1:
            up, down = base.copy(), base.copy()
            up[a], down[a] = (base[a] + 1) % sizes[a], (base[a] - 1) % sizes[a]
            slope[a] = away[up[0], up[1], up[2]] - away[down[0], down[1], down[2]]
    norm = np.sqrt((slope**2).sum())
    if norm > 0.0:
        for a in range(3):
            place[a] -= step * slope[a] / norm


@compiled
def _mark(
    away: FloatImage,
    place: Array,
    turn: Array,
    axes: Array,
    reach: float,
    exponent: float,
    facets: Array,
    dents: Array,
    depth: float,
) -> None:
    """Enter a body into the periodic field of distances."""
    sizes = away.shape
    low, high = np.zeros(3, np.int64), np.ones(3, np.int64)
    for a in range(3):
        if sizes[a] > 1:
            low[a], high[a] = int(np.ceil(place[a] - reach)), int(np.floor(place[a] + reach)) + 1
    for z in range(low[0], high[0]):
        for y in range(low[1], high[1]):
            for x in range(low[2], high[2]):
                level, slope = body_level(
                    z - place[0], y - place[1], x - place[2], turn, axes, exponent, facets, dents, depth
                )
                value = np.float32((level - 1.0) / slope)
                a, b, c = z % sizes[0], y % sizes[1], x % sizes[2]
                if value < away[a, b, c]:
                    away[a, b, c] = value


@compiled
def push_apart(
    centres: Array, radius: Array, gap: float, size: Array, squeeze: Array, rounds: int
) -> tuple[float, int]:
    """Move disks or balls until no two are nearer than ``gap`` px; returns the worst overlap (px) left, and the rounds.

    The box ``size`` (Z, Y, X; size 1: flat) is periodic. ``squeeze`` (3, 3) maps the image to where the bodies are
    round: the identity for disks and balls.
    """
    count = centres.shape[0]
    spread = np.linalg.inv(squeeze)
    reach = 2.0 * radius.max() + gap
    grid, span = np.ones(3, np.int64), np.zeros(3, np.int64)
    for a in range(3):
        if size[a] > 1:
            width = reach * np.sqrt((spread[a] ** 2).sum())
            grid[a] = max(1, int(size[a] / width))
            # Three cells or more: one to each side; fewer: all of them, once.
            span[a] = 1 if grid[a] >= 3 else 0
            if grid[a] < 3:
                grid[a] = 1
    head = np.empty(grid[0] * grid[1] * grid[2], np.int64)
    after = np.empty(count, np.int64)
    cell = np.zeros((count, 3), np.int64)
    move = np.zeros((count, 3))
    gone, u = np.zeros(3), np.zeros(3)
    worst = 0.0
    for turn in range(rounds):
        head[:] = -1
        move[:] = 0.0
        for i in range(count):
            for a in range(3):
                if size[a] > 1:
                    centres[i, a] -= np.floor((centres[i, a] + 0.5) / size[a]) * size[a]
                    cell[i, a] = min(int((centres[i, a] + 0.5) / size[a] * grid[a]), grid[a] - 1)
            spot = (cell[i, 0] * grid[1] + cell[i, 1]) * grid[2] + cell[i, 2]
            after[i] = head[spot]
            head[spot] = i
        worst = 0.0
        for i in range(count):
            for kz in range(-span[0], span[0] + 1):
                for ky in range(-span[1], span[1] + 1):
                    for kx in range(-span[2], span[2] + 1):
                        a, b, c = (cell[i, 0] + kz) % grid[0], (cell[i, 1] + ky) % grid[1], (cell[i, 2] + kx) % grid[2]
                        j = head[(a * grid[1] + b) * grid[2] + c]
                        while j >= 0:
                            if j > i:
                                square = 0.0
                                for d in range(3):
                                    gone[d] = centres[i, d] - centres[j, d]
                                    if size[d] > 1:
                                        gone[d] -= size[d] * np.rint(gone[d] / size[d])
                                for d in range(3):
                                    u[d] = squeeze[d, 0] * gone[0] + squeeze[d, 1] * gone[1] + squeeze[d, 2] * gone[2]
                                    square += u[d] * u[d]
                                least = radius[i] + radius[j] + gap
                                if square < least * least:
                                    away = np.sqrt(square)
                                    worst = max(worst, least - away)
                                    # A little more than needed, or the last overlaps would fade without end.
                                    push = 0.55 * (least - away) + 0.01
                                    if away < 1e-9:
                                        u[2], away = 1.0, 1.0
                                    for d in range(3):
                                        step = spread[d, 0] * u[0] + spread[d, 1] * u[1] + spread[d, 2] * u[2]
                                        step *= push / away
                                        move[i, d] += step
                                        move[j, d] -= step
                            j = after[j]
        if worst < 0.03:
            return worst, turn
        centres += move
    return worst, rounds
