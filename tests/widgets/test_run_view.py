"""*Fine-tune* while a run goes: pause, go on, finish, cancel; the slice that is watched; stages, figures, values."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest
from painted import add_pair, stripes

from napari_anneal.widgets._layers import is_made, made_as
from napari_anneal.widgets._run_view import arrival
from napari_anneal.widgets._session_models import session_models
from napari_anneal.widgets._watch import WATCHED, WINDOW


def begun(form, qtbot, epochs: int = 500, after: int = 1) -> None:
    """Press the button of a run that is too long to end by itself, and wait for its first epochs."""
    form.epochs.setValue(epochs)
    form.recipe.set_values({"patience": 500})
    form.bar.start.click()
    qtbot.waitUntil(lambda: len(form.view.curves._epochs) >= after, timeout=30_000)


def watched(viewer) -> list:
    return [layer for layer in viewer.layers if made_as(layer) == WATCHED]


def test_a_paused_run_stands_still_goes_on_and_is_finished_with_its_best(viewer, form, wait_for, qtbot) -> None:
    add_pair(viewer)
    begun(form, qtbot)
    buttons = form.view.buttons
    assert form.bar.start.isHidden()
    assert not buttons.pause.isHidden()
    buttons.pause.click()
    assert buttons.pause.text() == "Go on"
    assert form.bar.text.startswith("Paused")
    qtbot.wait(300)  # the step that was under way
    stood = list(form.view.curves._steps)
    qtbot.wait(300)
    assert form.view.curves._steps == stood
    assert form.bar.text.startswith("Paused")
    buttons.pause.click()
    assert buttons.pause.text() == "Pause"
    qtbot.waitUntil(lambda: len(form.view.curves._steps) > len(stood), timeout=30_000)
    buttons.finish.click()
    assert not buttons.pause.isEnabled()
    wait_for(form)
    assert form.bar.text.startswith("Finished early; the best model is kept"), form.bar.text
    assert len(form.view.curves._steps) == form.view.curves._epochs[-1] < 2000
    assert session_models().names()[0] == "fibres"
    assert not form.bar.start.isHidden()
    assert buttons.pause.isHidden()
    # The next run has a control of its own: it is neither paused nor finishing.
    form.epochs.setValue(2)
    form.bar.start.click()
    wait_for(form)
    assert form.bar.text.startswith("Done"), form.bar.text


@pytest.mark.parametrize("paused", [False, True])
def test_cancel_responds_within_two_seconds(viewer, form, wait_for, qtbot, paused) -> None:
    add_pair(viewer)
    begun(form, qtbot)
    if paused:
        form.view.buttons.pause.click()
        qtbot.wait(200)
    pressed = time.monotonic()
    form.bar.cancel.click()
    wait_for(form)
    assert time.monotonic() - pressed < 2
    assert form.bar.text.startswith("Cancelled; the best model so far is kept")


def test_a_form_that_goes_ends_a_paused_run(viewer, form, qtbot) -> None:
    add_pair(viewer)
    begun(form, qtbot)
    form.view.buttons.pause.click()
    qtbot.wait(200)
    stopped = time.monotonic()
    assert form.job.stop()
    assert time.monotonic() - stopped < 2


def test_the_watched_slice_is_renewed_every_epoch_where_the_image_lies(viewer, form, wait_for) -> None:
    image, labels = add_pair(viewer, (5, 96, 96), "ct", scale=(2.0, 0.5, 0.5), translate=(10.0, 3.0, 1.0))
    viewer.dims.set_point(0, 10.0 + 3 * 2.0)
    viewer.layers.selection.active = labels
    form.bar.start.click()
    wait_for(form)
    (layer,) = watched(viewer)
    assert layer.name == "ct · learning, epoch 3"
    assert layer.data.shape == (1, 96, 96)
    assert np.array_equal(layer.data_to_world((0, 7, 9)), image.data_to_world((3, 7, 9)))
    assert set(np.unique(layer.data)) <= {1, 2}
    assert np.allclose(layer.get_color(1), labels.get_color(1), atol=1 / 255)
    assert list(layer.features["class"]) == ["not predicted", "class 1", "class 2"]
    # The painter goes on painting: the new layer is under the paint and not the active one.
    assert viewer.layers.selection.active is labels
    assert viewer.layers.index(image) < viewer.layers.index(layer) < viewer.layers.index(labels)
    # The last epoch was the best, or not; only then is the layer what the model says.
    model = session_models().get("ct")
    if form.view.curves.best_epoch == 3:
        expected = model.segment(image.data[3], axes="YX").labels
        assert (layer.data[0] == expected).mean() > 0.99
    # The next run on the slice goes on in this layer.
    form.bar.start.click()
    wait_for(form)
    assert watched(viewer) == [layer]


def test_the_watched_layer_is_never_paint(viewer, form, wait_for) -> None:
    image, _ = add_pair(viewer)
    form.bar.start.click()
    wait_for(form)
    (layer,) = watched(viewer)
    assert is_made(layer)
    form.pairs.add_all()
    assert [row.labels.layer.name for row in form.pairs.rows] == ["fibres labels"]
    form.pairs.rows[0].labels.choose(layer)
    form.pairs.rows[0].image.choose(image)
    form.bar.start.click()
    assert "not paint" in form.bar.text
    assert not form.job.running


def test_hiding_editing_and_deleting_the_watched_layer_does_no_harm(viewer, form, wait_for, qtbot) -> None:
    add_pair(viewer)
    begun(form, qtbot)
    qtbot.waitUntil(lambda: watched(viewer) != [], timeout=30_000)
    (layer,) = watched(viewer)
    layer.visible = False
    layer.data[:] = 0
    seen = len(form.view.curves._epochs)
    qtbot.waitUntil(lambda: len(form.view.curves._epochs) > seen + 1, timeout=30_000)
    assert not layer.visible
    assert layer.data.all()
    viewer.layers.remove(layer)
    seen = len(form.view.curves._epochs)
    qtbot.waitUntil(lambda: len(form.view.curves._epochs) > seen + 1, timeout=30_000)
    assert watched(viewer) == []
    form.view.buttons.finish.click()
    wait_for(form)
    assert "ready in Segment" in form.bar.text
    assert watched(viewer) == []


def test_nothing_is_watched_when_the_user_says_so_and_another_slice_when_chosen(viewer, form, wait_for) -> None:
    add_pair(viewer, (5, 96, 96), "ct")
    other = viewer.add_image(stripes((4, 96, 96), seed=3), name="other")
    assert form.watch.image.layer.name == "ct"
    form.watch.image.choose(other)
    form.watch.slice.setValue(2)
    order = form.watch.ordered()
    assert np.array_equal(order.pixels, other.data[2])
    other.data[2] = 0  # later edits do not matter
    assert order.pixels.any()
    form.watch.image.choose(None)
    form.watch.image.activated.emit(0)
    form.bar.start.click()
    wait_for(form)
    assert watched(viewer) == []
    form.pairs.add()
    assert form.watch.image.layer is None


def test_of_a_large_slice_the_middle_of_the_view_is_watched(viewer, form) -> None:
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (1500, 900), np.uint8), name="large")
    form.watch.image.choose(viewer.layers["large"])
    getattr(viewer, "scene", viewer).camera.center = (0, 1400, 100)
    order = form.watch.ordered()
    assert order.window == (slice(1500 - WINDOW, 1500), slice(0, WINDOW))
    order.show(viewer, np.ones((WINDOW, WINDOW), np.uint8), 1, ("a", "b"), ("#ff0000", "#00ff00"))
    (layer,) = watched(viewer)
    assert layer.data.sum() == WINDOW**2
    assert layer.data[order.window].all()


def test_stages_are_drawn_ahead_and_the_current_one_is_marked(viewer, form, wait_for) -> None:
    add_pair(viewer)
    form.preset.setCurrentText("canonical")
    form.epochs.setValue(6)
    marked = []
    form.job.events.connect(lambda _: marked.append((form.view.curves.stages.current, form.view.figures.text())))
    form.bar.start.click()
    wait_for(form)
    band = form.view.curves.stages
    assert [(s.name, s.first, s.last) for s in band.spans] == [
        ("head", 0, 4), ("all layers", 4, 20), ("SGD", 20, 24),
    ]  # fmt: skip
    assert {0, 1, 2} <= {current for current, _ in marked}
    assert band.current == -1
    assert any("stage 2 of 3: all layers" in text and "patches/s" in text for _, text in marked)
    assert form.view.curves.read(24).startswith("step 24 · SGD\ntraining loss")
    assert "Dice of class 2" in form.view.curves.read(24)


def test_values_under_the_pointer_and_none_beside_the_plots(qtbot) -> None:
    from qtpy.QtCore import QPointF

    from napari_anneal.widgets._plots import Curves

    curves = Curves()
    qtbot.addWidget(curves)
    curves.resize(400, 320)
    curves.show()
    curves.reset(("a", "b"), ("#ff0000", "#00ff00"), 20, (("head", 1), ("all", 1)))
    curves.add_stage("head", 0, 10)
    curves.add_steps(range(1, 11), [1.0] * 10)
    curves.add_epoch(1, 10, 0.25, (0.5, 0.75), True)
    moved = curves._canvas.scene().sigMouseMoved
    qtbot.waitUntil(lambda: curves._loss.vb.sceneBoundingRect().width() > 100)
    moved.emit(curves._loss.vb.mapViewToScene(QPointF(9.6, 0.5)))
    assert all(line.isVisible() for line in curves._pointer)
    assert curves._pointer[1].value() == pytest.approx(9.6, abs=0.1)
    assert curves.read(9.6).splitlines() == [
        "step 10 · head", "training loss 1", "epoch 1 ★ best: validation loss 0.25",
        "   Dice of a: 0.500", "   Dice of b: 0.750",
    ]  # fmt: skip
    moved.emit(QPointF(-5, -5))
    assert not any(line.isVisible() for line in curves._pointer)


def test_a_stage_that_ends_early_moves_the_later_ones_up(qtbot) -> None:
    from napari_anneal.widgets._stage_band import Span, StageBand

    band = StageBand(lambda step: step)
    band.reset([Span("a", 0, 10), Span("b", 10, 30), Span("c", 30, 40)])
    band.enter(0, "a", 0, 10)
    band.enter(1, "b", 6, 26)
    assert [(s.first, s.last) for s in band.spans] == [(0, 6), (6, 26), (26, 36)]
    band.finish(15)
    assert [(s.name, s.first, s.last) for s in band.spans] == [("a", 0, 6), ("b", 6, 15)]


def test_figures_say_gpu_memory_where_there_is_a_gpu(viewer, form) -> None:
    step = SimpleNamespace(patches_per_s=41.6, seconds_left=75, gpu_bytes=3 * 2**30)
    form.view._say_figures(step)
    assert form.view.figures.text() == "41.6 patches/s  ·  1:15 left  ·  GPU 3.0 GiB"
    assert arrival(3 * 3600).startswith("done about ")


def test_any_error_of_a_run_is_a_sentence_and_the_buttons_come_back(viewer, form, wait_for, monkeypatch) -> None:
    def broken(*args, **kwargs):
        raise RuntimeError("cuDNN lost its way")

    monkeypatch.setattr("napari_anneal.training.fine_tune", broken)
    add_pair(viewer)
    form.bar.start.click()
    wait_for(form)
    assert "RuntimeError: cuDNN lost its way" in form.bar.text
    assert not form.bar.start.isHidden()
    assert form.view.buttons.pause.isHidden()
