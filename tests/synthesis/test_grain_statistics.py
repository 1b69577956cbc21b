"""Statistics of label maps against scikit-image, brute force, exact tilings and the literature."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import perimeter_crofton, regionprops

from napari_anneal.errors import InputError
from napari_anneal.synthesis import grain_statistics
from napari_anneal.synthesis.geometry.cells import find_cells
from napari_anneal.synthesis.geometry.seeds import uniform
from napari_anneal.synthesis.geometry.tessellation import tessellate

LABEL_MAPS = hnp.arrays(
    np.int32, hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=7), elements=st.integers(0, 6)
)


def brute_force_pairs(labels):
    """Number of pixel faces that each pair of grains has in common."""
    faces = {}
    for axis in range(labels.ndim):
        a, b = np.moveaxis(labels, axis, 0)[:-1].ravel(), np.moveaxis(labels, axis, 0)[1:].ravel()
        for i, j in zip(a.tolist(), b.tolist(), strict=True):
            if i != j and i and j:
                faces[min(i, j), max(i, j)] = faces.get((min(i, j), max(i, j)), 0) + 1
    return faces


def windows(labels, reach):
    """Place and pixels of every window."""
    for place in product(*[range(n - r) for n, r in zip(labels.shape, reach, strict=True)]):
        part = labels[tuple(slice(p, p + r + 1) for p, r in zip(place, reach, strict=True))]
        yield place, part


def grains_in(part):
    return frozenset(part.ravel().tolist()) - {0}


@settings(max_examples=150)
@given(labels=LABEL_MAPS, step=st.sampled_from([None, 0.5, 3.0]))
def test_sizes_shapes_and_neighbours_equal_brute_force(labels, step):
    spacing = None if step is None else (step, 1.0, 2.0)[: labels.ndim]
    s = grain_statistics(labels, spacing)
    scale = np.ones(labels.ndim) if spacing is None else np.array(spacing)
    assert s.ids.tolist() == sorted(set(labels.ravel().tolist()) - {0})
    pairs = brute_force_pairs(labels)
    assert [tuple(p) for p in s.pairs.tolist()] == sorted(pairs)
    assert (s.contact > 0).all()
    for k, label in enumerate(s.ids):
        where = np.argwhere(labels == label)
        real = where * scale
        assert s.pixels[k] == len(where)
        assert s.size[k] == pytest.approx(len(where) * scale.prod())
        np.testing.assert_allclose(s.centroid[k], real.mean(axis=0), atol=1e-9)
        covariance = np.cov(real.T, bias=True) + np.diag(scale**2) / 12
        lengths = np.sqrt(np.linalg.eigvalsh(covariance)[::-1]) * (4 if labels.ndim == 2 else 2 * np.sqrt(5))
        np.testing.assert_allclose(s.axes[k], lengths, atol=1e-7)
        edge = ((where == 0) | (where == np.array(labels.shape) - 1)).any()
        assert s.on_border[k] == edge
        assert (s.weight[k] == 0) == edge
        assert s.neighbours[k] == sum(label in pair for pair in pairs)


@settings(max_examples=150)
@given(labels=LABEL_MAPS)
def test_junctions_equal_brute_force(labels):
    s = grain_statistics(labels)
    if labels.ndim == 2:
        found = dict(zip(map(tuple, (s.junctions - 0.5).astype(int).tolist()), s.junction_order, strict=True))
        assert found == {p: len(grains_in(w)) for p, w in windows(labels, (1, 1)) if len(grains_in(w)) >= 3}
        return
    across = [tuple(int(a != axis) for a in range(3)) for axis in range(3)]
    steps = sum(len(grains_in(w)) >= 3 for reach in across for _, w in windows(labels, reach))
    assert s.triple_line_length == pytest.approx(steps * 2 / 3)
    # A window that repeats itself along an axis lies on a line.
    points = [
        grains_in(w)
        for _, w in windows(labels, (1, 1, 1))
        if all((w.take(0, axis) != w.take(1, axis)).any() for axis in range(3))
    ]
    fours = {met for met in points if len(met) == 4}
    more = {met for met in points if len(met) > 4 and not any(four <= met for four in fours)}
    assert sorted(s.junction_order) == sorted(len(met) for met in fours | more)


@pytest.mark.parametrize("shape", [(60, 70), (22, 24, 26)])
def test_sizes_and_boxes_equal_scikit_image(shape):
    labels = tessellate(find_cells(uniform(shape, 30, np.random.default_rng(0))), shape, with_distance=False)[0] + 1
    s = grain_statistics(labels)
    props = regionprops(labels)
    assert s.ids.tolist() == [p.label for p in props]
    np.testing.assert_array_equal(s.pixels, [p.area for p in props])
    np.testing.assert_allclose(s.centroid, [p.centroid for p in props])
    np.testing.assert_allclose(s.diameter, [p.equivalent_diameter_area for p in props])
    # scikit-image takes pixels for points; a square has a variance of 1/12 more along each axis.
    square = 16 / 12 if len(shape) == 2 else 20 / 12
    np.testing.assert_allclose(s.axes[:, 0], np.sqrt([p.axis_major_length**2 + square for p in props]), rtol=1e-6)


def bricks(rows, columns, height=4, width=6):
    """Wall of bricks, each row shifted by half a brick: every whole brick has six neighbours."""
    y, x = np.mgrid[: rows * height, : columns * width]
    row = y // height
    column = (x + (row % 2) * width // 2) // width
    return (row * (columns + 1) + column + 1).astype(np.int32)


def test_a_wall_of_bricks_has_six_neighbours_and_two_triple_junctions_a_cell():
    s = grain_statistics(bricks(12, 10))
    whole = ~s.on_border
    assert (s.neighbours[whole] == 6).all()
    assert (s.junction_order == 3).all()
    # Between 12 rows lie 11 courses, each met by a brick end every half width except at the two ends.
    assert len(s.junctions) == 11 * (2 * 10 - 1)
    assert s.summary()["mean_size"] == pytest.approx(24)
    assert s.summary()["size_cv"] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(s.aspect_ratio[whole], 1.5)
    np.testing.assert_allclose(np.abs(s.orientation_deg[whole]), 0, atol=1e-9)


def test_hexagons_have_six_neighbours_of_equal_contact():
    side = 24.0
    rows = np.arange(0, 240, side * np.sqrt(3) / 2)
    seeds = np.array([(y, x + (k % 2) * side / 2) for k, y in enumerate(rows) for x in np.arange(0, 240, side)]) + 0.123
    seeds = seeds[(seeds < 239).all(axis=1)]
    labels = tessellate(find_cells(seeds), (240, 240), with_distance=False)[0] + 1
    s = grain_statistics(labels)
    inside = ((s.centroid > 2 * side) & (s.centroid < 240 - 2 * side)).all(axis=1)
    assert inside.sum() > 20
    assert (s.neighbours[inside] == 6).all()
    within = np.isin(s.pairs, s.ids[inside]).all(axis=1)
    assert s.contact[within] == pytest.approx(side / np.sqrt(3), rel=0.12)
    assert s.contact[within].mean() == pytest.approx(side / np.sqrt(3), rel=0.03)
    assert s.aspect_ratio[inside] == pytest.approx(1, abs=0.06)
    middle = ((s.junctions > 2 * side) & (s.junctions < 240 - 2 * side)).all(axis=1)
    assert (s.junction_order[middle] == 3).all()


def test_squares_meet_in_fours_and_cubes_in_eights():
    y, x = np.mgrid[:40, :50] // 10
    s = grain_statistics(y * 5 + x + 1)
    assert len(s.junctions) == 3 * 4
    assert (s.junction_order == 4).all()
    assert (s.neighbours[~s.on_border] == 4).all()
    # Four directions see a line along an axis 5 % short, and the diagonal ones lose half a pixel at either corner.
    assert s.contact == pytest.approx(10, rel=0.12)
    z, y, x = np.mgrid[:24, :24, :24] // 8
    s = grain_statistics(z * 9 + y * 3 + x + 1)
    assert len(s.junctions) == 8
    assert (s.junction_order == 8).all()
    assert s.neighbours[~s.on_border].tolist() == [6]
    assert s.triple_line_length == pytest.approx(3 * 4 * 24 * 2 / 3)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (2.0, 1.0), (0.4, 0.4)])
def test_contact_of_a_disk_is_its_circumference(spacing):
    y, x = np.mgrid[:160, :160] - 79.7
    radius = 55.0 * min(spacing)
    labels = ((y * spacing[0]) ** 2 + (x * spacing[1]) ** 2 < radius**2).astype(int) + 1
    s = grain_statistics(labels, spacing)
    assert s.contact[0] == pytest.approx(2 * np.pi * radius, rel=0.02)
    if spacing == (1.0, 1.0):
        assert s.contact[0] == pytest.approx(perimeter_crofton(labels == 2, 4), rel=0.005)


@pytest.mark.parametrize("direction", [(0, 0, 1), (0, 1, 1), (1, 1, 1), (3, -1, 5)])
def test_contact_of_a_plane_through_a_ball_is_the_area_of_its_section(direction):
    at = np.stack(np.mgrid[:80, :80, :80], axis=-1) - 39.5
    labels = np.where((at**2).sum(axis=-1) < 36**2, (at @ np.array(direction) > 0.01) + 1, 0)
    # One plane of one direction is the worst case; over all directions the mean is right.
    assert grain_statistics(labels).contact[0] == pytest.approx(np.pi * 36**2, rel=0.11)


@pytest.mark.parametrize("angle", [-70, -20, 0, 35, 80])
def test_an_ellipse_has_its_own_axes_and_direction(angle):
    y, x = np.mgrid[:120, :120] - 59.3
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    found = grain_statistics((((x * c + y * s) / 45) ** 2 + ((y * c - x * s) / 15) ** 2 <= 1).astype(np.uint8))
    np.testing.assert_allclose(found.axes[0], [90, 30], rtol=0.01)
    assert found.orientation_deg[0] == pytest.approx(angle, abs=0.5)
    assert found.aspect_ratio[0] == pytest.approx(3, rel=0.01)


def test_sparse_labels_keep_their_numbers_and_zero_is_no_grain():
    labels = np.zeros((6, 9), np.int64)
    labels[:, 1:4] = 7_000_000_000
    labels[:, 4:7] = 12
    s = grain_statistics(labels)
    assert s.ids.tolist() == [12, 7_000_000_000]
    assert s.pairs.tolist() == [[12, 7_000_000_000]]
    assert s.table()["id"].tolist() == s.ids.tolist()
    assert len({len(column) for column in s.table().values()}) == 1


def test_nothing_labelled_gives_empty_tables_and_no_averages():
    s = grain_statistics(np.zeros((5, 5), int))
    assert len(s.ids) == len(s.pairs) == len(s.junctions) == 0
    assert np.isnan(s.summary()["mean_size"])


@pytest.mark.parametrize(
    ("labels", "spacing", "says"),
    [
        (np.zeros((4, 4)), None, "whole numbers"),
        (np.zeros(4, int), None, "whole numbers"),
        (np.full((4, 4), -1), None, "negative"),
        (np.zeros((4, 4), int), (1.0,), "spacing"),
        (np.zeros((4, 4), int), (1.0, -2.0), "spacing"),
    ],
)
def test_what_is_no_label_map_gets_one_sentence(labels, spacing, says):
    with pytest.raises(InputError, match=says):
        grain_statistics(labels, spacing)


def crop_of_poisson_voronoi(shape, diameter, seed):
    """Labels cut out of a larger field, so that nothing at the edge differs from the middle."""
    ndim, margin = len(shape), int(2.5 * diameter)
    whole = tuple(n + 2 * margin for n in shape)
    cell = np.pi / 4 * diameter**2 if ndim == 2 else np.pi / 6 * diameter**3
    seeds = uniform(whole, int(np.prod([float(n) for n in whole]) / cell), np.random.default_rng(seed))
    return tessellate(find_cells(seeds), shape, origin=(margin,) * ndim, with_distance=False)[0] + 1, cell


def test_pixels_of_poisson_voronoi_cells_agree_with_the_literature():
    # 6 neighbours (Euler), area variance 0.280 (Gilbert 1962), boundary 2√ρ and 2ρ junctions an area (Meijering 1953).
    labels, cell = crop_of_poisson_voronoi((2500, 2500), 30, 1)
    found = grain_statistics(labels).summary()
    assert found["whole_grains"] > 8000
    assert found["mean_neighbours"] == pytest.approx(6, abs=0.06)
    assert found["mean_size"] == pytest.approx(cell, rel=0.015)
    assert found["size_cv"] ** 2 == pytest.approx(0.280, abs=0.015)
    assert found["contact_total"] == pytest.approx(2 * cell**-0.5 * labels.size, rel=0.015)
    assert found["junctions"] == pytest.approx(2 / cell * labels.size, rel=0.015)


def test_voxels_of_poisson_voronoi_cells_agree_with_the_literature():
    # 15.54 faces, volume variance 0.179, 2.910 ρ^⅓ of area, 5.832 ρ^⅔ of edges, 6.768 ρ vertices (Meijering 1953).
    labels, cell = crop_of_poisson_voronoi((180, 180, 180), 20, 2)
    found, volume = grain_statistics(labels).summary(), labels.size
    assert found["mean_neighbours"] == pytest.approx(15.54, abs=0.4)
    assert found["mean_size"] == pytest.approx(cell, rel=0.04)
    assert found["size_cv"] ** 2 == pytest.approx(0.179, abs=0.025)
    assert found["contact_total"] == pytest.approx(2.910 * cell ** (-1 / 3) * volume, rel=0.05)
    assert found["triple_line_length"] == pytest.approx(5.832 * cell ** (-2 / 3) * volume, rel=0.04)
    assert found["junctions"] == pytest.approx(6.768 / cell * volume, rel=0.07)
