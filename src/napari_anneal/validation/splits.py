"""Which samples train and which judge: splits by specimen, never by image, checked after they are made.

The splitters are scikit-learn's. What they promise is not taken on trust: GroupKFold knows nothing of
classes, and StratifiedGroupKFold may leave one out of a fold, so every plan carries a report of what each
fold really holds.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.samples.sample import Sample

__all__ = ["Fold", "SplitPlan", "SplitReport", "group_split"]

Method = Literal["group", "stratified", "leave_one_group_out"]


@dataclass(frozen=True)
class Fold:
    """Indices into the samples, ascending."""

    train: tuple[int, ...]
    val: tuple[int, ...]


@dataclass(frozen=True)
class SplitReport:
    """What the plan really holds.

    Attributes
    ----------
    groups
        Group names of every fold's validation part.
    pixels
        Painted pixels of each class (1…K in order) in every fold: ``pixels[fold] = (train, val)``.
    gold_groups
        The groups set aside.
    unpainted
        Names of the samples that carry no paint and are therefore in no fold.
    warnings
        Sentences to show; empty if nothing is wrong.
    """

    groups: tuple[tuple[str, ...], ...]
    pixels: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    gold_groups: tuple[str, ...]
    unpainted: tuple[str, ...]
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        """One line a fold, then the gold set and the warnings."""
        lines = []
        for number, (groups, (train, val)) in enumerate(zip(self.groups, self.pixels, strict=True), start=1):
            lines.append(
                f"fold {number}: validates on {', '.join(groups)}; painted pixels by class: "
                f"train {_join(train)}, validation {_join(val)}"
            )
        if self.gold_groups:
            lines.append(f"gold (set aside): {', '.join(self.gold_groups)}")
        return "\n".join([*lines, *(f"warning: {text}" for text in self.warnings)])


@dataclass(frozen=True)
class SplitPlan:
    """Folds, the samples set aside for the very end, and the report; all indices are into the samples given."""

    folds: tuple[Fold, ...]
    gold: tuple[int, ...]
    report: SplitReport


def group_split(
    samples: Sequence[Sample],
    folds: int = 5,
    gold: Sequence[str] = (),
    seed: int = 0,
    *,
    method: Method = "group",
) -> SplitPlan:
    """Split samples into folds such that no group is on both sides of any of them.

    Parameters
    ----------
    samples
        A sample with an empty group is a group of its own; a volume is one sample, so its slices stay
        together. Samples without paint are put in no fold.
    folds
        Number of folds K (not used by ``leave_one_group_out``, which makes one a group).
    gold
        Names of groups to keep out of every fold, for one look at the end.
    seed
        Decides between splits that are equally balanced; the same seed gives the same plan.
    method
        ``group`` balances the number of images, ``stratified`` also the rare classes (where there are too few images
        to stratify, it falls back on ``group``; the report shows what each fold holds either way).

    Raises
    ------
    InputError
        Too few groups (the sentence gives the largest possible K), a gold name that no sample has, or nothing
        left.
    """
    if not samples:
        raise InputError("there are no samples to split; add images with painted labels first.")
    names = [_group_name(sample, index) for index, sample in enumerate(samples)]
    counts = [_class_pixels(sample) for sample in samples]
    gold_names = _check_gold(gold, samples)
    gold_indices = tuple(i for i, s in enumerate(samples) if s.group.strip() and s.group.strip() in gold_names)
    set_aside = set(gold_indices)
    painted = [i for i in range(len(samples)) if i not in set_aside and counts[i].any()]
    unpainted = [i for i in range(len(samples)) if i not in set_aside and not counts[i].any()]
    available = len({names[i] for i in painted})
    _check_enough(available, folds, method, bool(gold_names))

    n_classes = max(len(c) for c in counts)
    table = np.array([np.pad(c, (0, n_classes - len(c))) for c in counts])
    plan = tuple(
        Fold(train=tuple(painted[i] for i in train), val=tuple(painted[i] for i in val))
        for train, val in _splitter(table[painted], [names[i] for i in painted], folds, seed, method)
    )
    report = SplitReport(
        groups=tuple(tuple(dict.fromkeys(names[i] for i in fold.val)) for fold in plan),
        pixels=tuple((_totals(table, fold.train), _totals(table, fold.val)) for fold in plan),
        gold_groups=gold_names,
        unpainted=tuple(samples[i].name or f"image {i + 1}" for i in unpainted),
        warnings=_warnings(table, plan, [samples[i].name or f"image {i + 1}" for i in unpainted]),
    )
    return SplitPlan(plan, gold_indices, report)


def _splitter(
    table: npt.NDArray[np.int64], names: list[str], folds: int, seed: int, method: Method
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Run scikit-learn's splitter; indices are into the painted samples."""
    from sklearn.model_selection import GroupKFold, LeaveOneGroupOut, StratifiedGroupKFold

    distinct = list(dict.fromkeys(names))
    # GroupKFold takes the largest group first and breaks ties by group number: shuffled numbers make the ties
    # random.
    numbers = dict(zip(distinct, np.random.default_rng(seed).permutation(len(distinct)), strict=True))
    groups = np.array([numbers[name] for name in names])
    # A sample's stratum is its rarest class: that is the one a fold is in danger of losing.
    rarity = np.argsort((table > 0).sum(axis=0) + table.sum(axis=0) / (table.sum() + 1), kind="stable")
    strata = np.array([next((int(k) for k in rarity if row[k]), 0) for row in table])
    if method == "leave_one_group_out":
        return list(LeaveOneGroupOut().split(table, strata, groups))
    if method == "stratified" and np.bincount(strata).max() >= folds:  # it refuses when every stratum is smaller
        with warnings.catch_warnings():  # "least populated class": the report says it in the user's words
            warnings.simplefilter("ignore", UserWarning)
            splits = list(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(table, strata, groups))
        # With few, large groups it leaves folds empty; a fold that judges nothing is no fold.
        if all(len(train) and len(val) for train, val in splits):
            return splits
    return list(GroupKFold(folds).split(table, strata, groups))


