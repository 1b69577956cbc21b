"""Grains of known size to measure: random ones, and lattices of squares, hexagons, cubes and truncated octahedra."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

__all__ = ["BODY_CENTRED", "hexagons", "nearest", "poisson", "turned"]

# Cell vectors and the places in a cell whose nearest-point grains are truncated octahedra of edge 1.
BODY_CENTRED = (np.eye(3) * 2 * math.sqrt(2), [(0, 0, 0), (0.5, 0.5, 0.5)])


def hexagons(pitch: float) -> Any:
    """Cell vectors of points so far apart; a hexagon has the area of the cell."""
    return np.array([[0, pitch], [pitch * math.sqrt(3) / 2, pitch / 2]])


def nearest(points: Any, shape: tuple[int, ...], spacing: tuple[float, ...] | None = None) -> Any:
    """Every pixel centre to the nearest point."""
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, len(shape))
    return (cKDTree(points).query(places * np.array(spacing or (1,) * len(shape)))[1] + 1).reshape(shape)


def poisson(rng: Any, shape: tuple[int, ...], width: float, spacing: tuple[float, ...] | None = None) -> Any:
    """Poisson-Voronoi grains of mean size width^ndim."""
    size = np.array(shape) * np.array(spacing or (1,) * len(shape))
    box = size + 8 * width
    return nearest(rng.random((rng.poisson(np.prod(box / width)), len(shape))) * box - 4 * width, shape, spacing)


def turned(rng: Any, shape: tuple[int, ...], cell: Any, basis: Any, turn: bool) -> Any:
    """A lattice of points with cell vectors ``cell`` and ``basis`` in each cell, placed (and turned) at random."""
    ndim, reach = len(shape), math.hypot(*shape) / 2 + 3 * np.linalg.norm(cell, axis=1).max()
    n = int(reach / np.linalg.norm(cell, axis=1).min()) + 2
    index = np.stack(np.meshgrid(*[np.arange(-n, n + 1)] * ndim, indexing="ij"), -1).reshape(-1, ndim)
    points = np.concatenate([(index + b) @ np.array(cell, float) for b in basis]) + rng.random(ndim) @ np.array(cell)
    if turn and ndim == 3:
        points = points @ Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    elif turn:
        c, s = math.cos(a := rng.random() * math.pi), math.sin(a)
        points = points @ np.array([[c, -s], [s, c]])
    centre = np.array(shape) / 2
    return nearest(points[np.linalg.norm(points, axis=1) < reach] + centre, shape)
