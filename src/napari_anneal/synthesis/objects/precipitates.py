"""Precipitates of a prescribed volume fraction, coarse and fine, that grow until they meet.

Each object sits in the cell of its own seed (a power diagram, so big ones get room), and all of a population are scaled
together until they take the asked share of the image: to the pixel, unless the channels between leave less room.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.synthesis.appearance.microscope import gaussian_blur
from napari_anneal.synthesis.appearance.smooth_noise import smooth_noise
from napari_anneal.synthesis.draws import Step, generator
from napari_anneal.synthesis.geometry.cells import find_cells
from napari_anneal.synthesis.geometry.seeds import clustered, hard_core, relax
from napari_anneal.synthesis.geometry.tessellation import tessellate
from napari_anneal.synthesis.objects.cuboids import cuboid_cells
from napari_anneal.synthesis.objects.laid import Laid
from napari_anneal.synthesis.objects.outline_distance import measure_outlines
from napari_anneal.synthesis.objects.recipe import Objects
from napari_anneal.synthesis.objects.superellipse import object_levels
from napari_anneal.synthesis.recipe import MicrostructureRecipe

__all__ = ["grow_precipitates"]

FloatImage = npt.NDArray[np.float32]
# Cuboids with rounder corners than this would be balls.
LEAST_EXPONENT = 4.0


@dataclass(frozen=True, eq=False)
class _Population:
    """Objects of one kind: outside distance (px, < 0 inside), owner of each pixel, and their centres."""

    outside: FloatImage
    owner: npt.NDArray[np.int32]
    seeds: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Room:
    """The cell of each object (its owner and the px to its border), and the object's centre, half axes and angle."""

    owner: npt.NDArray[np.int32]
    border: FloatImage
    seeds: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]
    angle: npt.NDArray[np.float64]


def grow_precipitates(recipe: MicrostructureRecipe, seed: int) -> Laid:
    """Coarse precipitates, and fine ones between them."""
    objects, ndim = recipe.objects, len(recipe.shape)
    rng = generator(seed, Step.OBJECTS)
    size = math.prod(recipe.shape)
    diameter, fraction = objects.diameter, objects.volume_fraction
    if objects.number_density > 0:
        fraction = objects.number_density * _mean_volume(objects, diameter, ndim)
    if fraction > 0.95:
        raise InputError(
            f"{objects.number_density:g} precipitates of {diameter:g} px per pixel would take {fraction:.2f} of the "
            "image; lower number_density or diameter."
        )
    if recipe.points is None:
        centres = _centres(recipe, diameter, fraction, rng)
    else:
        # The number is given, so the size follows from the fraction.
        centres = np.array(recipe.points, dtype=np.float64)
        diameter = (fraction * size / len(centres) / _mean_volume(objects, 1.0, ndim)) ** (1 / ndim)
    if objects.form == "cuboids":
        coarse = _grow_cuboids(recipe, diameter, fraction, rng)
    else:
        coarse = _grow(recipe, centres, diameter, fraction, None, rng)
    outside, number = coarse.outside, np.where(coarse.outside < 0, coarse.owner + 2, 1)
    seeds, show = coarse.seeds, np.ones(len(coarse.seeds))
    if objects.fine_fraction > 0:
        rng = generator(seed, Step.FINE_OBJECTS)
        room = np.float32(objects.free_zone) - outside
        centres = _centres(recipe, objects.fine_diameter, objects.fine_fraction, rng)
        fine = _grow(recipe, centres, objects.fine_diameter, objects.fine_fraction, room, rng)
        number = np.where(fine.outside < 0, fine.owner + 2 + len(seeds), number)
        outside = np.minimum(outside, fine.outside)
        seeds = np.concatenate([seeds, fine.seeds])
        # Fine objects lie partly below or above the section, so they show less.
        show = np.concatenate([show, np.full(len(fine.seeds), 0.7)])
    number = number.astype(np.int32)
    return Laid(measure_outlines(outside, number), number, seeds, show)


