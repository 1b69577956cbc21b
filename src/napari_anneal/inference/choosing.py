"""Choosing places one after another, each the best in view of those before: unsure, unlike the others, of any specimen.

Greedy choice after Sener & Savarese 2018 (k-centre, arXiv 1708.00489), the distance to what is chosen being weighted
with the score. Everything here is arithmetic on arrays, the same on every machine; ties go to the first place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Choice", "choose"]

FloatArray = npt.NDArray[np.float64]
# Of two places taken at random, one takes exp(-4) = 2 % from the other; at half that distance 37 %.
SHARPNESS = 4.0


@dataclass(frozen=True)
class Choice:
    """One place chosen: its index, what it was worth, and by how much that was less than its own score.

    ``likeness`` 0…1: to the most similar place chosen before or labelled; ``before``: places of its specimen chosen
    before or labelled.
    """

    index: int
    worth: float
    likeness: float
    before: int


def choose(
    scores: FloatArray,
    features: FloatArray,
    groups: Sequence[str],
    slices: FloatArray,
    stacks: npt.NDArray[np.int64],
    labelled: npt.NDArray[np.bool_],
    count: int,
    diversity: float,
    balance: float,
    slice_distance: float,
) -> list[Choice]:
    """Choose ``count`` places, or as many as there are.

    Parameters
    ----------
    scores
        ``(N,)``, not negative.
    features
        ``(N, F)``, two places at random 1 apart.
    groups
        Specimen of each place.
    slices, stacks
        ``(N,)``: number of its slice (NaN in a 2D image), and of its stack and the column of tiles in it.
    labelled
        ``(N,)``: places that are labelled already: never chosen, and others lose by being like them.
    count, diversity, balance, slice_distance
        See `RankRecipe`.
    """
    open_ = ~labelled
    likeness = np.zeros(len(scores))
    names = {group: k for k, group in enumerate(dict.fromkeys(groups))}
    group_of = np.array([names[group] for group in groups], dtype=np.int64)
    before = np.bincount(group_of[labelled], minlength=len(names)).astype(np.int64)

    def now_known(i: int) -> None:
        """Compare every place with place ``i``."""
        squared = ((features - features[i]) ** 2).sum(axis=1)
        alike = np.exp(-SHARPNESS * squared) if features.shape[1] else np.zeros(len(scores))
        if not np.isnan(slices[i]):
            apart = np.where(stacks == stacks[i], slices - slices[i], np.inf) / slice_distance
            alike = np.maximum(alike, np.exp(-(apart**2)))
        np.maximum(likeness, alike, out=likeness)

    if diversity > 0:
        for i in np.flatnonzero(labelled):
            now_known(int(i))
    chosen: list[Choice] = []
    while len(chosen) < count and open_.any():
        # Against the specimen that had the fewest turns: one specimen alone, or all alike, lose nothing.
        turns = np.maximum(before[group_of] - before[group_of[open_]].min(), 0)
        worth = scores * (1 - diversity * likeness) / (1.0 + turns) ** balance
        best = int(np.argmax(np.where(open_, worth, -np.inf)))
        chosen.append(Choice(best, float(worth[best]), float(likeness[best]), int(before[group_of[best]])))
        open_[best] = False
        before[group_of[best]] += 1
        if diversity > 0:
            now_known(best)
    return chosen
