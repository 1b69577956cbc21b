"""The manifest is valid, every command exists, samples open, bundles are read, labels are written."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManifest
from npe2.manifest import contributions

import napari_anneal
from napari_anneal.errors import OutputError
from napari_anneal.widgets import _reader
from napari_anneal.widgets._layers import add_class_labels, snapshot
from napari_anneal.widgets._session_models import session_models
from napari_anneal.widgets._writer import write_labels

MANIFEST = Path(napari_anneal.__file__).with_name("napari.yaml")
# Of napari's menus, the ones a plugin may add to.
MENUS = {f"napari/layers/{name}" for name in ("segment", "annotate", "filter", "measure")} | {"napari/file/new_layer"}


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(MANIFEST)


def test_the_manifest_is_valid_and_every_command_can_be_imported(manifest) -> None:
    manifest.validate_imports()
    for command in manifest.contributions.commands:
        module, _, name = str(command.python_name).partition(":")
        assert callable(getattr(importlib.import_module(module), name))
    assert len(manifest.contributions.widgets) == 6


def test_menus_are_ones_that_napari_lets_plugins_add_to(manifest) -> None:
    from napari._app_model.constants._menus import is_menu_contributable

    assert set(manifest.contributions.menus) == MENUS
    assert all(is_menu_contributable(menu) for menu in MENUS)
    known = {command.id for command in manifest.contributions.commands}
    assert all(item.command in known for items in manifest.contributions.menus.values() for item in items)


def test_a_manifest_names_no_icon_that_would_be_fetched_from_the_net(manifest) -> None:
    assert not manifest.icon
    assert isinstance(manifest.contributions, contributions.ContributionPoints)


@pytest.mark.parametrize("name", ["superalloy", "cement", "synthetic"])
def test_samples_open_as_pairs_with_classes_and_groups(viewer, name) -> None:
    from napari.layers import Layer

    from napari_anneal.widgets import _sample_layers
    from napari_anneal.widgets._layers import group_of
    from napari_anneal.widgets._pairs import matching_image

    layers = [Layer.create(*data) for data in getattr(_sample_layers, name)()]
    for layer in layers:
        viewer.add_layer(layer)
    labels = [layer for layer in layers if layer._type_string == "labels"]
    assert labels
    assert len(layers) == 2 * len(labels)
    for painted in labels:
        image = matching_image(viewer, painted)
        assert painted.name.startswith(image.name)
        assert group_of(image) == group_of(painted) != ""
        names = painted.features["class"].tolist()
        assert names[0] == "not painted"
        assert int(painted.data.max()) <= len(names) - 1
    if name == "superalloy":
        assert len({group_of(layer) for layer in layers}) == 7
        assert [layer.visible for layer in layers] == [True, True, *[False] * 12]


@pytest.mark.parametrize("kind", ["folder", "card", "zip"])
def test_a_dropped_bundle_becomes_a_model_of_the_session_and_no_layer(tiny_model, tmp_path, qtbot, kind) -> None:
    path = tiny_model.save(tmp_path / ("m.zip" if kind == "zip" else "m"))
    given = str(path / "bundle.json") if kind == "card" else str(path)
    read = _reader.get_reader(given)
    assert read is not None
    assert read(given) == [(None,)]
    qtbot.waitUntil(lambda: session_models().names() == ("tiny",), timeout=20_000)
    assert session_models().get("tiny").classes == ("fibre", "matrix")


def test_a_bundle_dropped_on_the_viewer_adds_no_layer(tiny_model, tmp_path, qtbot, manifest, npe2pm, viewer) -> None:
    path = tiny_model.save(tmp_path / "m.zip")
    npe2pm.register(manifest)
    assert viewer.open(str(path), plugin="napari-anneal") == []
    assert len(viewer.layers) == 0
    qtbot.waitUntil(lambda: session_models().names() == ("tiny",), timeout=20_000)


def test_a_flipped_bit_is_told_and_registers_nothing(tiny_model, tmp_path, qtbot, monkeypatch) -> None:
    path = tiny_model.save(tmp_path / "m")
    weights = path / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-100] ^= 1
    weights.write_bytes(bytes(data))
    told: list[str] = []
    monkeypatch.setattr(_reader, "complain", told.append)
    _reader.get_reader(str(path))(str(path))
    qtbot.waitUntil(lambda: bool(told), timeout=20_000)
    assert "model.safetensors" in told[0]
    assert session_models().names() == ()


def test_other_files_and_folders_are_left_to_other_readers(tmp_path) -> None:
    import zipfile

    (tmp_path / "folder").mkdir()
    (tmp_path / "a.png").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("x.txt", "x")
    (tmp_path / "not.zip").write_bytes(b"no zip")
    for name in ("folder", "a.png", "other.zip", "not.zip", "missing"):
        assert _reader.get_reader(str(tmp_path / name)) is None
    assert _reader.get_reader([]) is None


@pytest.mark.parametrize("name", ["out.ome.zarr", "out.tif"])
def test_written_labels_read_back_with_pixel_size_and_classes(viewer, tmp_path, name) -> None:
    from napari_anneal.samples.reading import read_image

    image = viewer.add_image(np.zeros((3, 8, 9)), scale=(2, 0.5, 0.5), units=("um",) * 3, contrast_limits=(0, 1))
    data = np.random.default_rng(0).integers(1, 3, (3, 8, 9))
    layer = add_class_labels(viewer, data, "x", snapshot(image), ("fibre", "matrix"), ("#ff0000", "#0000ff"))
    data_out, attributes, _ = layer.as_layer_data_tuple()
    assert write_labels(str(tmp_path / name), data_out, attributes) == [str(tmp_path / name)]
    back, axes, spacing = read_image(tmp_path / name)
    np.testing.assert_array_equal(np.asarray(back), data)
    assert axes == "ZYX"
    assert spacing == pytest.approx((2, 0.5, 0.5))
    if name.endswith("zarr"):
        import zarr

        label = zarr.open_group(tmp_path / name, mode="r").attrs["ome"]["image-label"]
        assert [p["class"] for p in label["properties"]] == ["fibre", "matrix"]
        assert label["colors"][0]["rgba"] == [255, 0, 0, 255]


def test_a_folder_that_is_no_result_is_not_replaced(tmp_path) -> None:
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "thesis.txt").write_text("keep")
    with pytest.raises(OutputError, match="not replaced"):
        write_labels(str(tmp_path / "mine.zarr"), np.ones((4, 4), int), {"scale": (1, 1)})
    assert (tmp_path / "mine.zarr" / "thesis.txt").read_text() == "keep"
