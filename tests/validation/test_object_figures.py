"""Panoptic quality, average precision, Rand error and information: TorchMetrics, brute force, scikit-learn agree."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import pair_confusion_matrix
from torchmetrics.functional.detection import panoptic_quality

from napari_anneal.errors import InputError
from napari_anneal.validation import compare_partitions, match_objects
from napari_anneal.validation.objects import AP_THRESHOLDS, class_objects

shapes = hnp.array_shapes(min_dims=1, max_dims=3, max_side=6)


@st.composite
def objects(draw, most=4):
    shape = draw(shapes)
    ids = hnp.arrays(np.int64, shape, elements=st.integers(0, most))
    return draw(ids), draw(ids)


def entropy(ids):
    share = np.unique(ids, return_counts=True)[1] / ids.size
    return float(-(share * np.log2(share)).sum())


@settings(deadline=None)
@given(objects())
def test_panoptic_quality_equals_torchmetrics(pair):
    truth, guess = pair
    found = match_objects(truth, guess)
    if not found.true_count:
        assert np.isnan(found.panoptic_quality)
        return
    # One category of things (1); 0 is stuff, whose instance number does not count.
    as_tensor = [torch.from_numpy(np.stack([(m > 0).astype(np.int64), m], -1))[None] for m in (guess, truth)]
    if truth.ndim == 1:
        as_tensor = [t[:, None] for t in as_tensor]
    expected = panoptic_quality(*as_tensor, things={1}, stuffs={0}, return_per_class=True, return_sq_and_rq=True)
    pq, sq, rq = (float(v) for v in expected[0])
    assert found.panoptic_quality == pytest.approx(pq, abs=1e-6)
    assert found.recognition_quality == pytest.approx(rq, abs=1e-6)
    if rq:
        assert found.segmentation_quality == pytest.approx(sq, abs=1e-6)
    else:
        assert np.isnan(found.segmentation_quality)


@settings(deadline=None)
@given(objects(most=3), st.sampled_from([0.1, 0.25, 0.5, 0.75, 1.0]))
def test_hits_are_the_most_that_any_assignment_gives(pair, threshold):
    truth, guess = pair
    true_ids, ids = np.setdiff1d(truth, 0), np.setdiff1d(guess, 0)
    found = match_objects(truth, guess)
    good = np.zeros((3, 3), bool)
    for i, a in enumerate(true_ids):
        for j, b in enumerate(ids):
            both, either = (truth == a) & (guess == b), (truth == a) | (guess == b)
            good[i, j] = both.sum() / either.sum() >= threshold
    best = max(sum(good[i, j] for i, j in enumerate(order)) for order in permutations(range(3)))
    assert found.hits(threshold) == best
    if len(true_ids):
        assert found.average_precision(threshold) == best / (len(true_ids) + len(ids) - best)
    else:
        assert np.isnan(found.average_precision(threshold))


@settings(deadline=None)
@given(objects())
def test_rand_error_and_information_equal_scikit_learns_pairs_and_entropies(pair):
    truth, guess = pair
    found = compare_partitions(truth, guess)
    inside = truth > 0
    if not inside.any():
        assert np.isnan([found.rand_error, found.voi_split, found.voi_merge]).all()
        return
    a, b = truth[inside], guess[inside]
    (_, only_b), (only_a, both) = pair_confusion_matrix(a, b)
    pairs = 2 * both + only_a + only_b
    assert found.rand_error == pytest.approx(1 - 2 * both / pairs if pairs else 0, abs=1e-9)
    shared = mutual_info_score(a, b) / np.log(2)
    assert found.voi_split == pytest.approx(entropy(b) - shared, abs=1e-9)
    assert found.voi_merge == pytest.approx(entropy(a) - shared, abs=1e-9)


@settings(deadline=None)
@given(objects())
def test_equal_objects_are_perfect_whatever_their_numbers(pair):
    truth, _ = pair
    found = match_objects(truth, np.where(truth > 0, 7 - truth, 0))
    if found.true_count:
        assert found.panoptic_quality == found.mean_average_precision == 1
        assert compare_partitions(truth, truth * 3).rand_error == pytest.approx(0, abs=1e-12)


def test_mean_average_precision_is_over_ten_thresholds():
    truth, guess = np.zeros((10, 10), int), np.zeros((10, 10), int)
    truth[:, :], guess[:7] = 1, 1  # IoU 0.7
    assert len(AP_THRESHOLDS) == 10
    assert match_objects(truth, guess).mean_average_precision == pytest.approx(0.5)


def test_a_gap_in_the_paint_cuts_no_object_in_two_and_unpainted_pixels_do_not_count():
    labels = np.ones((9, 20), np.uint8)
    labels[2:7, 2:18] = 2
    prediction = labels.copy()
    labels[:, 8:12] = 0
    for shown in (prediction, np.where(labels == 0, prediction, prediction)):
        true_ids, ids = class_objects(labels, shown, 2)[1]
        assert match_objects(true_ids, ids).panoptic_quality == 1
        assert (true_ids[:, 8:12] == 0).all()
        assert (ids[:, 8:12] == 0).all()


def test_a_class_that_was_not_painted_has_no_objects_and_no_figure():
    labels = np.ones((6, 6), np.uint8)
    true_ids, ids = class_objects(labels, np.full_like(labels, 2), 2)[1]
    assert not true_ids.any()
    assert np.isnan(match_objects(true_ids, ids).panoptic_quality)
    assert np.isnan(compare_partitions(true_ids, ids).rand_error)


def test_empty_arrays_have_no_figures():
    empty = np.zeros((0, 3), int)
    assert np.isnan(match_objects(empty, empty).mean_average_precision)
    assert np.isnan(compare_partitions(empty, empty).voi_split)


@pytest.mark.parametrize(
    ("ids", "reason"),
    [(np.ones((2, 3), int), "differ in shape"), (np.ones((2, 2)), "whole numbers"), (-np.eye(2, dtype=int), "whole")],
)
def test_what_are_no_objects_is_refused(ids, reason):
    for compare in (match_objects, compare_partitions):
        with pytest.raises(InputError, match=reason):
            compare(np.ones((2, 2), int), ids)
