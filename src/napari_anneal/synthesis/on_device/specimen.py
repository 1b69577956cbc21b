"""Rung 2 on a torch device: grey levels of grains and of the boundaries near every pixel, as ``polished_grains``.

The draws are other ones (a torch generator's), so images differ from those of the CPU; their statistics do not.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from napari_anneal.synthesis.appearance.specimen import CLEAN_BOUNDARY, CLEAN_GREYS, WIDEST_GROOVE
from napari_anneal.synthesis.on_device.coverage import boundary_coverage_batch
from napari_anneal.synthesis.on_device.geometry import Tessellations, beyond, compiled_on, pieces
from napari_anneal.synthesis.on_device.noise import smooth_noise_batch
from napari_anneal.synthesis.recipe import MicrostructureRecipe

__all__ = ["clean_batch", "polished_batch"]

Draw = Callable[..., Tensor]


def clean_batch(distance: Tensor, phase: Tensor, boundary_width: float) -> Tensor:
    """Rung 1: flat grains, one grey a phase, and antialiased dark boundary lines; float32 ``(B, *shape)`` in [0, 1]."""
    cover = boundary_coverage_batch(distance, boundary_width)
    grey = torch.tensor(CLEAN_GREYS, device=phase.device)[phase - 1]
    return grey + cover * (CLEAN_BOUNDARY - grey)


def polished_batch(
    recipe: MicrostructureRecipe, cells: Tessellations, owner: Tensor, phase: Tensor, generator: torch.Generator
) -> Tensor:
    """Grey levels of the polished or etched surface, float32 ``(B, *shape)``, not clipped.

    ``owner`` is int64 ``(B, P)``, the seed of every pixel; ``phase`` int64 ``(B, N)``, 1 or 2 for every seed.
    """
    look, shape, batch = recipe.appearance, recipe.shape, len(owner)
    texture = smooth_noise_batch(batch, shape, look.texture_length, generator).flatten(1)
    texture += 0.5 * smooth_noise_batch(batch, shape, look.texture_length / 3, generator).flatten(1)
    image = _grains(recipe, cells, owner, phase, texture, generator)
    edges = _Edges(recipe, cells, owner, generator)
    rough = smooth_noise_batch(batch, shape, max(3.0, look.groove_width), generator).flatten(1)
    widen = torch.exp(look.groove_roughness * rough)
    nearest, cover = edges.most_visible(cells, owner, widen, look.groove_softness)
    contrast = edges.of(edges.contrast, owner, nearest)
    half = edges.of(edges.half, owner, nearest) * widen
    # A thin line adds to its grain's grey; a wide groove hides it under a filling of its own.
    filled = (0.25 * (half - 1)).clamp(0, 1)
    own = look.mean_grey + contrast + look.groove_texture * rough - image
    painted = filled * own + (1 - filled) * contrast
    if look.relief != 0:
        painted = painted + edges.of(edges.relief, owner, nearest) * _facing_light(recipe, cells, owner, nearest)
    return (image + cover * painted).reshape(batch, *shape)


def _grains(
    recipe: MicrostructureRecipe,
    cells: Tessellations,
    owner: Tensor,
    phase: Tensor,
    texture: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Grey of every pixel from its grain alone: level, slope, texture and twins; float32 ``(B, P)``."""
    look, (batch, count) = recipe.appearance, phase.shape
    uniform, normal = _draws(generator)
    # Evenly spread between its extremes, as orientation contrast is: many neighbours differ clearly.
    level = look.mean_grey + look.grain_contrast * math.sqrt(3) * (2 * uniform(batch, count) - 1)
    level = level + look.phase_contrast * (phase == 2)
    amplitude = look.texture * _gamma_of_4(uniform, batch, count)
    image: Tensor = level.gather(1, owner) + amplitude.gather(1, owner) * texture
    if look.slope > 0:
        rise = normal(batch, count) * look.slope / recipe.grain_diameter
        image += _along(cells, owner, rise[..., None] * _directions(normal, batch, count, len(recipe.shape)))
    if look.twins > 0:
        step = (uniform(batch, count) < look.twins) * torch.sign(uniform(batch, count) - 0.5)
        step = step * (0.04 + 1.2 * look.grain_contrast * uniform(batch, count))
        period = recipe.grain_diameter * (0.35 + 0.85 * uniform(batch, count))
        bands = _along(cells, owner, _directions(normal, batch, count, len(recipe.shape)) / period[..., None])
        share = (0.1 + 0.35 * uniform(batch, count)).gather(1, owner)
        image += step.gather(1, owner) * (bands - bands.floor() < share)
    return image


