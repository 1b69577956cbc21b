"""Particles, pores, nanoparticles and fibres cut across: bodies of given shapes, placed with overlaps as asked.

The image is one period of a periodic arrangement, so sizes add up exactly: with a volume fraction asked for, all
diameters are scaled by the one factor (near 1) that makes the sum of the bodies that share of the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.synthesis.geometry.seeds import clustered, hard_core, relax, uniform
from napari_anneal.synthesis.objects.bodies import Bodies, make_bodies, mean_body_size
from napari_anneal.synthesis.objects.laid import Laid
from napari_anneal.synthesis.objects.outline_distance import measure_outlines
from napari_anneal.synthesis.objects.outlines import draw_bodies
from napari_anneal.synthesis.objects.packing import add_one_by_one, push_apart
from napari_anneal.synthesis.objects.recipe import Objects
from napari_anneal.synthesis.recipe import MicrostructureRecipe

__all__ = ["LaidBodies", "lay_bodies", "object_count"]

FloatArray = npt.NDArray[np.float64]
FloatImage = npt.NDArray[np.float32]
# Beyond this share (gaps included) adding one by one gets slow (it ends near 0.547 for disks, 0.38 for balls).
SEQUENTIAL_SHARE = {2: 0.42, 3: 0.25}
TRIES, ROUNDS = 20_000, 3_000


@dataclass(frozen=True, eq=False)
class LaidBodies(Laid):
    """Bodies in their places: object k is a copy of body ``body[k]``."""

    bodies: Bodies = field(kw_only=True)
    body: npt.NDArray[np.int64] = field(kw_only=True)


def object_count(recipe: MicrostructureRecipe, mean_size: float) -> int:
    """Return how many objects of that mean size (px² or px³) give the asked number density or volume fraction."""
    objects, size = recipe.objects, math.prod(recipe.shape)
    if recipe.points is not None:
        return len(recipe.points)
    if objects.number_density > 0:
        return max(1, round(objects.number_density * size))
    share = objects.volume_fraction
    if objects.overlap == "free":
        # Boolean model: what n bodies leave free is exp(−n E[A] / S) (Matheron 1975).
        share = -math.log1p(-share)
    return max(1, round(share * size / mean_size))


def lay_bodies(recipe: MicrostructureRecipe, rng: np.random.Generator, bodies: Bodies | None = None) -> LaidBodies:
    """Find places for bodies (drawn by the recipe unless given) and draw them there.

    A body cut by an edge goes on at the opposite one as an object of its own.

    Raises
    ------
    InputError
        So many of them do not fit without overlap (says how much would).
    """
    objects, ndim = recipe.objects, len(recipe.shape)
    if recipe.points is not None and objects.number_density > 0:
        raise InputError(
            "number_density and given points both say how many objects there are; set number_density to 0."
        )
    if bodies is None:
        bodies = make_bodies(objects, object_count(recipe, mean_body_size(objects, ndim)), ndim, rng)
    if objects.number_density == 0:
        bodies = bodies.scaled(_factor(recipe, bodies))
    full = (1, *recipe.shape) if ndim == 2 else recipe.shape
    body, centres = _copies(_places(recipe, bodies, rng), bodies.reach, full)
    owner = np.full(full, -1, dtype=np.int32)
    inside = np.full(full, 1e6, dtype=np.float32)
    draw_bodies(
        body, centres, bodies.turn, bodies.axes, bodies.reach, bodies.exponent, bodies.facets, bodies.dents,
        bodies.depth, owner, inside,
    )  # fmt: skip
    number = owner + np.int32(2)
    return LaidBodies(measure_outlines(inside, number), number, centres, np.ones(len(body)), bodies=bodies, body=body)


def _factor(recipe: MicrostructureRecipe, bodies: Bodies) -> float:
    """Return the factor on all diameters that makes the volume fraction what was asked for."""
    size, wanted = math.prod(recipe.shape), recipe.objects.volume_fraction
    if recipe.objects.overlap != "free":
        return float((wanted * size / bodies.sizes.sum()) ** (1 / bodies.ndim))
    low, high = 0.05, 20.0
    for _ in range(60):
        middle = math.sqrt(low * high)
        # Bodies laid down independently leave free Π (1 − A/S) of the image on average.
        each = np.minimum(bodies.sizes * middle**bodies.ndim / size, 1 - 1e-12)
        low, high = (middle, high) if -math.expm1(np.log1p(-each).sum()) < wanted else (low, middle)
    return low


def _places(recipe: MicrostructureRecipe, bodies: Bodies, rng: np.random.Generator) -> FloatArray:
    """Centres ``(N, 3)`` that overlap as asked."""
    objects, ndim, shape = recipe.objects, bodies.ndim, recipe.shape
    count = len(bodies.diameter)
    if recipe.points is not None:
        return _given(recipe, bodies)
    if objects.overlap == "free":
        return _padded(relax(_scatter(recipe, count, rng), shape, recipe.lloyd_rounds))
    gap = objects.gap if objects.overlap == "none" else 0.0
    # Gaps count as if they belonged to the bodies.
    share = float((bodies.sizes * (1 + gap / bodies.diameter) ** ndim).sum() / math.prod(shape))
    # Sections of fibres are all of about the same shape; whole ones are not.
    alike = bodies.exponent == 2 if objects.form == "fibres" else _alike(objects)
    regular = recipe.placement == "blue_noise" or recipe.lloyd_rounds > 0
    if alike and (share > SEQUENTIAL_SHARE[ndim] or regular):
        return _pushed(recipe, bodies, gap, rng)
    return _added(recipe, bodies, rng)


def _alike(objects: Objects) -> bool:
    """Whether one stretch of space makes disks or balls of all bodies."""
    round_ones = objects.exponent == 2 and objects.facets == 0 and objects.irregularity <= 0.1
    aligned = objects.direction_spread_deg == 0 and objects.elongation_spread == 0
    return round_ones and (objects.elongation == 1 or aligned)


def _scatter(recipe: MicrostructureRecipe, count: int, rng: np.random.Generator) -> FloatArray:
    """Places ``(count, ndim)`` by the recipe's placement, without regard to sizes."""
    if recipe.placement == "clustered":
        return clustered(recipe.shape, count, recipe.cluster_size, recipe.cluster_radius, rng)
    if recipe.placement == "blue_noise":
        spacing = (math.prod(recipe.shape) / count) ** (1 / len(recipe.shape))
        return hard_core(recipe.shape, count, 0.95 * spacing, rng)
    return uniform(recipe.shape, count, rng)


