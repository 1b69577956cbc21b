"""Which normalisation layers move, by policy, start and number of patches; and that a single value stops no run."""

from __future__ import annotations

import pytest
import torch
from painted_halves import SMALL, specimen
from torch import nn

from napari_anneal.models.architecture import ArchitectureSpec, build_network
from napari_anneal.training import FineTuneRecipe, find_rate, fine_tune, step
from napari_anneal.training.batch_statistics import FEW_PATCHES, BatchStatistics

SPEC = ArchitectureSpec(encoder="resnet10t", encoder_depth=3, decoder_channels=(8, 8, 8))


@pytest.fixture(scope="module")
def samples():
    return [specimen(seed) for seed in range(3)]


def recipe(preset="scratch", epochs=2, **changes):
    return FineTuneRecipe.from_preset(preset, epochs=epochs, **(SMALL | changes))


@pytest.fixture(scope="module")
def network():
    return build_network(SPEC)


def awake(network):
    layers = {n: m for n, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    return {name for name, layer in layers.items() if layer.training}, set(layers)


@pytest.mark.parametrize(
    ("policy", "start", "at_once", "moves"),
    [
        ("train", "model", 2, "all"),
        ("frozen", "scratch", 16, "none"),
        ("auto", "model", FEW_PATCHES, "all"),
        ("auto", "model", FEW_PATCHES - 1, "none"),
        ("auto", "imagenet", 2, "decoder"),
        ("auto", "weights file", 2, "decoder"),
        ("auto", "scratch", 2, "all"),
    ],
)
def test_the_policy_decides_which_layers_move(network, policy, start, at_once, moves):
    statistics = BatchStatistics(network, policy, start)
    statistics.wake(torch.zeros(16, 1, 32, 32), at_once)
    moving, layers = awake(network)
    wanted = {"all": layers, "none": set(), "decoder": {n for n in layers if n.startswith("decoder")}}[moves]
    assert moving == wanted
    said = statistics.sentence(at_once)
    assert bool(said) == (policy == "auto" and moves != "all")


def test_few_patches_from_a_model_leave_its_statistics_and_say_so(samples):
    begun = fine_tune(samples, recipe=recipe(epochs=1)).model
    run = fine_tune(samples, recipe=recipe("full"), start=begun)
    before, after = begun.network.state_dict(), run.model.network.state_dict()
    assert all(torch.equal(before[n], after[n]) for n in before if "running" in n or "tracked" in n)
    assert any(not torch.equal(before[n], after[n]) for n in before)
    assert any("Only 2 patches pass" in text and "keep their own" in text for text in run.notices)


def test_when_memory_makes_them_few_the_statistics_rest_from_then_on(samples, monkeypatch):
    real, seen = step.backward, []

    def small(forward, network, loss_of, images, labels, micro_batch, scaled):
        if micro_batch > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        seen.append(awake(network)[0])
        return real(forward, network, loss_of, images, labels, micro_batch, scaled)

    begun = fine_tune(samples, recipe=recipe(epochs=1)).model
    monkeypatch.setattr(step, "backward", small)
    run = fine_tune(samples, recipe=recipe("full", batch_size=FEW_PATCHES, noise_scale_every=0), start=begun)
    assert seen
    assert not any(seen)
    assert any("computed at a time" in text and "keep their own" in text for text in run.notices)


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
