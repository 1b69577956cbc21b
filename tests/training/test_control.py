"""A run that is paused, finished early or watched is, up to there, the run that was left alone."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch
from painted_halves import SMALL, specimen

from napari_anneal.errors import InputError
from napari_anneal.inference.predictor import Predictor
from napari_anneal.training import FineTuneRecipe, RunControl, fine_tune, pace
from napari_anneal.training.checkpoint import has_checkpoint
from napari_anneal.training.events import EpochDone, Predicted, RunFinished, StepDone


@pytest.fixture(scope="module")
def samples():
    return [specimen(seed) for seed in range(3)]


def recipe(preset="canonical", epochs=3, **changes):
    return FineTuneRecipe.from_preset(preset, epochs=epochs, **(SMALL | changes))


def weights(run):
    return run.model.network.state_dict()


def comparable(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


@pytest.fixture(scope="module")
def untouched(samples):
    return fine_tune(samples, recipe=recipe())


# Watch


def test_a_watched_run_is_the_unwatched_one_bit_for_bit(samples, untouched):
    events = []
    image = specimen(7).image
    run = fine_tune(samples, recipe=recipe(), watch=image, on_event=events.append)
    assert comparable(run.history) == comparable(untouched.history)
    assert all(torch.equal(weights(run)[name], tensor) for name, tensor in weights(untouched).items())
    told = [e for e in events if isinstance(e, (EpochDone, Predicted))]
    assert [type(e) for e in told] == [EpochDone, Predicted] * 3
    assert [e.epoch for e in told] == [1, 1, 2, 2, 3, 3]
    shown = told[-1].labels
    assert shown.shape == image.shape
    assert shown.dtype == np.uint8
    assert set(np.unique(shown)) <= {1, 2}


def test_what_is_shown_is_what_segmenting_with_the_same_weights_gives(samples):
    image, shown = np.pad(specimen(7).image, 60, mode="reflect"), []
    run = fine_tune(
        samples,
        recipe=recipe("scratch", 1, steps_per_epoch=8, precision="float32"),
        watch=image,
        on_event=lambda e: shown.append(e) if isinstance(e, Predicted) else None,
    )
    assert len(np.unique(shown[-1].labels)) == 2
    assert np.array_equal(shown[-1].labels, run.model.segment(image).labels)


def test_an_image_larger_than_memory_allows_is_watched_in_tiles(samples, untouched, monkeypatch):
    real, tiles = Predictor.plan, []

    def small(self, shape, tile="auto"):
        plan = real(self, shape, 32)
        tiles.append(len(plan))
        return plan

    monkeypatch.setattr(Predictor, "plan", small)
    image, shown = np.pad(specimen(7).image, 40, mode="reflect"), []
    listen = lambda e: shown.append(e.labels) if isinstance(e, Predicted) else None  # noqa: E731
    run = fine_tune(samples, recipe=recipe(), watch=image, on_event=listen)
    assert tiles == [25]
    assert all(labels.shape == image.shape and labels.min() >= 1 for labels in shown)
    assert all(torch.equal(weights(run)[name], tensor) for name, tensor in weights(untouched).items())


def test_a_prediction_that_fails_is_told_once_and_the_run_goes_on(samples, untouched, monkeypatch):
    def full(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Predictor, "predict", full)
    run = fine_tune(samples, recipe=recipe(), watch=specimen(7).image)
    assert sum("watched image is not shown any more" in text for text in run.notices) == 1
    assert comparable(run.history) == comparable(untouched.history)


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.zeros((4, 5, 6, 3)), "4 axes instead of"),
        (np.full((40, 40), 3.0), "image to watch cannot be used: .*constant"),
        (np.full((40, 40), np.nan), "image to watch cannot be used: .*NaN"),
        (np.random.default_rng(0).random((40, 40, 3)), "image to watch cannot be used: .*colour"),
    ],
)
def test_an_image_that_cannot_be_watched_is_one_sentence_before_the_start(samples, image, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence):
        fine_tune(samples, recipe=recipe(), watch=image, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# Pause


def test_a_pause_holds_the_run_and_counts_in_no_time(samples, untouched):
    control, events, during = RunControl(), [], []

    def go_on():
        during.extend([control.paused, sum(isinstance(e, StepDone) for e in events)])
        control.go_on()

    def listen(event):
        events.append(event)
        if isinstance(event, StepDone) and event.step == 4:
            control.pause()
            threading.Timer(1.5, go_on).start()

    began = time.monotonic()
    run = fine_tune(samples, recipe=recipe(), control=control, on_event=listen)
    wall = time.monotonic() - began
    assert during == [True, 4]
    assert comparable(run.history) == comparable(untouched.history)
    assert all(torch.equal(weights(run)[name], tensor) for name, tensor in weights(untouched).items())
    finished = events[-1]
    assert isinstance(finished, RunFinished)
    assert finished.seconds <= wall - 1.4
    assert sum(row["seconds"] for row in run.history) <= wall - 1.4


def test_a_paused_run_can_be_cancelled_and_resumed(samples, untouched, tmp_path):
    control, cancel = RunControl(), threading.Event()

    def listen(event):
        if isinstance(event, StepDone) and event.step == 4:
            control.pause()
            threading.Timer(0.2, cancel.set).start()

    run = fine_tune(samples, recipe=recipe(), out=tmp_path / "run", control=control, cancel=cancel, on_event=listen)
    assert run.cancelled
    resumed = fine_tune(samples, recipe=recipe(), out=tmp_path / "run", resume=True)
    assert comparable(resumed.history) == comparable(untouched.history)
    assert all(torch.equal(weights(resumed)[name], tensor) for name, tensor in weights(untouched).items())


# Finish


@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_finishing_validates_after_the_current_step_and_keeps_the_best(samples, step, tmp_path):
    control, events = RunControl(), []

    def listen(event):
        events.append(event)
        if isinstance(event, StepDone) and event.step == step:
            control.finish()

    run = fine_tune(samples, recipe=recipe(), out=tmp_path / "run", control=control, on_event=listen)
    assert run.reason == "finished"
    assert isinstance(events[-1], RunFinished)
    assert [e.step for e in events if isinstance(e, StepDone)][-1] == step + 1
    assert run.history[-1]["step"] == step + 1
    assert run.best["val_loss"] == min(row["val_loss"] for row in run.history)
    assert not has_checkpoint(tmp_path / "run")


def test_finishing_a_paused_run_ends_it(samples):
    control = RunControl()
    control.pause()
    threading.Timer(0.2, control.finish).start()
    run = fine_tune(samples, recipe=recipe(), control=control)
    assert run.reason == "finished"
    assert [row["step"] for row in run.history] == [1]
    control.pause()
    assert not control.paused


def test_finishing_at_the_last_step_is_a_complete_run(samples, untouched):
    control = RunControl()
    listen = lambda e: control.finish() if isinstance(e, StepDone) and e.step == 8 else None  # noqa: E731
    run = fine_tune(samples, recipe=recipe(), control=control, on_event=listen)
    assert run.reason == "complete"
    assert comparable(run.history) == comparable(untouched.history)


# Pace


def test_throughput_is_that_of_the_steps_alone(samples, monkeypatch):
    """With a clock that stands still but in steps of half a second, two patches a step are four a second."""
    now = [0.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    clock = pace.Pace(seconds=10.0)
    for _ in range(5):
        now[0] += 7.0  # a validation, or a checkpoint
        clock.begin_step()
        now[0] += 0.5
        assert clock.end_step(2) == pytest.approx(4.0)
    clock.leave_out(30.0)
    now[0] += 30.0
    assert clock.seconds == pytest.approx(10.0 + 5 * 7.5)


def test_every_step_tells_its_throughput_and_a_cpu_no_gpu_memory(samples):
    steps = []
    fine_tune(samples, recipe=recipe(), on_event=lambda e: steps.append(e) if isinstance(e, StepDone) else None)
    assert all(np.isfinite(e.patches_per_s) and e.patches_per_s > 0 for e in steps)
    assert {e.gpu_bytes for e in steps} == {None}
