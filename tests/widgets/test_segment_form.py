"""*Segment*: a model and a layer in, labels out; it fills in, cancels, saves, and refuses readably."""

from __future__ import annotations

import time

import dask.array
import numpy as np
import pytest
from painted import stripes

from napari_anneal.widgets._session_models import session_models
from napari_anneal.widgets.segment import SegmentWidget


@pytest.fixture
def form(viewer, tiny_model, wait_for):
    session_models().add("tiny", tiny_model)
    form = SegmentWidget(viewer)
    wait_for(form)
    yield form
    form.job.stop()


def result(viewer):
    return next(layer for layer in viewer.layers if "segmentation" in layer.name)


def test_a_stack_gives_the_labels_that_the_core_gives_in_the_right_place(viewer, form, wait_for, tiny_model) -> None:
    data = stripes((4, 70, 90))
    viewer.add_image(data, name="ct", scale=(3, 0.5, 0.5), translate=(10, 5, 5), units=("um",) * 3)
    form.bar.start.click()
    assert not form.bar.start.isEnabled()
    assert form.bar.cancel.isEnabled()
    wait_for(form)
    layer = result(viewer)
    expected = tiny_model.segment(data, axes="ZYX").labels
    np.testing.assert_array_equal(np.asarray(layer.data), expected)
    np.testing.assert_allclose(layer.scale, (3, 0.5, 0.5))
    np.testing.assert_allclose(layer.translate, (10, 5, 5))
    assert layer.units == viewer.layers["ct"].units
    np.testing.assert_allclose(layer.get_color(1), (1, 0, 0, 1))
    assert "fibre" in form.bar.text
    assert form.bar.start.isEnabled()
    assert not form.bar.cancel.isEnabled()


def test_this_slice_fills_one_slice_as_the_whole_run_would(viewer, form, wait_for, tiny_model) -> None:
    data = stripes((5, 64, 64))
    data[0] = 255 - data[0]  # other grey values elsewhere must count: limits are those of the stack
    viewer.add_image(data, name="ct")
    viewer.dims.set_current_step(0, 3)
    form.slice.click()
    wait_for(form)
    layer = next(layer for layer in viewer.layers if "slices" in layer.name)
    expected = tiny_model.segment(data, axes="ZYX").labels
    np.testing.assert_array_equal(layer.data[3], expected[3])
    assert not layer.data[[0, 1, 2, 4]].any()
    viewer.dims.set_current_step(0, 1)
    form.slice.click()
    wait_for(form)
    np.testing.assert_array_equal(layer.data[1], expected[1])
    np.testing.assert_array_equal(layer.data[3], expected[3])
    assert len(viewer.layers) == 2


@pytest.mark.parametrize("kind", ["rgb of equal channels", "multiscale", "dask", "float", "bool", "2D odd size"])
def test_every_kind_of_image_layer_gives_labels_of_its_shape(viewer, form, wait_for, kind) -> None:
    flat = stripes((61, 83))
    if kind.startswith("rgb"):
        viewer.add_image(np.stack([flat] * 3, axis=-1), rgb=True)
    elif kind == "multiscale":
        viewer.add_image([flat, flat[::2, ::2]], multiscale=True)
    elif kind == "dask":
        viewer.add_image(dask.array.from_array(stripes((3, 61, 83)), chunks=(1, 61, 83)))
    elif kind == "float":
        viewer.add_image(flat.astype(np.float32) / 7)
    elif kind == "bool":
        viewer.add_image(flat > 100)
    else:
        viewer.add_image(flat)
    form.bar.start.click()
    wait_for(form)
    data = np.asarray(result(viewer).data)
    assert data.shape[-2:] == (61, 83)
    assert data.min() >= 1, form.bar.text
    assert data.max() <= 2


def test_probabilities_and_uncertainty_come_as_layers_in_place(viewer, form, wait_for) -> None:
    viewer.add_image(stripes((64, 64)), name="sem", scale=(0.1, 0.1))
    form.probabilities.setChecked(True)
    form.uncertainty.setChecked(True)
    form.bar.start.click()
    wait_for(form)
    fibre, matrix = viewer.layers["sem · P(fibre)"], viewer.layers["sem · P(matrix)"]
    np.testing.assert_allclose(fibre.data + matrix.data, 1, atol=1e-5)
    np.testing.assert_allclose(fibre.scale, (0.1, 0.1))
    labels = result(viewer).data
    np.testing.assert_array_equal(labels, np.where(matrix.data > fibre.data, 2, 1))
    assert viewer.layers["sem · uncertainty"].data.max() <= 1


