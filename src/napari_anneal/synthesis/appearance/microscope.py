"""Rungs 3 to 5: what the optics, the scan and the detector make of a specimen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.appearance.artefacts import damage_specimen, disturb_lines, disturb_scan, stain
from napari_anneal.synthesis.appearance.recipe import Appearance
from napari_anneal.synthesis.appearance.smooth_noise import NoiseField, noise_field
from napari_anneal.synthesis.appearance.tomography import draw_rings, harden_beam
from napari_anneal.synthesis.draws import Step, generator

__all__ = ["TRUNCATE", "blur", "detect", "focus_field", "focused", "gain_pattern", "gaussian_blur", "take_image"]

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
        stain(image, look, generator(seed, Step.STAINS))
    if look.rung >= 3:
        image = blur(image, look, generator(seed, Step.OPTICS))
    scan = generator(seed, Step.SCAN)
    if look.rung >= 5:
        image = disturb_scan(image, look, scan)
        harden_beam(image, look, seed)
    np.clip(image, 0, 1, out=image)
    if look.rung >= 4:
        image = detect(image, look, generator(seed, Step.DETECTOR), gain_pattern(image.shape, look, seed))
    if look.rung >= 5:
        image = disturb_lines(image, look, scan)
        draw_rings(image, look, seed)
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
    sharp = gaussian_blur(image, look.psf_sigma, look.astigmatism, look.astigmatism_deg)
    if focus is None:
        return sharp
    worst = gaussian_blur(sharp, look.defocus_variation, look.astigmatism, look.astigmatism_deg)
    share = np.clip(np.float32(0.5) + np.float32(0.5) * focus, 0, 1)
    return np.asarray(sharp + share * (worst - sharp), dtype=np.float32)


def gaussian_blur(image: FloatImage, sigma: float, astigmatism: float = 0.0, angle_deg: float = 0.0) -> FloatImage:
    """Gaussian blur, of σ (1 + astigmatism) along its axis and σ (1 - astigmatism) across it; no blur at σ = 0.

    The axis lies in the (Y, X) plane, counted from X towards +Y.
    """
    from scipy.ndimage import gaussian_filter1d

    widths = [sigma, sigma * (1 - astigmatism), sigma * (1 + astigmatism)]
    askew = astigmatism != 0 and sigma > 0.05 and angle_deg % 90 != 0
    if angle_deg % 180 == 90:
        widths[1], widths[2] = widths[2], widths[1]
    for axis, n in enumerate(image.shape):
        if n > 1 and widths[axis] > 0.05 and not (askew and axis > 0):
            image = gaussian_filter1d(image, widths[axis], axis=axis, mode="nearest", truncate=TRUNCATE)
    return _blur_askew(image, widths[2], widths[1], np.deg2rad(angle_deg)) if askew else image


def _blur_askew(image: FloatImage, along: float, across: float, angle: float) -> FloatImage:
    """Gaussian blur in the (Y, X) plane with any principal axis, by its transfer function exp(-2π² kᵀCk)."""
    from scipy import fft

    margin = int(np.ceil(4 * max(along, across))) + 1
    padded = np.pad(image, ((0, 0), (margin, margin), (margin, margin)), mode="edge")
    size = [fft.next_fast_len(n, real=True) for n in padded.shape[1:]]
    ky, kx = fft.fftfreq(size[0])[:, None], fft.rfftfreq(size[1])[None, :]
    u, v = kx * np.cos(angle) + ky * np.sin(angle), ky * np.cos(angle) - kx * np.sin(angle)
    transfer = np.exp(-2 * np.pi**2 * ((along * u) ** 2 + (across * v) ** 2)).astype(np.float32)
    seen = fft.irfft2(fft.rfft2(padded, s=size) * transfer, s=size)
    return np.asarray(seen[:, margin : margin + image.shape[1], margin : margin + image.shape[2]], dtype=np.float32)


def gain_pattern(shape: tuple[int, ...], look: Appearance, seed: int) -> FloatImage | None:
    """Gain of every pixel, float32 ``(Y, X)`` of mean 1: of the detector, and so the same for all slices; or None."""
    if look.gain_variation == 0:
        return None
    rng = generator(seed, Step.GAIN)
    return 1 + np.float32(look.gain_variation) * rng.standard_normal(shape[-2:], dtype=np.float32)


def detect(
    image: FloatImage, look: Appearance, rng: np.random.Generator, pattern: FloatImage | None = None
) -> FloatImage:
    """Rung 4: Poisson noise at the dose, gain, Gaussian read noise, stuck pixels; the input is in [0, 1]."""
    counts = rng.poisson(image * np.float64(look.dose))
    seen = (counts * (look.gain / look.dose)).astype(np.float32)
    if pattern is not None:
        seen *= pattern
    if look.read_noise > 0:
        seen += np.float32(look.read_noise) * rng.standard_normal(image.shape, dtype=np.float32)
    if look.hot_pixels > 0:
        stuck = rng.random(image.shape, dtype=np.float32) < look.hot_pixels
        seen[stuck] = rng.integers(0, 2, int(stuck.sum())).astype(np.float32)
    return seen
