"""Folds in *Fine-tune*: those of *Grouped split*, one or every one in turn; gold is never touched."""

from __future__ import annotations

import numpy as np
import pytest
from painted import add_pair
from qtpy.QtCore import Qt

from napari_anneal.widgets._group_table import GOLD, GROUP
from napari_anneal.widgets._layers import remember
from napari_anneal.widgets._session_models import session_models
from napari_anneal.widgets._split_choice import ALL_FOLDS, HELD_OUT, ONE_FOLD, fold_of
from napari_anneal.widgets.split import SplitWidget


@pytest.fixture
def four(viewer, form):
    """Four specimens in the rows of the form."""
    images = [add_pair(viewer, name=f"s{k}", seed=k)[0] for k in range(4)]
    for k, image in enumerate(images):
        remember(image, group=f"g{k}")
    form.pairs.add_all()
    form.pairs.refresh_groups()
    form.epochs.setValue(1)
    form.recipe.set_values({"steps_per_epoch": 2})
    return images


@pytest.fixture
def shown(viewer, four, wait_for):
    """A split of them in two folds, as *Grouped split* showed it, s3 gold."""
    split = SplitWidget(viewer)
    split.folds.setValue(2)
    row = next(r for r, entry in enumerate(split.entries) if entry.name == "s3")
    split.table.item(row, GOLD).setCheckState(Qt.CheckState.Checked)
    split.bar.start.click()
    wait_for(split)
    return split


def wait_for_plan(form, qtbot):
    qtbot.waitUntil(lambda: form.planning.idle, timeout=20_000)
    return form.plan.shown


def test_every_fold_in_turn_gives_a_table_and_the_models_and_sees_no_gold(viewer, form, shown, wait_for, qtbot) -> None:
    form.split.refresh()
    form.split.choose(ALL_FOLDS)
    assert form.split.folds.value() == 2
    assert not form.split.folds.isEnabled()
    planned = wait_for_plan(form, qtbot)
    assert planned.runs == 2
    assert form.plan.summary.text().startswith("2 runs, one a fold, each of 2 steps")
    viewer.layers["s3"].data[:] = 0  # a constant image would be refused if anything read it
    form.name.setText("folds")
    seen = []
    form.job.events.connect(lambda events: seen.extend(type(e).__name__ for e in events))
    form.bar.start.click()
    wait_for(form)
    assert seen.count("PartStarted") == seen.count("RunStarted") == 2
    assert "2 folds" in form.bar.text, form.bar.text
    names = session_models().names()
    assert "folds · fold 1" in names
    assert "folds · fold 2" in names
    trained = [set(session_models().get(f"folds · fold {k}").card.fingerprints) for k in (1, 2)]
    assert trained == [{"s0", "s1", "s2"}] * 2
    table = form.fold_table
    assert not table.isHidden()
    assert [table.item(row, 0).text() for row in range(2)] == ["class 1", "class 2"]
    folds = np.array([[float(table.item(row, column).text()) for column in (2, 3)] for row in range(2)])
    for row in range(2):
        mean, _, spread = table.item(row, 1).text().partition(" ± ")
        assert float(mean) == pytest.approx(folds[row].mean(), abs=0.011)
        assert float(spread) == pytest.approx(folds[row].std(ddof=1), abs=0.015)


def test_one_fold_validates_on_the_images_that_grouped_split_showed_there(viewer, form, shown, qtbot) -> None:
    form.split.refresh()
    form.split.choose(ONE_FOLD)
    for k in (1, 2):
        form.split.fold.setValue(k)
        plan = wait_for_plan(form, qtbot).plan
        expected = {image.name for image in viewer.layers if fold_of(image) == (k, 2)}
        assert set(plan.validation) == expected
        assert set(plan.train) == {"s0", "s1", "s2"} - expected
    form.split.choose(HELD_OUT)
    assert len(wait_for_plan(form, qtbot).plan.validation) == 1


def test_folds_that_no_longer_fit_are_refused_with_what_to_do(viewer, form, shown, qtbot) -> None:
    form.split.refresh()
    form.split.choose(ALL_FOLDS)
    two = [row for row in form.pairs.rows if fold_of(row.pair.image)]
    apart = next(row for row in two[1:] if fold_of(row.pair.image) != fold_of(two[0].pair.image))
    apart.group.setText(two[0].pair.group)
    apart.group.editingFinished.emit()
    wait_for_plan(form, qtbot)
    assert "is in two folds" in form.plan.summary.text()
    form.bar.start.click()
    qtbot.waitUntil(lambda: not form.job.running, timeout=20_000)
    assert "press “Show the split” in Grouped split again" in form.bar.text
    # Groups edited there: the folds shown before are forgotten.
    shown.table.item(0, GROUP).setText("other")
    assert all(fold_of(image) is None for image in viewer.layers)


def test_without_a_split_shown_the_form_makes_the_folds(form, four, qtbot) -> None:
    form.split.choose(ONE_FOLD)
    form.split.folds.setValue(4)
    validated = []
    for k in range(1, 5):
        form.split.fold.setValue(k)
        validated += wait_for_plan(form, qtbot).plan.validation
    assert sorted(validated) == ["s0", "s1", "s2", "s3"]
    form.split.folds.setValue(5)
    wait_for_plan(form, qtbot)
    assert "largest possible number of folds is 4" in form.plan.summary.text()


def test_an_image_of_a_gold_specimen_is_left_out_though_it_is_not_marked_itself(viewer, form, four) -> None:
    remember(viewer.layers["s0"], gold=True)
    row = next(r for r in form.pairs.rows if r.pair.image.name == "s1")
    row.group.setText("g0")
    assert [s.name for s in form.samples()] == ["s2", "s3"]
    form.pairs.remove(next(r for r in form.pairs.rows if r.pair.image.name == "s0"))
    assert [s.name for s in form.samples()] == ["s2", "s3"]


def test_what_cannot_go_with_every_fold_is_said(form, four) -> None:
    form.split.choose(ALL_FOLDS)
    form.controls.setChecked(True)
    form.bar.start.click()
    assert form.bar.text.startswith("Controls cannot be trained on every fold")
    assert not form.job.running
