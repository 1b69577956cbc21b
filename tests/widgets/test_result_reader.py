"""Results on disk come back into the viewer as what they were: class names, colours, pixel size, unit and place."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tifffile
import zarr
from napari.layers import Image, Labels, Layer

from napari_anneal.inference.blocks import Block
from napari_anneal.inference.map_output import MapVolume, open_maps
from napari_anneal.inference.output import LabelVolume, open_sink
from napari_anneal.widgets import _result_reader
from napari_anneal.widgets._layers import class_colormap, colours_of, made_as
from napari_anneal.widgets._result_reader import get_reader
from napari_anneal.widgets._writer import write_labels

CLASSES, COLOURS = ("matrix", "γ′ phase"), ("#123456", "#e69f00")
NAMES = ["seg.ome.zarr", "seg.zarr", "seg.tif", "seg.ome.tif"]
SPACING = (2.0, 0.5, 0.25)


def labels_of(shape) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 3, shape).astype(np.uint8)


def write(path, labels, spacing=None, unit=None, **more):
    volume = LabelVolume(labels.shape, labels.dtype, spacing, CLASSES, COLOURS, unit, **more)
    sink = open_sink(path, volume, False, None)
    sink.open()
    for z, plane in enumerate(labels if labels.ndim == 3 else labels[np.newaxis]):
        sink.write(z, plane)
    return sink.finish()


def opened(path) -> list[Layer]:
    reader = get_reader(str(path))
    assert reader is not None
    return [Layer.create(*one) for one in reader(str(path))]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ndim", [2, 3])
def test_labels_come_back_with_classes_colours_and_pixel_size(tmp_path, name, ndim):
    labels = labels_of((4, 30, 26)[-ndim:])
    path = write(tmp_path / name, labels, SPACING[-ndim:], "µm")
    (layer,) = opened(path)
    assert isinstance(layer, Labels)
    assert layer.name == "seg"
    assert np.array_equal(layer.data, labels)
    assert tuple(layer.scale) == pytest.approx(SPACING[-ndim:])
    assert {str(unit) for unit in layer.units} == {"micrometer"}
    assert colours_of(layer, 2) == COLOURS
    assert list(layer.features["class"]) == ["not segmented", *CLASSES]
    assert made_as(layer) == "segmentation"
    assert layer.editable


@pytest.mark.parametrize("name", ["seg.ome.zarr", "seg.tif"])
def test_labels_without_a_pixel_size_come_back_in_pixels(tmp_path, name):
    (layer,) = opened(write(tmp_path / name, labels_of((20, 20))))
    assert tuple(layer.scale) == (1, 1)
    assert {str(unit) for unit in layer.units} == {"pixel"}


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_saved_from_the_viewer_comes_back_as_it_was(tmp_path, name):
    before = Labels(
        labels_of((3, 20, 22)),
        scale=SPACING,
        translate=(10.0, -3.0, 0.5),
        units=("nanometer",) * 3,
        colormap=class_colormap(COLOURS),
        metadata={"napari_anneal": {"classes": list(CLASSES)}},
    )
    data, attributes, _ = before.as_layer_data_tuple()
    (path,) = write_labels(str(tmp_path / name), data, attributes)
    (layer,) = opened(path)
    assert np.array_equal(layer.data, before.data)
    assert colours_of(layer, 2) == COLOURS
    if "zarr" in name:
        assert tuple(layer.scale) == SPACING
        assert tuple(layer.translate) == (10.0, -3.0, 0.5)
        assert {str(unit) for unit in layer.units} == {"nanometer"}
    else:  # read in micrometres, whatever it was written in; TIFF keeps no place
        assert tuple(layer.scale) == pytest.approx(tuple(s / 1000 for s in SPACING))
        assert {str(unit) for unit in layer.units} == {"micrometer"}


def test_the_place_is_kept_at_every_level_and_validates(tmp_path):
    from ome_zarr_models.v05.image_label import ImageLabel

    path = write(tmp_path / "seg.ome.zarr", labels_of((600, 300)), (0.5, 0.25), "nm", translation=(7.0, 8.0))
    group = zarr.open_group(path, mode="r")
    ImageLabel.from_zarr(group)
    levels = group.attrs["ome"]["multiscales"][0]["datasets"]
    assert len(levels) == 3
    for factor, level in zip((1, 2, 4), levels, strict=True):
        scale, moved = level["coordinateTransformations"]
        assert scale["scale"] == [0.5 * factor, 0.25 * min(factor, 2)]
        assert moved == {"type": "translation", "translation": [7.0, 8.0]}


def test_a_large_result_stays_on_disk_in_its_levels(tmp_path, monkeypatch):
    monkeypatch.setattr(_result_reader, "MOST_BYTES", 1000)
    labels = labels_of((600, 300))
    (layer,) = opened(write(tmp_path / "seg.ome.zarr", labels))
    assert layer.multiscale
    assert [level.shape for level in layer.data] == [(600, 300), (300, 150), (150, 150)]
    assert np.array_equal(np.asarray(layer.data[0]), labels)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("ndim", [2, 3])
def test_probabilities_come_back_as_an_image_for_each_class(tmp_path, ndim, dtype):
    shape = (3, 20, 22)[-ndim:]
    volume = MapVolume(shape, np.dtype(dtype), SPACING[-ndim:], CLASSES, COLOURS, "nm")
    values = np.random.default_rng(0).random((2, *((1, *shape)[-3:]))).astype(dtype)
    sink = open_maps(tmp_path / "p.ome.zarr", volume, False, None)
    sink.open()
    sink.write_block(Block(0, (0, 0, 0), values.shape[1:]), values)
    layers = opened(sink.finish())
    assert [layer.name for layer in layers] == ["p: matrix", "p: γ′ phase"]
    for layer, expected in zip(layers, values, strict=True):
        assert isinstance(layer, Image)
        assert np.array_equal(np.asarray(layer.data), expected.reshape(shape))
        assert tuple(layer.contrast_limits) == (0, 1)
        assert tuple(layer.scale) == pytest.approx(SPACING[-ndim:])
        assert {str(unit) for unit in layer.units} == {"nanometer"}


def test_files_of_other_programs_are_left_to_other_readers(tmp_path):
    tifffile.imwrite(tmp_path / "plain.tif", labels_of((20, 20)), imagej=True)
    (tmp_path / "broken.tif").write_bytes(b"II*\0nothing")
    zarr.open_array(tmp_path / "array.zarr", mode="w", shape=(4, 4), dtype="u1")
    (tmp_path / "folder.zarr").mkdir()
    image = zarr.open_group(tmp_path / "image.zarr", mode="w", zarr_format=3)
    image.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": [{"name": "t"}], "datasets": []}]}
    for name in ("plain.tif", "broken.tif", "array.zarr", "folder.zarr", "image.zarr", "missing.tif"):
        assert get_reader(str(tmp_path / name)) is None, name


def test_imagej_shows_the_classes_of_a_tiff(tmp_path):
    path = write(tmp_path / "seg.tif", labels_of((20, 20)), (0.5, 0.25), "nm")
    with tifffile.TiffFile(path) as file:
        told = file.imagej_metadata
    assert told["Info"] == "1 = matrix\n2 = γ′ phase\n"
    assert (told["Properties"]["class 2"], told["Properties"]["colour 1"]) == ("γ′ phase", "#123456")


def test_deciding_whose_file_it_is_loads_no_torch(tmp_path):
    path = write(tmp_path / "seg.ome.zarr", labels_of((20, 20)))
    code = (
        "import sys; from napari_anneal.widgets._result_reader import get_reader;"
        f"print(get_reader({str(path)!r}) is not None, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["True", "False"], done.stderr


def test_the_viewer_finds_this_reader_and_is_not_asked_about_every_tiff(make_napari_viewer, tmp_path):
    from napari.plugins._npe2 import get_readers

    viewer = make_napari_viewer()
    path = write(tmp_path / "seg.ome.zarr", labels_of((20, 20)), (0.5, 0.25), "nm", translation=(1.0, 2.0))
    (layer,) = viewer.open(str(path), plugin="napari-anneal")
    assert tuple(layer.translate) == (1, 2)
    assert colours_of(layer, 2) == COLOURS
    path = write(tmp_path / "a-labels.tif", labels_of((20, 20)))
    (layer,) = viewer.open(str(path), plugin="napari-anneal")
    assert colours_of(layer, 2) == COLOURS
    assert "napari-anneal" not in get_readers(write(tmp_path / "a.tif", labels_of((20, 20))))
