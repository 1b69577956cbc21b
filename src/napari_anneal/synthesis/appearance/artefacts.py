"""Rung 5: what preparation does to a specimen and what a scan does to an image of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.appearance.paint import shift_lines, stamp
from napari_anneal.synthesis.appearance.recipe import Appearance
from napari_anneal.synthesis.appearance.smooth_noise import smooth_noise

__all__ = ["damage_specimen", "disturb_lines", "disturb_scan"]

FloatImage = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
# A runaway setting (tiny pores at a large fraction) must not hang a training stream.
MOST_PORES = 20_000


def damage_specimen(image: FloatImage, look: Appearance, rng: np.random.Generator) -> FloatImage:
    """Curtaining, scratches and pores, on the specimen itself."""
    if look.curtaining > 0:
        stripes = smooth_noise(image.shape, (1.0, 3.0 * max(image.shape), 2.0), rng)
        stripes += smooth_noise(image.shape, (1.0, 3.0 * max(image.shape), 9.0), rng)
        image *= 1 + np.float32(look.curtaining) * stripes
    marks = np.concatenate([_scratches(image.shape, look, rng), _pores(image.shape, look, rng)])
    if len(marks):
        stamp(image, smooth_noise(image.shape, max(2.0, look.pore_diameter / 3), rng), marks)
    return image


def _scratches(shape: tuple[int, ...], look: Appearance, rng: np.random.Generator) -> FloatArray:
    """Rows for `stamp`: long thin lines across a polished section (a volume has no polished face)."""
    count = int(rng.poisson(look.scratches)) if shape[0] == 1 else 0
    marks = np.zeros((count, 12))
    main = rng.uniform(0, np.pi)
    angle = main + (1 - look.scratch_family) * rng.uniform(-np.pi / 2, np.pi / 2, count) + rng.normal(0, 0.03, count)
    marks[:, :3] = rng.random((count, 3)) * np.array(shape)
    marks[:, 0] = 0
    marks[:, 4], marks[:, 5] = np.sin(angle), np.cos(angle)
    marks[:, 6] = rng.lognormal(np.log(0.3 * max(shape)), 0.7, count)
    marks[:, 7] = rng.uniform(0.2, 1.2, count)
    marks[:, 8] = look.mean_grey + rng.choice([-1, -1, 1], count) * rng.uniform(0.05, 0.4, count)
    marks[:, 9] = rng.uniform(0.2, 0.9, count)
    return marks


def _pores(shape: tuple[int, ...], look: Appearance, rng: np.random.Generator) -> FloatArray:
    """Rows for `stamp`: pits, pores and dirt of the asked area (or volume) fraction."""
    ndim = 2 if shape[0] == 1 else 3
    radius = look.pore_diameter / 2
    # E[r^n] of a log-normal of σ 0.4 about the median radius.
    mean_size = (np.pi if ndim == 2 else 4 / 3 * np.pi) * radius**ndim * np.exp((ndim * 0.4) ** 2 / 2)
    count = min(int(rng.poisson(look.pores * float(np.prod(shape)) / mean_size)), MOST_PORES)
    marks = np.zeros((count, 12))
    marks[:, :3] = rng.random((count, 3)) * np.array(shape)
    direction = rng.normal(size=(count, 3))
    if ndim == 2:
        marks[:, 0] = 0
        direction[:, 0] = 0
    marks[:, 3:6] = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    size = radius * rng.lognormal(0, 0.4, count)
    marks[:, 6] = size * rng.exponential(0.3, count)
    marks[:, 7] = size
    dark = rng.random(count) < 0.8
    marks[:, 8] = np.where(dark, rng.uniform(0, 0.2, count), rng.uniform(0.8, 1.0, count))
    marks[:, 9] = rng.uniform(0.6, 1, count)
    marks[:, 10] = 0.25
    marks[:, 11] = np.where(rng.random(count) < 0.4, rng.uniform(0, 0.3, count), 0.0)
    return marks


def disturb_scan(image: FloatImage, look: Appearance, rng: np.random.Generator) -> FloatImage:
    """Uneven illumination, charging, and scan lines that are off their place."""
    if look.shading > 0:
        field = smooth_noise(image.shape, 0.8 * max(image.shape), rng)
        peak = max(float(np.abs(field).max()), 1e-6)
        image = image * (1 + np.float32(look.shading / peak) * field)
    along_x = look.scan_axis == "x"
    if look.charging > 0:
        streaks = smooth_noise(image.shape, (1.0, 2.0, 60.0) if along_x else (1.0, 60.0, 2.0), rng)
        patches = smooth_noise(image.shape, max(image.shape) / 4, rng)
        image = image + np.float32(look.charging) * np.maximum(patches - 0.7, 0) * (0.7 + 0.3 * streaks)
    if look.scan_jitter > 0:
        source = image if along_x else image.swapaxes(1, 2)
        moved = np.empty(source.shape, dtype=np.float32)
        shifts = look.scan_jitter * rng.standard_normal(source.shape[:2])
        shift_lines(np.ascontiguousarray(source, dtype=np.float32), shifts, moved)
        image = moved if along_x else np.ascontiguousarray(moved.swapaxes(1, 2))
    return np.ascontiguousarray(image, dtype=np.float32)


def disturb_lines(image: FloatImage, look: Appearance, rng: np.random.Generator) -> FloatImage:
    """Grey level that flickers from scan line to scan line."""
    if look.scan_lines > 0:
        depth, height, width = image.shape
        size = (depth, height, 1) if look.scan_axis == "x" else (depth, 1, width)
        image += np.float32(look.scan_lines) * rng.standard_normal(size, dtype=np.float32)
    return image
