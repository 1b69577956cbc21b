"""Compiled phase field of many grains: Allen-Cahn dynamics with a double obstacle, on a list of grains a pixel.

Every grain has a field φ_i ≥ 0, and at each pixel Σφ_i = 1 (multi-phase field, Steinbach and Pezzolla 1999). All follow
∂φ_i/∂t = ∇²φ_i + (π/η)² φ_i − λ, where λ keeps the sum at 1 and no field falls below 0: boundaries of width η move by
their curvature alone (an isolated circular grain loses 2π px² a unit of time), three meet at 120°, and outside of
boundaries a single field is exactly 1. So a pixel keeps a short list of grains (Vedantam and Patnaik 2006), only
boundaries cost time, and the number of grains costs nothing. One step is a projected gradient step: explicit in time,
then the nearest point of the simplex {φ ≥ 0, Σφ = 1}.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled

__all__ = ["grow_phase_field"]

IntArray = npt.NDArray[np.int32]
FloatImage = npt.NDArray[np.float32]
# Grains kept a pixel: those that meet at a corner, and some that are about to.
KEPT = 6
# The isotropic stencils below allow 3/8 px².
STEP = 0.36
# A grid resolves where a field becomes 0 to a pixel only. This slows boundaries by the fraction LAG / η², measured on
# circles and spheres for η of 4 to 8 px, whatever their radius and the step: made up for by so much more time.
LAG = 1.8


def grow_phase_field(
    labels: IntArray, time: float, width: float, periodic: bool = False, shape: tuple[int, int, int] | None = None
) -> tuple[IntArray, FloatImage]:
    """Let grains grow by the curvature of their boundaries.

    Parameters
    ----------
    labels
        int32 ``(Z, Y, X)``, any numbers ≥ 0; Z = 1 is 2D. Not changed.
    time
        In squared pixels of ``labels``: mobility and energy of boundaries are 1, so they move at a speed (px) of their
        curvature (1/px).
    width
        η (px of ``labels``), the width of the diffuse boundary; below 4 the grid shows.
    periodic
        Opposite edges join; otherwise nothing flows through edges, and boundaries meet them at right angles.
    shape
        ``(Z, Y, X)`` of a finer grid over the same field on which the outcome is wanted; ``None``: that of ``labels``.

    Returns
    -------
    labels, depth
        The grain with the largest field, and how deep (px of the outcome) the pixel is inside it: exact near
        boundaries, at most η/2.
    """
    names = np.full((labels.size, KEPT), -1, dtype=np.int32)
    names[:, 0] = labels.reshape(-1)
    fields = np.zeros((labels.size, KEPT), dtype=np.float32)
    fields[:, 0] = 1
    time /= 1 - LAG / width**2
    n_steps = max(1, math.ceil(time / STEP))
    # −∂² of a sine of that width on the grid: so the profile of a boundary at rest is one of the grid, too.
    pull = 2 - 2 * math.cos(math.pi / width)
    _run(names, fields, labels.shape, n_steps, time / n_steps, pull, periodic)
    if shape is not None and shape != labels.shape:
        finer = np.empty((math.prod(shape), 2), dtype=np.int32), np.empty((math.prod(shape), 2), dtype=np.float32)
        _resample(names, fields, labels.shape, shape, periodic, *finer)
        names, fields = finer
        width *= shape[-1] / labels.shape[-1]
        labels = np.empty(shape, dtype=np.int32)
    # From the profile ½(1 + sin(πx/η)) of a boundary at rest back to the place x.
    first, second = fields[:, 0], fields[:, 1]
    depth = np.float32(width / math.pi) * np.arcsin((first - second) / (first + second))
    return names[:, 0].reshape(labels.shape).copy(), depth.astype(np.float32).reshape(labels.shape)


@compiled
def _edge_neighbours(
    p: int, shape: tuple[int, int, int], periodic: bool, steps: npt.NDArray[np.int64], into: npt.NDArray[np.int64]
) -> None:
    """Flat indices of the pixels around one at an edge, mirrored or wrapped."""
    z, y, x = p // (shape[1] * shape[2]), p // shape[2] % shape[1], p % shape[2]
    for k in range(steps.shape[0]):
        qz, qy, qx = z + steps[k, 0], y + steps[k, 1], x + steps[k, 2]
        if periodic:
            qz, qy, qx = qz % shape[0], qy % shape[1], qx % shape[2]
        else:
            qz = min(max(qz, 0), shape[0] - 1)
            qy = min(max(qy, 0), shape[1] - 1)
            qx = min(max(qx, 0), shape[2] - 1)
        into[k] = (qz * shape[1] + qy) * shape[2] + qx


@compiled
def _neighbours(
    p: int,
    edge: npt.NDArray[np.bool_],
    shape: tuple[int, int, int],
    periodic: bool,
    steps: npt.NDArray[np.int64],
    into: npt.NDArray[np.int64],
) -> None:
    """Flat indices of the pixels around p, in the order of the stencil."""
    if edge[p]:
        _edge_neighbours(p, shape, periodic, steps, into)
        return
    for k in range(steps.shape[0]):
        into[k] = p + steps[k, 3]


@compiled
def _run(
    names: IntArray,
    fields: FloatImage,
    shape: tuple[int, int, int],
    n_steps: int,
    dt: float,
    pull: float,
    periodic: bool,
) -> None:
    """Take the steps; ``names`` and ``fields`` are ``(pixels, KEPT)``, largest field first."""
    flat = shape[0] == 1
    around = 8 if flat else 18
    # Isotropic Laplacians: 9 pixels (4:1) in 2D, 19 pixels (2:1) in 3D. Rows of steps: z, y, x, flat.
    steps, weight = np.empty((around, 4), np.int64), np.empty(around, np.float32)
    n = 0
    for dz in range(0 if flat else -1, 1 if flat else 2):
        for dy in range(-1, 2):
            for dx in range(-1, 2):
                axes = abs(dz) + abs(dy) + abs(dx)
                if axes == 1 or axes == 2:
                    weight[n] = (2.0 / 3.0 if flat else 1.0 / 3.0) if axes == 1 else 1.0 / 6.0
                    steps[n, 0], steps[n, 1], steps[n, 2] = dz, dy, dx
                    steps[n, 3] = (dz * shape[1] + dy) * shape[2] + dx
                    n += 1
    weight *= np.float32(dt)
    stay = np.float32(1.0 - weight.sum() + dt * pull)
    edge = np.zeros(names.shape[0], np.bool_)
    for p in range(names.shape[0]):
        z, y, x = p // (shape[1] * shape[2]), p // shape[2] % shape[1], p % shape[2]
        edge[p] = y == 0 or x == 0 or y == shape[1] - 1 or x == shape[2] - 1
        edge[p] |= not flat and (z == 0 or z == shape[0] - 1)
    near = np.empty(around, np.int64)
    count = names.shape[0]
    listed = np.zeros(count, np.bool_)
    active = np.empty(count, np.int32)
    n_active = 0
    # New values of the listed pixels, so that all of a step see the old ones.
    new_names = np.empty((count, KEPT), np.int32)
    new_fields = np.empty((count, KEPT), np.float32)
    who = np.empty((around + 1) * KEPT, np.int32)
    value = np.empty((around + 1) * KEPT, np.float32)
    for step in range(n_steps):
        if step % 32 == 0:
            # From scratch and in raster order now and then: what lies inside a grain again is dropped.
            n_active = 0
            listed[:] = False
            for p in range(count):
                _neighbours(p, edge, shape, periodic, steps, near)
                mixed = fields[p, 0] < 1.0
                for k in range(around):
                    if names[near[k], 0] != names[p, 0] or fields[near[k], 0] < 1.0:
                        mixed = True
                        break
                if mixed:
                    active[n_active] = p
                    listed[p] = True
                    n_active += 1
        for a in range(n_active):
            p = active[a]
            _neighbours(p, edge, shape, periodic, steps, near)
            found = 0
            for k in range(KEPT):
                if fields[p, k] <= 0.0:
                    break
                who[found], value[found] = names[p, k], stay * fields[p, k]
                found += 1
            for k in range(around):
                q = near[k]
                for j in range(KEPT):
                    if fields[q, j] <= 0.0:
                        break
                    name = names[q, j]
                    n = 0
                    while n < found and who[n] != name:
                        n += 1
                    if n == found:
                        who[n], value[n] = name, np.float32(0.0)
                        found += 1
                    value[n] += weight[k] * fields[q, j]
            _onto_simplex(who, value, found, new_names, new_fields, a)
        n_before = n_active
        for a in range(n_before):
            p = active[a]
            was_mixed = fields[p, 0] < 1.0
            for k in range(KEPT):
                names[p, k], fields[p, k] = new_names[a, k], new_fields[a, k]
            if not was_mixed and fields[p, 0] < 1.0:
                _neighbours(p, edge, shape, periodic, steps, near)
                for k in range(around):
                    if not listed[near[k]]:
                        listed[near[k]] = True
                        active[n_active] = near[k]
                        n_active += 1


@compiled
def _onto_simplex(who: IntArray, value: FloatImage, found: int, names: IntArray, fields: FloatImage, row: int) -> None:
    """Write to a row the point of {φ ≥ 0, Σφ = 1} nearest to ``value`` (sorted in place), largest first."""
    for a in range(1, found):
        v, w = value[a], who[a]
        b = a
        while b > 0 and value[b - 1] < v:
            value[b], who[b] = value[b - 1], who[b - 1]
            b -= 1
        value[b], who[b] = v, w
    total = np.float32(0.0)
    excess = np.float32(0.0)
    for n in range(min(found, KEPT)):
        level = (total + value[n] - np.float32(1.0)) / np.float32(n + 1)
        if value[n] <= level:
            break
        total += value[n]
        excess = level
    for k in range(KEPT):
        if k < found and value[k] > excess:
            names[row, k], fields[row, k] = who[k], min(value[k] - excess, np.float32(1.0))
        else:
            names[row, k], fields[row, k] = -1, 0.0


@compiled
def _resample(
    names: IntArray,
    fields: FloatImage,
    shape: tuple[int, int, int],
    wanted: tuple[int, int, int],
    periodic: bool,
    new_names: IntArray,
    new_fields: FloatImage,
) -> None:
    """Interpolate fields linearly on another grid over the same field of view; keep the two largest."""
    who, value = np.empty(8 * KEPT, np.int32), np.empty(8 * KEPT, np.float32)
    low, high, part = np.empty(3, np.int64), np.empty(3, np.int64), np.empty(3)
    for p in range(new_names.shape[0]):
        place = (p // (wanted[1] * wanted[2]), p // wanted[2] % wanted[1], p % wanted[2])
        for axis in range(3):
            at = (place[axis] + 0.5) * shape[axis] / wanted[axis] - 0.5
            low[axis] = int(np.floor(at))
            part[axis] = at - low[axis]
            high[axis] = low[axis] + 1
            if periodic:
                low[axis], high[axis] = low[axis] % shape[axis], high[axis] % shape[axis]
            else:
                low[axis], high[axis] = max(low[axis], 0), min(high[axis], shape[axis] - 1)
        found = 0
        for corner in range(8):
            z = high[0] if corner & 4 else low[0]
            y = high[1] if corner & 2 else low[1]
            x = high[2] if corner & 1 else low[2]
            share = part[0] if corner & 4 else 1.0 - part[0]
            share *= part[1] if corner & 2 else 1.0 - part[1]
            share *= part[2] if corner & 1 else 1.0 - part[2]
            if share <= 0.0:
                continue
            q = (z * shape[1] + y) * shape[2] + x
            for k in range(KEPT):
                if fields[q, k] <= 0.0:
                    break
                n = 0
                while n < found and who[n] != names[q, k]:
                    n += 1
                if n == found:
                    who[n], value[n] = names[q, k], np.float32(0.0)
                    found += 1
                value[n] += np.float32(share) * fields[q, k]
        new_names[p, 0], new_names[p, 1] = -1, -1
        new_fields[p, 0], new_fields[p, 1] = 0.0, 0.0
        for n in range(found):
            if value[n] > new_fields[p, 0]:
                new_names[p, 1], new_fields[p, 1] = new_names[p, 0], new_fields[p, 0]
                new_names[p, 0], new_fields[p, 0] = who[n], value[n]
            elif value[n] > new_fields[p, 1]:
                new_names[p, 1], new_fields[p, 1] = who[n], value[n]
