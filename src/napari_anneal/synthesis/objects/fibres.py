"""Fibres: cut across (2D), short ones in any direction, or long ones that run through the plane or the volume."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from napari_anneal.errors import InputError
from napari_anneal.synthesis.objects.bodies import diameters, make_bodies, mean_body_size, rods
from napari_anneal.synthesis.objects.bundles import run_through
from napari_anneal.synthesis.objects.directions import fibre_directions, frames
from napari_anneal.synthesis.objects.laid import Laid
from napari_anneal.synthesis.objects.particles import lay_bodies, object_count
from napari_anneal.synthesis.recipe import MicrostructureRecipe

__all__ = ["lay_fibres"]

# A fibre at less than this to the section is so long an ellipse that it counts as lying in it.
LEAST_TILT = math.radians(4.0)


def lay_fibres(recipe: MicrostructureRecipe, rng: np.random.Generator) -> Laid:
    """Fibres of the asked direction, misorientation, diameter, length and volume fraction.

    Raises
    ------
    InputError
        They do not fit without overlap, or the settings contradict each other.
    """
    objects, ndim = recipe.objects, len(recipe.shape)
    if ndim == 2 and objects.tilt_deg > 0:
        return _sections(recipe, rng)
    if 0 < objects.length <= max(recipe.shape):
        return _short(recipe, rng)
    if recipe.points is not None:
        raise InputError("fibres that run right through have no centres; leave the points out, or give a length.")
    return run_through(recipe, rng)


def _sections(recipe: MicrostructureRecipe, rng: np.random.Generator) -> Laid:
    """Sections of fibres: ellipses as long as the tilt of each fibre makes them (2D)."""
    objects = recipe.objects
    tilt = max(math.radians(objects.tilt_deg), LEAST_TILT)
    count = object_count(recipe, mean_body_size(objects, 2) / math.sin(tilt))
    disks = {"elongation": 1.0, "exponent": 2.0, "facets": 0, "direction_spread_deg": 0.0}
    bodies = make_bodies(objects.model_copy(update=disks), count, 2, rng)
    along = fibre_directions(recipe, count, rng)
    stretch = 1 / np.maximum(np.abs(along[:, 0]), math.sin(LEAST_TILT))
    flat = along * [0, 1, 1]
    flat[np.linalg.norm(flat, axis=1) < 1e-9] = [0, 0, 1]
    axes = bodies.axes * np.column_stack([stretch, np.ones(count), np.ones(count)])
    bodies = replace(
        bodies, axes=axes, turn=frames(flat), diameter=bodies.diameter * np.sqrt(stretch), reach=bodies.reach * stretch
    )
    return lay_bodies(recipe, rng, bodies)


def _short(recipe: MicrostructureRecipe, rng: np.random.Generator) -> Laid:
    """Straight fibres of the given length: rods with round ends."""
    objects, ndim = recipe.objects, len(recipe.shape)
    if objects.length < objects.diameter:
        raise InputError(
            f"length {objects.length:g} px of a fibre is less than its diameter {objects.diameter:g} px; use form "
            "'particles', or a greater length."
        )
    count = object_count(recipe, rods(objects, np.array([objects.diameter]), np.eye(3)[None], ndim).sizes[0])
    bodies = rods(objects, diameters(objects, count, rng), frames(fibre_directions(recipe, count, rng)), ndim)
    return lay_bodies(recipe, rng, bodies)
