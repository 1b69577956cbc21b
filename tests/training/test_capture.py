"""A captured run: copies that later steps do not touch, and memory that may be used again."""

from __future__ import annotations

import torch

from napari_anneal.models.architecture import ArchitectureSpec, build_network
from napari_anneal.training import FineTuneRecipe
from napari_anneal.training.state import RunState

SPEC = ArchitectureSpec(encoder="resnet10t", encoder_depth=3, decoder_channels=(8, 8, 8))


def trained_on(state, value):
    """Move every weight and statistic as a step would."""
    for parameter in state.network.parameters():
        parameter.grad = torch.full_like(parameter, value)
    state.optimizer.step()
    state.network.train()(torch.full((2, 1, 32, 32), value).contiguous(memory_format=torch.channels_last))


def test_a_capture_into_the_memory_of_an_earlier_one_equals_a_fresh_one():
    state = RunState(build_network(SPEC).to(memory_format=torch.channels_last))
    first = state.capture()  # before there is an optimizer
    state.begin(FineTuneRecipe.from_preset("scratch").stages[0])
    trained_on(state, 0.5)
    state.best.update(1.0, 1, (), state.network)
    second = state.capture(instead_of=first)
    best = {name: tensor.clone() for name, tensor in second.tensors.items() if name.startswith("best.")}
    trained_on(state, -0.25)
    fresh, again = state.capture(), state.capture(instead_of=second)
    assert again.numbers == fresh.numbers
    assert again.tensors.keys() == fresh.tensors.keys()
    assert any(name.startswith("optimizer.") for name in again.tensors)
    for name, tensor in fresh.tensors.items():
        assert torch.equal(again.tensors[name], tensor), name
        if not name.startswith("best."):
            assert again.tensors[name].data_ptr() != tensor.data_ptr(), name
    for name, tensor in best.items():
        assert torch.equal(again.tensors[name], tensor), f"{name} is of the best epoch, not of this one"


def test_later_steps_leave_a_capture_alone():
    state = RunState(build_network(SPEC))
    state.begin(FineTuneRecipe.from_preset("scratch").stages[0])
    trained_on(state, 0.5)
    captured = state.capture()
    before = {name: tensor.clone() for name, tensor in captured.tensors.items()}
    trained_on(state, -0.25)
    assert all(torch.equal(captured.tensors[name], tensor) for name, tensor in before.items())
    assert not torch.equal(
        state.network.state_dict()["encoder.model.conv1.0.weight"], before["network.encoder.model.conv1.0.weight"]
    )
