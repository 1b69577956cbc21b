"""Folds in which no class is missing: what scikit-learn's splitter leaves out is found, and groups change places.

StratifiedGroupKFold balances classes over folds greedily, and for some orders of the groups a fold ends up without a
class although another assignment has none missing. So it is asked again with other orders, and the best answer is
improved by moving and swapping groups until nothing gets better.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from itertools import chain, combinations

import numpy as np
import numpy.typing as npt

__all__ = ["covering_folds", "lone_class", "missing"]

Indices = npt.NDArray[np.int64]
Cost = tuple[int, int, int]

ORDERS, MOST_CHANGES = 16, 20_000


def lone_class(label: int, group: str) -> str:
    """What is wrong with a class that one group alone has, in the words of every check and split."""
    return (
        f"label {label} is painted in {group!r} only, so a split either trains or judges without it; paint it in "
        "another group too."
    )


def missing(present: npt.NDArray[np.bool_], fold_of: Indices, folds: int) -> int:
    """Count the pairs of fold and class such that the class is painted somewhere, but not in that fold.

    Parameters
    ----------
    present
        ``(groups, classes)``: which classes are painted in a group.
    fold_of
        The fold of every group.
    folds
        Number of folds.
    """
    there = np.zeros((folds, present.shape[1]), dtype=bool)
    np.logical_or.at(there, fold_of, present)
    return int((~there[:, present.any(axis=0)]).sum())


def covering_folds(table: npt.NDArray[np.int64], groups: Indices, folds: int, seed: int) -> Indices:
    """Fold of every sample, such that as few folds as possible lack a class and images are balanced.

    Parameters
    ----------
    table
        ``(samples, classes)`` painted pixels.
    groups
        Group number 0, 1, … of every sample.
    folds
        Number of folds, at most as many as there are groups.
    seed
        Decides between equals.
    """
    count = int(groups.max()) + 1
    size = np.bincount(groups, minlength=count)
    present = np.zeros((count, table.shape[1]), dtype=bool)
    np.logical_or.at(present, groups, table > 0)
    painted = present.any(axis=0)
    # A class of fewer groups than folds is missing somewhere whatever one does.
    least = int(np.maximum(0, folds - present[:, painted].sum(axis=0)).sum())

    def cost(fold_of: Indices) -> Cost:
        """Empty folds, gaps, imbalance: compared in this order."""
        images = np.bincount(fold_of, size, folds)
        return int((images == 0).sum()), missing(present, fold_of, folds), int((images**2).sum())

    best = min(_proposals(table, groups, folds, seed), key=cost)
    if cost(best)[:2] != (0, least):
        best = _improved(best, folds, cost, least, np.random.default_rng(seed))
    return np.asarray(best[groups])


def _proposals(table: npt.NDArray[np.int64], groups: Indices, folds: int, seed: int) -> Iterator[Indices]:
    """Yield the fold of every group: dealt out by size, then as scikit-learn has it for several orders."""
    from sklearn.model_selection import StratifiedGroupKFold

    size = np.bincount(groups)
    images, dealt = np.zeros(folds, np.int64), np.zeros(len(size), np.int64)
    for group in np.argsort(-size, kind="stable"):
        dealt[group] = images.argmin()
        images[dealt[group]] += size[group]
    yield dealt
    # A sample's stratum is its rarest class: that is the one a fold is in danger of losing.
    rarity = np.argsort((table > 0).sum(axis=0) + table.sum(axis=0) / (table.sum() + 1), kind="stable")
    strata = np.array([next((int(k) for k in rarity if row[k]), 0) for row in table])
    if np.bincount(strata).max() < folds:  # it refuses when every stratum is smaller
        return
    for order in range(ORDERS):
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed + order)
        fold_of = np.zeros(len(size), np.int64)
        with warnings.catch_warnings():  # "least populated class": the report says it in the user's words
            warnings.simplefilter("ignore", UserWarning)
            for number, (_, held) in enumerate(splitter.split(table, strata, groups)):
                fold_of[groups[held]] = number
        yield fold_of


def _improved(
    fold_of: Indices, folds: int, cost: Callable[[Indices], Cost], least: int, rng: np.random.Generator
) -> Indices:
    """Move single groups and swap pairs, as long as that helps, in an order that the generator draws."""
    count, lowest, tried = len(fold_of), cost(fold_of), 0
    while tried < MOST_CHANGES and lowest[:2] != (0, least):
        before = lowest
        order = rng.permutation(count).tolist()
        moves = ((group, fold) for group in order for fold in range(folds))
        swaps = combinations(order, 2)
        for first, second, is_swap in chain(((g, f, False) for g, f in moves), ((g, h, True) for g, h in swaps)):
            changed = fold_of.copy()
            if is_swap:
                changed[[first, second]] = changed[[second, first]]
            else:
                changed[first] = second
            tried += 1
            if cost(changed) < lowest:
                fold_of, lowest = changed, cost(changed)
            if tried >= MOST_CHANGES or lowest[:2] == (0, least):
                break
        if lowest == before:
            break
    return fold_of
