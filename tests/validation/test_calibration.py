"""Calibration: TorchMetrics' error, the temperature of least likelihood loss, and validation images only."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from torchmetrics.functional.classification import multiclass_calibration_error

from napari_anneal.errors import InputError
from napari_anneal.samples import Sample
from napari_anneal.validation import Fold, SplitPlan, calibrate, group_split, reliability
from napari_anneal.validation.calibration import fit_temperature, with_temperature

K = 3


def logits_and_labels(seed, n=4000, sharpness=1.0, unpainted=0.0):
    """Labels drawn from the softmax of the logits, which are then made ``sharpness`` times too large."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (K, n))
    chances = softmax(logits, axis=0)
    labels = (rng.random(n) > np.cumsum(chances, axis=0)).sum(axis=0) + 1
    labels[rng.random(n) < unpainted] = 0
    return logits * sharpness, labels.astype(np.int64)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 20), st.sampled_from([0.0, 0.6]))
def test_ece_and_mce_equal_torchmetrics_on_the_painted_pixels(seed, bins, unpainted):
    logits, labels = logits_and_labels(seed, 200, unpainted=unpainted)
    chances = softmax(logits, axis=0)
    found = reliability(labels.reshape(10, 20), chances.reshape(K, 10, 20), bins)
    painted = labels > 0
    given = torch.from_numpy(chances[:, painted].T.copy()), torch.from_numpy(labels[painted] - 1)
    for norm, value in (("l1", found.ece), ("max", found.mce)):
        expected = multiclass_calibration_error(*given, num_classes=K, n_bins=bins, norm=norm)
        assert value == pytest.approx(float(expected), abs=1e-6)
    assert found.count.sum() == painted.sum()


def test_bins_close_on_the_right_and_hold_certainty():
    chances = np.array([[1.0, 0.5, 0.75], [0.0, 0.5, 0.25]])
    found = reliability(np.array([1, 1, 2]), chances, bins=4)
    assert found.count.tolist() == [0, 1, 1, 1]
    assert found.correct.tolist() == [0, 1, 0, 1]
    assert np.isnan(found.accuracy[0])
    assert found.to_dict()["bins"][0] == {"pixels": 0, "confidence": None, "accuracy": None}


def test_two_parts_added_are_the_whole():
    logits, labels = logits_and_labels(0, 100)
    chances = softmax(logits, axis=0)
    both = reliability(labels[:40], chances[:, :40]) + reliability(labels[40:], chances[:, 40:])
    assert both.ece == pytest.approx(reliability(labels, chances).ece)


@pytest.mark.parametrize("sharpness", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_what_made_the_logits_too_large_or_small(sharpness):
    logits, labels = logits_and_labels(1, 40_000, sharpness)
    chances = softmax(logits, axis=0)
    temperature = fit_temperature(labels, chances)
    assert temperature == pytest.approx(sharpness, rel=0.05)
    assert reliability(labels, with_temperature(chances, temperature)).ece < 0.012
    if sharpness != 1:
        assert reliability(labels, chances).ece > 0.05


def test_the_temperature_is_where_torchs_cross_entropy_is_least():
    logits, labels = logits_and_labels(2, 2000, 2.0, unpainted=0.5)
    best = fit_temperature(labels, softmax(logits, axis=0))
    given, target = torch.from_numpy(logits.T), torch.from_numpy(labels - 1)

    def loss(t):
        return float(torch.nn.functional.cross_entropy(given / t, target, ignore_index=-1))

    assert loss(best) <= min(loss(best * f) for f in (0.9, 0.99, 1.01, 1.1)) + 1e-9


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.2, 5))
def test_tempered_softmax_equals_softmax_of_logits_over_the_temperature(seed, temperature):
    logits, _ = logits_and_labels(seed, 50)
    found = with_temperature(softmax(logits, axis=0).astype(np.float32), temperature)
    np.testing.assert_allclose(found, softmax(logits / temperature, axis=0), atol=1e-5)


def test_probabilities_that_are_exactly_zero_stay_finite():
    found = with_temperature(np.array([[1.0, 0.0], [0.0, 1.0]], np.float32), 3.0)
    assert np.isfinite(found).all()
    assert found.argmax(axis=0).tolist() == [0, 1]


class Overconfident:
    """A model that gives the probabilities it is told to, by the first pixel of the image, and records what it saw."""

    classes = ("a", "b", "c")

    def __init__(self, chances):
        self.chances, self.seen = chances, []

    def segment(self, image, *, axes=None, probabilities=None):
        number = int(np.asarray(image)[0, 0])
        self.seen.append(number)
        return SimpleNamespace(probabilities=self.chances[number] if probabilities else None)


def six_specimens():
    samples, chances = [], {}
    for number in range(6):
        logits, labels = logits_and_labels(number, 900, sharpness=2.0, unpainted=0.3)
        chances[number] = softmax(logits, axis=0).astype(np.float32).reshape(K, 30, 30)
        image = np.full((30, 30), number, np.uint8)
        image[1, 1] = 200
        samples.append(Sample(image, labels.reshape(30, 30), group=f"g{number}", name=f"image{number}"))
    return samples, Overconfident(chances)


def test_only_the_validation_images_of_the_fold_are_looked_at():
    samples, model = six_specimens()
    plan = group_split(samples, folds=2, gold=["g5"])
    found = calibrate(model, samples, plan, fold=1)
    assert sorted(model.seen) == sorted(plan.folds[1].val)
    assert found.temperature == pytest.approx(2.0, rel=0.25)
    assert found.nll_after < found.nll_before
    assert found.after.ece < found.before.ece
    assert f"temperature {found.temperature:.3f}" in str(found)


def test_a_plan_that_would_tune_on_training_or_gold_images_is_refused_before_anything_is_segmented():
    samples, model = six_specimens()
    report = group_split(samples, folds=2).report
    mixed = {
        "the training part": SplitPlan((Fold((0, 1, 2), (2, 3)),), (5,), report),
        "the gold set": SplitPlan((Fold((0, 1), (4, 5)),), (5,), report),
    }
    for what, plan in mixed.items():
        with pytest.raises(InputError, match=what):
            calibrate(model, samples, plan)
    samples[3] = replace(samples[3], group="g0")
    with pytest.raises(InputError, match=r"image3 of fold 0's validation part .* the training part"):
        calibrate(model, samples, SplitPlan((Fold((0, 1), (2, 3)),), (), report))
    assert model.seen == []
    with pytest.raises(InputError, match="no fold 3"):
        calibrate(model, samples, group_split(samples, folds=2), fold=3)


@pytest.mark.parametrize(
    ("labels", "chances", "reason"),
    [
        (np.zeros(3, int), np.full((2, 3), 0.5), "nothing is painted"),
        (np.ones(3, int), np.array([[0.9] * 3, [0.1] * 3]), "predicted right"),
        (np.full(3, 3), np.full((2, 3), 0.5), "labels go up to 3"),
        (np.ones(3, int), np.full((2, 4), 0.5), "do not fit"),
        (np.ones(3, int), np.full((2, 3), 0.9), "no probabilities"),
        (np.ones(3, int), np.full((2, 3), np.nan), "no probabilities"),
    ],
)
def test_what_gives_no_temperature_is_refused(labels, chances, reason):
    with pytest.raises(InputError, match=reason):
        fit_temperature(labels, chances)


def test_no_painted_pixel_gives_no_error_instead_of_a_perfect_one():
    found = reliability(np.zeros((0, 4), int), np.zeros((K, 0, 4)))
    assert np.isnan(found.ece)
    assert np.isnan(found.mce)
    assert found.to_dict()["ece"] is None
