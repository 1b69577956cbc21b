"""Antialiased boundary lines on a torch device: the cover that ``geometry.coverage`` finds on the CPU."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_anneal.synthesis.geometry.coverage import LEAST_TILT

__all__ = ["boundary_coverage_batch"]


def boundary_coverage_batch(distance: Tensor, width: float) -> Tensor:
    """Share of every pixel that a line ``width`` px wide covers; distance and share float32 ``(B, *shape)``."""
    growth = []
    for axis in range(1, distance.ndim):
        if distance.shape[axis] == 1:
            continue
        step = distance.diff(dim=axis)
        none = torch.full_like(distance.narrow(axis, 0, 1), -torch.inf)
        growth.append(torch.maximum(torch.cat([step, none], axis), torch.cat([none, -step], axis)).abs())
    while len(growth) < 3:
        growth.append(torch.zeros_like(distance))
    normal = torch.stack(growth, -1).nan_to_num(0.0, 0.0, 0.0).clamp(max=1.0)
    norm = normal.norm(dim=-1, keepdim=True)
    flat = torch.zeros_like(normal)
    flat[..., 0] = 1.0
    # Longest first.
    sides = torch.where(norm > 0, normal / norm, flat).sort(dim=-1, descending=True).values
    return _share_of_pixel(width / 2 - distance, sides) - _share_of_pixel(-width / 2 - distance, sides)


def _share_of_pixel(away: Tensor, sides: Tensor) -> Tensor:
    """Volume of a unit pixel beyond a plane at ``-away``, as `geometry.coverage.share_of_pixel`."""
    a, b, c = sides.unbind(-1)
    half = sides.sum(-1) / 2
    t = (half - away.abs()).clamp(min=0)
    cube = t**3 + (t - b - c).clamp(min=0) ** 3 + (t - a - c).clamp(min=0) ** 3
    square = t**2
    for side in (a, b, c):
        cube = cube - (t - side).clamp(min=0) ** 3
    for side in (a, b):
        square = square - (t - side).clamp(min=0) ** 2
    small = 1e-12
    beyond = torch.where(
        c > LEAST_TILT,
        cube / (6 * a * b * c).clamp(min=small),
        torch.where(b > LEAST_TILT, square / (2 * a * b).clamp(min=small), t / a),
    )
    share = torch.where(away > 0, 1 - beyond, beyond)
    return torch.where(away >= half, 1.0, torch.where(away <= -half, 0.0, share))
