"""*Fine-tune* with its controls beside it: three runs, three curves in one plot, a table and a sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest
from painted import add_pair

from napari_anneal.widgets._session_models import session_models


@pytest.fixture
def controlled(viewer, form):
    """The form with a pair, set to the smallest run with controls."""
    add_pair(viewer)
    form.controls.setChecked(True)
    form.recipe.set_values({"steps_per_epoch": 2})
    form.epochs.setValue(2)
    return form


def test_three_runs_draw_three_curves_and_end_in_a_table_and_a_sentence(controlled, wait_for, tmp_path) -> None:
    form, said = controlled, []
    form.job.events.connect(lambda _: said.append(form.bar.text))
    form.bar.start.click()
    wait_for(form)
    assert form.bar.text.startswith("Done: “fibres” is ready in Segment"), form.bar.text
    assert session_models().names()[0] == "fibres"
    for number, name in enumerate(("this run", "scratch", "feature extraction"), start=1):
        assert any(text.startswith(f"Run {number} of 3 ({name}): ") for text in said)
    view = form.view.controls
    assert view.curves.names == ("this run", "scratch", "feature extraction")
    told = json.loads((tmp_path / "runs" / "fibres" / "controls" / "controls.json").read_text())
    for name, shown in (("main", "this run"), ("scratch", "scratch"), ("feature_extraction", "feature extraction")):
        assert np.allclose(view.curves.points(shown), told["runs"][name]["curve"])
    assert view.said.text() == told["sentence"]
    assert told["sentence"] not in form.outcome.text
    for name in ("main", "scratch", "feature_extraction"):
        assert f"{told['runs'][name]['dice']:.3f}" in view.table.text()
        assert f"{told['runs'][name]['val_loss']:.4f}" in view.table.text()
    assert form.view.curves.isHidden()  # what is left there is the last control's
    # The next run is one of its own again.
    form.controls.setChecked(False)
    form.bar.start.click()
    assert view.isHidden()
    assert view.curves.names == ()
    wait_for(form)
    assert not form.view.curves.isHidden()


def test_cancel_in_a_control_keeps_the_run_itself(controlled, wait_for, qtbot) -> None:
    form = controlled
    form.epochs.setValue(12)
    form.bar.start.click()
    qtbot.waitUntil(lambda: form.view._arrow == "scratch", timeout=60_000)
    form.bar.cancel.click()
    wait_for(form)
    assert form.bar.text.startswith("Done: “fibres” is ready"), form.bar.text


def test_a_run_from_scratch_has_no_controls_and_a_cascade_offers_none(controlled, wait_for) -> None:
    form = controlled
    form.data.choose("cascade")
    assert not form.controls.isEnabled()
    assert not form._order("cascade").controls
    form.data.choose("images")
    assert form.controls.isEnabled()
    form.start.combo.setCurrentIndex(form.start.index_of(("scratch", "")))
    form.bar.start.click()
    wait_for(form)
    assert "from scratch" in form.bar.text
    assert "control itself" in form.bar.text
