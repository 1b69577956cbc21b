"""An image → what is left of it for finding copies: its detail, freed from grey levels, shading and lattices.

Copies are looked for in the *detail* of an image: reduced by a whole factor, band-passed, with spectral peaks cut to
the level of their surroundings and local contrast made equal. Brightness, gamma, shading and most of the noise are
gone after that, and so is everything periodic: two micrographs of one lattice agree in the lattice, which says nothing.

*Keypoints* are the places where the detail is a local extremum; the detail on five rings around each is its
*signature*. Second-order products of the signature's angular Fourier coefficients do not change when the image is
turned, mirrored or inverted (compare the bispectral invariants of Kakarala 2012 and ring-Fourier descriptors such as
RIFT, Lazebnik et al. 2005), so that one search finds copies under all eight symmetries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ANGLES", "RADII", "Detail", "Keypoints", "detail_of", "keypoints_of", "reduced"]

Grey = npt.NDArray[np.float32]

# Band of the detail in reduced pixels: below the first deviation lies noise, beyond the second shading.
FINE_PX, COARSE_PX = 1.2, 6.0
CONTRAST_PX = 12.0
# A spectral amplitude above this many times the mean of its ring is a lattice, not a texture.
PEAK = 3.0
RADII, ANGLES, ORDERS = (2.0, 4.5, 7.0, 9.5, 12.0), 16, 7
DIMENSIONS = ORDERS * len(RADII) * (len(RADII) + 1) // 2
# The detail is stored in 8 bits: steps of 1/32 of its standard deviation, clipped at 4 of them.
STEPS = 32


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Places ``(N, 2)`` (y, x) in reduced pixels, signatures ``(N, rings, angles)`` and invariants ``(N, D)``."""

    places: npt.NDArray[np.float64]
    signatures: npt.NDArray[np.float32]
    invariants: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Detail:
    """Detail of an image reduced by ``factor``: int8 ``(Y, X)`` in steps of 1/32 of a standard deviation."""

    factor: int
    steps: npt.NDArray[np.int8]
    keypoints: Keypoints


def reduced(grey: Grey, factor: int) -> Grey:
    """Means over squares of ``factor`` pixels; what is left over at the far borders is dropped."""
    if factor == 1:
        return grey
    import cv2

    height, width = (n // factor for n in grey.shape)
    whole = np.ascontiguousarray(grey[: height * factor, : width * factor])
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), dtype=np.float32)


def detail_of(grey: Grey, factor: int, spacing_px: int) -> Detail:
    """Detail and keypoints of a grey image float32 ``(Y, X)``; no two keypoints closer than ``spacing_px``."""
    small = reduced(grey, factor)
    detail = _equal_contrast(_without_peaks(_band(small)))
    steps = np.clip(np.rint(detail * STEPS), -127, 127).astype(np.int8)
    return Detail(factor, steps, keypoints_of(detail, spacing_px))


def _band(image: Grey) -> Grey:
    return _blurred(image, FINE_PX) - _blurred(image, COARSE_PX)


def _blurred(image: Grey, sigma: float) -> Grey:
    import cv2

    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), dtype=np.float32)


def _without_peaks(image: Grey) -> Grey:
    """Cut spectral amplitudes above ``PEAK`` times the mean of their ring down to that."""
    from scipy import fft

    spectrum = fft.rfft2(image)
    amplitude = np.abs(spectrum)
    fy, fx = fft.fftfreq(image.shape[0]), fft.rfftfreq(image.shape[1])
    rings = np.rint(np.hypot(fy[:, np.newaxis], fx) * min(image.shape)).astype(np.int32)
    # A mean of square roots is hardly moved by a few high peaks.
    count = np.maximum(np.bincount(rings.ravel()), 1)
    level = (np.bincount(rings.ravel(), np.sqrt(amplitude).ravel()) / count) ** 2
    limit = PEAK * level[rings]
    spectrum *= np.minimum(1, limit / np.maximum(amplitude, 1e-30))
    return np.asarray(fft.irfft2(spectrum, s=image.shape), dtype=np.float32)


def _equal_contrast(image: Grey) -> Grey:
    """Divide by the local deviation; where there is hardly any (a saturated or blank area), nothing is blown up."""
    local = np.sqrt(np.maximum(_blurred(image * image, CONTRAST_PX), 0))
    floor = 0.2 * float(np.sqrt(np.mean(image * image))) + 1e-12
    return np.asarray(image / np.maximum(local, floor), dtype=np.float32)


def keypoints_of(detail: Grey, spacing_px: int) -> Keypoints:
    """Local extrema of the detail, far enough from the border for all rings, with what is around them."""
    import cv2

    size = np.abs(detail)
    window = np.ones((2 * spacing_px + 1,) * 2, np.uint8)
    border = int(np.ceil(max(RADII)))
    peaks = (size >= cv2.dilate(size, window)) & (size > 1)
    peaks[:border], peaks[-border:], peaks[:, :border], peaks[:, -border:] = False, False, False, False
    places = np.argwhere(peaks).astype(np.float64)
    angles = 2 * np.pi * np.arange(ANGLES) / ANGLES
    radii = np.array(RADII)[:, np.newaxis]
    y = places[:, 0, None, None] + radii * np.sin(angles)
    x = places[:, 1, None, None] + radii * np.cos(angles)
    if not len(places):
        return Keypoints(places, np.zeros((0, len(RADII), ANGLES), np.float32), np.zeros((0, DIMENSIONS), np.float32))
    across, down = (a.reshape(len(places), -1).astype(np.float32) for a in (x, y))
    found = cv2.remap(detail, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    signatures = np.asarray(found.reshape(len(places), len(RADII), ANGLES), dtype=np.float32)
    return Keypoints(places, _unit(signatures), invariants(signatures))


def invariants(signatures: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Products of angular Fourier coefficients ``Re F_m(r) F*_m(s)``: float32 ``(N, D)``, unit length.

    Turning a signature multiplies ``F_m`` of every ring by one phase, mirroring conjugates it, inverting changes its
    sign: none of them changes the real part of the product.
    """
    spectra = np.fft.rfft(signatures, axis=-1)[..., :ORDERS]
    first, second = np.triu_indices(len(RADII))
    products = (spectra[:, first] * spectra[:, second].conj()).real.reshape(len(signatures), -1)
    # Square roots: otherwise the strongest order alone would make up the distance.
    return _unit((np.sign(products) * np.sqrt(np.abs(products))).astype(np.float32))


def _unit(rows: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    flat = rows.reshape(len(rows), -1)
    length = np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    return np.asarray((flat / length).reshape(rows.shape), dtype=np.float32)
