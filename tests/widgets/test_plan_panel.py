"""The plan before the start: it follows every setting, says why a run could not start, and its rates are run."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from painted import add_pair
from qtpy.QtWidgets import QApplication

from napari_anneal.training import FineTuneRecipe
from napari_anneal.widgets import _planning
from napari_anneal.widgets._draft import AUTO
from napari_anneal.widgets._rate_plot import RatePlot, in_words
from napari_anneal.widgets._recipe_settings import ELSEWHERE, RecipeSettings
from napari_anneal.widgets._session_models import session_models


@pytest.fixture
def planned(viewer, form, qtbot):
    """The form with a pair, and a function that waits for the plan of what it says."""
    add_pair(viewer)
    qtbot.waitUntil(lambda: form.classes.rowCount() == 2)

    def wait():
        qtbot.waitUntil(lambda: form.planning.idle, timeout=20_000)
        return form.plan.shown

    wait()
    return wait


def test_the_plan_follows_preset_epochs_optimizer_batch_and_start(form, planned) -> None:
    plan = planned().plan
    assert (plan.steps, [stage["name"] for stage in plan.stages]) == (12, ["all layers"])
    assert form.plan.summary.text().startswith("12 steps (4 an epoch)")
    form.epochs.setValue(6)
    form.choice.choose("canonical")
    assert [stage["steps"] for stage in planned().plan.stages] == [4, 16, 4]
    before = planned().plan.memory
    form.optimizer.setCurrentIndex(form.optimizer.findData("lion"))
    assert planned().plan.memory.optimizer == before.optimizer // 2
    assert form.plan.tree.rate("head", 1) == "2e-4"
    form.recipe.set_values({"batch_size": 4})
    assert planned().plan.memory.activations == pytest.approx(2 * before.activations, rel=0.02)
    form.start.combo.setCurrentIndex(form.start.index_of(("session", "tiny")))
    form.recipe.set_values({"rates_for_batch": 8})
    planned()
    assert "All rates × 0.5" in form.plan.notices.text()


def test_a_change_is_planned_within_a_fifth_of_a_second_and_the_paint_is_read_once(form, planned, monkeypatch) -> None:
    form.epochs.setValue(7)
    planned()  # what is remembered is remembered now
    reads = []
    plain = _planning.sample_of
    monkeypatch.setattr(_planning, "sample_of", lambda *pair: reads.append(pair) or plain(*pair))
    taken = []
    for epochs in range(8, 18):
        began = time.perf_counter()
        form.epochs.setValue(epochs)
        while not form.planning.idle:
            QApplication.processEvents()
            time.sleep(0.001)
        taken.append(time.perf_counter() - began)
        assert form.plan.shown.plan.steps == 4 * epochs
    assert not reads
    assert float(np.median(taken)) < 0.2, taken


def test_paint_and_rows_are_read_anew_when_they_change(viewer, form, planned, qtbot) -> None:
    form.recipe.set_values({"steps_per_epoch": None})
    shown = planned()
    labels = form.pairs.pairs[0].labels
    labels.selected_label = 3
    labels.fill((5, 5), 3)
    qtbot.waitUntil(lambda: form.plan.shown is not shown and planned() is not None, timeout=20_000)
    assert planned().plan.classes == ("class 1", "class 2", "class 3")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda v: v.add_image(np.zeros((96, 96))), "no Labels layer"),
        (lambda v: (v.add_image(np.eye(96)), v.add_labels(np.zeros((96, 96), int))), "Nothing is painted"),
        (lambda v: (v.add_image(np.full((96, 96), 3.0)), v.add_labels(np.eye(96, dtype=int) + 1)), "constant"),
    ],
    ids=["no labels", "no paint", "constant"],
)
def test_what_a_run_would_refuse_is_said_before_it_in_the_same_words(viewer, form, wait_for, qtbot, make, says) -> None:
    make(viewer)
    qtbot.waitUntil(lambda: form.planning.idle and says in form.plan.summary.text(), timeout=20_000)
    before = form.plan.summary.text()
    form.bar.start.click()
    wait_for(form)
    assert form.bar.text == before
    assert form.plan.shown is None


def test_measured_minutes_are_shown_and_remembered_for_other_lengths(form, planned, qtbot) -> None:
    _planning.session_times().clear()
    assert planned().plan.minutes is None
    form.plan.measure.click()
    assert "Measuring" in form.plan.measure.text()
    first = planned().plan.minutes
    assert first > 0
    assert f"about {max(1, round(first * 60))} s" in form.plan.summary.text()
    form.epochs.setValue(30)
    assert planned().plan.minutes > 2 * first
    assert form.plan.measure.isEnabled()


def test_a_change_ends_a_measurement_and_is_planned(form, planned, qtbot, monkeypatch) -> None:
    from napari_anneal.training import plan

    _planning.session_times().clear()
    begun = threading.Event()

    def endless(*rest):
        begun.set()
        assert rest[-1].wait(20)  # the cancel signal
        return None

    monkeypatch.setattr(plan, "rehearse", endless)
    form.plan.measure.click()
    assert begun.wait(20)
    form.epochs.setValue(5)
    assert planned().plan.steps == 20
    assert form.plan.measure.isEnabled()


def test_rates_changed_in_the_tree_reach_the_run(viewer, form, planned, wait_for) -> None:
    form.name.setText("edited")
    form.epochs.setValue(1)
    planned()
    form.plan.tree.type_rate("head", 0, "2,5e-3")
    form.plan.tree.type_rate("layer2", 0, "frozen")
    assert planned().recipe.preset == "custom"
    assert max(planned().plan.stages[0]["rates"]["head"]) == pytest.approx(2.5e-3)
    form.bar.start.click()
    wait_for(form)
    (stage,) = session_models().get("edited").card.recipe["stages"]
    assert stage["rates"]["head"] == 2.5e-3
    assert "layer2" not in stage["rates"]
    planned()
    form.plan.reset.click()
    assert planned().recipe.preset == "full"
    assert form.plan.tree.rate("head", 0) == "1e-3"


def test_a_rate_that_cannot_be_is_refused_and_the_old_one_stays(form, planned) -> None:
    for text in ("fast", "2", "-1e-3", "nan"):
        form.plan.tree.type_rate("head", 0, text)
        assert "no learning rate" in form.plan.summary.text()
        assert form.plan.tree.rate("head", 0) == "1e-3"
    form.choice.choose("feature_extraction")
    planned()
    form.plan.tree.type_rate("head", 0, "frozen")
    assert "train nothing" in form.plan.summary.text()
    assert form.choice.edits == {}


def test_the_tree_counts_every_parameter_once(form, planned) -> None:
    planned()
    tree, sizes = form.plan.tree, form.plan.shown.plan.parameters
    assert tree.topLevelItemCount() == len(sizes)
    leaves = 0
    for row in range(tree.topLevelItemCount()):
        group = tree.topLevelItem(row)
        assert not group.isExpanded()
        leaves += sum(group.child(i).childCount() for i in range(group.childCount()))
    assert leaves == sum(len(parts) for parts in sizes.values())
    assert leaves == len(list(session_models().get("tiny").network.parameters()))


def test_auto_takes_a_preset_by_the_labels_and_says_why(form, planned) -> None:
    form.choice.choose(AUTO)
    assert [stage["name"] for stage in planned().plan.stages] == ["head"]
    assert form.plan.summary.text().startswith("With 1 labelled image")


def test_groups_that_share_their_rates_share_a_curve(qtbot) -> None:
    plot = RatePlot()
    rates = {"head": [1e-3, 1e-3], "layer4": [1e-4, 1e-4], "layer3": [1e-4, 1e-4], "layer2": [1e-5, 1e-5]}
    plot.show_stages(
        [
            {"name": "head", "steps": 2, "rates": {"head": [1e-3, 5e-4]}},
            {"name": "all", "steps": 2, "rates": rates},
        ]
    )
    assert set(plot.curves) == {"head", "layer4 = layer3", "layer2"}
    steps, shown = plot.curves["layer4 = layer3"]
    assert np.nanmin(steps[np.isfinite(shown)]) == 2  # frozen in the first stage
    assert np.nanmax(shown) == 1e-4
    assert "layer 4, layer 3" in plot.legend.text()
    assert in_words(["stem+layer1"]) == "stem, layer 1"


def test_every_field_of_the_recipe_has_a_place_in_the_form(qtbot) -> None:
    settings = RecipeSettings(FineTuneRecipe.from_preset())
    assert set(settings.values()) | set(ELSEWHERE) == set(FineTuneRecipe.model_fields)
    plain = FineTuneRecipe.from_preset()
    assert FineTuneRecipe.from_preset(**settings.values()) == plain
    settings.set_values({"ema_decay": 0.99, "compile": True})
    assert settings.values()["ema_decay"] == 0.99
    settings.set_values({"ema_decay": None})
    assert settings.values()["ema_decay"] is None
    assert settings.forms["Loss"]._rows["focal_gamma"][0].isHidden()
    settings.set_values({"focal": 1.0})
    assert not settings.forms["Loss"]._rows["focal_gamma"][0].isHidden()


def test_planning_rests_while_a_run_goes_and_catches_up_after_it(form, planned, wait_for) -> None:
    planned()
    form.bar.start.click()
    form.epochs.setValue(9)
    assert not form.planning.job.running
    assert form.plan.shown.plan.steps == 12
    wait_for(form)
    assert planned().plan.steps == 36


def test_a_sweep_is_drawn_and_its_rate_taken_over_by_plan_and_run(viewer, form, planned, wait_for) -> None:
    form.choice.choose("canonical")
    planned()
    before = {k: v.clone() for k, v in session_models().get("tiny").network.state_dict().items()}
    painted = np.array(form.pairs.pairs[0].labels.data)
    form.plan.find.click()
    assert not form.bar.start.isEnabled()
    assert not form.plan.measure.isEnabled()
    wait_for(form)
    sweep = form.plan.sweep
    rates, losses = sweep._raw.getOriginalDataset()
    assert len(rates) == len(losses) > 10
    assert all(
        k in before and np.array_equal(v, before[k])
        for k, v in session_models().get("tiny").network.state_dict().items()
    )
    assert np.array_equal(painted, form.pairs.pairs[0].labels.data)
    suggestion = sweep._swept.curve.suggestion
    assert suggestion is not None
    assert f"{suggestion:.1e}" in sweep.sentence.text()
    assert 10 ** sweep._mark.value() == pytest.approx(suggestion)
    sweep.accept.click()
    assert sweep.isHidden()
    first, full, last = planned().recipe.stages
    assert full.rates["head"] == pytest.approx(suggestion)
    assert full.rates["layer3"] == pytest.approx(suggestion / 10)
    assert first.rates["head"] == pytest.approx(suggestion)
    assert last.rates["head"] == 1e-2  # SGD was not swept
    assert form.plan.reset.isVisibleTo(form.plan.section.content())
    assert form.bar.start.isEnabled()


def test_a_sweep_can_be_cancelled_and_dismissed(form, planned, wait_for, qtbot) -> None:
    planned()
    form.plan.find.click()
    qtbot.waitUntil(lambda: len(form.plan.sweep._rates) > 0, timeout=30_000)
    form.bar.cancel.click()
    wait_for(form)
    assert len(form.plan.sweep._swept.curve.rates) < 100
    form.plan.sweep.dismiss.click()
    assert form.plan.sweep.isHidden()
    assert form.choice.edits == {}
    assert planned().recipe.preset == "full"
