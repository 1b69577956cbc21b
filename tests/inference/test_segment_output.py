from __future__ import annotations

import errno
import shutil
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_anneal.errors import InputError, OutputError
from napari_anneal.inference.ome_zarr_labels import OmeZarrWriter
from napari_anneal.inference.output import LabelVolume
from napari_anneal.inference.tiff_labels import TiffWriter

FORMATS = ["seg.ome.zarr", "seg.zarr", "seg.tif", "seg.tiff", "seg.ome.tif"]
ONE_EACH = ["seg.ome.zarr", "seg.tif"]


@pytest.fixture
def stack() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, (4, 30, 26), dtype=np.uint8)


def read(path: Path) -> np.ndarray:
    return zarr.open_group(path, mode="r")["0"][...] if path.suffix == ".zarr" else tifffile.imread(path)


def cancel_after(slices: int):
    cancel = threading.Event()
    return {"cancel": cancel, "progress": lambda done, total: cancel.set() if done == slices else None, "tile": None}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("ndim", [2, 3])
def test_labels_on_disk_equal_labels_in_memory(model, stack, tmp_path, name, ndim):
    image = stack if ndim == 3 else stack[0]
    result = model.segment(image, out=tmp_path / "new" / name)
    expected = model.segment(image).labels
    assert result.path == tmp_path / "new" / name
    assert np.array_equal(read(result.path), expected)
    assert np.array_equal(np.asarray(result.labels), expected)
    assert [p.name for p in result.path.parent.iterdir()] == [name]


def test_a_result_on_disk_is_not_held_in_memory(model, stack, tmp_path):
    assert isinstance(model.segment(stack, out=tmp_path / "a.zarr").labels, zarr.Array)
    assert isinstance(model.segment(stack, out=tmp_path / "a.tif").labels, np.memmap)


def test_the_ome_zarr_validates_and_says_what_the_labels_are(model, stack, tmp_path):
    from ome_zarr_models.v05.image_label import ImageLabel

    path = model.segment(stack, out=tmp_path / "seg.ome.zarr", spacing=(2, 0.5, 0.25)).path
    group = zarr.open_group(path, mode="r")
    assert group.metadata.zarr_format == 3
    ImageLabel.from_zarr(group)
    ome = group.attrs["ome"]
    assert ome["version"] == "0.5"
    assert [axis["name"] for axis in ome["multiscales"][0]["axes"]] == ["z", "y", "x"]
    (scale,) = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert scale == {"type": "scale", "scale": [2.0, 0.5, 0.25]}
    names = {entry["label-value"]: entry["class"] for entry in ome["image-label"]["properties"]}
    assert names == dict(enumerate(model.classes, start=1))
    colours = {entry["label-value"]: entry["rgba"] for entry in ome["image-label"]["colors"]}
    assert colours[1] == [*bytes.fromhex(model.colours[0][1:]), 255]
    assert group["0"].chunks == (1, 30, 26)


def test_the_ome_zarr_opens_in_the_reference_reader(model, stack, tmp_path):
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    result = model.segment(stack, out=tmp_path / "seg.ome.zarr")
    (node, *_) = list(Reader(parse_url(result.path))())
    assert np.array_equal(np.asarray(node.data[0]), np.asarray(result.labels))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.tuples(st.integers(1, 700), st.integers(1, 1100)),
        st.tuples(st.integers(1, 12), st.integers(1, 520), st.integers(1, 520)),
        st.tuples(st.sampled_from([257, 300]), st.integers(1, 20), st.integers(1, 300)),
    )
)
def test_every_level_of_the_pyramid_is_the_one_before_thinned(tmp_path_factory, shape):
    path = tmp_path_factory.mktemp("pyramid") / "a.zarr"
    labels = np.random.default_rng(0).integers(1, 5, shape).astype(np.uint8)
    writer = OmeZarrWriter(path, LabelVolume(shape, labels.dtype, None, ("a",) * 4, ()))
    for z, plane in enumerate(labels if labels.ndim == 3 else [labels]):
        writer.write(z, plane)
    writer.close()
    group = zarr.open_group(path, mode="r")
    datasets = group.attrs["ome"]["multiscales"][0]["datasets"]
    for dataset in datasets:
        factors = tuple(int(s) for s in dataset["coordinateTransformations"][0]["scale"])
        thinned = labels[tuple(slice(None, None, f) for f in factors)]
        assert np.array_equal(group[dataset["path"]][...], thinned)
    assert max(group[datasets[-1]["path"]].shape) <= 256


