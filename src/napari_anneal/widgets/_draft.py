"""The recipe as a form has it: a preset (or ``auto``), settings, and rates that were changed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_anneal.training import FineTuneRecipe

__all__ = ["AUTO", "Draft"]

AUTO = "auto"
ENDLESS = "An endless stream has labels enough to adapt every layer, each at its own rate."


@dataclass(frozen=True)
class Draft:
    """What a recipe is made from, once it is known what is painted.

    ``edits``: (stage from 0, layer group) → peak rate, ``None`` where the group is to be frozen.
    """

    preset: str
    optimizer: str
    epochs: int
    settings: Mapping[str, Any]
    edits: Mapping[tuple[int, str], float | None] = field(default_factory=dict)

    def after_a_stream(self) -> Draft:
        """The draft of a run on images from a model that a run on a stream made: there is something to keep by then."""
        return replace(self, preset="canonical") if self.preset == "scratch" else self

    def recipe(self, painted: int, pretrained: bool, **names: Any) -> tuple[FineTuneRecipe, str]:
        """The recipe, and a sentence that says why this preset where it was chosen by the number of labels.

        Parameters
        ----------
        painted
            Number of painted images or slices; 0 for a stream, which is endless.
        pretrained
            Whether the start has learned anything.
        **names
            ``classes`` and ``colours`` of the recipe.
        """
        from napari_anneal.training import FineTuneRecipe, recommend

        preset: Any = self.preset
        why = ""
        if preset == AUTO:
            endless = not painted and pretrained
            preset, why = ("full", ENDLESS) if endless else recommend(max(1, painted), pretrained)
        optimizer: Any = self.optimizer
        recipe = FineTuneRecipe.from_preset(preset, self.epochs, optimizer, **{**self.settings, **names})
        edits: Any = self.edits
        return recipe.with_rates(edits), why
