"""Augmentation: legal, reproducible variations of an image and its labels, made on the fly while training."""

from __future__ import annotations

from napari_anneal.augmentation.detector import LowDose, MatchedNoise, low_dose, match_noise
from napari_anneal.augmentation.export import Exported, export_augmented, read_augmentation
from napari_anneal.augmentation.legality import SAMPLE_KINDS, SampleKind, illegal_transforms, legal
from napari_anneal.augmentation.pipeline import Augmented, Augmenter
from napari_anneal.augmentation.recipe import AugmentationRecipe

__all__ = [
    "SAMPLE_KINDS",
    "AugmentationRecipe",
    "Augmented",
    "Augmenter",
    "Exported",
    "LowDose",
    "MatchedNoise",
    "SampleKind",
    "export_augmented",
    "illegal_transforms",
    "legal",
    "low_dose",
    "match_noise",
    "read_augmentation",
]
