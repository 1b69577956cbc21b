"""The detector's noise, read off the images of layers, and the same place of one of them with that noise simulated."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_anneal.widgets._mosaic import crop_window

if TYPE_CHECKING:
    from napari_anneal.augmentation import MatchedNoise
    from napari_anneal.synthesis.transfer.noise import Noise

__all__ = ["SIDE", "Measured", "NoiseOrder", "Plane", "simulated"]

Picture = npt.NDArray[np.float32]
# Side of the patches that are shown, pixels.
SIDE = 88
# Below this the denoiser would have nothing to tell noise from structure by (a grey level of 16 bits is 1.5e-5).
LEAST_NOISE = 1e-4


class Plane(NamedTuple):
    """One image to read: its name, pixels ``(Y, X)`` or ``(Y, X, C)``, and paint ``(Y, X)`` or ``None``."""

    name: str
    pixels: Any
    labels: Any


class Measured(NamedTuple):
    """What was found, in words by image, and a real patch beside a simulated one, in unit range on one grey scale."""

    noise: MatchedNoise
    lines: tuple[str, ...]
    real: Picture
    simulated: Picture


@dataclass(frozen=True)
class NoiseOrder:
    """Which images to read; the patches are of the first."""

    planes: tuple[Plane, ...]
    seed: int = 0

    def carry_out(self, report: Callable[[Any], None], cancel: threading.Event) -> Measured | None:
        """Measure, on the worker's thread; ``None`` where it was cancelled.

        Raises
        ------
        InputError
            An image too small, constant, or with NaN or infinite pixels.
        """
        from napari_anneal.augmentation import match_noise
        from napari_anneal.samples.normalisation import intensity_range

        images = []
        for number, plane in enumerate(self.planes, start=1):
            if cancel.is_set():
                return None
            images.append(np.asarray(plane.pixels)[..., :3] if plane.pixels.ndim == 3 else np.asarray(plane.pixels))
            report((number, 2 * len(self.planes)))
        found = match_noise(images)
        limits = [intensity_range(image, "YXC"[: image.ndim]) for image in images]
        lines = tuple(
            _line(plane.name, noise, limit.high - limit.low)
            for plane, noise, limit in zip(self.planes, found.measured, limits, strict=True)
        )
        if cancel.is_set():
            return None
        shape = images[0].shape[:2]
        labels = np.zeros(shape, np.uint8) if self.planes[0].labels is None else np.asarray(self.planes[0].labels)
        real = limits[0].apply(images[0][crop_window(labels, min(SIDE, *shape))])
        return Measured(found, lines, real, simulated(real, found.measured[0], self.seed))


def simulated(real: Picture, noise: Noise, seed: int) -> Picture:
    """The patch with its own noise taken off and measured noise put on: not to be told apart where both are right.

    Taken off by non-local means (Buades et al. 2005), which keeps edges; put on as counts of shot noise and Gaussian
    read noise.
    """
    from skimage.restoration import denoise_nl_means

    middle = float(np.sqrt(noise.variance(np.asarray(real.mean()))))
    if middle < LEAST_NOISE:
        return real
    clean = denoise_nl_means(
        real, patch_size=5, patch_distance=7, h=0.8 * middle, sigma=middle, fast_mode=True,
        channel_axis=-1 if real.ndim == 3 else None,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    grey = np.clip(clean, 0, None)
    shot = rng.poisson(grey / noise.gain) * noise.gain - grey if noise.gain > 0 else 0.0
    return np.asarray(clean + shot + noise.read * rng.standard_normal(real.shape), dtype=np.float32)


def _line(name: str, noise: Noise, span: float) -> str:
    """What one image has, in per cent of its range, in its own grey levels, and in counts."""
    read = f"read noise {100 * noise.read:.2g} % of the range (σ = {noise.read * span:.3g} grey levels)"
    # A gain that would need a million counts is no shot noise that anybody could see.
    shot = f"{1 / noise.gain:,.0f} counts per pixel at the bright end" if noise.gain > 1e-6 else "no shot noise"
    return f"{name}: {read}, {shot}."
