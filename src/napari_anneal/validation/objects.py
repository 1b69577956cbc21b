"""Objects of a class and how two divisions of an image into objects compare: matches, Rand error, information.

An object is a connected region of one class (pixels that share a face). While objects are put together, unpainted
pixels take the predicted class, so that a gap in the paint cuts no grain in two; then they are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.validation.metrics import as_label_maps

__all__ = ["AP_THRESHOLDS", "Matches", "Partition", "class_objects", "compare_partitions", "filled", "match_objects"]

IntArray = npt.NDArray[np.int64]
# As COCO's mean average precision.
AP_THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))


@dataclass(frozen=True, eq=False)
class Matches:
    """Overlaps of true and predicted objects.

    Attributes
    ----------
    true_count, predicted_count
        Objects on either side.
    pairs
        int64 ``(P, 2)`` pairs of objects that overlap, counted from 0.
    iou
        float64 ``(P,)`` their intersection over union.
    """

    true_count: int
    predicted_count: int
    pairs: IntArray
    iou: npt.NDArray[np.float64]

    def hits(self, threshold: float) -> int:
        """Most pairs, each object in one, with an IoU of the threshold or more."""
        from scipy.sparse import csr_matrix
        from scipy.sparse.csgraph import maximum_bipartite_matching

        good = self.pairs[self.iou >= threshold]
        if not len(good):
            return 0
        graph = csr_matrix((np.ones(len(good)), good.T), shape=(self.true_count, self.predicted_count))
        return int((maximum_bipartite_matching(graph, perm_type="column") >= 0).sum())

    def average_precision(self, threshold: float) -> float:
        """Hits over hits, misses and false alarms, as in the 2018 Data Science Bowl; ``nan`` without true objects."""
        if not self.true_count:
            return float("nan")
        hits = self.hits(threshold)
        return hits / (self.true_count + self.predicted_count - hits)

    @property
    def mean_average_precision(self) -> float:
        """Mean of `average_precision` over the thresholds 0.50, 0.55 … 0.95."""
        return float(np.mean([self.average_precision(t) for t in AP_THRESHOLDS]))

    @cached_property
    def _matched(self) -> npt.NDArray[np.float64]:
        # Above one half no object can be in two pairs (Kirillov et al. 2019, theorem 1).
        return self.iou[self.iou > 0.5]

    @property
    def panoptic_quality(self) -> float:
        """Sum of IoU of the matches above 0.5, over hits and half of misses and false alarms (Kirillov et al. 2019)."""
        if not self.true_count:
            return float("nan")
        return float(2 * self._matched.sum() / (self.true_count + self.predicted_count))

    @property
    def recognition_quality(self) -> float:
        """F1 of objects at an IoU above 0.5; panoptic quality is this times `segmentation_quality`."""
        if not self.true_count:
            return float("nan")
        return 2 * len(self._matched) / (self.true_count + self.predicted_count)

    @property
    def segmentation_quality(self) -> float:
        """Mean IoU of the matches; ``nan`` where there is none."""
        return float(self._matched.mean()) if len(self._matched) else float("nan")


@dataclass(frozen=True)
class Partition:
    """Two divisions of the same pixels compared; ``nan`` where there are no pixels.

    Attributes
    ----------
    rand_error
        Adapted Rand error, 0 (alike) … 1 (Arganda-Carreras et al. 2015, SNEMI3D).
    voi_split, voi_merge
        Variation of information (Meilă 2007), bits: what is lost by splitting true objects, and by merging them.
    """

    rand_error: float
    voi_split: float
    voi_merge: float


def match_objects(true_ids: Any, predicted_ids: Any) -> Matches:
    """Overlaps of objects, given as label maps of the same shape (0 = no object).

    Raises
    ------
    InputError
        Shapes differ, or ids are no whole numbers ≥ 0.
    """
    truth, guess = _ids(true_ids, predicted_ids)
    true_size, true_index = _sizes(truth)
    guess_size, guess_index = _sizes(guess)
    both = (truth > 0) & (guess > 0)
    joint = true_index[both] * max(len(guess_size), 1) + guess_index[both]
    found, shared = np.unique(joint, return_counts=True)
    pairs = np.column_stack(np.divmod(found, max(len(guess_size), 1)))
    union = true_size[pairs[:, 0]] + guess_size[pairs[:, 1]] - shared
    return Matches(len(true_size), len(guess_size), pairs, shared / union)


def compare_partitions(true_ids: Any, predicted_ids: Any) -> Partition:
    """Adapted Rand error and variation of information over the pixels of true objects (scikit-image's).

    Parameters
    ----------
    true_ids
        Whole numbers, 0 = left out.
    predicted_ids
        The same shape; pixels with the same number, 0 included, are one object.
    """
    from skimage.metrics import adapted_rand_error, variation_of_information

    truth, guess = _ids(true_ids, predicted_ids)
    inside = truth > 0
    if not inside.any():
        return Partition(float("nan"), float("nan"), float("nan"))
    ours = np.unique(truth[inside], return_inverse=True)[1].reshape(-1) + 1
    theirs = np.unique(guess[inside], return_inverse=True)[1].reshape(-1) + 1
    split, merge = (float(max(v, 0.0)) for v in variation_of_information(ours, theirs))
    pairs = sum(bool((np.bincount(ids) > 1).any()) for ids in (ours, theirs))
    # Without two pixels in one object on either side there is no pair to be wrong about.
    error = float(adapted_rand_error(ours, theirs)[0]) if pairs == 2 else float(pairs)
    return Partition(error, split, merge)


def filled(labels: Any, prediction: Any, n_classes: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Labels whose unpainted pixels take the predicted class, and the prediction."""
    truth, guess = as_label_maps(labels, prediction, n_classes)
    return np.where(truth == 0, guess, truth), guess


def class_objects(labels: Any, prediction: Any, n_classes: int) -> list[tuple[IntArray, IntArray]]:
    """True and predicted objects of every class: two maps of ids each, 0 = no object or not painted.

    The map of a class that was not painted is empty on the true side.
    """
    from skimage.measure import label

    whole, guess = filled(labels, prediction, n_classes)
    painted = np.asarray(labels) != 0
    maps = []
    for k in range(1, n_classes + 1):
        sides = (np.where(painted, label(side == k, connectivity=1), 0).astype(np.int64) for side in (whole, guess))
        true_ids, predicted_ids = sides
        maps.append((true_ids, predicted_ids))
    return maps


def _sizes(ids: IntArray) -> tuple[IntArray, IntArray]:
    """Pixels of each object, and for each pixel the number of its object from 0 (-1: none)."""
    used, index, counts = np.unique(ids, return_inverse=True, return_counts=True)
    skip = int(len(used) > 0 and used[0] == 0)
    return counts[skip:].astype(np.int64), index.reshape(ids.shape).astype(np.int64) - skip


def _ids(true_ids: Any, predicted_ids: Any) -> tuple[IntArray, IntArray]:
    truth, guess = np.asarray(true_ids), np.asarray(predicted_ids)
    if truth.shape != guess.shape:
        raise InputError(f"true objects {truth.shape} and predicted objects {guess.shape} differ in shape.")
    for role, ids in (("true", truth), ("predicted", guess)):
        if ids.dtype.kind not in "bui" or (ids.size and ids.min() < 0):
            raise InputError(f"{role} objects must be whole numbers, 0 for none; these are {ids.dtype}.")
    return truth.astype(np.int64), guess.astype(np.int64)
