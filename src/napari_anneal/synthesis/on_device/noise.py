"""Smooth random fields of unit deviation on a torch device: the cubic B-splines of ``smooth_noise``, as products.

A spline through numbers on a coarse grid is one matrix product along every axis, which is what such devices do best.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from napari_anneal.synthesis.appearance.smooth_noise import POWER_PER_AXIS

__all__ = ["smooth_noise_batch"]


def smooth_noise_batch(
    batch: int, shape: tuple[int, ...], length: float | tuple[float, ...], generator: torch.Generator
) -> Tensor:
    """``batch`` Gaussian random fields of mean 0 and deviation 1 that vary over ``length`` px; float32 ``(B, *shape)``.

    ``length`` is one number, or one for every axis of ``shape``.
    """
    device = generator.device
    lengths = length if isinstance(length, tuple) else (length,) * len(shape)
    steps = [max(float(step), 1.0) for step in lengths]
    knots = [math.ceil(n / step) + 4 for n, step in zip(shape, steps, strict=True)]
    field = torch.randn((batch, *knots), generator=generator, device=device)
    field *= POWER_PER_AXIS ** (-len(shape) / 2)
    for axis, (n, step, count) in enumerate(zip(shape, steps, knots, strict=True)):
        phase = torch.rand(batch, generator=generator, device=device)
        weights = _spline(n, step, count, phase)
        field = torch.einsum("bnk,b...k->b...n", weights, field.movedim(axis + 1, -1)).movedim(-1, axis + 1)
    return field.contiguous()


def _spline(n: int, step: float, knots: int, phase: Tensor) -> Tensor:
    """Weight of every knot at every pixel of an axis, ``(B, n, knots)``: the cubic B-spline about the knot."""
    place = torch.arange(n, device=phase.device, dtype=torch.float32)[None, :, None] / step + phase[:, None, None]
    # Knot k is the peak of the spline at place k - 1: the first of the four that reach place 0 lies before it.
    away = (place - (torch.arange(knots, device=phase.device)[None, None, :] - 1)).abs()
    near = (4 - 6 * away**2 + 3 * away**3) / 6
    far = (2 - away).clamp(min=0) ** 3 / 6
    return torch.where(away < 1, near, far)
