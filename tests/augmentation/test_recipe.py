"""Claims about the augmentation recipe and about which transforms are legal."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_anneal.augmentation import SAMPLE_KINDS, AugmentationRecipe, illegal_transforms
from napari_anneal.augmentation.recipe import TRANSFORMS
from napari_anneal.errors import InputError


def test_defaults_are_the_numbers_of_the_method():
    recipe = AugmentationRecipe()
    assert (recipe.elastic_alpha, recipe.elastic_sigma_px) == (50, 5)
    assert recipe.brightness_shift == (-0.2, 0.2)
    assert recipe.contrast_factor == recipe.gamma_exponent == (0.7, 1.3)


@given(st.dictionaries(st.sampled_from(TRANSFORMS), st.floats(0, 1)))
def test_a_recipe_survives_json(probabilities):
    recipe = AugmentationRecipe(**probabilities)
    assert AugmentationRecipe(**json.loads(recipe.model_dump_json())) == recipe


@pytest.mark.parametrize("kind", SAMPLE_KINDS)
def test_the_set_for_a_kind_of_sample_has_nothing_illegal_in_it(kind):
    recipe = AugmentationRecipe.for_sample(kind)
    assert recipe.sample == kind
    assert not set(recipe.active) & set(recipe.switched_off)
    assert set(recipe.switched_off) <= set(TRANSFORMS)
    assert all(len(reason) > 20 for reason in recipe.switched_off.values())


@pytest.mark.parametrize("kind", SAMPLE_KINDS)
def test_every_illegal_transform_is_refused_by_name(kind):
    legal = AugmentationRecipe.for_sample(kind).model_dump()
    for name in illegal_transforms(kind):
        with pytest.raises(InputError, match=rf"{name} is not legal.*set {name}=0"):
            AugmentationRecipe(**{**legal, name: 0.5})


def test_half_turns_and_one_flip_stay_where_they_are_legal():
    textured, shadowed, chiral = (AugmentationRecipe.for_sample(k) for k in ("textured", "shadowed", "chiral"))
    assert {"rot180", "hflip", "vflip"} <= set(textured.active)
    assert "rot90" not in textured.active
    assert "hflip" in shadowed.active
    assert not {"vflip", "rot180", "rot90", "rotate"} & set(shadowed.active)
    assert {"rot90", "rotate"} <= set(chiral.active)
    assert not {"hflip", "vflip"} & set(chiral.active)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hflip": 1.5},
        {"hflip": float("nan")},
        {"nonsense": 1},
        {"gamma_exponent": (0.0, 1.0)},
        {"rotate_deg": (10, -10)},
        {"rotate_deg": (0, float("inf"))},
        {"cutout_fraction": (0.5, 1.5)},
        {"elastic_sigma_px": 0},
        {"sample": "wood"},
    ],
)
def test_a_wrong_number_is_refused_with_its_name(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        AugmentationRecipe(**wrong)


def test_an_unknown_kind_of_sample_lists_the_known_ones():
    with pytest.raises(InputError, match="isotropic, textured"):
        AugmentationRecipe.for_sample("wood")


def test_a_recipe_is_frozen():
    with pytest.raises(InputError, match="cannot be changed"):
        AugmentationRecipe().hflip = 0.1


def test_importing_the_recipe_does_not_import_albumentations_opencv_or_torch():
    code = "import sys, napari_anneal.augmentation; print({'albumentations', 'cv2', 'torch'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