def test_tiffs_carry_the_pixel_size(model, stack, tmp_path):
    spacing = (2.0, 0.5, 0.25)
    model.segment(stack, out=tmp_path / "a.tif", spacing=spacing)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.imagej_metadata["spacing"] == 2.0
        assert file.imagej_metadata["slices"] == 4
        for tag, size in (("XResolution", 0.25), ("YResolution", 0.5)):
            numerator, denominator = file.pages[0].tags[tag].value
            assert denominator / numerator == pytest.approx(size)
    model.segment(stack, out=tmp_path / "a.ome.tif", spacing=spacing)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        for axis, size in zip("ZYX", spacing, strict=True):
            assert f'PhysicalSize{axis}="{size}"' in file.ome_metadata
        assert file.series[0].axes == "ZYX"


@pytest.mark.parametrize("name", ["seg.ome.zarr", "seg.tif", "seg.ome.tif"])
def test_a_unit_is_named_only_where_one_was_given(model, stack, tmp_path, name):
    from napari_anneal.samples.reading import read_image

    micrometres = model.segment(stack[0], out=tmp_path / name, spacing=(250, 500), unit="nm").path
    assert read_image(micrometres)[2] == pytest.approx((0.25, 0.5))
    unnamed = model.segment(stack[0], out=tmp_path / name, spacing=(250, 500), overwrite=True).path
    if name.endswith("zarr"):
        axes = zarr.open_group(unnamed, mode="r").attrs["ome"]["multiscales"][0]["axes"]
        assert all("unit" not in axis for axis in axes)
    else:
        assert read_image(unnamed)[2] is None


def test_an_unknown_unit_is_refused(model, stack):
    with pytest.raises(InputError, match="unit 'furlong' is not known; use one of m, cm"):
        model.segment(stack, spacing=(1, 1, 1), unit="furlong")


def test_a_tiff_beyond_four_gigabytes_is_a_bigtiff(tmp_path):
    huge = LabelVolume((4400, 1000, 1000), np.dtype(np.uint8), (1.0, 1.0, 1.0), ("a", "b"), ())
    try:
        writer = TiffWriter(tmp_path / "a.tif", huge)  # sparse: takes no room until it is written
    except OSError:
        pytest.skip("less than 4.4 GB free")
    plane = np.random.default_rng(0).integers(1, 3, (1000, 1000)).astype(np.uint8)
    writer.write(4399, plane)
    writer.close()
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_bigtiff
        assert file.series[0].shape == huge.shape
    assert np.array_equal(tifffile.memmap(tmp_path / "a.tif", mode="r")[4399], plane)
    (tmp_path / "a.tif").unlink()


