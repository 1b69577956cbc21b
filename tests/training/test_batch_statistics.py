"""Which normalisation layers move, by policy, start and number of patches; and that a single value stops no run."""

from __future__ import annotations

import pytest
import torch
from painted_halves import SMALL, specimen
from torch import nn

from napari_anneal.models.architecture import ArchitectureSpec, build_network
from napari_anneal.training import FineTuneRecipe, find_rate, fine_tune, step
from napari_anneal.training.batch_statistics import BatchStatistics

SPEC = ArchitectureSpec(encoder="resnet10t", encoder_depth=3, decoder_channels=(8, 8, 8))


@pytest.fixture(scope="module")
def samples():
    return [specimen(seed) for seed in range(3)]


def recipe(preset="scratch", epochs=2, **changes):
    return FineTuneRecipe.from_preset(preset, epochs=epochs, **(SMALL | changes))


def awake(network):
    return {name for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d) and m.training}


# One patch of 32 px is 4 x 4 pixels in the last stage of three, and 8 x 8 in the one before.
@pytest.mark.parametrize(
    ("policy", "start", "at_once", "resting"),
    [
        ("train", "model", 1, ""),
        ("frozen", "scratch", 16, "all"),
        ("auto", "model", 2, ""),
        ("auto", "model", 1, "4 x 4"),
        ("auto", "imagenet", 1, "4 x 4 of the encoder"),
        ("auto", "weights file", 1, "4 x 4 of the encoder"),
        ("auto", "scratch", 1, ""),
    ],
)
def test_the_policy_decides_which_layers_rest(policy, start, at_once, resting):
    network = build_network(SPEC)
    sizes = {}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.register_forward_hook(lambda m, given, out, name=name: sizes.update({name: out.shape[2:].numel()}))
    network.eval()(torch.zeros(1, 1, 32, 32))
    said = BatchStatistics(network, policy, start).wake(torch.zeros(16, 1, 32, 32), at_once)
    rest = set(sizes) - awake(network)
    small = {name for name, area in sizes.items() if area == 16}
    assert small
    assert any(not name.startswith("encoder") for name in sizes)
    wanted = {
        "": set(), "all": set(sizes), "4 x 4": small,
        "4 x 4 of the encoder": {n for n in small if n.startswith("encoder")},
    }  # fmt: skip
    assert rest == wanted[resting]
    assert bool(said) == (policy == "auto" and bool(rest))


def test_processes_that_share_their_statistics_have_more_values():
    network = build_network(SPEC)
    BatchStatistics(network, "auto", "model", world=2).wake(torch.zeros(1, 1, 32, 32), 1)
    assert len(awake(network)) == sum(isinstance(m, nn.BatchNorm2d) for m in network.modules())


def test_frozen_statistics_do_not_move_by_a_bit_while_the_weights_learn(samples):
    begun = fine_tune(samples, recipe=recipe(epochs=1)).model
    run = fine_tune(samples, recipe=recipe("full", batch_norm="frozen"), start=begun)
    before, after = begun.network.state_dict(), run.model.network.state_dict()
    assert all(torch.equal(before[n], after[n]) for n in before if "running" in n or "tracked" in n)
    assert any(not torch.equal(before[n], after[n]) for n in before)


def test_when_memory_leaves_few_values_the_statistics_rest_from_then_on_and_the_user_is_told(samples, monkeypatch):
    real, seen = step.backward, []

    def small(forward, network, loss_of, images, labels, micro_batch, *rest):
        if micro_batch > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        seen.append(len(awake(network)))
        return real(forward, network, loss_of, images, labels, micro_batch, *rest)

    begun = fine_tune(samples, recipe=recipe(epochs=1)).model
    monkeypatch.setattr(step, "backward", small)
    run = fine_tune(samples, recipe=recipe("full", noise_scale_every=0), start=begun)
    layers = sum(isinstance(m, nn.BatchNorm2d) for m in begun.network.modules())
    assert seen
    assert all(0 < count < layers for count in seen)
    assert sum("keep their own statistics" in text for text in run.notices) == 1


@pytest.mark.parametrize(
    "settings",
    [
        # Shrunk 32 times, one patch of 32 px is one pixel.
        {"batch_size": 1, "encoder_depth": 5, "decoder_channels": (8, 8, 8, 8, 8)},
        # The third patch of the batch passes alone.
        {"batch_size": 3, "micro_batch": 2, "encoder_depth": 5, "decoder_channels": (8, 8, 8, 8, 8)},
        # The pooled branch of a pyramid is one pixel whatever the patch; half a batch of two measures the noise.
        {"batch_size": 1, "decoder": "deeplabv3plus", "encoder_depth": 5, "decoder_channels": (), "patch": 64},
        {"batch_size": 2, "noise_scale_every": 1, "encoder_depth": 5, "decoder_channels": (8, 8, 8, 8, 8)},
    ],
)
def test_a_batch_of_one_single_pixel_stops_no_run(samples, settings):
    run = fine_tune(samples, recipe=recipe(epochs=1, steps_per_epoch=2, **settings))
    assert run.reason == "complete"


def test_a_sweep_of_single_pixels_goes_through(samples):
    settings = {"batch_size": 1, "encoder_depth": 5, "decoder_channels": (8, 8, 8, 8, 8)}
    assert len(find_rate(samples, recipe=recipe(**settings), steps=20).losses) > 10
