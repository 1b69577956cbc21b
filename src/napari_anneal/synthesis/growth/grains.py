"""Grown grains: cells of seeds, growth, numbers without gaps, sub-pixel distances, and then an image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.appearance.microscope import take_image
from napari_anneal.synthesis.appearance.specimen import clean_grains, polished_labels
from napari_anneal.synthesis.draws import Step, generator
from napari_anneal.synthesis.geometry.cells import find_cells
from napari_anneal.synthesis.geometry.patches import distance_to_patches, find_patches
from napari_anneal.synthesis.geometry.tessellation import tessellate
from napari_anneal.synthesis.grains import phases, seeds_and_weights
from napari_anneal.synthesis.growth.phase_field import grow_phase_field
from napari_anneal.synthesis.growth.pieces import centroids, number_pieces
from napari_anneal.synthesis.growth.potts import grow_potts
from napari_anneal.synthesis.parts import Parts
from napari_anneal.synthesis.recipe import MicrostructureRecipe

__all__ = ["make_grown_grains"]

# Width (px or grid steps) of the diffuse boundary: narrower ones feel the grid, wider ones need larger grains.
WIDTH = 5.0
# Monte Carlo leaves boundaries rough by a pixel. So long (px²) they are left to their curvature, which smooths waves
# shorter than about 8 px and takes 2π·3 px² from a grain.
SMOOTHING_TIME = 3.0
# Monte Carlo steps without temperature at the end, which take back the pixels that heat has put on the wrong side.
COOLING_ROUNDS = 2.0


def make_grown_grains(recipe: MicrostructureRecipe, seed: int) -> Parts:
    """Geometry, then appearance, of a recipe of kind 'grains' with growth."""
    periodic, ndim = recipe.growth.periodic, len(recipe.shape)
    grown, depth = _grow(recipe, seed)
    labels = number_pieces(grown, periodic)
    patches = find_patches(labels, depth, periodic)
    distance = distance_to_patches(patches, labels)
    seeds = centroids(labels, periodic)
    phase_of = phases(recipe, seed, len(seeds))
    if recipe.appearance.rung == 1:
        image = clean_grains(distance, phase_of[labels], recipe.boundary_width)
    else:
        rng = generator(seed, Step.SPECIMEN)
        image = polished_labels(recipe.appearance, labels, seeds, patches, phase_of, rng)
        image = take_image(image, recipe.appearance, seed)
    return Parts(
        image=image.reshape(recipe.shape),
        grains=(labels + np.int32(1)).reshape(recipe.shape),
        distance=distance.reshape(recipe.shape),
        phase=phase_of[labels].reshape(recipe.shape),
        seeds=seeds[:, 3 - ndim :],
    )


def _grow(recipe: MicrostructureRecipe, seed: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Labels and depths after growth, both ``(Z, Y, X)``."""
    growth, shape = recipe.growth, recipe.shape
    full = shape if len(shape) == 3 else (1, *shape)
    seeds, weights, metric = seeds_and_weights(recipe, seed)
    # The phase field needs so many grid steps a grain and no more.
    step = recipe.growth_step
    grid = tuple(max(1, round(n / step)) for n in shape)
    seeds = (seeds + 0.5) * (np.array(grid) / np.array(shape)) - 0.5
    cells = find_cells(seeds, None if weights is None else weights / step**2, metric)
    labels, _ = tessellate(cells, grid, with_distance=False)
    labels = labels.reshape(grid if len(grid) == 3 else (1, *grid))
    if growth.method == "phase_field":
        return grow_phase_field(labels, growth.time / step**2, WIDTH, growth.periodic, (full[0], full[1], full[2]))
    state = int(generator(seed, Step.GROWTH).integers(1, 2**63 - 1))
    labels = grow_potts(labels, growth.rounds, growth.temperature, growth.periodic, state)
    if growth.temperature > 0:
        labels = grow_potts(labels, COOLING_ROUNDS, 0.0, growth.periodic, state)
    return grow_phase_field(labels, SMOOTHING_TIME, WIDTH, growth.periodic)
