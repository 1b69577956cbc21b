"""The augmentation recipe of this session: what *Augmentation preview* shows is what *Fine-tune* trains with."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

if TYPE_CHECKING:
    from napari_anneal.augmentation import AugmentationRecipe

__all__ = ["SessionAugmentation", "session_augmentation"]


class SessionAugmentation(QObject):
    """One recipe that all forms share; ``changed`` follows whenever another one is put in its place."""

    changed = Signal()

    def __init__(self) -> None:
        from napari_anneal.augmentation import AugmentationRecipe

        super().__init__()
        self.recipe: AugmentationRecipe = AugmentationRecipe()

    def put(self, recipe: AugmentationRecipe) -> None:
        """Put another recipe in its place."""
        if recipe != self.recipe:
            self.recipe = recipe
            self.changed.emit()

    def reset(self) -> None:
        """Go back to the default recipe, a gentle one for isotropic samples."""
        self.put(type(self.recipe)())


@cache
def session_augmentation() -> SessionAugmentation:
    """The one recipe of the session."""
    return SessionAugmentation()
