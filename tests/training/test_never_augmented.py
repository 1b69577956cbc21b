"""No augmented array reaches an evaluation: every augmented patch is stamped, and every evaluation looks for the stamp.

The stamp is a pixel far brighter than any image has; evaluations are watched where they cannot hide, at the input of
the network whenever no step is being taken (within a step training patches pass once without a gradient, to see what
the layers will hold).
"""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from napari_anneal.augmentation import Augmenter
from napari_anneal.samples.sample import Sample
from napari_anneal.training import FineTuneRecipe, cross_validate, fine_tune, loop
from napari_anneal.training.events import Predicted
from napari_anneal.training.step import Stepper
from napari_anneal.validation import SplitPlan, evaluate, group_split

STAMP = 60.0
SMALL = {
    "encoder": "resnet10t", "encoder_depth": 3, "decoder_channels": (16, 16, 16), "patch": 32, "batch_size": 2,
    "steps_per_epoch": 1, "device": "cpu", "noise_scale_every": 1,
}  # fmt: skip


def painted(seed: int) -> Sample:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.repeat(rng.integers(1, 3, (4, 4)), 16, 0), 16, 1).astype(np.uint8)
    return Sample(
        (80 * labels + rng.integers(0, 30, labels.shape)).astype(np.uint8), labels, group=f"g{seed}", name=f"s{seed}"
    )


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [painted(seed) for seed in range(4)]


@pytest.fixture
def stamped(monkeypatch):
    """Every augmented image carries the stamp in a corner."""
    real = Augmenter.__call__

    def stamping(self, image, labels, rng_seed):
        out, moved = real(self, image, labels, rng_seed)
        out[:, :2, :2] = STAMP
        return out, moved

    monkeypatch.setattr(Augmenter, "__call__", stamping)


@contextmanager
def watched():
    """Count the batches that a network gets, by whether it is judged or trained and whether it saw the stamp."""
    seen = {"judged": 0, "judged stamped": 0, "trained stamped": 0, "steps running": 0}

    def look(module, inputs):
        batch = inputs[0] if inputs else None
        if not (isinstance(batch, torch.Tensor) and batch.ndim == 4 and batch.shape[1] in (1, 3)):
            return  # a layer inside the network
        judged = seen["steps running"] == 0
        has_stamp = bool((batch.abs() > STAMP / 2).any())
        seen["judged"] += judged
        seen["judged stamped"] += judged and has_stamp
        seen["trained stamped"] += not judged and has_stamp

    def stepping(self, *inputs):
        seen["steps running"] += 1
        try:
            return take_step(self, *inputs)
        finally:
            seen["steps running"] -= 1

    take_step = Stepper.__call__
    Stepper.__call__ = stepping
    handle = torch.nn.modules.module.register_module_forward_pre_hook(look)
    try:
        yield seen
    finally:
        handle.remove()
        Stepper.__call__ = take_step


def recipe(**changes) -> FineTuneRecipe:
    return FineTuneRecipe.from_preset("scratch", epochs=2, **(SMALL | changes))


@pytest.mark.usefixtures("stamped")
def test_no_augmented_patch_is_validated_watched_reported_evaluated_calibrated_ranked_or_opened_as_gold(
    samples, tmp_path
):
    from napari_anneal.inference import open_gold, rank
    from napari_anneal.training.calibrating import calibrate_run

    whole = group_split(samples, 3, ("g3",))
    plan = SplitPlan((whole.folds[0],), whole.gold, whole.report)
    told = []
    with watched() as seen:
        run = fine_tune(
            samples, plan, recipe(ema_decay=0.5), None, tmp_path / "a", told.append, watch=np.asarray(samples[0].image)
        )
        in_training = dict(seen)
        evaluate(run.model, [samples[i] for i in whole.folds[0].val])
        evaluated = seen["judged"]
        calibrate_run(run, samples, plan)
        calibrated = seen["judged"]
        rank(run.model, [Sample(s.image, None, s.group, None, s.name) for s in samples[:2]], top=1)
        after = seen["judged"]
        open_gold(tmp_path / "a" / "model", samples, plan, who="test", ledger=tmp_path / "ledger.jsonl")
    assert any(isinstance(event, Predicted) for event in told)
    assert in_training["trained stamped"] > 0, "the stamp must reach training, or this proves nothing"
    assert in_training["judged"] > 0
    assert in_training["judged"] < evaluated < calibrated < after < seen["judged"]
    assert seen["judged stamped"] == 0


@pytest.mark.usefixtures("stamped")
def test_no_fold_is_scored_on_augmented_images(samples):
    with watched() as seen:
        cross_validate(samples[:2], group_split(samples[:2], 2), recipe())
    assert seen["trained stamped"] > 0
    assert seen["judged"] > 0
    assert seen["judged stamped"] == 0


@pytest.mark.usefixtures("stamped")
def test_the_watch_sees_a_validation_that_does_augment(samples, monkeypatch):
    real = loop.end_epoch.__globals__["validate"]

    def leaking(network, tiles, *rest):
        augment = Augmenter()
        for tile in tiles:
            tile.image[:] = augment(np.array(tile.image), tile.labels, 0)[0]
        return real(network, tiles, *rest)

    monkeypatch.setitem(loop.end_epoch.__globals__, "validate", leaking)
    with watched() as seen:
        fine_tune(samples, None, recipe(), None)
    assert seen["judged stamped"] > 0
