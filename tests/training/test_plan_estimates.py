"""What a plan foretells: minutes and memory against runs and hand counts; and planning reads and changes little."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
import torch
from painted_halves import SMALL, specimen
from torch import nn

from napari_anneal.errors import InputError
from napari_anneal.samples.patches import PatchSampler
from napari_anneal.training import FineTuneRecipe, Stage, fine_tune, plan
from napari_anneal.training.plan import Planner, plan_run
from napari_anneal.training.rehearsal import STEPS, StepTimes, rehearse
from napari_anneal.training.setup import prepare_run, resolve_start
from napari_anneal.training.step_memory import activation_bytes
from napari_anneal.validation import group_split


@pytest.fixture(scope="module")
def samples():
    return [specimen(seed) for seed in range(3)]


def recipe(preset="canonical", epochs=5, **changes):
    return FineTuneRecipe.from_preset(preset, epochs=epochs, **(SMALL | changes))


class Counted:
    """An image that counts how often it is read."""

    def __init__(self, array):
        self.array, self.reads = array, 0
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, key):
        self.reads += 1
        return self.array[key]

    def __array__(self, dtype=None, copy=None):
        self.reads += 1
        return np.asarray(self.array, dtype)


def test_a_hundred_plans_read_the_images_once_and_gold_never(samples):
    counted = [dataclasses.replace(s, image=Counted(s.image)) for s in samples]
    split = group_split(samples, folds=2, gold=("g1",))
    planner = Planner(counted)
    planner.plan(split, recipe(), None)
    first = [s.image.reads for s in counted]
    assert first[1] == 0
    assert first[0] > 0
    for epochs in range(5, 15):
        planner.plan(split, recipe("gradual", epochs, batch_size=1 + epochs % 3, patch=32), None)
    assert [s.image.reads for s in counted] == first


@pytest.mark.parametrize("preset", ["canonical", "gradual", "feature_extraction"])
def test_a_plan_that_remembers_equals_one_that_does_not(samples, preset):
    planner = Planner(samples)
    planner.plan(None, recipe("scratch", patch=64), None)
    asked = recipe(preset, batch_size=4, steps_per_epoch=None)
    assert planner.plan(None, asked, None).to_dict() == plan_run(samples, None, asked, None).to_dict()


def test_a_run_that_could_not_start_is_refused_in_the_very_words_of_the_run(samples):
    unpainted = dataclasses.replace(samples[0], labels=np.zeros((64, 64), np.uint8))
    one = dataclasses.replace(samples[0], labels=np.ones((64, 64), np.uint8))
    flat = dataclasses.replace(samples[0], image=np.full((64, 64), 7, np.uint8))
    for wrong in ([unpainted], [one], [flat], []):
        with pytest.raises(InputError) as planned:
            Planner(wrong).plan(None, recipe(), None)
        with pytest.raises(InputError) as run:
            fine_tune(wrong, recipe=recipe())
        assert str(planned.value) == str(run.value)


def test_activations_equal_a_count_by_hand(samples):
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    images, labels = torch.randn(3, 1, 16, 16), torch.ones(3, 16, 16)
    # The first convolution keeps its input, the ReLU its output, which is the second one's input too.
    expected = (1 + 4) * 16 * 16 * 4
    plain = recipe(precision="float32")
    assert activation_bytes(network, plain, lambda logits, _: logits.sum(), images, labels) == (0, expected)


def test_memory_adds_up_from_sizes_that_are_known(samples):
    planned = plan_run(samples, None, recipe("full", batch_size=4, precision="float32"), None)
    weights = sum(planned.groups.values()) * 4
    memory = planned.memory
    assert memory.gradients == weights
    assert memory.optimizer == 2 * weights  # AdamW's two moments
    assert weights < memory.weights < 1.02 * weights  # running statistics
    assert memory.copies == 3 * memory.weights + memory.optimizer
    doubled = plan_run(samples, None, recipe("full", batch_size=8, precision="float32"), None).memory
    assert doubled.activations == pytest.approx(2 * memory.activations, rel=0.01)
    halved = plan_run(samples, None, recipe("full", batch_size=8, micro_batch=4, precision="float32"), None).memory
    assert halved.activations == memory.activations
    lion = plan_run(samples, None, FineTuneRecipe.from_preset("full", 5, "lion", **SMALL), None).memory
    assert lion.optimizer == weights
    head = plan_run(samples, None, recipe("feature_extraction"), None)
    assert head.memory.gradients == head.groups["head"] * 4
    assert planned.memory_bytes == planned.to_dict()["memory_bytes"] == sum(planned.to_dict()["memory"].values())


def test_a_plan_that_keeps_count_changes_no_running_statistics(samples):
    prepared = prepare_run(samples, None, recipe())
    network = resolve_start(None, recipe(), prepared.classes, 1).network
    before = {k: v.clone() for k, v in network.state_dict().items()}
    images, labels = torch.randn(2, 1, 32, 32), torch.ones(2, 32, 32, dtype=torch.long)
    activation_bytes(network, recipe(), lambda logits, _: logits.sum(), images, labels)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_the_minutes_foretold_are_those_the_run_takes(samples, monkeypatch):
    plain = PatchSampler.draw

    def slow(self, number):
        time.sleep(0.02)  # far more than the tiny network takes
        return plain(self, number)

    monkeypatch.setattr(PatchSampler, "draw", slow)
    asked = recipe(epochs=6, noise_scale_every=0)
    planned = plan_run(samples, None, asked, None, measure=True)
    run = fine_tune(samples, recipe=asked)
    assert planned.minutes * 60 == pytest.approx(run.seconds, rel=0.5)
    assert plan_run(samples, None, asked, None).minutes is None


def test_a_rehearsal_leaves_network_and_random_numbers_alone_and_can_be_cancelled(samples):
    asked = recipe()
    prepared = prepare_run(samples, None, asked)
    begun = resolve_start(None, asked, prepared.classes, 1)
    network = begun.network
    before, state, seen = {k: v.clone() for k, v in network.state_dict().items()}, torch.get_rng_state(), []

    def loss(logits, labels):
        return logits.square().mean()

    cpu = torch.device("cpu")
    times = rehearse(begun, prepared.data, asked, loss, cpu, lambda done, total: seen.append((done, total)))
    assert sorted(times.steps) == [1, 5]
    assert seen[-1] == (2 * STEPS, 2 * STEPS)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)

    class Now:
        def is_set(self):
            return True

    assert rehearse(begun, prepared.data, asked, loss, cpu, cancel=Now()) is None


def test_step_times_add_up_to_the_seconds_of_a_run():
    times = StepTimes({1: 1.0, 5: 3.0}, validation=0.1)
    assert times.step(3) == pytest.approx(2.0)
    asked = recipe(epochs=3, noise_scale_every=0)  # one epoch each: head, all five groups, all five groups
    assert times.seconds(asked, 10, 4) == pytest.approx(10 * (1 + 3 + 3) + 3 * 4 * 0.1)
    read = recipe(epochs=3, noise_scale_every=50)
    assert times.seconds(read, 10, 0) == pytest.approx(70 * 1.01)


def test_measured_times_serve_other_epochs_and_not_another_batch(samples):
    times = {}
    planner = Planner(samples, times)
    short = planner.plan(None, recipe(epochs=5), None, measure=True)
    longer = planner.plan(None, recipe(epochs=20), None)
    assert longer.minutes > 2 * short.minutes
    assert planner.plan(None, recipe(batch_size=3), None).minutes is None
    assert Planner(samples, times).plan(None, recipe(), None).minutes == short.minutes


def test_memory_that_is_not_there_is_said_before_the_run(samples, monkeypatch):
    monkeypatch.setattr(plan, "free_bytes", lambda device: 1 << 20)
    assert any("are free; take a smaller" in text for text in plan_run(samples, None, recipe(), None).notices)


def test_an_average_of_the_weights_and_lion_at_a_rate_of_adamw_are_foretold(samples):
    plain, averaged = (plan_run(samples, None, recipe(ema_decay=decay), None).memory for decay in (None, 0.99))
    assert averaged.copies - plain.copies == 2 * plain.weights
    fast = recipe().model_copy(update={"stages": (Stage(name="a", epochs=1, optimizer="lion", rates={"head": 1e-3}),)})
    assert any("Lion" in text for text in plan_run(samples, None, fast, None).notices)


def test_other_rates_make_the_recipe_a_custom_one_and_leave_all_else():
    plain = recipe("canonical", 6)
    changed = plain.with_rates({(1, "head"): 5e-4, (0, "layer4"): 1e-5, (7, "head"): 1.0})
    assert changed.preset == "custom"
    assert changed.stages[1].rates == plain.stages[1].rates | {"head": 5e-4}
    assert changed.stages[0].rates == {"layer4": 1e-5, "head": 1e-3}
    assert changed.stages[2] == plain.stages[2]
    assert plain.with_rates({(1, "head"): 1e-3}) is plain
    assert "layer2" not in plain.with_rates({(1, "layer2"): None}).stages[1].rates
    for wrong in ({(0, "head"): None}, {(0, "head"): 2.0}, {(0, "head"): 0.0}):
        with pytest.raises(InputError):
            plain.with_rates(wrong)
