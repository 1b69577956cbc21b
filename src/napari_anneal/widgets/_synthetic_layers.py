"""A microstructure as layers: image, grains, labels to train on, and where asked for the distance to the boundary."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anneal.widgets._layers import Snapshot, add_class_labels
from napari_anneal.widgets._layers import made as made_by_form

if TYPE_CHECKING:
    import napari.viewer

    from napari_anneal.synthesis import Microstructure, MicrostructureRecipe

__all__ = ["COLOURS", "add_layers", "add_seeds", "count_of", "making"]

COUNTED = {
    "grains": ("grain", "grains"),
    "objects": ("object", "objects"),
    "two_phase": ("domain of the second phase", "domains of the second phase"),
}
COLOURS = ("#56b4e9", "#d55e00")


def making(
    recipe: MicrostructureRecipe, seed: int
) -> Callable[[Callable[[Any], None], threading.Event], Microstructure]:
    """The work of making a microstructure, for a worker's thread."""

    def work(report: Callable[[Any], None], cancel: threading.Event) -> Microstructure:
        from napari_anneal.synthesis import synthesize

        return synthesize(recipe, seed)

    return work


def count_of(made: Microstructure) -> str:
    """How many grains or objects there are, in words."""
    whole = made.recipe.kind != "grains"  # number 1 is the matrix
    count = int(made.grains.max()) - whole
    return f"{count} {COUNTED[made.recipe.kind][count != 1]}"


def add_layers(viewer: napari.viewer.Viewer, made: Microstructure, place: dict[str, Any], *, distance: bool) -> str:
    """Add the layers of a microstructure under a name of their own; returns that name."""
    number = sum(a.name.startswith("microstructure ") and a.name.endswith(" image") for a in viewer.layers)
    name = f"microstructure {number + 1}"
    viewer.add_image(made.image, name=f"{name} image", contrast_limits=(0, 1), **place)
    if distance:
        # Infinite where there is no boundary at all; a layer's contrast needs a number.
        shown = np.where(np.isfinite(made.distance), made.distance, np.float32(max(made.distance.shape)))
        viewer.add_image(
            shown,
            name=f"{name} distance",
            colormap="viridis",
            visible=False,
            metadata=made_by_form("distance"),
            **place,
        )
    viewer.add_labels(
        made.grains, name=f"{name} grains", opacity=0.4, visible=False, metadata=made_by_form("grains"), **place
    )
    like = Snapshot(name, made.image, "ZYX"[-made.image.ndim :], place, group=name)
    add_class_labels(viewer, made.labels, f"{name} {made.classes[1]}", like, made.classes, COLOURS, opacity=0.3)
    viewer.reset_view()
    return name


def add_seeds(viewer: napari.viewer.Viewer, made: Microstructure, place: dict[str, Any]) -> Any:
    """Add the seeds of a microstructure as a Points layer that can be edited and grown from; returns the layer."""
    # Their size is in pixels of the image.
    size = max(3.0, min(made.recipe.grain_diameter / 4, 12.0))
    return viewer.add_points(
        made.seeds,
        name="seeds",
        size=size,
        face_color="#ffd54f",
        border_color="black",
        **place,
    )
