"""A model against painted labels: figures per image and class, their mean and spread, as a table or as JSON."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.samples.sample import Sample
from napari_anneal.validation.metrics import METRICS, Scores, confusion_matrix, scores_from_confusion

__all__ = ["ImageScores", "Report", "Segmenter", "evaluate", "plain", "quiet"]


class Segmenter(Protocol):
    """What evaluate() needs of a model; a classical control is one, too."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in order."""
        ...

    def segment(self, image: Any, *, axes: str | None = None) -> Any:
        """Return an object whose ``labels`` are 1…K, shaped as the image without its colour axis."""
        ...


@dataclass(frozen=True, eq=False)
class ImageScores:
    """The figures of one image."""

    name: str
    group: str
    confusion: npt.NDArray[np.int64]

    @cached_property
    def scores(self) -> Scores:
        """Figures per class; ``nan`` where the class is not painted in this image."""
        return scores_from_confusion(self.confusion)


@dataclass(frozen=True, eq=False)
class Report:
    """Figures of a model on a set of images.

    ``mean`` and ``std`` are taken over the images that have the figure, ``pooled`` over all pixels at once.
    """

    classes: tuple[str, ...]
    images: tuple[ImageScores, ...]

    @property
    def pooled(self) -> Scores:
        """Figures of all painted pixels together."""
        return scores_from_confusion(np.sum([image.confusion for image in self.images], axis=0))

    def mean(self, metric: str = "dice") -> npt.NDArray[np.float64]:
        """Mean over images, per class ``(K,)``."""
        return quiet(np.nanmean, self._matrix(metric))

    def std(self, metric: str = "dice") -> npt.NDArray[np.float64]:
        """Standard deviation over images (n - 1), per class ``(K,)``; ``nan`` for fewer than two images."""
        return quiet(np.nanstd, self._matrix(metric), ddof=1)

    def _matrix(self, metric: str) -> npt.NDArray[np.float64]:
        return np.array([getattr(image.scores, metric) for image in self.images])

    def table(self) -> str:
        """Plain text: one row a class with mean ± std, then one row an image with its Dice per class."""
        groups = {image.group or image.name for image in self.images}
        width = max(14, *(len(name) + 2 for name in (*self.classes, *(i.name for i in self.images))))
        lines = [f"{'class':<{width}}" + "".join(f"{metric:>17}" for metric in METRICS)]
        for k, name in enumerate(self.classes):
            cells = (f"{_number(self.mean(m)[k])} ± {_number(self.std(m)[k])}" for m in METRICS)
            lines.append(f"{name:<{width}}" + "".join(f"{cell:>17}" for cell in cells))
        columns = [max(9, len(name) + 2) for name in self.classes]
        heads = "".join(f"{name:>{column}}" for name, column in zip(self.classes, columns, strict=True))
        lines += ["", f"{'image (Dice)':<{width}}{'group':<14}{heads}"]
        for image in self.images:
            dice = zip(image.scores.dice, columns, strict=True)
            cells = (f"{_number(value):>{column}}" for value, column in dice)
            lines.append(f"{image.name:<{width}}{image.group or '-':<14}" + "".join(cells))
        lines += [
            "",
            f"mean ± standard deviation, {len(self.images)} image(s) of {len(groups)} group(s), painted pixels only;",
            "n/a: the class is not painted there. One split: another one may differ by 5–10 points.",
        ]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers, strings and lists, ready for JSON; ``None`` stands for n/a."""
        return {
            "classes": list(self.classes),
            "mean": {m: plain(self.mean(m)) for m in METRICS},
            "std": {m: plain(self.std(m)) for m in METRICS},
            "pooled": {**{m: plain(getattr(self.pooled, m)) for m in METRICS}, "accuracy": self.pooled.accuracy},
            "images": [
                {
                    "name": image.name,
                    "group": image.group,
                    **{m: plain(getattr(image.scores, m)) for m in METRICS},
                    "accuracy": image.scores.accuracy,
                    "confusion": image.confusion.tolist(),
                }
                for image in self.images
            ],
        }


def evaluate(
    model: Segmenter, samples: Sequence[Sample], *, progress: Callable[[int, int], None] | None = None
) -> Report:
    """Segment every sample and compare with what is painted on it; nothing is ever augmented here.

    Parameters
    ----------
    model
        Anything with ``classes`` and ``segment(image, axes=…).labels``.
    samples
        Samples with painted labels. A stack is segmented whole, and compared on its painted slices.
    progress
        Called with (samples done, samples in all).

    Raises
    ------
    InputError
        No samples, a sample without paint, or painted classes that the model does not have.
    """
    if not samples:
        raise InputError("there are no samples to evaluate on; give at least one image with painted labels.")
    classes = tuple(model.classes)
    where = [sample.name or f"image {number}" for number, sample in enumerate(samples, start=1)]
    for sample, name in zip(samples, where, strict=True):  # before the first, slow, segmentation
        _check_classes(sample, classes, name)
    results = []
    for done, (sample, name) in enumerate(zip(samples, where, strict=True), start=1):
        prediction = model.segment(sample.image, axes=sample.axes).labels
        confusion = np.zeros((len(classes), len(classes)), np.int64)
        for painted in sample.painted_slices():
            plane = prediction if painted.z is None else prediction[painted.z]
            confusion += confusion_matrix(painted.labels, np.asarray(plane), len(classes))
        results.append(ImageScores(name, sample.group, confusion))
        if progress is not None:
            progress(done, len(samples))
    return Report(classes, tuple(results))


def _check_classes(sample: Sample, classes: tuple[str, ...], name: str) -> None:
    """Refuse a sample without paint, or painted with a class the model does not know."""
    highest = max((int(painted.labels.max()) for painted in sample.painted_slices()), default=0)
    if not highest:
        raise InputError(f"{name} has no painted labels to compare with; paint on it, or leave it out.")
    if highest > len(classes):
        raise InputError(
            f"{name} is painted with class {highest}, but the model knows {len(classes)} classes "
            f"({', '.join(classes)}); evaluate on labels with the model's own classes."
        )


def quiet(function: Callable[..., Any], values: npt.NDArray[np.float64], **options: Any) -> npt.NDArray[np.float64]:
    """Nanmean and nanstd over images or folds, without NumPy's warning for a class that none of them has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        result: npt.NDArray[np.float64] = function(values, axis=0, **options)
    return result


def _number(value: float) -> str:
    return "n/a" if np.isnan(value) else f"{value:.3f}"


def plain(values: npt.NDArray[np.float64]) -> list[float | None]:
    """Numbers for JSON, with ``None`` for n/a."""
    return [None if np.isnan(v) else float(v) for v in values]
