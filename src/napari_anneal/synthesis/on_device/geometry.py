"""Owners and boundary distances of many tessellations at once, as reductions over all seeds.

No neighbours are looked up: every pixel meets every seed. On a graphics card each reduction is compiled into one
kernel that keeps V in registers, so a 256² field of 120 seeds is some 10⁸ operations and next to no memory traffic.
Float64 throughout, so the owners are those of the tessellation on the CPU; only exact ties may fall the other way.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

__all__ = ["Tessellations", "compiled_on", "pieces", "tessellate_batch"]

# Numbers that one piece of a reduction may hold where nothing fuses it: 256 MiB of float64.
PIECE = 1 << 25


class Tessellations:
    """Power diagrams of a batch, in stretched coordinates u = Lᵀx in which their metric M = LLᵀ is Euclidean.

    Attributes
    ----------
    seeds, pulled, place
        float64 ``(B, N, D)``: seeds s (px), Ms, and the stretched seeds Lᵀs.
    weight
        float64 ``(B, N)``, px².
    steepness
        float64 ``(B, N, N)``: ‖∇(V_j − V_i)‖ = 2‖M(s_i − s_j)‖ (px); infinite where i and j share a place.
    pixels, grid
        float64 ``(P, D)``: pixels and stretched pixels, rows of the image one after the other.
    """

    def __init__(self, seeds: Tensor, weights: Tensor, metric: Tensor, shape: tuple[int, ...]) -> None:
        root = torch.linalg.cholesky(metric)
        self.seeds, self.weight, self.shape = seeds, weights, shape
        self.place, self.pulled = seeds @ root, seeds @ metric
        apart = 2 * torch.cdist(self.pulled, self.pulled, compute_mode="donot_use_mm_for_euclid_dist")
        self.steepness = torch.where(apart > 0, apart, torch.inf)
        axes = [torch.arange(n, dtype=torch.float64, device=seeds.device) for n in shape]
        self.pixels = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(shape))
        self.grid = self.pixels @ root


def tessellate_batch(cells: Tessellations) -> tuple[Tensor, Tensor]:
    """Owner (int64, seed index) and distance to the boundary (float32 px) of every pixel, both ``(B, P)``.

    The distance is the least (V_j − V_i) / ‖∇(V_j − V_i)‖ over all j ≠ i: a plane to a cell that is no neighbour lies
    beyond the boundary, so it never is the nearest. With one seed the distance is infinite.
    """
    batch, pixels = cells.place.shape[0], len(cells.grid)
    owner = torch.empty((batch, pixels), dtype=torch.int64, device=cells.place.device)
    distance = torch.empty((batch, pixels), dtype=torch.float32, device=cells.place.device)
    find, measure = compiled_on(_owner, owner.device.type), compiled_on(_distance, owner.device.type)
    for b, p in pieces(batch, pixels, cells.place.shape[1], owner.device):
        owner[b, p] = find(cells.grid[p], cells.place[b], cells.weight[b])
        distance[b, p] = measure(cells.grid[p], cells.place[b], cells.weight[b], cells.steepness[b], owner[b, p])
    return owner, distance


def pieces(batch: int, pixels: int, seeds: int, device: torch.device) -> Iterator[tuple[slice, slice]]:
    """Cut batch × pixels so that pieces × seeds fit into memory; on a card, where kernels are fused, all is one."""
    most = max(1, PIECE // seeds)
    if device.type == "cuda":
        most = batch * pixels
    some_pixels = min(pixels, most)
    some_batch = max(1, most // pixels)
    for b in range(0, batch, some_batch):
        for p in range(0, pixels, some_pixels):
            yield slice(b, b + some_batch), slice(p, p + some_pixels)


@cache
def compiled_on(function: Any, device: str) -> Any:
    """Fuse a reduction on a graphics card; elsewhere run it as it is (compiling takes longer than it saves)."""
    return torch.compile(function, dynamic=False) if device == "cuda" else function


def power(grid: Tensor, place: Tensor, weight: Tensor) -> Tensor:
    """V of every pixel and seed, float64 ``(B, P, N)``."""
    total = -weight[:, None, :].expand(-1, len(grid), -1)
    for axis in range(grid.shape[1]):
        total = total + (grid[None, :, None, axis] - place[:, None, :, axis]) ** 2
    return total


def beyond(grid: Tensor, place: Tensor, weight: Tensor, steepness: Tensor, owner: Tensor) -> Tensor:
    """Distance (px) of every pixel to the plane between its owner and each seed, float64 ``(B, P, N)``."""
    images = torch.arange(len(place), device=place.device)[:, None]
    own = -weight.gather(1, owner)
    for axis in range(grid.shape[1]):
        own = own + (grid[None, :, axis] - place[..., axis].gather(1, owner)) ** 2
    return (power(grid, place, weight) - own[..., None]) / steepness[images, owner]


def _owner(grid: Tensor, place: Tensor, weight: Tensor) -> Tensor:
    return power(grid, place, weight).argmin(dim=2)


def _distance(grid: Tensor, place: Tensor, weight: Tensor, steepness: Tensor, owner: Tensor) -> Tensor:
    gap = beyond(grid, place, weight, steepness, owner)
    # Whoever shares the owner's place (and the owner itself) has no plane with it.
    images = torch.arange(len(place), device=place.device)[:, None]
    gap = torch.where(torch.isfinite(steepness[images, owner]), gap, torch.inf)
    return gap.amin(dim=2).clamp(min=0).float()
