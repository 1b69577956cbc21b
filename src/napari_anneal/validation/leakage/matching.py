"""Which pairs of images may be copies, and at which symmetry and shift: nearest signatures vote.

Every keypoint names its nearest keypoint in every other image; the nearest few of these are compared under the eight
symmetries, and where they agree they vote for a symmetry and a shift. Chance scatters its votes, a copy collects them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.cancelling import CancelSignal
from napari_anneal.validation.leakage.detail import ANGLES, Keypoints
from napari_anneal.validation.leakage.motion import Motion, Shape
from napari_anneal.validation.leakage.symmetry import SYMMETRIES, transform_angles, transform_points

__all__ = ["Hypothesis", "hypotheses"]

Indices = npt.NDArray[np.int64]

DIMENSIONS = 32
NEAREST = 4
ROWS = 128
# Correlation of two signatures from which on they may show the same place.
AGREEMENT = 0.6
# Votes this close, in reduced pixels, are for the same shift.
TOLERANCE_PX = 4.0
LEAST_VOTES, PER_PAIR = 2, 3
# An image with hardly any keypoints cannot collect votes: there one that agrees very well is enough to have a look.
FEW_KEYPOINTS, STRONG_AGREEMENT = 12, 0.85


@dataclass(frozen=True)
class Hypothesis:
    """Image ``b`` may be ``a`` moved (in reduced pixels); a < b."""

    a: int
    b: int
    motion: Motion
    votes: int


@dataclass(frozen=True, eq=False)
class _Pool:
    """The keypoints of all images in one table; ``image[n]`` is whose keypoint n is."""

    image: Indices
    places: npt.NDArray[np.float64]
    signatures: npt.NDArray[np.float32]
    invariants: npt.NDArray[np.float32]


def hypotheses(
    keypoints: Sequence[Keypoints],
    shapes: Sequence[Shape],
    owners: Sequence[int],
    workers: int = 2,
    cancel: CancelSignal | None = None,
) -> list[Hypothesis]:
    """Find pairs of images worth a closer look, those with most votes first.

    Parameters
    ----------
    keypoints, shapes
        Of every image, in reduced pixels of one common factor.
    owners
        The sample that every image belongs to; images of one sample are not compared.
    workers
        Threads.
    cancel
        Asked between blocks of keypoints.
    """
    counts = np.array([len(k.places) for k in keypoints])
    if np.count_nonzero(counts) < 2:
        return []
    pool = _Pool(
        np.repeat(np.arange(len(counts)), counts),
        np.concatenate([k.places for k in keypoints]),
        np.concatenate([k.signatures for k in keypoints]),
        _compressed(np.concatenate([k.invariants for k in keypoints])),
    )
    pairs = _nearest(pool, np.asarray(owners), workers, cancel)
    agreement, symmetry = _best_symmetry(pool, pairs)
    good = agreement >= AGREEMENT
    first, second = pairs[good].T
    agreement, symmetry = agreement[good], symmetry[good]
    landed = np.zeros((len(first), 2))
    for rows in _runs(pool.image[first], symmetry):
        shape, k = shapes[pool.image[first[rows[0]]]], int(symmetry[rows[0]])
        landed[rows] = transform_points(pool.places[first[rows]], shape, k)
    shifts = pool.places[second] - landed
    found = []
    for rows in _runs(pool.image[first], pool.image[second], symmetry):
        a, b, k = int(pool.image[first[rows[0]]]), int(pool.image[second[rows[0]]]), int(symmetry[rows[0]])
        few = min(counts[a], counts[b]) <= FEW_KEYPOINTS and agreement[rows].max() >= STRONG_AGREEMENT
        for shift, votes in _elected(shifts[rows], 1 if few else LEAST_VOTES):
            found.append(Hypothesis(a, b, Motion(k, shift), votes))
    return sorted(found, key=lambda h: -h.votes)


def _compressed(invariants: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Principal components of the invariants: what tells keypoints apart, in fewer numbers."""
    centred = invariants - invariants.mean(axis=0)
    _, _, axes = np.linalg.svd(centred[:: len(centred) // 5000 + 1], full_matrices=False)
    return np.ascontiguousarray(centred @ axes[:DIMENSIONS].T, dtype=np.float32)


def _nearest(pool: _Pool, owners: Indices, workers: int, cancel: CancelSignal | None) -> Indices:
    """Pairs of keypoints ``(N, 2)``: each with its nearest in the few images that have the nearest, lower image first.

    Chosen image by image and not among all keypoints at once: a repeated motif would fill the list by itself.
    """
    filled, starts = np.unique(pool.image, return_index=True)
    ends = np.append(starts[1:], len(pool.image))
    half = (pool.invariants**2).sum(axis=1) / 2

    def block(begin: int) -> list[tuple[int, int]]:
        if cancel is not None and cancel.is_set():
            return []
        rows = np.arange(begin, min(begin + ROWS, len(half)))
        closeness = pool.invariants[rows] @ pool.invariants.T
        closeness -= half
        best = np.maximum.reduceat(closeness, starts, axis=1)
        best[owners[pool.image[rows]][:, np.newaxis] == owners[filled]] = -np.inf
        count = min(NEAREST, best.shape[1])
        columns = np.argpartition(-best, count - 1, axis=1)[:, :count]
        pairs = []
        for row, chosen in enumerate(columns):
            for column in chosen[np.isfinite(best[row, chosen])]:
                other = starts[column] + int(closeness[row, starts[column] : ends[column]].argmax())
                pairs.append((int(rows[row]), int(other)))
        return pairs

    with ThreadPoolExecutor(workers) as threads:
        found = [pair for pairs in threads.map(block, range(0, len(half), ROWS)) for pair in pairs]
    # Images come in order in the pool, so the lower keypoint belongs to the lower image.
    return np.unique(np.sort(np.array(found, np.int64).reshape(-1, 2), axis=1), axis=0)


def _best_symmetry(pool: _Pool, pairs: Indices) -> tuple[npt.NDArray[np.float32], Indices]:
    """How well the signatures of each pair agree (0…1) under the symmetry that suits them best."""
    first, second = pool.signatures[pairs[:, 0]], pool.signatures[pairs[:, 1]]
    scores = np.stack(
        [np.abs(np.einsum("nra,nra->n", first[:, :, transform_angles(ANGLES, k)], second)) for k in SYMMETRIES], axis=1
    )
    return scores.max(axis=1), scores.argmax(axis=1)


def _elected(shifts: npt.NDArray[np.float64], least: int) -> Iterator[tuple[tuple[int, int], int]]:
    """Yield the shifts with most votes within the tolerance, and their votes."""
    near = np.asarray((np.abs(shifts[:, np.newaxis] - shifts) <= TOLERANCE_PX).all(axis=2))
    for _ in range(PER_PAIR):
        votes = near.sum(axis=1)
        winner = int(votes.argmax())
        if votes[winner] < least:
            return
        y, x = np.median(shifts[near[winner]], axis=0)
        yield (round(y), round(x)), int(votes[winner])
        near[:, near[winner]] = False


def _runs(*keys: npt.NDArray[Any]) -> Iterator[Indices]:
    """Row numbers of equal keys, run by run."""
    order = np.lexsort(keys[::-1])
    changed = np.zeros(len(order), dtype=bool)
    for key in keys:
        changed[1:] |= np.diff(key[order]) != 0
    yield from (rows for rows in np.split(order, np.flatnonzero(changed)) if len(rows))
