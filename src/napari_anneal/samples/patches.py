"""From painted slices to training patches: every patch holds paint, and every class is drawn equally often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_anneal.samples.normalisation import intensity_range
from napari_anneal.samples.sample import UNPAINTED, Sample

__all__ = ["PatchSampler", "PreparedSlice", "painted_tiles", "prepare_slices"]

# A densely labelled slice has millions of painted pixels; as many as these say where a class is just as well.
MAX_ANCHORS = 50_000


@dataclass(frozen=True, eq=False)
class PreparedSlice:
    """A painted slice ready to be cut: ``image`` float32 ``(C, Y, X)`` in unit range, ``labels`` int64 ``(Y, X)``."""

    image: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    sample: int
    z: int | None


def prepare_slices(samples: Sequence[Sample], indices: Sequence[int]) -> list[PreparedSlice]:
    """Read and normalise the painted slices of some samples.

    The intensity limits are those of the whole image or volume, exactly as at inference.

    Raises
    ------
    InputError
        NaN or infinite pixels, or a constant image.
    """
    prepared = []
    for index in indices:
        sample = samples[index]
        painted = list(sample.painted_slices())
        if not painted:
            continue
        where = f"sample {sample.name or index!r}"
        limits = intensity_range(sample.image, sample.axes, where)
        for part in painted:
            prepared.append(PreparedSlice(limits.apply(part.image, where), part.labels, index, part.z))
    return prepared


class PatchSampler:
    """Draws square patches around painted pixels; draw number ``i`` depends on the seed and ``i`` alone.

    Parameters
    ----------
    slices
        Where to cut from.
    patch
        Side in pixels. Smaller slices are extended by reflection, with unpainted labels.
    n_classes
        Classes 1…K; each is the anchor of a patch equally often, so that a rare class is seen as well.
    seed
        Seed of the run.
    """

    def __init__(self, slices: Sequence[PreparedSlice], patch: int, n_classes: int, seed: int) -> None:
        self.slices = [_extended(s, patch) for s in slices]
        self.patch, self.seed = patch, seed
        self.anchors: dict[int, list[tuple[int, npt.NDArray[np.int64]]]] = {}
        for k in range(1, n_classes + 1):
            found = [(i, _anchors(s.labels == k)) for i, s in enumerate(self.slices)]
            self.anchors[k] = [(i, where) for i, where in found if len(where)]
        self.classes = [k for k, found in self.anchors.items() if found]

    def draw(self, number: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Cut patch number ``number``: image ``(C, P, P)`` float32 in unit range, labels ``(P, P)`` int64."""
        rng = np.random.default_rng([self.seed, number])
        choices = self.anchors[self.classes[rng.integers(len(self.classes))]]
        index, anchors = choices[rng.integers(len(choices))]
        part = self.slices[index]
        y, x = divmod(int(anchors[rng.integers(len(anchors))]), part.labels.shape[1])
        # The painted pixel may lie anywhere in the patch: always centred, the network would learn to look there.
        top, left = (
            int(np.clip(at - rng.integers(self.patch), 0, size - self.patch))
            for at, size in zip((y, x), part.labels.shape, strict=True)
        )
        window = np.s_[top : top + self.patch, left : left + self.patch]
        return part.image[(slice(None), *window)].copy(), part.labels[window].copy()


def painted_tiles(slices: Sequence[PreparedSlice], patch: int, most: int) -> list[PreparedSlice]:
    """Cut slices into a grid of patches and keep those with paint, at most ``most``, spread evenly.

    A class that would be lost by it brings one more: the patch with most of it. The grid is fixed, so that every epoch
    is validated on the very same pixels.
    """
    tiles = []
    for part in slices:
        part = _extended(part, patch)
        tops, lefts = (_starts(size, patch) for size in part.labels.shape)
        seen = np.zeros(part.labels.shape, dtype=bool)
        for top in tops:
            for left in lefts:
                window = np.s_[top : top + patch, left : left + patch]
                # The last tile of a row overlaps its neighbour: a pixel is to count once.
                labels = np.where(seen[window], UNPAINTED, part.labels[window])
                seen[window] = True
                if labels.any():
                    tiles.append(PreparedSlice(part.image[(slice(None), *window)], labels, part.sample, part.z))
    if len(tiles) > most:
        chosen = {int(i) for i in np.linspace(0, len(tiles) - 1, most).round()}
        counts = _pixels_by_class(tiles)
        lost = np.flatnonzero(~counts[sorted(chosen)].any(axis=0) & counts.any(axis=0))
        chosen |= {int(i) for i in counts[:, lost].argmax(axis=0)}
        tiles = [tiles[i] for i in sorted(chosen)]
    return tiles


def _pixels_by_class(tiles: Sequence[PreparedSlice]) -> npt.NDArray[np.int64]:
    """Painted pixels of each class ``(tiles, K)``."""
    n_classes = max(int(tile.labels.max()) for tile in tiles)
    return np.array([np.bincount(tile.labels.ravel(), minlength=n_classes + 1)[1:] for tile in tiles])


def _starts(size: int, patch: int) -> list[int]:
    return sorted({min(start, size - patch) for start in range(0, size, patch)})


def _anchors(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    flat = np.flatnonzero(mask)
    return flat if len(flat) <= MAX_ANCHORS else flat[:: len(flat) // MAX_ANCHORS + 1]


def _extended(part: PreparedSlice, patch: int) -> PreparedSlice:
    """Extend a slice to at least one patch: the image by reflection, the labels as not painted."""
    missing = [max(0, patch - size) for size in part.labels.shape]
    if not any(missing):
        return part
    margins = [(m // 2, m - m // 2) for m in missing]
    return PreparedSlice(
        np.pad(part.image, [(0, 0), *margins], mode="symmetric"),
        np.pad(part.labels, margins, constant_values=UNPAINTED),
        part.sample,
        part.z,
    )
