"""Advice before and during a run: the rate finder and the gradient noise scale, on problems whose answers are known."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from painted_halves import SMALL, specimen
from torch import nn

from napari_anneal.errors import InputError
from napari_anneal.training import FineTuneRecipe, find_rate, fine_tune, with_head_rate
from napari_anneal.training.events import NoiseScaleRead
from napari_anneal.training.gradients import backward, random_state
from napari_anneal.training.lr_finder import suggest
from napari_anneal.training.noise_scale import NoiseScale, squared_norm, squared_norm_of_half


@pytest.fixture(scope="module")
def samples():
    return [specimen(seed) for seed in range(3)]


def recipe(preset="scratch", **changes):
    return FineTuneRecipe.from_preset(preset, epochs=3, **(SMALL | changes))


def test_the_suggestion_is_the_steepest_fall_before_the_minimum():
    rates = np.geomspace(1e-6, 1, 200)
    # Falls as a logistic curve about 10^-3, and explodes above 10^-1.
    losses = 2 - 1 / (1 + (1e-3 / rates) ** 1.5) + np.where(rates > 0.1, 50 * (rates - 0.1), 0)
    assert suggest(rates, losses) == pytest.approx(1e-3, rel=0.15)
    assert suggest(rates, np.linspace(1, 2, 200)) is None
    assert suggest([1e-3, 1e-2], [1.0, 0.5]) is None


def test_a_sweep_finds_a_rate_at_which_the_network_learns_and_leaves_nothing_behind(samples):
    before = torch.get_rng_state()
    seen, told = [], []
    curve = find_rate(
        samples,
        recipe=recipe(),
        steps=60,
        progress=lambda done, total: seen.append((done, total)),
        watch=lambda rate, loss: told.append((rate, loss)),
    )
    assert told == list(zip(curve.rates, curve.losses, strict=True))
    assert curve.rates[0] == pytest.approx(1e-6)
    assert np.allclose(np.diff(np.log(curve.rates)), np.log(1e6) / 59)
    assert 1e-5 < curve.suggestion < 0.3
    assert f"{curve.suggestion:.1e}" in curve.sentence
    assert seen[-1][0] == len(curve.rates)
    assert len(curve.losses) == len(curve.smoothed) == len(curve.rates)
    run = fine_tune(samples, recipe=with_head_rate(recipe(steps_per_epoch=10), curve.suggestion))
    assert run.history[-1]["train_loss"] < run.history[0]["train_loss"]
    assert before.shape == torch.get_rng_state().shape


def test_taking_a_suggestion_over_keeps_the_ratios_and_leaves_sgd_alone():
    head, full, last = with_head_rate(FineTuneRecipe.from_preset("canonical"), 5e-4).stages
    assert head.rates == {"head": pytest.approx(5e-4)}
    assert full.rates["layer4"] / full.rates["head"] == pytest.approx(0.1)
    assert last.rates == FineTuneRecipe.from_preset("canonical").stages[2].rates


def test_a_sweep_can_be_cancelled_and_keeps_what_it_has(samples):
    cancel = threading.Event()
    curve = find_rate(
        samples, recipe=recipe(), steps=60, cancel=cancel, progress=lambda done, _: done == 5 and cancel.set()
    )
    assert len(curve.rates) == 5


@pytest.mark.parametrize("settings", [{"steps": 3}, {"lowest": 0.0}, {"lowest": 1.0, "highest": 0.1}])
def test_a_sweep_that_cannot_be_is_one_sentence(samples, settings):
    with pytest.raises(InputError, match="a sweep from"):
        find_rate(samples, recipe=recipe(), **settings)


@pytest.mark.parametrize("ratio", [2.0, 30.0])
def test_the_noise_scale_of_gaussian_gradients_is_their_variance_over_their_square(ratio):
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200)
    sigma = np.sqrt(ratio * (truth**2).sum() / truth.size)
    scale, values, batch = NoiseScale(), [], 16
    for _ in range(3000):
        patches = truth + sigma * rng.normal(size=(batch, truth.size))
        half, whole = (np.sum(patches[:n].mean(axis=0) ** 2) for n in (batch // 2, batch))
        scale.update(half, whole, batch // 2, batch)
        values.append((scale.noise, scale.signal))
    noise, signal = np.mean(values, axis=0)
    assert noise / signal == pytest.approx(ratio, rel=0.1)


@pytest.mark.parametrize(
    ("noise", "signal", "says"),
    [(800.0, 1.0, "larger batch"), (1.0, 1.0, "smaller batch"), (16.0, 1.0, "sensible"), (1.0, -1.0, "cannot be told")],
)
def test_the_noise_scale_is_put_into_words(noise, signal, says):
    assert says in NoiseScale(noise, signal, 1.0).sentence(16)


def test_reading_the_noise_scale_changes_nothing_in_the_run():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.3), nn.Conv2d(3, 2, 1))
    images, labels = torch.randn(4, 1, 8, 8), torch.randn(4, 2, 6, 6)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    state = random_state(torch.device("cpu"))
    loss = nn.functional.mse_loss
    found = squared_norm_of_half(lambda *half: backward(network, network, loss, *half), network, images, labels)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert torch.equal(state, random_state(torch.device("cpu")))
    assert all(p.grad is None for p in network.parameters())
    loss(network(images[:2]), labels[:2]).backward()
    assert found == pytest.approx(squared_norm(p.grad for p in network.parameters()), rel=1e-6)


def test_a_run_tells_its_noise_scale_and_is_the_same_run(samples):
    events = []
    told = fine_tune(samples, recipe=recipe(noise_scale_every=2), on_event=events.append)
    silent = fine_tune(samples, recipe=recipe(noise_scale_every=0))
    assert [e.step for e in events if isinstance(e, NoiseScaleRead)] == [2, 4, 6, 8]
    ours, theirs = told.model.network.state_dict(), silent.model.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
