"""Rungs 3 and 4 on a torch device: the optics and the detector, as ``microscope`` on the CPU."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from napari_anneal.synthesis.appearance.recipe import Appearance
from napari_anneal.synthesis.on_device.noise import smooth_noise_batch

__all__ = ["take_batch"]


def take_batch(specimen: Tensor, look: Appearance, generator: torch.Generator) -> Tensor:
    """Image specimens, float32 ``(B, *shape)``, up to rung 4; float32 in [0, 1]."""
    image = specimen
    if look.rung >= 3:
        image = _blur(image, look, generator)
    image = image.clamp(0, 1)
    if look.rung >= 4:
        image = _detect(image, look, generator)
    return image.clamp(0, 1)


def _blur(image: Tensor, look: Appearance, generator: torch.Generator) -> Tensor:
    sharp = _gaussian_blur(image, look.psf_sigma, look.astigmatism)
    if look.defocus_variation == 0:
        return sharp
    worst = _gaussian_blur(sharp, look.defocus_variation, look.astigmatism)
    field = smooth_noise_batch(len(image), tuple(image.shape[1:]), max(image.shape[1:]) / 2, generator)
    return sharp + (0.5 + 0.5 * field).clamp(0, 1) * (worst - sharp)


def _gaussian_blur(image: Tensor, sigma: float, astigmatism: float) -> Tensor:
    """Separable Gaussian blur, cut at 3 σ, edges repeated, wider along X where the astigmatism is positive."""
    ndim = image.ndim - 1
    for axis in range(1, image.ndim):
        width = sigma * (1, 1 - astigmatism, 1 + astigmatism)[axis + 2 - ndim]
        if image.shape[axis] == 1 or width <= 0.05:
            continue
        radius = int(3 * width + 0.5)
        place = torch.arange(-radius, radius + 1, dtype=torch.float64, device=image.device)
        kernel = torch.exp(-0.5 * (place / width) ** 2)
        kernel = (kernel / kernel.sum()).float()
        lines = image.movedim(axis, -1)
        padded = functional.pad(lines.reshape(-1, 1, lines.shape[-1]), (radius, radius), mode="replicate")
        image = functional.conv1d(padded, kernel[None, None]).reshape(lines.shape).movedim(-1, axis)
    return image.contiguous()


def _detect(image: Tensor, look: Appearance, generator: torch.Generator) -> Tensor:
    seen = torch.poisson(image * look.dose, generator=generator) / look.dose
    if look.read_noise > 0:
        seen += look.read_noise * torch.randn(image.shape, generator=generator, device=image.device)
    if look.hot_pixels > 0:
        stuck = torch.rand(image.shape, generator=generator, device=image.device)
        seen = torch.where(stuck < look.hot_pixels, (stuck < look.hot_pixels / 2).float(), seen)
    return seen
