"""evaluate, calibrate and grain-size from a terminal."""

import csv
import json

import numpy as np
import pytest
import tifffile
from test_cli import anneal, last_json, refused

import napari_anneal as na


@pytest.fixture(scope="module")
def grains():
    return na.synthesize(na.MicrostructureRecipe(shape=(160, 160), n_seeds=60, boundary_width=2.0), seed=0)


@pytest.fixture(scope="module")
def specimens(tmp_path_factory):
    """Six synthetic specimens in a folder; a sixth of the labels is wrong, so that a model has errors to find."""
    root = tmp_path_factory.mktemp("specimens")
    for sub in ("images", "labels"):
        (root / sub).mkdir()
    rng = np.random.default_rng(0)
    rows = ["image,group"]
    for i in range(6):
        made = na.synthesize(na.MicrostructureRecipe(shape=(64, 64), n_seeds=8, boundary_width=3.0), seed=i)
        labels = np.where(rng.random((64, 64)) < 1 / 6, 3 - made.labels, made.labels).astype(np.uint8)
        tifffile.imwrite(root / "images" / f"s{i}.tif", (made.image * 255).astype(np.uint8))
        tifffile.imwrite(root / "labels" / f"s{i}.tif", labels)
        rows.append(f"s{i},specimen{i}")
    (root / "groups.csv").write_text("\n".join(rows) + "\n")
    return root


def test_grain_size_of_labels_is_that_of_python(grains, tmp_path):
    path = tmp_path / "grains.tif"
    tifffile.imwrite(path, grains.grains.astype(np.uint16))
    found = last_json(anneal("grain-size", path, "--spacing-um", 0.5, "--json"))
    assert found == json.loads(json.dumps(na.grain_size(grains.grains, 0.5).to_dict()))
    assert f"G = {na.grain_size(grains.grains, 0.5).g:.2f}" in anneal("grain-size", path, "--spacing-um", 0.5).stdout


def test_grain_size_writes_a_report_once(grains, tmp_path):
    path, page = tmp_path / "grains.tif", tmp_path / "report.html"
    tifffile.imwrite(path, grains.grains.astype(np.uint16))
    found = last_json(anneal("grain-size", path, "--spacing-um", 0.5, "--out", page, "--json"))
    assert found["report"] == str(page)
    assert sorted(p.name for p in tmp_path.glob("report.*")) == ["report.csv", "report.html", "report.json"]
    refused(anneal("grain-size", path, "--spacing-um", 0.5, "--out", page), "report.html already exists")


def test_grain_size_through_a_model_takes_its_boundary_class(grains, tmp_path):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, (grains.image * 255).astype(np.uint8))
    found = last_json(anneal("grain-size", path, "--model", "voronoi", "--spacing-um", 1, "--json"))
    labels = na.load_model("voronoi").segment(path, probabilities=False).labels
    truth, gappy = na.grain_size(grains.grains, 1.0).g, na.grain_size(labels, 1.0, boundary=2).g
    assert found["intercept"]["g"] == pytest.approx(na.grain_size(labels, 1.0, boundary=2, close_gaps=12).g)
    assert abs(found["intercept"]["g"] - truth) < 0.15 < abs(gappy - truth)


def test_grain_size_without_a_pixel_size_says_so_and_gives_pixels(grains, tmp_path):
    path, mask = tmp_path / "labels.png", tmp_path / "bar.npy"
    import imageio.v3 as iio

    iio.imwrite(path, grains.labels)
    bar = np.zeros(grains.labels.shape, np.uint8)
    bar[140:] = 255
    np.save(mask, bar)
    done = anneal("grain-size", path, "--boundary", 2, "--ignore", mask, "--json")
    assert last_json(done)["intercept"]["g"] is None
    assert "--spacing-um" in done.stderr
    expected = na.grain_size(grains.labels, boundary=2, ignore=bar > 0).intercept.value
    assert last_json(done)["intercept"]["mean_px"] == pytest.approx(expected)


def test_evaluate_gives_the_figures_asked_for_beside_controls_and_as_files(specimens, tmp_path):
    words = ("--groups", "specimen0", "--groups", "specimen1", "--metric", "dice", "--metric", "boundary_iou")
    words += ("--out", tmp_path / "page")  # which brings the controls
    found = last_json(anneal("evaluate", "voronoi", specimens, *words, "--json"))
    assert found["metrics"] == ["dice", "boundary_iou"]
    assert set(found["controls"]) == {"Otsu", "multi-Otsu", "watershed", "Sauvola", "Canny"}
    assert json.loads((tmp_path / "page" / "report.json").read_text())["mean"] == found["mean"]
    assert found["report"] == str(tmp_path / "page" / "report.html")
    refused(anneal("evaluate", "voronoi", specimens, *words), "already exists")
    with (tmp_path / "page" / "report.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["grain", "boundary"] * 2
    assert found["calibration"]["ece"] > 0


def test_calibrate_writes_a_bundle_with_a_temperature(specimens, tmp_path):
    words = ("--folds", 2, "--fold", 2, "--gold", "specimen5")
    found = last_json(anneal("calibrate", "voronoi", specimens, "--out", tmp_path / "warm", *words, "--json"))
    assert na.load_model(found["model"]).card.temperature == pytest.approx(found["temperature"])
    # The labels are wrong more often than the model thinks.
    assert found["temperature"] > 1
    assert found["after"]["nll"] < found["before"]["nll"]
    assert "s5" not in found["images"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("grain-size", "no-such.tif"), ("no-such.tif",)),
        (("grain-size", "ONE", "--spacing-um", "1"), ("single grain",)),
        (("grain-size", "ONE", "--spacing-um", "-1"), ("spacing_um=-1",)),
        (("grain-size", "ONE", "--boundary", "edge"), ("--boundary edge",)),
        (("grain-size", "ONE", "--zero", "grain"), ("zero='grain'",)),
        (("evaluate", "voronoi", "FOLDER", "--metric", "beauty"), ("beauty", "boundary_f1")),
        (("evaluate", "voronoi", "FOLDER", "--tolerance", "0"), ("tolerance of 0",)),
        (("evaluate", "voronoi", "FOLDER", "--tolerance-um", "1"), ("no pixel size",)),
        (("evaluate", "voronoi", "FOLDER", "--controls"), ("--controls", "--groups")),
        (("calibrate", "voronoi", "FOLDER", "--out", "OUT", "--folds", "50"), ("folds",)),
        (("calibrate", "voronoi", "FOLDER", "--out", "OUT", "--folds", "2", "--fold", "3"), ("no fold",)),
        (("calibrate", "voronoi", "FOLDER", "--out", "OUT", "--split", "none.json"), ("none.json",)),
        (("calibrate", "voronoi", "FOLDER", "--out", "OUT", "--group-pattern", "("), ("regular expression",)),
    ],
)
def test_what_cannot_be_measured_is_one_sentence_and_status_2(specimens, tmp_path, words, says):
    np.save(tmp_path / "one.npy", np.ones((30, 30), np.uint8))
    places = {"FOLDER": specimens, "ONE": tmp_path / "one.npy", "OUT": tmp_path / "out"}
    refused(anneal(*(places.get(word, word) for word in words)), *says)
