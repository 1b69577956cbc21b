"""Rungs 1 and 2 for objects: the matrix they lie in, their grey levels, and the rims an electron beam gives them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.appearance.smooth_noise import smooth_noise
from napari_anneal.synthesis.recipe import MicrostructureRecipe

__all__ = ["clean_objects", "polished_objects"]

FloatImage = npt.NDArray[np.float32]
CLEAN_MATRIX, CLEAN_OBJECT = 0.75, 0.25


def clean_objects(outside: FloatImage) -> FloatImage:
    """Rung 1: flat matrix and flat objects with antialiased outlines (float32 in [0, 1])."""
    cover = np.clip(np.float32(0.5) - outside, 0, 1)
    return np.asarray(CLEAN_MATRIX + cover * np.float32(CLEAN_OBJECT - CLEAN_MATRIX), dtype=np.float32)


def polished_objects(
    recipe: MicrostructureRecipe,
    outside: FloatImage,
    number: npt.NDArray[np.int32],
    show: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> FloatImage:
    """Rung 2: grey levels of matrix and objects, float32 ``(Z, Y, X)``, not clipped.

    ``outside`` is the distance to the nearest outline (px, < 0 inside); ``number`` is 1 in the matrix, 2 … in objects,
    whose contrasts are ``show`` times the common one.
    """
    look, objects, shape = recipe.appearance, recipe.objects, outside.shape
    texture = smooth_noise(shape, look.texture_length, rng)
    texture += np.float32(0.5) * smooth_noise(shape, look.texture_length / 3, rng)
    # The grains of the matrix: few and large beside the objects, told apart by soft-edged patches of grey.
    patches = np.clip(3 * smooth_noise(shape, max(shape) / 3, rng), -1, 1)
    image = np.float32(look.mean_grey) + np.float32(look.texture) * texture
    image += np.float32(look.grain_contrast / 4) * patches

    vary = 1 + objects.contrast_spread * rng.normal(size=len(show))
    contrast = np.concatenate([[0.0, 0.0], objects.contrast * vary * show]).astype(np.float32)
    ramp = np.float32(1 + look.groove_softness)
    cover = np.clip(np.float32(0.5) - outside / ramp, 0, 1)
    # Half of the ramp lies outside, where no object is: those pixels take the mean contrast.
    own = np.where(number > 1, contrast[number], np.float32(objects.contrast))
    image += cover * own
    # Electrons escape through the edge that stands out, so a rim fades slowly outwards and fast inwards.
    fade = np.where(outside > 0, np.float32(1), np.float32(2.5)) / np.float32(objects.rim_width)
    near = np.exp(-(np.abs(outside * fade) ** np.float32(1.5)))
    if objects.rim != 0:
        image += np.float32(objects.rim) * near
    if look.relief != 0:
        angle = np.deg2rad(look.relief_direction_deg)
        bounded = np.clip(outside, -3 * objects.rim_width, 3 * objects.rim_width)
        slope_y, slope_x = np.gradient(bounded, axis=(1, 2)) if min(shape[1:]) > 1 else (bounded * 0, bounded * 0)
        lit = np.float32(np.sin(angle)) * slope_y + np.float32(np.cos(angle)) * slope_x
        image += np.float32(look.relief) * lit * near
    return np.asarray(image, dtype=np.float32)
