"""The figures `evaluate` can give, by name, each as one number a class for a painted slice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.validation.centre_lines import cl_dice
from napari_anneal.validation.contours import boundary_f1, boundary_iou
from napari_anneal.validation.metrics import METRICS
from napari_anneal.validation.objects import class_objects, compare_partitions, match_objects
from napari_anneal.validation.surfaces import surface_dice

__all__ = ["ALL_METRICS", "DEFAULT_METRICS", "LOWER_IS_BETTER", "OUTLINES", "check_metrics", "extra_figures"]

FloatArray = npt.NDArray[np.float64]

OUTLINES: dict[str, Callable[..., FloatArray]] = {
    "boundary_f1": boundary_f1,
    "boundary_iou": boundary_iou,
    "surface_dice": surface_dice,
}
_PARTITIONS = ("rand_error", "voi_split", "voi_merge")
_OBJECTS = {
    "ap": lambda matches: matches.mean_average_precision,
    "ap50": lambda matches: matches.average_precision(0.5),
    "ap75": lambda matches: matches.average_precision(0.75),
    "panoptic_quality": lambda matches: matches.panoptic_quality,
    "recognition_quality": lambda matches: matches.recognition_quality,
    "segmentation_quality": lambda matches: matches.segmentation_quality,
}
DEFAULT_METRICS = (*METRICS, "boundary_f1")
ALL_METRICS = (*METRICS, *OUTLINES, "cl_dice", *_PARTITIONS, *_OBJECTS)
LOWER_IS_BETTER = _PARTITIONS


def check_metrics(names: Iterable[str] | None) -> tuple[str, ...]:
    """Names as asked for, each known and once; ``None``: the fast ones."""
    asked = DEFAULT_METRICS if names is None else tuple(dict.fromkeys((names,) if isinstance(names, str) else names))
    for name in asked:
        if name not in ALL_METRICS:
            raise InputError(f"there is no figure called {name!r}; choose from {', '.join(ALL_METRICS)}.")
    return asked


def extra_figures(
    names: Iterable[str],
    labels: npt.NDArray[Any],
    prediction: npt.NDArray[Any],
    n_classes: int,
    tolerance: float,
    spacing: tuple[float, ...] | None,
) -> dict[str, FloatArray]:
    """Figures that a confusion matrix does not hold, each float64 ``(K,)``, ``nan`` for n/a.

    ``tolerance`` is in units of ``spacing``. Names that are in ``METRICS`` are passed over.
    """
    asked = tuple(name for name in names if name not in METRICS)
    found: dict[str, FloatArray] = {}
    for name in asked:
        if name in OUTLINES:
            found[name] = OUTLINES[name](labels, prediction, n_classes, tolerance=tolerance, spacing=spacing)
    if "cl_dice" in asked:
        found["cl_dice"] = cl_dice(labels, prediction, n_classes)
    if any(name in _PARTITIONS or name in _OBJECTS for name in asked):
        objects = class_objects(labels, prediction, n_classes)
        for name in asked:
            if name in _PARTITIONS:
                found[name] = np.array([getattr(compare_partitions(*maps), name) for maps in objects])
            elif name in _OBJECTS:
                found[name] = np.array([_OBJECTS[name](match_objects(*maps)) for maps in objects])
    return found
