"""``augment`` from a terminal: what it writes is what Python writes, and what it leaves out is said."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from test_cli import anneal, last_json, refused

import napari_anneal as na
from napari_anneal.augmentation import AugmentationRecipe, export_augmented


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("painted")
    rng = np.random.default_rng(0)
    for sub in ("images", "labels"):
        (root / sub).mkdir()
    for i in range(4):
        grey = np.kron(rng.integers(40, 200, (8, 8)), np.ones((16, 16)))
        tifffile.imwrite(root / "images" / f"s{i}.tif", rng.poisson(grey / 8).astype(np.uint8))
        tifffile.imwrite(root / "labels" / f"s{i}.tif", rng.integers(0, 3, (128, 128)).astype(np.uint8))
    (root / "groups.csv").write_text("image,group\n" + "".join(f"s{i},g{i}\n" for i in range(4)))
    return root


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_command_writes_what_python_writes(folder, tmp_path):
    found = last_json(
        anneal("augment", folder, tmp_path / "a", "--copies", 2, "--sample", "rolled", "--direction", 0, "--set",
               "elastic=0.5", "--seed", 3, "--json")
    )  # fmt: skip
    recipe = AugmentationRecipe.for_sample("rolled", direction_deg=0, elastic=0.5)
    export_augmented(na.read_samples(folder), recipe, tmp_path / "b", copies=2, seed=3)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert (found["copies"], found["originals"], found["left_out"]) == (8, 4, [])
    assert "half turn is legal" in found["switched_off"]["rot90"]
    assert AugmentationRecipe(**found["augmentation"]) == recipe


def test_matched_noise_is_said_and_used_and_gold_and_validation_are_left_out(folder, tmp_path):
    plan = na.group_split(na.read_samples(folder), 2, gold=["g3"])
    split = tmp_path / "split.json"
    from napari_anneal.validation import write_plan

    write_plan(plan, na.read_samples(folder), split)
    run = anneal("augment", folder, tmp_path / "a", "--split", split, "--fold", 2, "--match-noise", "--only-copies",
                 "--copies", 1, "--json")  # fmt: skip
    found = last_json(run)
    assert "counts per pixel" in run.stderr
    assert found["augmentation"]["poisson"] == 0.5
    assert found["originals"] == 0
    trained = {na.read_samples(folder)[i].name for i in plan.folds[1].train}
    assert {one.copy_of for one in na.read_samples(tmp_path / "a")} == trained
    gold = anneal("augment", folder, tmp_path / "b", "--gold", "g0", "--copies", 1, "--json")
    assert "gold: s0." in gold.stderr
    assert last_json(gold)["copies"] == 3


def test_the_recipe_of_an_export_is_a_recipe_for_another(folder, tmp_path):
    anneal("augment", folder, tmp_path / "a", "--copies", 1, "--sample", "chiral", "--set", "clahe=0.2")
    anneal("augment", folder, tmp_path / "b", "--copies", 1, "--recipe", tmp_path / "a")
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert json.loads((tmp_path / "b" / "recipe.json").read_text())["augmentation"]["sample"] == "chiral"


def test_what_cannot_be_augmented_is_refused_in_one_sentence(folder, tmp_path):
    out = tmp_path / "out"

    def says(words, *options, to=out):
        refused(anneal("augment", folder, to, *options), words)

    says("vflip is not legal", "--sample", "columnar", "--set", "vflip=0.5")
    says("no setting called 'elastik'", "--set", "elastik=1")
    says("contradict", "--recipe", out, "--sample", "chiral")
    says("not a kind of sample", "--sample", "steel")
    says("already exists", to=folder)
    assert not out.exists()
    closed = anneal("augment", folder, out, *(f"--gold=g{i}" for i in range(4)))
    assert closed.returncode == 2
    assert "nothing is painted" in closed.stderr


def test_of_a_split_only_what_trains_and_is_not_gold_is_augmented(folder, tmp_path):
    from napari_anneal.validation import write_plan

    samples = na.read_samples(folder)
    plan = na.group_split(samples, 4)
    write_plan(plan, samples, tmp_path / "split.json")
    train = [samples[i] for i in plan.folds[0].train]
    done = last_json(
        anneal(
            "augment",
            folder,
            tmp_path / "a",
            "--split",
            tmp_path / "split.json",
            "--gold",
            train[0].group,
            "--copies",
            1,
            "--json",
        )
    )
    assert done["copies"] == 2
    refused(
        anneal("augment", folder, tmp_path / "b", "--split", tmp_path / "split.json", "--fold", 9), "there is no fold 9"
    )
