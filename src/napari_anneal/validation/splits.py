"""Which samples train and which judge: splits by specimen, never by image, checked after they are made.

The splitters are scikit-learn's. What they promise is not taken on trust: GroupKFold knows nothing of classes, and
StratifiedGroupKFold may leave one out of a fold, so every plan carries a report of what each fold really holds. Nor are
the user's groups: images that are copies of one another are one group, whatever their groups are called. Augmented
copies train with their originals and are never in a validation part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.samples.gold import is_locked
from napari_anneal.samples.sample import Sample
from napari_anneal.validation.coverage import covering_folds, lone_class
from napari_anneal.validation.leakage import Copy, MergedGroups, find_copies, merge_copies, sample_name

__all__ = [
    "METHODS",
    "Fold",
    "Method",
    "SplitPlan",
    "SplitReport",
    "check_gold",
    "group_split",
    "most_folds",
    "report_of",
]

Method = Literal["group", "stratified", "leave_one_group_out", "hold_out"]
METHODS: tuple[Method, ...] = get_args(Method)
# Draws of a hold-out among which the one that keeps most classes on both sides is taken.
HOLD_OUT_DRAWS = 64


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
    merged
        Those of the warnings that say which groups were made one because they share copies of an image.
    """

    groups: tuple[tuple[str, ...], ...]
    pixels: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    gold_groups: tuple[str, ...]
    unpainted: tuple[str, ...]
    warnings: tuple[str, ...]
    merged: tuple[str, ...] = ()

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
    share: float = 0.2,
    copies: Sequence[Copy] | None = None,
) -> SplitPlan:
    """Split samples into folds such that no group is on both sides of any of them.

    Groups that share copies of an image (turned, tinted, noisy, cropped; see `find_copies`) or parts of one (tiles,
    slices) count as one, and the report says so. Augmented copies (``Sample.copy_of``) train where their original does,
    and validate nowhere.

    Parameters
    ----------
    samples
        A sample with an empty group is a group of its own; a volume is one sample, so its slices stay
        together. Samples without paint are put in no fold.
    folds
        Number of folds K (not used by ``leave_one_group_out``, which makes one a group, and ``hold_out``, which makes
        one).
    gold
        Names of groups to keep out of every fold, for one look at the end; locked samples are gold by themselves.
    seed
        Decides between splits that are equally balanced; the same seed gives the same plan.
    method
        ``group`` balances the number of images; ``stratified`` sees to it that no fold lacks a class, where that is
        possible, and then to the number of images; ``leave_one_group_out``: one fold a group; ``hold_out``: a single
        fold that validates on about ``share`` of the groups and trains on every class.
    share
        Share of the groups that a hold-out validates on, between 0 and 1.
    copies
        What `find_copies` found among these samples, if it was called already; ``None``: they are looked for here.

    Raises
    ------
    InputError
        Too few groups (the sentence gives the largest possible K), a gold name that no sample has, an unknown method,
        a share that is not between 0 and 1, or nothing left.
    """
    if not samples:
        raise InputError("there are no samples to split; add images with painted labels first.")
    if method not in METHODS:
        raise InputError(f"there is no method {method!r} to split by; use {', '.join(METHODS)}.")
    if not 0 < share < 1:
        raise InputError(f"share={share:g} is no part of the groups; use a number between 0 and 1, such as 0.2.")
    merged = merge_copies(samples, find_copies(samples) if copies is None else copies)
    counts = [_class_pixels(sample) for sample in samples]
    gold_names = check_gold(gold, samples)
    gold_keys = {
        key for key, s in zip(merged.keys, samples, strict=True) if s.group.strip() in gold_names or is_locked(s)
    }
    gold_indices = tuple(i for i, key in enumerate(merged.keys) if key in gold_keys)
    painted = [i for i, key in enumerate(merged.keys) if key not in gold_keys and counts[i].any()]
    augmented = [i for i in painted if samples[i].copy_of]
    painted = [i for i in painted if not samples[i].copy_of]
    if augmented and not painted:
        raise InputError(
            "every painted image is an augmented copy, and copies never judge; put the originals beside them."
        )
    distinct = list(dict.fromkeys(merged.keys[i] for i in painted))
    _check_enough(len(distinct), folds, method, bool(gold_keys), bool(merged.sentences))
    table = _table(counts)
    # GroupKFold takes the largest group first and breaks ties by group number: shuffled numbers make the ties random.
    numbers = dict(zip(distinct, np.random.default_rng(seed).permutation(len(distinct)), strict=True))
    groups = np.array([numbers[merged.keys[i]] for i in painted])
    plan = tuple(
        _with_copies([painted[i] for i in train], [painted[i] for i in val], augmented, merged.keys)
        for train, val in _splitter(table[painted], groups, folds, seed, method, share)
    )
    return SplitPlan(plan, gold_indices, report_of(samples, plan, gold_indices, merged))


