"""Cells for γ′: cuboids in rows along the crystal's axes, a disturbed lattice with channels between their flat faces.

A cell is where one cuboid, grown in proportion, arrives first: with L_i the largest of a pixel's coordinates in units
of cuboid i's half edges, cell i is where L_i is least, and its boundaries run along the crystal's axes. The cuboid that
finally lies in it takes after the cell, so that channels are about equally wide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled

__all__ = ["CuboidCells", "cuboid_cells"]

FloatArray = npt.NDArray[np.float64]
FloatImage = npt.NDArray[np.float32]
# How far a cuboid may be off its lattice point, in spacings (a row, half of that again), and the range of its relative
# size: within these, none but those at the 5 × 5 (× 5) nearest lattice points can be first at a pixel.
OFF, LEAST, MOST = 0.2, 0.7, 1.5
# Level below which the outer ones of these are not worth a look: they lie at least 1.5 − 0.3 spacings away.
NEXT_RING = (1.5 - 1.5 * OFF) / (MOST / 2)


@dataclass(frozen=True, eq=False)
class CuboidCells:
    """Cells, and the half edges (px; along, across, out) and centres of the cuboids that would fill them."""

    owner: npt.NDArray[np.int32]  # (Z, Y, X)
    border: FloatImage  # (Z, Y, X), px to the boundary of the cell
    seeds: FloatArray  # (N, 3)
    axes: FloatArray  # (N, 3)


def cuboid_cells(
    shape: tuple[int, ...],
    spacing: float,
    elongation: float,
    size_dispersion: float,
    azimuth: float,
    rng: np.random.Generator,
) -> CuboidCells:
    """Cells of a disturbed square or cubic lattice of ``spacing`` px, turned by ``azimuth`` (rad) about Z.

    ``size_dispersion`` is the coefficient of variation of the log-normal edges (kept within 0.7 and 1.5 of their mean)
    before neighbours share out the room; ``elongation`` stretches lattice and cuboids along the azimuth.
    """
    ndim = len(shape)
    full = (1, *shape) if ndim == 2 else shape
    stretch = math.sqrt(elongation)
    steps = spacing * np.array([stretch, 1 / stretch, 1.0])
    turn = np.array(
        [[0, math.sin(azimuth), math.cos(azimuth)], [0, math.cos(azimuth), -math.sin(azimuth)], [1.0, 0, 0]]
    )
    middle = (np.array(full) - 1) / 2
    reach = np.abs(turn) @ (np.array(full) / 2)
    counts = 2 * (np.ceil(reach / steps).astype(np.int64) + 3) + 1
    if ndim == 2:
        counts[2] = 1
    lattice = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in counts), indexing="ij"), axis=-1)
    off = OFF * rng.uniform(-1, 1, lattice.shape)
    # Whole rows are off their place too, so that channels do not run straight through everywhere.
    off[..., 0] += 0.5 * OFF * rng.uniform(-1, 1, (1, counts[1], counts[2]))
    off[..., 1] *= 0.5
    off[..., 2] *= 0.5 if ndim == 3 else 0.0
    middle = middle + (rng.uniform(-0.5, 0.5, 3) * (counts > 1) * steps) @ turn
    place = (lattice + off).reshape(-1, 3) * steps
    sigma = math.sqrt(math.log1p(size_dispersion**2))
    factor = np.exp(rng.normal(-(sigma**2) / 2, sigma, (len(place), 1))).clip(LEAST, MOST)
    # Edges of one cuboid differ a little from each other as well.
    factor = factor * np.exp(0.35 * sigma * rng.normal(size=(len(place), 3)))
    edges = factor.clip(LEAST, MOST) * steps / 2
    owner, border = np.empty(full, dtype=np.int32), np.empty(full, dtype=np.float32)
    divide(place, edges, steps, counts, turn, middle, owner, border)
    centres, axes = _filling(place.reshape(*counts, 3), edges.reshape(*counts, 3), ndim)
    return CuboidCells(owner, border, centres @ turn + middle, axes)


def _filling(place: FloatArray, edges: FloatArray, ndim: int) -> tuple[FloatArray, FloatArray]:
    """Centres and half edges ``(N, 3)`` of the cuboids that reach to where they meet their four or six neighbours."""
    centres, axes = place.copy(), edges.copy()
    for a in range(ndim):
        near, own = np.moveaxis(place, a, 0)[..., a], np.moveaxis(edges, a, 0)[..., a]
        between = np.diff(near, axis=0)
        share = between * own[:-1] / (own[:-1] + own[1:])
        behind, ahead = own.copy(), own.copy()
        ahead[:-1], behind[1:] = share, between - share
        np.moveaxis(centres, a, 0)[..., a] += (ahead - behind) / 2
        np.moveaxis(axes, a, 0)[..., a] = (ahead + behind) / 2
    return centres.reshape(-1, 3), axes.reshape(-1, 3)


@compiled
def divide(
    place: FloatArray,
    axes: FloatArray,
    steps: FloatArray,
    counts: npt.NDArray[np.int64],
    turn: FloatArray,
    middle: FloatArray,
    owner: npt.NDArray[np.int32],
    border: FloatImage,
) -> None:
    """Owner of every pixel, and the distance to where the next cuboid would be first (exact between parallel faces)."""
    depth, height, width = owner.shape
    at = np.zeros(3)
    nearest, low, high = np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(3, np.int64)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                dz, dy, dx = z - middle[0], y - middle[1], x - middle[2]
                for a in range(3):
                    at[a] = turn[a, 0] * dz + turn[a, 1] * dy + turn[a, 2] * dx
                    nearest[a] = int(np.rint(at[a] / steps[a])) + counts[a] // 2
                for ring in range(1, 3):
                    for a in range(3):
                        low[a], high[a] = max(nearest[a] - ring, 0), min(nearest[a] + ring + 1, counts[a])
                    first, second, slope_first, slope_second, best = np.inf, np.inf, 1.0, 1.0, -1
                    for i in range(low[0], high[0]):
                        for j in range(low[1], high[1]):
                            for k in range(low[2], high[2]):
                                n = (i * counts[1] + j) * counts[2] + k
                                level, slope = 0.0, 1.0
                                for a in range(3):
                                    share = abs(at[a] - place[n, a]) / axes[n, a]
                                    if share > level:
                                        level, slope = share, 1.0 / axes[n, a]
                                if level < first:
                                    second, slope_second = first, slope_first
                                    first, slope_first, best = level, slope, n
                                elif level < second:
                                    second, slope_second = level, slope
                    if second < NEXT_RING:
                        break
                owner[z, y, x] = best
                border[z, y, x] = (second - first) / (slope_first + slope_second)
