"""Watch it learn: what the network makes of one slice, shown as a layer that is renewed after every epoch."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtWidgets import QHBoxLayout, QSpinBox, QWidget

from napari_anneal.widgets._layer_choice import LayerChoice
from napari_anneal.widgets._layers import (
    GROUP_KEY,
    Snapshot,
    add_class_labels,
    class_colormap,
    remember,
    slice_in_view,
    snapshot,
)

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["WATCHED", "WatchChoice", "WatchedSlice"]

# What a layer is remembered as that a run made to be watched: it is no paint, whatever it looks like.
WATCHED = "watched"
# Of a larger slice a window of this side is predicted, where the view is: a second's work an epoch on two cores.
WINDOW = 768
NOTHING = "nothing"
TIP = (
    "Watch it learn: after every epoch the network's labels of this slice are shown as a layer, named after the epoch. "
    f"Of a slice beyond {WINDOW} px, the part in the middle of the view. The layer is never trained on; hide or delete "
    "it as you like. It stays when the run is over."
)


@dataclass
class WatchedSlice:
    """One slice of an image as it was when the run began, and the layer on which it is shown.

    ``pixels`` is what the network sees, ``(Y, X)`` or ``(Y, X, C)``: the slice, or a ``window`` of it.
    """

    pixels: npt.NDArray[Any]
    window: tuple[slice, slice]
    shape: tuple[int, int]
    like: Snapshot
    below: weakref.ref[Any]
    _layer: weakref.ref[Any] | None = field(default=None, repr=False)
    _told: tuple[tuple[str, ...], tuple[str, ...]] | None = field(default=None, repr=False)

    def show(
        self,
        viewer: napari.viewer.Viewer,
        labels: npt.NDArray[Any],
        epoch: int,
        classes: Sequence[str],
        colours: Sequence[str],
    ) -> None:
        """Show the labels of an epoch; nothing, once the user has deleted the layer."""
        name = f"{self.like.name} · learning, epoch {epoch}"
        if self._layer is None:
            self._layer = weakref.ref(self._earlier(viewer) or self._add(viewer, name, classes, colours))
        layer = self._layer()
        if layer is None or layer not in viewer.layers or layer.data.shape[-2:] != self.shape:
            return
        if self._told != (tuple(classes), tuple(colours)):  # the next run of a cascade tells other classes apart
            layer.colormap = class_colormap(colours)
            layer.features = {"index": list(range(len(classes) + 1)), "class": ["not predicted", *classes]}
            self._told = (tuple(classes), tuple(colours))
        layer.data[(..., *self.window)] = labels
        layer.name = name
        layer.refresh(extent=False)

    def _add(self, viewer: napari.viewer.Viewer, name: str, classes: Sequence[str], colours: Sequence[str]) -> Any:
        """Add the layer over the image and under the paint, and leave the layer active that is painted on."""
        active = viewer.layers.selection.active
        data = np.zeros((1,) * self.like.is_stack + self.shape, np.uint8)
        layer = add_class_labels(viewer, data, name, self.like, classes, colours, opacity=0.5)
        remember(layer, made=WATCHED, watches=self._mark)
        image = self.below()
        if image is not None and image in viewer.layers:
            viewer.layers.move(viewer.layers.index(layer), viewer.layers.index(image) + 1)
        if active is not None:
            viewer.layers.selection.active = active
        return layer

    def _earlier(self, viewer: napari.viewer.Viewer) -> Any:
        """The layer of an earlier run on the same slice, if it is still there."""
        for layer in viewer.layers:
            about = layer.metadata.get(GROUP_KEY)
            if isinstance(about, dict) and about.get("watches") == self._mark and layer.data.shape[-2:] == self.shape:
                layer.data[:] = 0
                return layer
        return None

    @property
    def _mark(self) -> list[Any]:
        return [self.like.name, *np.round(np.asarray(self.like.placement["translate"], float), 9).tolist()]


class WatchChoice(QWidget):
    """Which image to watch, and of a stack which slice (the one in view when the run begins, unless chosen)."""

    tip = TIP

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        from napari.layers import Image

        super().__init__()
        self._viewer = viewer
        self.image = LayerChoice(viewer, (Image,), none=NOTHING)
        self.slice = QSpinBox()
        self.slice.setMinimum(-1)
        self.slice.setSpecialValueText("in view")
        self.slice.setValue(-1)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.image, 3)
        layout.addWidget(self.slice, 2)
        self._chosen = False
        self.image.activated.connect(self._on_chosen)
        self.image.layer_changed.connect(self._on_image)
        self._on_image()

    def setToolTip(self, text: str) -> None:
        """Put the tooltip on the parts."""
        self.image.setToolTip(text)
        self.slice.setToolTip(f"{text}\nStep below 0 for the slice in view.")

    def follow(self, image: Any) -> None:
        """Offer the image of the first pair, unless the user has chosen another, or none."""
        if not self._chosen:
            self.image.choose(image)

    def ordered(self) -> WatchedSlice | None:
        """A copy of the slice to watch, or ``None``.

        Raises
        ------
        InputError
            The layer has another number of axes than 2 or 3.
        """
        layer = self.image.layer
        if layer is None:
            return None
        whole = snapshot(layer, copy=False)
        z = None
        if whole.is_stack:
            z = self.slice.value() if self.slice.value() >= 0 else slice_in_view(self._viewer, layer)
            z = min(z, whole.data.shape[0] - 1)
        plane = whole.data if z is None else whole.data[z]
        shape = (int(plane.shape[0]), int(plane.shape[1]))
        # The camera moved into the scene in napari 0.9.
        camera = getattr(self._viewer, "scene", self._viewer).camera
        middle = layer.world_to_data(camera.center[-layer.ndim :])[-2:]
        window = (part(shape[0], middle[0]), part(shape[1], middle[1]))
        like = replace(whole, data=None, placement=whole.placement if z is None else whole.placed_at(z))
        return WatchedSlice(np.array(plane[window]), window, shape, like, weakref.ref(layer))

    def _on_chosen(self, index: int) -> None:
        self._chosen = True

    def _on_image(self) -> None:
        layer = self.image.layer
        stack = layer is not None and layer.ndim == 3
        self.slice.setVisible(stack)
        if layer is not None and stack:
            self.slice.setMaximum(int(layer.data.shape[0]) - 1)
            self.slice.setValue(-1)


def part(length: int, middle: float) -> slice:
    """At most ``WINDOW`` pixels of an axis around a place, within the image."""
    first = int(np.clip(round(float(middle)) - WINDOW // 2, 0, max(0, length - WINDOW)))
    return slice(first, min(length, first + WINDOW))
