"""Claims about augmented pairs on disk: what is read back is what the augmenter makes, and nothing half-done stays."""

from __future__ import annotations

import csv
import hashlib
import json
import threading
from pathlib import Path

import numpy as np
import pytest

import napari_anneal as na
from napari_anneal.augmentation import AugmentationRecipe, Augmenter, export_augmented, read_augmentation
from napari_anneal.errors import GoldError, InputError, OutputError
from napari_anneal.samples import lock
from napari_anneal.samples.normalisation import intensity_range

GENTLE = AugmentationRecipe()


def picture(seed: int, shape: tuple[int, ...] = (48, 64), dtype: type = np.uint8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(120, 30, shape).clip(0, 255).astype(dtype)


def sample(seed: int, name: str, group: str = "", **more: object) -> na.Sample:
    image = picture(seed, **more)
    labels = np.random.default_rng(seed).integers(0, 3, image.shape[:2])
    return na.Sample(image, labels, group, (0.2, 0.44), name)


def files(folder: Path) -> dict[str, str]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "groups.csv").open(encoding="utf-8", newline="") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize("more", [{}, {"shape": (48, 64, 3)}, {"dtype": np.uint16}, {"dtype": np.float32}])
def test_a_folder_read_back_holds_the_originals_and_what_the_augmenter_makes_of_them(tmp_path, more):
    one = sample(3, "steel", "plate 7", **more)
    export_augmented([one], GENTLE, tmp_path / "out", copies=3, seed=5)
    read = {found.name: found for found in na.read_samples(tmp_path / "out")}
    assert list(read) == ["steel", "steel_aug001", "steel_aug002", "steel_aug003"]
    np.testing.assert_array_equal(read["steel"].image, one.image)
    np.testing.assert_array_equal(read["steel"].labels, one.labels)
    limits = intensity_range(one.image, one.axes)
    table = rows(tmp_path / "out")
    for name in list(read)[1:]:
        unit, labels = Augmenter(GENTLE)(
            limits.apply(one.channels_first(slice(None))), one.labels, int(table[name]["augmentation_seed"])
        )
        np.testing.assert_array_equal(read[name].labels, labels)
        grey = np.squeeze(np.moveaxis(unit, 0, -1)) * (limits.high - limits.low) + limits.low
        off = np.abs(
            read[name].image.astype(float) - (grey.clip(0, 255) if read[name].image.dtype == np.uint8 else grey)
        )
        assert off.max() <= (0.51 if one.image.dtype.kind == "u" else 1e-3)
        assert read[name].image.dtype == one.image.dtype
        assert read[name].spacing == pytest.approx(one.spacing, rel=1e-6)


def test_copies_keep_the_group_of_their_original_and_say_whose_they_are(tmp_path):
    given = [sample(0, "a", "x, y"), sample(1, "b"), sample(2, "c", "x, y")]
    export_augmented(given, GENTLE, tmp_path / "out", copies=2)
    for found in na.read_samples(tmp_path / "out"):
        original = found.copy_of or found.name
        assert found.group == {"a": "x, y", "b": "b", "c": "x, y"}[original]
        assert found.name.startswith(original)
        assert ("_aug" in found.name) == bool(found.copy_of)


def test_every_painted_slice_of_a_stack_becomes_a_pair_in_the_group_of_the_stack(tmp_path):
    stack = picture(0, (6, 40, 40))
    labels = np.zeros((6, 40, 40), int)
    labels[2, :20], labels[5, 20:] = 1, 2
    done = export_augmented(
        [na.Sample(stack, labels, spacing=(3.0, 0.5, 0.5), name="ct")], GENTLE, tmp_path / "out", copies=1
    )
    read = na.read_samples(tmp_path / "out")
    assert [one.name for one in read] == ["ct_z0002", "ct_z0002_aug001", "ct_z0005", "ct_z0005_aug001"]
    assert {one.group for one in read} == {"ct"}
    np.testing.assert_array_equal(read[0].image, stack[2])
    assert read[2].spacing == pytest.approx((0.5, 0.5))
    assert (done.copies, done.originals) == (2, 2)


def test_the_same_seed_gives_the_same_files_and_another_seed_others(tmp_path):
    given = [sample(0, "a"), sample(1, "b")]
    for name, seed in (("one", 4), ("two", 4), ("three", 5)):
        export_augmented(given, GENTLE, tmp_path / name, copies=2, seed=seed)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    differing = {path for path, digest in files(tmp_path / "one").items() if files(tmp_path / "three")[path] != digest}
    assert {path for path in differing if "aug" in path and path.startswith("images")} == {
        f"images/{name}_aug00{k}.tif" for name in "ab" for k in (1, 2)
    }


