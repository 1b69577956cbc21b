"""Validation: splits without leaks, figures with an uncertainty, and the classical methods to beat."""

from __future__ import annotations

from napari_anneal.validation.controls import ClassicalControl, fit_classical
from napari_anneal.validation.evaluate import ImageScores, Report, evaluate
from napari_anneal.validation.metrics import Scores, confusion_matrix, scores_from_confusion
from napari_anneal.validation.splits import Fold, SplitPlan, SplitReport, group_split

__all__ = [
    "ClassicalControl",
    "Fold",
    "ImageScores",
    "Report",
    "Scores",
    "SplitPlan",
    "SplitReport",
    "confusion_matrix",
    "evaluate",
    "fit_classical",
    "group_split",
    "scores_from_confusion",
]
