"""Presets: each is a recipe that can be made, and a range of them that can be trained on."""

import numpy as np
import pytest

from napari_anneal.errors import InputError
from napari_anneal.synthesis import (
    PRESETS,
    MicrostructureRecipe,
    RecipeRanges,
    SyntheticStream,
    preset,
    preset_ranges,
    synthesize,
)  # fmt: skip


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_makes_an_image_with_contrast_and_two_classes(name):
    m = synthesize(preset(name, (128, 128)), seed=2)
    assert m.recipe.appearance.rung == 5
    assert set(np.unique(m.labels)) == {1, 2}
    assert m.image.std() > 0.02
    # Neither burnt out nor drowned.
    assert np.mean((m.image <= 0) | (m.image >= 1)) < 0.05


@pytest.mark.parametrize("name", PRESETS)
def test_the_typical_recipe_lies_within_the_ranges(name):
    ranges, recipe = preset_ranges(name, (256, 256)), preset(name, (256, 256))
    for field, span in ranges.appearance:
        if hasattr(span, "low"):
            value = getattr(recipe.appearance, field)
            # The typical recipe is rounded to three digits.
            slack = 0.005 * abs(value)
            assert span.low - slack <= value <= span.high + slack or value == span.otherwise, field
    assert MicrostructureRecipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert RecipeRanges.model_validate_json(ranges.model_dump_json()) == ranges


@pytest.mark.parametrize("name", PRESETS)
def test_a_stream_of_a_preset_varies_and_is_reproducible(name):
    ranges = preset_ranges(name, (96, 96))
    first, again = SyntheticStream(ranges, 3), SyntheticStream(ranges, 3)
    assert (first[1].image == again[1].image).all()
    assert first[1].recipe != first[2].recipe


def test_x_ray_grains_come_as_volumes_too():
    m = synthesize(preset("xct_grains", (24, 40, 40)), 1)
    assert m.image.shape == (24, 40, 40)
    assert m.image[m.distance < 0.7].mean() > m.image[m.distance > 4].mean() + 0.05


def test_an_unknown_preset_is_one_sentence_that_lists_them():
    with pytest.raises(InputError, match="sem_bse_polished") as caught:
        preset("sem")
    assert "\n" not in str(caught.value)
