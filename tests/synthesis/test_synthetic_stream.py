"""The stream: a pure function of (seed, index) that stays inside its ranges."""

from __future__ import annotations

import multiprocessing
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_anneal.errors import InputError
from napari_anneal.synthesis import Choice, MicrostructureRecipe, RecipeRanges, Span, SyntheticStream, synthesize

SMALL = RecipeRanges(shape=(64, 64), kind=("grains", "objects"))


def image_bytes(index: int) -> bytes:
    return SyntheticStream(SMALL, seed=9)[index].image.tobytes()


def test_an_image_depends_on_seed_and_index_alone():
    stream = SyntheticStream(SMALL, seed=9)
    forward = [m.image.tobytes() for m in islice(stream, 6)]
    assert [stream[i].image.tobytes() for i in (5, 0, 3)] == [forward[5], forward[0], forward[3]]
    assert len(set(forward)) == 6
    assert SyntheticStream(SMALL, seed=10)[0].image.tobytes() != forward[0]


def test_another_process_makes_the_same_images():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(image_bytes, [0, 4]) == [image_bytes(0), image_bytes(4)]


def test_the_recipe_of_an_image_makes_it_again():
    stream = SyntheticStream(SMALL, seed=2)
    m = stream[3]
    again = synthesize(MicrostructureRecipe.model_validate_json(m.recipe.model_dump_json()), m.seed)
    assert again.image.tobytes() == m.image.tobytes()


def test_a_mixed_stream_holds_both_kinds_and_only_legal_labels():
    kinds = set()
    for m in islice(SyntheticStream(SMALL, seed=1), 16):
        kinds.add(m.recipe.kind)
        assert set(np.unique(m.labels)) <= {1, 2}
        assert m.image.std() > 0.005
    assert kinds == {"grains", "objects"}


@given(index=st.integers(0, 10**9), seed=st.integers(0, 2**60))
@settings(max_examples=150)
def test_every_drawn_recipe_is_valid_and_inside_its_ranges(index, seed):
    recipe, image_seed = SyntheticStream(SMALL, seed).recipe(index)
    look, ranges = recipe.appearance, SMALL.appearance
    assert image_seed >= 0
    assert recipe.placement in SMALL.placement.options
    for name in ("mean_grey", "dose", "psf_sigma", "groove_width", "texture"):
        span = getattr(ranges, name)
        assert span.low <= getattr(look, name) <= span.high
    assert recipe.waviness * 5 <= recipe.bend_length


def test_narrowing_one_range_leaves_the_other_settings_alone():
    narrow = RecipeRanges(shape=(64, 64), kind=("grains", "objects"), aspect_ratio=1.0)
    for i in range(10):
        a, _ = SyntheticStream(SMALL, 5).recipe(i)
        b, _ = SyntheticStream(narrow, 5).recipe(i)
        assert a.model_copy(update={"aspect_ratio": 1.0}) == b


def test_spans_fill_their_range_and_are_absent_as_often_as_asked():
    rng = np.random.default_rng(0)
    linear = [Span(low=2, high=4).draw(rng) for _ in range(4000)]
    assert np.mean(linear) == pytest.approx(3, abs=0.05)
    logs = [Span(low=1, high=100, log=True).draw(rng) for _ in range(4000)]
    assert np.median(logs) == pytest.approx(10, rel=0.15)
    rare = [Span(low=1, high=2, probability=0.2, otherwise=-1).draw(rng) for _ in range(4000)]
    assert np.mean(np.array(rare) == -1) == pytest.approx(0.8, abs=0.03)
    picks = [Choice(options=("a", "b"), weights=(3, 1)).draw(rng) for _ in range(4000)]
    assert picks.count("a") / 4000 == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("shape", [(6, 6), (16, 40), (3, 12, 12)])
def test_small_shapes_still_show_more_than_one_grain(shape):
    ranges = RecipeRanges(shape=shape, kind=("grains", "objects"), boundary_width=1.0)
    for m in islice(SyntheticStream(ranges, seed=3), 12):
        assert m.recipe.kind == "objects" or m.recipe.n_seeds > 1
        assert m.image.shape == shape


def test_volumes_stream_too():
    m = SyntheticStream(RecipeRanges(shape=(16, 32, 32), grain_diameter=(8, 14)), seed=0)[0]
    assert m.image.shape == (16, 32, 32)
    assert m.grains.max() > 4


def test_there_is_nothing_before_the_first_image():
    with pytest.raises(IndexError, match="-1"):
        SyntheticStream(SMALL)[-1]
    with pytest.raises(InputError, match="seed"):
        SyntheticStream(SMALL, seed=-1)
