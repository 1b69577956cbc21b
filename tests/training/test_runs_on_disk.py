"""Runs on disk: listed, compared and run again; damaged and foreign folders are said or passed over."""

from __future__ import annotations

import csv
import json
import threading

import pytest
from painted_halves import SMALL, specimen

from napari_anneal.errors import InputError
from napari_anneal.training import FineTuneRecipe, cross_validate, fine_tune, keeper
from napari_anneal.training.events import StepDone
from napari_anneal.training.run_comparison import compare_runs
from napari_anneal.training.run_facts import read_facts
from napari_anneal.training.run_lock import locked
from napari_anneal.training.runs import list_runs, order_of, read_history, read_recipe
from napari_anneal.training.trace import MOST_POINTS, Trace, read_trace
from napari_anneal.validation import group_split


@pytest.fixture(scope="module")
def samples():
    return [specimen(seed) for seed in range(4)]


def recipe(preset="canonical", epochs=3, **changes):
    return FineTuneRecipe.from_preset(preset, epochs=epochs, **(SMALL | changes))


@pytest.fixture(scope="module")
def folder(samples, tmp_path_factory):
    """Two runs, one of them cancelled, beside what is no run."""
    root = tmp_path_factory.mktemp("runs")
    plan = group_split(samples, folds=3, gold=["g3"])
    fine_tune(samples, plan, recipe(), out=root / "first")
    cancel = threading.Event()

    def listen(event):
        if isinstance(event, StepDone) and event.step == 4:
            cancel.set()

    fine_tune(samples, recipe=recipe("scratch", seed=7), out=root / "second", on_event=listen, cancel=cancel)
    (root / "thesis").mkdir()
    (root / "thesis" / "chapter.txt").write_text("years of work")
    (root / "notes.txt").write_text("a file")
    return root


def test_runs_are_listed_with_what_came_of_them_and_nothing_else_is(folder):
    records = {record.name: record for record in list_runs(folder)}
    assert set(records) == {"first", "second"}
    first, second = records["first"], records["second"]
    rows = first.history()
    assert first.best_val_loss == min(row["val_loss"] for row in rows)
    best = min(rows, key=lambda row: row["val_loss"])
    assert first.mean_dice == pytest.approx((best["val_dice_1"] + best["val_dice_2"]) / 2)
    assert (first.epochs, first.reason, first.preset, first.start) == (3, "complete", "canonical", "fresh weights")
    assert not first.resumable
    assert (second.reason, second.resumable, second.epochs) == ("cancelled", True, 1)
    assert first.model == folder / "first" / "model"
    assert first.seconds > 0
    json.dumps([record.to_dict() for record in records.values()])


def test_facts_say_who_trained_who_judged_and_that_gold_was_set_aside(folder, samples):
    facts = read_facts(folder / "first")
    assert [used.name for used in facts.gold] == ["s3"]
    used = [image.name for image in (*facts.train, *facts.validation)]
    assert sorted(used) == ["s0", "s1", "s2"]
    assert facts.judged_by == "other groups"
    assert sum(facts.train_painted) == sum(int((s.labels > 0).sum()) for s in samples if s.name in
                                           {i.name for i in facts.train})  # fmt: skip
    assert {image.name for image in facts.images} == {image.name for image in facts.validation}


def test_the_newest_run_comes_first_and_a_run_lists_itself(folder):
    records = list_runs(folder)
    assert [r.when for r in records] == sorted((r.when for r in records), reverse=True)
    assert [r.name for r in list_runs(folder / "first")] == ["first"]


def test_folds_a_level_deeper_are_listed(samples, tmp_path):
    cross_validate(samples[:2], recipe=recipe("scratch", 1), out=tmp_path / "cv")
    assert {r.name for r in list_runs(tmp_path)} == {"cv/fold-1", "cv/fold-2"}


@pytest.mark.parametrize("damage", ["{", '{"classes": 3}', "", "[1]", '{"schema_version": 9, "created": "", '
                                    '"classes": ["a"], "judged_by": "other groups"}'])  # fmt: skip
def test_a_damaged_run_is_listed_with_a_sentence_and_hides_no_other(folder, tmp_path, damage):
    import shutil

    shutil.copytree(folder / "first", tmp_path / "good")
    shutil.copytree(folder / "first", tmp_path / "bad")
    (tmp_path / "bad" / "run.json").write_text(damage)
    records = {r.name: r for r in list_runs(tmp_path)}
    assert records["good"].fault == ""
    assert "run.json" in records["bad"].fault
    assert records["bad"].facts is None
    assert records["bad"].to_dict()["best_val_loss"] is None
    with pytest.raises(InputError, match="bad cannot be compared"):
        compare_runs(list(records.values()))


def test_a_damaged_recipe_or_history_leaves_the_rest(folder, tmp_path):
    import shutil

    shutil.copytree(folder / "first", tmp_path / "a")
    (tmp_path / "a" / "recipe.json").write_text('{"stages": []}')
    text = (tmp_path / "a" / "history.csv").read_text()
    (tmp_path / "a" / "history.csv").write_text(text[: text.rindex(",")])
    (record,) = list_runs(tmp_path)
    assert "recipe.json" in record.fault
    assert record.epochs == 3
    assert 2 <= len(record.history()) <= 3


def test_no_such_folder_is_a_sentence(tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        list_runs(tmp_path / "nothing")
    assert list_runs(tmp_path) == []


def test_a_killed_run_is_interrupted_and_a_locked_one_is_running(samples, folder, tmp_path):
    import shutil

    shutil.copytree(folder / "second", tmp_path / "a")
    path = tmp_path / "a" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"reason": "running"}))
    (record,) = list_runs(tmp_path)
    assert (record.reason, record.resumable) == ("interrupted", True)
    with locked(tmp_path / "a"):
        (record,) = list_runs(tmp_path)
    assert (record.reason, record.resumable) == ("running", False)


