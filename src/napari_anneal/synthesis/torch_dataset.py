"""A synthetic stream as a torch dataset: for a ``DataLoader`` with worker processes, resumable at any index."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import Dataset

from napari_anneal.errors import InputError
from napari_anneal.synthesis.stream import SyntheticStream

__all__ = ["StreamDataset"]


class StreamDataset(Dataset[tuple[Tensor, Tensor]]):
    """Items ``first … first + length - 1`` of a stream as pairs of tensors.

    Item ``i`` is the image, float32 ``(1, *shape)`` in [0, 1], and the labels, int64 ``(*shape)`` (never 0), of
    ``stream[first + i]``, whichever process makes it. To resume a run give it the first index that it has not seen.

    Raises
    ------
    InputError
        A negative first index or a length below 1.
    """

    def __init__(self, stream: SyntheticStream, length: int, first: int = 0) -> None:
        if first < 0 or length < 1:
            raise InputError(
                f"a dataset of {length} items from index {first} cannot be; give a length of 1 or more and an index of "
                "0 or more."
            )
        self.stream, self.length, self.first = stream, length, first

    def __len__(self) -> int:
        """Return the number of items."""
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Make one item."""
        if not 0 <= index < self.length:
            raise IndexError(f"index {index} is outside 0 … {self.length - 1}")
        made = self.stream[self.first + index]
        return torch.from_numpy(made.image)[None], torch.from_numpy(made.labels).long()
