"""Every wrong setting is one plain sentence; every right one survives a round trip."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_anneal.errors import InputError
from napari_anneal.synthesis import Appearance, MicrostructureRecipe, Objects, RecipeRanges, Span, memory, synthesize

WRONG = [
    ({"n_seeds": 0}, "n_seeds"),
    ({"n_seeds": "many"}, "n_seeds"),
    ({"boundary_width": 0}, "boundary_width"),
    ({"boundary_width": -1.5}, "boundary_width"),
    ({"boundary_width": float("nan")}, "boundary_width"),
    ({"waviness": float("inf")}, "waviness"),
    ({"shape": (64,)}, "shape"),
    ({"shape": (64, 0)}, "shape"),
    ({"shape": (4, 4, 4, 4)}, "shape"),
    ({"shape": (64, 64), "n_seeds": 4000}, "boundary"),
    ({"shape": (64, 64), "n_seeds": 40, "waviness": 10.0}, "fold"),
    ({"placement": "points"}, "points"),
    ({"placement": "points", "points": ()}, "no points"),
    ({"points": ((1.0, 1.0),)}, "points"),
    ({"shape": (9, 9), "placement": "points", "points": ((4.0, 4.0), (4.0, 44.0))}, "point 1"),
    ({"shape": (9, 9), "placement": "points", "points": ((4.0, 4.0, 4.0),)}, "coordinates"),
    ({"spacing": (1.0, -1.0)}, "spacing"),
    ({"spacing": (1.0, 1.0, 1.0)}, "spacing"),
    ({"seeds": 4}, "'seeds'"),
    ({"appearance": {"rung": 6}}, "rung"),
    ({"appearance": {"dose": 0}}, "dose"),
    ({"appearance": {"contrast": 1}}, "'contrast'"),
    ({"objects": {"diameter": 5, "fine_diameter": 6, "fine_fraction": 0.1}}, "fine_diameter"),
    ({"aspect_ratio": 0.5}, "aspect_ratio"),
    ({"kind": "pores"}, "kind"),
]


@pytest.mark.parametrize(("settings", "names"), WRONG)
def test_a_wrong_setting_is_one_sentence_that_names_it(settings, names):
    with pytest.raises(InputError) as caught:
        MicrostructureRecipe(**settings)
    sentence = str(caught.value)
    assert names in sentence
    assert "\n" not in sentence
    assert "pydantic" not in sentence
    assert sentence.endswith(".")
    assert len(sentence) < 400
    with pytest.raises(InputError, match=names.replace("'", ".")):
        MicrostructureRecipe.model_validate(settings)


def test_several_wrong_settings_are_counted():
    with pytest.raises(InputError, match=r"2 more settings are wrong"):
        MicrostructureRecipe(n_seeds=0, boundary_width=-1, smoothing=-1)


def test_wrong_json_is_one_sentence():
    with pytest.raises(InputError, match="n_seeds"):
        MicrostructureRecipe.model_validate_json('{"n_seeds": -3}')


def test_a_recipe_is_frozen_and_a_copy_is_checked():
    recipe = MicrostructureRecipe()
    with pytest.raises(InputError, match="model_copy"):
        recipe.n_seeds = 3
    assert recipe.model_copy(update={"n_seeds": 7}).n_seeds == 7
    with pytest.raises(InputError, match="n_seeds"):
        recipe.model_copy(update={"n_seeds": 0})


@given(
    rung=st.integers(1, 5),
    shape=st.sampled_from([(64, 80), (16, 20, 24)]),
    dose=st.floats(1, 1e5),
    kind=st.sampled_from(["grains", "objects"]),
)
def test_a_recipe_survives_json(rung, shape, dose, kind):
    recipe = MicrostructureRecipe(
        shape=shape, n_seeds=12, kind=kind, spacing=(0.5,) * len(shape),
        appearance=Appearance(rung=rung, dose=dose), objects=Objects(rim=0.1),
    )  # fmt: skip
    assert MicrostructureRecipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_every_setting_has_a_description():
    for model in (MicrostructureRecipe, Appearance, Objects, Span):
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


def test_ranges_name_the_settings_of_the_recipes_they_draw():
    from napari_anneal.synthesis import AppearanceRanges, ObjectRanges

    assert set(AppearanceRanges.model_fields) - {"visibility"} == set(Appearance.model_fields)
    assert set(ObjectRanges.model_fields) == set(Objects.model_fields)


def test_a_shape_over_memory_says_how_much_it_needs(monkeypatch):
    with pytest.raises(InputError, match=r"needs about [\d.]+ GiB"):
        synthesize(MicrostructureRecipe(shape=(20_000, 20_000, 20_000)))
    monkeypatch.setattr(memory, "free_memory", lambda: 1 << 20)
    with pytest.raises(InputError, match=r"about \d+ MiB of memory and 1 MiB are free"):
        synthesize(MicrostructureRecipe(shape=(512, 512)))
    monkeypatch.setattr(memory, "free_memory", lambda: None)
    synthesize(MicrostructureRecipe(shape=(16, 16), n_seeds=2))


@pytest.mark.parametrize("seed", [-1, 1.5, "a", True, None])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(InputError, match="seed"):
        synthesize(MicrostructureRecipe(shape=(16, 16), n_seeds=2), seed)


WRONG_RANGES = [
    ({"grain_diameter": (40, 20)}, "backwards"),
    ({"grain_diameter": (1, 2, 3)}, "range"),
    ({"kind": ("grains", "cells")}, "cells"),
    ({"kind": {"options": ("grains", "objects"), "weights": (1.0,)}}, "weights"),
    ({"boundary_width": (-1, 2)}, "boundary_width"),
    ({"waviness": (0.1, 0.6)}, "fold"),
    ({"appearance": {"dose": (0, 10)}}, "dose"),
    ({"appearance": {"dose": {"low": 0, "high": 10, "log": True}}}, "logarithmic"),
    ({"size": 3}, "'size'"),
]


@pytest.mark.parametrize(("settings", "names"), WRONG_RANGES)
def test_a_wrong_range_is_one_sentence_when_the_ranges_are_made(settings, names):
    with pytest.raises(InputError, match=names) as caught:
        RecipeRanges(**settings)
    assert "\n" not in str(caught.value)


def test_points_may_come_as_an_array():
    points = np.array([[3.0, 4.0], [5.5, 6.25]])
    recipe = MicrostructureRecipe(shape=np.array([9, 9]), placement="points", points=points)
    assert recipe.points == ((3.0, 4.0), (5.5, 6.25))
    assert recipe.n_seeds == 2


def test_kernels_compile_where_nothing_can_be_cached(monkeypatch):
    from napari_anneal.synthesis import compiled

    real = compiled.njit

    def without_a_folder(**options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(compiled, "njit", without_a_folder)
    assert compiled.compiled(lambda x: 2 * x)(21) == 42


def test_building_a_recipe_loads_neither_numba_nor_scipy():
    code = (
        "import sys; from napari_anneal.synthesis import MicrostructureRecipe, RecipeRanges, SyntheticStream;"
        "MicrostructureRecipe(); SyntheticStream();"
        "print([m for m in ('numba', 'scipy', 'torch', 'qtpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
