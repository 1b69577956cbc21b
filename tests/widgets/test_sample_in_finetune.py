"""What the sample is, said in *Fine-tune*: the terminal's recipe, shared with the preview, with the reasons."""

from __future__ import annotations

import json

import pytest
from painted import add_pair

from napari_anneal.augmentation import AugmentationRecipe
from napari_anneal.widgets._session_augmentation import session_augmentation


def test_the_recipe_is_that_of_the_terminal_and_the_run_keeps_it(viewer, form, wait_for) -> None:
    add_pair(viewer)
    form.pairs.add_all()
    assert form.choice.draft.settings["augmentation"] == AugmentationRecipe()
    form.sample.choice.boxes["textured"].setChecked(True)
    form.sample.choice.direction.setValue(30.0)
    form.sample.choice.direction.changed.emit()
    expected = AugmentationRecipe.for_sample("rolled", direction_deg=30.0)
    assert form.choice.draft.settings["augmentation"] == expected
    said = form.sample.choice.says.text()
    for reason in set(expected.switched_off.values()):
        assert reason in said
    assert "because" in said
    form.epochs.setValue(1)
    form.bar.start.click()
    wait_for(form)
    (path,) = (form.outcome.folder / "recipe.json",)
    assert AugmentationRecipe(**json.loads(path.read_text())["augmentation"]) == expected


def test_a_change_in_the_preview_is_seen_here_and_the_other_way_round(viewer, form) -> None:
    session_augmentation().put(AugmentationRecipe.for_sample(("chiral", "shadowed"), light_deg=0.0))
    assert form.sample.choice.kinds == ("chiral", "shadowed")
    assert form.sample.choice.light.value() == 0
    form.sample.choice.boxes["shadowed"].setChecked(False)
    assert session_augmentation().recipe == AugmentationRecipe.for_sample("chiral", light_deg=0.0)
    form.sample.choice.boxes["chiral"].setChecked(False)
    assert session_augmentation().recipe.active == AugmentationRecipe().active
    assert form.sample.choice.says.isHidden()


@pytest.mark.parametrize("kinds", ["isotropic", "columnar", ("polarised", "shadowed")])
def test_own_settings_stay_where_they_are_legal_for_another_sample(kinds) -> None:
    own = AugmentationRecipe(elastic=0.7, blur_sigma_px=(0.5, 2.0))
    other = own.of_another_sample(kinds)
    usual = AugmentationRecipe.for_sample(kinds)
    assert (other.kinds, other.blur_sigma_px) == (usual.kinds, (0.5, 2.0))
    assert other.elastic == (0.0 if "elastic" in usual.switched_off else 0.7)
    assert AugmentationRecipe().of_another_sample(kinds) == usual
    back = usual.of_another_sample("isotropic")
    assert back == AugmentationRecipe()
