"""Grains: seeds to cells to labels, distance and phase, and then to an image."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.appearance.microscope import take_image
from napari_anneal.synthesis.appearance.smooth_noise import smooth_noise
from napari_anneal.synthesis.appearance.specimen import clean_grains, polished_grains
from napari_anneal.synthesis.draws import Step, generator
from napari_anneal.synthesis.geometry.cells import Cells, find_cells, metric_matrix
from napari_anneal.synthesis.geometry.curved import PAD, curve
from napari_anneal.synthesis.geometry.metrics import grain_metrics, unlinked_cells
from napari_anneal.synthesis.geometry.seeds import place_seeds, relax
from napari_anneal.synthesis.geometry.sizes import target_sizes
from napari_anneal.synthesis.geometry.tessellation import tessellate
from napari_anneal.synthesis.geometry.transport import fit_sizes
from napari_anneal.synthesis.parts import Parts
from napari_anneal.synthesis.recipe import MicrostructureRecipe

__all__ = ["make_grains", "phases", "seeds_and_weights"]

# Below this many pixels a second thread costs more than it brings (and a training stream has workers of its own).
PIXELS_FOR_THREADS = 1 << 20


def make_grains(recipe: MicrostructureRecipe, seed: int) -> Parts:
    """Geometry, then appearance, of a recipe of kind 'grains'."""
    cells, labels, distance, shift = _geometry(recipe, seed)
    phase_of = phases(recipe, seed, cells.n_grains)
    # Copies across the sides of a periodic image are the same grain.
    owners = cells.grain[labels]
    # A seed whose cell holds no pixel has no grain; numbers stay without gaps.
    present = np.bincount(owners.ravel(), minlength=cells.n_grains) > 0
    number = np.cumsum(present, dtype=np.int32)
    if recipe.appearance.rung == 1:
        image = clean_grains(distance, phase_of[owners], recipe.boundary_width)
    else:
        image = polished_grains(recipe, cells, labels, distance, phase_of, shift, generator(seed, Step.SPECIMEN))
        image = take_image(image, recipe.appearance, seed)
    shape, ndim = recipe.shape, len(recipe.shape)
    return Parts(
        image=image.reshape(shape),
        grains=number[owners].reshape(shape),
        distance=distance.reshape(shape),
        phase=phase_of[owners].reshape(shape),
        seeds=cells.seeds[: cells.n_grains][present][:, 3 - ndim :],
    )


def _geometry(
    recipe: MicrostructureRecipe, seed: int
) -> tuple[Cells, npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
    """Cells, labels, distance and (where boundaries are bent) the shift, all in (Z, Y, X)."""
    ndim = len(recipe.shape)
    full = (1, *recipe.shape) if ndim == 2 else recipe.shape
    seeds, weights, metric = seeds_and_weights(recipe, seed)
    period = recipe.shape if recipe.periodic else None
    workers = min(4, os.cpu_count() or 1) if np.prod(full) >= PIXELS_FOR_THREADS else 1
    if not recipe.is_curved:
        cells = find_cells(seeds, weights, metric, period)
        labels, distance = tessellate(cells, recipe.shape, workers=workers)
        return cells, labels.reshape(full), distance.reshape(full), None
    shift = _bending(recipe, seed, full)
    margin = PAD + 3 * recipe.smoothing + 1 + (0.0 if shift is None else float(np.abs(shift).max()))
    if recipe.has_own_metrics:
        metrics = grain_metrics(
            len(seeds), ndim, recipe.aspect_ratio, recipe.direction_deg, recipe.aspect_spread,
            recipe.direction_spread_deg, generator(seed, Step.METRICS),
        )  # fmt: skip
        cells = unlinked_cells(seeds, weights, metrics)
    else:
        cells = find_cells(seeds, weights, metric, period, margin)
    cells, labels, distance = curve(cells, full, shift, recipe.smoothing, workers)
    return cells, labels, distance, shift


def _bending(recipe: MicrostructureRecipe, seed: int, full: tuple[int, ...]) -> npt.NDArray[np.float32] | None:
    """Shift of each pixel of ``full`` ``(Z, Y, X)``, float32 ``(3, Z, Y, X)`` px; ``None``: not at all."""
    if recipe.waviness == 0:
        return None
    rng = generator(seed, Step.BENDING)
    shift = np.zeros((3, *full), dtype=np.float32)
    for axis in range(3 - len(recipe.shape), 3):
        noise = smooth_noise(full, recipe.bend_length, rng, recipe.periodic)
        shift[axis] = np.float32(recipe.waviness) * noise
    return shift


def seeds_and_weights(
    recipe: MicrostructureRecipe, seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | None, npt.NDArray[np.float64]]:
    """Seeds ``(N, ndim)`` px, their weights ``(N,)`` px² (``None``: all alike) and the metric ``(ndim, ndim)``."""
    metric = metric_matrix(len(recipe.shape), recipe.aspect_ratio, recipe.direction_deg)
    seeds = place_seeds(recipe, generator(seed, Step.SEEDS), metric)
    sizes = target_sizes(recipe, seed)
    if sizes is not None:
        rng = generator(seed, Step.NUDGES)
        count = _curved_count(recipe, seed) if recipe.is_curved else None
        return *fit_sizes(seeds, sizes, metric, recipe.shape, recipe.lloyd_rounds, rng, count), metric
    seeds = relax(seeds, recipe.shape, recipe.lloyd_rounds, metric, recipe.periodic)
    if recipe.size_dispersion == 0:
        return seeds, None, metric
    # Log-normal radii of the wanted CV about the mean grain radius; a power diagram subtracts their squares.
    sigma = np.sqrt(np.log1p(recipe.size_dispersion**2))
    factor = np.exp(generator(seed, Step.WEIGHTS).normal(-(sigma**2) / 2, sigma, len(seeds)))
    return seeds, (recipe.grain_diameter / 2 * factor) ** 2, metric


def _curved_count(recipe: MicrostructureRecipe, seed: int) -> Callable[[Cells], npt.NDArray[np.int64]]:
    """Return what counts the pixels of cells whose boundaries are curved as the recipe says."""
    full = (1, *recipe.shape) if len(recipe.shape) == 2 else recipe.shape
    shift = _bending(recipe, seed, full)

    def count(cells: Cells) -> npt.NDArray[np.int64]:
        labels = curve(cells, full, shift, recipe.smoothing)[1]
        return np.bincount(labels.ravel(), minlength=len(cells.seeds))

    return count


def phases(recipe: MicrostructureRecipe, seed: int, count: int) -> npt.NDArray[np.uint8]:
    """Phase of every seed, uint8 ``(count,)``: 2 for the asked share, else 1."""
    phase_of = np.ones(count, dtype=np.uint8)
    if recipe.second_phase > 0:
        phase_of[generator(seed, Step.PHASE).random(count) < recipe.second_phase] = 2
    return phase_of
