"""Power of an image by frequency, averaged over directions, and filters that are real and alike in all directions.

Such a filter has zero phase: a line stays on its centre line and an edge on its place, only their profiles change.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["BINS", "radial_filter", "radial_power"]

FloatArray = npt.NDArray[np.float64]
# Bins of equal width from 0 to 0.5 cycles per pixel.
BINS = 32
# Pixels beyond the edge that a filter may look at: more than twice the deviation of the softest one.
MARGIN = 16


def radial_power(plane: npt.NDArray[np.floating]) -> FloatArray:
    """Power spectral density of ``(Y, X)`` in each of `BINS` frequency bins, float64; of white noise its variance.

    A Hann window keeps the edges of the image, which do not continue on the other side, out of it.
    """
    window = np.outer(np.hanning(plane.shape[0] + 2)[1:-1], np.hanning(plane.shape[1] + 2)[1:-1])
    centred = plane - np.average(plane, weights=window)
    power = np.abs(np.fft.rfft2(centred * window)) ** 2 / (window**2).sum()
    frequency = _frequency(plane.shape)
    # Columns of a real transform stand for two, but for the first and (of an even width) the last.
    twice = np.full(power.shape, 2.0)
    twice[:, 0] = 1
    if plane.shape[1] % 2 == 0:
        twice[:, -1] = 1
    bin_of = (frequency * 2 * BINS).astype(int)
    inside = (bin_of < BINS) & (frequency > 0)
    count = np.bincount(bin_of[inside], twice[inside], BINS)
    total = np.bincount(bin_of[inside], (twice * power)[inside], BINS)
    # A small image has no frequency in some bins: those between are interpolated.
    known = count > 0
    centre = (np.arange(BINS) + 0.5) / (2 * BINS)
    if not known.any():
        return np.zeros(BINS)
    return np.interp(centre, centre[known], total[known] / count[known])


def radial_filter(image: npt.NDArray[np.floating], gain: FloatArray) -> npt.NDArray[np.float64]:
    """Multiply the amplitude of ``(Y, X)`` or ``(Z, Y, X)`` by ``gain`` (one factor a bin); the mean stays.

    The image goes on as its mirror image beyond its edges.
    """
    margin = [min(MARGIN, n - 1) for n in image.shape]
    padded = np.pad(np.asarray(image, dtype=np.float64), [(m, m) for m in margin], mode="reflect")
    mean = padded.mean()
    frequency = _frequency(padded.shape)
    centre = (np.arange(BINS) + 0.5) / (2 * BINS)
    factor = np.interp(frequency, centre, gain)
    spectrum = np.fft.rfftn(padded - mean) * factor
    filtered = np.fft.irfftn(spectrum, padded.shape, axes=range(padded.ndim)) + mean
    return np.asarray(filtered[tuple(slice(m, m + n) for m, n in zip(margin, image.shape, strict=True))])


def _frequency(shape: tuple[int, ...]) -> FloatArray:
    """Cycles per pixel of every coefficient of a real transform."""
    axes = [np.fft.fftfreq(n) for n in shape[:-1]] + [np.fft.rfftfreq(shape[-1])]
    squares = np.meshgrid(*[a**2 for a in axes], indexing="ij", sparse=True)
    return np.asarray(np.sqrt(sum(squares)), dtype=np.float64)