def test_the_recipe_beside_the_pairs_makes_them_again(tmp_path):
    recipe = AugmentationRecipe.for_sample("rolled", direction_deg=0, elastic=0.4)
    export_augmented([sample(0, "a")], recipe, tmp_path / "one", copies=2, seed=8)
    again = read_augmentation(tmp_path / "one")
    assert again == recipe
    seed = json.loads((tmp_path / "one" / "recipe.json").read_text())["seed"]
    export_augmented([sample(0, "a")], again, tmp_path / "two", copies=2, seed=seed)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_samples_without_paint_are_left_out_and_named_and_without_any_paint_there_is_no_folder(tmp_path):
    bare, blank = na.Sample(picture(1), name="bare"), na.Sample(picture(2), np.zeros((48, 64), int), name="blank")
    done = export_augmented([bare, sample(0, "a"), blank], GENTLE, tmp_path / "out", copies=1)
    assert done.left_out == ("bare", "blank")
    assert "bare, blank" in str(done)
    with pytest.raises(InputError, match="nothing is painted"):
        export_augmented([bare, blank], GENTLE, tmp_path / "none")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_copy_keeps_some_paint_or_the_sample_is_refused_by_name(tmp_path):
    labels = np.zeros((48, 64), int)
    labels[0, 0] = 1
    dot = na.Sample(picture(0), labels, name="dot")
    often = AugmentationRecipe.only(rotate=0.7, outside="unpainted", rotate_deg=(30.0, 45.0))
    export_augmented([dot], often, tmp_path / "some", copies=6)
    assert all(one.labels.any() for one in na.read_samples(tmp_path / "some"))
    always = AugmentationRecipe.only(rotate=1.0, outside="unpainted", rotate_deg=(40.0, 45.0))
    with pytest.raises(InputError, match="'dot' has so little paint"):
        export_augmented([dot], always, tmp_path / "none", copies=1)
    assert [path.name for path in tmp_path.iterdir()] == ["some"]


def test_nothing_is_left_of_an_export_that_was_cancelled_or_failed(tmp_path, monkeypatch):
    stop, seen = threading.Event(), []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 3:
            stop.set()

    done = export_augmented([sample(0, "a"), sample(1, "b")], GENTLE, tmp_path / "out", progress=progress, cancel=stop)
    assert done.folder is None
    assert seen == [(1, 12), (2, 12), (3, 12)]
    from napari_anneal.augmentation import export

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "put_in_place", full)
    with pytest.raises(OutputError, match="the disk is full"):
        export_augmented([sample(0, "a")], GENTLE, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_progress_ends_at_the_number_of_pairs(tmp_path):
    seen: list[tuple[int, int]] = []
    export_augmented([sample(0, "a")], GENTLE, tmp_path / "out", copies=2, progress=lambda *now: seen.append(now))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_what_must_not_be_exported_is_refused_before_anything_is_written(tmp_path):
    a = sample(0, "a")
    (tmp_path / "there" / "images").mkdir(parents=True)
    # What a recipe file edited by hand, or one of an older version, may hold.
    illegal = AugmentationRecipe.model_construct(**{**GENTLE.model_dump(), "sample": "columnar"})
    for samples, recipe, more, error, words in (
        ([a], GENTLE, {"out": "there"}, OutputError, "already exists"),
        ([lock(a)], GENTLE, {}, GoldError, "gold"),
        ([a], illegal, {}, InputError, "vflip is not legal for a sample that is 'columnar'"),
        ([a], AugmentationRecipe.none(), {}, InputError, "varies nothing"),
        ([a], GENTLE, {"copies": 0}, InputError, "copies = 0"),
        ([a], GENTLE, {"copies": True}, InputError, "copies = True"),
        ([a], GENTLE, {"seed": -1}, InputError, "seed = -1"),
        ([a, sample(1, "A")], GENTLE, {}, InputError, "two samples are called 'A'"),
        ([na.Sample(np.ones((9, 9)), np.ones((9, 9), int), name="flat")], GENTLE, {}, InputError, "constant"),
        ([na.Sample(a.image, a.labels, name="c", copy_of="a")], GENTLE, {}, InputError, "itself an augmented copy"),
        ([], GENTLE, {}, InputError, "nothing is painted"),
    ):
        with pytest.raises(error, match=words):
            export_augmented(samples, recipe, tmp_path / more.pop("out", "new"), **more)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_what_a_killed_export_has_left_and_an_empty_folder_are_no_obstacles(tmp_path):
    (tmp_path / ".out.partial" / "images").mkdir(parents=True)
    (tmp_path / ".out.partial" / "images" / "old.tif").write_bytes(b"half")
    (tmp_path / "out").mkdir()
    export_augmented([sample(0, "a")], GENTLE, tmp_path / "out", copies=1)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [one.name for one in na.read_samples(tmp_path / "out")] == ["a", "a_aug001"]


def test_names_that_no_file_can_have_are_made_fit(tmp_path):
    export_augmented([sample(0, "a/b: c?"), sample(1, "")], GENTLE, tmp_path / "out", copies=1, originals=False)
    assert {one.copy_of for one in na.read_samples(tmp_path / "out")} == {"a_b_ c_", "image_002"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no JSON text"),
        ("[1]", "holds a list"),
        ('{"augmentation": {"elastik": 1}}', "elastik"),
        ('{"sample": "chiral"}', "hflip is not legal"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_by_its_name(tmp_path, text, words):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(InputError, match=words) as found:
        read_augmentation(tmp_path / "r.json")
    assert "r.json" in str(found.value)


def test_boolean_images_come_back_as_black_and_white(tmp_path):
    image = np.random.default_rng(0).random((40, 40)) > 0.5
    export_augmented(
        [na.Sample(image, image + 1, name="b")], AugmentationRecipe.only(hflip=1.0), tmp_path / "o", copies=1
    )
    first, second = na.read_samples(tmp_path / "o")
    np.testing.assert_array_equal(first.image, image * np.uint8(255))
    np.testing.assert_array_equal(second.image, image[:, ::-1] * np.uint8(255))
