"""How many pixels noise is correlated over: none if it is white; smoothing, resampling and compression change that.

The power of white noise is the same at all frequencies, also in a blurred image, since optics blur the specimen and
not the noise. Where instead the power in flat places falls towards the highest frequencies, the noise itself was
smoothed, and its variance cannot be read off second differences, which see the high frequencies alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["NoiseWidth", "noise_width"]

FloatArray = npt.NDArray[np.float64]
SIDE = 16
# Frequencies (cycles/px) that texture is looked for in, and those above it that noise is measured at.
TEXTURE, NOISE = (0.06, 0.2), 0.22
BANDS = 4
# Share of the blocks of one band of grey that is trusted to be flat.
FLAT_SHARE = 0.3
LEAST_BLOCKS = 24
# Power, over the variance of the image, that is no noise but rounding and what edges leave far off.
NOTHING = 1e-4
# σ (px) below which the noise is white for all purposes, and above which the factor comes out too small.
WHITE, WIDEST = 0.12, 0.5
# Power at the frequencies of texture, over that of the noise, from which on no block is flat.
MOST_TEXTURE = 3.0


class NoiseWidth(NamedTuple):
    """How wide the noise of an image is.

    Attributes
    ----------
    sigma_px
        σ of the Gaussian that would have smoothed white noise as much, px; 0: white.
    factor
        How many times more its variance is than second differences make of it.
    known
        False where so little of it is left that the factor is a lower bound.
    """

    sigma_px: float
    factor: float
    known: bool


WHITE_NOISE = NoiseWidth(0.0, 1.0, True)


def noise_width(plane: npt.NDArray[np.floating]) -> NoiseWidth:
    """Look at the flattest blocks of 16 × 16 of an image ``(Y, X)``; white where none is flat enough to tell."""
    power, radius = _flat_power(np.asarray(plane, dtype=np.float64))
    if power is None:
        return WHITE_NOISE
    high = radius >= NOISE
    # ln power = a - 4π²σ²f² of smoothed white noise; a block's power scatters as much as it is, so all weigh alike.
    slope, level = np.polyfit(radius[high] ** 2, np.log(np.maximum(power[high], 1e-30)), 1)
    sigma = float(np.sqrt(max(0.0, -slope) / (4 * np.pi**2)))
    coarse = power[(radius > TEXTURE[0]) & (radius < TEXTURE[1])].mean()
    if sigma < WHITE or coarse > MOST_TEXTURE * np.exp(level):
        return WHITE_NOISE
    # As measured where noise is all there is, and as the fit continues where the specimen is too.
    noise = np.where(high, power, np.exp(level + slope * radius**2))
    one = (2 - 2 * np.cos(2 * np.pi * np.fft.fftfreq(SIDE))) ** 2
    seen = one[:, None] * one[None] / 36
    return NoiseWidth(sigma, float(noise.mean() / (noise * seen).mean()), sigma <= WIDEST)


def _flat_power(plane: FloatArray) -> tuple[FloatArray | None, FloatArray]:
    """Mean power of the flattest blocks, each band of grey weighing the same, and the frequencies (cycles/px)."""
    frequency = np.fft.fftfreq(SIDE)
    radius = np.hypot(frequency[:, None], frequency[None])
    rows, columns = (n // SIDE for n in plane.shape)
    grid = plane[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE)
    blocks = grid.swapaxes(1, 2).reshape(-1, SIDE, SIDE)
    clipped = ((blocks <= plane.min()) | (blocks >= plane.max())).mean(axis=(1, 2))
    blocks = blocks[clipped < 0.02]
    if len(blocks) < LEAST_BLOCKS:
        return None, radius
    taper = np.hanning(SIDE + 2)[1:-1]
    level = blocks.mean(axis=(1, 2))
    power = np.abs(np.fft.fft2((blocks - level[:, None, None]) * taper[:, None] * taper[None])) ** 2
    coarse = power[:, (radius > TEXTURE[0]) & (radius < TEXTURE[1])].mean(axis=1)
    found = []
    for band in np.array_split(np.argsort(level), BANDS):
        flat = band[coarse[band] <= np.quantile(coarse[band], FLAT_SHARE)]
        mean = power[flat].mean(axis=0)
        if mean.mean() > NOTHING * plane.var():
            found.append(mean / mean.mean())
    return (np.mean(found, axis=0) if found else None), radius
