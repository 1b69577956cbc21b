"""Every run writes the whole way of its weights into its card; each link is checked here by hand."""

from __future__ import annotations

import hashlib
import json
import threading

import numpy as np
import pytest
from painted_halves import SMALL, specimen

from napari_anneal.errors import InputError
from napari_anneal.inference import load_model
from napari_anneal.synthesis import MicrostructureRecipe, RecipeRanges, SyntheticStream
from napari_anneal.training import FineTuneRecipe, fine_tune
from napari_anneal.training.checkpoint import has_checkpoint
from napari_anneal.training.events import StepDone
from napari_anneal.validation import Fold, SplitPlan, SplitReport, group_split


def recipe(preset="scratch", epochs=1, **changes):
    return FineTuneRecipe.from_preset(preset, epochs=epochs, **(SMALL | changes))


@pytest.fixture(scope="module")
def samples():
    return [specimen(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def stream():
    return SyntheticStream(RecipeRanges(shape=(32, 32)), seed=11)


@pytest.fixture(scope="module")
def synthetic(stream, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "synthetic"
    fine_tune(stream, recipe=recipe(seed=5), out=out)
    return out


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("given", ["path", "model"])
def test_arrows_done_by_hand_leave_a_chain_that_a_stranger_can_check(synthetic, samples, stream, tmp_path, given):
    plan = group_split(samples, folds=3, gold=["g3"], seed=0)
    start = synthetic / "model" if given == "path" else load_model(synthetic / "model")
    run = fine_tune(samples, plan, recipe("feature_extraction"), start, tmp_path / "real")
    card = json.loads((tmp_path / "real" / "model" / "bundle.json").read_text())
    origin, first, second = card["lineage"]
    assert (origin["kind"], origin["seed"], origin["weights"]) == ("scratch", 5, "")
    assert first["kind"] == "synthetic"
    assert first["stream"] == {"ranges": json.loads(stream.ranges.model_dump_json()), "seed": 11}
    assert first["weights"] == sha256(synthetic / "model" / "model.safetensors")
    assert (first["name"], first["preset"], first["classes"]) == ("synthetic", "scratch", ["grain", "boundary"])
    before = json.loads((synthetic / "model" / "bundle.json").read_text())
    assert (first["val_loss"], first["val_dice"]) == (before["metrics"]["val_loss"], before["metrics"]["val_dice"])
    assert (second["kind"], second["preset"], second["weights"]) == ("real", "feature_extraction", "")
    fold = plan.folds[0]
    for role, indices in (("train", fold.train), ("validation", fold.val)):
        assert second[f"{role}_groups"] == sorted(f"g{i}" for i in indices)
        assert second[role] == {f"s{i}": by_hand(samples[i]) for i in indices}
    assert "g3" not in json.dumps(card)
    assert second["val_loss"] == min(row["val_loss"] for row in run.history)


def by_hand(sample):
    """SHA-256 of image and labels as the card's documentation says."""
    digest = hashlib.sha256()
    for array in (sample.image[np.newaxis], sample.labels.astype(np.int64)):
        digest.update(f"{array.shape}{array.dtype}".encode() + array.tobytes())
    return digest.hexdigest()


def test_a_start_that_was_trained_on_what_judges_the_run_is_told_of(samples):
    def fold(train, val):
        return SplitPlan((Fold(train, val),), (), SplitReport((), (), (), (), ()))

    first = fine_tune(samples, fold((0, 1), (2,)), recipe())
    again = fine_tune(samples, fold((1, 3), (0, 2)), recipe("feature_extraction"), first.model)
    assert sum("was trained on s0, which now judges" in text for text in again.notices) == 1
    same = fine_tune(samples, fold((0, 3), (2,)), recipe("feature_extraction"), first.model)
    assert not any("was trained on" in text for text in same.notices)


def test_a_stream_of_one_recipe_is_recorded_as_such(tmp_path):
    one = MicrostructureRecipe(shape=(32, 32), n_seeds=6)
    link = fine_tune(SyntheticStream(one, seed=2), recipe=recipe()).model.card.lineage[-1]
    assert MicrostructureRecipe.model_validate(link.stream["recipe"]) == one
    assert link.stream["seed"] == 2


def cancelled_at_once(samples, out):
    cancel = threading.Event()

    def listen(event):
        if isinstance(event, StepDone):
            cancel.set()

    assert fine_tune(samples, recipe=recipe(epochs=2), out=out, on_event=listen, cancel=cancel).cancelled


def test_another_stream_cannot_go_on_with_the_run(stream, tmp_path):
    cancelled_at_once(stream, tmp_path / "run")
    with pytest.raises(InputError, match="other images or labels"):
        fine_tune(SyntheticStream(stream.ranges, 12), recipe=recipe(epochs=2), out=tmp_path / "run", resume=True)
    assert fine_tune(stream, recipe=recipe(epochs=2), out=tmp_path / "run", resume=True).reason == "complete"


def test_a_cancelled_run_can_be_gone_on_with_however_short_it_was(samples, tmp_path):
    cancelled_at_once(samples, tmp_path / "run")
    assert has_checkpoint(tmp_path / "run")
    whole = fine_tune(samples, recipe=recipe(epochs=2), out=tmp_path / "whole")
    resumed = fine_tune(samples, recipe=recipe(epochs=2), out=tmp_path / "run", resume=True)
    assert resumed.model.card.metrics["reason"] == whole.reason == "complete"
    assert sha256(tmp_path / "run" / "model" / "model.safetensors") == sha256(
        tmp_path / "whole" / "model" / "model.safetensors"
    )
