"""The fine-tuning recipe as data: stages with learning rates per layer group, loss, stopping rule, seeds.

The numbers of the presets are those of the method: head alone at 1e-3, then every group at its own rate with linear
warm-up and cosine, then SGD at a small constant rate for the last fifth of the steps, and the best of all kept.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, model_validator

from napari_anneal.augmentation import AugmentationRecipe
from napari_anneal.devices import Precision
from napari_anneal.models.layer_groups import GROUPS, GroupName
from napari_anneal.recipe_base import Recipe

__all__ = ["ADAMW_RATES", "PRESETS", "SGD_RATES", "FineTuneRecipe", "Preset", "Stage"]

ADAMW_RATES: dict[GroupName, float] = {
    "stem+layer1": 1e-5,
    "layer2": 1e-5,
    "layer3": 1e-4,
    "layer4": 1e-4,
    "head": 1e-3,
}
SGD_RATES: dict[GroupName, float] = {
    "stem+layer1": 1e-4,
    "layer2": 1e-4,
    "layer3": 1e-3,
    "layer4": 1e-3,
    "head": 1e-2,
}
WEIGHT_DECAY = 1e-2

Preset = Literal["canonical", "full", "feature_extraction", "scratch"]
PRESETS: dict[Preset, str] = {
    "canonical": "Head first, then all layers at their own rates, then SGD for the last fifth.",
    "full": "All layers at their own rates from the first step (100 labelled images and more).",
    "feature_extraction": "Head alone; the backbone stays as it is (very few labels).",
    "scratch": "All layers at one rate from fresh weights: the control, not the method.",
}


class Stage(Recipe):
    """One stretch of the run: which groups learn, with which optimizer, at which rates."""

    name: str = Field(description="How curves and messages call this stage.", min_length=1, max_length=40)
    epochs: int = Field(ge=1, description="Length in epochs.")
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="AdamW, or SGD with momentum.")
    rates: dict[GroupName, float] = Field(
        description="Peak learning rate of each group that learns; others are frozen."
    )
    schedule: Literal["constant", "warmup_cosine"] = Field(
        "warmup_cosine", description="Constant, or linear warm-up and then a cosine to zero."
    )
    weight_decay: float = Field(WEIGHT_DECAY, ge=0, description="Decoupled weight decay (AdamW) or L2 (SGD).")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum (SGD).")
    nesterov: bool = Field(False, description="Nesterov's momentum (SGD).")

    @model_validator(mode="after")
    def _rates_make_sense(self) -> Stage:
        if not self.rates or not all(0 < rate <= 1 for rate in self.rates.values()):
            raise ValueError(f"rates {self.rates} must name at least one group, each with a learning rate in (0, 1]")
        return self


class FineTuneRecipe(Recipe):
    """Everything that decides a run but the images: the same recipe and seed give the same model."""

    preset: Preset | Literal["custom"] = Field("custom", description="Which preset the stages came from.")
    stages: tuple[Stage, ...] = Field(description="The stages, in order.", min_length=1)
    patch: int = Field(
        256, ge=32, le=2048, multiple_of=32, description="Side of a training patch, px; less on small images."
    )
    batch_size: int = Field(8, ge=1, le=1024, description="Patches a step; 8 to 32 is the norm.")
    steps_per_epoch: int | None = Field(
        None,
        ge=1,
        description="Optimizer steps an epoch; empty: enough to see the painted area about once, 8 at least.",
    )
    classes: tuple[str, ...] = Field((), description="Class names in order; empty: class 1, class 2, …")
    colours: tuple[str, ...] = Field((), description="Colour of each class, #rrggbb; empty: the default palette.")
    decoder: str = Field("unet", description="Decoder (for scratch and ImageNet starts).")
    encoder: str = Field("resnet34", description="Encoder, a timm name (for scratch and ImageNet starts).")
    encoder_depth: int = Field(5, ge=3, le=5, description="Encoder stages (for scratch and ImageNet starts).")
    decoder_channels: tuple[int, ...] = Field((), description="Decoder widths; empty: 256, 128, 64, 32, 16.")
    cross_entropy: float = Field(1.0, ge=0, description="Weight of the cross-entropy in the loss.")
    dice: float = Field(1.0, ge=0, description="Weight of the Dice loss.")
    balance_classes: bool = Field(True, description="Weight classes in the cross-entropy by their painted pixels.")
    augmentation: AugmentationRecipe = Field(
        default_factory=AugmentationRecipe,
        description="What is done to training patches (never to validation).",
    )
    max_gradient: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    patience: int = Field(10, ge=1, description="A stage ends early after this many epochs without a better loss.")
    validation_patches: int = Field(48, ge=1, description="Most patches looked at in a validation.")
    seed: int = Field(0, ge=0, description="Seed of weights, patches and augmentation.")
    precision: Precision = Field("auto", description="bfloat16 where the processor is faster with it, or float32.")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps.")

    @model_validator(mode="after")
    def _settings_agree(self) -> FineTuneRecipe:
        if self.cross_entropy + self.dice == 0:
            raise ValueError("cross_entropy and dice are both 0, so there is no loss to minimise")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"class names {self.classes} must differ from each other")
        if not all(re.fullmatch("#[0-9a-fA-F]{6}", colour) for colour in self.colours):
            raise ValueError(f"colours {self.colours} must each be of the form #rrggbb")
        return self

    @property
    def epochs(self) -> int:
        """Epochs over all stages (early stopping may end a stage before)."""
        return sum(stage.epochs for stage in self.stages)

    @staticmethod
    def from_preset(preset: Preset = "canonical", epochs: int = 30, **changes: object) -> FineTuneRecipe:
        """Recipe of a preset, stretched to a number of epochs; other fields by keyword.

        Canonical: a sixth of the epochs for the head alone, the last fifth (rounded, 1 at least) for SGD, the rest
        for all groups with AdamW.
        """
        return FineTuneRecipe(**({"preset": preset, "stages": _stages(preset, epochs)} | changes))


def _stages(preset: Preset, epochs: int) -> tuple[Stage, ...]:
    if preset == "canonical":
        epochs = max(3, epochs)
        head, last = max(1, round(epochs / 6)), max(1, round(epochs / 5))
        return (
            Stage(name="head", epochs=head, rates={"head": ADAMW_RATES["head"]}),
            Stage(name="all layers", epochs=epochs - head - last, rates=ADAMW_RATES),
            Stage(
                name="SGD",
                epochs=last,
                optimizer="sgd",
                rates=SGD_RATES,
                schedule="constant",
                weight_decay=0.0,
            ),
        )
    if preset == "feature_extraction":
        return (Stage(name="head", epochs=max(1, epochs), rates={"head": ADAMW_RATES["head"]}),)
    rates = ADAMW_RATES if preset == "full" else dict.fromkeys(GROUPS, 1e-3)
    return (Stage(name="all layers", epochs=max(1, epochs), rates=rates),)
