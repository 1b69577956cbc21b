"""Claims about augmented copies on disk: they train with their original, are one group with it, and never judge."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import napari_anneal as na
from napari_anneal.augmentation import AugmentationRecipe, export_augmented
from napari_anneal.errors import InputError
from napari_anneal.training.holdout import hold_out_groups
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.setup import prepare_run
from napari_anneal.validation import Fold, SplitPlan, calibrate, evaluate, read_plan, write_plan
from napari_anneal.validation.checking import check_folder, check_samples
from napari_anneal.validation.splits import METHODS, most_folds


def painted(seed: int) -> na.Sample:
    made = na.synthesize(na.MicrostructureRecipe(shape=(72, 72), n_seeds=12), seed=seed)
    return na.Sample(made.image, made.labels, f"specimen {seed // 2}", name=f"s{seed}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("copies") / "out"
    strong = AugmentationRecipe(elastic=1.0, rotate=1.0, scale=1.0)
    export_augmented([painted(seed) for seed in range(6)], strong, out, copies=2)
    return out


@pytest.fixture(scope="module")
def samples(folder):
    return na.read_samples(folder)


@pytest.mark.parametrize("method", METHODS)
def test_no_split_lets_a_copy_judge_and_each_trains_only_where_its_original_does(samples, method):
    plan = na.group_split(samples, folds=3, method=method)
    for fold in plan.folds:
        assert not [i for i in fold.val if samples[i].copy_of]
        judged = {samples[i].group for i in fold.val}
        assert {samples[i].group for i in fold.train}.isdisjoint(judged)
        copies = sum(bool(samples[i].copy_of) for i in fold.train)
        assert copies == 2 * (len(fold.train) - copies) > 0


def test_the_split_of_the_originals_is_the_same_with_and_without_copies(samples):
    bare = [one for one in samples if not one.copy_of]
    for whole, alone in zip(na.group_split(samples, 3).folds, na.group_split(bare, 3).folds, strict=True):
        assert [samples[i].name for i in whole.val] == [bare[i].name for i in alone.val]
    assert most_folds(samples) == most_folds(bare) == 3


def test_a_copy_is_of_its_originals_group_whatever_its_own(samples):
    torn = [replace(one, group=f"own {i}") if one.copy_of else one for i, one in enumerate(samples)]
    plan = na.group_split(torn, 3)
    for fold in plan.folds:
        held = {torn[i].name for i in fold.val}
        assert not [i for i in fold.train if torn[i].copy_of in held]
    assert any("is an augmented copy of" in text for text in plan.report.merged)
    found = check_samples(torn)
    assert sum(problem.kind == "copy across groups" for problem in found.problems) >= 12


def test_gold_takes_its_copies_with_it(samples):
    torn = [replace(one, group="other") if one.copy_of else one for one in samples]
    alone = [
        one if one.copy_of in ("", "s0", "s1") else replace(one, group=f"specimen {int(one.copy_of[1]) // 2}")
        for one in torn
    ]
    plan = na.group_split(alone, 2, gold=["specimen 0"])
    assert {alone[i].copy_of or alone[i].name for i in plan.gold} == {"s0", "s1"}
    assert len(plan.gold) == 6


def test_check_finds_nothing_wrong_with_an_export_and_says_what_the_copies_are(folder):
    found = check_folder(folder)
    assert found.problems == ()
    assert found.leaks == ()
    assert any(note.kind == "augmented copies" and len(note.names) == 12 for note in found.notes)


def test_copies_without_originals_cannot_be_split_and_that_is_said(samples):
    copies = [one for one in samples if one.copy_of]
    with pytest.raises(InputError, match="put the originals beside them"):
        na.group_split(copies, 2)
    with pytest.raises(InputError, match="add the originals"):
        prepare_run(copies, None, FineTuneRecipe.from_preset("scratch", patch=64))


class Refusing:
    """A model that must not be asked."""

    classes = ("grain", "boundary")

    def segment(self, image, **options):
        raise AssertionError("a copy was judged")


def test_evaluate_calibrate_and_a_plan_with_a_copy_that_judges_are_refused_by_name(samples, tmp_path):
    copy = next(i for i, one in enumerate(samples) if one.copy_of)
    name = samples[copy].name
    train = tuple(i for i, one in enumerate(samples) if one.group != samples[copy].group)
    plan = SplitPlan((Fold(train, (copy,)),), (), na.group_split(samples, 3).report)
    for judge in (
        lambda: evaluate(Refusing(), [samples[copy]]),
        lambda: calibrate(Refusing(), samples, plan),
        lambda: prepare_run(samples, plan, FineTuneRecipe.from_preset("scratch", patch=64)),
        lambda: read_plan(
            write_plan(plan, samples, tmp_path / f"{np.random.default_rng().integers(1e9)}.json"), samples
        ),
    ):
        with pytest.raises(InputError, match=f"{name}.* is an augmented copy of"):
            judge()


def test_a_run_without_a_split_holds_out_originals_only(samples):
    train, held = hold_out_groups(samples, (1, 2), 0)
    assert held
    assert not [i for i in held if samples[i].copy_of]
    assert {samples[i].group for i in train}.isdisjoint({samples[i].group for i in held})
    one = [sample for sample in samples if sample.group == "specimen 0"]
    ready = prepare_run(one, None, FineTuneRecipe.from_preset("scratch", patch=64))
    assert [one[i].copy_of for i in ready.train] == ["", ""]
    assert any("copies are left out" in text for text in ready.notices)


def test_other_columns_of_groups_csv_make_nothing_a_copy(folder, tmp_path):
    text = (folder / "groups.csv").read_text().replace("augmented_from", "original")
    for kind in ("images", "labels"):
        (tmp_path / kind).symlink_to(folder / kind)
    (tmp_path / "groups.csv").write_text(text)
    assert not any(one.copy_of for one in na.read_samples(tmp_path))
    assert json.loads((folder / "recipe.json").read_text())["augmentation"]["elastic"] == 1.0
