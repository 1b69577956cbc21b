"""Does a probability mean what it says: expected calibration error, reliability, and a temperature that repairs it.

After Guo et al. 2017 (arXiv 1706.04599). The confidence of a pixel is the probability of its predicted class; where a
model is calibrated, of the pixels with confidence 0.8 four in five are right. Painted pixels only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.samples.sample import Sample, refuse_copy
from napari_anneal.validation.splits import SplitPlan

__all__ = [
    "BINS",
    "Calibration",
    "Reliability",
    "calibrate",
    "calibration_of",
    "fit_temperature",
    "reliability",
    "with_temperature",
]

FloatArray = npt.NDArray[np.float64]

BINS = 15
# Temperatures outside of this make no sense for a network that has learned anything.
COLDEST, HOTTEST = 0.05, 20.0
# Enough pixels to find one number; more only cost memory.
MAX_PIXELS = 1_000_000


@dataclass(frozen=True, eq=False)
class Reliability:
    """Painted pixels by confidence, in bins of equal width, open to the left: ``(0, 1/B]`` … ``(1 - 1/B, 1]``.

    Attributes
    ----------
    count
        int64 ``(B,)`` pixels.
    confidence_sum, correct
        float64 and int64 ``(B,)``: sum of their confidences, and how many of them were right.
    """

    count: npt.NDArray[np.int64]
    confidence_sum: FloatArray
    correct: npt.NDArray[np.int64]

    def __add__(self, other: Reliability) -> Reliability:
        """Pixels of both."""
        return Reliability(
            self.count + other.count, self.confidence_sum + other.confidence_sum, self.correct + other.correct
        )

    @property
    def edges(self) -> FloatArray:
        """float64 ``(B + 1,)``, ends of the bins."""
        return np.linspace(0, 1, len(self.count) + 1)

    @property
    def confidence(self) -> FloatArray:
        """Mean confidence in each bin; ``nan`` in empty ones."""
        return _shares(self.confidence_sum, self.count)

    @property
    def accuracy(self) -> FloatArray:
        """Share of right pixels in each bin; ``nan`` in empty ones."""
        return _shares(self.correct, self.count)

    @property
    def ece(self) -> float:
        """Expected calibration error: mean distance of accuracy and confidence over pixels; ``nan`` without pixels."""
        total = int(self.count.sum())
        return float(np.abs(self.correct - self.confidence_sum).sum() / total) if total else float("nan")

    @property
    def mce(self) -> float:
        """Largest distance of accuracy and confidence in any bin."""
        gaps = np.abs(self.accuracy - self.confidence)
        return float(np.nanmax(gaps)) if self.count.any() else float("nan")

    @property
    def overconfidence(self) -> float:
        """Mean confidence minus accuracy: above 0 the model is too sure of itself."""
        total = int(self.count.sum())
        return float((self.confidence_sum.sum() - self.correct.sum()) / total) if total else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON; ``None`` for n/a."""
        bins = zip(self.count.tolist(), self.confidence.tolist(), self.accuracy.tolist(), strict=True)
        return {
            "ece": _plain(self.ece),
            "mce": _plain(self.mce),
            "overconfidence": _plain(self.overconfidence),
            "edges": self.edges.tolist(),
            "bins": [{"pixels": n, "confidence": _plain(c), "accuracy": _plain(a)} for n, c, a in bins],
        }


@dataclass(frozen=True, eq=False)
class Calibration:
    """What `calibrate` found.

    Attributes
    ----------
    temperature
        What logits are divided by; above 1 the model was too sure of itself.
    before, after
        Reliability on the validation pixels, as the model is and with the temperature.
    nll_before, nll_after
        Mean negative log-likelihood of the painted classes there, nats; the temperature makes it smallest.
    images
        Names of the validation images used.
    """

    temperature: float
    before: Reliability
    after: Reliability
    nll_before: float
    nll_after: float
    images: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and names for JSON."""
        return {
            "temperature": self.temperature,
            "images": list(self.images),
            "before": {**self.before.to_dict(), "nll": self.nll_before},
            "after": {**self.after.to_dict(), "nll": self.nll_after},
        }

    @property
    def figures(self) -> dict[str, Any]:
        """What a model's card keeps of it."""
        return {
            "images": list(self.images),
            "pixels": int(self.before.count.sum()),
            "ece_before": _plain(self.before.ece),
            "ece_after": _plain(self.after.ece),
        }

    def __str__(self) -> str:
        """One line for a person."""
        return (
            f"temperature {self.temperature:.3f}: ECE {self.before.ece:.4f} → {self.after.ece:.4f}, negative "
            f"log-likelihood {self.nll_before:.4f} → {self.nll_after:.4f} on {len(self.images)} validation image(s)"
        )


