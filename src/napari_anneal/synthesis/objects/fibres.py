"""Fibres: cut across (2D), lying in the plane (2D), or running through a volume (3D)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.objects.bodies import make_bodies, mean_body_size
from napari_anneal.synthesis.objects.particles import LaidBodies, lay_bodies, object_count
from napari_anneal.synthesis.recipe import MicrostructureRecipe

__all__ = ["cut_fibres"]

FloatArray = npt.NDArray[np.float64]
# A fibre at less than this to the section is so long an ellipse that it counts as lying in it.
LEAST_TILT = math.radians(4.0)


def cut_fibres(recipe: MicrostructureRecipe, rng: np.random.Generator) -> LaidBodies:
    """Sections of fibres: ellipses as long as the tilt of each fibre makes them (2D)."""
    objects = recipe.objects
    tilt = max(math.radians(objects.tilt_deg), LEAST_TILT)
    section = objects.model_copy(update={"elongation": 1.0, "exponent": 2.0, "facets": 0, "direction_spread_deg": 0.0})
    count = object_count(recipe, mean_body_size(objects, 2) / math.sin(tilt))
    bodies = make_bodies(section, count, 2, rng)
    azimuth, elevation = _directions(recipe, count, rng)
    stretch = 1 / np.sin(np.clip(np.abs(elevation), LEAST_TILT, np.pi / 2))
    along = np.stack([np.zeros(count), np.sin(azimuth), np.cos(azimuth)], axis=1)
    across = np.stack([np.zeros(count), np.cos(azimuth), -np.sin(azimuth)], axis=1)
    axes = bodies.axes * np.column_stack([stretch, np.ones(count), np.ones(count)])
    bodies = replace(
        bodies, axes=axes, turn=np.stack([along, across, np.cross(along, across)], axis=1),
        diameter=bodies.diameter * np.sqrt(stretch), reach=bodies.reach * stretch,
    )  # fmt: skip
    return lay_bodies(recipe, rng, bodies)


def _directions(recipe: MicrostructureRecipe, count: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Azimuth (rad, from X towards +Y) and elevation out of the (Y, X) plane (rad) of each fibre."""
    objects = recipe.objects
    azimuth, tilt = math.radians(objects.direction_deg), math.radians(objects.tilt_deg)
    if objects.misorientation_deg == 90:
        vectors = rng.normal(size=(count, 3))
    else:
        spread = math.radians(objects.misorientation_deg)
        main = np.array([math.sin(tilt), math.cos(tilt) * math.sin(azimuth), math.cos(tilt) * math.cos(azimuth)])
        side = np.array([0.0, math.cos(azimuth), -math.sin(azimuth)])
        up = np.cross(main, side)
        # Two Gaussian angles about the common direction: for small spreads the von Mises-Fisher distribution.
        away = spread * rng.normal(size=(2, count, 1))
        vectors = main + np.tan(np.clip(away[0], -1.5, 1.5)) * side + np.tan(np.clip(away[1], -1.5, 1.5)) * up
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.arctan2(vectors[:, 1], vectors[:, 2]), np.arcsin(np.clip(vectors[:, 0], -1, 1))
