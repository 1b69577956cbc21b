"""The way of a synthetic stream from *Synthetic microstructure* to *Fine-tune*."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_anneal.errors import InputError

if TYPE_CHECKING:
    import napari.viewer

    from napari_anneal.synthesis import MicrostructureRecipe, RecipeRanges, SyntheticStream

__all__ = ["StreamSource", "hand_over"]


@dataclass(frozen=True)
class StreamSource:
    """A stream of synthetic images to train on: one recipe with ever new seeds, or ranges; ``text`` says which."""

    recipe: MicrostructureRecipe | RecipeRanges
    seed: int
    text: str

    @property
    def classes(self) -> tuple[str, str]:
        """Names of labels 1 and 2."""
        from napari_anneal.synthesis import SyntheticStream

        return SyntheticStream(self.recipe, self.seed).classes

    def stream(self, patch: int) -> SyntheticStream:
        """The stream, of 2D images of ``patch`` pixels with grains as large as those of the recipe.

        Seeds at given points or of given sizes cannot be cut to a patch: random ones of the same number take their
        place.

        Raises
        ------
        InputError
            The recipe does not hold on a patch of this size.
        """
        from napari_anneal.synthesis import MicrostructureRecipe, SyntheticStream

        recipe = self.recipe
        changes: dict[str, Any] = {"shape": (patch, patch), "spacing": None}
        if isinstance(recipe, MicrostructureRecipe):
            cell = math.pi / 4 * recipe.grain_diameter**2
            changes |= {"n_seeds": max(1, round(patch**2 / cell)), "points": None, "target_sizes": None}
            if recipe.points is not None:
                changes["placement"] = "random"
        return SyntheticStream(recipe.model_copy(update=changes), self.seed)


def hand_over(viewer: napari.viewer.Viewer, source: StreamSource) -> None:
    """Open *Fine-tune* in the viewer, or find it there, and give it the stream.

    Raises
    ------
    InputError
        The viewer has no window to open a form in, or a run is going on in it.
    """
    window = getattr(viewer, "window", None)
    if window is None:
        raise InputError("Fine-tune needs a viewer with a window; in a script, call fine_tune(stream, …) instead.")
    dock, form = window.add_plugin_dock_widget("napari-anneal", "Fine-tune", tabify=True)
    dock.show()
    dock.raise_()
    form.train_on(source)
