"""The way of a synthetic stream from *Synthetic microstructure* to *Fine-tune*."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_anneal.widgets._open_form import open_form

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
        """The stream, in patches (see `SyntheticStream.in_patches`)."""
        from napari_anneal.synthesis import SyntheticStream

        return SyntheticStream.in_patches(self.recipe, self.seed, patch)


def hand_over(viewer: napari.viewer.Viewer, source: StreamSource) -> None:
    """Open *Fine-tune* in the viewer, or find it there, and give it the stream.

    Raises
    ------
    InputError
        The viewer has no window to open a form in, or a run is going on in it.
    """
    open_form(viewer, "Fine-tune", "call fine_tune(stream, …) instead").train_on(source)
