"""Rung 5 of computed tomography: beam hardening, streaks and rings, all about the axis that the specimen turned on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.appearance.recipe import Appearance
from napari_anneal.synthesis.compiled import compiled
from napari_anneal.synthesis.draws import Step, generator

__all__ = ["draw_rings", "harden_beam", "rotation_axis"]

FloatImage = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]
# Every tenth detector element is this much worse than the rest: rings are mostly faint and a few of them strong.
BAD_ELEMENTS, HOW_BAD = 0.1, 4.0
# Streaks: so many fans around a dense spot, over which their grey level changes.
FANS = 96
# The densest of so many random pixels is where streaks come from.
CANDIDATES = 64


def rotation_axis(shape: tuple[int, ...], look: Appearance, seed: int) -> tuple[float, float]:
    """Where the rotation axis of CT, along Z, meets the slices: (y, x), px; it may lie outside the field."""
    angle = generator(seed, Step.TOMOGRAPHY).uniform(0, 2 * np.pi)
    away = look.rotation_axis * max(shape[1:])
    return (shape[1] - 1) / 2 + away * float(np.sin(angle)), (shape[2] - 1) / 2 + away * float(np.cos(angle))


def harden_beam(image: FloatImage, look: Appearance, seed: int) -> None:
    """Cupping and streaks, in place: what a polychromatic beam does, before the noise.

    Cupping is the parabola that beam hardening leaves in a round specimen of one material: the grey level at the axis
    is lower by the share ``look.beam_hardening`` than at the corner of the field farthest from it.
    """
    if look.beam_hardening > 0:
        y, x = rotation_axis(image.shape, look, seed)
        square = _squares(image.shape[1], y)[:, None] + _squares(image.shape[2], x)[None, :]
        image *= (1 - look.beam_hardening * (1 - square / max(square.max(), 1.0))).astype(np.float32)
    if look.streaks > 0:
        rng = generator(seed, Step.STREAKS)
        for z in range(image.shape[0]):
            for _ in range(1 + int(rng.poisson(1.0))):
                place = rng.integers(0, image.shape[1:], (CANDIDATES, 2))
                y, x = place[image[z, place[:, 0], place[:, 1]].argmax()]
                add_streaks(image[z], float(y), float(x), look.streaks * rng.normal(size=FANS))


def draw_rings(image: FloatImage, look: Appearance, seed: int) -> None:
    """Rings about the rotation axis, in place: each detector element that is off leaves one in every slice it sees."""
    if look.rings == 0:
        return
    y, x = rotation_axis(image.shape, look, seed)
    rng = generator(seed, Step.RINGS)
    farthest = np.hypot(max(abs(y), abs(image.shape[1] - 1 - y)), max(abs(x), abs(image.shape[2] - 1 - x)))
    count = int(farthest) + 2
    size = (image.shape[0], count)
    worse = np.where(rng.random(size) < BAD_ELEMENTS, HOW_BAD, 1.0)
    power = 1 + BAD_ELEMENTS * (HOW_BAD**2 - 1)
    # Two thirds of the power is left of white noise that is interpolated linearly.
    offset = look.rings * np.sqrt(1.5 / power) * worse * rng.normal(size=size)
    add_rings(image, y, x, offset)


def _squares(count: int, centre: float) -> Array:
    return np.asarray((np.arange(count) - centre) ** 2, dtype=np.float64)


@compiled
def add_rings(image: FloatImage, centre_y: float, centre_x: float, offset: Array) -> None:
    """Add to every slice its offset at each whole radius (px), ``(Z, R)``, linear in between."""
    depth, height, width = image.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                radius = np.sqrt((y - centre_y) ** 2 + (x - centre_x) ** 2)
                k = int(radius)
                part = radius - k
                image[z, y, x] += (1.0 - part) * offset[z, k] + part * offset[z, k + 1]


@compiled
def add_streaks(image: FloatImage, centre_y: float, centre_x: float, fan: Array) -> None:
    """Add fans of grey to a slice ``(Y, X)``: constant along a ray but for fading with the distance from the centre."""
    height, width = image.shape
    count = fan.size
    half_way = max(height, width) / 6.0
    for y in range(height):
        for x in range(width):
            dy, dx = y - centre_y, x - centre_x
            place = (np.arctan2(dy, dx) / (2.0 * np.pi) + 0.5) * count
            k = int(place) % count
            part = place - int(place)
            # Steep flanks: streaks are bands with edges, not waves.
            part = part * part * (3.0 - 2.0 * part)
            level = (1.0 - part) * fan[k] + part * fan[(k + 1) % count]
            image[y, x] += level * half_way / (half_way + np.sqrt(dy * dy + dx * dx))