def test_from_the_first_step_on_a_run_can_be_listed(samples, tmp_path):
    seen = []
    fine_tune(samples, recipe=recipe(), out=tmp_path / "a", on_event=lambda event: seen.append(list_runs(tmp_path)))
    assert {r.reason for records in seen[:-1] for r in records} == {"running", "complete"}
    assert all(len(records) == 1 and records[0].recipe is not None for records in seen)


# Comparing


def test_only_what_differs_is_compared_and_the_figures_are_those_of_the_runs(folder):
    records = sorted(list_runs(folder), key=lambda r: r.name)
    compared = compare_runs(records)
    differing = dict(compared.differences)
    assert differing["seed"] == (0, 7)
    assert differing["preset"] == ("canonical", "scratch")
    assert differing["stages.2.name"] == ("all layers", None)
    assert "batch_size" not in differing
    assert all(len({json.dumps(v) for v in values}) > 1 for _, values in compared.differences)
    figures = dict(compared.figures)
    assert figures["best validation loss"] == tuple(r.best_val_loss for r in records)
    assert figures["epochs"] == (3, 1)
    assert [len(curve) for curve in compared.curves] == [3, 1]
    json.dumps(compared.to_dict())


def test_a_run_compared_with_itself_differs_in_nothing(folder):
    (record,) = list_runs(folder / "first")
    assert compare_runs([record, record]).differences == ()
    with pytest.raises(InputError, match="two runs or more"):
        compare_runs([record])


# Running again


def test_run_again_from_its_files_a_run_gives_the_same_model_byte_for_byte(folder, samples, tmp_path):
    for name in ("first", "second"):
        order = order_of(folder / name, list(reversed(samples)))
        fine_tune(list(reversed(samples)), order.plan, order.recipe, order.start, tmp_path / name)
    weights = [(root / "first" / "model" / "model.safetensors").read_bytes() for root in (folder, tmp_path)]
    assert weights[0] == weights[1]
    whole, cut = read_history(tmp_path / "second"), read_history(folder / "second")
    assert whole[0]["val_loss"] == cut[0]["val_loss"]


def test_running_again_needs_its_images_its_start_and_its_recipe(folder, samples, tmp_path):
    with pytest.raises(InputError, match="image 's"):
        order_of(folder / "first", samples[2:])
    with pytest.raises(InputError, match="not the folder of a run"):
        order_of(tmp_path, samples)
    model = fine_tune(samples, recipe=recipe("scratch", 1)).model
    fine_tune(samples, recipe=recipe("scratch", 1), start=model, out=tmp_path / "a")
    with pytest.raises(InputError, match="model in memory"):
        order_of(tmp_path / "a", samples)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [(None, "there is no recipe"), ("{", "cannot be read as JSON"), ('{"epochs": 3}', "recipe.json: .*stages")],
)
def test_a_wrong_recipe_file_is_a_sentence(tmp_path, text, sentence):
    if text is not None:
        (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_recipe(tmp_path / "recipe.json")


# Resuming


def test_a_resumed_run_keeps_its_beginning_its_steps_and_its_seconds(samples, tmp_path, monkeypatch):
    whole = tmp_path / "whole"
    fine_tune(samples, recipe=recipe(), out=whole)
    monkeypatch.setattr(keeper, "SAVE_EVERY_S", -1e9)
    monkeypatch.setattr(keeper, "LEAST_WORK_PER_WRITE", 0.0)
    cancel = threading.Event()

    def listen(event):
        if isinstance(event, StepDone) and event.step == 5:
            cancel.set()

    fine_tune(samples, recipe=recipe(), out=tmp_path / "cut", on_event=listen, cancel=cancel)
    before = read_facts(tmp_path / "cut")
    fine_tune(samples, recipe=recipe(), out=tmp_path / "cut", resume=True)
    after = read_facts(tmp_path / "cut")
    assert (before.reason, after.reason) == ("cancelled", "complete")
    assert after.created == before.created
    assert len(after.resumed) == 1
    assert after.seconds > before.seconds
    assert read_trace(tmp_path / "cut") == read_trace(whole)
    assert after.images == read_facts(whole).images


# Steps


def steps(count, first=1):
    return [StepDone(n, count, 1 / n, {"head": n * 1e-3}, 0.0, 0.0, None) for n in range(first, count + 1)]


def test_the_trace_of_a_short_run_is_every_step(tmp_path):
    trace = Trace()
    for event in steps(50):
        trace.add(event)
    trace.write(tmp_path)
    assert read_trace(tmp_path) == [{"step": n, "loss": 1 / n, "lr_head": n * 1e-3} for n in range(1, 51)]


def test_the_trace_of_a_long_run_stays_small_and_keeps_the_mean(tmp_path):
    trace = Trace()
    for event in steps(20_000):
        trace.add(event)
    assert len(trace.points) <= MOST_POINTS
    assert trace.points[-1]["step"] == 20_000
    assert sum(p["steps"] for p in trace.points) == 20_000
    mean = sum(p["loss"] * p["steps"] for p in trace.points) / 20_000
    assert mean == pytest.approx(sum(1 / n for n in range(1, 20_001)) / 20_000)


def test_steps_told_again_replace_those_before(tmp_path):
    trace = Trace()
    for event in (*steps(10), *steps(8, first=6)):
        trace.add(event)
    assert [p["step"] for p in trace.points] == list(range(1, 9))


def test_groups_that_are_frozen_have_no_rate(folder):
    points = read_trace(folder / "first")
    assert "lr_stem+layer1" not in points[0]
    assert "lr_stem+layer1" in points[4]
    with (folder / "first" / "steps.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 9
