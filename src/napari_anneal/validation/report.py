"""What `evaluate` found: figures per image and class, their mean, spread and interval, as table, CSV or JSON."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.validation.bootstrap import MIN_GROUPS, group_interval
from napari_anneal.validation.calibration import Reliability
from napari_anneal.validation.figures import LOWER_IS_BETTER
from napari_anneal.validation.metrics import METRICS, Scores, scores_from_confusion

__all__ = [
    "ONE_SPLIT",
    "ImageScores",
    "LedgerNote",
    "Report",
    "plain",
    "plus_minus",
    "quiet",
    "spread",
    "spread_rows",
    "three_digits",
]

FloatArray = npt.NDArray[np.float64]

ONE_SPLIT = "one split, ± 5–10 points"
# Columns of figures that fit beside each other in a terminal.
COLUMNS = 5


@dataclass(frozen=True, eq=False)
class ImageScores:
    """The figures of one image.

    Attributes
    ----------
    name, group
        Of the sample.
    confusion
        int64 ``(K, K)``, row = painted class - 1, column = predicted class - 1.
    extra
        Figures that the confusion matrix does not hold, by name, float64 ``(K,)``; for a stack their mean over the
        painted slices that have them.
    reliability
        Painted pixels by confidence; ``None`` where the model gave no probabilities.
    """

    name: str
    group: str
    confusion: npt.NDArray[np.int64]
    extra: Mapping[str, FloatArray] = field(default_factory=dict)
    reliability: Reliability | None = None

    @cached_property
    def scores(self) -> Scores:
        """Figures per class; ``nan`` where the class is not painted in this image."""
        return scores_from_confusion(self.confusion)

    def figure(self, metric: str) -> FloatArray:
        """One figure per class, ``(K,)``; ``nan`` is n/a."""
        return np.asarray(getattr(self.scores, metric) if metric in METRICS else self.extra[metric], dtype=np.float64)


@dataclass(frozen=True)
class LedgerNote:
    """Which line of which gold ledger tells of the opening that a report came from.

    Attributes
    ----------
    ledger
        File name of the ledger.
    line, hash
        Number of the line, from 1, and its SHA-256.
    who, when, model
        What the line says: a name, a time in UTC, the hash of the bundle.
    opening
        How many times these images have been opened, this time included.
    """

    ledger: str
    line: int
    hash: str
    who: str
    when: str
    model: str
    opening: int

    def __str__(self) -> str:
        """One sentence for a person."""
        which = "First opening of this gold" if self.opening == 1 else f"Opening {self.opening} of these images"
        return (
            f"{which}: by {self.who} on {self.when[:10]} with model {self.model[:12]}, line {self.line} of "
            f"{self.ledger} ({self.hash[:12]})."
        )


@dataclass(frozen=True, eq=False)
class Report:
    """Figures of a model on a set of images.

    ``mean`` and ``std`` are taken over the images that have the figure, ``pooled`` over all pixels at once.

    Attributes
    ----------
    classes
        Class names in order.
    images
        The images.
    metrics
        Names of the figures, in the order of the table.
    tolerance
        Of the boundary figures, as text with its unit.
    controls
        By name: the classical control with its parameters, in words, and its report on the same images.
    mark
        What must be known before any figure is believed, such as that gold was opened before; shown first.
    opening
        Where the images are gold: the line of the ledger that tells of it.
    """

    classes: tuple[str, ...]
    images: tuple[ImageScores, ...]
    metrics: tuple[str, ...] = METRICS
    tolerance: str = ""
    controls: Mapping[str, tuple[str, Report]] = field(default_factory=dict)
    mark: str = ""
    opening: LedgerNote | None = None

    @property
    def pooled(self) -> Scores:
        """Figures of all painted pixels together."""
        return scores_from_confusion(np.sum([image.confusion for image in self.images], axis=0))

    @property
    def reliability(self) -> Reliability | None:
        """All painted pixels by confidence; ``None`` where an image has no probabilities."""
        parts = [image.reliability for image in self.images]
        known = [part for part in parts if part is not None]
        return sum(known[1:], known[0]) if known and len(known) == len(parts) else None

    @property
    def groups(self) -> tuple[str, ...]:
        """Group of each image; an image without one is a group of its own."""
        return tuple(image.group.strip() or f"\0{number}" for number, image in enumerate(self.images))

    def mean(self, metric: str = "dice") -> FloatArray:
        """Mean over images, per class ``(K,)``."""
        return quiet(np.nanmean, self.values(metric))

    def std(self, metric: str = "dice") -> FloatArray:
        """Standard deviation over images (n - 1), per class ``(K,)``; ``nan`` for fewer than two images."""
        return quiet(np.nanstd, self.values(metric), ddof=1)

    def interval(self, metric: str = "dice", level: float = 0.95, seed: int = 0) -> FloatArray:
        """Confidence interval of the mean by resampling groups, ``(K, 2)``; ``nan`` below five groups."""
        return group_interval(self.values(metric), self.groups, level=level, seed=seed)

    def values(self, metric: str) -> FloatArray:
        """The figure of every image and class, ``(images, K)``."""
        return np.array([image.figure(metric) for image in self.images])

    @property
    def accuracy(self) -> FloatArray:
        """Share of painted pixels that are right, ``(images,)``; no figure of a class, and flattered by large ones."""
        return np.array([image.scores.accuracy for image in self.images])

    @property
    def worst_first(self) -> tuple[int, ...]:
        """Numbers of the images by mean Dice over the classes they have, the worst first."""
        return tuple(sorted(range(len(self.images)), key=lambda i: self.images[i].scores.mean("dice")))

    def table(self) -> str:
        """Plain text: a row a class with mean ± std, then a row an image with its Dice per class, worst first."""
        width = max(14, *(len(name) + 2 for name in (*self.classes, *(i.name for i in self.images))))
        lines = [text for text in (self.mark, str(self.opening or "")) if text]
        lines += [""] * bool(lines) + spread_rows(self.classes, self.metrics, self.mean, self.std, width)
        lines += self._control_rows(width)
        columns = [max(9, len(name) + 2) for name in self.classes]
        heads = "".join(f"{name:>{column}}" for name, column in zip(self.classes, columns, strict=True))
        lines += ["", f"{'image (Dice)':<{width}}{'group':<14}{heads}"]
        for image in (self.images[i] for i in self.worst_first):
            dice = zip(image.scores.dice, columns, strict=True)
            cells = (f"{three_digits(value):>{column}}" for value, column in dice)
            lines.append(f"{image.name:<{width}}{image.group or '-':<14}" + "".join(cells))
        return "\n".join([*lines, "", *self._notes()])

    def _control_rows(self, width: int) -> list[str]:
        """Mean Dice of the model and of each control, per class."""
        if not self.controls:
            return []
        columns = [max(17, len(name) + 2) for name in self.classes]
        heads = "".join(f"{name:>{column}}" for name, column in zip(self.classes, columns, strict=True))
        rows = ["", f"{'method (Dice)':<{width}}{heads}"]
        for name, report in [("this model", self), *((name, report) for name, (_, report) in self.controls.items())]:
            cells = (plus_minus(m, s) for m, s in zip(report.mean(), report.std(), strict=True))
            rows.append(f"{name:<{width}}" + "".join(f"{cell:>{c}}" for cell, c in zip(cells, columns, strict=True)))
        return rows

    def _notes(self) -> list[str]:
        """What the numbers are, below the table."""
        groups = len(set(self.groups))
        notes = [
            f"mean ± standard deviation, {len(self.images)} image(s) of {groups} group(s), painted pixels only;",
            f"n/a: the class is not painted there. This is {ONE_SPLIT}: another one may differ by as much.",
        ]
        mean, std = spread(self.accuracy)
        notes.append(f"Pixel accuracy {plus_minus(mean, std)} over images.")
        if groups >= MIN_GROUPS:
            ends = zip(self.classes, self.interval(), strict=True)
            spans = (f"{name} {three_digits(low)}–{three_digits(high)}" for name, (low, high) in ends)
            notes.append(f"95 % interval of the mean Dice, groups resampled: {', '.join(spans)}.")
        else:
            notes.append(f"No confidence interval: that takes {MIN_GROUPS} groups (specimens) or more.")
        if self.reliability is not None:
            notes.append(f"Expected calibration error {self.reliability.ece:.3f} ({len(self.reliability.count)} bins).")
        if lower := [metric for metric in self.metrics if metric in LOWER_IS_BETTER]:
            notes.append(f"Lower is better: {', '.join(lower)}.")
        if self.tolerance:
            notes.append(f"Boundary figures at a tolerance of {self.tolerance}.")
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers, strings and lists, ready for JSON; ``None`` stands for n/a."""
        pooled, calibration = self.pooled, self.reliability
        return {
            "classes": list(self.classes),
            "mark": self.mark or None,
            "gold": None if self.opening is None else asdict(self.opening),
            "split": ONE_SPLIT,
            "metrics": list(self.metrics),
            "tolerance": self.tolerance or None,
            "mean": {m: plain(self.mean(m)) for m in self.metrics},
            "std": {m: plain(self.std(m)) for m in self.metrics},
            "interval_95": {m: [plain(ends) for ends in self.interval(m)] for m in self.metrics},
            "accuracy": dict(zip(("mean", "std"), plain(np.array(spread(self.accuracy))), strict=True)),
            "pooled": {**{m: plain(getattr(pooled, m)) for m in METRICS}, "accuracy": pooled.accuracy},
            "controls": {
                name: {
                    "method": method,
                    "mean": {m: plain(report.mean(m)) for m in self.metrics},
                    "std": {m: plain(report.std(m)) for m in self.metrics},
                }
                for name, (method, report) in self.controls.items()
            },
            "calibration": None if calibration is None else calibration.to_dict(),
            "images": [
                {
                    "name": image.name,
                    "group": image.group,
                    **{m: plain(image.figure(m)) for m in self.metrics},
                    "accuracy": image.scores.accuracy,
                    "ece": None if image.reliability is None else image.reliability.ece,
                    "confusion": image.confusion.tolist(),
                }
                for image in self.images
            ],
        }

    def to_csv(self) -> str:
        """One row an image and class, a column a figure, the worst image first; empty cells for n/a."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["image", "group", "class", *self.metrics])
        for image in (self.images[i] for i in self.worst_first):
            figures = [image.figure(metric) for metric in self.metrics]
            for k, name in enumerate(self.classes):
                cells = ("" if np.isnan(values[k]) else f"{values[k]:.6g}" for values in figures)
                writer.writerow([image.name, image.group, name, *cells])
        return text.getvalue()


def quiet(function: Callable[..., Any], values: FloatArray, **options: Any) -> FloatArray:
    """Nanmean and nanstd over images or folds, without NumPy's warning for a class that none of them has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        result: FloatArray = function(values, axis=0, **options)
    return result