def _with_copies(train: Sequence[int], val: Sequence[int], augmented: Sequence[int], keys: Sequence[str]) -> Fold:
    """A fold with the augmented copies that may train in it: those of no validation image's group."""
    held = {keys[i] for i in val}
    return Fold(tuple(sorted([*train, *(i for i in augmented if keys[i] not in held)])), tuple(val))


def most_folds(samples: Sequence[Sample]) -> int:
    """The largest possible number of folds: painted groups that are not locked gold, with copies in one."""
    keys = merge_copies(samples, find_copies(samples)).keys
    gold = {key for key, sample in zip(keys, samples, strict=True) if is_locked(sample)}
    judging = ((key, s) for key, s in zip(keys, samples, strict=True) if key not in gold and not s.copy_of)
    return len({key for key, sample in judging if _class_pixels(sample).any()})


def report_of(
    samples: Sequence[Sample], folds: Sequence[Fold], gold: Sequence[int], merged: MergedGroups
) -> SplitReport:
    """Say what some folds over samples really hold.

    Parameters
    ----------
    samples, folds, gold
        As in a ``SplitPlan``.
    merged
        Groups of the samples, with copies in one.
    """
    counts = [_class_pixels(sample) for sample in samples]
    table = _table(counts)
    left_out = {*gold, *(i for fold in folds for i in (*fold.train, *fold.val))}
    unpainted = [sample_name(samples, i) for i in range(len(samples)) if i not in left_out and not counts[i].any()]
    own = [merged.names[i] for i in range(len(samples))]
    shown = [own[i] if samples[i].group.strip() else sample_name(samples, i) for i in range(len(samples))]
    named = tuple(dict.fromkeys(shown[i] for i in gold))
    return SplitReport(
        groups=tuple(tuple(dict.fromkeys(own[i] for i in fold.val)) for fold in folds),
        pixels=tuple((_totals(table, fold.train), _totals(table, fold.val)) for fold in folds),
        gold_groups=named,
        unpainted=tuple(unpainted),
        warnings=(*merged.sentences, *_warnings(table, folds, merged.keys, shown, unpainted)),
        merged=merged.sentences,
    )


def _splitter(
    table: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    folds: int,
    seed: int,
    method: Method,
    share: float,
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Run scikit-learn's splitter; indices are into the painted samples."""
    from sklearn.model_selection import GroupKFold, GroupShuffleSplit, LeaveOneGroupOut, PredefinedSplit

    if method == "leave_one_group_out":
        return list(LeaveOneGroupOut().split(table, groups=groups))
    if method == "stratified":
        return list(PredefinedSplit(covering_folds(table, groups, folds, seed)).split())
    if method == "group":
        return list(GroupKFold(folds).split(table, groups=groups))
    available = len(set(groups.tolist()))
    held = min(max(1, round(share * available)), available - 1)
    draws = GroupShuffleSplit(HOLD_OUT_DRAWS, test_size=held, random_state=seed).split(table, groups=groups)

    def gaps(draw: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]) -> tuple[int, int, float]:
        train, val = (np.asarray(table[side].any(axis=0))[np.asarray(table.any(axis=0))] for side in draw)
        return int((~train).sum()), int((~val).sum()), abs(len(draw[1]) - share * len(table))

    return [min(draws, key=gaps)]


