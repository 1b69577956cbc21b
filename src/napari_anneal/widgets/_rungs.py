"""The five rungs of the appearance side by side on the same grains, and the labels beside them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_anneal.widgets._layers import made as made_by_form
from napari_anneal.widgets._mosaic import GAP, add_captions, tiled
from napari_anneal.widgets._preview import piece

if TYPE_CHECKING:
    import napari.viewer

    from napari_anneal.synthesis import MicrostructureRecipe

__all__ = ["RUNGS", "RUNGS_LAYER", "RungsOrder", "remove_rungs", "show_rungs"]

RUNGS_LAYER, CAPTIONS = "five rungs", "five rungs: captions"
RUNGS = {
    1: "1 · clean geometry",
    2: "2 · grey levels and texture",
    3: "3 · blur of the optics",
    4: "4 · detector noise",
    5: "5 · artefacts of specimen and scan",
}
# Captions of the panels, which have less room.
NAMES = ("1 geometry", "2 specimen", "3 optics", "4 detector", "5 artefacts", "labels")
COLUMNS = 3
LARGEST = 320
# Pixels above each panel for its caption.
HEADER = 36


@dataclass(frozen=True)
class RungsOrder:
    """Which recipe to draw, on a piece of at most 320 pixels (of a volume: its middle slice)."""

    recipe: MicrostructureRecipe
    seed: int

    def carry_out(self, report: Callable[[Any], None], cancel: threading.Event) -> npt.NDArray[np.float32] | None:
        """Draw the panels, on the worker's thread; ``None`` where it was cancelled."""
        from napari_anneal.synthesis import synthesize

        flat = len(self.recipe.shape) == 2
        small = piece(self.recipe, LARGEST if flat else None)
        panels: list[npt.NDArray[Any]] = []
        for rung in range(1, 6):
            if cancel.is_set():
                return None
            look = small.appearance.model_copy(update={"rung": rung})
            made = synthesize(small.model_copy(update={"appearance": look}), self.seed)
            middle = slice(None) if flat else made.image.shape[0] // 2
            panels.append(made.image[middle])
            report((rung, 5))
        panels.append((made.labels[middle] == 2).astype(np.float32))
        headed = [np.pad(panel, ((HEADER, 0), (0, 0))) for panel in panels]
        return np.asarray(tiled(headed, COLUMNS), dtype=np.float32)


def show_rungs(viewer: napari.viewer.Viewer, mosaic: npt.NDArray[np.float32], placement: dict[str, Any]) -> None:
    """Put the panels and their captions into the viewer, instead of earlier ones; other layers are hidden."""
    remove_rungs(viewer)
    for layer in viewer.layers:
        layer.visible = False
    flat = {name: value[-2:] for name, value in placement.items()}
    viewer.add_image(mosaic, name=RUNGS_LAYER, contrast_limits=(0, 1), metadata=made_by_form("rungs"), **flat)
    rows = len(NAMES) // COLUMNS
    panel = (mosaic.shape[0] + GAP) // rows - GAP - HEADER, (mosaic.shape[1] + GAP) // COLUMNS - GAP
    add_captions(viewer, CAPTIONS, NAMES, COLUMNS, panel, HEADER, flat, size=10)
    viewer.layers.selection.active = viewer.layers[RUNGS_LAYER]
    viewer.reset_view()


def remove_rungs(viewer: napari.viewer.Viewer) -> bool:
    """Make room for the preview (a hidden layer would still count for the view); whether there was anything."""
    there = [name for name in (RUNGS_LAYER, CAPTIONS) if name in viewer.layers]
    for name in there:
        viewer.layers.remove(name)
    return bool(there)
