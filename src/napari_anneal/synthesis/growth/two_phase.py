"""Two phases by spinodal decomposition: an exact volume fraction, domains of a prescribed spacing, and an image."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.appearance.microscope import take_image
from napari_anneal.synthesis.appearance.specimen import polished_labels
from napari_anneal.synthesis.draws import Step, generator
from napari_anneal.synthesis.geometry.patches import distance_to_patches, find_patches
from napari_anneal.synthesis.growth.cahn_hilliard import FASTEST, CahnHilliard
from napari_anneal.synthesis.growth.pieces import centroids, number_pieces
from napari_anneal.synthesis.objects.matrix import clean_objects
from napari_anneal.synthesis.parts import Parts
from napari_anneal.synthesis.recipe import MicrostructureRecipe

__all__ = ["make_two_phases"]

# Steps in time start with this and then take this share of the time gone by, as the structure slows down.
FIRST_STEP, STEP_SHARE = 0.5, 0.03
# Domains that have filled the box coarsen no further.
MOST_STEPS = 2000
# Before this time there is noise and no domains yet; the spacing of domains is measured every so many steps.
FORMED, STEPS_BETWEEN = 20.0, 5


def make_two_phases(recipe: MicrostructureRecipe, seed: int) -> Parts:
    """Geometry, then appearance, of a recipe of kind 'two_phase'."""
    shape, ndim = recipe.shape, len(recipe.shape)
    full = shape if ndim == 3 else (1, *shape)
    excess = _excess(recipe, generator(seed, Step.DECOMPOSITION)).reshape(full)
    periodic = recipe.two_phase.box(shape) == shape
    second = excess > 0
    bodies = second.astype(np.int32)
    patches = find_patches(bodies, np.abs(excess).astype(np.float32), periodic)
    distance = distance_to_patches(patches, bodies)
    labels = _numbered(second, periodic)
    look = recipe.appearance
    if look.rung == 1:
        image = clean_objects(np.where(second, -distance, distance).astype(np.float32))
    else:
        # Two bodies and one interface, everywhere alike; neither has a middle to slope from, or twins.
        alike = {"slope": 0.0, "twins": 0.0, "grain_contrast": 0.0, "contrast_spread": 0.0, "faint_boundaries": 0.0}
        even = look.model_copy(update={**alike, "groove_width_spread": 0.0})
        phases, centre = np.array([1, 2], dtype=np.uint8), np.zeros((2, 3))
        image = polished_labels(even, bodies, centre, patches, phases, generator(seed, Step.SPECIMEN))
        image = take_image(image, look, seed)
    return Parts(
        image=image.reshape(shape),
        grains=(labels + np.int32(1)).reshape(shape),
        distance=distance.reshape(shape),
        phase=(second.astype(np.uint8) + np.uint8(1)).reshape(shape),
        seeds=centroids(labels, periodic)[1:, 3 - ndim :],
    )


def _excess(recipe: MicrostructureRecipe, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """How far (px) each pixel lies inside the second phase (< 0: outside), right near the interface."""
    from scipy.fft import next_fast_len
    from scipy.ndimage import affine_transform

    wanted = recipe.two_phase
    box = wanted.box(recipe.shape)
    # Lengths that transform fast; they stretch the domains by a percent or two at most.
    grid = tuple(next_fast_len(n, real=True) for n in wanted.grid(recipe.shape))
    mixture = CahnHilliard(grid, 2 * wanted.volume_fraction - 1, rng)
    step = wanted.wavelength / (wanted.coarsening * FASTEST)
    for number in range(MOST_STEPS):
        mixture.step(max(FIRST_STEP, STEP_SHARE * mixture.time))
        measured = number % STEPS_BETWEEN == 0 and mixture.time > FORMED
        if measured and mixture.wavelength * step >= wanted.wavelength:
            break
    scale = np.array(grid) / np.array(box)
    field = affine_transform(mixture.field, scale, output_shape=recipe.shape, order=3, mode="grid-wrap")
    # Half way between the two pixels that the asked share begins between: that makes the fraction exact.
    count = round(wanted.volume_fraction * field.size)
    around = sorted({max(field.size - count - 1, 0), min(field.size - count, field.size - 1)})
    level = np.partition(field.reshape(-1), around)[around].mean()
    # From the profile tanh(x/√2) of an interface at rest back to the place x.
    place = np.arctanh(np.clip(field, -0.995, 0.995)) - np.arctanh(np.clip(level, -0.995, 0.995))
    return np.asarray(np.where(field > level, 1, -1) * np.abs(place) * math.sqrt(2) * step, dtype=np.float64)


def _numbered(second: npt.NDArray[np.bool_], periodic: bool) -> npt.NDArray[np.int32]:
    """0 for the first phase, in however many pieces, and 1 … for the connected domains of the second."""
    pieces = number_pieces(second.astype(np.int32), periodic)
    kept = np.zeros(int(pieces.max()) + 1, dtype=bool)
    kept[pieces[second]] = True
    return np.where(second, np.cumsum(kept, dtype=np.int32)[pieces], 0).astype(np.int32)
