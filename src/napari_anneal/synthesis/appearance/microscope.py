"""Rungs 3 to 5: what the optics, the scan and the detector make of a specimen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.appearance.artefacts import damage_specimen, disturb_lines, disturb_scan
from napari_anneal.synthesis.appearance.recipe import Appearance
from napari_anneal.synthesis.appearance.smooth_noise import NoiseField, noise_field
from napari_anneal.synthesis.draws import Step, generator

__all__ = ["TRUNCATE", "blur", "detect", "focus_field", "focused", "gaussian_blur", "take_image"]

FloatImage = npt.NDArray[np.float32]
# Deviations after which a Gaussian is cut off.
TRUNCATE = 3.0


def take_image(specimen: FloatImage, look: Appearance, seed: int) -> FloatImage:
    """Image a specimen (float32 ``(Z, Y, X)``, changed in place) up to the rung asked for; float32 in [0, 1].

    The rungs act in the order of physics: damage is on the specimen and so under the optics, the scan
    comes after the optics, and the detector's noise last.
    """
    image = specimen
    if look.rung >= 5:
        image = damage_specimen(image, look, generator(seed, Step.DAMAGE))
    if look.rung >= 3:
        image = blur(image, look, generator(seed, Step.OPTICS))
    scan = generator(seed, Step.SCAN)
    if look.rung >= 5:
        image = disturb_scan(image, look, scan)
    np.clip(image, 0, 1, out=image)
    if look.rung >= 4:
        image = detect(image, look, generator(seed, Step.DETECTOR))
    if look.rung >= 5:
        image = disturb_lines(image, look, scan)
    return np.clip(image, 0, 1, out=image)


def blur(image: FloatImage, look: Appearance, rng: np.random.Generator) -> FloatImage:
    """Rung 3: Gaussian point spread, with astigmatism, and with a defocus that varies over the field."""
    focus = None if look.defocus_variation == 0 else focus_field(image.shape, rng).whole()
    return focused(image, look, focus)


def focus_field(shape: tuple[int, ...], rng: np.random.Generator) -> NoiseField:
    """How the focus varies over an image of the shape ``(Z, Y, X)``."""
    return noise_field(shape, max(shape) / 2, rng)


def focused(image: FloatImage, look: Appearance, focus: FloatImage | None) -> FloatImage:
    """Blur an image by the point spread, and by the defocus where ``focus`` (of mean 0 and deviation 1) is high."""
    sharp = gaussian_blur(image, look.psf_sigma, look.astigmatism)
    if focus is None:
        return sharp
    worst = gaussian_blur(sharp, look.defocus_variation, look.astigmatism)
    share = np.clip(np.float32(0.5) + np.float32(0.5) * focus, 0, 1)
    return np.asarray(sharp + share * (worst - sharp), dtype=np.float32)


def gaussian_blur(image: FloatImage, sigma: float, astigmatism: float = 0.0) -> FloatImage:
    """Gaussian blur, wider along X than along Y where the astigmatism is positive; no blur at σ = 0."""
    from scipy.ndimage import gaussian_filter1d

    for axis, n in enumerate(image.shape):
        width = sigma * (1, 1 - astigmatism, 1 + astigmatism)[axis]
        if n > 1 and width > 0.05:
            image = gaussian_filter1d(image, width, axis=axis, mode="nearest", truncate=TRUNCATE)
    return image


def detect(image: FloatImage, look: Appearance, rng: np.random.Generator) -> FloatImage:
    """Rung 4: Poisson noise at the dose, Gaussian read noise, stuck pixels; the input is in [0, 1]."""
    counts = rng.poisson(image * np.float64(look.dose))
    seen = (counts / look.dose).astype(np.float32)
    if look.read_noise > 0:
        seen += np.float32(look.read_noise) * rng.standard_normal(image.shape, dtype=np.float32)
    if look.hot_pixels > 0:
        stuck = rng.random(image.shape, dtype=np.float32) < look.hot_pixels
        seen[stuck] = rng.integers(0, 2, int(stuck.sum())).astype(np.float32)
    return seen
