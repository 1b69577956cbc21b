"""``rank``: what to label next, by what its labels are expected to be worth.

A place is worth much where the model is unsure of what matters (predicted foreground and the ground next to it), where
it is unlike what is labelled or was chosen before it, and where its specimen has not had its turn. Gold, and whatever
shares a specimen or an image with gold, is left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_anneal.cancelling import CancelSignal
from napari_anneal.errors import InputError
from napari_anneal.inference.candidates import Box, Place, check_samples, places_in
from napari_anneal.inference.choosing import Choice, choose
from napari_anneal.inference.model import Model, load_model
from napari_anneal.inference.place_features import PlaceFeatures, even_scale
from napari_anneal.inference.planes import Planes
from napari_anneal.inference.predictor import Cancelled
from napari_anneal.inference.rank_input import as_samples
from napari_anneal.inference.rank_recipe import RankRecipe
from napari_anneal.inference.uncertainty import Looker, Uncertainty
from napari_anneal.samples.normalisation import standardise
from napari_anneal.samples.sample import Sample
from napari_anneal.validation.gold_free import gold_free
from napari_anneal.validation.leakage.merging import sample_name

__all__ = ["RankedPlace", "Ranking", "rank"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RankedPlace:
    """One line of a ranking.

    Attributes
    ----------
    rank
        1 is to be labelled first.
    name, group
        Of the image or stack.
    z
        Slice, ``None`` in a 2D image.
    box
        ``(y0, x0, y1, x1)``, px, the last row and column not included.
    score
        What it was worth when it was chosen, as a share of the first one's: ``uncertainty`` less what it has in common
        with places before it.
    uncertainty
        0…1, mean over the place, what lies away from foreground counting less.
    foreground
        0…1, share of the place that is predicted foreground.
    likeness
        0…1, to the most similar place chosen before or labelled.
    before
        Places of this specimen chosen before or labelled.
    why
        One phrase.
    """

    rank: int
    name: str
    group: str
    z: int | None
    box: Box
    score: float
    uncertainty: float
    foreground: float
    likeness: float
    before: int
    why: str


@dataclass(frozen=True)
class Ranking:
    """Places in the order in which to label them.

    Attributes
    ----------
    places
        The order; iterating and indexing give these.
    recipe
        Its settings.
    foreground
        Names of the classes that counted as foreground.
    candidates
        How many places were compared.
    notices
        What was left out, and why, in sentences.
    complete
        ``False`` where the run was cancelled; the order is then of what had been looked at.
    """

    places: tuple[RankedPlace, ...]
    recipe: RankRecipe
    foreground: tuple[str, ...]
    candidates: int
    notices: tuple[str, ...] = ()
    complete: bool = True

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[RankedPlace]:
        return iter(self.places)

    def __getitem__(self, index: int) -> RankedPlace:
        return self.places[index]

    def rows(self) -> list[dict[str, Any]]:
        """One plain dictionary a place, for tables and JSON."""
        return [asdict(place) | {"box": list(place.box)} for place in self.places]

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "places": self.rows(),
            "recipe": self.recipe.model_dump(mode="json"),
            "foreground": list(self.foreground),
            "candidates": self.candidates,
            "notices": list(self.notices),
            "complete": self.complete,
        }


def rank(
    model: Model | str | os.PathLike[str],
    unlabelled: Any,
    recipe: RankRecipe | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
    cancel: CancelSignal | None = None,
    **settings: Any,
) -> Ranking:
    """Rank images, slices of stacks, or tiles, by the expected value of labelling them.

    Parameters
    ----------
    model
        A model, an ensemble, a bundle or a shipped name.
    unlabelled
        Samples, arrays, or paths of images and stacks: one, or a list; or the path of a folder with ``images/``.
        Places with paint on them are not ranked again, but count as labelled. Locked gold is left out.
    recipe
        ``None``: the defaults.
    progress
        Called as ``progress(done, total)``, counted in images and slices.
    cancel
        Once it is set, what has been looked at is ranked.
    **settings
        Fields of `RankRecipe`, such as ``tile=256``; they change the recipe.

    Raises
    ------
    InputError
        Nothing to rank (everything is gold or labelled), an image that cannot be used, a class that the model does not
        have, or a setting that cannot be.
    GoldError
        The folder's gold was tampered with.
    """
    recipe = recipe or RankRecipe()
    if settings:
        recipe = recipe.model_copy(update=settings)
    model = model if isinstance(model, Model) else load_model(model)
    unknown = [name for name in recipe.foreground if name not in model.classes]
    if unknown:
        raise InputError(f"the model has no class {unknown[0]!r}; its classes are {', '.join(model.classes)}.")
    samples = as_samples(unlabelled)
    check_samples(samples)
    left, sentence = gold_free(samples)
    if not left:
        raise InputError("everything that was to be ranked is gold, or shares a specimen or an image with gold.")
    places = places_in(samples, left, recipe.tile, recipe.every)
    if all(place.painted for place in places):
        raise InputError("there is nothing left to rank: every place is painted already; add unlabelled images.")
    survey = _Survey(model, recipe)
    complete = survey.go(samples, places, progress, cancel)
    notices = [sentence] if sentence else []
    painted = sum(place.painted for place in places)
    if painted:
        notices.append(f"{painted} of {len(places)} places are painted already and count as labelled.")
    return survey.ranking(samples, places[: len(survey.features)], tuple(notices), complete)


class _Survey:
    """What is known of every place that has been looked at, in their order."""

    def __init__(self, model: Model, recipe: RankRecipe) -> None:
        self.model, self.recipe = model, recipe
        self._looker, self._describe = Looker(model, recipe.estimator), PlaceFeatures(model)
        self.features: list[FloatArray] = []
        # Of every place, for each class taken as the ground: uncertainty that counts, and share of foreground.
        self.unsure: list[FloatArray] = []
        self.shares: list[FloatArray] = []
        self.areas: list[int] = []

    def go(
        self,
        samples: Sequence[Sample],
        places: Sequence[Place],
        progress: Callable[[int, int], None] | None,
        cancel: CancelSignal | None,
    ) -> bool:
        """Look at every plane once; returns whether all were looked at."""
        planes_to_do = list(dict.fromkeys((place.sample, place.z) for place in places))
        by_plane: dict[tuple[int, int | None], list[Place]] = {plane: [] for plane in planes_to_do}
        for place in places:
            by_plane[place.sample, place.z].append(place)
        opened, planes, limits = -1, None, None
        for done, (index, z) in enumerate(planes_to_do, start=1):
            if cancel is not None and cancel.is_set():
                return False
            if index != opened:
                name = sample_name(samples, index)
                planes = Planes(samples[index], self.model.card.architecture.in_channels, name)
                opened, limits = index, planes.intensity_limits()
            assert planes is not None
            assert limits is not None
            plane = standardise(limits.apply(planes.plane(z or 0)))
            here = by_plane[index, z]
            try:
                found = None if all(p.painted for p in here) else self._looker.look(plane, cancel=cancel)
            except Cancelled:
                return False
            self._note(plane, found, here)
            if progress is not None:
                progress(done, len(planes_to_do))
        return True

    def _note(self, plane: npt.NDArray[np.float32], found: Uncertainty | None, places: Sequence[Place]) -> None:
        """Keep what one plane says of its places."""
        grounds = self._grounds()
        labels = None if found is None else found.probabilities.argmax(axis=0)
        weights = {} if labels is None else {k: self._weight(labels, k) for k in grounds}
        for place in places:
            y0, x0, y1, x1 = place.box
            cut = (slice(y0, y1), slice(x0, x1))
            self.features.append(self._describe(plane[:, *cut]))
            self.areas.append((y1 - y0) * (x1 - x0))
            if found is None or labels is None:
                self.unsure.append(np.zeros(len(grounds)))
                self.shares.append(np.full(self.model.card.architecture.n_classes, np.nan))
                continue
            measured = getattr(found, self.recipe.measure)[cut]
            self.unsure.append(np.array([float((measured * weights[k][cut]).mean(dtype=np.float64)) for k in grounds]))
            counts = np.bincount(labels[cut].ravel(), minlength=len(self.model.classes))
            self.shares.append(counts / counts.sum())

    def _grounds(self) -> list[frozenset[int]]:
        """What the ground may turn out to be: what is not named foreground, or else any one class."""
        classes = self.model.classes
        if self.recipe.foreground:
            return [frozenset(k for k, name in enumerate(classes) if name not in self.recipe.foreground)]
        return [frozenset([k]) for k in range(len(classes))]

    def _weight(self, labels: npt.NDArray[np.int64], ground: frozenset[int]) -> npt.NDArray[np.float32]:
        """1 on predicted foreground and within the band around it, ``elsewhere`` in the rest."""
        recipe = self.recipe
        is_ground = np.isin(labels, list(ground))
        if recipe.elsewhere == 1 or not is_ground.any():
            return np.ones(labels.shape, dtype=np.float32)
        if is_ground.all():
            return np.full(labels.shape, recipe.elsewhere, dtype=np.float32)
        near = ndimage.distance_transform_edt(is_ground) <= recipe.band_px if recipe.band_px else ~is_ground
        return np.where(near | ~is_ground, np.float32(1), np.float32(recipe.elsewhere))

    def ranking(
        self, samples: Sequence[Sample], places: Sequence[Place], notices: tuple[str, ...], complete: bool
    ) -> Ranking:
        """Choose among the places that were looked at."""
        labelled = np.array([place.painted for place in places], dtype=bool)
        if not places or labelled.all():
            return Ranking((), self.recipe, (), 0, notices, complete)
        unsure, shares = np.stack(self.unsure), np.stack(self.shares)
        open_ = ~labelled
        grounds = self._grounds()
        covered = (shares[open_] * np.array(self.areas)[open_, None]).sum(axis=0)
        at = int(np.argmax(covered)) if len(grounds) > 1 else 0
        ground = grounds[at]
        scores = unsure[:, at]
        share = shares[:, [k for k in range(shares.shape[1]) if k not in ground]].sum(axis=1)
        groups = [samples[place.sample].group.strip() or sample_name(samples, place.sample) for place in places]
        slices = np.array([np.nan if place.z is None else float(place.z) for place in places])
        columns: dict[tuple[int, Box], int] = {}
        stacks = np.array([columns.setdefault((p.sample, p.box), len(columns)) for p in places], dtype=np.int64)
        chosen = choose(
            scores, even_scale(np.stack(self.features)), groups, slices, stacks, labelled, self.recipe.top,
            self.recipe.diversity, self.recipe.balance, self._slice_distance(samples, places),
        )  # fmt: skip
        foreground = tuple(name for k, name in enumerate(self.model.classes) if k not in ground)
        order = np.sort(scores[open_])
        best = chosen[0].worth if chosen and chosen[0].worth > 0 else 1.0
        ranked = []
        for number, choice in enumerate(chosen, start=1):
            i = choice.index
            place = places[i]
            above = 1 - np.searchsorted(order, scores[i], side="left") / len(order)
            ranked.append(
                RankedPlace(
                    rank=number,
                    name=sample_name(samples, place.sample),
                    group=samples[place.sample].group.strip(),
                    z=place.z,
                    box=place.box,
                    score=choice.worth / best,
                    uncertainty=float(scores[i]),
                    foreground=float(share[i]),
                    likeness=choice.likeness,
                    before=choice.before,
                    why=_why(choice, above, float(share[i]), groups[i], bool(samples[place.sample].group.strip())),
                )
            )
        return Ranking(tuple(ranked), self.recipe, foreground, int(open_.sum()), notices, complete)

    def _slice_distance(self, samples: Sequence[Sample], places: Sequence[Place]) -> float:
        if self.recipe.slice_distance is not None:
            return self.recipe.slice_distance
        depths = {p.sample: samples[p.sample].spatial_shape[0] for p in places if p.z is not None}
        return max(1.0, sum(depths.values()) / (2 * self.recipe.top))


def _why(choice: Choice, above: float, share: float, group: str, has_group: bool) -> str:
    """One phrase: the strongest reason first."""
    unsure = f"among the {max(1, round(100 * above))} % the model is least sure of"
    if share < 0.005:
        unsure += ", though it sees no foreground there"
    reasons = [unsure]
    if has_group and choice.before == 0:
        reasons.append(f"the first of {group}")
    if choice.likeness < 0.1:
        reasons.append("unlike all before it")
    elif choice.likeness > 0.6:
        reasons.append("though much like one before it")
    return ", ".join(reasons)
