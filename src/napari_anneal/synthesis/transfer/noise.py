"""Noise of a detector from one image: a photon-transfer curve over the flat places of a micrograph.

A second difference along both axes (Immerkær 1996) takes planes, edges along an axis and smooth texture away and
leaves white noise of 36 times the variance. Its mean square over small blocks, against the mean grey of the block, is
the curve: the variance grows with the grey level by shot noise from the constant of the read-out (Janesick 2007). In a
micrograph many blocks hold edges, so in each band of grey levels only the blocks are averaged that scatter as noise
alone would.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Noise", "estimate_noise"]

FloatArray = npt.NDArray[np.float64]
BLOCK = 8
# Deviation of the mean square over a block of 8 × 8, relative to its mean, for white Gaussian noise: the second
# differences of neighbours are correlated, so it is more than √(2/64). Simulated.
SCATTER = 0.322
BANDS = 16
# Share of the blocks in a band that are trusted to hold nothing but noise, in any micrograph.
FLAT_SHARE = 0.3


class Noise(NamedTuple):
    """Variance of the noise at grey level g: ``read**2 + gain * g`` (grey levels are fractions of the full range)."""

    read: float
    gain: float

    def variance(self, grey: npt.NDArray[np.floating]) -> FloatArray:
        """Variance at each grey level; float64, same shape."""
        return np.asarray(self.read**2 + self.gain * np.clip(grey, 0, None), dtype=np.float64)


def estimate_noise(plane: npt.NDArray[np.floating], clipped: bool = True) -> Noise:
    """White noise of an image ``(Y, X)`` with grey levels as fractions of the full range; zero for tiny images.

    ``clipped``: black and white may be where the detector cuts off; false for counts, of which 0 is one as any other.
    """
    grey, square = block_statistics(np.asarray(plane, dtype=np.float64), clipped)
    if len(grey) < 8:
        return Noise(0.0, 0.0)
    order = np.argsort(grey)
    level, variance, weight = [], [], []
    for band in np.array_split(order, min(BANDS, max(1, len(grey) // 24))):
        flat = flat_blocks(square[band])
        level.append(float(grey[band][flat].mean()))
        variance.append(float(square[band][flat].mean()))
        weight.append(int(flat.sum()))
    return fit_line(np.array(level), np.array(variance), np.array(weight, dtype=np.float64))


def block_statistics(plane: FloatArray, clipped: bool = True) -> tuple[FloatArray, FloatArray]:
    """Mean grey of every block of 8 × 8 pixels, and its mean squared second difference over 36; no clipped blocks."""
    second = plane[:, 2:] - 2 * plane[:, 1:-1] + plane[:, :-2]
    second = (second[2:] - 2 * second[1:-1] + second[:-2]) ** 2 / 36
    inner = plane[1:-1, 1:-1]
    rows, columns = (n // BLOCK for n in inner.shape)

    def blocks(values: FloatArray) -> FloatArray:
        cut = values[: rows * BLOCK, : columns * BLOCK]
        return np.asarray(cut.reshape(rows, BLOCK, columns, BLOCK).mean(axis=(1, 3)).ravel(), dtype=np.float64)

    if not clipped:
        return blocks(inner), blocks(second)
    # Where pixels are clipped, part of the noise is missing.
    whole = blocks(((inner <= plane.min()) | (inner >= plane.max())).astype(np.float64)) < 0.02
    return blocks(inner)[whole], blocks(second)[whole]


def flat_blocks(square: FloatArray) -> npt.NDArray[np.bool_]:
    """Blocks of a band that scatter as white noise does: those left when what is too far above is cut off, repeatedly.

    The cut lies three deviations above the mean, so next to nothing of the noise is lost.
    """
    level = float(np.quantile(square, FLAT_SHARE / 2)) / (1 - SCATTER)
    flat = square <= level * (1 + 3 * SCATTER)
    for _ in range(20):
        level = float(square[flat].mean()) if flat.any() else level
        now = square <= level * (1 + 3 * SCATTER)
        if (now == flat).all():
            break
        flat = now
    return flat if flat.any() else square <= np.quantile(square, FLAT_SHARE)


def fit_line(level: FloatArray, variance: FloatArray, weight: FloatArray) -> Noise:
    """Line through the bands, neither end below zero; a band's variance is the surer the smaller it is."""
    from scipy.optimize import nnls

    strength = np.sqrt(weight) / np.maximum(variance, 1e-12)
    for _ in range(5):
        design = np.column_stack([np.ones_like(level), level]) * strength[:, None]
        (floor, gain), _ = nnls(design, variance * strength)
        fitted = np.maximum(floor + gain * level, 1e-12)
        # A band full of texture lies above the line, never below it.
        strength = np.sqrt(weight) / fitted / (1 + np.maximum(variance / fitted - 1, 0) ** 2 * 25)
    return Noise(float(np.sqrt(floor)), float(gain))
