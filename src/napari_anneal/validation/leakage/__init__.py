"""Leakage: copies of one image, turned, tinted, noisy or cropped, that would sit on both sides of a split."""

from __future__ import annotations

from napari_anneal.validation.leakage.kinds import Kind
from napari_anneal.validation.leakage.merging import MergedGroups, group_key, merge_copies, sample_name
from napari_anneal.validation.leakage.search import Copy, find_copies

__all__ = ["Copy", "Kind", "MergedGroups", "find_copies", "group_key", "merge_copies", "sample_name"]
