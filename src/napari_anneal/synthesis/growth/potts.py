"""Compiled Monte Carlo Potts grain growth (Anderson, Srolovitz, Grest and Sahni 1984), on boundary pixels only.

The energy is the sum over pairs of unlike neighbours, 8 around a pixel in 2D and 26 in 3D, weighted by the inverse of
their distance: that makes it nearly the length (area) of the boundaries whatever their direction. A pixel inside a
grain can become nothing else, so only pixels at boundaries are visited, and the cost goes with the boundaries' length.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled

__all__ = ["grow_potts"]

IntArray = npt.NDArray[np.int32]
# Inverse distances of neighbours at 1, √2 and √3 px as whole numbers, so that energies index a table.
WEIGHTS = (24, 17, 14)
# The bonds of all 26 neighbours together.
MOST = 6 * 24 + 12 * 17 + 8 * 14


def grow_potts(labels: IntArray, rounds: float, temperature: float, periodic: bool, state: int) -> IntArray:
    """Let grains grow by Monte Carlo steps with the heat-bath rule; returns labels like those given.

    Parameters
    ----------
    labels
        int32 ``(Z, Y, X)``, any numbers ≥ 0; Z = 1 is 2D. Not changed.
    rounds
        Monte Carlo steps: in one, every pixel is visited once on average, in random order.
    temperature
        k_B·T over the energy of two unlike pixels side by side. 0: always the lowest energy, ties at random.
    periodic
        Opposite edges join; otherwise edges are free, and boundaries meet them at right angles.
    state
        Seed of the random numbers, 1 … 2⁶³ − 1.
    """
    rim = (0 if labels.shape[0] == 1 else 1, 1, 1)
    widths = [(r, r) for r in rim]
    inner = tuple(slice(r, r + n) for r, n in zip(rim, labels.shape, strict=True))
    framed = np.pad(labels, widths, mode="wrap") if periodic else np.pad(labels, widths, constant_values=-1)
    # Where in the image each pixel of the frame is; nowhere (−1) beyond a free edge.
    home = np.arange(framed.size, dtype=np.int32).reshape(framed.shape)[inner]
    home = np.pad(home, widths, mode="wrap") if periodic else np.pad(home, widths, constant_values=-1)
    difference = np.arange(MOST + 1) / WEIGHTS[0]
    boltzmann = np.exp(-difference / temperature) if temperature > 0 else (difference == 0).astype(np.float64)
    flat = framed.reshape(-1)
    _run(flat, home.reshape(-1), framed.shape, periodic, rounds, boltzmann, state)
    return np.ascontiguousarray(flat.reshape(framed.shape)[inner])


@compiled
def _run(
    label: IntArray,
    home: IntArray,
    shape: tuple[int, int, int],
    periodic: bool,
    rounds: float,
    boltzmann: npt.NDArray[np.float64],
    state: int,
) -> None:
    """Visit boundary pixels at random until the time is up; ``label`` and ``home`` are flat, with their rim."""
    step, bond = np.empty(26, np.int64), np.empty(26, np.int64)
    around = 0
    for dz in range(-1 if shape[0] > 1 else 0, 2 if shape[0] > 1 else 1):
        for dy in range(-1, 2):
            for dx in range(-1, 2):
                axes = abs(dz) + abs(dy) + abs(dx)
                if axes > 0:
                    step[around] = (dz * shape[1] + dy) * shape[2] + dx
                    bond[around] = WEIGHTS[axes - 1]
                    around += 1
    # How many neighbours are unlike; where a pixel stands in the list of those that have any.
    unlike = np.zeros(label.size, np.int8)
    place = np.full(label.size, -1, np.int32)
    active = np.empty(label.size, np.int32)
    n_active = 0
    for p in range(label.size):
        if home[p] != p:
            continue
        for k in range(around):
            other = label[p + step[k]]
            if other >= 0 and other != label[p]:
                unlike[p] += 1
        if unlike[p] > 0:
            place[p], active[n_active] = n_active, p
            n_active += 1
    names, bonds = np.empty(27, np.int32), np.empty(27, np.int64)
    x = np.uint64(state)
    time = 0.0
    while n_active > 0:
        # All pixels are visited at the same rate; visits to pixels inside grains change nothing and are left out.
        time += 1.0 / n_active
        if time > rounds:
            break
        x ^= x << np.uint64(13)
        x ^= x >> np.uint64(7)
        x ^= x << np.uint64(17)
        # 2⁵³ random numbers for at most 2³¹ pixels: the first digits choose the pixel, the rest the new label.
        draw = np.float64(x >> np.uint64(11)) / 9007199254740992.0 * n_active
        p = active[int(draw)]
        draw -= int(draw)
        old = label[p]
        names[0], bonds[0], found = old, 0, 1
        for k in range(around):
            other = label[p + step[k]]
            if other < 0:
                continue
            n = 0
            while n < found and names[n] != other:
                n += 1
            if n == found:
                names[n], bonds[n] = other, 0
                found += 1
            bonds[n] += bond[k]
        strongest = 0
        for n in range(found):
            strongest = max(strongest, bonds[n])
        total = 0.0
        for n in range(found):
            total += boltzmann[strongest - bonds[n]]
        draw *= total
        n = 0
        draw -= boltzmann[strongest - bonds[0]]
        while draw >= 0.0 and n < found - 1:
            n += 1
            draw -= boltzmann[strongest - bonds[n]]
        new = names[n]
        if new == old:
            continue
        label[p] = new
        count = 0
        for k in range(around):
            other = label[p + step[k]]
            q = home[p + step[k]]
            if other < 0 or q == p:
                continue
            count += other != new
            if other == old:
                unlike[q] += 1
                if unlike[q] == 1:
                    place[q], active[n_active] = n_active, q
                    n_active += 1
            elif other == new:
                unlike[q] -= 1
                if unlike[q] == 0:
                    n_active -= 1
                    last = active[n_active]
                    active[place[q]], place[last] = last, place[q]
                    place[q] = -1
        unlike[p] = count
        if count == 0:
            n_active -= 1
            last = active[n_active]
            active[place[p]], place[last] = last, place[p]
            place[p] = -1
        if periodic:
            _copy_to_rim(label, shape, p, new)


@compiled
def _copy_to_rim(label: IntArray, shape: tuple[int, int, int], p: int, new: int) -> None:
    """Give the images of a pixel beyond the joined edges its label."""
    z, y, x = p // (shape[1] * shape[2]), p // shape[2] % shape[1], p % shape[2]
    for a in range(-1, 2):
        if a != 0 and (shape[0] == 1 or (z != 1 if a > 0 else z != shape[0] - 2)):
            continue
        for b in range(-1, 2):
            if b != 0 and (y != 1 if b > 0 else y != shape[1] - 2):
                continue
            for c in range(-1, 2):
                if c != 0 and (x != 1 if c > 0 else x != shape[2] - 2):
                    continue
                zz = z + a * (shape[0] - 2) if a != 0 else z
                label[(zz * shape[1] + y + b * (shape[1] - 2)) * shape[2] + x + c * (shape[2] - 2)] = new
