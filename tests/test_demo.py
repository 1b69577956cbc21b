"""The demo, shortened to a few steps: all of its files are there, and none of the held-out specimens was trained on."""

import csv
import json

import numpy as np
import pytest
import tifffile
import zarr

from napari_anneal.demo import run_demo, stack, superalloy
from napari_anneal.errors import OutputError
from napari_anneal.inference import load_model
from napari_anneal.samples.shipped import shipped_samples


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for part, steps in ((superalloy, 2), (stack, 2)):
            patch.setattr(part, "EPOCHS", 3)
            patch.setattr(part, "STEPS_PER_EPOCH", steps)
        yield run_demo(tmp_path_factory.mktemp("demo") / "out", say=lambda text: None)


def test_every_promised_file_is_there(result):
    folder = result.folder
    assert load_model(folder / "run" / "model").classes == superalloy.CLASSES
    assert len(list(csv.DictReader((folder / "run" / "history.csv").open()))) == 3
    held = [s for s in shipped_samples("superalloy") if s.group in superalloy.HELD_OUT]
    for sample in held:
        assert tifffile.imread(folder / "labels" / f"{sample.name}.tif").shape == sample.image.shape
        assert f"overlays/{sample.name}.png" in result.report.read_text(encoding="utf-8")
    labels = zarr.open_group(folder / "cement_labels.ome.zarr", mode="r")["0"]
    assert labels.shape == (128, 128, 128)
    assert 1 <= np.asarray(labels[64]).min() <= np.asarray(labels[64]).max() <= 3
    for source in result.report.read_text(encoding="utf-8").split('<img src="')[1:]:
        assert (folder / source.split('"')[0]).read_bytes().startswith(b"\x89PNG")


def test_held_out_specimens_are_neither_trained_nor_validated_on(result):
    seen = result.comparison.run.model.card.fingerprints
    groups = {s.name: s.group for s in shipped_samples("superalloy")}
    assert {groups[name] for name in seen} == {"spot1", "spot2", "spot3", "spot4"}


def test_figures_are_those_of_all_ways(result):
    printed = result.summary()
    data = json.loads(json.dumps(result.to_dict()))
    assert len(data["dice"]) == 4
    for name, scores in data["dice"].items():
        assert name in printed
        assert len(scores) == 3
        assert all(f"{score:.3f}" in printed for score in result.comparison.reports[name].mean("dice"))
    assert 0.005 < data["painted_share"] < 0.08


def test_an_earlier_demo_is_replaced_only_when_asked_and_nothing_else_ever(result, tmp_path):
    with pytest.raises(OutputError, match="--overwrite"):
        run_demo(result.folder)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="choose another folder"):
        run_demo(mine, overwrite=True)
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_with_a_display_everything_is_in_the_viewer(result, make_napari_viewer):
    from napari_anneal.widgets._session_models import session_models
    from napari_anneal.widgets.demo_viewer import load_demo

    viewer = make_napari_viewer()
    load_demo(viewer, result)
    stack = [layer for layer in viewer.layers if layer.name.startswith("cement")]
    assert [layer.name for layer in stack] == ["cement", "cement strokes", "cement segmented"]
    assert all(layer.visible and layer.data.shape == (128, 128, 128) for layer in stack)
    assert np.array_equal(stack[2].data, np.asarray(result.stack.segmentation.labels))
    assert len(viewer.layers) == 6
    assert list(viewer.layers)[-3:] == stack
    assert viewer.layers.selection.active is stack[2]
    assert {"demo superalloy", "demo cement"} <= set(session_models().names())
