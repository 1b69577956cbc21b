"""*Fine-tune* on synthetic images first and then on the painted ones: two runs in one, steered one after the other."""

from __future__ import annotations

import numpy as np
import pytest
from painted import add_pair
from qtpy.QtCore import Qt

from napari_anneal.widgets._layers import made_as
from napari_anneal.widgets._order import STREAM_COLOURS
from napari_anneal.widgets._session_models import session_models
from napari_anneal.widgets._watch import WATCHED


@pytest.fixture
def cascade(viewer, form):
    """The form, with a pair painted in the classes of the stream, set to the smallest cascade."""
    add_pair(viewer)
    form.data.choose("cascade")
    form.classes.follow()
    form.recipe.set_values({"steps_per_epoch": 2, "validation_patches": 2})
    form.epochs.setValue(2)
    return form


def test_a_cascade_learns_from_both_offers_both_and_says_what_was_kept(
    cascade, viewer, wait_for, qtbot, tmp_path
) -> None:
    form = cascade
    assert not form.pairs.isHidden()
    assert form.data.source.classes == ("grain", "boundary")
    qtbot.waitUntil(lambda: form.classes.rowCount() == 2)
    form.classes.item(0, 0).setText("grain")
    form.classes.item(1, 0).setText("boundary")
    said, colours = [], []

    def note(events) -> None:
        said.append(form.bar.text)
        if any(type(event).__name__ == "RunStarted" for event in events):
            colours.append(form.view._colours)

    form.job.events.connect(note, Qt.ConnectionType.DirectConnection)
    form.name.setText("steel")
    form.bar.start.click()
    wait_for(form)
    assert form.bar.text.startswith("Done: “steel · synthetic”"), form.bar.text
    assert "on synthetic images held out and “steel · real”" in form.bar.text
    (seen,) = [layer for layer in viewer.layers if made_as(layer) == WATCHED]
    assert np.allclose(seen.get_color(2), viewer.layers["fibres labels"].get_color(2), atol=1 / 255)
    assert session_models().names()[:2] == ("steel · real", "steel · synthetic")
    assert any(text.startswith("Run 1 of 2 (synthetic): ") for text in said)
    assert any(text.startswith("Run 2 of 2 (real): ") for text in said)
    assert colours[0] == STREAM_COLOURS != colours[-1]
    assert form.outcome.text.startswith("• Kept ")
    assert "on the synthetic task" in form.outcome.text
    assert "synthetic (seed 0) → real (fibres)" in form.outcome.text
    assert form.outcome.folder == tmp_path / "runs" / "steel"
    assert form.outcome.report == tmp_path / "runs" / "steel" / "report.html"
    folder = tmp_path / "runs" / "steel"
    assert all((folder / arrow / "model" / "bundle.json").is_file() for arrow in ("1-synthetic", "2-real"))
    first, second = (session_models().get(f"steel · {arrow}").card for arrow in ("synthetic", "real"))
    assert second.lineage[: len(first.lineage)] == (
        *first.lineage[:-1],
        first.lineage[-1].model_copy(update={"weights": second.lineage[-2].weights}),
    )


def test_finishing_the_first_run_begins_the_second_and_cancel_ends_both(cascade, wait_for, qtbot) -> None:
    form = cascade
    form.epochs.setValue(500)
    form.recipe.set_values({"patience": 500})
    form.bar.start.click()
    qtbot.waitUntil(lambda: len(form.view.curves._epochs) > 0, timeout=30_000)
    first = form.view.buttons._control
    form.view.buttons.finish.click()
    qtbot.waitUntil(lambda: form.view._arrow == "real", timeout=30_000)
    assert form.view.buttons._control is not first
    assert form.view.buttons.finish.isEnabled()
    qtbot.waitUntil(lambda: len(form.view.curves._epochs) > 0, timeout=30_000)
    form.bar.cancel.click()
    wait_for(form)
    assert form.bar.text.startswith("Cancelled: “fibres · synthetic”"), form.bar.text
    assert "“fibres · real”" in form.bar.text


def test_fresh_weights_learn_all_at_once_on_the_stream_and_head_first_on_the_images(cascade) -> None:
    form = cascade
    form.start.combo.setCurrentIndex(form.start.index_of(("scratch", "")))
    order = form._order("cascade")
    assert order.start is None
    assert order._recipe(of_stream=True).preset == "scratch"
    assert order._recipe(of_stream=False).preset == "canonical"


def test_a_stream_that_is_handed_over_takes_its_place_in_a_chosen_cascade(cascade) -> None:
    from napari_anneal.synthesis import MicrostructureRecipe
    from napari_anneal.widgets._stream_source import StreamSource

    source = StreamSource(MicrostructureRecipe(), 3, "one recipe")
    cascade.train_on(source)
    assert cascade.data.value == "cascade"
    assert cascade.data.source is source


def test_an_arrow_brings_its_own_control(form) -> None:
    from napari_anneal.training import RunControl
    from napari_anneal.training.events import PartStarted

    control = RunControl()
    started = PartStarted("cascade", 2, 3, "real", control)
    form.view.listen([started])
    form.view.buttons.pause.click()
    assert control.paused
