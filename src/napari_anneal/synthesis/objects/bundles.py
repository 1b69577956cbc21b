"""Fibres that run right through the image or volume: bundles that bend around each other, or crossing lines."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.synthesis.objects.bodies import diameters
from napari_anneal.synthesis.objects.directions import common_direction, fibre_directions, frames
from napari_anneal.synthesis.objects.laid import Laid
from napari_anneal.synthesis.objects.outline_distance import measure_outlines
from napari_anneal.synthesis.objects.packing import push_apart
from napari_anneal.synthesis.objects.tubes import draw_tubes, length_inside
from napari_anneal.synthesis.recipe import MicrostructureRecipe

__all__ = ["run_through"]

FloatArray = npt.NDArray[np.float64]
# Fibres of a bundle are kept apart at stations this many diameters apart along them.
STATION = 3.0
# Up to here fibres run side by side; beyond, they must cross.
BUNDLED_DEG = 20.0


def run_through(recipe: MicrostructureRecipe, rng: np.random.Generator) -> Laid:
    """Endless fibres of the asked direction, misorientation, diameter and volume fraction.

    Raises
    ------
    InputError
        They do not fit without overlap, or would have to cross.
    """
    objects, ndim = recipe.objects, len(recipe.shape)
    mean_square = objects.diameter**2 * (1 + objects.size_dispersion**2)
    section = objects.diameter if ndim == 2 else np.pi / 4 * mean_square
    if objects.number_density > 0:
        raise InputError(
            "fibres that run right through have a length per volume, not a number; give volume_fraction instead of "
            "number_density, or a length."
        )
    # Length per area or volume, and with it the share of the image.
    share = objects.volume_fraction
    density = (-math.log1p(-share) if objects.overlap == "free" else share) / section
    if objects.misorientation_deg <= BUNDLED_DEG:
        return _bundle(recipe, density, rng)
    if objects.overlap != "free":
        raise InputError(
            f"fibres that run right through cannot keep apart at a misorientation of {objects.misorientation_deg:g}°; "
            f"use at most {BUNDLED_DEG:g}°, a length, or overlap 'free'."
        )
    return _crossing(recipe, density, rng)


def _crossing(recipe: MicrostructureRecipe, density: float, rng: np.random.Generator) -> Laid:
    """Straight lines at random places, that lie on one another."""
    ndim, shape = len(recipe.shape), recipe.shape
    ball = float(np.linalg.norm(shape)) / 2
    # Lines through a disk or ball about the image: so many have the asked length in it.
    count = max(1, round(density * (2 * ball if ndim == 2 else np.pi * ball**2)))
    axes = frames(fibre_directions(recipe, count, rng))
    away = ball * rng.uniform(-1, 1, (count, 1)) * axes[:, 1]
    if ndim == 3:
        angle = rng.uniform(0, 2 * np.pi, (count, 1))
        away = ball * np.sqrt(rng.random((count, 1))) * (np.cos(angle) * axes[:, 1] + np.sin(angle) * axes[:, 2])
    middle = np.array((0.0,) * (3 - ndim) + tuple((n - 1) / 2 for n in shape))
    path = np.stack([middle + away - 1.1 * ball * axes[:, 0], middle + away + 1.1 * ball * axes[:, 0]])
    return _draw(recipe, path, diameters(recipe.objects, count, rng) / 2, middle + away)


def _bundle(recipe: MicrostructureRecipe, density: float, rng: np.random.Generator) -> Laid:
    """Fibres side by side; where their directions differ they bend around each other."""
    objects, ndim, shape = recipe.objects, len(recipe.shape), recipe.shape
    main = common_direction(math.radians(objects.direction_deg), math.radians(objects.tilt_deg))
    frame = frames(main[None])[0]
    size = np.array((0, *shape) if ndim == 2 else shape, dtype=np.float64)
    middle = np.maximum(size - 1, 0) / 2
    # The box that the image fills when looked at along the fibres: length, width and (3D) height.
    extent = np.abs(frame) @ size
    width = np.array([extent[1], 1.0 if ndim == 2 else extent[2]])
    count = max(1, round(density * float(np.prod(width))))
    radius = diameters(objects, count, rng) / 2
    steps = max(1, math.ceil(extent[0] / 2 / (STATION * objects.diameter)))
    stations = np.linspace(-extent[0] / 2 - 2, extent[0] / 2 + 2, 2 * steps + 1)
    slope = np.tan(math.radians(objects.misorientation_deg) * rng.normal(size=(count, 2)).clip(-3, 3))
    across = np.zeros((2 * steps + 1, count, 2))
    across[steps] = rng.uniform(-0.5, 0.5, (count, 2)) * width
    if ndim == 2:
        slope[:, 1] = across[:, :, 1] = 0
    gap = objects.gap if objects.overlap == "none" else 0.0
    free = objects.overlap == "free"
    if not free:
        across[steps] = _apart(across[steps], radius, gap, width, 3000)
    for way in (1, -1):
        for k in range(steps + way, steps + way * (steps + 1), way):
            moved = across[k - way] + slope * (stations[k] - stations[k - way])
            across[k] = moved if free else _apart(moved, radius, gap, width, 300)
    path = stations[:, None, None] * frame[0] + across @ frame[1:] + middle
    # The arrangement repeats sideways, and what leaves the box at one side comes in at the other.
    around = [(a, b) for a in (0, -1, 1) for b in ((0,) if ndim == 2 else (0, -1, 1))]
    path = np.concatenate([path + a * width[0] * frame[1] + b * width[1] * frame[2] for a, b in around], axis=1)
    radius = np.tile(radius, len(around))
    if objects.volume_fraction > 0 and not free:
        start, end = path[:-1].reshape(-1, 3)[:, 3 - ndim :], path[1:].reshape(-1, 3)[:, 3 - ndim :]
        section = 2 * radius if ndim == 2 else np.pi * radius**2
        taken = (length_inside(start, end, shape) * np.tile(section, len(path) - 1)).sum() / math.prod(shape)
        # The image shows a part of the box, in which there are by chance more or fewer fibres.
        radius = radius * np.clip((objects.volume_fraction / max(taken, 1e-9)) ** (1 / (ndim - 1)), 0.85, 1.15)
    return _draw(recipe, path, radius, path[len(path) // 2])


def _apart(across: FloatArray, radius: FloatArray, gap: float, width: FloatArray, rounds: int) -> FloatArray:
    """Positions ``(N, 2)`` moved so that fibres do not overlap; those that cross the edge of the box stay unwrapped."""
    centres = np.column_stack([np.zeros(len(across)), across[:, 1], across[:, 0]])
    size = np.array([1.0, width[1], width[0]])
    before = centres.copy()
    worst, _ = push_apart(centres, radius, gap, size, np.eye(3), rounds)
    # The first station has all the rounds it needs; if those do not do, nothing will.
    if worst > 0.25 * radius.mean() and rounds > 1000:
        section = 2 * radius if width[1] == 1 else np.pi * radius**2
        raise InputError(
            f"fibres that take {section.sum() / np.prod(width):.2f} of the image do not fit in side by side with a gap "
            f"of {gap:g} px; ask for a smaller volume fraction or gap, or for overlap 'free'."
        )
    step = centres - before
    step -= np.rint(step / size) * size
    return np.asarray(across + step[:, [2, 1]])


def _draw(recipe: MicrostructureRecipe, path: FloatArray, radius: FloatArray, centres: FloatArray) -> Laid:
    """Draw fibres along ``path`` (stations, N, 3)."""
    full = (1, *recipe.shape) if len(recipe.shape) == 2 else recipe.shape
    pieces, count = len(path) - 1, path.shape[1]
    start, end = (np.ascontiguousarray(p.transpose(1, 0, 2).reshape(-1, 3)) for p in (path[:-1], path[1:]))
    owner = np.full(full, -1, dtype=np.int32)
    inside, segment = np.full(full, 1e6, dtype=np.float32), np.zeros(full, dtype=np.int32)
    draw_tubes(
        start, end, np.repeat(radius, pieces), np.repeat(np.arange(count), pieces), 2.0, owner, inside, segment
    )  # fmt: skip
    number = owner + np.int32(2)
    return Laid(measure_outlines(inside, number), number, centres, np.ones(count))
