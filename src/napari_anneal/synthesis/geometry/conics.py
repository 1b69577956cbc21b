"""Compiled kernel: distance to a boundary that is a conic (a quadric in 3D), from a nearby patch of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.compiled import compiled
from napari_anneal.synthesis.geometry.powers import power, slopes

__all__ = ["refine_distance"]

Array = npt.NDArray[np.float64]
FloatImage = npt.NDArray[np.float32]
# Farther (px) than this the distance to the flat patch will do.
FAR = 12.0
# A foot farther (px) than this from its patch, or a change by more than this (px), means another part of the boundary.
NEAR_PATCH, MOST_CHANGE = 1.5, 0.15
ROUNDS = 3


@compiled
def refine_distance(
    labels: npt.NDArray[np.int32],
    edges: npt.NDArray[np.int64],
    patches: FloatImage,
    nearest: npt.NDArray[np.int32],
    sites: Array,
    origin: npt.NDArray[np.int64],
    distance: FloatImage,
) -> None:
    """Replace the distance (px) to a patch by that to the curved boundary V_a = V_b that it is a piece of.

    The foot of the perpendicular is sought in turns on the boundary and on its tangent. ``labels`` are the seeds of
    least power, ``edges`` and ``patches`` as in `power_patches`, ``nearest`` the index of each pixel's patch or −1.
    """
    ours, theirs, x, y = np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3)
    for pz in range(distance.shape[0]):
        for py in range(distance.shape[1]):
            for px in range(distance.shape[2]):
                i = nearest[pz, py, px]
                if i < 0 or distance[pz, py, px] > FAR:
                    continue
                z0, y0, x0, axis = edges[i]
                a = labels[z0, y0, x0]
                b = labels[z0 + (axis == 0), y0 + (axis == 1), x0 + (axis == 2)]
                if a == b:
                    continue
                x[0], x[1], x[2] = pz, py, px
                for k in range(3):
                    y[k] = patches[i, k] + origin[k]
                for turn in range(2 * ROUNDS + 1):
                    value = power(sites, b, y[0], y[1], y[2]) - power(sites, a, y[0], y[1], y[2])
                    slopes(sites, a, y[0], y[1], y[2], ours)
                    slopes(sites, b, y[0], y[1], y[2], theirs)
                    square, along = 1e-12, 0.0
                    for k in range(3):
                        theirs[k] -= ours[k]
                        square += theirs[k] * theirs[k]
                        along += theirs[k] * (x[k] - y[k])
                    for k in range(3):
                        if turn % 2 == 0:
                            y[k] -= value * theirs[k] / square
                        else:
                            y[k] = x[k] - along * theirs[k] / square
                gone, away = 0.0, 0.0
                for k in range(3):
                    gone += (y[k] - patches[i, k] - origin[k]) ** 2
                    away += (y[k] - x[k]) ** 2
                away = np.sqrt(away)
                if gone < NEAR_PATCH * NEAR_PATCH and abs(away - distance[pz, py, px]) < MOST_CHANGE:
                    distance[pz, py, px] = np.float32(away)
