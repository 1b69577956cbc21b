"""Where grains start: uniform, blue-noise, clustered or given seeds, and Lloyd relaxation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.geometry.cells import find_cells
from napari_anneal.synthesis.geometry.measure import measure_cells
from napari_anneal.synthesis.geometry.periodic import wrap
from napari_anneal.synthesis.recipe import MicrostructureRecipe

__all__ = ["blue_noise", "clustered", "hard_core", "place_seeds", "relax", "uniform"]

FloatArray = npt.NDArray[np.float64]


def place_seeds(recipe: MicrostructureRecipe, rng: np.random.Generator, metric: FloatArray) -> FloatArray:
    """Seeds of a recipe before any relaxation, float64 ``(N, ndim)`` px (the image spans −0.5 … n − 0.5)."""
    if recipe.points is not None:
        return np.array(recipe.points, dtype=np.float64)
    if recipe.placement == "blue_noise":
        return blue_noise(recipe.shape, recipe.n_seeds, rng, metric)
    if recipe.placement == "clustered":
        return clustered(recipe.shape, recipe.n_seeds, recipe.cluster_size, recipe.cluster_radius, rng)
    return uniform(recipe.shape, recipe.n_seeds, rng)


def uniform(shape: tuple[int, ...], count: int, rng: np.random.Generator) -> FloatArray:
    """Seeds placed independently and uniformly: their cells are the Poisson-Voronoi tessellation."""
    return np.asarray(rng.random((count, len(shape))) * np.array(shape) - 0.5, dtype=np.float64)


def blue_noise(
    shape: tuple[int, ...], count: int, rng: np.random.Generator, metric: FloatArray | None = None
) -> FloatArray:
    """Exactly ``count`` seeds that keep about the largest distance (in the metric) so many can.

    Relaxed dart throwing (McCool and Fiume 1992). Not `scipy.stats.qmc.PoissonDisk`: that takes a radius instead of
    a number, and about 190 ms for 500 seeds where this takes 1 ms.
    """
    spacing = (np.prod(np.array(shape, dtype=np.float64)) / count) ** (1 / len(shape))
    return hard_core(shape, count, 0.95 * float(spacing), rng, metric)


def hard_core(
    shape: tuple[int, ...],
    count: int,
    distance: float,
    rng: np.random.Generator,
    metric: FloatArray | None = None,
) -> FloatArray:
    """Exactly ``count`` uniform seeds of which no two are closer than ``distance`` px, or than is possible."""
    from napari_anneal.synthesis.geometry.darts import throw_darts

    ndim = len(shape)
    full = np.ones(3)
    full[3 - ndim :] = shape
    matrix = np.eye(3)
    if metric is not None:
        matrix[3 - ndim :, 3 - ndim :] = metric
    seeds: FloatArray = throw_darts(full, matrix, ndim, count, distance, int(rng.integers(1, 2**63 - 1)))
    return seeds[:, 3 - ndim :] - 0.5


def clustered(
    shape: tuple[int, ...], count: int, cluster_size: float, cluster_radius: float, rng: np.random.Generator
) -> FloatArray:
    """Exactly ``count`` seeds of a Thomas process: uniform parents, Gaussian offspring, periodic at the edges."""
    ndim = len(shape)
    parents = max(1, round(count / cluster_size))
    centres = uniform(shape, parents, rng)
    sigma = cluster_radius * (np.prod(np.array(shape, dtype=np.float64)) / parents) ** (1 / ndim) / 2
    seeds = centres[rng.integers(parents, size=count)] + rng.normal(0.0, sigma, (count, ndim))
    return np.asarray((seeds + 0.5) % np.array(shape) - 0.5, dtype=np.float64)


def relax(
    seeds: FloatArray,
    shape: tuple[int, ...],
    rounds: int,
    metric: FloatArray | None = None,
    periodic: bool = False,
) -> FloatArray:
    """Lloyd's algorithm: move every seed to the centroid of its cell, ``rounds`` times (the cells become even)."""
    for _ in range(rounds):
        cells = find_cells(seeds, None, metric, shape if periodic else None)
        centroid = measure_cells(cells, shape).centroid
        seeds = wrap(centroid, shape) if periodic else centroid
    return seeds