class _Probabilistic(Protocol):
    """What `calibrate` needs of a model."""

    def segment(self, image: Any, *, axes: str | None = None, probabilities: bool | None = None) -> Any:
        """Return an object with ``probabilities``, ``(K, …)``."""
        ...


def reliability(labels: Any, probabilities: Any, bins: int = BINS) -> Reliability:
    """Bin the painted pixels by confidence.

    Parameters
    ----------
    labels
        Whole numbers, any shape: 0 = not painted (ignored), 1…K.
    probabilities
        ``(K, …)`` with the shape of ``labels`` after K; each pixel sums to 1.
    bins
        Number of bins B.

    Raises
    ------
    InputError
        Shapes or classes do not fit, or the numbers are no probabilities.
    """
    if bins < 1:
        raise InputError(f"{bins} bins cannot be used; give 1 or more, such as {BINS}.")
    classes, chances = _painted(labels, probabilities)
    guess = chances.argmax(axis=0)
    confidence = np.take_along_axis(chances, guess[np.newaxis], axis=0)[0]
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    right = guess == classes
    return Reliability(
        np.bincount(place, minlength=bins).astype(np.int64),
        np.bincount(place, confidence, bins).astype(np.float64),
        np.bincount(place[right], minlength=bins).astype(np.int64),
    )


def with_temperature(probabilities: npt.NDArray[np.float32], temperature: float) -> npt.NDArray[np.float32]:
    """Softmax of the logits over a temperature, from the softmax itself (a constant less than the logits is enough).

    ``(K, …)`` in and out, float32. The order of the classes stays what it is.
    """
    logs = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny, dtype=np.float64)) / temperature
    powers = np.exp(logs - logs.max(axis=0))
    return np.asarray(powers / powers.sum(axis=0), dtype=np.float32)


