"""*Grain size*: labels in, the core's figures out, with what was counted as layers; refusals are sentences."""

from __future__ import annotations

import numpy as np
import pytest

import napari_anneal as na
from napari_anneal.errors import InputError
from napari_anneal.widgets._grain_order import read_pixel_size
from napari_anneal.widgets._layers import add_class_labels, made_as, snapshot
from napari_anneal.widgets.grain_size import GrainSizeWidget

BRICKS = np.kron(np.arange(1, 101).reshape(10, 10), np.ones((12, 12), int)).astype(np.int32)


@pytest.fixture
def form(viewer):
    form = GrainSizeWidget(viewer)
    yield form
    form.job.stop()


def layers(viewer, what):
    return [layer for layer in viewer.layers if made_as(layer) == what]


def test_grains_with_a_pixel_size_give_what_the_core_gives_and_show_what_was_counted(viewer, form, wait_for) -> None:
    grains = viewer.add_labels(BRICKS, name="bricks", scale=(440, 440), translate=(9, 0), units=("nm", "nm"))
    assert form.pixel.text() == "0.44"
    form.grains.setCurrentIndex(form.grains.findData("number"))
    form.bar.start.click()
    wait_for(form)
    expected = na.grain_size(BRICKS, 0.44, boundary=None)
    assert f"G = {expected.g:.2f}" in form.view.title.text()
    assert f"{expected.planimetric.value:.4g} px²" in form.view.table.text()
    (lines,), (marks,) = layers(viewer, "test lines"), layers(viewer, "intersections")
    (count,) = expected.hand_counts
    assert len(lines.data) == len(count.lines)
    np.testing.assert_allclose(marks.data, count.places)
    assert marks.features["score"].sum() == count.intersections
    np.testing.assert_allclose(marks.scale, grains.scale)
    np.testing.assert_allclose(marks.translate, grains.translate)
    # Measured again the layers are replaced, not added.
    form.lines.setCurrentIndex(form.lines.findData("circles"))
    form.bar.start.click()
    wait_for(form)
    assert [len(each) for each in (layers(viewer, "test lines"), layers(viewer, "intersections"))] == [1, 1]
    assert layers(viewer, "test lines")[0].shape_type == ["polygon"] * 3


def test_a_segmentation_offers_its_classes_and_takes_the_boundary(viewer, form, wait_for) -> None:
    made = na.synthesize(na.MicrostructureRecipe(shape=(150, 150), n_seeds=50, boundary_width=2.0), seed=0)
    image = viewer.add_image(made.image, name="sem")
    layer = add_class_labels(viewer, made.labels, "sem labels", snapshot(image), made.classes, ("#56b4e9", "#d55e00"))
    form.labels.choose(layer)
    assert form.grains.currentText() == "regions between “boundary”"
    assert form.pixel.text() == ""
    form.bar.start.click()
    wait_for(form)
    expected = na.grain_size(made.labels, boundary=2)
    assert f"{expected.intercept.value:.4g} px" in form.view.title.text()
    assert "no G" in form.view.title.text()
    assert "µm" not in form.view.table.text()


def test_one_slice_or_the_whole_stack(viewer, form, wait_for) -> None:
    stack = np.kron(np.arange(1, 126).reshape(5, 5, 5), np.ones((6, 6, 6), int)).astype(np.int32)
    stack[7] = np.roll(stack[7], 3, axis=0)
    viewer.add_labels(stack, name="stack", scale=(2, 1, 1), units=("um",) * 3)
    assert form.pixel.text() == "2 × 1 × 1"
    form.grains.setCurrentIndex(form.grains.findData("number"))
    viewer.dims.set_current_step(0, 7)
    form.bar.start.click()
    wait_for(form)
    marks = layers(viewer, "intersections")[0]
    assert (marks.data[:, 0] == 7).all()
    assert f"{na.grain_size(stack[7], (1, 1), boundary=None).g:.2f}" in form.view.title.text()
    form.part.setCurrentIndex(form.part.findData("stack"))
    assert not form.lines.isEnabled()
    form.bar.start.click()
    wait_for(form)
    assert f"{na.grain_size(stack, (2, 1, 1), boundary=None).g:.2f}" in form.view.title.text()
    assert "through the whole volume" in form.bar.text


def test_the_report_is_written_by_one_dialog(viewer, form, wait_for, tmp_path, monkeypatch) -> None:
    from qtpy.QtWidgets import QFileDialog

    assert not form.save.isEnabled()
    viewer.add_labels(BRICKS, name="bricks")
    form.bar.start.click()
    wait_for(form)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args: (str(tmp_path / "size"), ""))
    form.save.click()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["size.csv", "size.html", "size.json"]
    assert "size.html" in form.bar.text


def test_a_measurement_can_be_cancelled(viewer, form, wait_for) -> None:
    viewer.add_labels(BRICKS, name="bricks")
    form.bar.start.click()
    form.bar.cancel.click()
    wait_for(form)
    assert "Cancelled" in form.bar.text or "Measured" in form.bar.text
    assert form.bar.start.isEnabled()


def test_cancelling_ends_the_count_itself() -> None:
    import threading

    from napari_anneal.widgets._grain_order import GrainOrder
    from napari_anneal.widgets._layers import Snapshot

    cancel, seen = threading.Event(), []
    order = GrainOrder(Snapshot("a", BRICKS, "YX"), None, None, None, {"boundary": None})
    cancel.set()
    assert order.carry_out(seen.append, cancel) is None
    assert not seen


@pytest.mark.parametrize(
    ("data", "pixel", "reason"),
    [
        (None, "", "no Labels layer"),
        (np.ones((30, 30), int), "", "a single grain fills the field"),
        (np.zeros((30, 30), int), "", "holds no grain"),
        (np.ones((3, 3, 20, 20), int), "", "has 4 axes"),
        (BRICKS, "two", "cannot be read"),
        (BRICKS, "1 × 1 × 1", "cannot be read"),
        (BRICKS, "-1", "cannot be read"),
    ],
)
def test_what_cannot_be_measured_is_said(viewer, form, wait_for, data, pixel, reason) -> None:
    if data is not None:
        viewer.add_labels(data, name="labels")
    form.pixel.setText(pixel)
    form.bar.start.click()
    wait_for(form)
    assert reason in form.bar.text
    assert form.bar.start.isEnabled()
    assert not form.save.isEnabled()


def test_a_scale_bar_of_another_shape_is_said(viewer, form) -> None:
    viewer.add_labels(np.ones((5, 5), int), name="bar")
    grains = viewer.add_labels(BRICKS, name="bricks")
    form.labels.choose(grains)
    form.ignore.choose(viewer.layers["bar"])
    form.bar.start.click()
    assert "differ in shape" in form.bar.text


@pytest.mark.parametrize(
    ("text", "ndim", "expected"),
    [("", 2, None), ("0.5", 3, (0.5,) * 3), ("0,5 µm", 2, (0.5, 0.5)), ("2 x 1 x 1", 3, (2, 1, 1)), ("2×1", 2, (2, 1))],
)
def test_pixel_sizes_are_read_as_people_type_them(text, ndim, expected) -> None:
    assert read_pixel_size(text, ndim) == expected
    with pytest.raises(InputError, match="Y × X"):
        read_pixel_size("1 2 3 4", ndim)
