"""Data sets that are wrong in one way each: every command that reads them says so in one sentence, and what to do."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tifffile
from test_cli import anneal, last_json, refused

TABLE = "image,group\ns0,g0\ns1,g1\ns2,g2\ns3,g3\n"
TINY = (
    "--start",
    "scratch",
    "--preset",
    "scratch",
    "--encoder",
    "resnet10t",
    "--epochs",
    1,
    "--steps",
    1,
    "--patch",
    64,
)
TINY += ("--batch", 2, "--device", "cpu", "--dry-run")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Four specimens, painted all over with two classes, without a pixel size."""
    root = tmp_path_factory.mktemp("good") / "data"
    for sub in ("images", "labels"):
        (root / sub).mkdir(parents=True)
    for i in range(4):
        rng = np.random.default_rng(i)
        labels = np.where(rng.random((96, 96)) < 0.5, 1, 2).astype(np.uint8)
        tifffile.imwrite(
            root / "images" / f"s{i}.tif", (60 * labels + rng.integers(0, 40, labels.shape)).astype(np.uint8)
        )
        tifffile.imwrite(root / "labels" / f"s{i}.tif", labels)
    (root / "groups.csv").write_text(TABLE)
    return root


@pytest.fixture
def data(good, tmp_path):
    return shutil.copytree(good, tmp_path / "data")


def relabel(data, number, change):
    path = data / "labels" / f"s{number}.tif"
    tifffile.imwrite(path, change(tifffile.imread(path)).astype(np.uint8))


def kinds(data, *words):
    return {
        problem["kind"]: problem["sentence"]
        for problem in last_json(anneal("check", data, *words, "--json"))["problems"]
    }


TABLES = {
    "an empty group": ("image,group\ns0,g0\ns1,\ns2,g2\ns3,g3\n", "empty row", "line 3: the group is empty"),
    "an empty image": ("image,group\ns0,g0\n,g1\ns2,g2\ns3,g3\n", "empty row", "line 3: the image is empty"),
    "a name without a file": (f"{TABLE}s9,g9\n", "group without image", "line 6: there is no image 's9'"),
    "a name listed twice": (f"{TABLE}s0.tif,g9\n", "duplicate name", "line 6: 's0.tif' is listed twice"),
    "an image left out": ("image,group\ns0,g0\ns1,g1\n", "image without group", "gives no group for s2 (and 1 more)"),
}


@pytest.mark.parametrize("what", TABLES)
def test_a_table_that_does_not_fit_is_refused_by_its_line_and_told_by_check(data, what):
    text, kind, says = TABLES[what]
    (data / "groups.csv").write_text(text)
    assert says in kinds(data)[kind]
    for words in (("split", data), ("train", data, *TINY), ("evaluate", "voronoi", data), ("cross-validate", data)):
        refused(anneal(*words), "groups.csv", says)
    refused(anneal("calibrate", "voronoi", data, "--out", data / "out"), says)


def test_two_files_of_one_name(data):
    shutil.copy(data / "images" / "s0.tif", data / "images" / "s0.tiff")
    assert "both s0.tif and s0.tiff" in kinds(data)["duplicate name"]
    refused(anneal("split", data), "both s0.tif and s0.tiff", "must differ")
    refused(anneal("train", data, *TINY), "both s0.tif and s0.tiff")


def test_one_group_only(data):
    (data / "groups.csv").write_text("image,group\n" + "".join(f"s{k},all\n" for k in range(4)))
    assert "all 4 images are of one group (all)" in kinds(data)["one group"]
    for words in (("split", data, "--folds", 2), ("train", data, *TINY, "--fold", 1), ("cross-validate", data)):
        refused(anneal(*words), "only one group", "a split needs two")


def test_more_folds_than_groups_names_the_most_there_can_be(data):
    refused(anneal("split", data, "--folds", 9), "9 folds need 9 groups", "largest possible number of folds is 4")


def test_a_class_in_one_group_only(data):
    relabel(data, 0, lambda labels: np.where(labels == 2, 3, labels))
    assert "label 3 is painted in 'g0' only" in kinds(data)["class in one group"]
    done = anneal("split", data, "--folds", 2)
    assert "label 3 is painted in 'g0' only" in done.stdout
    assert "paint it in another group too" in done.stdout
    judging = next(k for k in (1, 2) if f"fold {k} trains without class 3" in done.stdout)
    done = anneal("train", data, *TINY, "--folds", 2, "--fold", judging)
    assert done.returncode == 2
    assert "label 3 (class 3) is painted nowhere in the training images" in done.stderr.splitlines()[-1]


def test_gold_that_is_also_in_training(data):
    pixels = tifffile.imread(data / "images" / "s3.tif")
    tifffile.imwrite(data / "images" / "s0.tif", 255 - np.rot90(pixels))
    assert (
        "gold and training share an image: 's3' is a copy of 's0'"
        in kinds(data, "--gold", "g3")["gold overlaps training"]
    )
    split = last_json(anneal("split", data, "--folds", 2, "--gold", "g3", "--out", data / "plan.json", "--json"))
    assert split["gold"] == ["s0", "s3"]
    plan = last_json(anneal("train", data, *TINY, "--gold", "g3", "--json"))
    assert {*plan["train"], *plan["validation"]} == {"s1", "s2"}
    refused(anneal("train", data, *TINY, "--gold", "nobody"), "no sample belongs to the gold group 'nobody'")
    # A split that was edited by hand, so that the copy trains.
    text = (data / "plan.json").read_text().replace('"gold": [\n    "s0",', '"gold": [')
    text = text.replace('"train": [', '"train": [\n        "s0",', 1)
    (data / "plan.json").write_text(text)
    refused(anneal("train", data, *TINY, "--split", data / "plan.json"), "'s0' trains and 's3' is gold", "one group")


def test_an_image_without_paint_and_no_paint_at_all(data):
    relabel(data, 1, np.zeros_like)
    assert "the labels of s1 are empty" in kinds(data)["unpainted"]
    assert "not painted, so in no fold: s1" in anneal("split", data, "--folds", 2).stdout
    refused(anneal("evaluate", "voronoi", data), "s1 has no painted labels", "leave it out")
    for number in (0, 2, 3):
        relabel(data, number, np.zeros_like)
    assert "no image is painted at all" in anneal("check", data).stdout
    refused(anneal("split", data, "--folds", 2), "no group with painted labels")
    refused(anneal("train", data, *TINY), "no painted labels", "paint a few strokes")


def test_micrometres_where_no_pixel_size_is_known(data):
    refused(anneal("evaluate", "voronoi", data, "--tolerance-um", 1), "s0 has no pixel size", "1 µm")
    done = anneal("grain-size", data / "labels" / "s0.tif", "--boundary", 2, "--json")
    assert last_json(done)["intercept"]["g"] is None
    assert "no pixel size is known" in done.stderr
    assert "--spacing-um" in done.stderr
    notes = last_json(anneal("check", data, "--json"))["notes"]
    assert any(note["kind"] == "no spacing" and "figures in µm" in note["sentence"] for note in notes)


def test_check_lists_copies_as_name_name_kind(data):
    pixels = tifffile.imread(data / "images" / "s3.tif")
    tifffile.imwrite(data / "images" / "s0.tif", np.rot90(pixels))
    found = last_json(anneal("check", data, "--json"))
    assert found["copies"] == [["s0", "s3", "symmetric"]] == found["leaks"]
