"""Grains with metrics of their own: owners against brute force, distance against supersampling, and how they look."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_anneal.errors import InputError
from napari_anneal.synthesis import Appearance, MicrostructureRecipe, synthesize
from napari_anneal.synthesis.geometry.cells import metric_matrix
from napari_anneal.synthesis.geometry.curved import PAD, curve
from napari_anneal.synthesis.geometry.metrics import grain_metrics, unlinked_cells
from napari_anneal.synthesis.geometry.powers import own_pixels, site_rows
from napari_anneal.synthesis.geometry.seeds import uniform
from napari_anneal.synthesis.growth.recipe import Growth

NO_SHIFT = np.empty((3, 0, 0, 0), np.float32)
NO_PAIRS = np.empty((0, 0, 0), np.int32), np.empty((0, 0, 0), np.float32)


def powers(points, seeds, metrics, weights):
    """V_i of every point, ``(N, …)``."""
    offset = points[None] - seeds.reshape(-1, *[1] * (points.ndim - 1), seeds.shape[1])
    return np.einsum("n...i,nij,n...j->n...", offset, metrics, offset) - weights.reshape(-1, *[1] * (points.ndim - 1))


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    ndim=st.sampled_from([2, 3]),
    count=st.integers(1, 60),
    aspect=st.sampled_from([1.0, 3.0, 12.0]),
    spread=st.sampled_from([0.0, 0.4, 1.5]),
    turn=st.sampled_from([0.0, 20.0, 90.0]),
    weight=st.sampled_from([0.0, 30.0]),
    bent=st.booleans(),
    twins=st.booleans(),
)
def test_owners_equal_brute_force(data, ndim, count, aspect, spread, turn, weight, bent, twins):
    shape = tuple(data.draw(st.integers(1, 50 if ndim == 2 else 14)) for _ in range(ndim))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    seeds = np.round(uniform(shape, count, rng), 6)
    if twins:
        seeds[count // 2 :] = seeds[: count - count // 2]
    weights = weight * rng.random(count)
    metrics = grain_metrics(count, ndim, aspect, 30.0, spread, turn, rng)
    full = (1,) * (3 - ndim) + shape
    shift, reach = NO_SHIFT, np.zeros(3)
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).astype(float)
    if bent:
        shift = np.zeros((3, *full), np.float32)
        shift[3 - ndim :] = rng.normal(0, 2, (ndim, *full)).astype(np.float32)
        reach = np.abs(shift).max(axis=(1, 2, 3)).astype(float)
        points += np.moveaxis(shift[3 - ndim :], 0, -1).reshape(points.shape)
    labels = np.empty(full, np.int32)
    sites = site_rows(unlinked_cells(seeds, weights, metrics))
    own_pixels(sites, np.zeros(3, np.int64), shift, reach, 0, full[0], 0, full[1], labels, *NO_PAIRS)
    expected = powers(points, seeds, metrics, weights)
    ours = np.take_along_axis(expected, labels.reshape(1, *shape), axis=0)[0]
    # Ties aside: the owner's power is the least there is, to rounding.
    np.testing.assert_allclose(ours, expected.min(axis=0), rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize(("aspect", "spread", "turn"), [(1.0, 0.3, 90.0), (2.0, 0.3, 20.0), (1.0, 0.7, 90.0)])
def test_distance_equals_that_to_a_supersampled_boundary(aspect, spread, turn):
    shape, finest = (90, 100), 12
    rng = np.random.default_rng(1)
    seeds = uniform(shape, 26, rng)
    metrics = grain_metrics(26, 2, aspect, 20.0, spread, turn, rng)
    _, labels, distance = curve(unlinked_cells(seeds, None, metrics), (1, *shape))
    fine = [np.arange(-PAD * finest, (n + PAD) * finest) / finest for n in shape]
    points = np.stack(np.meshgrid(*fine, indexing="ij"), axis=-1)
    owner, least = np.zeros(points.shape[:2], int), np.full(points.shape[:2], np.inf)
    for i in range(26):
        value = powers(points, seeds[i : i + 1], metrics[i : i + 1], np.zeros(1))[0]
        owner[value < least], least = i, np.minimum(least, value)
    half = 0.5 / finest
    down, right = np.argwhere(owner[1:] != owner[:-1]), np.argwhere(owner[:, 1:] != owner[:, :-1])
    boundary = cKDTree(np.concatenate([down / finest - PAD + [half, 0], right / finest - PAD + [0, half]]))
    expected = boundary.query(np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1))[0]
    # Where a cell falls into pieces the grains, and so the boundaries, are other ones.
    inner = owner[PAD * finest : -PAD * finest : finest, PAD * finest : -PAD * finest : finest]
    moved = ndimage.binary_dilation(inner != labels[0], iterations=12)
    error = np.abs(distance[0] - expected)[(expected <= PAD) & ~moved]
    assert error.size > 3000
    # The sampled boundary itself is known to 1/24 px only.
    assert np.quantile(error, 0.99) < 0.045
    assert error.max() < 0.25


@pytest.mark.parametrize("ndim", [2, 3])
def test_metrics_have_the_asked_spread_and_keep_the_size(ndim):
    metrics = grain_metrics(4000, ndim, 2.0, 30.0, 0.4, 10.0, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.det(metrics), 1)
    values, vectors = np.linalg.eigh(metrics[:, -2:, -2:])
    long = np.sqrt(values[:, 1] / values[:, 0])
    turned = np.rad2deg(np.arctan2(vectors[:, 0, 0], vectors[:, 1, 0]))
    clear = long > 1.3  # a grain about as wide as long has no direction to speak of
    assert np.log(long[clear]).mean() == pytest.approx(np.log(2), abs=0.12)
    off = (turned[clear] - 30 + 90) % 180 - 90
    inside = np.abs(off) < 45  # one that is longer across counts as turned by 90°
    assert inside.mean() > 0.95
    assert off[inside].std() == pytest.approx(10, rel=0.1)
    alike = grain_metrics(3, ndim, 2.0, 30.0, 0.0, 0.0, np.random.default_rng(0))
    np.testing.assert_allclose(alike, np.tile(metric_matrix(ndim, 2.0, 30.0), (3, 1, 1)))


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**40),
    shape=st.sampled_from([(60, 70), (14, 20, 18)]),
    aspect=st.sampled_from([1.0, 3.0]),
    spread=st.sampled_from([0.2, 1.0]),
    waviness=st.sampled_from([0.0, 1.0]),
    smoothing=st.sampled_from([0.0, 1.0]),
    rung=st.sampled_from([1, 2, 5]),
)
def test_grains_are_in_one_piece_each(seed, shape, aspect, spread, waviness, smoothing, rung):
    recipe = MicrostructureRecipe(
        shape=shape, n_seeds=25, aspect_ratio=aspect, aspect_spread=spread, direction_spread_deg=60.0,
        size_dispersion=0.4, waviness=waviness, waviness_length=8.0, smoothing=smoothing, boundary_width=1.0,
        appearance=Appearance(rung=rung, twins=0.3, relief=0.2),
    )  # fmt: skip
    m = synthesize(recipe, seed)
    numbers = np.unique(m.grains)
    assert (numbers == np.arange(1, len(m.seeds) + 1)).all()
    assert all(ndimage.label(m.grains == k)[1] == 1 for k in numbers)
    assert np.isfinite(m.image).all()
    assert 0 <= m.image.min() <= m.image.max() <= 1
    assert synthesize(recipe, seed).image.tobytes() == m.image.tobytes()


def test_a_spread_of_nothing_looks_like_straight_boundaries():
    # The same grooves from quadratic forms as from planes: every boundary looks alike here, so its number is nothing.
    look = Appearance(
        rung=2, contrast_spread=0, groove_width_spread=0, faint_boundaries=0, groove_width=4.0, relief=0.3, texture=0,
        groove_roughness=0, groove_texture=0,
    )  # fmt: skip
    plain = MicrostructureRecipe(shape=(90, 100), n_seeds=25, aspect_ratio=1.5, size_dispersion=0.3, appearance=look)
    straight = synthesize(plain, 3)
    curved = synthesize(plain.model_copy(update={"aspect_spread": 1e-9}), 3)
    assert (straight.grains != curved.grains).mean() < 1e-3
    different = np.abs(straight.image - curved.image)
    assert np.quantile(different, 0.97) < 0.01
    assert different.mean() < 0.003


@pytest.mark.parametrize("contradiction", [{"size_cv": 0.3}, {"growth": Growth(method="potts")}])
def test_what_would_undo_the_shapes_is_refused(contradiction):
    with pytest.raises(InputError, match="aspect_spread"):
        MicrostructureRecipe(shape=(90, 90), n_seeds=20, aspect_spread=0.3, **contradiction)


def test_grooves_lie_on_the_boundaries():
    look = Appearance(rung=2, faint_boundaries=0, grain_contrast=0.02, texture=0, boundary_contrast=-0.4)
    m = synthesize(
        MicrostructureRecipe(
            shape=(120, 120),
            n_seeds=30,
            aspect_ratio=2.0,
            direction_spread_deg=90.0,
            aspect_spread=0.2,
            appearance=look,
        ),
        5,
    )
    assert m.image[m.distance < 0.5].mean() < 0.75 * m.image[m.distance > 4].mean()
    assert np.quantile(m.image[m.distance > 4], 0.02) > 0.3
