"""*Synthetic microstructure*: what the form shows is what the core makes, as layers in scale."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QWidget

from napari_anneal.synthesis import MicrostructureRecipe, synthesize
from napari_anneal.widgets.synthesis import PREVIEW, SynthesisWidget, piece


@pytest.fixture
def form(viewer):
    form = SynthesisWidget(viewer)
    form.sizes[1].setValue(96)
    form.sizes[2].setValue(128)
    form.n_seeds.setValue(40)
    yield form
    form.job.stop()
    form.preview_job.stop()


def test_the_layers_are_those_of_the_core_for_the_same_recipe_and_seed(viewer, form, wait_for) -> None:
    form.pixel.setValue(0.25)
    form.distance.setChecked(True)
    form.seed.setValue(7)
    form.bar.start.click()
    wait_for(form)
    made = synthesize(MicrostructureRecipe(shape=(96, 128), n_seeds=40, spacing=(0.25, 0.25)), seed=7)
    np.testing.assert_array_equal(viewer.layers["microstructure 1 image"].data, made.image)
    np.testing.assert_array_equal(viewer.layers["microstructure 1 grains"].data, made.grains)
    np.testing.assert_array_equal(viewer.layers["microstructure 1 boundary"].data, made.labels)
    np.testing.assert_array_equal(viewer.layers["microstructure 1 distance"].data, made.distance)
    for layer in viewer.layers:
        np.testing.assert_allclose(layer.scale, (0.25, 0.25))
    form.bar.start.click()
    wait_for(form)
    assert "microstructure 2 image" in viewer.layers


def test_a_volume_has_its_slice_distance(viewer, form, wait_for) -> None:
    form.dims.setCurrentIndex(1)
    for spin, size in zip(form.sizes, (12, 40, 50), strict=True):
        spin.setValue(size)
    form.step.setValue(3)
    form.bar.start.click()
    wait_for(form)
    layer = viewer.layers["microstructure 1 grains"]
    assert layer.data.shape == (12, 40, 50)
    np.testing.assert_allclose(layer.scale, (3, 1, 1))


def test_the_preview_follows_edits_off_the_gui_thread_and_the_last_one_wins(viewer, form, qtbot) -> None:
    form.live.setChecked(True)
    qtbot.waitUntil(lambda: PREVIEW in viewer.layers, timeout=30_000)
    for count in (10, 20, 60):
        form.n_seeds.setValue(count)
    qtbot.waitUntil(lambda: "60 grains" in form.bar.text, timeout=30_000)
    expected = synthesize(form.recipe(), form.seed.value())
    np.testing.assert_array_equal(viewer.layers[PREVIEW].data, expected.image)
    form.rung.setCurrentIndex(0)
    qtbot.waitUntil(lambda: not np.array_equal(viewer.layers[PREVIEW].data, expected.image), timeout=30_000)
    assert len(viewer.layers) == 1


def test_seeds_come_from_points_in_world_coordinates(viewer, form, wait_for) -> None:
    form.pixel.setValue(0.5)
    points = np.array([[10.0, 20.0], [70.0, 100.0], [40.0, 60.0]])
    layer = viewer.add_points(points, scale=(0.5, 0.5))
    form.points.choose(layer)
    form.bar.start.click()
    wait_for(form)
    grains = viewer.layers["microstructure 1 grains"].data
    assert grains.max() == 3
    assert len({int(grains[int(y), int(x)]) for y, x in points}) == 3
    layer.data = np.array([[10.0, 5000.0]])
    form.bar.start.click()
    assert "outside the image" in form.bar.text
    assert form.bar.start.isEnabled()


def test_points_of_another_number_of_axes_are_refused(viewer, form) -> None:
    form.points.choose(viewer.add_points(np.zeros((1, 3)), ndim=3))
    form.bar.start.click()
    assert "3 coordinates" in form.bar.text


def test_a_contradiction_is_the_cores_sentence(form) -> None:
    form.geometry.set_values({"boundary_width": 90.0})
    form.bar.start.click()
    assert "wider than the mean grain" in form.bar.text


def test_every_field_with_a_description_is_in_the_form_with_that_description(form) -> None:
    shown = set(form.geometry.values()) | {"n_seeds"}
    missing = set(MicrostructureRecipe.model_fields) - shown
    assert missing == {"shape", "spacing", "points", "target_sizes", "objects", "appearance"}  # set by other controls
    for name, editor in form.geometry._set.items():
        assert callable(editor)
        described = MicrostructureRecipe.model_fields[name].description.rstrip(".")
        assert any(described[1:] in w.toolTip() for w in form.geometry.findChildren(QWidget)), name


def test_a_preview_of_a_large_recipe_is_a_piece_of_the_same_density() -> None:
    small = piece(MicrostructureRecipe(shape=(2048, 2048), n_seeds=4000))
    assert small.shape == (768, 768)
    assert small.n_seeds == pytest.approx(4000 * (768 / 2048) ** 2, rel=0.01)
