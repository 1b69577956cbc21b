"""Networks of boundaries: loose ends are found, close_cells leaves none, and what was erased comes back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.morphology import skeletonize

from napari_anneal.errors import InputError
from napari_anneal.synthesis import MicrostructureRecipe, close_cells, grain_statistics, network_statistics, synthesize

SHAPES = hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=12)

# The pixel in the upper right corner sees one cell, and that at its corner only.
WALLED_IN = np.array([[c == "#" for c in row] for row in ("     ##", "    # #", "#  # # ", "    #  ", "    #  ")])


@st.composite
def rough_masks(draw):
    """Noise, from speckle to blobs; a network at its worst."""
    shape = draw(SHAPES)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    field = ndimage.gaussian_filter(rng.standard_normal(shape), draw(st.sampled_from([0.0, 0.7, 1.5])))
    return field > np.quantile(field, draw(st.sampled_from([0.3, 0.6, 0.8])))


@st.composite
def broken_networks(draw):
    """A network of grains with a share of its pixels erased, 2D or 3D."""
    seed = draw(st.integers(0, 1000))
    shape = draw(st.sampled_from([(40, 50), (14, 16, 18)]))
    recipe = MicrostructureRecipe(shape=shape, n_seeds=12, boundary_width=draw(st.sampled_from([1.0, 1.5, 3.0])))
    mask = synthesize(recipe, seed).boundary
    return mask & (np.random.default_rng(seed).random(shape) > draw(st.sampled_from([0.0, 0.05, 0.2])))


def assert_closed(closed):
    """Every pixel of the lines has two cells around it; cells do not touch; lines end nowhere."""
    lines, labels = closed.boundary, closed.labels
    assert ((labels == 0) == lines).all()
    again, count = ndimage.label(~lines)
    assert count == labels.max()
    # The same cells: each label is one region, and each region has one label.
    assert len(set(zip(again[~lines].tolist(), labels[~lines].tolist(), strict=True))) == count
    box = np.ones((3,) * lines.ndim)
    highest = ndimage.maximum_filter(labels, footprint=box, mode="constant")
    lowest = ndimage.minimum_filter(np.where(lines, np.iinfo(np.int32).max, labels), footprint=box, mode="nearest")
    assert (highest != lowest)[lines].all()
    found = network_statistics(lines)
    assert found.dangling_ends == 0
    assert found.loose_pixels == 0


@settings(max_examples=200)
@given(
    mask=st.one_of(rough_masks(), broken_networks()),
    max_gap=st.sampled_from([0.0, 4.0, 12.0]),
    smallest=st.sampled_from([1, 3, 9]),
)
@example(mask=WALLED_IN, max_gap=0.0, smallest=1)
def test_closing_leaves_no_loose_end_and_closing_again_changes_nothing(mask, max_gap, smallest):
    closed = close_cells(mask, max_gap=max_gap, smallest=smallest)
    assert_closed(closed)
    again = close_cells(closed.boundary, max_gap=max_gap, smallest=smallest)
    assert (again.boundary == closed.boundary).all()
    assert (again.labels == closed.labels).all()
    assert set(np.unique(closed.grains)) == set(range(1, closed.labels.max() + 1))


@settings(max_examples=60)
@given(shape=SHAPES, seed=st.integers(0, 2**32), blur=st.sampled_from([0.0, 1.0]))
def test_closing_a_probability_leaves_no_loose_end(shape, seed, blur):
    probability = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), blur)
    assert_closed(close_cells(probability.astype(np.float32), smallest=2))


@pytest.mark.parametrize("shape", [(200, 220), (40, 44, 48)])
@pytest.mark.parametrize("width", [2.0, 3.0, 5.0])
def test_a_closed_network_is_thinned_and_keeps_its_cells(shape, width):
    m = synthesize(MicrostructureRecipe(shape=shape, n_seeds=25, waviness=1.0, boundary_width=width), 3)
    before, count = ndimage.label(~m.boundary)
    closed = close_cells(m.boundary, smallest=1)
    assert closed.labels.max() == count
    inside = before > 0
    # No pixel changes its cell (numbers may), and all lines lie within the mask.
    assert (closed.labels[inside] > 0).all()
    assert len(set(zip(before[inside].tolist(), closed.labels[inside].tolist(), strict=True))) == count
    assert not (closed.boundary & ~m.boundary).any()
    # … along its middle: as near to the true boundary as a line of pixels can be.
    assert np.median(m.distance[closed.boundary]) < 0.6
    assert_closed(closed)


@pytest.mark.parametrize(
    ("shape", "grains", "width", "share"),
    [((512, 512), 400, 1.5, 0.95), ((512, 512), 400, 3.0, 0.95), ((96, 96, 96), 150, 2.0, 0.95)],
)
def test_a_network_with_a_tenth_of_its_pixels_erased_gets_its_cells_back(shape, grains, width, share):
    m = synthesize(MicrostructureRecipe(shape=shape, n_seeds=grains, waviness=1.0, boundary_width=width), 1)
    broken = m.boundary & (np.random.default_rng(0).random(shape) > 0.1)
    whole, closed = close_cells(m.boundary).grains, close_cells(broken).grains
    assert recovered(whole, closed) >= share
    assert recovered(whole, close_cells(broken, max_gap=0).grains) < recovered(whole, closed)


def test_gaps_of_five_pixels_are_bridged_and_so_are_faint_boundaries():
    m = synthesize(MicrostructureRecipe(shape=(400, 400), n_seeds=200, boundary_width=3.0), 2)
    rng = np.random.default_rng(0)
    hole = ndimage.distance_transform_edt(rng.random(m.boundary.shape) > 0.0055) <= 2
    broken = m.boundary & ~hole
    assert 0.05 < 1 - broken.sum() / m.boundary.sum() < 0.15
    whole = close_cells(m.boundary).grains
    assert recovered(whole, close_cells(broken, max_gap=0).grains) < 0.6
    assert recovered(whole, close_cells(broken).grains) >= 0.95
    # A third of all boundaries far below the threshold, along their whole length.
    faint = (ndimage.maximum_filter(m.grains, 5) % 3 == 0) & m.boundary
    probability = np.where(m.boundary, np.where(faint, 0.35, 0.9), 0.05) + rng.normal(0, 0.02, m.boundary.shape)
    closed = close_cells(np.clip(probability, 0, 1).astype(np.float32))
    assert recovered(whole, close_cells(probability >= 0.5, max_gap=0).grains) < 0.8
    assert recovered(whole, closed.grains) >= 0.95


def recovered(truth, found):
    """Share of the true cells that a found one overlaps with an IoU above one half."""
    n, m = truth.max() + 1, found.max() + 1
    shared = np.bincount(truth.ravel().astype(np.int64) * m + found.ravel(), minlength=n * m).reshape(n, m)
    either = shared.sum(axis=1)[:, None] + shared.sum(axis=0)[None] - shared
    return ((shared / np.maximum(either, 1))[1:].max(axis=1) > 0.5).mean()


def ring_with(spurs):
    mask = np.zeros((60, 60), bool)
    mask[10:50, 10:13] = mask[10:50, 47:50] = mask[10:13, 10:50] = mask[47:50, 10:50] = True
    for part in spurs:
        mask[part] = True
    return mask


@pytest.mark.parametrize(
    ("spurs", "ends"),
    [
        ([], 0),
        ([np.s_[20:22, 10:30]], 1),
        ([np.s_[20:22, 0:10]], 0),  # runs off the image
        ([np.s_[20:22, 3:10]], 1),  # stops short of it
        ([np.s_[20:22, 10:30], np.s_[35:38, 25:50]], 2),
        ([np.s_[30:32, 25:35]], 2),  # hangs on nothing
        ([np.s_[30, 30]], 1),  # a speck
        ([np.s_[9, 20]], 0),  # a rough edge
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_dangling_ends_are_counted(spurs, ends, turned):
    mask = ring_with(spurs)
    found = network_statistics(mask.T if turned else mask)
    assert found.dangling_ends == ends
    assert found.summary()["dangling_ends"] == ends
    closed = close_cells(mask, max_gap=0)
    assert closed.labels.max() == 2
    assert_closed(closed)


def test_networks_of_whole_grains_have_no_dangling_ends_however_thick():
    for seed, width in enumerate([1.0, 2.0, 3.5, 6.0]):
        m = synthesize(MicrostructureRecipe(shape=(300, 300), n_seeds=60, waviness=1.0, boundary_width=width), seed)
        found = network_statistics(m.boundary)
        assert found.dangling_ends == 0
        assert found.line_pixels == pytest.approx(skeletonize(m.boundary).sum(), rel=0.03)
        assert found.boundary_pixels == m.boundary.sum()
    v = synthesize(MicrostructureRecipe(shape=(40, 40, 40), n_seeds=20, boundary_width=2.0), 0)
    assert network_statistics(v.boundary).dangling_ends == 0


def test_a_wall_with_a_free_edge_dangles_and_is_taken_away():
    mask = np.zeros((30, 30, 30), bool)
    mask[:, 15] = True
    whole = network_statistics(mask)
    assert (whole.dangling_ends, whole.cells) == (0, 2)
    mask[10:14, 15:25, 5:20] = True
    found = network_statistics(mask)
    assert found.dangling_ends == 1
    assert found.loose_pixels > 0
    assert close_cells(mask, max_gap=0).labels.max() == 2
    # A hole in the wall joins the two cells; it is bridged where holes of that size may be.
    mask[:, 16:] = False
    mask[8:13, 15, 8:13] = False
    assert network_statistics(mask).cells == 1
    assert close_cells(mask, max_gap=3).labels.max() == 1
    assert close_cells(mask, max_gap=12).labels.max() == 2


def test_grains_of_closed_cells_can_be_measured():
    m = synthesize(MicrostructureRecipe(shape=(300, 300), n_seeds=80), 0)
    found = grain_statistics(close_cells(m.boundary).grains).summary()
    truth = grain_statistics(m.grains).summary()
    assert found["mean_size"] == pytest.approx(truth["mean_size"], rel=0.03)
    assert found["mean_neighbours"] == pytest.approx(truth["mean_neighbours"], abs=0.2)


@pytest.mark.parametrize("value", [False, True])
def test_nothing_or_nothing_but_boundary_is_one_cell(value):
    closed = close_cells(np.full((9, 9), value))
    assert (closed.labels == 1).all()
    assert (closed.grains == 1).all()
    found = network_statistics(np.full((9, 9), value))
    assert found.cells == (0 if value else 1)


@pytest.mark.parametrize(
    ("given_", "settings_", "says"),
    [
        (np.zeros(5, bool), {}, "boundary mask or probability"),
        (np.full((4, 4), 1.5), {}, "0 … 1"),
        (np.full((4, 4), np.nan), {}, "NaN"),
        (np.zeros((4, 4)), {"threshold": 0}, "threshold"),
        (np.zeros((4, 4), bool), {"max_gap": -1}, "max_gap"),
    ],
)
def test_what_is_no_boundary_gets_one_sentence(given_, settings_, says):
    with pytest.raises(InputError, match=says):
        close_cells(given_, **settings_)
