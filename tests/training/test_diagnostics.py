"""What is wrong with a run, in words: planted faults are found in real tiny runs, healthy runs stay silent."""

from __future__ import annotations

import math
import threading
from dataclasses import replace

import numpy as np
import pytest
from painted_halves import SMALL, specimen

from napari_anneal.augmentation import AugmentationRecipe
from napari_anneal.augmentation.recipe import TRANSFORMS
from napari_anneal.models.layer_groups import GROUPS
from napari_anneal.samples.sample import Sample
from napari_anneal.training import FineTuneRecipe, Stage, fine_tune
from napari_anneal.training.diagnostics import backbone_misleads, diagnose
from napari_anneal.training.events import Notice, StepDone
from napari_anneal.training.run_facts import RunFacts, UsedImage, read_facts
from napari_anneal.validation import Fold, SplitPlan, group_split

UNCHANGED = AugmentationRecipe(**dict.fromkeys(TRANSFORMS, 0.0))
USUAL = SMALL | {"steps_per_epoch": 6, "validation_patches": 8}


def scratch(rate=1e-3, epochs=12, optimizer="adamw", schedule="warmup_cosine", **changes):
    stage = Stage(
        name="all layers", epochs=epochs, optimizer=optimizer, schedule=schedule, rates=dict.fromkeys(GROUPS, rate)
    )
    return FineTuneRecipe(stages=(stage,), **(USUAL | changes))


@pytest.fixture(scope="module")
def halves():
    return [specimen(seed) for seed in range(4)]


def found_in(tmp_path, samples, recipe, plan=None):
    """Findings of a real run, which must also have been told and be in its card."""
    run = fine_tune(samples, plan, recipe, out=tmp_path / "run")
    findings = read_facts(tmp_path / "run").findings
    for finding in findings:
        # A rate that is too high is told as soon as it shows, with the losses of that epoch.
        said = "too high. Lower them" if finding.kind == "learning rate too high" else finding.sentence
        assert sum(said in text for text in run.notices) == 1
        assert any(said in text for text in run.model.card.metrics["notices"])
    return {finding.kind: finding.sentence for finding in findings}


def noise_painted_at_random(seed):
    """Grey noise with labels that mean nothing: they can be learned by heart, and in no other way."""
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(1, 3, (8, 8)), np.ones((8, 8), np.uint8)).astype(np.uint8)
    image = rng.integers(0, 255, labels.shape).astype(np.uint8)
    return Sample(image, labels, group=f"n{seed}", name=f"n{seed}")


def stripes(seed, hidden=False):
    """Three grey levels, three classes; ``hidden``: what is painted as the third looks like the first."""
    rng = np.random.default_rng(seed)
    rows = np.repeat([1, 2, 3], [24, 20, 20])
    labels = np.repeat(rows[:, np.newaxis], 64, axis=1).astype(np.uint8)
    image = np.array([0, 60, 120, 190])[labels] + rng.normal(0, 8, labels.shape)
    if hidden:
        labels[labels == 3] = 0
        labels[6:16, 16:48] = 3
    return Sample(image.clip(0, 255).astype(np.uint8), labels, group=f"g{seed}", name=f"s{seed}")


# Real runs with a fault


@pytest.mark.parametrize(
    "recipe",
    [scratch(1.0, epochs=4), scratch(1.0, epochs=5, optimizer="sgd"), scratch(0.1, epochs=4, schedule="constant")],
    ids=["AdamW at 1", "SGD at 1", "AdamW at 0.1"],
)
def test_a_learning_rate_that_is_far_too_high(halves, tmp_path, recipe):
    found = found_in(tmp_path, halves, recipe)
    assert "all layers" in found["learning rate too high"]
    assert "overfitting" not in found


def test_a_rate_that_is_too_high_is_told_while_the_run_goes(halves):
    events = []
    fine_tune(halves, recipe=scratch(1.0, epochs=4), on_event=events.append)
    told = next(i for i, e in enumerate(events) if isinstance(e, Notice) and "too high. Lower them" in e.text)
    assert any(isinstance(e, StepDone) for e in events[told:])
    assert sum(isinstance(e, Notice) and "too high. Lower them" in e.text for e in events) == 1


