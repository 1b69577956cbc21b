"""Claims about names: tiles, slices and augmented copies of one image are one group, and other names are left alone."""

import numpy as np
import pytest

from napari_anneal.samples import Sample
from napari_anneal.validation import group_split
from napari_anneal.validation.checking import check_samples
from napari_anneal.validation.leakage.parts import parts_of_one


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("steelA_tile_3_7", "steelA"),
        ("ct-slice012", "ct"),
        ("b.aug4", "b"),
        ("plate 2 crop 1", "plate 2"),
        ("run1_frame_07", "run1"),
        ("a_tile_x0_y256", "a"),
        ("A_FLIP2", "A"),
    ],
)
def test_a_part_belongs_to_its_image_and_to_its_other_parts(name, image):
    assert parts_of_one([image, name]) == [(0, 1, image)]
    assert parts_of_one([name, image]) == [(0, 1, image)]
    assert parts_of_one([name, "other", name + "1"]) == [(0, 2, image)]


def test_names_that_only_look_like_it_are_left_alone():
    plain = ["steel_01", "steel_02", "80k-9", "80k-10", "spot1_180d_5", "cropped_3", "cropped_4", "a_z012", "a_z013"]
    # Nothing before the word: these may be of as many specimens as there are.
    bare = ["tile_1", "tile_2", "slice_001", "slice_002", "crop1", "crop2", "_tile_1", "_tile_2"]
    assert parts_of_one([*plain, *bare]) == []
    assert parts_of_one(["same", "same", "", ""]) == []


def painted(seed, name, group):
    image = np.random.default_rng(seed).integers(0, 255, (48, 48), dtype=np.uint8)
    return Sample(image, np.where(image > 128, 2, 1).astype(np.uint8), group, None, name)


def test_they_are_never_on_two_sides_of_a_split_whatever_the_table_says():
    names = ["a_tile_1", "a_tile_2", "a_aug1", "b", "c"]
    samples = [painted(i, name, f"g{i}") for i, name in enumerate(names)]
    plan = group_split(samples, 3)
    for fold in plan.folds:
        assert len({0, 1, 2} & set(fold.val)) in (0, 3)
    assert any("'a_tile_1' and 'a_tile_2' were made of one image ('a')" in text for text in plan.report.warnings)
    gold = group_split(samples, 2, gold=["g1"])
    assert gold.gold == (0, 1, 2)


def test_check_names_them():
    samples = [painted(0, "a_tile_1", "g0"), painted(1, "a_tile_2", "g1"), painted(2, "b", "g2")]
    kinds = {p.kind: p for p in check_samples(samples).problems}
    assert kinds["parts across groups"].names == ("a_tile_1", "a_tile_2")
    same = [samples[0], samples[1].changed(group="g0"), samples[2]]
    assert "parts across groups" not in {p.kind for p in check_samples(same).problems}
    free = [sample.changed(group="") for sample in samples]
    assert "parts across groups" not in {p.kind for p in check_samples(free).problems}
