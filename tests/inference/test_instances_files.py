"""Instances of segmentations and files: the right class, whole results or none, and the command."""

import json

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_anneal.cli import app
from napari_anneal.errors import AnnealError, InputError, OutputError
from napari_anneal.inference import Segmentation
from napari_anneal.inference.instances import InstanceRecipe, find_instances, instances_to_file
from napari_anneal.samples.reading import read_image

WALLS = np.ones((40, 60), np.uint8)
WALLS[:, 20] = WALLS[:, 40] = WALLS[15] = 2


def segmentation(labels, classes, probabilities=None, **more):
    return Segmentation(labels, probabilities, None, classes, **more)


def test_a_segmentation_divides_at_its_boundary_class():
    found = segmentation(WALLS, ("grain", "grain boundary"), spacing=(0.5, 0.5)).instances()
    assert found.count == 6
    assert found.spacing == (0.5, 0.5)
    assert set(found.table["class"]) == {"grain"}
    np.testing.assert_array_equal(found.labels, find_instances(WALLS, value=2).labels)


@pytest.mark.parametrize(("unit", "step"), [("nm", 500), ("µm", 0.5), ("Å", 5000), ("mm", 5e-4), (None, 0.5)])
def test_the_table_is_in_micrometres_whatever_the_unit(unit, step):
    found = segmentation(WALLS, ("grain", "boundary"), spacing=(step, step), unit=unit).instances()
    assert found.table["area_um2"] == pytest.approx(found.table["area_px"] * 0.25)


def test_probabilities_are_preferred_to_labels():
    probability = np.zeros((2, 40, 60), np.float32)
    probability[1, :, 30] = 0.4
    probability[0] = 1 - probability[1]
    whole = segmentation(np.ones((40, 60), np.uint8), ("grain", "boundary"))
    assert whole.instances().count == 1
    assert segmentation(whole.labels, whole.classes, probability).instances().count == 2


def test_objects_are_the_class_that_is_no_ground_or_the_one_named():
    labels = np.where(WALLS == 2, 1, 2).astype(np.uint8)
    recipe = InstanceRecipe(kind="objects", split=False)
    found = segmentation(labels, ("matrix", "precipitate")).instances(recipe)
    assert found.count == 6
    assert set(found.table["class"]) == {"precipitate"}
    several = segmentation(labels, ("pore", "fibre"))
    assert several.instances(recipe, of="Fibre").count == 6
    with pytest.raises(InputError, match="say which"):
        several.instances(recipe)


def test_without_a_boundary_class_the_sentence_names_the_classes():
    with pytest.raises(InputError, match="classes pore, fibre"):
        segmentation(WALLS, ("pore", "fibre")).instances()
    with pytest.raises(InputError, match="no class 'crack'"):
        segmentation(WALLS, ("pore", "fibre")).instances(of="crack")
    with pytest.raises(InputError, match="cancelled"):
        segmentation(WALLS, ("grain", "boundary"), done=0).instances()


@pytest.mark.parametrize("name", ["a.tif", "a.ome.zarr", "a.ome.tif"])
def test_a_file_holds_what_memory_holds_with_its_pixel_size(tmp_path, name):
    volume = np.repeat(WALLS[None], 3, axis=0)
    found = instances_to_file(volume, tmp_path / name, value=2, spacing=(2, 0.5, 0.5))
    expected = find_instances(volume, value=2, spacing=(2, 0.5, 0.5))
    array, axes, spacing = read_image(found.path, as_labels=True)
    np.testing.assert_array_equal(np.asarray(array), expected.labels)
    assert (axes, np.dtype(array.dtype)) == ("ZYX", np.uint16)
    assert spacing == pytest.approx((2, 0.5, 0.5))
    assert found.table.to_csv() == expected.table.to_csv()
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_more_instances_than_two_bytes_number_take_four(tmp_path):
    dots = np.zeros((520, 520), bool)
    dots[::2, ::2] = True
    recipe = InstanceRecipe(kind="objects", split=False, min_size=1)
    found = instances_to_file(dots, tmp_path / "a.tif", recipe)
    written = tifffile.imread(found.path)
    assert written.dtype == np.uint32
    assert written.max() == found.count == 260**2