def test_a_run_that_goes_on_does_not_tell_a_second_time_that_its_rate_is_too_high(halves, tmp_path):
    cancel, events = threading.Event(), []

    def listen(event):
        if isinstance(event, Notice) and "too high. Lower them" in event.text:
            cancel.set()

    settings = scratch(1.0, epochs=4)
    assert fine_tune(halves, recipe=settings, out=tmp_path / "a", on_event=listen, cancel=cancel).cancelled
    resumed = fine_tune(halves, recipe=settings, out=tmp_path / "a", on_event=events.append, resume=True)
    assert any(isinstance(e, StepDone) for e in events)
    assert not any("too high. Lower them" in e.text for e in events if isinstance(e, Notice))
    assert sum("too high. Lower them" in text for text in resumed.notices) == 1


def test_a_later_stage_that_spoils_what_the_first_has_learned(halves, tmp_path):
    stages = (
        Stage(name="head", epochs=8, rates={"head": 3e-3}),
        Stage(name="rest", epochs=2, rates={"head": 0.02}, schedule="constant"),
    )
    found = found_in(tmp_path, halves, FineTuneRecipe(stages=stages, **(USUAL | {"patience": 2})))
    assert "'rest'" in found["learning rate too high"]
    assert "'head' ended early" in found["first stage stopped early"]


def test_a_loss_that_was_no_number(halves, tmp_path, monkeypatch):
    from napari_anneal.training.losses import PaintedLoss

    real, calls = PaintedLoss.forward, []

    def once(self, logits, labels):
        calls.append(1)
        return real(self, logits, labels) * (math.nan if len(calls) == 10 else 1.0)

    monkeypatch.setattr(PaintedLoss, "forward", once)
    assert "NaN" in found_in(tmp_path, halves, scratch(epochs=2))["learning rate too high"]


def test_labels_learned_by_heart(tmp_path):
    # At three times this rate the loss swings as well, and which of the two is told hangs on the last digit of a sum.
    recipe = scratch(
        1e-3, 10, schedule="constant", augmentation=UNCHANGED, steps_per_epoch=10, batch_size=4, patience=30
    )
    found = found_in(tmp_path, [noise_painted_at_random(seed) for seed in range(2)], recipe)
    assert "by heart" in found["overfitting"]
    assert "learning rate too high" not in found


def test_rates_so_low_that_nothing_is_learned(halves, tmp_path):
    found = found_in(tmp_path, halves, scratch(1e-6, epochs=3))
    assert "hardly learned" in found["underfitting"]


def test_a_class_that_looks_different_in_validation_is_named(halves, tmp_path):
    samples = [stripes(0), stripes(1), stripes(2, hidden=True)]
    plan = SplitPlan((Fold((0, 1), (2,)),), (), group_split(halves, folds=2).report)
    recipe = scratch(3e-3, 8, augmentation=UNCHANGED, batch_size=4, classes=("matrix", "phase", "crack"))
    found = found_in(tmp_path, samples, recipe, plan)
    assert "'crack'" in found["class never found"]
    assert "2,560 training pixels" in found["class never found"]


def test_a_run_that_was_too_short(halves, tmp_path):
    found = found_in(tmp_path, halves, scratch(3e-4, epochs=8, schedule="constant"))
    assert set(found) == {"still improving"}


def test_a_batch_that_is_all_noise(tmp_path):
    samples = [noise_painted_at_random(seed) for seed in range(2)]
    found = found_in(tmp_path, samples, scratch(epochs=6, batch_size=2, noise_scale_every=1))
    assert "batch of 2" in found["batch too small"]


def test_one_specimen_one_group_and_too_little_to_judge_by(halves, tmp_path):
    found = found_in(tmp_path / "a", halves[:1], scratch(epochs=1))
    assert {"validation on the training specimen", "validation too small"} <= set(found)
    assert "one group only" not in found
    same = [replace(sample, group="spot 1") for sample in halves]
    found = found_in(tmp_path / "b", same, scratch(epochs=1))
    assert "spot 1" in found["one group only"]
    shared = SplitPlan((Fold((0, 1), (2, 3)),), (), group_split(halves, folds=2).report)
    twins = [replace(s, group="a" if i in (0, 2) else s.group) for i, s in enumerate(halves)]
    assert "'a'" in found_in(tmp_path / "c", twins, scratch(epochs=1), shared)["validation on the training specimen"]


@pytest.mark.parametrize("seed", range(2))
def test_a_healthy_run_is_left_in_peace(tmp_path, seed):
    samples = [specimen(10 * seed + i) for i in range(4)]
    recipe = FineTuneRecipe.from_preset("scratch", 10, **(USUAL | {"seed": seed, "batch_size": 4}))
    assert found_in(tmp_path, samples, recipe) == {}


# Simulated histories: many seeds at no cost

GUESSING = math.log(2) + 0.5


