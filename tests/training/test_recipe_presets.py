"""Presets, optimizers and the scaling rule against the numbers of the method and the formulas of the papers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_anneal.errors import InputError
from napari_anneal.models.architecture import ArchitectureSpec, build_network
from napari_anneal.models.layer_groups import GROUPS
from napari_anneal.training import PRESETS, FineTuneRecipe, Stage, recommend
from napari_anneal.training.optimizers import build_optimizer, set_rates, state_bytes
from napari_anneal.training.stages import ADAMW_RATES, SGD_RATES, rates_of_three, with_lion


@pytest.fixture(scope="module")
def network():
    return build_network(ArchitectureSpec(encoder="resnet10t", encoder_depth=5))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("epochs", [1, 2, 7, 30, 101])
def test_every_preset_fills_the_epochs_it_is_given(preset, epochs):
    recipe = FineTuneRecipe.from_preset(preset, epochs=epochs)
    assert recipe.total_epochs(5) == max(epochs, len(recipe.stages))
    assert recipe.total_steps(5) == 5 * recipe.total_epochs(5)


def test_gradual_unfreezing_goes_from_the_head_down_one_group_a_stage():
    stages = FineTuneRecipe.from_preset("gradual", epochs=25).stages
    assert [stage.epochs for stage in stages] == [5, 5, 5, 5, 5]
    for number, stage in enumerate(stages, start=1):
        assert tuple(stage.rates) == GROUPS[::-1][:number]
        assert all(stage.rates[group] == ADAMW_RATES[group] for group in stage.rates)


def test_gradual_and_then_the_recipe():
    names = [stage.name for stage in FineTuneRecipe.from_preset("gradual_canonical", epochs=40).stages]
    assert names == ["head", "+ layer4", "+ layer3", "+ layer2", "+ stem+layer1", "all layers", "SGD"]


def test_a_linear_probe_comes_before_fine_tuning():
    probe, full = FineTuneRecipe.from_preset("linear_probe", epochs=20).stages
    assert (tuple(probe.rates), probe.epochs, full.rates, full.epochs) == (("head",), 10, ADAMW_RATES, 10)


def test_the_three_groups_of_the_method_are_the_five_with_its_rates():
    assert rates_of_three(early=1e-5, middle=1e-4, head=1e-3) == ADAMW_RATES
    assert rates_of_three(early=1e-4, middle=1e-3, head=1e-2) == SGD_RATES


def test_lion_rescales_rates_and_decay_and_an_unscaled_rate_is_noticed():
    for stage in FineTuneRecipe.from_preset("canonical", optimizer="lion").stages[:2]:
        assert stage.optimizer == "lion"
        assert not stage.too_fast_for_lion
        for group, rate in stage.rates.items():
            assert 3 <= ADAMW_RATES[group] / rate <= 10
        assert 3 <= stage.weight_decay / 1e-2 <= 10
    plain = FineTuneRecipe.from_preset("full").stages[0].model_copy(update={"optimizer": "lion"})
    assert plain.too_fast_for_lion
    assert not with_lion(plain, factor=3.0).too_fast_for_lion


@pytest.mark.parametrize(("optimizer", "rates"), [("adam", ADAMW_RATES), ("sgd", SGD_RATES)])
def test_other_optimizers_take_the_rates_of_the_method(optimizer, rates):
    stage = FineTuneRecipe.from_preset("full", optimizer=optimizer).stages[0]
    assert stage.rates == pytest.approx(rates)


def test_stages_that_are_sgd_by_design_stay_sgd():
    assert FineTuneRecipe.from_preset("canonical", optimizer="lion").stages[2].optimizer == "sgd"


def test_lion_equals_its_formula(network):
    """Chen et al. 2023, algorithm 2: sign(β1 m + (1 − β1) g), then m ← β2 m + (1 − β2) g."""
    stage = with_lion(FineTuneRecipe.from_preset("full").stages[0])
    optimizer = build_optimizer(network, stage)
    group = next(g for g in optimizer.param_groups if g["name"] == "head" and g["weight_decay"] > 0)
    parameter = group["params"][0]
    expected = parameter.detach().double().clone()
    momentum = torch.zeros_like(expected)
    generator = torch.Generator().manual_seed(0)
    for step in range(12):
        rate = set_rates(optimizer, stage, step, 12)["head"]
        grad = torch.randn(parameter.shape, generator=generator)
        for p in network.parameters():
            p.grad = None
        parameter.grad = grad.clone()
        optimizer.step()
        expected *= 1 - rate * stage.weight_decay
        expected -= rate * torch.sign(0.9 * momentum + 0.1 * grad)
        momentum = 0.99 * momentum + 0.01 * grad
        torch.testing.assert_close(parameter.detach().double(), expected, rtol=1e-5, atol=1e-7)


def test_state_memory_is_what_the_optimizers_hold(network):
    held = {}
    for name in ("adamw", "adam", "sgd", "lion"):
        stage = Stage(name="x", epochs=1, optimizer=name, rates=dict.fromkeys(GROUPS, 1e-4))
        optimizer = build_optimizer(network, stage)
        for p in network.parameters():
            p.grad = torch.zeros_like(p)
        optimizer.step()
        tensors = [t for s in optimizer.state.values() for t in s.values() if torch.is_tensor(t) and t.dim() > 0]
        held[name] = sum(t.numel() * t.element_size() for t in tensors)
        scalars = sum(1 for p in network.parameters() if p.dim() == 0)
        assert not scalars
        assert held[name] == state_bytes(name, sum(p.numel() for p in network.parameters()))
    assert held["lion"] * 2 == held["adamw"]


def test_half_the_batch_takes_half_the_rate(network):
    whole = FineTuneRecipe.from_preset("full", batch_size=8, rates_for_batch=8)
    half = FineTuneRecipe.from_preset("full", batch_size=4, rates_for_batch=8)
    assert (whole.rate_scale, half.rate_scale) == (1.0, 0.5)
    assert FineTuneRecipe.from_preset("full", batch_size=4).rate_scale == 1.0
    stage = half.stages[0]
    optimizer = build_optimizer(network, stage)
    for step in (0, 5, 99):
        full = set_rates(optimizer, stage, step, 100, whole.rate_scale)
        less = set_rates(optimizer, stage, step, 100, half.rate_scale)
        assert np.allclose([less[g] / full[g] for g in full], 0.5)


def test_what_is_recommended_follows_the_number_of_labels_and_says_why():
    assert recommend(1)[0] == recommend(99)[0] == "feature_extraction"
    assert recommend(100)[0] == "full"
    assert recommend(5, pretrained=False)[0] == "scratch"
    assert "5 labelled images" in recommend(5)[1]
    with pytest.raises(InputError, match="no labelled images"):
        recommend(0)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"epochs": 2, "steps": 3}, "not both"),
        ({}, "needs a length"),
        ({"epochs": 1, "rates": {}}, "at least one group"),
        ({"epochs": 1, "rates": {"head": 2.0}}, "learning rate in"),
        ({"epochs": 1, "nesterov": True, "momentum": 0.0}, "momentum above 0"),
    ],
)
def test_a_stage_that_makes_no_sense_is_one_sentence(settings, says):
    with pytest.raises(InputError, match=says):
        Stage(**{"name": "x", "rates": {"head": 1e-3}, **settings})


def test_a_stage_may_be_counted_in_steps():
    recipe = FineTuneRecipe(stages=(Stage(name="a", steps=7, rates={"head": 1e-3}),))
    assert (recipe.total_steps(5), recipe.total_epochs(5)) == (7, 2)


def test_a_recipe_knows_what_was_kept_of_it_by_this_version_and_by_older_ones():
    recipe = FineTuneRecipe.from_preset("canonical", classes=("a", "b"))
    kept = recipe.model_dump(mode="json")
    assert recipe.is_kept_as(kept)
    assert recipe.is_kept_as({name: value for name, value in kept.items() if name != "ema_decay"})
    assert not recipe.model_copy(update={"ema_decay": 0.9}).is_kept_as(kept)
    assert not recipe.is_kept_as(kept | {"patch": 64})
    assert not recipe.is_kept_as(kept | {"of_a_newer_version": 1})
