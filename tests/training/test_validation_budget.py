"""Validation never takes more than a tenth of a run by default: counted in patches, with the textbook cost of each."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from painted_halves import SMALL, specimen

from napari_anneal.models.architecture import ArchitectureSpec, build_network
from napari_anneal.synthesis import SyntheticStream
from napari_anneal.training import PRESETS, FineTuneRecipe
from napari_anneal.training.loop import train
from napari_anneal.training.losses import PaintedLoss
from napari_anneal.training.setup import prepare_run
from napari_anneal.training.state import RunState
from napari_anneal.training.validation_budget import validation_budget


# 8 steps of 8 patches is the shortest epoch that the product makes by itself.
@pytest.mark.parametrize("steps_per_epoch", [8, 13, 50, 1000])
@pytest.mark.parametrize("epochs", [1, 7, 30])
@pytest.mark.parametrize("preset", PRESETS)
def test_validation_costs_a_tenth_of_a_run_at_most(preset, epochs, steps_per_epoch):
    recipe = FineTuneRecipe.from_preset(preset, epochs)
    patches = validation_budget(recipe, steps_per_epoch)
    # A pass forward costs 1; the way back 2 through all layers, and something through the head alone.
    training = sum(
        stage.length(steps_per_epoch) * recipe.batch_size * (3.0 if "stem+layer1" in stage.rates else 1.5)
        for stage in recipe.stages
    )
    validating = patches * recipe.total_epochs(steps_per_epoch)
    assert validating <= 0.1 * (training + validating)
    assert 10 <= patches <= 48
    # One more would be too many, unless there are as many as make a good figure.
    one_more = validating + recipe.total_epochs(steps_per_epoch)
    assert patches == 48 or one_more > 0.1 * (training + one_more)


def test_a_run_validates_as_many_patches_as_that():
    settings = SMALL | {"batch_size": 8, "steps_per_epoch": 8, "validation_patches": None}
    recipe = FineTuneRecipe.from_preset("scratch", 2, noise_scale_every=0, precision="float32", **settings)
    data = prepare_run([specimen(s) for s in range(24)], None, recipe).data
    passed = {True: 0, False: 0}  # patches, by whether the network was training

    def count(network, images):
        passed[network.training] += len(images[0])

    network = build_network(ArchitectureSpec(encoder="resnet10t", encoder_depth=3, decoder_channels=(8, 8, 8)))
    network.register_forward_pre_hook(count)
    for _ in train(RunState(network), data, recipe, PaintedLoss(), torch.device("cpu"), lambda: False):
        pass
    assert passed[True] == 2 * 8 * 8
    # 5 specimens of 4 patches are held out, 21 would be affordable; one more may be what layers are measured with.
    assert 2 * 20 <= passed[False] <= 2 * 20 + 1
    assert passed[False] <= 0.1 * (3 * passed[True] + passed[False])


def test_a_number_in_the_recipe_counts_and_short_epochs_still_make_a_figure():
    recipe = FineTuneRecipe.from_preset("scratch", 2, **(SMALL | {"validation_patches": 7}))
    assert validation_budget(recipe, 3) == 7
    assert validation_budget(recipe.model_copy(update={"validation_patches": None}), 3) == 4


class CheapStream(SyntheticStream):
    """A stream whose images take no time to make."""

    def __getitem__(self, index):
        grey = np.random.default_rng(index).random((32, 32), dtype=np.float32)
        return SimpleNamespace(image=grey, labels=np.where(grey > 0.5, 2, 1))


def test_a_stream_is_validated_within_the_budget():
    recipe = FineTuneRecipe.from_preset("feature_extraction", 2, batch_size=4, steps_per_epoch=10, patch=32)
    assert len(prepare_run(CheapStream(), None, recipe).data.validation) == int(0.1 / 0.9 * 10 * 4 * 1.5)
