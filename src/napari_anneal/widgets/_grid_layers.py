"""The grid of *Augmentation preview* as layers beside the image: cells, their paint, and a caption above each cell."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_anneal.widgets._augmented_grid import Grid
from napari_anneal.widgets._layers import made
from napari_anneal.widgets._mosaic import add_captions

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Layer

__all__ = ["CAPTIONS", "IMAGE", "LABELS", "GridLayers"]

IMAGE, LABELS, CAPTIONS = "augmented image", "augmented labels", "augmented: captions"
OVERLAY = 0.45
# Height of the letters, in points, over that of the room for a caption: they grow with the cells.
LETTERS = 0.45


class GridLayers:
    """Puts grids into the viewer, each in the layers of the one before, which a user may have renamed or removed."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self._layers: dict[str, weakref.ref[Layer]] = {}
        self._captioned: Any = None

    def layer(self, role: str) -> Any:
        """The layer of a role (``IMAGE``, ``LABELS``, ``CAPTIONS``), or ``None`` where it is not in the viewer."""
        reference = self._layers.get(role)
        layer = None if reference is None else reference()
        return layer if layer is not None and layer in self._viewer.layers else None

    @property
    def shown(self) -> bool:
        """Whether there is a grid in the viewer."""
        return self.layer(IMAGE) is not None

    def show(self, grid: Grid, placement: Mapping[str, Any], colormap: Any, overlay: bool) -> None:
        """Show a grid; ``placement`` is where, ``colormap`` that of the labels, ``None``: there are none."""
        selected = set(self._viewer.layers.selection)
        first = not self.shown
        moved = self._put(IMAGE, grid.image, placement)
        if colormap is not None:
            self._put(LABELS, grid.labels, placement, colormap)
        else:
            self._remove(LABELS)
        self.show_overlay(overlay)
        self._caption(grid, placement)
        if selected:
            self._viewer.layers.selection = selected & set(self._viewer.layers)
        if first or moved:
            self._viewer.reset_view()

    def show_overlay(self, on: bool) -> None:
        """Switch the paint over the cells on or off."""
        layer = self.layer(LABELS)
        if layer is not None and layer.visible != on:
            layer.visible = on

    def remove(self) -> None:
        """Take the grid out of the viewer."""
        for role in (CAPTIONS, LABELS, IMAGE):
            self._remove(role)

    def _remove(self, role: str) -> None:
        layer = self.layer(role)
        if layer is not None:
            self._viewer.layers.remove(layer)

    def _put(self, role: str, array: npt.NDArray[Any], placement: Mapping[str, Any], colormap: Any = None) -> bool:
        """Give the layer of a role its new content, or add one; whether the picture has another size or place."""
        layer = self.layer(role)
        if layer is not None and layer.data.ndim != array.ndim:
            self._viewer.layers.remove(layer)
            layer = None
        if layer is None:
            options = {**placement, "name": role, "metadata": made("preview")}
            if role == LABELS:
                layer = self._viewer.add_labels(array, colormap=colormap, opacity=OVERLAY, **options)
            else:
                grey = {} if array.ndim == 3 else {"contrast_limits": (0, 1)}
                layer = self._viewer.add_image(array, rgb=array.ndim == 3, **grey, **options)
            self._layers[role] = weakref.ref(layer)
            return True
        moved = layer.data.shape != array.shape
        if moved or layer.data.dtype != array.dtype:
            layer.data = array
        elif not np.array_equal(layer.data, array):  # paint stays where only a grey-value transform is edited
            # In place: a new array would have the viewer look at every layer's axes and extent again.
            layer.data[:] = array
            layer.refresh(extent=False)
        for name, value in placement.items():
            if repr(getattr(layer, name)) != repr(value):
                setattr(layer, name, value)
                moved = True
        if colormap is not None and layer.colormap is not colormap:
            layer.colormap = colormap
        return moved

    def _caption(self, grid: Grid, placement: Mapping[str, Any]) -> None:
        """Captions change with the choice, not with a slider: drawing text is the slowest part of a grid."""
        texts = tuple(tile.caption for tile in grid.tiles)
        now = (texts, grid.columns, grid.cell.image.shape, repr(placement))
        if now == self._captioned and self.layer(CAPTIONS) is not None:
            return
        self._remove(CAPTIONS)
        head, size = grid.cell.head, grid.cell.image.shape[1:]
        layer = add_captions(
            self._viewer, CAPTIONS, texts, grid.columns, size, head, placement, size=LETTERS * head, scaling=True
        )
        self._layers[CAPTIONS] = weakref.ref(layer)
        self._captioned = now
