"""Rung 5: what preparation does to a specimen and what a scan does to an image of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.appearance.paint import shift_lines, stamp
from napari_anneal.synthesis.appearance.recipe import Appearance
from napari_anneal.synthesis.appearance.smooth_noise import share_of, smooth_noise

__all__ = ["damage_specimen", "disturb_lines", "disturb_scan", "stain"]

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
    main = rng.uniform(0, np.pi, look.scratch_families)
    parallel = main[rng.integers(0, len(main), count)] + rng.normal(0, 0.02, count)
    angle = np.where(rng.random(count) < look.scratch_family, parallel, rng.uniform(0, np.pi, count))
    marks[:, :3] = rng.random((count, 3)) * np.array(shape)
    marks[:, 0] = 0
    marks[:, 4], marks[:, 5] = np.sin(angle), np.cos(angle)
    marks[:, 6] = rng.lognormal(np.log(0.3 * max(shape)), 0.7, count)
    marks[:, 7] = rng.uniform(0.2, 1.2, count)
    marks[:, 8] = look.mean_grey + np.where(rng.random(count) < look.bright_scratches, 1, -1) * rng.uniform(
        0.05, 0.4, count
    )
    marks[:, 9] = rng.uniform(0.2, 0.9, count)
    # Ploughed-up metal beside some of them.
    marks[:, 11] = np.where(rng.random(count) < 0.3, rng.uniform(0, 0.12, count), 0.0)
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
    dark = rng.random(count) >= look.bright_pores
    marks[:, 8] = np.where(dark, rng.uniform(0, 0.2, count), rng.uniform(0.8, 1.0, count))
    marks[:, 9] = rng.uniform(0.6, 1, count)
    marks[:, 10] = 0.25
    marks[:, 11] = np.where(rng.random(count) < look.ringed_pores, rng.uniform(0, 0.3, count), 0.0)
    return marks


def stain(image: FloatImage, look: Appearance, rng: np.random.Generator) -> None:
    """Stains of drying or handling, darkest at their rims, and the frame of an earlier scan; in place."""
    if look.contamination > 0:
        size = max(image.shape) / 5
        place = smooth_noise(image.shape, size, rng) + np.float32(0.15) * smooth_noise(image.shape, size / 6, rng)
        place /= np.float32(np.hypot(1, 0.15))
        inside = share_of(place, look.contamination, soft=0.15)
        # What a drying drop carries is left where its edge stood longest.
        depth = share_of(place, look.contamination, soft=1.5)
        image += np.float32(look.contamination_contrast) * inside * (1.5 - depth)
    if look.scan_frame > 0 and image.shape[0] == 1:
        field = np.array(image.shape[1:])
        side = np.rint(field * rng.uniform(0.3, 0.7)).astype(int)
        first = np.rint(rng.random(2) * (field - side)).astype(int)
        image[0, first[0] : first[0] + side[0], first[1] : first[1] + side[1]] -= np.float32(look.scan_frame)


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
        image = image + np.float32(look.charging) * np.maximum(patches - 0.7, 0) * np.maximum(0.7 + 0.3 * streaks, 0)
    if look.scan_jitter > 0 or look.drift > 0:
        lines = image if along_x else image.swapaxes(1, 2)
        lines = _displaced(np.ascontiguousarray(lines, dtype=np.float32), look, rng)
        image = lines if along_x else np.ascontiguousarray(lines.swapaxes(1, 2))
    return np.ascontiguousarray(image, dtype=np.float32)


def _displaced(lines: FloatImage, look: Appearance, rng: np.random.Generator) -> FloatImage:
    """Scan lines (along the last axis) that are off their place by jitter and by steady drift."""
    count = lines.shape[1]
    shifts = look.scan_jitter * rng.standard_normal(lines.shape[:2])
    if look.drift > 0:
        moved = look.drift * (np.linspace(-0.5, 0.5, count) if count > 1 else np.zeros(1))
        shifts += np.cos(np.deg2rad(look.drift_deg)) * moved
        across = np.clip(np.arange(count) + np.sin(np.deg2rad(look.drift_deg)) * moved, 0, count - 1)
        below = np.minimum(across.astype(int), max(count - 2, 0))
        part = (across - below).astype(np.float32)[:, None]
        lines = lines[:, below] * (1 - part) + lines[:, np.minimum(below + 1, count - 1)] * part
    out = np.empty(lines.shape, dtype=np.float32)
    shift_lines(np.ascontiguousarray(lines, dtype=np.float32), shifts, out)
    return out


def disturb_lines(image: FloatImage, look: Appearance, rng: np.random.Generator) -> FloatImage:
    """Grey level that flickers from scan line to scan line."""
    if look.scan_lines > 0:
        depth, height, width = image.shape
        size = (depth, height, 1) if look.scan_axis == "x" else (depth, 1, width)
        image += np.float32(look.scan_lines) * rng.standard_normal(size, dtype=np.float32)
    return image