def test_what_exists_is_kept_and_errors_leave_nothing_behind(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"mine")
    with pytest.raises(OutputError, match="already exists"):
        instances_to_file(WALLS, tmp_path / "a.tif", value=2)
    with pytest.raises(OutputError, match="written as"):
        instances_to_file(WALLS, tmp_path / "a.png", value=2)
    with pytest.raises(InputError, match="NaN"):
        instances_to_file(np.full((9, 9), np.nan, np.float32), tmp_path / "b.tif")
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]
    assert (tmp_path / "a.tif").read_bytes() == b"mine"


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_command_divides_labels_and_writes_the_table(tmp_path):
    tifffile.imwrite(tmp_path / "labels.tif", WALLS)
    done = run("instances", tmp_path / "labels.tif", tmp_path / "grains.tif", "--class", 2, "--spacing-um", 0.5,
               "--table", tmp_path / "t.csv", "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["instances"] == 6
    assert tifffile.imread(told["labels"]).max() == 6
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 7
    assert "area_um2" in (tmp_path / "t.csv").read_text()


def test_the_command_segments_first_with_a_model(tmp_path, make_model):
    image = np.random.default_rng(0).random((64, 80)).astype(np.float32)
    tifffile.imwrite(tmp_path / "image.tif", image)
    model = make_model(n_classes=2)
    bundle = model.save(tmp_path / "bundle")
    done = run("instances", tmp_path / "image.tif", tmp_path / "out.ome.zarr", "--model", bundle, "--kind", "objects",
               "--class", "class 1", "--set", "split=false", "--min-size", 1, "--table", tmp_path / "t.json",
               "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "t.json").read_text())
    expected = model.segment(image).instances(
        InstanceRecipe(kind="objects", split=False, min_size=1), of="class 1", intensity=image
    )
    assert len(rows) == expected.count > 0
    assert rows == expected.table.rows()


def test_probabilities_on_the_disk_are_divided_where_they_are(tmp_path, make_model):
    volume = np.random.default_rng(1).random((5, 48, 40)).astype(np.float32)
    tifffile.imwrite(tmp_path / "stack.tif", volume)
    model = make_model(n_classes=2)
    recipe = InstanceRecipe(kind="objects", split=False)
    held = model.segment(volume, probabilities=True).instances(recipe, of="class 2")
    stored = model.segment(volume, probabilities_out=tmp_path / "p.ome.zarr").instances(recipe, of="class 2")
    np.testing.assert_array_equal(held.labels, stored.labels)
    done = run("instances", tmp_path / "stack.tif", tmp_path / "a" / "out.tif", "--model", model.save(tmp_path / "b"),
               "--kind", "objects", "--class", "class 2", "--set", "split=false")  # fmt: skip
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a" / "out.tif"), held.labels)
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["out.tif"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--class", "edge"], "no label"),
        (["--class", "2", "--kind", "lines"], "no kind"),
        (["--class", "2", "--table", "t.xlsx"], "must end in"),
        (["--class", "2", "--set", "dept=3"], "dept"),
        (["--class", "2", "--min-size-um", "3"], "pixel size"),
        (["--class", "2", "--min-size-um", "0"], "min_size_um"),
        (["--class", "2", "--depth", "0"], "depth"),
        ([], "say which one"),
    ],
)
def test_the_command_refuses_with_one_sentence(tmp_path, words, sentence):
    tifffile.imwrite(tmp_path / "labels.tif", WALLS)
    done = run("instances", tmp_path / "labels.tif", tmp_path / "grains.tif", *words)
    assert done.exit_code != 0
    assert isinstance(done.exception, AnnealError)
    assert sentence in str(done.exception)
    assert not (tmp_path / "grains.tif").exists()
