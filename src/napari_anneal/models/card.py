"""The card of a model bundle: everything about a model but its weights, as validated JSON."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from napari_anneal.models.architecture import ArchitectureSpec
from napari_anneal.models.lineage import MOST_LINKS, Link

__all__ = ["PALETTE", "SCHEMA_VERSION", "BundleCard", "class_colours", "software_versions"]

# 2: with the lineage; 3: its links tell of gold. Older cards are read as of this one, with neither.
SCHEMA_VERSION = 3
NORMALISATION = "percentile-2-98/imagenet-grey"
# Okabe and Ito's palette, distinguishable with every common colour vision deficiency.
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999")


def class_colours(count: int) -> tuple[str, ...]:
    """Colours of ``count`` classes, ``#rrggbb`` each."""
    return tuple(PALETTE[i % len(PALETTE)] for i in range(count))


def software_versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    names = ("napari-anneal", "torch", "timm", "segmentation-models-pytorch", "albumentations", "numpy")
    versions = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


class BundleCard(BaseModel):
    """What a model is, what it was trained on and how, and what it scored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    name: str = Field("", description="How lists call this model.", max_length=200)
    description: str = Field("", description="What it was trained on, in a sentence.", max_length=4000)
    architecture: ArchitectureSpec
    classes: tuple[str, ...] = Field(description="Class names in order: label k is classes[k - 1].")
    colours: tuple[str, ...] = Field((), description="Colour of each class, #rrggbb.")
    temperature: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="What logits are divided by for calibrated probabilities."
    )
    normalisation: str = Field(NORMALISATION, description="How grey values become network input.")
    spacing: tuple[float, ...] | None = Field(None, description="Pixel size of the training images (Y, X).")
    context: int = Field(
        1, ge=1, le=31, description="Neighbouring slices the network takes as channels, itself included (odd; 1: none)."
    )
    recipe: dict[str, Any] = Field(default_factory=dict, description="The full fine-tuning recipe.")
    start: dict[str, Any] = Field(default_factory=dict, description="Where the weights came from before this run.")
    lineage: tuple[Link, ...] = Field(
        (),
        description="The whole way of the weights, oldest first; the last link is this model's own run.",
        max_length=MOST_LINKS,
    )
    metrics: dict[str, Any] = Field(default_factory=dict, description="What the run measured, by fold.")
    fingerprints: dict[str, str] = Field(
        default_factory=dict, description="SHA-256 of each training image and labels, or of the synthetic stream."
    )
    versions: dict[str, str] = Field(default_factory=software_versions)
    created: str = Field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        description="When, in UTC.",
    )

    @model_validator(mode="after")
    def _classes_fit(self) -> BundleCard:
        count = self.architecture.n_classes
        if len(self.classes) != count or len(set(self.classes)) != count:
            raise ValueError(
                f"{self.classes} must be {count} different class names, one for each output of the network"
            )
        if self.context % 2 == 0 or self.architecture.in_channels % self.context:
            raise ValueError(
                f"context {self.context} must be odd and divide the network's {self.architecture.in_channels} channels"
            )
        if not self.colours:
            object.__setattr__(self, "colours", class_colours(count))
        elif len(self.colours) != count or not all(_is_colour(c) for c in self.colours):
            raise ValueError(f"colours {self.colours} must be {count} of the form #rrggbb")
        if self.normalisation != NORMALISATION:
            raise ValueError(f"normalisation {self.normalisation!r} is not known to this version")
        return self


def _is_colour(text: str) -> bool:
    return len(text) == 7 and text[0] == "#" and all(c in "0123456789abcdefABCDEF" for c in text[1:])
