"""Recipe and seed to objects: geometry by their form, then the appearance that goes with it."""

from __future__ import annotations

import numpy as np

from napari_anneal.synthesis.appearance.microscope import take_image
from napari_anneal.synthesis.draws import Step, generator
from napari_anneal.synthesis.objects.dislocations import LaidLines, lay_dislocations
from napari_anneal.synthesis.objects.fibres import lay_fibres
from napari_anneal.synthesis.objects.laid import Laid
from napari_anneal.synthesis.objects.matrix import clean_objects, polished_objects
from napari_anneal.synthesis.objects.particles import LaidBodies, lay_bodies
from napari_anneal.synthesis.objects.precipitates import grow_precipitates
from napari_anneal.synthesis.parts import Parts
from napari_anneal.synthesis.recipe import MicrostructureRecipe

__all__ = ["make_objects"]


def make_objects(recipe: MicrostructureRecipe, seed: int) -> Parts:
    """Geometry, then appearance, of a recipe of kind 'objects'.

    Raises
    ------
    InputError
        The objects do not fit without overlap.
    """
    shape, ndim = recipe.shape, len(recipe.shape)
    laid = _lay(recipe, seed)
    present = np.bincount(laid.number.ravel(), minlength=len(laid.seeds) + 2)[2:] > 0
    grains = np.concatenate([[0, 1], 1 + np.cumsum(present)])[laid.number].astype(np.int32)
    image = clean_objects(laid.outside)
    if recipe.appearance.rung > 1:
        rng = generator(seed, Step.SPECIMEN)
        if isinstance(laid, LaidBodies) and recipe.objects.form == "nanoparticles":
            from napari_anneal.synthesis.objects.transmission import nanoparticles_on_carbon

            image = nanoparticles_on_carbon(recipe, laid, rng)
        elif isinstance(laid, LaidLines) and ndim == 2:
            from napari_anneal.synthesis.objects.foil import lines_in_foil

            image = lines_in_foil(recipe, laid, rng)
        else:
            image = polished_objects(recipe, laid.outside, laid.number, laid.show, rng)
        image = take_image(image, recipe.appearance, seed)
    distance = np.abs(laid.outside) if laid.distance is None else laid.distance
    return Parts(
        image=image.reshape(shape),
        grains=grains.reshape(shape),
        distance=distance.reshape(shape),
        phase=np.where(laid.number > 1, 2, 1).astype(np.uint8).reshape(shape),
        seeds=laid.seeds[present][:, 3 - ndim :],
    )


def _lay(recipe: MicrostructureRecipe, seed: int) -> Laid:
    """Geometry of the recipe's form."""
    form = recipe.objects.form
    if form in ("precipitates", "cuboids"):
        return grow_precipitates(recipe, seed)
    rng = generator(seed, Step.OBJECTS)
    if form == "fibres":
        return lay_fibres(recipe, rng)
    if form == "dislocations":
        return lay_dislocations(recipe, rng)
    return lay_bodies(recipe, rng)
