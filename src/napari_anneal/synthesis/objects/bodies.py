"""Bodies: objects of given shape, with log-normal diameters, elongations, directions, flat sides and dents."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.objects.outlines import ROD, level_along
from napari_anneal.synthesis.objects.recipe import Objects

__all__ = ["Bodies", "diameters", "make_bodies", "mean_body_size", "random_turns", "rods"]

FloatArray = npt.NDArray[np.float64]
# Directions over which a body's area or volume is measured.
QUADRATURE = {2: 64, 3: 400}
WAVES = 3


@dataclass(frozen=True, eq=False)
class Bodies:
    """Shapes without places: one row a body, in (Z, Y, X) order with one plane for 2D.

    ``diameter`` (px) is that of the disk or ball of the body's size. For the other fields see `outlines.body_level`.
    """

    ndim: int
    diameter: FloatArray  # (N,)
    turn: FloatArray  # (N, 3, 3)
    axes: FloatArray  # (N, 3), px
    exponent: float
    facets: FloatArray  # (N, F, 3)
    dents: FloatArray  # (N, WAVES, 3)
    depth: float
    reach: FloatArray  # (N,), px from the centre to the farthest point of the outline

    @property
    def sizes(self) -> FloatArray:
        """Area (px²) or volume (px³) of each."""
        return np.asarray(_ball(self.ndim) * self.diameter**self.ndim)

    def scaled(self, factor: float) -> Bodies:
        """All of them larger or smaller by one factor."""
        return replace(self, diameter=self.diameter * factor, axes=self.axes * factor, reach=self.reach * factor)

    def outline(self, spacing: float) -> FloatArray:
        """Points on each outline ``(N, K, 3)``, as offsets from the centre, about ``spacing`` px apart at most."""
        if self.exponent == ROD:
            return self._rod_outline(spacing)
        largest = float(self.reach.max())
        if self.ndim == 2:
            count = int(np.clip(2 * np.pi * largest / spacing, 16, 128))
        else:
            count = int(np.clip(4 * np.pi * (largest / spacing) ** 2, 40, 400))
        # Spread by the axes, so that slender tips get their share.
        offsets = _directions(self.ndim, count)[None] * self.axes[:, None]
        points = offsets / self._levels(offsets)[:, :, None]
        return np.ascontiguousarray(points @ self.turn)

    def _rod_outline(self, spacing: float) -> FloatArray:
        """Points along the flanks and around the ends of rods."""
        half, thick = self.axes[:, 0] - self.axes[:, 1], self.axes[:, 1]
        count = int(np.clip(2 * half.max() / spacing, 3, 80))
        around = np.array([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]]) if self.ndim == 2 else _ring(6)
        cap = np.array([[0.5, 0.87, 0.0], [1.0, 0.0, 0.0], [0.5, -0.87, 0.0]])
        if self.ndim == 3:
            cap = np.concatenate([0.87 * _ring(6) + [0.5, 0, 0], cap[1:2]])
        place = np.concatenate(
            [np.repeat(np.linspace(-1, 1, count), len(around)), np.ones(len(cap)), -np.ones(len(cap))]
        )
        normal = np.concatenate([np.tile(around, (count, 1)), cap, cap * [-1, 1, 1]])
        points = thick[:, None, None] * normal[None]
        points[:, :, 0] += half[:, None] * place
        return np.ascontiguousarray(points @ self.turn)

    def _levels(self, offsets: FloatArray) -> FloatArray:
        out = np.empty(offsets.shape[:2])
        level_along(offsets, self.axes, self.exponent, self.facets, self.dents, self.depth, out)
        return out


def mean_body_size(objects: Objects, ndim: int) -> float:
    """Mean area (px²) or volume (px³) of bodies whose diameters are log-normal."""
    moment = (1 + objects.size_dispersion**2) ** (ndim * (ndim - 1) / 2)
    return float(_ball(ndim) * objects.diameter**ndim * moment)


def diameters(objects: Objects, count: int, rng: np.random.Generator) -> FloatArray:
    """Log-normal diameters (px) of the asked mean and coefficient of variation."""
    sigma = np.sqrt(np.log1p(objects.size_dispersion**2))
    return np.asarray(objects.diameter * np.exp(rng.normal(-(sigma**2) / 2, sigma, count)))


def make_bodies(objects: Objects, count: int, ndim: int, rng: np.random.Generator) -> Bodies:
    """Draw ``count`` bodies."""
    diameter = diameters(objects, count, rng)
    stretch = np.ones(count)
    if objects.elongation > 1:
        stretch = np.maximum(1.0, objects.elongation * (1 + objects.elongation_spread * rng.normal(size=count)))
    axes = np.column_stack([stretch ** (1 - 1 / ndim), stretch ** (-1 / ndim), stretch ** (-1 / ndim)])
    facets: FloatArray = np.zeros((count, 0, 3), dtype=np.float64)
    if objects.facets:
        facets = _facets(objects.facets, count, ndim, rng)
    dents = rng.normal(size=(count, WAVES, 3)) * ([1, 1, 0] if ndim == 2 else [1, 1, 1])
    dents /= np.linalg.norm(dents, axis=2, keepdims=True)
    turn = random_turns(objects, count, ndim, rng)
    shapes = Bodies(ndim, diameter, turn, axes, objects.exponent, facets, dents, objects.irregularity, np.ones(count))
    offsets = _directions(ndim, QUADRATURE[ndim])[None] * axes[:, None]
    radius = 1 / shapes._levels(offsets)
    # The size in units of the axes, whose product is 1; then each is scaled to the disk or ball of its diameter.
    factor = diameter / 2 / (radius**ndim).mean(axis=1) ** (1 / ndim)
    reach = (radius * np.linalg.norm(offsets, axis=2)).max(axis=1)
    return replace(shapes, axes=axes * factor[:, None], reach=1.02 * reach * factor)


def rods(objects: Objects, diameter: FloatArray, turn: FloatArray, ndim: int) -> Bodies:
    """Rods with round ends of the recipe's length: straight fibres of given diameters (px) and axes."""
    radius, count = diameter / 2, len(diameter)
    half = np.full(count, objects.length / 2)
    flank = 2 * half - diameter
    size = flank * diameter + np.pi * radius**2 if ndim == 2 else np.pi * radius**2 * (flank + 4 / 3 * radius)
    return Bodies(
        ndim, (size / _ball(ndim)) ** (1 / ndim), turn, np.column_stack([half, radius, radius]), ROD,
        np.zeros((count, 0, 3)), np.zeros((count, WAVES, 3)), 0.0, half,
    )  # fmt: skip


