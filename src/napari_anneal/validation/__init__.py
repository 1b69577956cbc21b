"""Validation: splits without leaks, figures with an uncertainty, and the classical methods to beat."""

from __future__ import annotations

from napari_anneal.validation.bootstrap import group_interval
from napari_anneal.validation.calibration import Calibration, Reliability, calibrate, reliability
from napari_anneal.validation.centre_lines import cl_dice
from napari_anneal.validation.contours import boundary_f1, boundary_iou
from napari_anneal.validation.controls import ClassicalControl, fit_classical, fit_controls
from napari_anneal.validation.evaluate import evaluate
from napari_anneal.validation.figures import ALL_METRICS, DEFAULT_METRICS
from napari_anneal.validation.grains import GrainSize, grain_size
from napari_anneal.validation.groups import NameGroups, grouped_by_name, groups_from_names
from napari_anneal.validation.leakage import Copy, find_copies
from napari_anneal.validation.metrics import Scores, confusion_matrix, scores_from_confusion
from napari_anneal.validation.objects import Matches, Partition, compare_partitions, match_objects
from napari_anneal.validation.report import ImageScores, Report
from napari_anneal.validation.split_file import plan_to_dict, read_plan, write_plan
from napari_anneal.validation.splits import Fold, SplitPlan, SplitReport, group_split
from napari_anneal.validation.surfaces import surface_dice

__all__ = [
    "ALL_METRICS",
    "DEFAULT_METRICS",
    "Calibration",
    "ClassicalControl",
    "Copy",
    "Fold",
    "GrainSize",
    "ImageScores",
    "Matches",
    "NameGroups",
    "Partition",
    "Reliability",
    "Report",
    "Scores",
    "SplitPlan",
    "SplitReport",
    "boundary_f1",
    "boundary_iou",
    "calibrate",
    "cl_dice",
    "compare_partitions",
    "confusion_matrix",
    "evaluate",
    "find_copies",
    "fit_classical",
    "fit_controls",
    "grain_size",
    "group_interval",
    "group_split",
    "grouped_by_name",
    "groups_from_names",
    "match_objects",
    "plan_to_dict",
    "read_plan",
    "reliability",
    "scores_from_confusion",
    "surface_dice",
    "write_plan",
]
