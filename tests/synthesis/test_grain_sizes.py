"""Grains of prescribed sizes: the pixels of every grain, counted, are what was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from napari_anneal.errors import InputError
from napari_anneal.synthesis import MicrostructureRecipe, RecipeRanges, SyntheticStream, synthesize, target_sizes
from napari_anneal.synthesis.geometry.cells import find_cells
from napari_anneal.synthesis.geometry.measure import measure_cells
from napari_anneal.synthesis.geometry.transport import pixel_counts
from napari_anneal.synthesis.grains import seeds_and_weights


def recipe_of(**changes):
    return MicrostructureRecipe(**{"boundary_width": 1.0, "appearance": {"rung": 1}, **changes})


def counted(recipe, seed=0):
    m = synthesize(recipe, seed)
    return np.bincount(m.grains.ravel(), minlength=recipe.n_seeds + 1)[1:]


def assert_on_target(counts, sizes):
    assert counts.shape == sizes.shape
    np.testing.assert_array_less(np.abs(counts - sizes), np.maximum(0.01 * sizes, 1.0) + 1e-9)


@pytest.mark.parametrize("cv", [0.3, 0.6, 1.0])
@pytest.mark.parametrize(
    "changes",
    [
        {"shape": (512, 512), "n_seeds": 500},
        {"shape": (512, 512), "n_seeds": 500, "placement": "clustered"},
        {"shape": (512, 512), "n_seeds": 500, "aspect_ratio": 2.5, "direction_deg": 30.0, "lloyd_rounds": 3},
        {"shape": (64, 64, 64), "n_seeds": 100},
        {"shape": (64, 64, 64), "n_seeds": 100, "aspect_ratio": 2.0, "placement": "blue_noise", "lloyd_rounds": 3},
    ],
    ids=["2D", "2D clustered", "2D long and round", "3D", "3D long and round"],
)
def test_every_grain_has_its_size_to_one_percent_or_one_pixel(changes, cv):
    recipe = recipe_of(size_cv=cv, **changes)
    for seed in range(2):
        sizes = target_sizes(recipe, seed)
        counts = counted(recipe, seed)
        assert_on_target(counts, sizes)
        assert counts.std() / counts.mean() == pytest.approx(cv, rel=0.01)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    shape=st.sampled_from([(60, 90), (1, 300), (14, 16, 18), (1, 40, 50)]),
    count=st.sampled_from([1, 2, 3, 9, 30]),
    placement=st.sampled_from(["random", "blue_noise", "clustered"]),
    rounds=st.sampled_from([0, 2]),
    cv=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_sizes_are_met_in_any_shape(seed, shape, count, placement, rounds, cv):
    recipe = recipe_of(shape=shape, n_seeds=count, placement=placement, lloyd_rounds=rounds, size_cv=cv)
    sizes = target_sizes(recipe, seed)
    assert sizes.sum() == pytest.approx(np.prod(shape))
    assert sizes.min() >= 4 * (1 - 1e-9)
    off = np.abs(counted(recipe, seed) - sizes) / np.maximum(0.01 * sizes, 1.0)
    # In an image a pixel wide, or across it, a boundary moves a whole row of pixels or none.
    assert off.max() <= (1 + 1e-9 if min(shape) > 1 else 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": (512, 512), "n_seeds": 500, "waviness": 1.0},
        {"shape": (512, 512), "n_seeds": 500, "waviness": 1.5, "smoothing": 1.5},
        {"shape": (48, 48, 48), "n_seeds": 60, "waviness": 0.8, "lloyd_rounds": 2},
    ],
    ids=["bent", "bent and smoothed", "3D"],
)
def test_curved_grains_have_their_sizes_too(changes):
    recipe = recipe_of(size_cv=0.5, **changes)
    sizes = target_sizes(recipe, 1)
    off = np.abs(counted(recipe, 1) - sizes) / np.maximum(0.01 * sizes, 1.0)
    assert (off > 1).mean() < 0.02
    assert off.max() < 4


def test_the_exact_sizes_are_met_too():
    recipe = recipe_of(shape=(64, 64, 64), n_seeds=100, size_cv=0.5)
    seeds, weights, metric = seeds_and_weights(recipe, 3)
    exact = measure_cells(find_cells(seeds, weights, metric), recipe.shape).size
    np.testing.assert_allclose(exact, target_sizes(recipe, 3), rtol=0.015)


def test_target_sizes_are_log_normal():
    recipe = recipe_of(shape=(2048, 2048), n_seeds=4000, size_cv=0.7)
    sizes = target_sizes(recipe, 1)
    assert sizes.mean() == pytest.approx(2048**2 / 4000)
    assert sizes.std() / sizes.mean() == pytest.approx(0.7, rel=1e-6)
    assert stats.kstest(np.log(sizes), "norm", (np.log(sizes).mean(), np.sqrt(np.log1p(0.49)))).pvalue > 0.2
    assert not np.array_equal(np.sort(sizes), np.sort(target_sizes(recipe, 2)))
    assert target_sizes(recipe_of(), 1) is None


def test_listed_sizes_go_to_the_seeds_in_order():
    points = ((10.0, 12.0), (50.0, 20.0), (30.0, 70.0), (12.0, 60.0))
    shares = (0.1, 0.2, 0.3, 0.4)
    recipe = recipe_of(shape=(64, 80), placement="points", points=points, target_sizes=shares)
    counts = counted(recipe)
    assert_on_target(counts, 64 * 80 * np.array(shares))
    absolute = recipe_of(shape=(64, 80), placement="points", points=points, target_sizes=np.array(shares) * 64 * 80)
    np.testing.assert_array_equal(counted(absolute), counts)


def test_centroid_rounds_make_grains_rounder_and_keep_their_sizes():
    from skimage.measure import regionprops

    def roundness(rounds):
        m = synthesize(recipe_of(shape=(256, 256), n_seeds=120, size_cv=0.6, lloyd_rounds=rounds), 4)
        return np.median([p.minor_axis_length / p.major_axis_length for p in regionprops(m.grains)])

    assert roundness(8) > roundness(0) + 0.1


def test_a_thousand_grains_of_a_few_pixels_keep_to_their_sizes():
    recipe = recipe_of(shape=(128, 128), n_seeds=1000, size_cv=1.0)
    sizes = target_sizes(recipe, 0)
    assert sizes.min() == pytest.approx(4)
    assert np.abs(counted(recipe) - sizes).max() <= 2.5


def test_a_size_cv_of_ranges_takes_the_place_of_the_dispersion():
    ranges = RecipeRanges(shape=(64, 64), size_cv=(0.3, 0.8), size_dispersion=(0.1, 0.7))
    recipe, seed = SyntheticStream(ranges, 5).recipe(2)
    assert 0.3 <= recipe.size_cv <= 0.8
    assert recipe.size_dispersion == 0
    assert_on_target(
        counted(recipe.model_copy(update={"waviness": 0.0, "smoothing": 0.0}), seed), target_sizes(recipe, seed)
    )
    assert SyntheticStream(RecipeRanges(), 0).recipe(0)[0].size_cv is None


CLOSE = ((20.0, 20.0), (20.0, 20.0), (40.0, 40.0))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"size_cv": 0.3, "size_dispersion": 0.5}, "size_cv and size_dispersion"),
        ({"n_seeds": 2, "target_sizes": (1, 2), "size_cv": 0.3}, "size_cv and target_sizes"),
        ({"n_seeds": 2, "target_sizes": (1, 2), "size_dispersion": 0.3}, "target_sizes and size_dispersion"),
        ({"size_cv": 0.3, "growth": {"method": "potts"}}, "growth changes the sizes"),
        ({"n_seeds": 3, "target_sizes": (1, 2)}, "2 entries but there are 3 seeds"),
        ({"n_seeds": 2, "target_sizes": (1, 0)}, "entry 1 is 0"),
        ({"n_seeds": 2, "target_sizes": (3000, -5)}, "entry 1 is -5"),
        ({"n_seeds": 2, "target_sizes": (5000, 1)}, "entry 1 is 0.82 px"),
        ({"n_seeds": 2, "target_sizes": (4000, 4000)}, "add up to 8000 px"),
        ({"n_seeds": 1000, "size_cv": 0.3}, "too small for a size_cv"),
        ({"size_cv": -0.1}, "size_cv"),
        ({"size_cv": float("nan")}, "size_cv"),
        ({"target_sizes": "large"}, "target_sizes"),
    ],
)
def test_contradictory_sizes_are_one_sentence(settings, says):
    with pytest.raises(InputError, match=says) as caught:
        MicrostructureRecipe(**{"shape": (64, 64), "n_seeds": 9, "boundary_width": 1.0, **settings})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_seeds_in_one_place_cannot_be_given_sizes():
    recipe = recipe_of(shape=(64, 64), placement="points", points=CLOSE, size_cv=0.3)
    with pytest.raises(InputError, match=r"seeds 0 and 1 are only 0 px apart"):
        synthesize(recipe, 0)


def test_pixels_are_counted_alike_in_slabs_and_at_once(monkeypatch):
    seeds, weights, metric = seeds_and_weights(recipe_of(shape=(20, 30, 40), n_seeds=30), 0)
    cells = find_cells(seeds, weights, metric)
    whole = pixel_counts(cells, (20, 30, 40))
    assert whole.sum() == 20 * 30 * 40
    monkeypatch.setattr("napari_anneal.synthesis.geometry.tessellation.PIXELS_AT_ONCE", 3 * 30 * 40)
    np.testing.assert_array_equal(pixel_counts(cells, (20, 30, 40)), whole)
