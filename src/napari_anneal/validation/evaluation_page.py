"""An evaluation as files: one HTML page with the worst images first, and the same figures as JSON and CSV."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from napari_anneal.errors import InputError, OutputError
from napari_anneal.pages import RIGHT, WRONG, Curve, chart, overlay, png, render, shown, swatches
from napari_anneal.samples.placing import why_not_written, write_whole
from napari_anneal.samples.sample import PaintedSlice, Sample
from napari_anneal.validation.evaluate import Segmenter
from napari_anneal.validation.figures import LOWER_IS_BETTER
from napari_anneal.validation.metrics import confusion_matrix, scores_from_confusion
from napari_anneal.validation.report import ONE_SPLIT, ImageScores, Report, plain, spread

__all__ = ["PAGE", "verdict_map", "write_evaluation"]

PAGE, JSON, CSV = "report.html", "report.json", "report.csv"
# Purple of Okabe and Ito's palette, beside the blue and vermilion of what is right and wrong.
MISSED = "#cc79a7"
# Wide enough to see boundaries, small enough that a page with a dozen images opens at once.
MAX_SIDE_PX = 512
CURVE, DIAGONAL = "#0072b2", "#8a96a3"


@dataclass(frozen=True, eq=False)
class _Picture:
    """One image with what was painted, what was predicted, and what became of every class."""

    name: str
    scores: ImageScores
    views: tuple[tuple[str, Markup], ...]


def write_evaluation(
    report: Report,
    model: Segmenter,
    samples: Sequence[Sample],
    folder: str | os.PathLike[str],
    *,
    colours: Sequence[str],
    title: str = "Evaluation",
    about: Mapping[str, str] | None = None,
    pictures: int = 6,
    overwrite: bool = False,
) -> Path:
    """Write ``report.html``, ``report.json`` and ``report.csv``.

    Parameters
    ----------
    report, model, samples
        What `evaluate` returned, and what it was given; the worst images are segmented once more for their pictures.
    folder
        Created if need be.
    colours
        ``#rrggbb`` of each class.
    title, about
        Heading, and facts for its foot, such as the path of the model.
    pictures
        How many images to show, the worst first; of a stack its worst painted slice.
    overwrite
        Replace an earlier report there.

    Returns
    -------
    Path
        Of the page. It is one self-contained file, for light and dark screens and for print.

    Raises
    ------
    InputError
        The samples are not those of the report.
    OutputError
        A report is there already, or cannot be written.
    """
    folder = Path(folder).expanduser()
    if len(samples) != len(report.images):
        raise InputError(f"{len(samples)} samples do not fit a report on {len(report.images)} images.")
    if (folder / PAGE).exists() and not overwrite:
        raise OutputError(f"{folder / PAGE} already exists; choose another folder, or overwrite it.")
    page = render(
        "validation/evaluation.html.jinja",
        title=title,
        report=report,
        one_split=ONE_SPLIT,
        groups=len(set(report.groups)),
        rows=_rows(report, colours),
        accuracy=spread(report.accuracy),
        controls=_control_rows(report),
        confusion=np.sum([image.confusion for image in report.images], axis=0).tolist(),
        lower=[metric for metric in report.metrics if metric in LOWER_IS_BETTER],
        calibration=report.reliability,
        reliability=_reliability(report),
        pictures=[_picture(report, model, samples, i, colours) for i in report.worst_first[:pictures]],
        key=swatches(
            (*report.classes, "found", "false alarm", "missed"),
            (*list(colours)[: len(report.classes)], RIGHT, WRONG, MISSED),
        ),
        images=[(report.images[i], plain(report.images[i].scores.dice)) for i in report.worst_first],
        about=dict(about or {}),
        written=datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / JSON, json.dumps(report.to_dict(), indent=1, allow_nan=False) + "\n")
        write_whole(folder / CSV, report.to_csv())
        write_whole(folder / PAGE, page)
    except OSError as error:
        raise OutputError(f"the report could not be written to {folder} ({why_not_written(error)}).") from error
    return folder / PAGE


def verdict_map(labels: npt.NDArray[Any], prediction: npt.NDArray[Any], label: int) -> npt.NDArray[np.uint8]:
    """Painted pixels of one class: 1 found, 2 false alarm, 3 missed; 0: neither, or not painted."""
    true, found = labels == label, (prediction == label) & (labels != 0)
    return np.select([true & found, found, true], [1, 2, 3], 0).astype(np.uint8)


def _rows(report: Report, colours: Sequence[str]) -> list[dict[str, Any]]:
    """One row a class: mean, spread and interval of every figure."""
    table = {metric: (report.mean(metric), report.std(metric), report.interval(metric)) for metric in report.metrics}
    return [
        {
            "name": name,
            "colour": colours[k],
            "cells": [(float(mean[k]), float(std[k]), *map(float, ends[k])) for mean, std, ends in table.values()],
        }
        for k, name in enumerate(report.classes)
    ]


def _control_rows(report: Report) -> list[dict[str, Any]]:
    """Mean Dice of the model and of the controls, per class."""
    if not report.controls:
        return []
    methods = {"this model": ("", report), **report.controls}
    return [
        {"name": name, "how": how, "dice": plain(of.mean()), "std": plain(of.std()), "ours": name == "this model"}
        for name, (how, of) in methods.items()
    ]


def _reliability(report: Report) -> Markup | None:
    """Accuracy over confidence, and the diagonal where they are equal; in percent."""
    found = report.reliability
    if found is None:
        return None
    bins = zip(found.confidence, found.accuracy, strict=True)
    points = [(100 * float(sure), 100 * float(right)) for sure, right in bins if not np.isnan(sure)]
    curves = [
        Curve("as sure as right", [(0, 0), (100, 100)], DIAGONAL, dashed=True),
        Curve("this model", points, CURVE, dots=True),
    ]
    return chart(
        curves,
        title="Share of right pixels (%) by confidence",
        x_label="confidence (%)",
        x_range=(0, 100),
        y_range=(0, 100),
    )


def _picture(
    report: Report, model: Segmenter, samples: Sequence[Sample], index: int, colours: Sequence[str]
) -> _Picture:
    """Views of one image: itself, labels, prediction, and every class's hits and errors."""
    sample, scores = samples[index], report.images[index]
    prediction = model.segment(sample.image, axes=sample.axes).labels
    painted, plane = _worst_slice(sample, prediction, len(report.classes))
    step = -(-max(plane.shape) // MAX_SIDE_PX)
    image = shown(painted.image.mean(axis=0)[::step, ::step])
    labels, found = painted.labels[::step, ::step], plane[::step, ::step]
    views = [
        ("image", overlay(image, None, ())),
        ("labels", overlay(image, labels, colours)),
        ("prediction", overlay(image, found, colours)),
    ]
    for k, name in enumerate(report.classes, start=1):
        if not np.isnan(scores.scores.dice[k - 1]):
            views.append((name, overlay(image, verdict_map(labels, found, k), (RIGHT, WRONG, MISSED), 0.65)))
    where = scores.name if painted.z is None else f"{scores.name}, slice {painted.z}"
    return _Picture(where, scores, tuple((caption, png(view)) for caption, view in views))


def _worst_slice(sample: Sample, prediction: Any, n_classes: int) -> tuple[PaintedSlice, npt.NDArray[Any]]:
    """The painted slice with the lowest mean Dice, and its prediction."""
    slices = [
        (part, np.asarray(prediction if part.z is None else prediction[part.z])) for part in sample.painted_slices()
    ]

    def quality(pair: tuple[PaintedSlice, npt.NDArray[Any]]) -> float:
        return scores_from_confusion(confusion_matrix(pair[0].labels, pair[1], n_classes)).mean("dice")

    return min(slices, key=quality)
