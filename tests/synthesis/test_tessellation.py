"""Cells and distances against brute force over all seeds, and against what is known of random tessellations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import Voronoi

from napari_anneal.synthesis.geometry.cells import find_cells, metric_matrix
from napari_anneal.synthesis.geometry.seeds import uniform
from napari_anneal.synthesis.geometry.tessellation import tessellate


def brute_force(seeds, weights, metric, shape):
    """Power of every pixel to every seed, and the least distance to any bisector with the owner."""
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1).reshape(-1, len(shape))
    offset = grid[:, None, :] - seeds[None]
    power = np.einsum("pni,ij,pnj->pn", offset, metric, offset) - weights
    owner = power.argmin(axis=1)
    normal = 2 * np.linalg.norm((seeds[owner][:, None] - seeds[None]) @ metric, axis=-1)
    with np.errstate(all="ignore"):
        distance = np.where(normal > 0, (power - power.min(axis=1, keepdims=True)) / normal, np.inf).min(axis=1)
    return power, owner, distance


def assert_equals_brute_force(seeds, weights, metric, shape):
    seeds = np.round(seeds, 6)  # what is closer together than that counts as one place
    cells = find_cells(seeds, weights, metric)
    labels, distance = tessellate(cells, shape)
    power, _, expected = brute_force(seeds, np.zeros(len(seeds)) if weights is None else weights, metric, shape)
    ours = power[np.arange(power.shape[0]), labels.ravel()]
    # Ties aside: the owner's power is the least there is, to rounding.
    np.testing.assert_allclose(ours, power.min(axis=1), rtol=0, atol=1e-7)
    assert labels.dtype == np.int32
    assert distance.dtype == np.float32
    np.testing.assert_allclose(distance.ravel(), expected, rtol=1e-5, atol=2e-4)


@settings(max_examples=60)
@given(
    data=st.data(),
    ndim=st.sampled_from([2, 3]),
    count=st.integers(1, 60),
    spread=st.sampled_from([0.0, 1.0, 30.0]),
    aspect=st.sampled_from([1.0, 1.7, 6.0]),
    angle=st.floats(-180, 180),
)
def test_labels_and_distance_equal_brute_force(data, ndim, count, spread, aspect, angle):
    shape = tuple(data.draw(st.integers(1, 40 if ndim == 2 else 13)) for _ in range(ndim))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    seeds = uniform(shape, count, rng)
    weights = spread * rng.random(count) if spread else None
    assert_equals_brute_force(seeds, weights, metric_matrix(ndim, aspect, angle), shape)


@given(
    points=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30),
)
@example(points=[(3, k) for k in range(10)])  # collinear along a row
@example(points=[(k, 3) for k in range(10)])  # collinear across
@example(points=[(k, k) for k in range(10)])
@example(points=[(4, 4)] * 12)  # all in one place
@example(points=[(y, x) for y in range(0, 10, 2) for x in range(0, 10, 2)])  # four equidistant seeds everywhere
def test_degenerate_seeds_equal_brute_force(points):
    assert_equals_brute_force(np.array(points, dtype=float), None, np.eye(2), (10, 11))


def test_weights_that_undo_the_lift_equal_brute_force():
    seeds = np.array([(y, x) for y in range(-6, 7, 3) for x in range(-6, 7, 3)], dtype=float)
    assert_equals_brute_force(seeds, (seeds**2).sum(axis=1), np.eye(2), (5, 6))


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("heavy", [1e9, 1e15])
def test_weights_beyond_what_numbers_can_resolve_still_end(ndim, heavy):
    # Weights so large that their differences are lost: a walk by rounded planes alone could go in circles for ever.
    rng = np.random.default_rng(9)
    seeds = uniform((20,) * ndim, 150, rng)
    weights = heavy + 30 * rng.random(150)
    labels, _ = tessellate(find_cells(seeds, weights), (20,) * ndim)
    power, _, _ = brute_force(seeds, weights, np.eye(ndim), (20,) * ndim)
    ours = power[np.arange(power.shape[0]), labels.ravel()]
    assert (ours - power.min(axis=1)).max() <= 4 * np.spacing(heavy)


def test_seeds_on_a_lattice_in_space_equal_brute_force():
    # Eight cells meet in every corner, which a plane then passes through without cutting anything off.
    lattice = np.stack(np.meshgrid(*[np.arange(0, 9, 2.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    assert_equals_brute_force(lattice, None, np.eye(3), (9, 9, 9))
    cells = find_cells(lattice)
    owner = np.repeat(np.arange(125), np.diff(cells.start))
    apart = np.linalg.norm(lattice[owner] - lattice[cells.neighbour], axis=1)
    # Those across a face are all there; cells that meet in an edge or a corner only may be.
    assert (np.bincount(owner[apart == 2], minlength=125) == (6 - (lattice == 0).sum(1) - (lattice == 8).sum(1))).all()
    assert apart.max() <= 2 * np.sqrt(3)
    shaken = lattice + 1e-6 * np.random.default_rng(10).integers(-3, 4, lattice.shape)
    assert_equals_brute_force(shaken, None, np.eye(3), (9, 9, 9))
    assert_equals_brute_force(np.repeat(lattice, 2, axis=0), np.tile([0.0, 1.0], len(lattice)), np.eye(3), (9, 9, 9))


@given(seed=st.integers(0, 2**32), ndim=st.sampled_from([2, 3]), spread=st.sampled_from([0.0, 4.0, 400.0]))
def test_neighbours_are_mutual_and_share_the_number_of_their_boundary(seed, ndim, spread):
    rng = np.random.default_rng(seed)
    seeds = rng.integers(0, 6, (40, ndim)).astype(float)  # many in one place, on lines and in fours
    cells = find_cells(seeds, spread * rng.random(40))
    owner = np.repeat(np.arange(40), np.diff(cells.start))
    rows = zip(owner, cells.neighbour, cells.pair, cells.planes, strict=True)
    edges = {(i, j): (k, tuple(plane)) for i, j, k, plane in rows}
    assert len(edges) == len(owner)
    for (i, j), (pair, plane) in edges.items():
        assert edges[j, i][0] == pair
        np.testing.assert_allclose(edges[j, i][1], -np.array(plane), atol=1e-12)
    assert sorted(set(cells.pair.tolist())) == list(range(cells.n_pairs))


def test_more_seeds_than_pixels():
    rng = np.random.default_rng(0)
    assert_equals_brute_force(uniform((5, 6), 400, rng), None, np.eye(2), (5, 6))


def test_many_seeds_equal_brute_force_where_seeds_are_culled():
    rng = np.random.default_rng(1)
    weights = 25 * rng.random(900)
    assert_equals_brute_force(uniform((90, 110), 900, rng), weights, metric_matrix(2, 2.5, 20), (90, 110))


def test_one_seed_owns_everything_and_has_no_boundary():
    labels, distance = tessellate(find_cells(np.array([[2.0, 3.0]])), (6, 7))
    assert not labels.any()
    assert np.isinf(distance).all()


@pytest.mark.parametrize("shape", [(64, 80), (16, 24, 20)])
def test_a_window_is_the_same_part_of_the_whole_and_threads_change_nothing(shape):
    cells = find_cells(uniform(shape, 70, np.random.default_rng(2)))
    labels, distance = tessellate(cells, shape)
    origin, size = tuple(n // 4 for n in shape), tuple(n // 2 for n in shape)
    part = tuple(slice(o, o + s) for o, s in zip(origin, size, strict=True))
    window, near = tessellate(cells, size, origin=origin)
    assert (window == labels[part]).all()
    np.testing.assert_allclose(near, distance[part], atol=1e-4)
    again, far = tessellate(cells, shape, workers=3)
    assert again.tobytes() == labels.tobytes()
    assert far.tobytes() == distance.tobytes()


def test_neighbours_are_those_of_scipy_voronoi():
    seeds = uniform((100, 100), 200, np.random.default_rng(3))
    cells = find_cells(seeds)
    ours = {
        (min(i, j), max(i, j))
        for i in range(200)
        for j in cells.neighbour[cells.start[i] : cells.start[i + 1]].tolist()
    }
    theirs = {(min(i, j), max(i, j)) for i, j in Voronoi(seeds).ridge_points.tolist()}
    # On the outer hull SciPy keeps ridges that meet farther out than anything ours has to answer for.
    assert ours <= theirs
    assert len(theirs - ours) <= 3


@pytest.mark.parametrize("ndim", [2, 3])
def test_metric_keeps_area_and_stretches_along_the_direction(ndim):
    metric = metric_matrix(ndim, 4.0, 90.0)
    assert np.linalg.det(metric) == pytest.approx(1)
    y, x = np.eye(ndim)[-2], np.eye(ndim)[-1]
    assert np.sqrt((x @ metric @ x) / (y @ metric @ y)) == pytest.approx(4)


def test_boundary_of_straight_cells_is_where_the_distance_transform_says():
    shape = (120, 130)
    cells = find_cells(uniform(shape, 40, np.random.default_rng(8)))
    labels, distance = tessellate(cells, shape)
    # An independent estimate: distance to the nearest pixel of another cell, which lies about half a pixel beyond.
    other = np.full(shape, np.inf)
    for k in np.unique(labels):
        mine = labels == k
        if not mine.all():
            other[mine] = ndimage.distance_transform_edt(mine)[mine]
    # Beyond the image there are no pixels to measure to.
    margin = (slice(30, -30), slice(30, -30))
    assert np.abs(other[margin] - 0.5 - distance[margin]).max() < 0.75
