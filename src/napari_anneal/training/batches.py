"""Batches for the loop: painted patches or an endless synthetic stream, augmented, cut ahead of the step.

Batch number ``i`` is a pure function of the seed and ``i``; a thread prepares the next one while the network computes.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from napari_anneal.augmentation import Augmenter
from napari_anneal.samples.normalisation import intensity_range, standardise
from napari_anneal.samples.patches import PreparedSlice
from napari_anneal.synthesis import SyntheticStream

__all__ = ["PatchSource", "SyntheticPatches", "batches", "validation_batches"]

Patch = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


class PatchSource(Protocol):
    """Anything that gives patch number ``i``: image ``(C, P, P)`` float32 in unit range, labels ``(P, P)`` int64."""

    def draw(self, number: int) -> Patch:
        """Patch number ``number``."""
        ...


class SyntheticPatches:
    """Patches of a synthetic stream, starting at one of its indices."""

    def __init__(self, stream: SyntheticStream, first: int = 0) -> None:
        self.stream, self.first = stream, first

    def draw(self, number: int) -> Patch:
        """Patch number ``number``: the stream's microstructure ``first + number``, normalised as a real image is."""
        made = self.stream[self.first + number]
        image = intensity_range(made.image).apply(made.image)
        return image[np.newaxis], made.labels.astype(np.int64)


def batches(
    source: PatchSource,
    augment: Augmenter | None,
    size: int,
    steps: range,
    seed: int,
    device: torch.device,
    part: slice = slice(None),
) -> Generator[tuple[torch.Tensor, torch.Tensor], None, None]:
    """Yield one batch a step: standardised images ``(N, C, P, P)`` channels-last, labels ``(N, P, P)``.

    ``part`` of its patches are drawn, and no others.
    """

    def make(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        patches = []
        for number in range(step * size, (step + 1) * size)[part]:
            image, labels = source.draw(number)
            if augment is not None:
                image, labels = augment(image, labels, _seed_of(seed, number))
            patches.append((image, labels))
        return _stack(patches)

    if not len(steps):
        return
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as ahead:
        pending = ahead.submit(make, steps[0])
        for step in steps:
            images, labels = pending.result()
            if step + 1 in steps:
                pending = ahead.submit(make, step + 1)
            yield _to(images, device), labels.to(device)


def validation_batches(
    tiles: Sequence[PreparedSlice], size: int, device: torch.device
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the validation tiles in batches, in order, never augmented."""
    for start in range(0, len(tiles), size):
        images, labels = _stack([(tile.image, tile.labels) for tile in tiles[start : start + size]])
        yield _to(images, device), labels.to(device)


def _stack(patches: Sequence[Patch]) -> tuple[torch.Tensor, torch.Tensor]:
    images = np.stack([standardise(image) for image, _ in patches])
    return torch.from_numpy(images), torch.from_numpy(np.stack([labels for _, labels in patches]).astype(np.int64))


def _to(images: torch.Tensor, device: torch.device) -> torch.Tensor:
    return images.to(device).contiguous(memory_format=torch.channels_last)


def _seed_of(seed: int, number: int) -> int:
    """One 32-bit seed for the augmentation of one patch."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
