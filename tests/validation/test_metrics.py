"""Every figure equals scikit-learn's, on random labels and on the edge cases where a class is absent."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as oracle

from napari_anneal.errors import InputError
from napari_anneal.validation import confusion_matrix, scores_from_confusion

K = 4


@st.composite
def pairs(draw):
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=6))
    labels = draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, K)))
    return labels, draw(hnp.arrays(np.int64, shape, elements=st.integers(1, K)))


@given(pairs())
def test_confusion_equals_scikit_learn_on_the_painted_pixels(pair):
    labels, prediction = pair
    painted = labels > 0
    expected = np.zeros((K, K), int)
    if painted.any():
        expected = oracle.confusion_matrix(labels[painted], prediction[painted], labels=range(1, K + 1))
    np.testing.assert_array_equal(confusion_matrix(labels, prediction, K), expected)


@given(pairs())
def test_figures_equal_scikit_learn_where_the_class_is_painted_and_are_not_a_number_elsewhere(pair):
    labels, prediction = pair
    scores = scores_from_confusion(confusion_matrix(labels, prediction, K))
    painted = labels > 0
    truth, guess = labels[painted], prediction[painted]
    for k in range(1, K + 1):
        values = [getattr(scores, name)[k - 1] for name in ("iou", "dice", "precision", "recall")]
        if not (truth == k).any():
            assert np.isnan(values).all()
            continue
        t, g = truth == k, guess == k
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = [
                oracle.jaccard_score(t, g),
                oracle.f1_score(t, g),
                oracle.precision_score(t, g) if g.any() else np.nan,
                oracle.recall_score(t, g),
            ]
        np.testing.assert_allclose(values, expected)
    if painted.any():
        assert scores.accuracy == pytest.approx(oracle.accuracy_score(truth, guess))
    else:
        assert np.isnan(scores.accuracy)
        assert np.isnan(scores.mean("iou"))


@given(pairs())
def test_a_perfect_prediction_scores_one_on_what_is_painted(pair):
    labels, _ = pair
    scores = scores_from_confusion(confusion_matrix(labels, np.maximum(labels, 1), K))
    present = np.isin(np.arange(1, K + 1), labels)
    for name in ("iou", "dice", "precision", "recall"):
        assert (getattr(scores, name)[present] == 1).all()
        assert np.isnan(getattr(scores, name)[~present]).all()


def test_the_mean_leaves_absent_classes_out():
    scores = scores_from_confusion(np.array([[3, 1, 0], [1, 3, 0], [0, 0, 0]]))
    assert scores.mean("dice") == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("labels", "prediction", "reason"),
    [
        (np.ones((2, 2), int), np.ones((2, 3), int), "differ in shape"),
        (np.full((2, 2), 5), np.ones((2, 2), int), "labels holds class 5"),
        (np.ones((2, 2), int), np.zeros((2, 2), int), "the prediction holds class 0"),
        (np.full((2, 2), -1), np.ones((2, 2), int), "labels holds class -1"),
        (np.ones((2, 2)), np.ones((2, 2), int), "whole numbers"),
    ],
)
def test_what_cannot_be_compared_is_refused(labels, prediction, reason):
    with pytest.raises(InputError, match=reason):
        confusion_matrix(labels, prediction, K)