def _warnings(table: npt.NDArray[np.int64], plan: tuple[Fold, ...], unpainted: list[str]) -> tuple[str, ...]:
    """Sentences about classes that a fold lacks and samples that are in none."""
    found = []
    for number, fold in enumerate(plan, start=1):
        train, val = _totals(table, fold.train), _totals(table, fold.val)
        for k in range(table.shape[1]):
            if not train[k] and val[k]:
                found.append(
                    f"fold {number} trains without class {k + 1}, which is painted only in its validation part; "
                    "paint that class in another group too."
                )
            elif train[k] and not val[k]:
                found.append(f"fold {number} cannot judge class {k + 1}: nothing of it is in its validation part.")
    if unpainted:
        found.append(f"not painted, so in no fold: {', '.join(unpainted)}.")
    return tuple(found)


def _check_gold(gold: Sequence[str], samples: Sequence[Sample]) -> tuple[str, ...]:
    """Gold group names as given, each known."""
    wanted = (gold,) if isinstance(gold, str) else tuple(gold)
    known = sorted({s.group.strip() for s in samples if s.group.strip()})
    for name in wanted:
        if name.strip() not in known:
            raise InputError(
                f"no sample belongs to the gold group {name!r}; the groups are {', '.join(known) or '(none named)'}."
            )
    return tuple(dict.fromkeys(name.strip() for name in wanted))


def _check_enough(available: int, folds: int, method: Method, has_gold: bool) -> None:
    """Say how many folds are possible where too many are asked for."""
    outside = " outside the gold set" if has_gold else ""
    if available < 2:
        raise InputError(
            f"there {'is only one group' if available else 'is no group'} with painted labels{outside}, and a split "
            "needs two: paint an image of another specimen, or correct the groups."
        )
    if method == "leave_one_group_out":
        return
    if folds < 2:
        raise InputError(f"folds={folds} is no split; use 2 to {available} folds.")
    if folds > available:
        raise InputError(
            f"{folds} folds need {folds} groups, but only {available} groups have painted labels{outside}; "
            f"the largest possible number of folds is {available}."
        )


def _group_name(sample: Sample, index: int) -> str:
    """The sample's group, or a name of its own that no group can have (groups are stripped of spaces)."""
    return sample.group.strip() or f"({sample.name or f'image {index + 1}'} #{index + 1}) "


def _class_pixels(sample: Sample) -> npt.NDArray[np.int64]:
    """Painted pixels of class 1, 2, …"""
    total = np.zeros(0, np.int64)
    for painted in sample.painted_slices():
        count = np.bincount(painted.labels.ravel())[1:]
        size = max(len(total), len(count))
        total = np.pad(total, (0, size - len(total))) + np.pad(count, (0, size - len(count)))
    return total


def _totals(table: npt.NDArray[np.int64], rows: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(n) for n in table[list(rows)].sum(axis=0))


def _join(numbers: tuple[int, ...]) -> str:
    return "/".join(str(n) for n in numbers)