class _Edges:
    """How every boundary looks: tables ``(B, N, N)``, the same from both of its sides."""

    def __init__(
        self, recipe: MicrostructureRecipe, cells: Tessellations, owner: Tensor, generator: torch.Generator
    ) -> None:
        look, (batch, count) = recipe.appearance, cells.place.shape[:2]
        uniform, normal = _draws(generator)
        faint = _shared(uniform(batch, count, count)) < look.faint_boundaries
        visible = torch.where(faint, 0.2 * _shared(uniform(batch, count, count)), 1.0)
        vary = (1 + look.contrast_spread * _shared(normal(batch, count, count))).clamp(min=0) * visible
        touching = _touching(owner, recipe.shape, count)
        self.contrast = look.boundary_contrast * vary * touching
        self.relief = look.relief * vary * touching
        width = look.groove_width * torch.exp(look.groove_width_spread * _shared(normal(batch, count, count)))
        self.half = width.clamp(min(1.0, look.groove_width), WIDEST_GROOVE) / 2
        self.strength = self.contrast.abs() + self.relief.abs()

    def most_visible(
        self, cells: Tessellations, owner: Tensor, widen: Tensor, softness: float
    ) -> tuple[Tensor, Tensor]:
        """The boundary that shows most at every pixel: the seed beyond it and its coverage, both ``(B, P)``."""
        nearest, cover = torch.empty_like(owner), torch.empty_like(widen)
        see = compiled_on(_most_visible, owner.device.type)
        for b, p in pieces(len(owner), owner.shape[1], cells.place.shape[1], owner.device):
            nearest[b, p], cover[b, p] = see(
                cells.grid[p], cells.place[b], cells.weight[b], cells.steepness[b], owner[b, p],
                self.half[b], self.strength[b], widen[b, p], softness,
            )  # fmt: skip
        return nearest, cover

    @staticmethod
    def of(table: Tensor, owner: Tensor, other: Tensor) -> Tensor:
        """Entry of a table for the boundary between two seeds, ``(B, P)``."""
        return table[torch.arange(len(owner), device=owner.device)[:, None], owner, other]


def _most_visible(
    grid: Tensor,
    place: Tensor,
    weight: Tensor,
    steepness: Tensor,
    owner: Tensor,
    half: Tensor,
    strength: Tensor,
    widen: Tensor,
    softness: float,
) -> tuple[Tensor, Tensor]:
    images = torch.arange(len(place), device=place.device)[:, None]
    gap = beyond(grid, place, weight, steepness, owner).float()
    wide = half[images, owner] * widen[..., None]
    cover = ((wide - gap) / (softness * wide).clamp(min=1.0) + 0.5).clamp(0, 1)
    # A line narrower than a pixel covers no more of it than its width.
    cover = torch.minimum(cover * cover * (3 - 2 * cover), 2 * wide)
    shown, nearest = (cover * strength[images, owner]).max(dim=2)
    most = strength[images, owner, nearest]
    return nearest, torch.where(shown > 0, shown / most.clamp(min=1e-12), 0.0)


def _touching(owner: Tensor, shape: tuple[int, ...], count: int) -> Tensor:
    """Which cells share a boundary somewhere in the image, bool ``(B, N, N)``."""
    batch = len(owner)
    field = owner.reshape(batch, *shape)
    touching = torch.zeros(batch * count * count, dtype=torch.bool, device=owner.device)
    first = torch.arange(batch, device=owner.device).reshape(-1, *[1] * len(shape)) * count * count
    for axis, n in enumerate(shape, start=1):
        a, b = field.narrow(axis, 0, n - 1), field.narrow(axis, 1, n - 1)
        touching[(first + a * count + b).flatten()] = True
        touching[(first + b * count + a).flatten()] = True
    # A pixel's own cell is its own neighbour in this table; no plane divides them, so it never counts.
    return touching.reshape(batch, count, count) & ~torch.eye(count, dtype=torch.bool, device=owner.device)


def _shared(draws: Tensor) -> Tensor:
    """The upper triangle of ``(B, N, N)`` on both sides of the diagonal."""
    upper = draws.triu(1)
    return upper + upper.mT


def _facing_light(recipe: MicrostructureRecipe, cells: Tessellations, owner: Tensor, other: Tensor) -> Tensor:
    """Cosine between the light of the relief and the normal of a boundary, into its owner; ``(B, P)``."""
    angle = math.radians(recipe.appearance.relief_direction_deg)
    total = torch.zeros(owner.shape, dtype=torch.float64, device=owner.device)
    steep = _Edges.of(cells.steepness, owner, other)
    for axis, light in ((-2, math.sin(angle)), (-1, math.cos(angle))):
        pull = cells.pulled[..., axis]
        total += light * 2 * (pull.gather(1, owner) - pull.gather(1, other)) / steep
    return total.float()


def _along(cells: Tessellations, owner: Tensor, vector: Tensor) -> Tensor:
    """Product of a vector a grain, ``(B, N, D)``, with the way from its seed to each of its pixels; ``(B, P)``."""
    total = torch.zeros(owner.shape, dtype=torch.float32, device=owner.device)
    for axis in range(vector.shape[2]):
        away = cells.pixels[None, :, axis] - cells.seeds[..., axis].gather(1, owner)
        total += vector[..., axis].gather(1, owner) * away.float()
    return total


def _directions(normal: Draw, batch: int, count: int, ndim: int) -> Tensor:
    """Random unit vectors, ``(B, N, D)``."""
    return torch.nn.functional.normalize(normal(batch, count, ndim), dim=2)


def _gamma_of_4(uniform: Draw, batch: int, count: int) -> Tensor:
    """Gamma variates of shape 4 and mean 1: the mean of four exponential ones."""
    return -torch.log1p(-uniform(batch, count, 4)).mean(dim=2)


def _draws(generator: torch.Generator) -> tuple[Draw, Draw]:
    """Uniform and normal numbers of any shape from one generator, on its device."""

    def uniform(*size: int) -> Tensor:
        return torch.rand(size, generator=generator, device=generator.device)

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=generator, device=generator.device)

    return uniform, normal