def simulated(seed, *, rises=0.0, decay=None, plateau=None, swings=0, gap=None):
    """Losses that fall exponentially to a plateau, scattered as those of real runs, with a fault if asked for."""
    rng = np.random.default_rng(seed)
    epochs = int(rng.integers(10, 41))
    t = np.arange(epochs)
    plateau = GUESSING * (plateau or rng.uniform(0.1, 0.5))
    val = plateau + (GUESSING - plateau) * np.exp(-t / (epochs * (decay or rng.uniform(0.04, 0.25))))
    train = val * (gap or rng.uniform(0.65, 1.2))
    low = epochs // 3
    val = val * (1 + rises * np.clip(t - low, 0, None))
    train = np.where((t > low) & (rises > 0), train * np.exp(-0.1 * (t - low)), train)
    val *= np.exp(rng.normal(0, 0.04, epochs))
    train *= np.exp(rng.normal(0, 0.08, epochs))
    for at in rng.choice(np.arange(2, epochs - 2), swings, replace=False):
        val[at] *= 3
    rows, steps, best = [], [], int(np.argmin(val)) + 1
    for e in range(epochs):
        losses = train[e] * np.exp(rng.normal(0, 0.3, 8))
        steps += [{"step": 8 * e + i + 1, "loss": float(loss)} for i, loss in enumerate(losses)]
        rows.append(
            {
                "epoch": e + 1,
                "stage": "all layers",
                "step": 8 * (e + 1),
                "train_loss": float(losses.mean()),
                "val_loss": float(val[e]),
            }
        )
    dice = tuple(float(d) for d in rng.uniform(0.4, 0.97, 2))
    facts = RunFacts(
        created="",
        classes=("a", "b"),
        colours=("#000000", "#ffffff"),
        train=tuple(UsedImage(name=f"t{i}", group=f"t{i}") for i in range(3)),
        validation=(UsedImage(name="v", group="v"),),
        judged_by="other groups",
        train_painted=(9000, 9000),
        validation_painted=(3000, 3000),
        validation_patches=8,
        steps_per_epoch=8,
        reason="complete",
        epochs=epochs,
        best_epoch=best,
        best_val_loss=float(val.min()),
        best_dice=dice,
        noise_scale=float(np.exp(rng.normal(np.log(8), 0.8))),
    )
    return diagnose(facts, scratch(epochs=epochs, batch_size=8), rows, steps)


SEEDS = range(200)


def test_hardly_any_healthy_history_is_called_faulty():
    alarms = [finding.kind for seed in SEEDS for finding in simulated(seed)]
    assert len(alarms) <= 0.01 * len(SEEDS), alarms


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"rises": 0.12, "plateau": 0.3}, "overfitting"),
        ({"decay": 1.2, "plateau": 0.05}, "still improving"),
        ({"swings": 3}, "learning rate too high"),
        ({"gap": 0.3, "plateau": 0.4}, "generalisation gap"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nearly_every_faulty_history_is_called_by_its_name(fault, kind):
    hits = [kind in {finding.kind for finding in simulated(seed, **fault)} for seed in SEEDS]
    assert np.mean(hits) >= 0.85


def test_a_history_of_one_epoch_or_none_says_nothing_about_the_fit():
    facts = RunFacts(created="", classes=("a", "b"), judged_by="synthetic stream")
    assert diagnose(facts, scratch(), []) == ()
    row = {"epoch": 1, "stage": "all layers", "step": 8, "train_loss": 1.3, "val_loss": math.nan}
    assert diagnose(facts, scratch(), [row]) == ()


# Controls


def test_feature_extraction_worse_than_scratch_in_every_pair_blames_the_backbone():
    finding = backbone_misleads([0.61, 0.58, 0.64], [0.72, 0.70, 0.71])
    assert "10 points" in finding.sentence
    assert "backbone" in finding.sentence


@pytest.mark.parametrize(
    ("extracted", "scratch_"),
    [
        ([0.72, 0.70], [0.61, 0.58]),  # better
        ([0.70], [0.73]),  # one pair, within what a seed makes
        ([0.60, 0.75, 0.66], [0.75, 0.62, 0.72]),  # sometimes better, sometimes worse
        ([0.700, 0.701], [0.702, 0.703]),  # surely worse, by nothing that matters
        ([math.nan], [0.7]),
        ([], []),
    ],
)
def test_a_difference_that_may_be_chance_blames_nobody(extracted, scratch_):
    assert backbone_misleads(extracted, scratch_) is None


def test_pairs_must_be_pairs():
    with pytest.raises(ValueError, match="argument 2"):
        backbone_misleads([0.5], [0.5, 0.6])
