"""*Calibrate* after a run: a temperature from what judged the run, shown as a diagram, kept in model and bundle."""

from __future__ import annotations

import json

import numpy as np
import pytest
from painted import add_pair

from napari_anneal.widgets._session_models import session_models


@pytest.fixture
def doubtful(viewer):
    """Two specimens; every fifth painted pixel is wrong, so that no model that learned can be always right."""
    for k in range(2):
        _, labels = add_pair(viewer, name=f"s{k}", seed=k)
        rng = np.random.default_rng(k)
        rows = np.arange(8, 88, 8)
        paint = np.zeros_like(labels.data)
        truth = np.where((np.arange(96) // 12) % 2 == 0, 1, 2)
        paint[rows] = np.where(rng.random((len(rows), 96)) < 0.2, 3 - truth, truth)
        labels.data = paint


def run(form, wait_for):
    form.pairs.add_all()
    form.bar.start.click()
    wait_for(form)
    assert form.outcome.calibrate.isVisibleTo(form.outcome), form.bar.text


@pytest.mark.usefixtures("doubtful")
def test_the_temperature_is_that_of_the_terminals_way_and_is_kept_in_model_and_bundle(form, wait_for) -> None:
    from napari_anneal.inference import load_model
    from napari_anneal.validation import SplitPlan, SplitReport, calibrate
    from napari_anneal.validation.splits import Fold

    form.choice.settings.set_values({"seed": 3})
    form.pairs.add_all()
    for row, group in zip(form.pairs.rows, "ab", strict=True):
        row.group.setText(group)
        row.group.editingFinished.emit()
    run(form, wait_for)
    assert form.calibrating.panel.isHidden()
    ((name, done),) = form.calibrating.models
    facts = json.loads((done.out / "run.json").read_text())
    samples = form.samples()
    val = tuple(i for i, s in enumerate(samples) if s.name == facts["validation"][0]["name"])
    train = tuple(i for i in range(2) if i not in val)
    plan = SplitPlan((Fold(train, val),), (), SplitReport((), (), (), (), ()))
    expected = calibrate(session_models().get(name), samples, plan)
    before = session_models().get(name).segment(samples[0].image)
    form.outcome.calibrate.click()
    wait_for(form)
    ((shown, found),) = form.calibrating.panel.results
    assert shown == name
    assert found.temperature == pytest.approx(expected.temperature, rel=1e-3)
    assert found.images == (samples[val[0]].name,)
    assert found.nll_after < found.nll_before
    calibrated = session_models().get(name)
    assert calibrated.card.temperature == pytest.approx(found.temperature)
    kept = load_model(done.out / "model").card
    assert kept.temperature == pytest.approx(found.temperature)
    assert kept.metrics["calibration"]["ece_after"] == pytest.approx(found.after.ece)
    assert kept.metrics["val_loss"] == done.model.card.metrics["val_loss"]
    after = calibrated.segment(samples[0].image)
    assert np.array_equal(before.labels, after.labels)
    assert not np.allclose(before.probabilities, after.probabilities)
    assert not form.calibrating.panel.isHidden()
    assert f"{100 * found.after.ece:.1f} %" in form.calibrating.panel.says.text()
    assert len(form.calibrating.panel.points("before")) == int((found.before.count > 0).sum())
    assert "px" in form.calibrating.panel.read(90)
    # Again: there is nothing left to repair.
    form.outcome.calibrate.click()
    wait_for(form)
    assert form.calibrating.panel.results[0][1].temperature == pytest.approx(1, abs=0.01)


@pytest.mark.usefixtures("doubtful")
def test_every_model_of_a_cross_validation_is_calibrated_on_its_own_fold(form, wait_for) -> None:
    from napari_anneal.widgets._split_choice import ALL_FOLDS

    form.pairs.add_all()
    for row, group in zip(form.pairs.rows, "ab", strict=True):
        row.group.setText(group)
        row.group.editingFinished.emit()
    form.split.choose(ALL_FOLDS)
    form.split.folds.setValue(2)
    form.epochs.setValue(1)
    run(form, wait_for)
    form.outcome.calibrate.click()
    wait_for(form)
    assert len(form.calibrating.panel.results) == 2, form.bar.text
    assert {found.images for _, found in form.calibrating.panel.results} == {("s0",), ("s1",)}
    assert form.calibrating.panel.which.isVisibleTo(form.calibrating.panel)
    form.calibrating.panel.which.setCurrentIndex(1)
    assert form.calibrating.panel.results[1][1].images[0] in form.calibrating.panel.says.text()


def test_one_specimen_is_calibrated_on_its_held_out_paint_and_a_cancel_changes_nothing(
    viewer, form, wait_for, doubtful
) -> None:
    viewer.layers.remove("s1")
    viewer.layers.remove("s1 labels")
    form.epochs.setValue(1)
    run(form, wait_for)
    ((name, _),) = form.calibrating.models
    form.outcome.calibrate.click()
    form.job.cancel()
    wait_for(form)
    if "Cancelled" in form.bar.text:
        assert session_models().get(name).card.temperature == 1
        assert form.calibrating.panel.isHidden()
        form.outcome.calibrate.click()
        wait_for(form)
    found = form.calibrating.panel.results[0][1]
    assert found.images == ("s0 (paint held out)",)
    held, painted = int(found.before.count.sum()), int((viewer.layers["s0 labels"].data > 0).sum())
    assert 0 < held < painted / 2
    form.bar.start.click()
    assert form.calibrating.panel.isHidden()
    form.job.cancel()
    wait_for(form)
