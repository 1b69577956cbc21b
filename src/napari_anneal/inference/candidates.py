"""Places that could be labelled next: whole images, slices of stacks, or tiles of either; gold is none of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_anneal.errors import InputError
from napari_anneal.samples.sample import Sample
from napari_anneal.validation.leakage.merging import sample_name

__all__ = ["Box", "Place", "boxes_of", "places_in"]

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Place:
    """One place.

    Attributes
    ----------
    sample
        Index of its sample.
    z
        Slice, ``None`` in a 2D image.
    box
        ``(y0, x0, y1, x1)``, px, the last row and column not included.
    painted
        Whether something is painted there already.
    """

    sample: int
    z: int | None
    box: Box
    painted: bool


def boxes_of(shape: tuple[int, int], tile: int | None) -> list[Box]:
    """Cut a plane ``(Y, X)`` into boxes of about equal size, none larger than ``tile`` on a side; ``None``: one box."""
    spans = []
    for length in shape:
        parts = 1 if tile is None else math.ceil(length / tile)
        edges = [round(k * length / parts) for k in range(parts + 1)]
        spans.append(list(itertools.pairwise(edges)))
    return [(y0, x0, y1, x1) for y0, y1 in spans[0] for x0, x1 in spans[1]]


def places_in(samples: Sequence[Sample], indices: Sequence[int], tile: int | None, every: int) -> list[Place]:
    """Every place of these samples, sample by sample, slice by slice, row by row.

    Of a stack every ``every``-th slice, and all slices with paint (they tell what is labelled already).
    """
    found = []
    for i in indices:
        sample = samples[i]
        boxes = boxes_of((sample.spatial_shape[-2], sample.spatial_shape[-1]), tile)
        for z in range(sample.spatial_shape[0]) if sample.is_stack else (None,):
            labels = _paint(sample, z)
            if z is not None and z % every and labels is None:
                continue
            for box in boxes:
                y0, x0, y1, x1 = box
                found.append(Place(i, z, box, labels is not None and bool(labels[y0:y1, x0:x1].any())))
    return found


def _paint(sample: Sample, z: int | None) -> np.ndarray[Any, Any] | None:
    """Labels of a slice where there are any."""
    if sample.labels is None:
        return None
    labels = np.asarray(sample.labels if z is None else sample.labels[z])
    return labels if labels.any() else None


def check_samples(samples: Sequence[Sample]) -> None:
    """Refuse an empty list, and two images of one name, which nobody could tell apart in a table."""
    if not samples:
        raise InputError("there is nothing to rank; pass images, a stack or a folder with images/.")
    names = [sample_name(samples, i) for i in range(len(samples))]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"two of the images to rank are called {twice!r}; give each a name of its own.")
