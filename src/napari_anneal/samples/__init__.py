"""Samples: what the user has - images, the labels painted on them, groups, spacing - and how it is read."""

from __future__ import annotations

from napari_anneal.samples.gold import is_locked, lock
from napari_anneal.samples.reading import missing_chunks, read_image, read_samples
from napari_anneal.samples.sample import PaintedSlice, Sample

__all__ = ["PaintedSlice", "Sample", "is_locked", "lock", "missing_chunks", "read_image", "read_samples"]
