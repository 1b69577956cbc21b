"""Controls differ from their run in where they start and in what learns, and in nothing else."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import threading

import numpy as np
import pytest
import torch
from painted_halves import SMALL

from napari_anneal.errors import InputError
from napari_anneal.inference import load_model
from napari_anneal.models.layer_groups import GROUPS
from napari_anneal.training import (
    ControlledRun,
    FineTuneRecipe,
    Run,
    Stage,
    control_runs,
    fine_tune,
    fine_tune_with_controls,
    judging,
    loop,
)
from napari_anneal.training.control_runs import ComparedRunFinished, control_recipe
from napari_anneal.training.events import Notice, PartStarted, StepDone
from napari_anneal.training.validation_budget import validation_budget

NAMES = ["main", "scratch", "feature_extraction"]


def recipe(preset="canonical", epochs=4, **changes):
    return FineTuneRecipe.from_preset(preset, epochs=epochs, **(SMALL | changes))


@pytest.fixture(scope="module")
def start(samples, tmp_path_factory):
    """A bundle with another network than the recipe names: controls must take over the network, too."""
    out = tmp_path_factory.mktemp("start") / "a"
    fine_tune(samples, recipe=recipe("scratch", 1, decoder_channels=(8, 4, 8), seed=7), out=out)
    return out / "model"


@pytest.fixture(scope="module")
def done(samples, plan, start, tmp_path_factory):
    """A comparison, with the digest of every training and validation batch of every run."""
    out, events, seen = tmp_path_factory.mktemp("controls") / "a", [], {}

    def digest(images, labels):
        return hashlib.sha256(images.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()

    def listen(event):
        events.append(event)
        if isinstance(event, PartStarted):
            seen[event.name] = {"train": [], "val": []}

    def seen_by(what, real):
        def batches(*given):
            for images, labels in real(*given):
                seen[list(seen)[-1]][what].append(digest(images, labels))
                yield images, labels

        return batches

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "batches", seen_by("train", loop.batches))
        patch.setattr(judging, "validation_batches", seen_by("val", judging.validation_batches))
        made = recipe(validation_patches=None)
        result = fine_tune_with_controls(samples, plan, made, start, out, listen)
    return result, events, seen, out


def weights(folder):
    return (folder / "model" / "model.safetensors").read_bytes()


def test_all_three_see_the_same_batches_in_training_and_validation(done):
    result, _, seen, _ = done
    assert list(seen) == list(result.runs) == NAMES
    assert len(seen["main"]["train"]) == 12
    assert len(set(seen["main"]["train"])) == 12
    assert seen["scratch"] == seen["feature_extraction"] == seen["main"]


def test_controls_are_judged_by_as_many_patches_although_they_cost_less_time(done, samples, plan):
    made = recipe("full", 9, validation_patches=None, batch_size=8, steps_per_epoch=12)
    frozen = control_recipe("feature_extraction", made, done[0].run, samples, plan)
    assert validation_budget(frozen, 12) == validation_budget(made, 12) == 32
    assert validation_budget(frozen.model_copy(update={"validation_patches": None}), 12) == 16
    assert frozen.patience >= 12  # epochs of one step each: nothing ends it early


def test_controls_are_the_runs_that_one_would_write_by_hand(done, samples, plan, start, tmp_path):
    out = done[3]
    common = SMALL | {"decoder_channels": (8, 4, 8), "validation_patches": 4, "patience": 99}
    every = Stage(name="all layers", steps=12, rates=dict.fromkeys(GROUPS, 1e-3))
    fine_tune(samples, plan, FineTuneRecipe(stages=(every,), **common), None, tmp_path / "scratch")
    head = Stage(name="head", steps=12, rates={"head": 1e-3})
    fine_tune(samples, plan, FineTuneRecipe(stages=(head,), **common), start, tmp_path / "frozen")
    assert weights(out / "controls" / "scratch") == weights(tmp_path / "scratch")
    assert weights(out / "controls" / "feature_extraction") == weights(tmp_path / "frozen")
    begun = load_model(start).network.state_dict()
    frozen = load_model(out / "controls" / "feature_extraction" / "model").network.state_dict()
    assert all(torch.equal(begun[name], frozen[name]) for name in begun if name.startswith("encoder."))


def test_the_run_itself_is_what_it_is_without_controls(done, samples, plan, start, tmp_path):
    fine_tune(samples, plan, recipe(validation_patches=None), start, tmp_path / "alone")
    assert weights(tmp_path / "alone") == weights(done[3])


def test_curves_scores_and_files_hold_the_histories(done):
    result, events, _, out = done
    curves = result.curves()
    for name, run in result.runs.items():
        assert curves[name][:, 0].tolist() == [3, 6, 9, 12]
        assert curves[name][:, 1].tolist() == [row["val_loss"] for row in run.history]
        dice = [(row["val_dice_1"] + row["val_dice_2"]) / 2 for row in run.history]
        np.testing.assert_allclose(curves[name][:, 2], dice)
        best = int(np.argmin(curves[name][:, 1]))
        score = result.scores[name]
        assert (score.val_loss, score.dice, score.steps) == (*curves[name][best, 1:], 12)
    told = json.loads((out / "controls" / "controls.json").read_text())
    assert told == json.loads(json.dumps(result.to_dict()))
    metrics = load_model(out / "model").card.metrics
    assert metrics["controls"]["scratch"]["dice"] == result.scores["scratch"].dice
    assert metrics["comparison"] == result.sentence != ""
    assert [e.text for e in events if isinstance(e, Notice)][-1] == result.sentence
    assert [e.score for e in events if isinstance(e, ComparedRunFinished)] == list(result.scores.values())
    assert all(name.replace("_", " ") in result.table() for name in NAMES[1:])


def test_controls_take_as_many_steps_as_a_run_that_ended_early(samples, plan, start):
    controls = {}

    def listen(event):
        if isinstance(event, PartStarted):
            controls[event.name] = event.control
        if isinstance(event, StepDone) and event.step == 5 and list(controls) == ["main"]:
            controls["main"].finish()

    result = fine_tune_with_controls(samples, plan, recipe(), start, on_event=listen)
    assert result.run.reason == "finished"
    taken = result.run.history[-1]["step"]
    assert taken < 12
    assert {score.steps for score in result.scores.values()} == {taken}
    assert [run.reason for run in result.controls.values()] == ["complete", "complete"]


@pytest.mark.parametrize("broken", ["scratch", "feature_extraction"])
def test_a_control_that_fails_costs_its_curve_alone(samples, plan, start, tmp_path, monkeypatch, broken):
    real = control_runs.fine_tune

    def fails(samples, plan, made, *given):
        if made.preset == broken:
            raise RuntimeError("CUDA error: device-side assert")
        return real(samples, plan, made, *given)

    monkeypatch.setattr(control_runs, "fine_tune", fails)
    events = []
    result = fine_tune_with_controls(samples, plan, recipe(), start, tmp_path / "a", events.append)
    assert result.run.reason == "complete"
    assert set(result.runs) == set(NAMES) - {broken}
    assert "device-side" in result.failed[broken]
    assert any(isinstance(e, Notice) and "the run is kept" in e.text for e in events)
    assert "could not be run" in result.table()
    assert bool(result.sentence) == (broken != "scratch")
    assert load_model(tmp_path / "a" / "model").card.metrics["reason"] == "complete"
    monkeypatch.undo()
    whole = fine_tune_with_controls(samples, plan, recipe(), start, tmp_path / "a", resume=True)
    assert list(whole.runs) == NAMES


@pytest.mark.parametrize("moment", [("main", 5), ("scratch", 2), ("feature_extraction", 11)])
def test_cancelled_in_any_of_the_three_it_goes_on_to_the_same_bytes(done, samples, plan, start, tmp_path, moment):
    cancel, at, out = threading.Event(), [], tmp_path / "a"
    made = recipe(validation_patches=None)

    def listen(event):
        if isinstance(event, PartStarted):
            at[:] = [event.name]
        if isinstance(event, StepDone) and (at[0], event.step) == moment:
            cancel.set()

    cut = fine_tune_with_controls(samples, plan, made, start, out, listen, cancel)
    assert cut.runs[moment[0]].cancelled
    assert list(cut.runs) == NAMES[: NAMES.index(moment[0]) + 1]
    events = []
    whole = fine_tune_with_controls(samples, plan, made, start, out, events.append, resume=True)
    assert [e.done for e in events if isinstance(e, PartStarted)] == [
        NAMES.index(name) < NAMES.index(moment[0]) for name in NAMES
    ]
    assert {name: run.reason for name, run in whole.runs.items()} == dict.fromkeys(NAMES, "complete")
    for place in (".", "controls/scratch", "controls/feature_extraction"):
        assert weights(out / place) == weights(done[3] / place)
    assert whole.to_dict() == done[0].to_dict()


def test_a_run_that_was_made_without_controls_gets_them(samples, plan, start, tmp_path):
    fine_tune(samples, plan, recipe(), start, tmp_path / "a")
    before = weights(tmp_path / "a")
    result = fine_tune_with_controls(samples, plan, recipe(), start, tmp_path / "a", resume=True)
    assert list(result.runs) == NAMES
    assert weights(tmp_path / "a") == before
    with pytest.raises(InputError, match="another recipe"):
        fine_tune_with_controls(samples, plan, recipe(seed=9), start, tmp_path / "a", resume=True)


def test_a_folder_that_is_no_run_is_left_alone_when_resuming(samples, start, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="no checkpoint"):
        fine_tune_with_controls(samples, None, recipe(), start, tmp_path / "mine", resume=True)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"


def test_what_is_a_control_itself_is_not_run_twice(samples, plan, start):
    with pytest.raises(InputError, match="a control itself"):
        fine_tune_with_controls(samples, plan, recipe(), None)
    result = fine_tune_with_controls(samples, plan, recipe("feature_extraction", 2), start)
    assert result.controls["feature_extraction"] is result.run
    assert list(result.runs) == ["main", "feature_extraction", "scratch"]


def of(**dice):
    """A comparison whose runs had these figures."""
    runs = {}
    for name, value in dice.items():
        row = {"epoch": 1, "step": 3, "val_loss": 1 - value, "val_dice_1": value, "val_dice_2": float("nan")}
        runs[name] = Run(None, [row], row, "complete")
    return ControlledRun(runs.pop("main"), runs)


@pytest.mark.parametrize(
    ("dice", "says"),
    [
        (
            {"main": 0.8, "scratch": 0.78, "feature_extraction": 0.71},
            "7 points of Dice less than training from scratch.*Switch the backbone",
        ),
        ({"main": 0.9, "scratch": 0.6, "feature_extraction": 0.8}, "> scratch 0.60, feature extraction 0.80.*helps"),
        ({"main": 0.62, "scratch": 0.6, "feature_extraction": 0.58}, "too close to tell"),
        ({"main": 0.5, "scratch": 0.6, "feature_extraction": 0.58}, "0.50 < scratch 0.60.*does harm"),
        ({"main": 0.9, "scratch": 0.6}, r"0.90 > scratch 0.60 \(mean Dice\)"),
        ({"main": 0.9}, "^$"),
    ],
)
def test_the_sentence_says_what_the_figures_say(dice, says):
    assert re.search(says, of(**dice).sentence)


def test_a_kill_between_two_runs_loses_nothing(done, samples, plan, start, tmp_path):
    shutil.copytree(done[3], tmp_path / "a")
    shutil.rmtree(tmp_path / "a" / "controls" / "feature_extraction")
    (tmp_path / "a" / "controls" / "feature_extraction").mkdir()
    (tmp_path / "a" / "controls" / "controls.json").unlink()
    whole = fine_tune_with_controls(samples, plan, recipe(validation_patches=None), start, tmp_path / "a", resume=True)
    assert whole.to_dict() == done[0].to_dict()
