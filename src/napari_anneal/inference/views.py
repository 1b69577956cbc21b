"""Flips and quarter turns under which an image may be looked at again: those that its kind of sample allows.

A view is an element of the symmetry group of the square. What a sample allows is closed under composition (a flip after
a flip is legal where both are), so the views are a subgroup of 1, 2, 4 or 8 elements, and the mean over them turns with
the image.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch

from napari_anneal.augmentation import AugmentationRecipe
from napari_anneal.augmentation.legality import illegal_transforms

if TYPE_CHECKING:
    from napari_anneal.models import BundleCard

__all__ = ["AS_IT_IS", "View", "legal_views", "views_of"]


@dataclass(frozen=True, order=True)
class View:
    """An image mirrored left to right, or not, and then turned anticlockwise by some quarter turns."""

    mirrored: bool = False
    quarter_turns: int = 0

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Look at ``(…, Y, X)``; after an odd number of turns the result is ``(…, X, Y)``."""
        seen = image.flip(-1) if self.mirrored else image
        return torch.rot90(seen, self.quarter_turns, (-2, -1)) if self.quarter_turns else seen

    def undo(self, seen: torch.Tensor) -> torch.Tensor:
        """What lies where in the view, back where it lies in the image."""
        image = torch.rot90(seen, -self.quarter_turns, (-2, -1)) if self.quarter_turns else seen
        return image.flip(-1) if self.mirrored else image

    def after(self, first: View) -> View:
        """The view of a view: ``first``, then this one."""
        turns = -first.quarter_turns if self.mirrored else first.quarter_turns
        return View(self.mirrored != first.mirrored, (self.quarter_turns + turns) % 4)


AS_IT_IS: Final = View()
_GENERATORS: Final = {"hflip": View(True, 0), "vflip": View(True, 2), "rot180": View(False, 2), "rot90": View(False, 1)}


def legal_views(kinds: str | Iterable[str], direction_deg: float = 90.0, light_deg: float = 90.0) -> tuple[View, ...]:
    """Views that a sample allows, the image as it is first; arguments as `augmentation.legality.illegal_transforms`.

    Raises
    ------
    InputError
        Not a kind of sample.
    """
    illegal = illegal_transforms(kinds, direction_deg, light_deg)
    allowed = [view for name, view in _GENERATORS.items() if name not in illegal]
    found = {AS_IT_IS}
    while True:
        more = {view.after(first) for view in allowed for first in found} - found
        if not more:
            return tuple(sorted(found))
        found |= more


def views_of(card: BundleCard) -> tuple[View, ...]:
    """Views that the kind of sample in a model's recipe allows; a card that names no kind means "isotropic"."""
    stated: dict[str, Any] = card.recipe.get("augmentation") or {}
    known = {name: stated[name] for name in ("sample", "also", "direction_deg", "light_deg") if name in stated}
    about = AugmentationRecipe.none().model_copy(update={"outside": "wrap", **known})
    return legal_views(about.kinds, about.direction_deg, about.light_deg)