def _warnings(
    table: npt.NDArray[np.int64],
    folds: Sequence[Fold],
    keys: Sequence[str],
    names: Sequence[str],
    unpainted: list[str],
) -> tuple[str, ...]:
    """Sentences about classes that one group alone or not every fold has, and samples that are in none."""
    used = sorted({i for fold in folds for i in (*fold.train, *fold.val)})
    where = [dict.fromkeys(keys[i] for i in used if table[i, k]) for k in range(table.shape[1])]
    alone = {k: next(names[i] for i in used if table[i, k]) for k, groups in enumerate(where) if len(groups) == 1}
    found = [lone_class(k + 1, group) for k, group in alone.items()]
    gaps: dict[int, int] = {}
    for number, fold in enumerate(folds, start=1):
        train, val = _totals(table, fold.train), _totals(table, fold.val)
        for k in range(table.shape[1]):
            if not train[k] and val[k]:
                found.append(
                    f"fold {number} trains without class {k + 1}, which is painted only in its validation part; "
                    "paint that class in another group too."
                )
            elif train[k] and not val[k]:
                gaps[k] = gaps.get(k, 0) + 1
                found.append(f"fold {number} cannot judge class {k + 1}: nothing of it is in its validation part.")
    for k, count in gaps.items():
        if k in alone or len(folds) == 1:
            continue
        if len(where[k]) < len(folds):
            found.append(
                f"class {k + 1} is painted in {len(where[k])} groups, so no split into {len(folds)} folds can have it "
                f"in each; paint it in more groups, or use {len(where[k])} folds."
            )
        else:
            found.append(
                f"class {k + 1} is painted in {len(where[k])} groups, yet {count} of {len(folds)} folds cannot judge "
                "it; balance rare classes (method 'stratified'), or paint it in more groups."
            )
    if unpainted:
        found.append(f"not painted, so in no fold: {', '.join(unpainted)}.")
    return tuple(found)


def check_gold(gold: Sequence[str], samples: Sequence[Sample]) -> tuple[str, ...]:
    """Gold group names as given, each known."""
    wanted = (gold,) if isinstance(gold, str) else tuple(gold)
    known = sorted({s.group.strip() for s in samples if s.group.strip()})
    for name in wanted:
        if name.strip() not in known:
            raise InputError(
                f"no sample belongs to the gold group {name!r}; the groups are {', '.join(known) or '(none named)'}."
            )
    return tuple(dict.fromkeys(name.strip() for name in wanted))


def _check_enough(available: int, folds: int, method: Method, has_gold: bool, has_merged: bool) -> None:
    """Say how many folds are possible where too many are asked for."""
    outside = " outside the gold set" if has_gold else ""
    merged = ", counting groups that share copies of an image as one" if has_merged else ""
    if available < 2:
        raise InputError(
            f"there {'is only one group' if available else 'is no group'} with painted labels{outside}{merged}, and a "
            "split needs two: paint an image of another specimen, or correct the groups."
        )
    if method in ("leave_one_group_out", "hold_out"):
        return
    if folds < 2:
        raise InputError(f"folds={folds} is no split; use 2 to {available} folds.")
    if folds > available:
        raise InputError(
            f"{folds} folds need {folds} groups, but only {available} groups have painted labels{outside}{merged}; "
            f"the largest possible number of folds is {available}."
        )


def _table(counts: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """Painted pixels ``(samples, classes)``."""
    n_classes = max(len(c) for c in counts)
    return np.array([np.pad(c, (0, n_classes - len(c))) for c in counts])


def _class_pixels(sample: Sample) -> npt.NDArray[np.int64]:
    """Painted pixels of class 1, 2, …; of locked gold nothing is read."""
    total = np.zeros(0, np.int64)
    if is_locked(sample):
        return total
    for painted in sample.painted_slices():
        count = np.bincount(painted.labels.ravel())[1:]
        size = max(len(total), len(count))
        total = np.pad(total, (0, size - len(total))) + np.pad(count, (0, size - len(count)))
    return total


def _totals(table: npt.NDArray[np.int64], rows: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(n) for n in table[list(rows)].sum(axis=0))


def _join(numbers: tuple[int, ...]) -> str:
    return "/".join(str(n) for n in numbers)
