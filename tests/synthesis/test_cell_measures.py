"""Exact sizes, centroids and facets: against SciPy's hulls, finite differences, pixel counts and the literature."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull, HalfspaceIntersection

from napari_anneal.synthesis.geometry.cells import find_cells, metric_matrix
from napari_anneal.synthesis.geometry.measure import measure_cells
from napari_anneal.synthesis.geometry.tessellation import tessellate


def some_cells(seed, shape, count, aspect=1.0, spread=0.0):
    rng = np.random.default_rng(seed)
    seeds = rng.random((count, len(shape))) * np.array(shape) - 0.5
    return find_cells(seeds, rng.random(count) * spread, metric_matrix(len(shape), aspect, 30.0))


@pytest.mark.parametrize(("shape", "count"), [((60, 80), 40), ((14, 18, 20), 30)])
def test_sizes_and_centroids_equal_those_of_scipys_hulls(shape, count):
    cells = some_cells(1, shape, count, 1.7, 20.0)
    found = measure_cells(cells, shape)
    ndim = len(shape)
    walls = [np.eye(ndim)[a] * s for a in range(ndim) for s in (-1, 1)]
    offsets = [(-0.5 if s < 0 else -(n - 0.5)) for n in shape for s in (-1, 1)]
    for i in range(count):
        rows = cells.planes[cells.start[i] : cells.start[i + 1]]
        normals = np.vstack([-rows[:, 3 - ndim : 3], walls])
        half = np.column_stack([normals, np.concatenate([-rows[:, 3], offsets])])
        if found.size[i] == 0:
            continue
        hull = ConvexHull(HalfspaceIntersection(half, found.centroid[i]).intersections)
        assert found.size[i] == pytest.approx(hull.volume, rel=1e-9, abs=1e-9)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    shape=st.sampled_from([(30, 41), (1, 25), (9, 11, 13), (1, 12, 12)]),
    count=st.sampled_from([1, 2, 5, 9, 40, 200]),
    aspect=st.sampled_from([1.0, 3.0]),
    spread=st.sampled_from([0.0, 5.0, 400.0]),
)
def test_cells_fill_the_box_and_facets_are_shared(seed, shape, count, aspect, spread):
    cells = some_cells(seed, shape, count, aspect, spread)
    found = measure_cells(cells, shape)
    assert found.size.sum() == pytest.approx(np.prod(shape), rel=1e-9)
    assert found.size.min() >= 0
    whole = (found.size[:, None] * found.centroid).sum(axis=0) / np.prod(shape)
    np.testing.assert_allclose(whole, (np.array(shape) - 1) / 2, atol=1e-6)
    owner = np.repeat(np.arange(count), np.diff(cells.start))
    sides = {(i, j): f for i, j, f in zip(owner, cells.neighbour, found.facet, strict=True)}
    assert all(sides[j, i] == pytest.approx(f, abs=1e-6) for (i, j), f in sides.items())


def test_sizes_and_centroids_agree_with_the_pixels():
    for shape in ((300, 320), (50, 60, 70)):
        cells = some_cells(3, shape, 20, 2.0, 300.0)
        found = measure_cells(cells, shape)
        labels, _ = tessellate(cells, shape, with_distance=False)
        counts = np.bincount(labels.ravel(), minlength=20)
        np.testing.assert_allclose(counts, found.size, atol=60, rtol=0.01)
        for i in np.flatnonzero(counts > 500):
            np.testing.assert_allclose(np.argwhere(labels == i).mean(axis=0), found.centroid[i], atol=0.2)


def test_the_derivative_of_a_size_is_its_facets_over_the_distances():
    # dV_i / dw_j = −F_ij / (2 ‖M(s_i − s_j)‖): what adjusting weights to sizes builds on.
    for shape in ((40, 50), (12, 14, 16)):
        cells = some_cells(5, shape, 25, 1.8, 10.0)
        found = measure_cells(cells, shape)
        ndim = len(shape)
        for i in range(0, 25, 6):
            step = 1e-4
            heavier = cells.weights + step * (np.arange(25) == i)
            moved = measure_cells(
                find_cells(cells.seeds[:, 3 - ndim :], heavier, cells.metric[3 - ndim :, 3 - ndim :]), shape
            )
            sides = slice(cells.start[i], cells.start[i + 1])
            apart = (cells.seeds[i] - cells.seeds[cells.neighbour[sides]]) @ cells.metric
            slopes = found.facet[sides] / (2 * np.linalg.norm(apart, axis=1))
            assert (moved.size[i] - found.size[i]) / step == pytest.approx(slopes.sum(), rel=2e-3, abs=1e-6)
            for j, slope in zip(cells.neighbour[sides], slopes, strict=True):
                assert (moved.size[j] - found.size[j]) / step == pytest.approx(-slope, rel=2e-2, abs=2e-2)


def test_threads_change_nothing():
    cells = some_cells(6, (40, 40, 40), 300, 1.0, 5.0)
    one, three = (measure_cells(cells, (40, 40, 40), workers=w) for w in (1, 3))
    assert one.size.tobytes() == three.size.tobytes()
    assert one.facet.tobytes() == three.facet.tobytes()


@pytest.mark.parametrize(
    ("shape", "count", "variance"), [((4000, 4000), 40_000, 0.280), ((300, 300, 300), 20_000, 0.179)]
)
def test_poisson_voronoi_cells_have_the_variance_of_the_literature(shape, count, variance):
    # Cells at the box's faces are cut, so only those well inside count.
    cells = some_cells(7, shape, count)
    found = measure_cells(cells, shape)
    margin = 3 * (np.prod(shape) / count) ** (1 / len(shape))
    inside = ((found.centroid > margin) & (found.centroid < np.array(shape) - 1 - margin)).all(axis=1)
    share = found.size[inside] / (np.prod(shape) / count)
    # Standard error of the variance of a few 10⁴ weakly dependent, nearly gamma-distributed sizes: about 1.5 %.
    assert share.var() == pytest.approx(variance, rel=0.05)
