"""How sure a model is of each pixel, from several looks at it: legal flips and turns, models of an ensemble, or both.

Total uncertainty is the entropy of the mean probabilities. It has two parts: the mean entropy of the looks (what every
look is unsure of: noise, blurred boundaries) and the rest, their mutual information (what the looks disagree about, and
what more labels can teach; "BALD", Houlsby et al. 2011, arXiv 1112.5745).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from napari_anneal.cancelling import CancelSignal
from napari_anneal.errors import InputError
from napari_anneal.inference.ensemble import Ensemble
from napari_anneal.inference.model import Model
from napari_anneal.inference.planes import Planes, open_planes
from napari_anneal.inference.predictor import Cancelled
from napari_anneal.inference.segmentation import normalised_entropy
from napari_anneal.inference.tiles import pad_to_stride
from napari_anneal.inference.views import AS_IT_IS, View, views_of
from napari_anneal.samples.normalisation import IntensityRange, standardise
from napari_anneal.validation.calibration import with_temperature

__all__ = ["ESTIMATORS", "Estimator", "Looker", "Uncertainty", "estimate_uncertainty"]

FloatArray = npt.NDArray[np.float32]
Estimator = Literal["tta", "entropy", "ensemble"]
ESTIMATORS: Final[tuple[Estimator, ...]] = get_args(Estimator)


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """What several looks at one plane say, all float32.

    Attributes
    ----------
    probabilities
        ``(K, Y, X)``: mean over the looks.
    entropy
        ``(Y, X)`` 0…1: entropy of that mean over its maximum, log K.
    mutual_information
        ``(Y, X)`` 0…1: what of ``entropy`` is disagreement between the looks; 0 for a single look.
    variance
        ``(Y, X)`` 0…¼: variance of a class probability over the looks, mean over classes; 0 for a single look.
    looks
        How many there were.
    """

    probabilities: FloatArray
    entropy: FloatArray
    mutual_information: FloatArray
    variance: FloatArray
    looks: int


class Looker:
    """Looks at planes with one estimator; memory does not grow with the number of looks.

    Parameters
    ----------
    model
        A model or an ensemble.
    estimator
        ``"tta"``: every view that is legal for the sample that the model was trained for, by every member.
        ``"entropy"``: one look. ``"ensemble"``: one look by every member.

    Raises
    ------
    InputError
        An estimator that is not known, "ensemble" for one model, or a model that takes neighbouring slices.
    """

    def __init__(self, model: Model, estimator: Estimator = "tta") -> None:
        if estimator not in ESTIMATORS:
            raise InputError(f"uncertainty {estimator!r} is not known; use {', '.join(map(repr, ESTIMATORS))}.")
        several = isinstance(model, Ensemble)
        if estimator == "ensemble" and not several:
            raise InputError("uncertainty 'ensemble' needs several models; make one of them with ensemble([…]).")
        if model.card.context > 1:
            raise InputError(
                f"this model takes {model.card.context} neighbouring slices at a time, and single slices are looked at "
                "here; take a model of single slices, or the uncertainty of segment(…, mode='context')."
            )
        self.members: tuple[Model, ...] = model.members if isinstance(model, Ensemble) else (model,)
        # A temperature on the mean comes on top of those of the members, which they apply themselves.
        self.temperature = model.card.temperature if several else 1.0
        self.views: tuple[View, ...] = views_of(model.card) if estimator == "tta" else (AS_IT_IS,)
        self.stride = model.card.architecture.stride

    @property
    def looks(self) -> int:
        """Looks at every pixel."""
        return len(self.members) * len(self.views)

    def each(
        self, plane: FloatArray, tile: int | str | None = "auto", cancel: CancelSignal | None = None
    ) -> Iterator[FloatArray]:
        """Probabilities ``(K, Y, X)`` of every look at a standardised plane ``(C, Y, X)``.

        Raises
        ------
        Cancelled
            Once ``cancel`` is set.
        """
        height, width = plane.shape[1:]
        padded = torch.from_numpy(np.ascontiguousarray(pad_to_stride(plane, self.stride)))
        for member in self.members:
            predictor = member.predictor
            with predictor.session(cancel) as compute:
                for view in self.views:
                    seen = view(padded).contiguous().numpy()
                    plan = predictor.plan((seen.shape[1], seen.shape[2]), tile)
                    found = torch.from_numpy(predictor.predict(seen, plan, compute))
                    probabilities = view.undo(found)[:, :height, :width].contiguous().numpy()
                    heat = member.card.temperature
                    yield with_temperature(probabilities, heat) if heat != 1 else probabilities

    def look(
        self, plane: FloatArray, tile: int | str | None = "auto", cancel: CancelSignal | None = None
    ) -> Uncertainty:
        """All looks at a standardised plane ``(C, Y, X)``, put together."""
        total: Any = 0
        squares: Any = 0
        entropies: Any = 0
        for probabilities in self.each(plane, tile, cancel):
            # In double precision the square of a mean less the mean of squares keeps seven digits.
            wide = probabilities.astype(np.float64)
            total = total + wide
            squares = squares + (wide * wide).sum(axis=0)
            entropies = entropies + normalised_entropy(probabilities)
        mean = total / self.looks
        probabilities = mean.astype(np.float32)
        if self.temperature != 1:
            probabilities = with_temperature(probabilities, self.temperature)
        entropy = normalised_entropy(probabilities)
        plain = entropy if self.temperature == 1 else normalised_entropy(mean.astype(np.float32))
        disagreement = np.maximum(plain - entropies / self.looks, 0)
        spread = np.maximum(squares / self.looks - (mean * mean).sum(axis=0), 0) / len(mean)
        return Uncertainty(
            probabilities, entropy, disagreement.astype(np.float32), spread.astype(np.float32), self.looks
        )


def estimate_uncertainty(
    model: Model,
    image: Any,
    estimator: Estimator = "tta",
    axes: str | None = None,
    slices: Sequence[int] | None = None,
    tile: int | str | None = "auto",
    progress: Callable[[int, int], None] | None = None,
    cancel: CancelSignal | None = None,
) -> Iterator[tuple[int | None, Uncertainty]]:
    """Look at the slices of an image or a stack, one at a time.

    Parameters
    ----------
    model, estimator
        As `Looker`.
    image, axes, tile
        As `Model.segment`.
    slices
        Which slices of a stack; ``None``: all.
    progress
        Called as ``progress(done, total)``, counted in slices.
    cancel
        Once it is set, no more slices come.

    Yields
    ------
    z, Uncertainty
        The slice's number (``None`` for a 2D image) and what was found there.

    Raises
    ------
    InputError
        The image, the estimator or a slice cannot be used.
    """
    looker = Looker(model, estimator)
    planes, _ = open_planes(image, axes, None, model.card.architecture.in_channels)
    chosen = _chosen(planes, slices)
    limits = planes.intensity_limits()
    return _look_at(looker, planes, limits, chosen, tile, progress, cancel)


def _look_at(
    looker: Looker,
    planes: Planes,
    limits: IntensityRange,
    chosen: Sequence[int],
    tile: int | str | None,
    progress: Callable[[int, int], None] | None,
    cancel: CancelSignal | None,
) -> Iterator[tuple[int | None, Uncertainty]]:
    stack = "Z" in planes.axes
    for done, z in enumerate(chosen, start=1):
        try:
            found = looker.look(standardise(limits.apply(planes.plane(z))), tile, cancel)
        except Cancelled:
            return
        yield (z if stack else None), found
        if progress is not None:
            progress(done, len(chosen))


def _chosen(planes: Planes, slices: Sequence[int] | None) -> list[int]:
    if slices is None:
        return list(range(len(planes)))
    for z in slices:
        if not 0 <= z < len(planes):
            raise InputError(f"there is no slice {z}; the image has slices 0 to {len(planes) - 1}.")
    return [int(z) for z in slices]