def _centres(
    recipe: MicrostructureRecipe, diameter: float, fraction: float, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """As many centres ``(N, ndim)`` as objects of that size need to take that share."""
    objects, shape = recipe.objects, recipe.shape
    ndim = len(shape)
    count = max(1, round(fraction * math.prod(shape) / _mean_volume(objects, diameter, ndim)))
    if recipe.placement == "clustered":
        seeds = clustered(shape, count, recipe.cluster_size, recipe.cluster_radius, rng)
    else:
        spacing = (math.prod(shape) / count) ** (1 / ndim)
        # At random but without overlap; even placement starts from the largest distance that can be kept.
        even = recipe.placement == "blue_noise"
        keep = 0.95 * spacing if even else diameter * (1 + objects.size_dispersion / 2) + objects.gap
        seeds = hard_core(shape, count, min(keep, 0.95 * spacing), rng)
    return relax(seeds, shape, recipe.lloyd_rounds)


def _mean_volume(objects: Objects, diameter: float, ndim: int) -> float:
    """Mean area (px²) or volume (px³) of superellipsoids whose diameters are log-normal about the given mean."""
    p = objects.exponent
    unit = (2 * math.gamma(1 + 1 / p)) ** ndim / math.gamma(1 + ndim / p)
    moment = (1 + objects.size_dispersion**2) ** (ndim * (ndim - 1) / 2)
    return float(unit * (diameter / 2) ** ndim * moment)


def _grow(
    recipe: MicrostructureRecipe,
    centres: npt.NDArray[np.float64],
    diameter: float,
    fraction: float,
    forbidden: FloatImage | None,
    rng: np.random.Generator,
) -> _Population:
    """Give every centre an object and scale all until they take the asked fraction of where they may be.

    ``forbidden`` > 0 marks (with its depth in px) where this population must not be.
    """
    objects, count, ndim = recipe.objects, len(centres), len(recipe.shape)
    full = (1, *recipe.shape) if ndim == 2 else recipe.shape
    sigma = np.sqrt(np.log1p(objects.size_dispersion**2))
    radius = diameter / 2 * np.exp(rng.normal(-(sigma**2) / 2, sigma, count))
    stretch = np.maximum(1.0, objects.elongation * (1 + objects.elongation_spread * rng.normal(size=count)))
    if objects.elongation == 1:
        stretch[:] = 1.0
    axes = np.column_stack([radius * np.sqrt(stretch), radius / np.sqrt(stretch), radius])
    angle = np.deg2rad(objects.direction_deg + objects.direction_spread_deg * rng.normal(size=count))
    cells = find_cells(centres, radius**2)
    owner, border = tessellate(cells, recipe.shape)
    places = _Room(owner.reshape(full), border.reshape(full), cells.seeds, axes, angle)
    return _fill(recipe, places, objects.exponent, diameter, fraction, forbidden, rng)


def _grow_cuboids(
    recipe: MicrostructureRecipe, diameter: float, fraction: float, rng: np.random.Generator
) -> _Population:
    """Cuboids of γ′ along the crystal's axes, scaled together until they take the asked fraction."""
    objects, shape = recipe.objects, recipe.shape
    if recipe.points is not None:
        raise InputError("cuboids lie in rows of their own; leave the points out, or use form 'precipitates'.")
    mean = _mean_volume(objects.model_copy(update={"exponent": 12.0}), diameter, len(shape))
    spacing = (mean / fraction) ** (1 / len(shape))
    azimuth = math.radians(objects.direction_deg)
    cells = cuboid_cells(shape, spacing, objects.elongation, objects.size_dispersion, azimuth, rng)
    places = _Room(cells.owner, cells.border, cells.seeds, cells.axes, np.full(len(cells.seeds), azimuth))
    return _fill(recipe, places, max(objects.exponent, LEAST_EXPONENT), diameter, fraction, None, rng)


def _fill(
    recipe: MicrostructureRecipe,
    room: _Room,
    exponent: float,
    diameter: float,
    fraction: float,
    forbidden: FloatImage | None,
    rng: np.random.Generator,
) -> _Population:
    """Scale all objects together until they take the asked fraction of the room they have."""
    objects, owner = recipe.objects, room.owner
    full = owner.shape
    level, slope = np.empty(full, dtype=np.float32), np.empty(full, dtype=np.float32)
    object_levels(owner, room.seeds, room.axes, room.angle, exponent, level, slope)
    if objects.irregularity > 0:
        level *= np.exp(np.float32(objects.irregularity) * smooth_noise(full, max(2.0, diameter / 3), rng))
    blocked = np.float32(objects.gap / 2) - room.border
    wanted = round(fraction * level.size)
    if forbidden is not None:
        # Fine objects share out the matrix, all of it, though they only find room in a part.
        wanted = round(fraction * np.count_nonzero(forbidden < np.float32(objects.free_zone)))
        blocked = np.maximum(blocked, forbidden)
    free = level[blocked < 0]
    # The level that as many pixels lie below as are wanted: that makes the fraction exact.
    size = np.partition(free, wanted)[wanted] if wanted < free.size else np.float32(np.inf)
    outline = (level - size) / slope if np.isfinite(size) else np.full(full, -np.inf, dtype=np.float32)
    outside = np.maximum(outline, blocked).astype(np.float32)
    sigma_px = objects.rounding * diameter
    if sigma_px > 0.3 and wanted < free.size:
        outside = _rounded(outside, sigma_px, wanted)
        if forbidden is not None:
            outside = np.maximum(outside, forbidden)
    return _Population(outside, owner, room.seeds)


def _rounded(outside: FloatImage, sigma: float, wanted: int) -> FloatImage:
    """Smooth an outline over ``sigma`` px, keeping ``wanted`` pixels inside; a distance again to first order."""
    # Far values only have to stay far: clipped, they do not pull the outline along.
    smooth = gaussian_blur(np.clip(outside, -3 * sigma, 3 * sigma), sigma)
    size = min(wanted, smooth.size - 1)
    smooth -= np.partition(smooth.ravel(), size)[size]
    square = np.zeros_like(smooth)
    for axis, n in enumerate(smooth.shape):
        if n > 1:
            square += np.asarray(np.gradient(smooth, axis=axis)) ** 2
    steepness = np.maximum(np.sqrt(square), np.float32(0.35))
    near = np.abs(outside) < 2.5 * sigma
    # Away from the outline the clipped field is flat, and the distance known before is the better one.
    return np.where(near, smooth / steepness, outside).astype(np.float32)
