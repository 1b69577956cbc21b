"""One stage of a recipe: which layer groups learn, with which optimizer, at which rates and for how long."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from napari_anneal.models.layer_groups import GroupName
from napari_anneal.recipe_base import Recipe

__all__ = [
    "ADAMW_RATES",
    "LION_FACTOR",
    "SGD_RATES",
    "THREE_GROUPS",
    "OptimizerName",
    "Stage",
    "rates_of_three",
    "with_lion",
]

OptimizerName = Literal["adamw", "adam", "sgd", "lion"]

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
# The three-group variant: early, middle and head. With the rates of the method it equals the five groups.
THREE_GROUPS: dict[Literal["early", "middle", "head"], tuple[GroupName, ...]] = {
    "early": ("stem+layer1", "layer2"),
    "middle": ("layer3", "layer4"),
    "head": ("head",),
}
# Lion's steps have the same length for every weight, so its rate is 3 to 10 times smaller than AdamW's and its decay as
# many times larger (Chen et al. 2023, section 5); this is the middle of that range on a logarithmic scale.
LION_FACTOR = 5.0
LEAST_LION_FACTOR = 3.0


class Stage(Recipe):
    """One stretch of the run: which groups learn, with which optimizer, at which rates."""

    name: str = Field(description="How curves and messages call this stage.", min_length=1, max_length=40)
    epochs: int | None = Field(None, ge=1, description="Length in epochs.")
    steps: int | None = Field(None, ge=1, description="Length in optimizer steps, instead of epochs.")
    optimizer: OptimizerName = Field("adamw", description="AdamW, Adam, SGD with momentum, or Lion.")
    rates: dict[GroupName, float] = Field(
        description="Peak learning rate of each group that learns; others are frozen."
    )
    schedule: Literal["constant", "warmup_cosine"] = Field(
        "warmup_cosine", description="Constant, or linear warm-up and then a cosine to zero."
    )
    weight_decay: float = Field(
        WEIGHT_DECAY, ge=0, description="Weight decay: decoupled (AdamW, Lion) or L2 (Adam, SGD)."
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum (SGD).")
    nesterov: bool = Field(False, description="Nesterov's momentum (SGD).")

    @model_validator(mode="after")
    def _settings_agree(self) -> Stage:
        if not self.rates or not all(0 < rate <= 1 for rate in self.rates.values()):
            raise ValueError(f"rates {self.rates} must name at least one group, each with a learning rate in (0, 1]")
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(f"stage {self.name!r} needs a length, in epochs or in steps, not both")
        if self.nesterov and self.momentum == 0:
            raise ValueError(f"stage {self.name!r}: Nesterov's momentum needs a momentum above 0")
        return self

    def length(self, steps_per_epoch: int) -> int:
        """Length in optimizer steps."""
        return self.steps if self.steps is not None else (self.epochs or 0) * steps_per_epoch

    @property
    def too_fast_for_lion(self) -> bool:
        """Whether Lion is given a rate that was meant for AdamW."""
        return self.optimizer == "lion" and any(
            rate > ADAMW_RATES[group] / LEAST_LION_FACTOR * (1 + 1e-9) for group, rate in self.rates.items()
        )


def rates_of_three(early: float, middle: float, head: float) -> dict[GroupName, float]:
    """Rates of the five groups from those of the three-group variant."""
    of_three = {"early": early, "middle": middle, "head": head}
    return {group: of_three[name] for name, groups in THREE_GROUPS.items() for group in groups}


def with_lion(stage: Stage, factor: float = LION_FACTOR) -> Stage:
    """An AdamW stage as a Lion stage: rates divided and decay multiplied by ``factor`` (3 to 10)."""
    return stage.model_copy(
        update={
            "optimizer": "lion",
            "rates": {group: rate / factor for group, rate in stage.rates.items()},
            "weight_decay": stage.weight_decay * factor,
        }
    )
