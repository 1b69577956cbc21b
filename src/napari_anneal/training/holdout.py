"""What a run is judged by when the user gave no split: whole groups if there are several, else held-out paint.

Held-out paint lies on the very images the network learns from, so its score flatters; the run says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_anneal.samples.patches import PreparedSlice
from napari_anneal.samples.sample import UNPAINTED, Sample
from napari_anneal.validation.leakage import find_copies, merge_copies

__all__ = ["hold_out_groups", "hold_out_paint"]

HELD_OUT_SHARE = 0.2
# Paint is held out in blocks: neighbouring pixels look alike, single ones would only measure memory.
BLOCK_PX = 32


def hold_out_groups(samples: Sequence[Sample], classes: Sequence[int], seed: int) -> tuple[list[int], list[int]] | None:
    """Choose about a fifth of the groups for validation so that training keeps every class; copies only train.

    Returns
    -------
    (train, validation)
        Indices into ``samples``; ``None`` if there is one group, or every choice would take a class from training.
    """
    painted = {i: _classes_of(sample) for i, sample in enumerate(samples) if sample.labels is not None}
    painted = {i: found for i, found in painted.items() if found}
    if len({samples[i].group or f"\0{i}" for i in painted if not samples[i].copy_of}) < 2:
        return None
    # Copies of one image are one group, whatever their groups are called.
    keys = merge_copies(samples, find_copies(samples)).keys
    names = {i: keys[i] for i in painted}
    groups = sorted({names[i] for i in painted if not samples[i].copy_of})
    if len(groups) < 2:
        return None
    order = np.random.default_rng([seed, 1]).permutation(len(groups))
    count = max(1, round(HELD_OUT_SHARE * len(groups)))
    for shift in range(len(groups)):
        chosen = {groups[order[(shift + j) % len(groups)]] for j in range(count)}
        train = [i for i in painted if names[i] not in chosen]
        if set(classes) <= set().union(*(painted[i] for i in train)):
            return train, [i for i in painted if names[i] in chosen and not samples[i].copy_of]
    return None


def hold_out_paint(
    slices: Sequence[PreparedSlice], n_classes: int, seed: int
) -> tuple[list[PreparedSlice], list[PreparedSlice]]:
    """Split the paint itself, block by block, about one fifth of each class for validation.

    A class painted in a single block stays in training whole. Returns the same slices twice, with complementary
    labels.
    """
    rng = np.random.default_rng([seed, 2])
    blocks = [_blocks(part.labels) for part in slices]
    held = [np.zeros(part.labels.shape, dtype=bool) for part in slices]
    for k in range(1, n_classes + 1):
        counts = [np.bincount(b.ravel(), weights=(p.labels == k).ravel()) for b, p in zip(blocks, slices, strict=True)]
        places = [(i, int(j)) for i, found in enumerate(counts) for j in np.flatnonzero(found)]
        painted, taken = sum(float(found.sum()) for found in counts), 0.0
        for at in rng.permutation(len(places))[: len(places) - 1]:
            if taken >= HELD_OUT_SHARE * painted:
                break
            i, j = places[at]
            if taken + counts[i][j] <= 0.5 * painted:
                held[i] |= (blocks[i] == j) & (slices[i].labels == k)
                taken += float(counts[i][j])
    return _masked(slices, [~h for h in held]), _masked(slices, held)


def _masked(slices: Sequence[PreparedSlice], keep: Sequence[npt.NDArray[np.bool_]]) -> list[PreparedSlice]:
    parts = [
        PreparedSlice(p.image, np.where(k, p.labels, UNPAINTED), p.sample, p.z)
        for p, k in zip(slices, keep, strict=True)
    ]
    return [part for part in parts if part.labels.any()]


def _blocks(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Number the square blocks of a slice."""
    y, x = (np.arange(n) // BLOCK_PX for n in labels.shape)
    return y[:, np.newaxis] * (int(x[-1]) + 1) + x[np.newaxis]


def _classes_of(sample: Sample) -> set[int]:
    found: set[int] = set()
    for part in sample.painted_slices():
        found |= set(np.unique(part.labels).tolist())
    return found - {UNPAINTED}
