"""A model against painted labels: segment every sample and score it, figure by figure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.samples.sample import Sample, refuse_copy
from napari_anneal.validation.calibration import Reliability, reliability
from napari_anneal.validation.contours import check_tolerance
from napari_anneal.validation.controls import fit_controls
from napari_anneal.validation.figures import OUTLINES, check_metrics, extra_figures
from napari_anneal.validation.metrics import METRICS, confusion_matrix
from napari_anneal.validation.report import ImageScores, Report, quiet

__all__ = ["Segmenter", "evaluate"]


class Segmenter(Protocol):
    """What evaluate() needs of a model; a classical control is one, too."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in order."""
        ...

    def segment(self, image: Any, *, axes: str | None = None) -> Any:
        """Return an object whose ``labels`` are 1…K, shaped as the image without its colour axis.

        With ``probabilities`` ``(K, …)`` (optional) the report tells calibration too.
        """
        ...


def evaluate(
    model: Segmenter,
    samples: Sequence[Sample],
    *,
    metrics: Iterable[str] | None = None,
    tolerance: float = 2.0,
    tolerance_um: float | None = None,
    controls_from: Sequence[Sample] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Segment every sample and compare with what is painted on it; nothing is ever augmented here.

    Parameters
    ----------
    model
        Anything with ``classes`` and ``segment(image, axes=…).labels``.
    samples
        Samples with painted labels. A stack is segmented whole, and compared on its painted slices.
    metrics
        Names out of `figures.ALL_METRICS`; ``None``: IoU, Dice, precision, recall and boundary F1. Where the model
        gives probabilities (of 2D images) the expected calibration error comes by itself.
    tolerance
        Of boundary figures, pixels.
    tolerance_um
        The same in micrometres, in place of ``tolerance``; the samples' spacing must be in micrometres then.
    controls_from
        Training samples: the classical methods with the parameters that are best on these stand beside the model in
        the report. ``None``: no controls.
    progress
        Called with (samples done, samples in all).

    Raises
    ------
    InputError
        No samples, a sample without paint or that is an augmented copy, or painted classes that the model does not
        have; an unknown figure, a tolerance that is not positive, or one in micrometres where a sample has no spacing;
        controls that would be fitted on what they are judged by.
    """
    if not samples:
        raise InputError("there are no samples to evaluate on; give at least one image with painted labels.")
    names = check_metrics(metrics)
    reach = check_tolerance(tolerance if tolerance_um is None else tolerance_um)
    classes = tuple(model.classes)
    where = [sample.name or f"image {number}" for number, sample in enumerate(samples, start=1)]
    for sample, name in zip(samples, where, strict=True):  # before the first, slow, segmentation
        _check_classes(sample, classes, name)
        refuse_copy(sample, name)
    if tolerance_um is not None:
        check_spacing(samples, tolerance_um)
    fitted = {} if controls_from is None else fit_controls(_others(controls_from, samples, where), classes)
    results = []
    for done, (sample, name) in enumerate(zip(samples, where, strict=True), start=1):
        result = model.segment(sample.image, axes=sample.axes)
        spacing = sample.spacing[-2:] if tolerance_um is not None and sample.spacing is not None else None
        results.append(_score(sample, name, result, len(classes), names, reach, spacing))
        if progress is not None:
            progress(done, len(samples))
    unit = f"{reach:g} {'px' if tolerance_um is None else 'µm'}" if set(names) & set(OUTLINES) else ""
    controls = {
        name: (str(control), evaluate(control, samples, metrics=names, tolerance=tolerance, tolerance_um=tolerance_um))
        for name, control in fitted.items()
    }
    marks = dict.fromkeys(sample.mark for sample in samples if sample.mark)
    return Report(classes, tuple(results), names, unit, controls, " ".join(marks))


def check_spacing(samples: Sequence[Sample], tolerance_um: float) -> None:
    """Refuse a tolerance in micrometres where a sample has no pixel size.

    Raises
    ------
    InputError
        Which one has none.
    """
    for number, sample in enumerate(samples, start=1):
        if sample.spacing is None:
            raise InputError(
                f"{sample.name or f'image {number}'} has no pixel size, so a tolerance of {tolerance_um:g} µm means "
                "nothing there; give its spacing in µm, or a tolerance in pixels."
            )


def _others(training: Sequence[Sample], judged: Sequence[Sample], where: list[str]) -> Sequence[Sample]:
    """Training samples, none of which may be judged, itself or by its group."""
    groups = {sample.group.strip() for sample in training if sample.group.strip()}
    for sample, name in zip(judged, where, strict=True):
        if any(sample is other for other in training) or sample.group.strip() in groups:
            raise InputError(
                f"{name} is both what controls would be fitted on and what they would be judged by, itself or by its "
                "group; fit them on the training part of the split only."
            )
    return training


def _score(
    sample: Sample,
    name: str,
    result: Any,
    n_classes: int,
    metrics: tuple[str, ...],
    reach: float,
    spacing: tuple[float, ...] | None,
) -> ImageScores:
    """Figures of one sample, over its painted slices."""
    chances = getattr(result, "probabilities", None)
    confusion = np.zeros((n_classes, n_classes), np.int64)
    extras: dict[str, list[npt.NDArray[np.float64]]] = {m: [] for m in metrics if m not in METRICS}
    confident: Reliability | None = None
    for painted in sample.painted_slices():
        plane = np.asarray(result.labels if painted.z is None else result.labels[painted.z])
        confusion += confusion_matrix(painted.labels, plane, n_classes)
        for metric, values in extra_figures(metrics, painted.labels, plane, n_classes, reach, spacing).items():
            extras[metric].append(values)
        if chances is not None:
            part = reliability(painted.labels, chances if painted.z is None else chances[:, painted.z])
            confident = part if confident is None else confident + part
    extra = {metric: quiet(np.nanmean, np.array(values)) for metric, values in extras.items()}
    return ImageScores(name, sample.group, confusion, extra, confident)


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
