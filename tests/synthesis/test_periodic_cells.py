"""Periodic cells against brute force over all images of the seeds, and against the literature."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import napari_anneal as na
from napari_anneal.errors import InputError
from napari_anneal.synthesis.appearance.smooth_noise import smooth_noise
from napari_anneal.synthesis.geometry.cells import find_cells, metric_matrix
from napari_anneal.synthesis.geometry.measure import measure_cells
from napari_anneal.synthesis.geometry.seeds import relax, uniform
from napari_anneal.synthesis.geometry.tessellation import tessellate


def brute_force(seeds, weights, metric, shape, periods):
    """Power of every pixel to the nearest image of every seed, and the distance to the nearest bisector."""
    shifts = np.array(list(product(range(-periods, periods + 1), repeat=len(shape)))) * np.array(shape)
    images = (seeds[None] + shifts[:, None]).reshape(-1, len(shape))
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1).reshape(-1, len(shape))
    offset = grid[:, None, :] - images[None]
    power = np.einsum("pni,ij,pnj->pn", offset, metric, offset) - np.tile(weights, len(shifts))
    owner = power.argmin(axis=1)
    normal = 2 * np.linalg.norm((images[owner][:, None] - images[None]) @ metric, axis=-1)
    with np.errstate(all="ignore"):
        distance = np.where(normal > 0, (power - power.min(axis=1, keepdims=True)) / normal, np.inf).min(axis=1)
    return power.reshape(len(grid), len(shifts), len(seeds)).min(axis=1), distance


def assert_equals_brute_force(seeds, weights, metric, shape, periods):
    seeds = np.round(seeds, 6)
    cells = find_cells(seeds, weights, metric, shape)
    labels, distance = tessellate(cells, shape)
    power, expected = brute_force(seeds, np.zeros(len(seeds)) if weights is None else weights, metric, shape, periods)
    ours = power[np.arange(len(power)), cells.grain[labels].ravel()]
    np.testing.assert_allclose(ours, power.min(axis=1), rtol=0, atol=1e-7)
    np.testing.assert_allclose(distance.ravel(), expected, rtol=1e-5, atol=2e-4)
    # The cells, each counted once, fill the image.
    assert cells.n_grains == len(seeds)
    assert measure_cells(cells, shape).size.sum() == pytest.approx(np.prod(shape))


@settings(max_examples=40)
@given(
    data=st.data(),
    ndim=st.sampled_from([2, 3]),
    count=st.integers(1, 25),
    spread=st.sampled_from([0.0, 20.0]),
    aspect=st.sampled_from([1.0, 1.7]),
    angle=st.floats(-180, 180),
)
def test_labels_and_distance_equal_brute_force_over_all_images(data, ndim, count, spread, aspect, angle):
    shape = tuple(data.draw(st.integers(9, 14) if ndim == 2 else st.integers(5, 7)) for _ in range(ndim))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    weights = spread * rng.random(count) if spread else None
    assert_equals_brute_force(uniform(shape, count, rng), weights, metric_matrix(ndim, aspect, angle), shape, 3)


@given(points=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), min_size=1, max_size=12))
@example(points=[(3, k) for k in range(7)])  # collinear
@example(points=[(2, 2)] * 5)  # all in one place
@example(points=[(y, x) for y in range(6) for x in range(7)])  # a seed on every pixel
def test_degenerate_seeds_equal_brute_force_over_all_images(points):
    assert_equals_brute_force(np.array(points, dtype=float), None, np.eye(2), (6, 7), 3)


def test_more_seeds_than_pixels_equal_brute_force_over_all_images():
    rng = np.random.default_rng(0)
    assert_equals_brute_force(uniform((4, 5), 150, rng), rng.random(150), metric_matrix(2, 2.0, 40), (4, 5), 2)


def test_long_grains_in_a_thin_image_meet_copies_many_periods_away():
    seeds = np.array([[0.0, 3.0], [1.0, 20.0]])
    assert_equals_brute_force(seeds, None, metric_matrix(2, 4.0, 80.0), (3, 40), 25)


def test_seeds_on_opposite_sides_are_in_one_place():
    # -0.5 and n - 0.5 are the same: the first of the two owns the cell, whichever side is asked.
    cells = find_cells(np.array([[4.0, -0.5], [4.0, 9.5], [4.0, 4.5]]), period=(8, 10))
    labels, _ = tessellate(cells, (8, 10))
    assert set(np.unique(cells.grain[labels])) == {0, 2}


@pytest.mark.parametrize(
    ("side", "ndim", "count", "variance", "neighbours"),
    [(1000, 2, 150_000, 0.280, 6.0), (200, 3, 100_000, 0.179, 15.54)],
)
def test_poisson_voronoi_cells_are_those_of_the_literature(side, ndim, count, variance, neighbours):
    # Variance of the size in units of its mean 0.280 (2D, Gilbert 1962) and 0.179 (3D); neighbours 6 (Euler) and
    # 2 + 48 π² / 35 = 15.54 (Meijering 1953).
    shape = (side,) * ndim
    cells = find_cells(uniform(shape, count, np.random.default_rng(6)), period=shape)
    size = measure_cells(cells, shape).size * count / side**ndim
    assert size.mean() == pytest.approx(1, abs=1e-9)
    # Sampling error of a variance, from the fourth moment (neighbouring cells hardly correlate); the literature rounds.
    error = np.sqrt((((size - 1) ** 2 - size.var()) ** 2).mean() / count)
    assert error < 0.002
    assert size.var() == pytest.approx(variance, abs=3 * error + 0.0005)
    degree = np.diff(cells.start)[:count]
    if ndim == 2:
        assert degree.mean() == 6  # exactly, on a torus
    else:
        assert degree.mean() == pytest.approx(neighbours, abs=4 * degree.std() / np.sqrt(count) + 0.005)


def test_copies_of_a_boundary_share_its_number():
    cells = find_cells(uniform((60, 70), 40, np.random.default_rng(1)), period=(60, 70))
    owner = np.repeat(np.arange(len(cells.seeds)), np.diff(cells.start))
    proper = cells.start[40]
    # Each of the 3 N boundaries of a plane without edges is met from both sides.
    assert cells.n_pairs == proper // 2 == 120
    assert (np.bincount(cells.pair[:proper]) == 2).all()
    for number in range(0, 120, 7):
        sides = np.flatnonzero(cells.pair[:proper] == number)
        assert set(cells.grain[owner[sides]]) == set(cells.grain[cells.neighbour[sides]])
        np.testing.assert_allclose(cells.planes[sides[0], :3], -cells.planes[sides[1], :3], atol=1e-9)


def test_relaxed_seeds_are_even_across_the_sides():
    shape = (50, 60)
    seeds = relax(uniform(shape, 40, np.random.default_rng(2)), shape, 30, periodic=True)
    assert ((seeds >= -0.5) & (seeds < np.array(shape) - 0.5)).all()
    size = measure_cells(find_cells(seeds, period=shape), shape).size
    assert size.std() / size.mean() < 0.12
    # Moved by any way around, the same seeds come out: no side is special.
    moved = relax(
        (uniform(shape, 40, np.random.default_rng(2)) + [17, 23] + 0.5) % shape - 0.5, shape, 30, periodic=True
    )
    apart = (moved - seeds - [17, 23] + np.array(shape) / 2) % shape - np.array(shape) / 2
    assert np.abs(apart).max() < 1e-3


def test_periodic_noise_goes_on_across_the_sides():
    noise = smooth_noise((1, 48, 60), 7.0, np.random.default_rng(3), periodic=True)[0]
    for axis in range(2):
        step = np.abs(np.diff(noise, axis=axis)).max()
        assert np.abs(np.take(noise, 0, axis) - np.take(noise, -1, axis)).max() <= step


@pytest.mark.parametrize("shape", [(90, 100), (20, 24, 28)])
@pytest.mark.parametrize("change", [{}, {"waviness": 0.9, "smoothing": 1.0}, {"aspect_ratio": 2.0, "lloyd_rounds": 2}])
def test_sides_of_a_periodic_microstructure_continue_each_other(shape, change):
    recipe = na.MicrostructureRecipe(
        shape=shape, n_seeds=30, periodic=True, size_dispersion=0.3, appearance=na.Appearance(rung=2), **change
    )
    m = na.synthesize(recipe, 4)
    for axis in range(len(shape)):
        rows = (np.take(m.grains, 0, axis), np.take(m.grains, -1, axis))
        depths = (np.take(m.distance, 0, axis), np.take(m.distance, -1, axis))
        # Where the two sides belong to one grain it is no deeper by more than a step; else a boundary is in between.
        same = rows[0] == rows[1]
        assert 0.6 < same.mean() < 1
        assert np.abs(depths[0] - depths[1])[same].max() < 1.3
        assert (depths[0] + depths[1])[~same].max() < 1.3
    # The grey level of a grain is the same on either side: its step is no greater than inside.
    inner = np.abs(np.diff(m.image, axis=1))[np.diff(m.grains, axis=1) == 0]
    across = np.abs(np.take(m.image, 0, 1) - np.take(m.image, -1, 1))[
        np.take(m.grains, 0, 1) == np.take(m.grains, -1, 1)
    ]
    assert np.percentile(across, 90) < 3 * np.percentile(inner, 90)


@pytest.mark.parametrize(
    ("change", "named"),
    [({"kind": "objects"}, "objects"), ({"size_cv": 0.3}, "size_cv"), ({"growth": {"method": "potts"}}, "growth")],
)
def test_what_cannot_be_periodic_is_refused(change, named):
    with pytest.raises(InputError, match=f"periodic .* {named}"):
        na.MicrostructureRecipe(shape=(40, 40), n_seeds=9, periodic=True, **change)


def test_too_many_copies_are_refused():
    with pytest.raises(InputError, match="copies"):
        find_cells(np.array([[0.0, 0.0, 5000.0]]), period=(1, 1, 10_000))
