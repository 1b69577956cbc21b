"""Probabilities and uncertainty on disk: the numbers of the run in memory, in files that other programs understand."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import zarr
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr_models.v05.image import Image

from napari_anneal import cli
from napari_anneal.errors import InputError, OutputError
from napari_anneal.inference.map_output import MapWriter

SPACING = (2.0, 0.5, 0.25)


@pytest.fixture
def stack() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, (4, 30, 26), dtype=np.uint8)


def finest(path):
    return zarr.open_group(path, mode="r")["0"][...]


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("half", [False, True])
def test_what_is_on_disk_is_what_the_run_has_in_memory(model, stack, tmp_path, ndim, half):
    image = stack if ndim == 3 else stack[0]
    files = {"probabilities_out": tmp_path / "p.ome.zarr", "uncertainty_out": tmp_path / "u.ome.zarr"}
    result = model.segment(image, out=tmp_path / "seg.ome.zarr", half=half, **files)
    expected = model.segment(image, probabilities=True, uncertainty="entropy")
    dtype = np.float16 if half else np.float32
    for found, wanted, path in (
        (result.probabilities, expected.probabilities, tmp_path / "p.ome.zarr"),
        (result.uncertainty, expected.uncertainty, tmp_path / "u.ome.zarr"),
    ):
        assert isinstance(found, zarr.Array)
        assert (found.dtype, found.shape) == (dtype, wanted.shape)
        assert np.array_equal(found[...], wanted.astype(dtype))
        assert np.array_equal(finest(path), found[...])
    assert np.array_equal(np.asarray(result.labels), expected.labels)
    assert {file.name for file in tmp_path.iterdir()} == {"seg.ome.zarr", "p.ome.zarr", "u.ome.zarr"}


def test_the_uncertainty_on_disk_is_the_one_that_was_asked_for(model, stack, tmp_path):
    model.segment(stack, uncertainty="tta", uncertainty_out=tmp_path / "u.zarr")
    assert np.array_equal(finest(tmp_path / "u.zarr"), model.segment(stack, uncertainty="tta").uncertainty)


def test_the_temperature_of_the_model_counts(model, stack, tmp_path):
    cool = model.calibrated(0.5)
    cool.segment(stack, probabilities_out=tmp_path / "p.zarr")
    assert np.array_equal(finest(tmp_path / "p.zarr"), cool.segment(stack, probabilities=True).probabilities)


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_files_validate_and_name_axes_units_and_classes(model, stack, tmp_path, ndim):
    image, spacing = (stack, SPACING) if ndim == 3 else (stack[0], SPACING[1:])
    files = {"probabilities_out": tmp_path / "p.ome.zarr", "uncertainty_out": tmp_path / "u.ome.zarr"}
    model.segment(image, spacing=spacing, unit="nm", **files)
    for name, front in (("p", ["c"]), ("u", [])):
        group = zarr.open_group(tmp_path / f"{name}.ome.zarr", mode="r")
        Image.from_zarr(group)
        ome = group.attrs["ome"]
        axes = ome["multiscales"][0]["axes"]
        assert [axis["name"] for axis in axes] == [*front, *"zyx"[-ndim:]]
        assert [axis.get("unit") for axis in axes] == [*(None for _ in front), *["nanometer"] * ndim]
        (scale,) = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
        assert scale["scale"] == [*(1.0 for _ in front), *spacing]
        labels = [channel["label"] for channel in ome["omero"]["channels"]]
        assert labels == (list(model.classes) if front else ["uncertainty"])
        (node, *_) = list(Reader(parse_url(tmp_path / f"{name}.ome.zarr"))())
        assert np.array_equal(np.asarray(node.data[0]), group["0"][...])


def test_a_large_image_has_a_pyramid_and_a_chunk_a_class(model, tmp_path):
    image = np.random.default_rng(0).integers(0, 200, (520, 300), dtype=np.uint8)
    result = model.segment(image, probabilities_out=tmp_path / "p.zarr")
    group = zarr.open_group(tmp_path / "p.zarr", mode="r")
    assert group["0"].chunks[0] == 1
    assert group["1"].shape == (3, 260, 150)
    assert np.array_equal(group["1"][...], result.probabilities[...][:, ::2, ::2])


def cancelled(model, stack, out, **options):
    cancel = threading.Event()
    stop = lambda done, total: cancel.set() if done == 2 else None  # noqa: E731
    return model.segment(stack, out=out, tile=None, cancel=cancel, progress=stop, **options)


def test_a_cancelled_run_keeps_its_maps_and_goes_on_with_them(model, stack, tmp_path):
    files = {"probabilities_out": tmp_path / "p.zarr", "uncertainty_out": tmp_path / "u.zarr"}
    first = cancelled(model, stack, tmp_path / "seg.zarr", **files)
    done = first.done
    assert 0 < done < len(stack)
    expected = model.segment(stack, tile=None, probabilities=True, uncertainty="entropy")
    assert np.array_equal(first.probabilities[:, :done], expected.probabilities[:, :done])
    assert not (tmp_path / "p.zarr").exists()
    computed = []
    again = model.segment(
        stack,
        out=tmp_path / "seg.zarr",
        tile=None,
        resume=True,
        on_block=lambda block, *_: computed.append(block),
        **files,
    )
    assert len(computed) == len(stack) - done
    assert np.array_equal(again.probabilities[...], expected.probabilities)
    assert np.array_equal(again.uncertainty[...], expected.uncertainty)
    assert {file.name for file in tmp_path.iterdir()} == {"seg.zarr", "p.zarr", "u.zarr"}


@pytest.mark.parametrize("damage", ["a chunk is cut", "the maps are gone", "other precision"])
def test_what_the_disk_no_longer_holds_is_computed_again(model, stack, tmp_path, damage):
    cancelled(model, stack, tmp_path / "seg.zarr", probabilities_out=tmp_path / "p.zarr")
    partial = tmp_path / "p.partial.zarr"
    options = {"half": damage == "other precision"}
    if damage == "a chunk is cut":
        (chunk, *_) = sorted(file for file in (partial / "0" / "c").rglob("*") if file.is_file())
        chunk.write_bytes(chunk.read_bytes()[:-20])
    elif damage == "the maps are gone":
        import shutil

        shutil.rmtree(partial)
    again = model.segment(
        stack, out=tmp_path / "seg.zarr", tile=None, resume=True, probabilities_out=tmp_path / "p.zarr", **options
    )
    expected = model.segment(stack, tile=None, probabilities=True).probabilities
    assert np.array_equal(again.probabilities[...], expected.astype(again.probabilities.dtype))


def test_a_disk_that_fills_up_is_said_and_the_labels_done_are_kept(model, stack, tmp_path, monkeypatch):
    import errno

    real = MapWriter.write_block

    def full(self, block, values):
        if block.start[0] == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, block, values)

    monkeypatch.setattr(MapWriter, "write_block", full)
    with pytest.raises(OutputError, match="the disk is full"):
        model.segment(stack, out=tmp_path / "seg.zarr", probabilities_out=tmp_path / "p.zarr", tile=None)
    assert not any(file.name.startswith("p.") for file in tmp_path.iterdir())
    assert (tmp_path / "seg.partial.zarr").exists()


def test_a_bad_slice_keeps_what_is_finished_of_every_file(model, tmp_path):
    stack = np.random.default_rng(0).random((30, 16, 16)).astype(np.float32)
    stack[7, 3, 3] = np.nan
    with pytest.raises(InputError, match="slice 7 of the image holds NaN"):
        model.segment(stack, out=tmp_path / "seg.zarr", probabilities_out=tmp_path / "p.zarr")
    assert {"seg.partial.zarr", "p.partial.zarr"} <= {file.name for file in tmp_path.iterdir()}


def test_wrong_names_are_refused_before_anything_is_computed(model, stack, tmp_path):
    refuse = {"progress": lambda *_: pytest.fail("computed")}
    with pytest.raises(OutputError, match=r"written as \.ome\.zarr or \.zarr; end the name so"):
        model.segment(stack, probabilities_out=tmp_path / "p.tif", **refuse)
    with pytest.raises(OutputError, match="is asked for twice; give labels, probabilities and uncertainty a name each"):
        model.segment(stack, out=tmp_path / "a.zarr", uncertainty_out=tmp_path / "a.zarr", **refuse)
    (tmp_path / "p.zarr").mkdir()
    with pytest.raises(OutputError, match="already exists"):
        model.segment(stack, probabilities_out=tmp_path / "p.zarr", **refuse)


def test_the_terminal_writes_all_three(model, stack, tmp_path, capsys):
    np.save(tmp_path / "stack.npy", stack)
    model.save(tmp_path / "bundle")
    places = {name: str(tmp_path / f"{name}.ome.zarr") for name in ("labels", "probabilities", "uncertainty")}
    words = ["segment", str(tmp_path / "bundle"), str(tmp_path / "stack.npy"), "--out", places["labels"], "--half"]
    words += ["--probabilities", places["probabilities"], "--uncertainty", places["uncertainty"], "--json"]
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert not ended.value.code
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert {name: told[name] for name in places} == places
    assert finest(places["probabilities"]).dtype == np.float16
