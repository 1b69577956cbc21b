"""Classical methods beside a run: fitted on its training images, judged by their Dice on its validation images.

A network that does not beat a threshold is not worth its training; so every report shows what Otsu, multi-Otsu,
watershed, Sauvola and Canny do on the same images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_anneal.errors import AnnealError
from napari_anneal.samples.sample import Sample
from napari_anneal.synthesis import SyntheticStream
from napari_anneal.training.run_facts import ClassicalScore
from napari_anneal.training.runs import CONTROLS
from napari_anneal.training.setup import Prepared
from napari_anneal.validation import confusion_matrix, fit_controls, scores_from_confusion
from napari_anneal.validation.report import plain, quiet

__all__ = ["classical_beside", "classical_scores"]


def classical_beside(
    samples: Sequence[Sample] | SyntheticStream, prepared: Prepared, reason: str, folder: Path | None
) -> tuple[ClassicalScore, ...]:
    """Classical methods on the images that judge a run; none where it was stopped, or is a control itself."""
    control = folder is not None and folder.absolute().parent.name == CONTROLS
    if reason in ("cancelled", "disk full") or control or prepared.judged_by != "other groups":
        return ()
    if isinstance(samples, SyntheticStream):
        return ()
    train, judges = ([samples[i] for i in part] for part in (prepared.train, prepared.validation))
    return classical_scores(train, judges, prepared.classes)


def classical_scores(
    train: Sequence[Sample], validation: Sequence[Sample], classes: Sequence[str]
) -> tuple[ClassicalScore, ...]:
    """Fit on the training samples and judge on the painted slices of the validation samples; best mean Dice first.

    Empty where no such method can be had: fewer than two classes, a constant image.
    """
    try:
        found = []
        painted = [list(sample.painted_slices()) for sample in validation]
        for name, control in fit_controls(train, classes).items():
            dice = []
            for sample, parts in zip(validation, painted, strict=True):
                confusion = np.zeros((len(classes), len(classes)), np.int64)
                planes = control.planes(sample, [slice(None) if part.z is None else part.z for part in parts])
                for part, plane in zip(parts, planes, strict=True):
                    confusion += confusion_matrix(part.labels, plane, len(classes))
                dice.append(scores_from_confusion(confusion).dice)
            means = plain(quiet(np.nanmean, np.array(dice)))
            found.append(ClassicalScore(name=name, method=str(control), dice=tuple(means)))
    except AnnealError:  # the run is no worse for it
        return ()
    return tuple(sorted(found, key=lambda one: -one.mean))