def spread(values: FloatArray) -> tuple[float, float]:
    """Mean and standard deviation (n - 1) of what is known; ``nan`` where there is too little."""
    return float(quiet(np.nanmean, values)), float(quiet(np.nanstd, values, ddof=1))


def plain(values: FloatArray) -> list[float | None]:
    """Numbers for JSON, with ``None`` for n/a."""
    return [None if np.isnan(v) else float(v) for v in values]


def spread_rows(
    classes: tuple[str, ...],
    metrics: tuple[str, ...],
    mean: Callable[[str], FloatArray],
    std: Callable[[str], FloatArray],
    width: int,
) -> list[str]:
    """Lines with mean ± std of every class, ``COLUMNS`` metrics beside each other, names padded to ``width``.

    ``mean`` and ``std`` give a value a class for a metric.
    """
    lines: list[str] = []
    for first in range(0, len(metrics), COLUMNS):
        shown = metrics[first : first + COLUMNS]
        cell = max(17, *(len(metric) + 2 for metric in shown))
        lines += [""] * bool(lines) + [f"{'class':<{width}}" + "".join(f"{metric:>{cell}}" for metric in shown)]
        for k, name in enumerate(classes):
            cells = (plus_minus(mean(m)[k], std(m)[k]) for m in shown)
            lines.append(f"{name:<{width}}" + "".join(f"{text:>{cell}}" for text in cells))
    return lines


def plus_minus(mean: float, std: float) -> str:
    """``0.812 ± 0.034``."""
    return f"{three_digits(mean)} ± {three_digits(std)}"


def three_digits(value: float) -> str:
    """Three digits, or n/a."""
    return "n/a" if np.isnan(value) else f"{value:.3f}"
