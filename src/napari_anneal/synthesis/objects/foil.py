"""Rung 2 for a crystalline foil in the transmission electron microscope: dislocation lines over bend contours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.appearance.smooth_noise import smooth_noise
from napari_anneal.synthesis.objects.dislocations import LaidLines
from napari_anneal.synthesis.recipe import MicrostructureRecipe

__all__ = ["lines_in_foil"]

FloatImage = npt.NDArray[np.float32]


def lines_in_foil(recipe: MicrostructureRecipe, laid: LaidLines, rng: np.random.Generator) -> FloatImage:
    """Grey levels of a foil, float32 ``(1, Y, X)``, not clipped.

    Along a line the contrast oscillates where it runs through the thickness of the foil, and comes and goes; some lines
    lie so to the diffracting planes that they hardly show (g·b = 0). Across, a line is dark with a brighter side.
    """
    look, objects, shape = recipe.appearance, recipe.objects, laid.outside.shape
    longest = max(shape)
    image = np.float32(look.mean_grey) + np.float32(look.texture) * smooth_noise(shape, look.texture_length, rng)
    image += np.float32(look.grain_contrast / 2) * smooth_noise(shape, longest / 2, rng)
    if objects.bend_contours > 0:
        image -= np.float32(objects.bend_contours) * _bend_contours(shape, rng)

    count = len(laid.seeds)
    strength = objects.contrast * np.maximum(1 + objects.contrast_spread * rng.normal(size=count), 0.3)
    strength *= np.where(rng.random(count) < 0.12, 0.45, 1.0)
    period = rng.uniform(6, 18, count) * objects.line_width / 3
    inclined = rng.random(count) * (rng.random(count) < 0.5)
    phase = rng.uniform(0, 2 * np.pi, count)
    one_sided = rng.normal(0, 0.5, count)

    assert laid.distance is not None
    near = np.nonzero(laid.distance < laid.reach - 0.5)
    segment = laid.segment[near]
    line = laid.line[segment]
    step = laid.end[segment] - laid.start[segment]
    length = np.maximum(np.linalg.norm(step, axis=1), 1e-9)
    offset = np.stack(near, axis=1) - laid.start[segment]
    along = laid.along[segment] + np.clip((offset * step).sum(axis=1) / length, 0, length)
    side = np.sign(step[:, 1] * offset[:, 2] - step[:, 2] * offset[:, 1])

    wave = 0.5 - 0.5 * np.cos(2 * np.pi * along / period[line] + phase[line])
    slow = np.clip(0.5 + 0.5 * smooth_noise(shape, longest / 8, rng)[near], 0, 1)
    show = 1 - objects.fading * (0.6 * inclined[line] * wave + 0.4 * slow)
    across = laid.distance[near] / np.float32(0.42 * objects.line_width)
    profile = np.exp(-(across**2)) - one_sided[line] * side * across * np.exp(-(across**2) / 2) * 0.5
    image[near] += (strength[line] * show * profile).astype(np.float32)
    return np.asarray(image, dtype=np.float32)


def _bend_contours(shape: tuple[int, ...], rng: np.random.Generator) -> FloatImage:
    """Darkness 0 … 1 of the pairs of bands where a buckled foil meets the Bragg condition, with weak subsidiaries."""
    tilt = smooth_noise(shape, max(shape) / 1.2, rng) + np.float32(0.12) * smooth_noise(shape, max(shape) / 4, rng)
    dark = np.zeros(shape, dtype=np.float32)
    for centre, strength in ((-0.35, 1.0), (0.35, 0.8), (1.1, 0.5), (-1.1, 0.5)):
        away = (tilt - np.float32(centre)) / np.float32(0.13)
        # A rocking curve: one main maximum and fading subsidiary ones.
        dark += np.float32(strength) * (np.sinc(away / 2) ** 2).astype(np.float32)
    return np.minimum(dark, np.float32(1.2))