def test_a_tiff_that_will_not_fit_is_refused_at_once(model, stack, tmp_path, monkeypatch):
    import napari_anneal.inference.tiff_labels as module

    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: real._replace(free=stack.size - 1))
    with pytest.raises(OutputError, match="the disk is full after 0 of 4 slices"):
        model.segment(stack, out=tmp_path / "seg.tif", progress=lambda *_: pytest.fail("computed"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ONE_EACH)
def test_an_existing_output_is_refused_before_anything_is_computed(model, stack, tmp_path, name):
    model.segment(stack, out=tmp_path / name)
    with pytest.raises(OutputError, match="already exists; choose another name, or pass overwrite=True"):
        model.segment(stack, out=tmp_path / name, progress=lambda *_: pytest.fail("computed"))


@pytest.mark.parametrize("name", ONE_EACH)
def test_overwrite_replaces_only_when_the_new_result_is_complete(model, stack, tmp_path, name):
    path = tmp_path / name
    old = np.asarray(model.segment(stack, out=path).labels).copy()
    partial = model.segment(255 - stack, out=path, overwrite=True, **cancel_after(2))
    assert np.array_equal(read(path), old)
    assert partial.path != path
    bad = stack.astype(np.float32)
    bad[3, 0, 0] = np.nan
    with pytest.raises(InputError):
        model.segment(bad, out=path, overwrite=True)
    assert np.array_equal(read(path), old)
    new = model.segment(255 - stack, out=path, overwrite=True)
    assert np.array_equal(read(path), model.segment(255 - stack).labels)
    assert not np.array_equal(read(path), old)
    assert new.complete
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ONE_EACH)
def test_a_cancelled_run_keeps_what_is_done_beside_the_name_asked_for(model, stack, tmp_path, name):
    result = model.segment(stack, out=tmp_path / name, **cancel_after(2))
    assert (result.complete, result.done, result.total) == (False, 2, 4)
    assert not (tmp_path / name).exists()
    assert result.path == tmp_path / name.replace("seg", "seg.partial")
    expected = model.segment(stack).labels
    kept = read(result.path)
    assert np.array_equal(kept[:2], expected[:2])
    assert not kept[2:].any()
    assert np.array_equal(np.asarray(result.labels), kept)
    again = model.segment(stack, out=tmp_path / name)
    assert np.array_equal(read(again.path), expected)
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ONE_EACH)
def test_a_run_cancelled_at_once_leaves_nothing(model, stack, tmp_path, name):
    cancel = threading.Event()
    cancel.set()
    result = model.segment(stack, out=tmp_path / name, cancel=cancel)
    assert (result.done, result.path, result.labels) == (0, None, None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ONE_EACH)
def test_a_bad_slice_says_where_the_finished_ones_are(model, tmp_path, name):
    stack = np.random.default_rng(0).random((30, 16, 16)).astype(np.float32)
    stack[7, 3, 3] = np.nan
    with pytest.raises(InputError) as error:
        model.segment(stack, out=tmp_path / name)
    kept = tmp_path / name.replace("seg", "seg.partial")
    assert "slice 7 of the image holds NaN" in str(error.value)
    assert f"The 7 slices finished before are kept in {kept}" in str(error.value)
    assert len(read(kept)[:7]) == 7
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ONE_EACH)
@pytest.mark.parametrize("written", [0, 2])
def test_a_full_disk_is_said_and_its_space_given_back(model, stack, tmp_path, monkeypatch, name, written):
    writer = OmeZarrWriter if "zarr" in name else TiffWriter
    real = writer.write

    def full(self, z, labels):
        if z == written:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, z, labels)

    model.segment(255 - stack, out=tmp_path / name)
    before = read(tmp_path / name)
    monkeypatch.setattr(writer, "write", full)
    with pytest.raises(OutputError, match=f"the disk is full after {written} of 4 slices") as error:
        model.segment(stack, out=tmp_path / name, overwrite=True)
    assert str(tmp_path / name) in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert np.array_equal(read(tmp_path / name), before)


def test_a_disk_that_fills_up_inside_zarr_is_said(model, stack, tmp_path, monkeypatch):
    """The error comes from the depth of the storage layer, and must not be wrapped or swallowed on the way up."""
    from zarr.storage import LocalStore

    real = LocalStore.set
    calls: list[str] = []

    async def full(self, key, value):
        calls.append(key)
        if "/c/" in key and len(calls) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        await real(self, key, value)

    monkeypatch.setattr(LocalStore, "set", full)
    with pytest.raises(OutputError, match="the disk is full"):
        model.segment(stack, out=tmp_path / "seg.ome.zarr")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ONE_EACH)
def test_an_error_nobody_foresaw_goes_through_and_keeps_the_finished_slices(model, stack, tmp_path, name):
    def progress(done: int, total: int) -> None:
        if done == 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        model.segment(stack, out=tmp_path / name, tile=None, progress=progress)
    kept = read(tmp_path / name.replace("seg", "seg.partial"))
    assert np.array_equal(kept[:2], model.segment(stack).labels[:2])