def fit_temperature(labels: Any, probabilities: Any) -> float:
    """Temperature with the smallest negative log-likelihood of the painted classes; arguments as in `reliability`.

    Raises
    ------
    InputError
        As `reliability`; nothing is painted; or every painted pixel is predicted right, so that the likelihood only
        grows as the temperature falls to 0.
    """
    from scipy.optimize import minimize_scalar

    classes, chances = _painted(labels, probabilities)
    if not classes.size:
        raise InputError("nothing is painted, so there is no temperature to fit; paint the validation images.")
    if (chances.argmax(axis=0) == classes).all():
        raise InputError(
            "every painted validation pixel is predicted right, so they say nothing about overconfidence; paint more, "
            "also where the model may be wrong."
        )
    logs = np.log(np.maximum(chances, np.finfo(np.float32).tiny))
    found = minimize_scalar(
        lambda log_t: _nll(logs / np.exp(log_t), classes),
        bounds=(np.log(COLDEST), np.log(HOTTEST)),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return float(np.exp(found.x))


def calibrate(
    model: _Probabilistic,
    samples: Sequence[Sample],
    plan: SplitPlan,
    fold: int = 0,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Fit a temperature on the validation images of a fold, and on nothing else.

    Parameters
    ----------
    model
        The model trained on that fold; ``Model.calibrated(temperature)`` then applies it.
    samples, plan
        All samples and their split. Training images would make the model look too well calibrated, gold images must
        not tune anything: neither is touched, and a plan that mixes them is refused.
    fold
        Number of the fold, from 0.
    progress
        Called with (images done, images in all).

    Raises
    ------
    InputError
        The plan has no such fold, its validation part holds training or gold images or no paint; or as
        `fit_temperature`.
    """
    if not 0 <= fold < len(plan.folds):
        raise InputError(f"there is no fold {fold} in this plan; it has {len(plan.folds)}, counted from 0.")
    chosen = plan.folds[fold].val
    _check_only_validation(samples, plan, fold)

    def parts() -> Iterator[tuple[Any, Any]]:
        for done, index in enumerate(chosen, start=1):
            sample = samples[index]
            chances = model.segment(sample.image, axes=sample.axes, probabilities=True).probabilities
            for painted in sample.painted_slices():
                yield painted.labels, chances if painted.z is None else chances[:, painted.z]
            if progress is not None:
                progress(done, len(chosen))

    return calibration_of(parts(), [samples[i].name or f"image {i + 1}" for i in chosen])


def calibration_of(parts: Iterable[tuple[Any, Any]], images: Iterable[str]) -> Calibration:
    """The temperature for some labels and probabilities, and the reliability before and after.

    Parameters
    ----------
    parts
        Labels and probabilities, each as for `reliability`; only their painted pixels are kept in memory.
    images
        Names of the images that they are of.

    Raises
    ------
    InputError
        Nothing is painted, or as `fit_temperature`.
    """
    painted = [_painted(labels, chances) for labels, chances in parts]
    if not sum(len(classes) for classes, _ in painted):
        raise InputError("nothing is painted on the validation images, so there is no temperature to fit; paint them.")
    labels = np.concatenate([classes for classes, _ in painted]) + 1
    chances = np.concatenate([columns for _, columns in painted], axis=1)
    step = -(-labels.size // MAX_PIXELS)
    temperature = fit_temperature(labels[::step], chances[:, ::step])
    repaired = with_temperature(chances.astype(np.float32), temperature)
    tiny = np.finfo(np.float32).tiny
    return Calibration(
        temperature,
        reliability(labels, chances),
        reliability(labels, repaired),
        _nll(np.log(np.maximum(chances, tiny)), labels - 1),
        _nll(np.log(np.maximum(repaired, tiny, dtype=np.float64)), labels - 1),
        tuple(images),
    )


def _check_only_validation(samples: Sequence[Sample], plan: SplitPlan, fold: int) -> None:
    """Refuse validation images that train or that are gold, themselves or by their group."""
    part = plan.folds[fold]
    others = {"the training part": part.train, "the gold set": plan.gold}
    for index in part.val:
        if not 0 <= index < len(samples):
            raise InputError(f"the plan names sample {index}, but there are {len(samples)}; split these very samples.")
        refuse_copy(samples[index], samples[index].name or f"image {index + 1}")
        group = samples[index].group.strip()
        for what, indices in others.items():
            shared = [i for i in indices if i == index or (group and samples[i].group.strip() == group)]
            if shared:
                name = samples[index].name or f"image {index + 1}"
                raise InputError(
                    f"{name} of fold {fold}'s validation part also belongs, itself or by its group, to {what}; a "
                    "temperature is fitted on validation images only, so make the split again with group_split."
                )


def _painted(labels: Any, probabilities: Any) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Class indices 0…K-1 ``(n,)`` and probabilities ``(K, n)`` of the painted pixels."""
    truth, chances = np.asarray(labels), np.asarray(probabilities)
    if chances.ndim != truth.ndim + 1 or chances.shape[1:] != truth.shape or truth.dtype.kind not in "bui":
        raise InputError(
            f"probabilities {chances.shape} do not fit labels {truth.shape} of type {truth.dtype}; give one "
            "probability a class and pixel, classes first, and whole-numbered labels."
        )
    inside = truth != 0
    classes, columns = truth[inside].astype(np.int64) - 1, chances[:, inside].astype(np.float64)
    if classes.size and not (classes.min() >= 0 and classes.max() < len(chances)):
        raise InputError(
            f"labels go up to {classes.max() + 1}, but there are probabilities of {len(chances)} classes; check that "
            "labels and model have the same classes."
        )
    sums = columns.sum(axis=0)
    if not (np.isfinite(sums).all() and (columns >= 0).all() and (np.abs(sums - 1) < 1e-2).all()):
        raise InputError("these are no probabilities: each pixel's must be 0…1 and add up to 1; apply softmax first.")
    return classes, columns


def _nll(logs: FloatArray, classes: npt.NDArray[np.int64]) -> float:
    """Mean negative log-likelihood of classes under the softmax of ``logs`` (K, n)."""
    top = logs.max(axis=0)
    normaliser = top + np.log(np.exp(logs - top).sum(axis=0))
    return float((normaliser - np.take_along_axis(logs, classes[np.newaxis], axis=0)[0]).mean())


def _shares(above: npt.NDArray[Any], below: npt.NDArray[np.int64]) -> FloatArray:
    shares = np.full(below.shape, np.nan)
    np.divide(above, below, out=shares, where=below > 0)
    return shares


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
