"""Overlap figures per class, all from one confusion matrix; unpainted pixels never count.

A figure that does not exist is ``nan`` ("n/a"), never 0 or 1: a class that nobody painted in an image says
nothing about the model there. Its false alarms still count in the other classes and in the matrix summed over
images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError

__all__ = ["METRICS", "Scores", "as_label_maps", "confusion_matrix", "scores_from_confusion"]

METRICS = ("iou", "dice", "precision", "recall")


@dataclass(frozen=True, eq=False)
class Scores:
    """Figures per class, float64 ``(K,)`` in 0…1, ``nan`` where there is none; ``accuracy`` is one number."""

    iou: npt.NDArray[np.float64]
    dice: npt.NDArray[np.float64]
    precision: npt.NDArray[np.float64]
    recall: npt.NDArray[np.float64]
    accuracy: float

    def mean(self, metric: str = "dice") -> float:
        """Mean over the classes that have the figure; ``nan`` if none has."""
        values = getattr(self, metric)
        present = values[~np.isnan(values)]
        return float(present.mean()) if present.size else float("nan")


def confusion_matrix(labels: Any, prediction: Any, n_classes: int) -> npt.NDArray[np.int64]:
    """Count painted pixels by true and predicted class.

    Parameters
    ----------
    labels
        Whole numbers of any shape: 0 = not painted (ignored), 1…K.
    prediction
        The same shape, 1…K wherever ``labels`` is painted.
    n_classes
        K.

    Returns
    -------
    numpy.ndarray
        int64 ``(K, K)``: row = painted class - 1, column = predicted class - 1.

    Raises
    ------
    InputError
        Shapes differ, values outside 1…K, or numbers that are not whole.
    """
    truth, guess = as_label_maps(labels, prediction, n_classes)
    painted = truth != 0
    rows, columns = truth[painted].astype(np.int64), guess[painted].astype(np.int64)
    counts = np.bincount((rows - 1) * n_classes + columns - 1, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes).astype(np.int64)


def as_label_maps(labels: Any, prediction: Any, n_classes: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Painted labels and prediction as arrays that can be compared, or `InputError`; see `confusion_matrix`."""
    truth, guess = np.asarray(labels), np.asarray(prediction)
    if truth.shape != guess.shape:
        raise InputError(
            f"labels {truth.shape} and prediction {guess.shape} differ in shape; segment the image itself, not a crop."
        )
    if truth.dtype.kind not in "bui" or guess.dtype.kind not in "bui":
        raise InputError(f"labels and prediction must be whole numbers, not {truth.dtype} and {guess.dtype}.")
    painted = truth != 0
    for role, values in (("labels", truth[painted]), ("the prediction", guess[painted])):
        if values.size and not (values.min() >= 1 and values.max() <= n_classes):
            wrong = values[(values < 1) | (values > n_classes)][0]
            raise InputError(
                f"{role} holds class {wrong}, but there are {n_classes} classes (1…{n_classes}); "
                "check that labels and model have the same classes."
            )
    return truth, guess


def scores_from_confusion(confusion: npt.NDArray[np.int64]) -> Scores:
    """IoU (Jaccard), Dice (F1), precision and recall per class, and pixel accuracy.

    A class that was not painted has no figure at all; a class that was painted but never predicted has IoU,
    Dice and recall 0 and no precision.
    """
    matrix = np.asarray(confusion, dtype=np.float64)
    hit, painted, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    present = painted > 0
    return Scores(
        iou=_ratio(hit, painted + predicted - hit, present),
        dice=_ratio(2 * hit, painted + predicted, present),
        precision=_ratio(hit, predicted, present),
        recall=_ratio(hit, painted, present),
        accuracy=float(hit.sum() / matrix.sum()) if matrix.sum() else float("nan"),
    )


def _ratio(
    above: npt.NDArray[np.float64], below: npt.NDArray[np.float64], present: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Divide where the class is present and the denominator is not 0; ``nan`` elsewhere."""
    result = np.full(above.shape, np.nan)
    np.divide(above, below, out=result, where=present & (below > 0))
    return result
