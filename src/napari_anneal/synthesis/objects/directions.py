"""Directions of fibres: about a common one, or any; and the axes that go with a direction."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.recipe import MicrostructureRecipe

__all__ = ["common_direction", "fibre_directions", "frames"]

FloatArray = npt.NDArray[np.float64]


def common_direction(azimuth: float, elevation: float) -> FloatArray:
    """Unit vector (Z, Y, X) at an angle (rad) from X towards +Y, raised out of that plane towards +Z."""
    flat = math.cos(elevation)
    return np.array([math.sin(elevation), flat * math.sin(azimuth), flat * math.cos(azimuth)])


def fibre_directions(recipe: MicrostructureRecipe, count: int, rng: np.random.Generator) -> FloatArray:
    """Unit vectors ``(N, 3)`` along the fibres, in the (Y, X) plane where fibres lie in a 2D image."""
    objects = recipe.objects
    azimuth, tilt = math.radians(objects.direction_deg), math.radians(objects.tilt_deg)
    main = common_direction(azimuth, tilt)
    lying = len(recipe.shape) == 2 and objects.tilt_deg == 0
    if objects.misorientation_deg == 90:
        vectors = rng.normal(size=(count, 3))
    else:
        side = np.array([0.0, math.cos(azimuth), -math.sin(azimuth)])
        up = np.cross(main, side)
        # Two Gaussian angles about the common direction: for small spreads the von Mises-Fisher distribution.
        away = math.radians(objects.misorientation_deg) * rng.normal(size=(2, count, 1))
        turn = np.hypot(away[0], away[1])
        sideways = (away[0] * side + away[1] * up) / np.maximum(turn, 1e-12)
        if lying:
            turn, sideways = away[0], side
        vectors = np.cos(turn) * main + np.sin(turn) * sideways
    if lying:
        vectors[:, 0] = 0
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def frames(along: FloatArray) -> FloatArray:
    """Axes (along, across, out) as rows of ``(N, 3, 3)``; across lies in the (Y, X) plane."""
    along = along / np.linalg.norm(along, axis=1, keepdims=True)
    across = np.stack([np.zeros(len(along)), along[:, 2], -along[:, 1]], axis=1)
    across[np.linalg.norm(across, axis=1) < 1e-9] = [0.0, 1.0, 0.0]
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    return np.stack([along, across, np.cross(along, across)], axis=1)
