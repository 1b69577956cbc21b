"""Everything that reads what the user has on disk, under one name."""

from __future__ import annotations

from napari_anneal.samples.folders import read_samples
from napari_anneal.samples.image_files import SUFFIXES, read_image
from napari_anneal.samples.zarr_stores import missing_chunks

__all__ = ["SUFFIXES", "missing_chunks", "read_image", "read_samples"]
