"""Dislocation lines of a prescribed density: bowed, straight, loops or pile-ups, in projection (2D) or in a volume."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.objects.bodies import diameters, random_turns
from napari_anneal.synthesis.objects.laid import Laid
from napari_anneal.synthesis.objects.outline_distance import nothing_near, spread_nearest
from napari_anneal.synthesis.objects.recipe import Objects
from napari_anneal.synthesis.objects.tubes import draw_tubes, length_inside, part_inside
from napari_anneal.synthesis.recipe import MicrostructureRecipe

__all__ = ["LaidLines", "lay_dislocations"]

FloatArray = npt.NDArray[np.float64]
# Shortest length (px) of the straight pieces a curved line is made of.
PIECE = 2.0
# Lines drawn at a time until there are enough of them.
BATCH = 16
# Share of the persistence length over which the curvature itself changes: lines bow instead of jittering.
BOW = 0.25
# px around a line that its strain field is drawn in.
REACH = 6.0


@dataclass(frozen=True, eq=False)
class LaidLines(Laid):
    """Lines in their places, as segments in the order along them.

    ``start`` and ``end`` (S, 3) px, ``line`` (S,) the number of their line, ``along`` (S,) px from its beginning;
    ``segment`` (Z, Y, X) the one nearest to a pixel, meaningful up to ``reach`` px from it.
    """

    start: FloatArray = field(kw_only=True)
    end: FloatArray = field(kw_only=True)
    line: npt.NDArray[np.int64] = field(kw_only=True)
    along: FloatArray = field(kw_only=True)
    segment: npt.NDArray[np.int32] = field(kw_only=True)
    reach: float = field(kw_only=True)


def lay_dislocations(recipe: MicrostructureRecipe, rng: np.random.Generator) -> LaidLines:
    """Lines whose length in the image is the asked density; the last one ends where it is reached, loops stay whole."""
    ndim, shape = len(recipe.shape), recipe.shape
    wanted = recipe.objects.line_density * math.prod(shape)
    paths: list[FloatArray] = []
    total = 0.0
    while total < wanted:
        for path in _some_lines(recipe, rng):
            inside = length_inside(path[:-1, 3 - ndim :], path[1:, 3 - ndim :], shape)
            if inside.sum() < 1.0:
                continue
            if total + inside.sum() >= wanted and recipe.objects.line_shape == "loops":
                if paths and total + inside.sum() - wanted > wanted - total:
                    total = wanted
                    break
            elif total + inside.sum() >= wanted:
                # Shorten it piece by piece from its end.
                path = path[: 2 + int(np.searchsorted(np.cumsum(inside), wanted - total))]
                inside = inside[: len(path) - 1]
            paths.append(path)
            total += float(inside.sum())
            if total >= wanted - 1e-9:
                break
    start, end = np.concatenate([p[:-1] for p in paths]), np.concatenate([p[1:] for p in paths])
    line = np.repeat(np.arange(len(paths)), [len(p) - 1 for p in paths])
    steps = [np.linalg.norm(np.diff(p, axis=0), axis=1) for p in paths]
    along = np.concatenate([np.cumsum(s) - s for s in steps])
    # What lies outside does not show and counts for nothing, the distance included.
    first, last = part_inside(start[:, 3 - ndim :], end[:, 3 - ndim :], shape, recipe.objects.line_width / 2)
    shows = last > first
    first, last, start, end, line = first[shows, None], last[shows, None], start[shows], end[shows], line[shows]
    along = along[shows] + first[:, 0] * np.concatenate(steps)[shows]
    start, end = start + first * (end - start), start + last * (end - start)
    centres = np.array([p[len(p) // 2] for p in paths])
    return _draw(recipe, start, end, line, along, centres)


def _draw(
    recipe: MicrostructureRecipe,
    start: FloatArray,
    end: FloatArray,
    line: npt.NDArray[np.int64],
    along: FloatArray,
    centres: FloatArray,
) -> LaidLines:
    """Distance to the lines, exact near them; the nearest line owns a pixel within half the width."""
    full = (1, *recipe.shape) if len(recipe.shape) == 2 else recipe.shape
    half = recipe.objects.line_width / 2
    reach = half + REACH
    owner, segment = np.full(full, -1, dtype=np.int32), np.zeros(full, dtype=np.int32)
    away = np.full(full, 1e6, dtype=np.float32)
    draw_tubes(start, end, np.zeros(len(start)), line, reach, owner, away, segment)
    square, nearest = nothing_near(full)
    near = np.nonzero(away < reach)
    seen = segment[near]
    step = end[seen] - start[seen]
    offset = np.stack(near, axis=1) - start[seen]
    place = np.clip((offset * step).sum(axis=1) / np.maximum((step**2).sum(axis=1), 1e-12), 0, 1)
    z, y, x = (i + 1 for i in near)
    nearest[:, z, y, x] = (start[seen] + place[:, None] * step).T
    square[z, y, x] = away[near] ** 2
    distance = spread_nearest(square, nearest)
    number = np.where(distance < half, line[segment] + 2, 1).astype(np.int32)
    return LaidLines(
        distance - np.float32(half), number, centres, np.ones(len(centres)), distance=distance, start=start, end=end,
        line=line, along=along, segment=segment, reach=reach,
    )  # fmt: skip


def _some_lines(recipe: MicrostructureRecipe, rng: np.random.Generator) -> list[FloatArray]:
    """Draw some lines ``(K, 3)`` of the recipe's shape, about and in the image."""
    objects, ndim = recipe.objects, len(recipe.shape)
    size = np.array((1, *recipe.shape) if ndim == 2 else recipe.shape, dtype=np.float64)
    through = float(np.linalg.norm(size))
    length = objects.length if objects.length > 0 else 2.0 * through
    if objects.line_shape == "loops":
        return _loops(objects, size, ndim, rng)
    if objects.line_shape == "pile_ups":
        return _pile_up(objects, size, ndim, rng)
    # Lines that begin outside reach into the image as far as others reach out of it.
    margin = min(length, through) / 2
    centre = rng.uniform(-0.5 - margin * (size > 1), size - 0.5 + margin * (size > 1), (BATCH, 3)) * (size > 1)
    if objects.line_shape == "straight":
        # Cut into pieces, so that the last one can end where the density is reached.
        place = np.linspace(-0.5, 0.5, max(2, math.ceil(length / PIECE) + 1)) * length
        turn = random_turns(objects, BATCH, ndim, rng)[:, 0]
        return list(centre[:, None] + place[None, :, None] * turn[:, None])
    return list(_bowed(centre, length, objects.persistence, ndim, rng))


