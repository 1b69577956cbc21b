"""The learning rate of every group at every step equals the closed form of the method."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_anneal.models import ArchitectureSpec, build_network
from napari_anneal.training import FineTuneRecipe
from napari_anneal.training.optimizers import build_optimizer, set_rates
from napari_anneal.training.schedules import rate_factor, warmup_steps
from napari_anneal.training.stages import ADAMW_RATES, SGD_RATES


@given(total=st.integers(1, 200_000))
def test_warmup_is_five_percent_or_500_steps_whichever_is_less(total):
    assert warmup_steps(total) == max(1, min(math.ceil(total / 20), 500))


@given(total=st.integers(1, 3000))
def test_rate_rises_linearly_then_falls_along_the_cosine(total):
    warm = warmup_steps(total)
    factors = [rate_factor("warmup_cosine", t, total) for t in range(total)]
    assert factors[:warm] == pytest.approx([(t + 1) / warm for t in range(warm)])
    length = total - warm + 1
    cosine = [0.5 * (1 + math.cos(math.pi * t / length)) for t in range(1, length)]
    assert factors[warm:] == pytest.approx(cosine)
    assert max(factors) == pytest.approx(1.0)
    assert min(factors) > 0


def test_cosine_agrees_with_pytorch_own_schedule():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    total = 400
    warm = warmup_steps(total)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=total - warm + 1)
    for step in range(warm - 1, total):
        assert rate_factor("warmup_cosine", step, total) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        theirs.step()


def test_constant_is_constant():
    assert {rate_factor("constant", t, 50) for t in range(50)} == {1.0}


@pytest.fixture(scope="module")
def network():
    return build_network(ArchitectureSpec(encoder="resnet18"))


def test_canonical_stages_carry_the_numbers_of_the_method():
    head, full, last = FineTuneRecipe.from_preset("canonical", epochs=30).stages
    assert (head.epochs, full.epochs, last.epochs) == (5, 19, 6)
    assert head.rates == {"head": 1e-3}
    assert full.rates == {"stem+layer1": 1e-5, "layer2": 1e-5, "layer3": 1e-4, "layer4": 1e-4, "head": 1e-3}
    assert last.rates == {"stem+layer1": 1e-4, "layer2": 1e-4, "layer3": 1e-3, "layer4": 1e-3, "head": 1e-2}
    assert (full.optimizer, full.weight_decay, full.schedule) == ("adamw", 1e-2, "warmup_cosine")
    assert (last.optimizer, last.momentum, last.weight_decay, last.schedule) == ("sgd", 0.9, 0.0, "constant")


@pytest.mark.parametrize("index", [0, 1, 2])
def test_every_group_follows_its_own_rate(network, index):
    stage = FineTuneRecipe.from_preset("canonical").stages[index]
    optimizer = build_optimizer(network, stage)
    peaks = ({"head": 1e-3}, ADAMW_RATES, SGD_RATES)[index]
    for step in range(100):
        rates = set_rates(optimizer, stage, step, 100)
        factor = rate_factor(stage.schedule, step, 100)
        assert rates == pytest.approx({name: peak * factor for name, peak in peaks.items()})
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in network.parameters() if p.requires_grad}


def test_only_matrices_decay(network):
    optimizer = build_optimizer(network, FineTuneRecipe.from_preset("full").stages[0])
    for group in optimizer.param_groups:
        decays = {p.ndim > 1 for p in group["params"]}
        assert decays == {group["weight_decay"] > 0}
