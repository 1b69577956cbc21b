"""What a setting may be drawn from: a range of numbers, or a choice."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from napari_anneal.recipe_base import Recipe

__all__ = ["Choice", "Span"]


class Span(Recipe):
    """Numbers from ``low`` to ``high``, evenly or evenly in the logarithm; now and then the value ``otherwise``.

    A bare number stands for a fixed value and ``(low, high)`` for an even range.
    """

    low: float = Field(description="Least value.")
    high: float = Field(description="Greatest value.")
    log: bool = Field(False, description="Even in the logarithm: for settings that span decades.")
    probability: float = Field(1.0, ge=0, le=1, description="How often it is drawn from the range.")
    otherwise: float = Field(0.0, description="The value at the other times (usually: the effect is absent).")

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, given: Any) -> Any:
        if isinstance(given, (int, float)) and not isinstance(given, bool):
            return {"low": given, "high": given}
        if isinstance(given, (tuple, list)):
            if len(given) != 2:
                raise ValueError(f"{given} is no range; give (low, high) or one number")
            return {"low": given[0], "high": given[1]}
        return given

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"the range {self.low:g} … {self.high:g} runs backwards; give the smaller number first")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range must start above 0, not at {self.low:g}")
        return self

    def draw(self, rng: np.random.Generator) -> float:
        """One value; always takes two numbers from the generator, so that other settings keep theirs."""
        present, place = rng.random(2)
        if present >= self.probability:
            return self.otherwise
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            # exp(log(x)) may miss x by a bit and leave the range.
            return min(max(math.exp(low + place * (high - low)), self.low), self.high)
        return float(self.low + place * (self.high - self.low))


class Choice(Recipe):
    """One of several options, evenly or with weights. A bare value stands for itself, a list for an even choice."""

    options: tuple[str, ...] = Field(min_length=1, description="What may be chosen.")
    weights: tuple[float, ...] | None = Field(None, description="How often each is, relative to the others.")

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"options": (given,)}
        if isinstance(given, (tuple, list)):
            return {"options": tuple(given)}
        return given

    @model_validator(mode="after")
    def _weights_fit(self) -> Self:
        if self.weights is not None and (
            len(self.weights) != len(self.options) or min(self.weights) < 0 or sum(self.weights) <= 0
        ):
            raise ValueError(
                f"weights {self.weights} must be {len(self.options)} numbers ≥ 0, not all 0, one an option"
            )
        return self

    def draw(self, rng: np.random.Generator) -> str:
        """One option; always takes one number from the generator."""
        place = rng.random()
        weights = np.ones(len(self.options)) if self.weights is None else np.array(self.weights)
        edges = np.cumsum(weights) / weights.sum()
        return self.options[min(int(np.searchsorted(edges, place, side="right")), len(self.options) - 1)]
