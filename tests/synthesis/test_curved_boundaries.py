"""Bent and smoothed grains: closed, in one piece, and as far from their boundary as they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_anneal.synthesis import Appearance, MicrostructureRecipe, synthesize
from napari_anneal.synthesis.geometry.cells import find_cells, metric_matrix
from napari_anneal.synthesis.geometry.connected import keep_connected
from napari_anneal.synthesis.geometry.curved import curve
from napari_anneal.synthesis.geometry.seeds import uniform
from napari_anneal.synthesis.geometry.tessellation import tessellate

TWO_SEEDS = np.array([[10.3, 40.0], [50.3, 40.0]])


def pieces_of(labels, k):
    return ndimage.label(labels == k)[1]


def assert_closed(labels, distance):
    """Grains are in one piece, and boundaries run exactly where labels change."""
    for k in np.unique(labels):
        assert pieces_of(labels, k) == 1
    differs = np.zeros(labels.shape, bool)
    for axis in range(labels.ndim):
        here, there = np.moveaxis(labels, axis, 0)[:-1], np.moveaxis(labels, axis, 0)[1:]
        near, far = np.moveaxis(distance, axis, 0)[:-1], np.moveaxis(distance, axis, 0)[1:]
        changes = here != there
        # A boundary crosses the line between the two pixels, so it is within a pixel of both together.
        assert (near + far)[changes].max(initial=0) <= 1 + 1e-4
        both = np.moveaxis(differs, axis, 0)
        both[:-1] |= changes
        both[1:] |= changes
    # The other way round: nothing is a boundary where labels do not change nearby (or just outside the image).
    close = ndimage.binary_dilation(differs, np.ones((3,) * labels.ndim), iterations=2)
    for axis in range(labels.ndim):
        edge = np.moveaxis(close, axis, 0)
        edge[:2] = edge[-2:] = True
    assert (distance[~close] >= 0.5).all()
    # So a mask one pixel wide separates all grains: its network has no gap.
    free, count = ndimage.label(distance > 0.5)
    if count:
        low, high = (f(labels, free, np.arange(1, count + 1)) for f in (ndimage.minimum, ndimage.maximum))
        np.testing.assert_array_equal(low, high)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**40),
    shape=st.sampled_from([(64, 72), (40, 90), (1, 50), (16, 24, 28), (20, 12, 18)]),
    n_seeds=st.sampled_from([1, 2, 12, 60]),
    length=st.floats(3.0, 30.0),
    fold=st.sampled_from([0.0, 0.05, 0.199]),
    smoothing=st.sampled_from([0.0, 0.4, 1.0, 2.5]),
    dispersion=st.sampled_from([0.0, 0.7]),
    aspect=st.sampled_from([1.0, 4.0]),
)
def test_grains_stay_closed_however_they_are_curved(seed, shape, n_seeds, length, fold, smoothing, dispersion, aspect):
    if fold == 0 and smoothing == 0:
        fold = 0.1
    plain = MicrostructureRecipe(
        shape=shape, n_seeds=n_seeds, size_dispersion=dispersion, aspect_ratio=aspect, direction_deg=30,
        boundary_width=1.0, appearance=Appearance(rung=1),
    )  # fmt: skip
    bent = {"waviness": fold * length, "waviness_length": length, "smoothing": min(smoothing, plain.grain_diameter / 2)}
    m = synthesize(plain.model_copy(update=bent), seed)
    assert_closed(m.grains, m.distance)
    assert (np.unique(m.grains) == np.arange(1, len(m.seeds) + 1)).all()


@settings(max_examples=60)
@given(data=st.data(), shape=st.sampled_from([(1, 9, 11), (5, 6, 7), (1, 1, 14)]), count=st.integers(1, 9))
def test_repair_leaves_one_piece_a_label_and_the_largest_pieces_alone(data, shape, count):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    before = rng.integers(0, count, shape).astype(np.int32)
    if data.draw(st.booleans()):
        before = np.repeat(np.repeat(before, 3, axis=1), 3, axis=2)
    after = before.copy()
    changed = keep_connected(after, count)
    assert changed >= (before != after).sum()
    assert set(np.unique(after)) == set(np.unique(before))
    for k in np.unique(before):
        assert pieces_of(after, k) == 1
        pieces, number = ndimage.label(before == k)
        size = ndimage.sum_labels(np.ones(before.shape), pieces, np.arange(1, number + 1))
        assert (after[pieces == 1 + int(size.argmax())] == k).all()


def test_a_piece_goes_to_the_neighbour_that_it_touches_most():
    labels = np.array([[[0, 0, 0, 1, 1], [0, 2, 2, 1, 1], [0, 0, 0, 1, 2], [3, 3, 2, 2, 2]]], np.int32)
    assert keep_connected(labels, 4) == 2
    assert labels[0].tolist() == [[0, 0, 0, 1, 1], [0, 0, 0, 1, 1], [0, 0, 0, 1, 2], [3, 3, 2, 2, 2]]


@pytest.mark.parametrize("shape", [(200, 220), (30, 36, 40)])
def test_without_a_curve_labels_and_distance_are_the_exact_ones(shape):
    rng = np.random.default_rng(0)
    ndim = len(shape)
    cells = find_cells(uniform(shape, 90, rng), 20 * rng.random(90), metric_matrix(ndim, 1.7, 25))
    labels, distance = tessellate(cells, shape)
    same, near = (a.reshape(shape) for a in curve(cells, (1,) * (3 - ndim) + shape)[1:])
    assert (labels != same).mean() < 5e-4  # slivers that were cut off
    error = np.abs(near - distance)[distance <= 10]
    # What is left are tips of grains that reach between the pixels.
    assert np.quantile(error, 0.998) < 0.05
    assert np.median(error) < 1e-4
    assert error.max() < 0.6


@pytest.mark.parametrize(("amplitude", "wavelength", "worst"), [(2.0, 40.0, 0.025), (1.5, 18.0, 0.09)])
def test_bent_distance_equals_that_to_a_densely_sampled_boundary(amplitude, wavelength, worst):
    shape = (1, 60, 80)
    x = np.arange(80)
    shift = np.zeros((3, *shape), np.float32)
    shift[1] = amplitude * np.sin(2 * np.pi * x / wavelength)
    _, labels, distance = curve(find_cells(TWO_SEEDS), shape, shift)
    fine = np.linspace(-10, 89, 60_000)
    # Between pixels, and beyond the edges, the shift goes on as documented.
    boundary = 30.3 - np.interp(fine, x, shift[1, 0, 0])
    pixels = np.stack(np.meshgrid(np.arange(60), x, indexing="ij"), axis=-1).reshape(-1, 2)
    expected = cKDTree(np.column_stack([boundary, fine])).query(pixels)[0].reshape(60, 80)
    assert ((labels[0] == 1) == (pixels[:, 0].reshape(60, 80) > 30.3 - shift[1, 0, 0])).all()
    # Where the shift stops changing at the image's edge the boundary has a kink that patches round off.
    inner = (slice(None), slice(10, -10))
    error = np.abs(distance[0] - expected)[inner][expected[inner] <= 10]
    assert error.max() < worst


def test_smoothing_flattens_a_wave_as_curvature_flow_does():
    # A boundary y = a sin kx decays as exp(-k²σ²/2) when blurred by σ, to first order in ak.
    amplitude, wavelength, sigma = 1.0, 26.0, 2.5
    shape = (1, 60, 104)
    x = np.arange(104)
    shift = np.zeros((3, *shape), np.float32)
    shift[1] = amplitude * np.sin(2 * np.pi * x / wavelength)
    _, labels, distance = curve(find_cells(TWO_SEEDS), shape, shift, sigma)
    signed = np.where(labels[0] == 0, distance[0], -distance[0])
    row = 30
    heights = (row + signed[row] - 30.3)[26:78]
    phase = 2 * np.pi * x[26:78] / wavelength
    seen = -2 * np.mean(heights * np.sin(phase))
    assert seen == pytest.approx(amplitude * np.exp(-0.5 * (2 * np.pi * sigma / wavelength) ** 2), rel=0.05)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 3.0])
def test_smoothing_leaves_a_straight_boundary_where_it_is(sigma):
    seeds = np.array([[12.1, 20.4], [44.7, 38.9]])
    cells = find_cells(seeds)
    labels, distance = tessellate(cells, (60, 60))
    _, same, near = curve(cells, (1, 60, 60), None, sigma)
    # Half a pixel's coverage and the blur's cut-off move it by hundredths of a pixel.
    assert (labels != same[0])[distance > 0.03].sum() == 0
    assert np.abs(near[0] - distance)[distance < 10].max() < 0.05


def test_smoothing_rounds_corners_towards_equal_angles():
    # A straight-through boundary that a third one meets at a right angle is drawn into the corner.
    cells = find_cells(np.array([[-968.0, 32.5], [1032.0, 16.5], [1032.0, 48.5]]))
    plain, _ = tessellate(cells, (65, 65))
    _, rounded, _ = curve(cells, (1, 65, 65), None, 3.0)
    column = rounded[0][:, 32]
    moved = int((column == 0).sum()) - int((plain[:, 32] == 0).sum())
    # The largest of the blurred sectors of 180°, 90° and 90° wins up to where Φ(−y/σ) = 1/3: y = 0.43 σ.
    assert moved == 1
    assert (rounded[0][:, 33:35] == 0).sum() < (rounded[0][:, 32] == 0).sum() * 2
    assert (rounded[0][:, :10] == plain[:, :10]).all()


def test_threads_change_nothing():
    rng = np.random.default_rng(3)
    cells = find_cells(uniform((90, 100), 60, rng))
    shift = np.zeros((3, 1, 90, 100), np.float32)
    shift[1] = np.sin(np.arange(100) / 5)
    one, three = (curve(cells, (1, 90, 100), shift, 1.0, workers=w)[1:] for w in (1, 3))
    assert one[0].tobytes() == three[0].tobytes()
    assert one[1].tobytes() == three[1].tobytes()
