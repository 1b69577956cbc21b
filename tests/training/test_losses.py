"""The loss sees painted pixels only, and equals what plain NumPy and scikit-learn compute from them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from napari_anneal.training.losses import PaintedLoss, class_weights


def random_case(seed, painted=0.3, classes=3):
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random((2, 8, 9)) < painted, rng.integers(1, classes + 1, (2, 8, 9)), 0)
    labels[0, 0, :classes] = range(1, classes + 1)
    return torch.tensor(rng.normal(size=(2, classes, 8, 9)), dtype=torch.float32), torch.tensor(labels)


@given(seed=st.integers(0, 10_000))
def test_cross_entropy_equals_scikit_learn_on_the_painted_pixels(seed):
    logits, labels = random_case(seed)
    where = labels > 0
    probability = torch.softmax(logits.double(), 1).movedim(1, -1)[where].numpy()
    expected = log_loss(labels[where].numpy(), probability, labels=[1, 2, 3])
    assert float(PaintedLoss(1.0, 0.0)(logits, labels)) == pytest.approx(expected, rel=1e-4)


@given(seed=st.integers(0, 10_000))
def test_dice_equals_its_definition_written_with_loops(seed):
    logits, labels = random_case(seed)
    probability = torch.softmax(logits.double(), 1).numpy()
    scores = []
    for k in (1, 2, 3):
        overlap = size = 0.0
        for n, y, x in np.argwhere(labels.numpy() > 0):
            p, t = probability[n, k - 1, y, x], float(labels[n, y, x] == k)
            overlap, size = overlap + p * t, size + p + t
        scores.append(2 * overlap / size)
    assert float(PaintedLoss(0.0, 1.0)(logits, labels)) == pytest.approx(1 - np.mean(scores), rel=1e-4)


@given(seed=st.integers(0, 10_000))
def test_unpainted_pixels_have_no_influence_whatever(seed):
    logits, labels = random_case(seed)
    loss_of = PaintedLoss(1.0, 1.0, class_weights(torch.tensor([5, 20, 3])))
    logits.requires_grad_(True)
    loss = loss_of(logits, labels)
    loss.backward()
    unpainted = (labels == 0)[:, None].expand_as(logits)
    assert not logits.grad[unpainted].any()
    assert logits.grad[~unpainted].any()
    changed = torch.where(unpainted, torch.full_like(logits, 37.0), logits)
    assert float(loss_of(changed, labels)) == float(loss)


def test_a_batch_without_paint_costs_nothing_and_can_be_differentiated():
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    loss = PaintedLoss()(logits, torch.zeros(1, 4, 4, dtype=torch.long))
    loss.backward()
    assert float(loss) == 0.0
    assert not logits.grad.any()


def test_class_weights_have_mean_one_over_painted_pixels():
    counts = torch.tensor([900, 100, 0, 4])
    weights = class_weights(counts)
    assert float((weights * counts).sum() / counts.sum()) == pytest.approx(1.0)
    assert float(weights[1] / weights[0]) == pytest.approx(3.0)
    assert float(weights[2]) == 1.0