def test_a_colour_image_and_a_grey_model_end_in_a_sentence_and_a_usable_form(viewer, form, wait_for) -> None:
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8), rgb=True, name="colour")
    form.bar.start.click()
    wait_for(form)
    assert "colour image" in form.bar.text
    assert form.bar.start.isEnabled()
    viewer.layers.clear()
    viewer.add_image(stripes(), name="grey")
    form.bar.start.click()
    wait_for(form)
    assert "is segmented" in form.bar.text


def test_what_cannot_be_segmented_is_said(viewer, form, wait_for) -> None:
    form.bar.start.click()
    assert "no Image layer" in form.bar.text
    viewer.add_image(np.full((64, 64), 7, np.uint8), name="flat", contrast_limits=(0, 10))
    form.bar.start.click()
    wait_for(form)
    assert "constant" in form.bar.text
    viewer.layers.clear()
    bad = stripes().astype(np.float32)
    bad[3, 3] = np.nan
    viewer.add_image(bad, name="nan", contrast_limits=(0, 255))
    form.bar.start.click()
    wait_for(form)
    assert "NaN" in form.bar.text
    form.model.combo.setCurrentIndex(form.model.combo.count() - 1)
    form.bar.start.click()
    assert "No file is chosen" in form.bar.text
    form.model.path.setText("/nowhere/at/all")
    form.bar.start.click()
    wait_for(form)
    assert "no model bundle" in form.bar.text
    assert form.bar.start.isEnabled()


def test_cancel_keeps_the_slices_done_and_a_deleted_layer_stops_nothing(viewer, form, wait_for, qtbot) -> None:
    viewer.add_image(stripes((60, 160, 160)), name="long")
    form.bar.start.click()
    qtbot.waitUntil(lambda: any("segmentation" in a.name for a in viewer.layers) and result(viewer).data[1].any())
    form.bar.cancel.click()
    wait_for(form)
    done = int(result(viewer).data.any(axis=(1, 2)).sum())
    assert 1 <= done < 60
    assert f"Cancelled after {done} of 60 slices" in form.bar.text
    viewer.layers.remove(result(viewer))
    form.bar.start.click()
    qtbot.waitUntil(lambda: any("segmentation" in a.name for a in viewer.layers))
    viewer.layers.clear()  # the image and the result are gone in the middle of the run
    form.bar.cancel.click()
    wait_for(form)
    assert form.bar.start.isEnabled()
    assert "Cancelled" in form.bar.text


@pytest.mark.parametrize("name", ["out.ome.zarr", "out.tif"])
def test_the_file_holds_what_the_layer_shows(viewer, form, wait_for, tmp_path, name) -> None:
    viewer.add_image(stripes((3, 64, 64)), name="ct", scale=(2, 1, 1))
    form.out.setText(str(tmp_path / name))
    form.bar.start.click()
    wait_for(form)
    if name.endswith("zarr"):
        import zarr

        saved = np.asarray(zarr.open_array(tmp_path / name / "0", mode="r"))
    else:
        import tifffile

        saved = tifffile.imread(tmp_path / name)
    np.testing.assert_array_equal(saved, result(viewer).data)
    viewer.layers.remove(result(viewer))
    form.bar.start.click()
    wait_for(form)
    assert "already exists" in form.bar.text
    form.overwrite.setChecked(True)
    form.bar.start.click()
    wait_for(form)
    assert "is segmented" in form.bar.text


def test_a_model_added_to_the_session_can_be_chosen_at_once(form, tiny_model) -> None:
    name = session_models().add("tiny", tiny_model)
    assert name == "tiny (2)"
    assert form.model.combo.currentText() == name
    assert form.model.value() is tiny_model


def test_closing_the_form_in_a_run_returns_within_five_seconds(make_napari_viewer, tiny_model, wait_for, qtbot) -> None:
    viewer = make_napari_viewer()
    session_models().add("tiny", tiny_model)
    form = SegmentWidget(viewer)
    viewer.window.add_dock_widget(form, name="Segment")
    wait_for(form)
    viewer.add_image(stripes((200, 256, 256)), name="long")
    form.bar.start.click()
    qtbot.waitUntil(lambda: any("segmentation" in a.name for a in viewer.layers))
    began = time.monotonic()
    viewer.window.remove_dock_widget(form)
    assert time.monotonic() - began < 5
    assert not form.job.running