@pytest.mark.parametrize("name", ONE_EACH)
def test_a_file_that_appears_during_the_run_is_not_replaced(model, stack, tmp_path, name):
    def progress(done: int, total: int) -> None:
        if done == total:
            (tmp_path / name).write_text("somebody else's")

    with pytest.raises(OutputError, match="appeared while the run was going; the result is in") as error:
        model.segment(stack, out=tmp_path / name, progress=progress)
    assert (tmp_path / name).read_text() == "somebody else's"
    partial = tmp_path / name.replace("seg", "seg.partial")
    assert str(partial) in str(error.value)
    assert np.array_equal(read(partial), model.segment(stack).labels)


@pytest.mark.parametrize("name", FORMATS)
def test_a_result_on_disk_is_read_back_by_its_path_with_its_pixel_size(model, stack, tmp_path, name):
    from napari_anneal.samples.reading import read_image

    first = model.segment(stack, out=tmp_path / name, spacing=(2.0, 0.5, 0.25), unit="micrometer")
    array, axes, spacing = read_image(first.path)
    assert axes == "ZYX"
    assert np.array_equal(np.asarray(array[:]), np.asarray(first.labels))
    assert spacing == pytest.approx((2.0, 0.5, 0.25))
    second = model.segment(first.path, out=tmp_path / f"again-{name}")
    assert np.array_equal(np.asarray(second.labels), model.segment(np.asarray(first.labels)).labels)
    assert second.spacing == pytest.approx((2.0, 0.5, 0.25))


def test_a_folder_that_cannot_be_written_gets_a_sentence(model, stack, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        model.segment(stack, out=tmp_path / "file" / "seg.zarr")


@pytest.mark.parametrize("name", ["seg", "seg.png", ".zarr", "seg.zip"])
def test_other_file_types_are_refused(model, stack, tmp_path, name):
    with pytest.raises(OutputError, match=r"results are written as \.ome\.zarr"):
        model.segment(stack, out=tmp_path / name)


def test_overwrite_never_replaces_a_folder_that_is_no_zarr(model, stack, tmp_path):
    precious = tmp_path / "seg.zarr"
    precious.mkdir()
    (precious / "notes.txt").write_text("years of work")
    with pytest.raises(OutputError, match="not a result of this kind"):
        model.segment(stack, out=precious, overwrite=True)
    assert (precious / "notes.txt").read_text() == "years of work"


def test_a_run_never_overwrites_or_enters_the_image_it_reads(model, stack, tmp_path):
    image = tmp_path / "raw.tif"
    tifffile.imwrite(image, stack)
    with pytest.raises(OutputError, match="is the image to segment itself"):
        model.segment(image, axes="ZYX", out=tmp_path / "sub" / ".." / "raw.tif", overwrite=True)
    assert np.array_equal(tifffile.imread(image), stack)


def test_a_wrong_image_creates_nothing(model, tmp_path):
    with pytest.raises(InputError):
        model.segment(np.ones((3, 16, 16)), out=tmp_path / "deep" / "seg.zarr")
    assert list(tmp_path.iterdir()) == []


def test_memory_of_a_run_to_disk_does_not_grow_with_the_depth_of_the_stack(model, tmp_path):
    plane = np.random.default_rng(0).integers(0, 200, (160, 160), dtype=np.uint8)

    class Lazy:
        dtype = plane.dtype

        def __init__(self, depth: int) -> None:
            self.shape = (depth, *plane.shape)

        def __getitem__(self, index):
            return plane[index[1:]].copy()

    def peak(depth: int) -> int:
        tracemalloc.start()
        try:
            model.segment(Lazy(depth), axes="ZYX", out=tmp_path / f"{depth}.ome.zarr")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(2)
    # From the depth at which all 16 slices for the grey limits are read; 32 more planes of labels are 0.8 MB.
    assert peak(48) - peak(16) < 16 * plane.nbytes