def _given(recipe: MicrostructureRecipe, bodies: Bodies) -> FloatArray:
    """Check that bodies at the given points keep apart where that is asked for."""
    points = _padded(np.array(recipe.points, dtype=np.float64))
    if recipe.objects.overlap == "none":
        placed, _ = _one_by_one(recipe, bodies, points, np.arange(len(points)), 1)
        if placed < len(points):
            raise InputError(
                f"the object at point {placed} would overlap another, or come nearer than the gap of "
                f"{recipe.objects.gap:g} px; move points apart, lower volume_fraction, or use overlap 'free'."
            )
    return points


def _added(recipe: MicrostructureRecipe, bodies: Bodies, rng: np.random.Generator) -> FloatArray:
    """Random sequential addition, large bodies first."""
    order = np.argsort(-bodies.diameter, kind="stable")
    proposals = _padded(_scatter(recipe, 20 * len(order) + 5000, rng))
    placed, found = _one_by_one(recipe, bodies, proposals, order, TRIES)
    if placed < len(order):
        raise _too_dense(recipe, bodies, bodies.sizes[order][:placed].sum() / math.prod(recipe.shape))
    centres = np.empty_like(found)
    centres[order] = found
    return centres


def _one_by_one(
    recipe: MicrostructureRecipe, bodies: Bodies, proposals: FloatArray, order: npt.NDArray[np.int64], tries: int
) -> tuple[int, FloatArray]:
    """Place bodies in an order at the first of the proposals where they fit; how many did, and where they are."""
    objects = recipe.objects
    touch = objects.overlap == "touching"
    gap = objects.gap if objects.overlap == "none" else 0.0
    outline = bodies.outline(1.5)
    core = np.sqrt((outline**2).sum(axis=2)).min(axis=1) * 0.98
    far = bodies.diameter.mean() if touch else gap + 1.5
    away = np.full((1, *recipe.shape) if bodies.ndim == 2 else recipe.shape, far, dtype=np.float32)
    found = np.zeros((len(order), 3))
    placed = add_one_by_one(
        proposals, outline[order], core[order], bodies.turn[order], bodies.axes[order], bodies.reach[order],
        bodies.exponent, bodies.facets[order], bodies.dents[order], bodies.depth, gap, touch, tries, away, found,
    )  # fmt: skip
    return placed, found


