"""The loss sees painted pixels only, and equals what plain NumPy and scikit-learn compute from them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage.morphology import skeletonize
from sklearn.metrics import log_loss
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from napari_anneal.errors import InputError
from napari_anneal.training import FineTuneRecipe
from napari_anneal.training.losses import (
    PaintedLoss,
    class_weights,
    loss_of_recipe,
    near_another_class,
    soft_skeleton,
)


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
    weights = class_weights(torch.tensor([5, 20, 3]))
    loss_of = PaintedLoss(1.0, 1.0, weights, focal=1.0, boundary_weight=4.0, cldice=1.0)
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


@given(seed=st.integers(0, 10_000), gamma=st.sampled_from([0.0, 0.5, 2.0, 5.0]))
def test_focal_loss_of_two_classes_is_torchvisions_sigmoid_focal_loss(seed, gamma):
    logits, labels = random_case(seed, classes=2)
    where = labels > 0
    difference = (logits[:, 1] - logits[:, 0])[where]
    expected = sigmoid_focal_loss(difference, (labels[where] == 2).float(), alpha=-1, gamma=gamma, reduction="mean")
    ours = PaintedLoss(0.0, 0.0, focal=1.0, focal_gamma=gamma)(logits, labels)
    assert float(ours) == pytest.approx(float(expected), rel=1e-4, abs=1e-6)


@given(seed=st.integers(0, 10_000), radius=st.sampled_from([1, 2, 3]))
def test_pixels_near_another_class_are_those_within_its_dilation(seed, radius):
    _, labels = random_case(seed)
    found = near_another_class(labels - 1, 3, radius).numpy()
    square = np.ones((1, 2 * radius + 1, 2 * radius + 1))
    reached = sum(ndimage.binary_dilation(labels.numpy() == k, square).astype(int) for k in (1, 2, 3))
    assert np.array_equal(found, reached > 1)


@given(seed=st.integers(0, 10_000))
def test_weight_at_boundaries_is_a_weighted_mean_of_the_cross_entropy(seed):
    logits, labels = random_case(seed)
    weights = torch.tensor([0.5, 1.0, 2.0])
    surprise = functional.cross_entropy(logits, labels - 1, ignore_index=-1, reduction="none").numpy()
    near = near_another_class(labels - 1, 3, 1).numpy()
    total = weight = 0.0
    for n, y, x in np.argwhere(labels.numpy() > 0):
        w = float(weights[labels[n, y, x] - 1]) * (5.0 if near[n, y, x] else 1.0)
        total, weight = total + w * surprise[n, y, x], weight + w
    ours = PaintedLoss(1.0, 0.0, weights, boundary_weight=4.0, boundary_radius=1)(logits, labels)
    assert float(ours) == pytest.approx(total / weight, rel=1e-4)


def bars(thick):
    image = np.zeros((48, 48), dtype=bool)
    image[20 : 20 + thick, 4:44] = True
    image[4:44, 30 : 30 + thick] = True
    return image


@pytest.mark.parametrize("thick", [1, 3, 5])
def test_the_soft_skeleton_of_bars_lies_where_the_morphological_one_does(thick):
    image = bars(thick)
    soft = soft_skeleton(torch.from_numpy(image).float()[None, None], 5)[0, 0].numpy()
    thin = skeletonize(image)
    assert set(np.unique(soft)) <= {0.0, 1.0}
    assert not (soft > 0)[~image].any()
    # Every pixel of the thin skeleton, its ends apart, lies on or beside the soft one.
    inner = thin.copy()
    inner[:10], inner[-10:], inner[:, :10], inner[:, -10:] = False, False, False, False
    assert (ndimage.distance_transform_edt(soft == 0)[inner] <= 2).all()
    assert soft.sum() <= 1.3 * thin.sum() + 4 * thick


def confident(mask):
    return torch.from_numpy(np.stack([~mask, mask])[None].astype(np.float32) * 40 - 20)


def test_cldice_minds_a_cut_more_than_a_missing_rim():
    truth = bars(5)
    labels = torch.from_numpy(truth[None].astype(np.int64) + 1)
    cut, thinner = truth.copy(), ndimage.binary_erosion(truth)
    cut[:, 15:17] = False
    loss_of, dice_of = PaintedLoss(0.0, 0.0, cldice=1.0), PaintedLoss(0.0, 1.0)
    assert float(loss_of(confident(truth), labels)) == pytest.approx(0.0, abs=1e-5)
    assert float(loss_of(confident(cut), labels)) > 4 * float(loss_of(confident(thinner), labels))
    assert float(dice_of(confident(cut), labels)) < float(dice_of(confident(thinner), labels))


def test_cldice_without_its_class_costs_nothing():
    labels = torch.ones(1, 8, 8, dtype=torch.long)
    assert float(PaintedLoss(0.0, 0.0, cldice=1.0)(torch.randn(1, 2, 8, 8), labels)) == 0.0


def test_a_recipe_gives_its_loss_and_a_class_that_is_none_is_refused():
    recipe = FineTuneRecipe.from_preset("full", focal=0.5, boundary_weight=2.0, cldice=0.3, cldice_class=2)
    loss = loss_of_recipe(recipe, None, 3)
    assert (loss.focal, loss.boundary_weight, loss.cldice, loss.cldice_class) == (0.5, 2.0, 0.3, 2)
    with pytest.raises(InputError, match="none of the 1 classes"):
        loss_of_recipe(recipe, None, 1)
    with pytest.raises(InputError, match="no loss to minimise"):
        FineTuneRecipe.from_preset("full", cross_entropy=0, dice=0)