def _ring(count: int) -> FloatArray:
    """Unit vectors around the long axis."""
    angle = 2 * np.pi * np.arange(count, dtype=np.float64) / count
    return np.column_stack([np.zeros(count), np.cos(angle), np.sin(angle)])


def _ball(ndim: int) -> float:
    """Area or volume of a ball of diameter 1."""
    return math.pi / 4 if ndim == 2 else math.pi / 6


def _directions(ndim: int, count: int) -> FloatArray:
    """Evenly spread unit vectors (along, across, out): a circle, or a Fibonacci sphere."""
    if ndim == 2:
        angle = 2 * np.pi * (np.arange(count) + 0.5) / count
        return np.column_stack([np.cos(angle), np.sin(angle), np.zeros(count)])
    height = 1 - 2 * (np.arange(count) + 0.5) / count
    angle = np.pi * (3 - math.sqrt(5)) * np.arange(count, dtype=np.float64)
    flat = np.sqrt(1 - height**2)
    return np.column_stack([flat * np.cos(angle), flat * np.sin(angle), height])


def _facets(sides: int, count: int, ndim: int, rng: np.random.Generator) -> FloatArray:
    """Normals over distances of ``sides`` flat sides: about even in direction, unlike in distance."""
    if ndim == 2:
        angle = 2 * np.pi * (np.arange(sides) + 0.35 * rng.uniform(-1, 1, (count, sides))) / sides
        normal = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=2)
    else:
        normal = _directions(3, sides)[None] + 0.15 * rng.normal(size=(count, sides, 3))
        normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    return np.asarray(normal / rng.uniform(0.8, 1.2, (count, sides, 1)))


def random_turns(objects: Objects, count: int, ndim: int, rng: np.random.Generator) -> FloatArray:
    """Rotation matrices whose rows are the bodies' axes (along, across, out) in (Z, Y, X)."""
    spread = np.deg2rad(objects.direction_spread_deg)
    azimuth = np.deg2rad(objects.direction_deg) + spread * rng.normal(size=count)
    elevation = np.zeros(count)
    roll = np.zeros(count)
    if ndim == 3:
        # Any direction: even over the sphere.
        any_way = objects.direction_spread_deg == 90
        roll = rng.uniform(0, 2 * np.pi, count) if any_way else spread * rng.normal(size=count)
        elevation = np.arcsin(rng.uniform(-1, 1, count)) if any_way else spread * rng.normal(size=count)
    ca, sa, ce, se = np.cos(azimuth), np.sin(azimuth), np.cos(elevation), np.sin(elevation)
    along = np.stack([se, ce * sa, ce * ca], axis=1)
    across = np.stack([np.zeros(count), ca, -sa], axis=1)
    out = np.cross(along, across)
    cr, sr = np.cos(roll)[:, None], np.sin(roll)[:, None]
    return np.stack([along, cr * across + sr * out, cr * out - sr * across], axis=1)