def _pushed(recipe: MicrostructureRecipe, bodies: Bodies, gap: float, rng: np.random.Generator) -> FloatArray:
    """Disks or balls (or ellipses all alike) that push each other apart."""
    objects, ndim, shape = recipe.objects, bodies.ndim, recipe.shape
    full = np.array((1, *shape) if ndim == 2 else shape, dtype=np.float64)
    radius = bodies.diameter / 2
    if recipe.placement == "random":
        spacing = (math.prod(shape) / len(radius)) ** (1 / ndim)
        start = hard_core(shape, len(radius), min(bodies.diameter.mean() + gap, 0.7 * spacing), rng)
    else:
        start = _scatter(recipe, len(radius), rng)
    centres = _padded(relax(start, shape, recipe.lloyd_rounds))
    along = math.radians(objects.direction_deg)
    turn = np.array([[0, math.sin(along), math.cos(along)], [0, math.cos(along), -math.sin(along)], [-1.0, 0, 0]])
    # What makes the typical one round makes all round, or nearly (fibres differ a little in their tilt).
    squeeze = turn.T @ np.diag(1 / np.median(bodies.axes / radius[:, None], axis=0)) @ turn
    # Dents and the outlines' half pixels are taken off the gap, so what is asked for is kept all but exactly.
    worst, _ = push_apart(centres, radius * (1 + objects.irregularity / 2), gap, full, squeeze, ROUNDS)
    if worst > 0.2:
        shrunk = 1 - worst / float(bodies.diameter.mean())
        raise _too_dense(recipe, bodies, shrunk**ndim * bodies.sizes.sum() / math.prod(shape))
    return centres


def _too_dense(recipe: MicrostructureRecipe, bodies: Bodies, reached: float) -> InputError:
    asked = bodies.sizes.sum() / math.prod(recipe.shape)
    return InputError(
        f"{len(bodies.diameter)} objects that take {asked:.2f} of the image do not fit in without overlap: about "
        f"{reached:.2f} can be reached with these shapes and a gap of {recipe.objects.gap:g} px; ask for less, for "
        "overlap 'free', or for form 'precipitates', which grow until they meet."
    )


def _copies(centres: FloatArray, reach: FloatArray, full: tuple[int, ...]) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Every body, and again where it comes in at the opposite edge: body numbers and centres, in drawing order."""
    body, places = np.arange(len(centres)), centres
    for axis, n in enumerate(full):
        if n == 1:
            continue
        parts, numbers = [places], [body]
        for turn in (-n, n):
            moved = places[:, axis] + turn
            seen = (moved + reach[body] > -0.5) & (moved - reach[body] < n - 0.5)
            again = places[seen].copy()
            again[:, axis] += turn
            parts.append(again)
            numbers.append(body[seen])
        body, places = np.concatenate(numbers), np.concatenate(parts)
    order = np.argsort(body, kind="stable")
    return body[order], places[order]


def _padded(points: FloatArray) -> FloatArray:
    """Points ``(N, ndim)`` as ``(N, 3)`` with Z = 0 for 2D."""
    padded = np.zeros((len(points), 3))
    padded[:, 3 - points.shape[1] :] = points
    return padded