def _bowed(centre: FloatArray, length: float, persistence: float, ndim: int, rng: np.random.Generator) -> FloatArray:
    """Curves ``(N, K, 3)`` through given centres whose direction is forgotten as exp(−s / persistence).

    Their curvature is an Ornstein-Uhlenbeck process, so that they bow smoothly; over long stretches they are the
    wormlike chains of Kratky and Porod (1949).
    """
    # A piece turns by about 0.1 rad, so it leaves the curve by less than 0.1 px.
    piece = min(max(PIECE, persistence / 20), 6.0)
    count, half = len(centre), max(2, math.ceil(length / piece / 2))
    memory = math.exp(-piece / (BOW * persistence))
    strength = math.sqrt((1.0 if ndim == 2 else 0.5) / (BOW * persistence**2))
    flat = np.array([0.0, 1.0, 1.0]) if ndim == 2 else np.ones(3)
    heading = rng.normal(size=(count, 3)) * flat
    heading /= np.linalg.norm(heading, axis=1, keepdims=True)
    bow = strength * _across(rng.normal(size=(count, 3)) * flat, heading)
    arms = []
    for sign in (1.0, -1.0):
        # Seen from the other end the curvature vector is the same and the direction the opposite.
        at, direction, curving = centre, sign * heading, bow
        points = []
        for kick in rng.normal(size=(half, count, 3)):
            at = at + piece * direction
            points.append(at)
            before = direction
            direction = before + piece * curving
            direction = direction / np.linalg.norm(direction, axis=1, keepdims=True)
            # Carried along without twist, the curvature stays across the line and keeps to its side.
            share = (curving * direction).sum(axis=1) / (1 + (before * direction).sum(axis=1))
            curving = curving - share[:, None] * (before + direction)
            curving = memory * curving + math.sqrt(1 - memory**2) * strength * _across(kick * flat, direction)
        arms.append(np.stack(points, axis=1))
    return np.concatenate([arms[1][:, ::-1], centre[:, None], arms[0]], axis=1)


def _across(vectors: FloatArray, direction: FloatArray) -> FloatArray:
    """Part of each vector that is perpendicular to a unit vector."""
    return np.asarray(vectors - (vectors * direction).sum(axis=1, keepdims=True) * direction)


def _loops(objects: Objects, size: FloatArray, ndim: int, rng: np.random.Generator) -> list[FloatArray]:
    """Closed ellipses: prismatic loops seen at an angle."""
    loops = []
    turn = random_turns(objects, BATCH, ndim, rng)
    for k, diameter in enumerate(diameters(objects, BATCH, rng)):
        stretch = max(1.0, objects.elongation * (1 + objects.elongation_spread * rng.normal()))
        angle = np.linspace(0, 2 * np.pi, max(12, math.ceil(np.pi * diameter / PIECE)) + 1)
        ring = np.stack([np.cos(angle) * np.sqrt(stretch), np.sin(angle) / np.sqrt(stretch)], axis=1) * diameter / 2
        margin = diameter / 2 * np.sqrt(stretch)
        centre = rng.uniform(-0.5 - margin, size - 0.5 + margin) * (size > 1)
        loops.append(centre + ring @ turn[k, :2])
    return loops


def _pile_up(objects: Objects, size: FloatArray, ndim: int, rng: np.random.Generator) -> list[FloatArray]:
    """Short lines along the common direction, side by side, ever closer towards the obstacle at the head.

    The distance from the head grows with the square of the number, as near the head of the pile-up of Eshelby, Frank
    and Nabarro (1951).
    """
    length = objects.length if objects.length > 0 else 0.25 * float(size[1:].min())
    turn = random_turns(objects, 1, ndim, rng)[0]
    count = int(rng.integers(6, 15))
    head = rng.uniform(-0.5, size - 0.5) * (size > 1)
    forward = turn[1] * rng.choice([-1.0, 1.0])
    # The leading two are told apart: their lines do not run into each other.
    first = objects.line_width * 1.5
    bow = rng.uniform(0.0, 0.12)
    lines = []
    for k in range(count):
        own = length * rng.uniform(0.8, 1.1)
        t = np.linspace(-0.5, 0.5, max(3, math.ceil(own / PIECE) + 1))
        back = first * (k + 0.28 * k * (k - 1))
        lines.append(head + own * t[:, None] * turn[0] - (back + bow * own * (4 * t[:, None] ** 2 - 1)) * forward)
    return lines
