"""The fine-tuning recipe as data: stages with learning rates per layer group, loss, stopping rule, seeds.

The numbers of the presets are those of the method: head alone at 1e-3, then every group at its own rate with linear
warm-up and cosine, then SGD at a small constant rate for the last fifth of the steps, and the best of all kept.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from napari_anneal.augmentation import AugmentationRecipe
from napari_anneal.devices import Precision
from napari_anneal.errors import InputError
from napari_anneal.models.layer_groups import GROUPS, GroupName
from napari_anneal.recipe_base import Recipe
from napari_anneal.training.batch_statistics import BatchNormPolicy
from napari_anneal.training.presets import Preset, preset_stages
from napari_anneal.training.stages import OptimizerName, Stage

__all__ = ["FineTuneRecipe"]


class FineTuneRecipe(Recipe):
    """Everything that decides a run but the images: the same recipe and seed give the same model."""

    preset: Preset | Literal["custom"] = Field("custom", description="Which preset the stages came from.")
    stages: tuple[Stage, ...] = Field(description="The stages, in order.", min_length=1)
    patch: int = Field(
        256, ge=32, le=2048, multiple_of=32, description="Side of a training patch, px; less on small images."
    )
    batch_size: int = Field(8, ge=1, le=1024, description="Patches a step; 8 to 32 is the norm.")
    micro_batch: int | None = Field(
        None,
        ge=1,
        description="Patches that pass through the network at once, their gradients accumulated to those of the batch; "
        "empty: the batch, halved whenever memory does not suffice.",
    )
    rates_for_batch: int | None = Field(
        None,
        ge=1,
        description="Batch size that the learning rates are meant for; with another one they are scaled in proportion. "
        "Empty: as they are.",
    )
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
    focal: float = Field(0.0, ge=0, description="Weight of the focal loss: few pixels that are hard count more.")
    focal_gamma: float = Field(2.0, ge=0, le=10, description="Focal loss: how little easy pixels count; 0: alike.")
    boundary_weight: float = Field(
        0.0, ge=0, le=100, description="Extra weight of pixels near a boundary between painted classes (0: none)."
    )
    boundary_radius: int = Field(3, ge=1, le=50, description="How near, px.")
    cldice: float = Field(
        0.0, ge=0, description="Weight of clDice, which keeps networks of lines connected (grain boundaries, cracks)."
    )
    cldice_class: int | None = Field(None, ge=1, description="Label of that network; empty: the last class.")
    balance_classes: bool = Field(True, description="Weight classes in the cross-entropy by their painted pixels.")
    augmentation: AugmentationRecipe = Field(
        default_factory=AugmentationRecipe,
        description="What is done to training patches (never to validation).",
    )
    max_gradient: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    noise_scale_every: int = Field(
        50, ge=0, description="Steps between two readings of the gradient noise scale (half a step each); 0: never."
    )
    patience: int = Field(10, ge=1, description="A stage ends early after this many epochs without a better loss.")
    validation_patches: int | None = Field(
        None,
        ge=1,
        description="Most patches looked at in a validation; empty: up to 48, as many as a tenth of the run's time is "
        "enough for.",
    )
    seed: int = Field(0, ge=0, description="Seed of weights, patches and augmentation.")
    precision: Precision = Field(
        "auto",
        description="bfloat16 where the processor is faster with it, else float32; or one of them, or float16 with a "
        "gradient scaler (older GPUs; float32 on a CPU).",
    )
    batch_norm: BatchNormPolicy = Field(
        "auto",
        description="Normalisation layers that learn: train = by the statistics of the patches that pass at once; "
        "frozen = each keeps its own; auto = train, but layers that came pretrained keep their own where fewer than 32 "
        "values of each channel pass at once (one small patch). Layers whose weights are frozen always keep their own.",
    )
    ema_decay: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Decay of the moving average of the weights that is validated and kept instead of the last "
        "weights, such as 0.999 (less in the first steps); empty: no average.",
    )
    compile: bool = Field(
        False, description="Compile the network with torch.compile: the first step takes minutes, the others less time."
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps.")
    devices: int = Field(
        1, ge=1, le=1024, description="Devices on each machine that share every batch, a process each (terminal only)."
    )
    nodes: int = Field(1, ge=1, le=1024, description="Machines that share every batch (terminal only).")

    @model_validator(mode="after")
    def _settings_agree(self) -> FineTuneRecipe:
        if self.cross_entropy + self.dice + self.focal + self.cldice == 0:
            raise ValueError("cross_entropy, dice, focal and cldice are all 0, so there is no loss to minimise")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"class names {self.classes} must differ from each other")
        if self.batch_size % self.world:
            fewer, more = (self.batch_size // self.world * self.world, -(-self.batch_size // self.world) * self.world)
            raise ValueError(
                f"a batch of {self.batch_size} patches cannot be shared evenly by {self.world} devices; take "
                f"{f'{fewer} or {more}' if fewer else more}"
            )
        if not all(re.fullmatch("#[0-9a-fA-F]{6}", colour) for colour in self.colours):
            raise ValueError(f"colours {self.colours} must each be of the form #rrggbb")
        return self

    @property
    def world(self) -> int:
        """Processes that share every batch."""
        return self.devices * self.nodes

    def total_steps(self, steps_per_epoch: int) -> int:
        """Optimizer steps over all stages (early stopping may end a stage before)."""
        return sum(stage.length(steps_per_epoch) for stage in self.stages)

    def total_epochs(self, steps_per_epoch: int) -> int:
        """Validations over all stages: one an epoch, and one at the end of every stage."""
        return sum(math.ceil(stage.length(steps_per_epoch) / steps_per_epoch) for stage in self.stages)

    def is_kept_as(self, settings: dict[str, Any]) -> bool:
        """Whether a checkpoint or bundle tells of this recipe; what an older one does not name has its default."""
        try:
            return FineTuneRecipe.model_validate(settings) == self
        except InputError:
            return False

    @property
    def rate_scale(self) -> float:
        """Factor on all rates by the linear scaling rule: half the batch, half the rate (Goyal et al. 2017)."""
        return self.batch_size / self.rates_for_batch if self.rates_for_batch else 1.0

    def with_rates(self, changes: Mapping[tuple[int, GroupName], float | None]) -> FineTuneRecipe:
        """Recipe with other peak rates.

        Parameters
        ----------
        changes
            (Number of the stage from 0, layer group) → its peak learning rate, or ``None`` to freeze it there. Stages
            that the recipe does not have are passed over.

        Raises
        ------
        InputError
            A rate outside (0, 1], or a stage that would train nothing.
        """
        stages = []
        for number, stage in enumerate(self.stages):
            rates: dict[GroupName, float | None] = dict(stage.rates)
            rates |= {group: rate for (at, group), rate in changes.items() if at == number}
            kept = {group: rate for group in GROUPS if (rate := rates.get(group)) is not None}
            stages.append(stage if kept == stage.rates else stage.model_copy(update={"rates": kept}))
        if tuple(stages) == self.stages:
            return self
        return self.model_copy(update={"stages": tuple(stages), "preset": "custom"})

    @staticmethod
    def from_preset(
        preset: Preset = "canonical", epochs: int = 30, optimizer: OptimizerName = "adamw", **changes: object
    ) -> FineTuneRecipe:
        """Recipe of a preset, stretched to a number of epochs; other fields by keyword.

        Canonical: a sixth of the epochs for the head alone, the last fifth (rounded, 1 at least) for SGD, the rest
        for all groups with AdamW, or with the optimizer that is to take its place.
        """
        stages = preset_stages(preset, epochs, optimizer)
        return FineTuneRecipe(**({"preset": preset, "stages": stages} | changes))
