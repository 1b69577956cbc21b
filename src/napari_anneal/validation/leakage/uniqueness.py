"""Does the one shift stand out: a lattice agrees with another of its kind at every period, and that is no copy.

The whole cross-correlation of two details is looked through for a second place that agrees nearly as well as the one
that was found. Around that one, as far as the detail agrees with itself, nothing is a second place.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.validation.leakage.motion import Motion
from napari_anneal.validation.leakage.symmetry import transform

__all__ = ["stands_out"]

Steps = npt.NDArray[np.int8]
Field = npt.NDArray[np.float32]

# The second best shift must agree less than this share of the best.
SECOND = 0.75
# Up to here a detail agrees with itself around no shift at all.
SELF = 0.3
AROUND_PX = 3
# Shifts that leave less than this share of the overlap say little.
LEAST_OVERLAP = 0.5


def stands_out(a: Steps, b: Steps, motion: Motion) -> bool:
    """Whether no other shift of ``transform(a, motion.symmetry)`` against ``b`` agrees nearly as well."""
    import cv2
    from scipy import fft, ndimage

    turned = transform(a, motion.symmetry)
    size = [fft.next_fast_len(n + m - 1, real=True) for n, m in zip(turned.shape, b.shape, strict=True)]

    def spectrum(image: npt.NDArray[np.float32]) -> npt.NDArray[np.complex64]:
        return np.asarray(fft.rfft2(image, s=size))

    def correlation(first: npt.NDArray[np.complex64], second: npt.NDArray[np.complex64]) -> Field:
        return np.asarray(fft.irfft2(first.conj() * second, s=size), dtype=np.float32)

    first, second = (spectrum(image.astype(np.float32)) for image in (turned, b))
    ones = (spectrum(np.ones(image.shape, np.float32)) for image in (turned, b))
    area = np.maximum(correlation(*ones), 1)
    agreement = np.abs(correlation(first, second)) / area
    at = tuple(move % n for move, n in zip(motion.shift, size, strict=True))
    own = correlation(first, first)
    near, _ = ndimage.label(np.fft.fftshift(own) > SELF * own[0, 0])
    middle = near[size[0] // 2, size[1] // 2]
    around = np.ones((2 * AROUND_PX + 1,) * 2, np.uint8)
    excluded = cv2.dilate((near == middle).astype(np.uint8), around) > 0
    excluded = np.roll(np.fft.ifftshift(excluded), at, axis=(0, 1))
    others = agreement[~excluded & (area >= LEAST_OVERLAP * area[at])]
    return not others.size or bool(others.max() < SECOND * agreement[at])
