"""How well outlines agree: boundary F1 and boundary IoU of every class, at a tolerance in pixels or micrometres.

Where nobody painted nothing is known about an outline, so a place counts only if everything within the tolerance of it
(and one pixel more, to see on which side it lies) is painted. The frame of the image is no outline and cuts nothing
off. Strokes thinner than twice the tolerance therefore have no figure; neither has a class that was not painted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.synthesis.statistics.label_maps import as_spacing
from napari_anneal.validation.metrics import as_label_maps

__all__ = ["as_sampling", "boundary_f1", "boundary_iou", "check_tolerance", "judged_places", "within"]

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def boundary_f1(
    labels: Any, prediction: Any, n_classes: int, *, tolerance: float = 2.0, spacing: Any = None
) -> FloatArray:
    """F1 of outline pixels that lie within the tolerance of the other outline (Csurka et al. 2013, BMVC, "BF score").

    An outline pixel of a class is one that shares a face with a pixel of another class.

    Parameters
    ----------
    labels
        Whole numbers ``(Y, X)`` or ``(Z, Y, X)``: 0 = not painted (ignored), 1…K.
    prediction
        The same shape, 1…K.
    n_classes
        K.
    tolerance
        Largest distance that counts as a hit, between pixel centres; in units of ``spacing``, so in pixels without.
    spacing
        Pixel size along each axis; ``None``: 1.

    Returns
    -------
    numpy.ndarray
        float64 ``(K,)`` in 0…1; ``nan`` where the class has no painted outline to judge by.

    Raises
    ------
    InputError
        Shapes or classes do not fit, or the tolerance or spacing is not positive.
    """
    truth, guess = as_label_maps(labels, prediction, n_classes)
    sampling, reach = as_sampling(spacing, truth.ndim), check_tolerance(tolerance)
    judged = judged_places(truth != 0, reach, sampling)
    figures = np.full(n_classes, np.nan)
    for k, painted, predicted in _present(truth, guess, judged, n_classes):
        true_line = painted & _beside(~painted)
        guessed_line = predicted & _beside(~predicted)
        to_find, found = true_line & judged, guessed_line & judged
        if not to_find.any():
            continue
        if not found.any():
            figures[k] = 0.0
            continue
        recall = float(within(guessed_line, reach, sampling)[to_find].mean())
        precision = float(within(true_line, reach, sampling)[found].mean())
        figures[k] = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return figures


def boundary_iou(
    labels: Any, prediction: Any, n_classes: int, *, tolerance: float = 2.0, spacing: Any = None
) -> FloatArray:
    """IoU of the inner rims of the regions, as wide as the tolerance (Cheng et al. 2021, arXiv 2103.16562).

    The rim of a class is what of it lies within the tolerance of a pixel of another class, between pixel centres.
    Parameters, errors and n/a as in `boundary_f1`.
    """
    truth, guess = as_label_maps(labels, prediction, n_classes)
    sampling, width = as_sampling(spacing, truth.ndim), check_tolerance(tolerance)
    judged = judged_places(truth != 0, width, sampling)
    figures = np.full(n_classes, np.nan)
    for k, painted, predicted in _present(truth, guess, judged, n_classes):
        true_rim = painted & judged & within(~painted, width, sampling)
        guessed_rim = predicted & judged & within(~predicted, width, sampling)
        if true_rim.any():
            figures[k] = (true_rim & guessed_rim).sum() / (true_rim | guessed_rim).sum()
    return figures


def judged_places(painted: Mask, reach: float, sampling: tuple[float, ...]) -> Mask:
    """Pixels all of whose surroundings, to ``reach`` and one pixel more, are painted."""
    return ~within(~painted, reach + max(sampling), sampling)


def within(places: Mask, reach: float, sampling: tuple[float, ...]) -> Mask:
    """Pixels whose centre lies within ``reach`` of one of the places."""
    if not places.any():
        return np.zeros(places.shape, dtype=bool)
    from scipy import ndimage

    distance: FloatArray = ndimage.distance_transform_edt(~places, sampling=sampling)
    # Distances are square roots: one that equals the tolerance must not fall outside by rounding.
    return np.asarray(distance <= reach * (1 + 1e-9))


def check_tolerance(tolerance: float) -> float:
    """Positive and finite, or `InputError`."""
    if not (np.isfinite(tolerance) and tolerance > 0):
        raise InputError(
            f"a boundary tolerance of {tolerance:g} cannot be used; give a length above 0, such as 2 pixels."
        )
    return float(tolerance)


def as_sampling(spacing: Any, ndim: int) -> tuple[float, ...]:
    """One positive number an axis (a single one stands for all), 1 where nothing is given, or `InputError`."""
    single = spacing is not None and np.ndim(spacing) == 0
    return as_spacing((spacing,) * ndim if single else spacing, ndim)


def _present(
    truth: npt.NDArray[Any], guess: npt.NDArray[Any], judged: Mask, n_classes: int
) -> Iterator[tuple[int, Mask, Mask]]:
    """Index, painted and predicted mask of every class that is painted where something can be judged."""
    for k in range(n_classes):
        painted = truth == k + 1
        if (painted & judged).any():
            yield k, painted, guess == k + 1


def _beside(places: Mask) -> Mask:
    """Pixels that share a face with one of the places."""
    beside = np.zeros(places.shape, dtype=bool)
    for axis in range(places.ndim):
        one = [slice(None)] * places.ndim
        other = [slice(None)] * places.ndim
        one[axis], other[axis] = slice(1, None), slice(None, -1)
        beside[tuple(one)] |= places[tuple(other)]
        beside[tuple(other)] |= places[tuple(one)]
    return beside
