"""A combo box of the viewer's layers that follows them as they come, go, move and are renamed."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy import compat
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox

from napari_anneal.widgets._form import shrinkable

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Layer

__all__ = ["LayerChoice", "follow_layers"]

EVENTS = ("inserted", "removed", "reordered", "renamed")


def follow_layers(viewer: napari.viewer.Viewer, widget: Any, refresh: Callable[[], None]) -> None:
    """Call ``refresh()`` whenever a layer comes, goes, moves or is renamed, as long as ``widget`` lives.

    ``refresh`` must be a bound method of ``widget``: it is held weakly, so the viewer keeps no dead form alive.
    """
    method = weakref.WeakMethod(refresh)
    reference = weakref.ref(widget)

    def on_layers(event: Any = None) -> None:
        owner, call = reference(), method()
        if owner is None or call is None or not compat.isalive(owner):
            for name in EVENTS:
                getattr(viewer_layers.events, name).disconnect(on_layers)
            return
        call()

    viewer_layers = viewer.layers
    for name in EVENTS:
        getattr(viewer_layers.events, name).connect(on_layers)


class LayerChoice(QComboBox):
    """Choose one layer of the given kinds.

    Parameters
    ----------
    viewer
        Whose layers to offer.
    kinds
        Layer classes to offer, such as ``(napari.layers.Image,)``.
    none
        Text of a first entry that means "no layer"; ``None``: there is no such entry.

    Signals
    -------
    layer_changed
        Another layer is chosen (not: the same one has another name now).
    """

    layer_changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, kinds: tuple[type[Layer], ...], none: str | None = None) -> None:
        super().__init__()
        shrinkable(self)
        self._viewer, self._kinds, self._none = viewer, kinds, none
        self._last: weakref.ref[Layer] | None = None
        self._layers: list[weakref.ref[Layer]] = []
        self.refresh()
        self.currentIndexChanged.connect(self._announce)
        follow_layers(viewer, self, self.refresh)

    @property
    def layer(self) -> Layer | None:
        """The chosen layer, or ``None``."""
        index = self.currentIndex() - (self._none is not None)
        return self._layers[index]() if 0 <= index < len(self._layers) else None

    def choose(self, layer: Layer | None) -> None:
        """Choose ``layer`` if it is offered; ``None`` chooses the "no layer" entry."""
        offset = int(self._none is not None)
        if layer is None and offset:
            self.setCurrentIndex(0)
        for index, reference in enumerate(self._layers):
            if reference() is layer and layer is not None:
                self.setCurrentIndex(index + offset)

    def refresh(self) -> None:
        """Offer what the viewer holds now, topmost layer first, and keep the choice where it is still there."""
        chosen = self.layer
        offered = [layer for layer in reversed(self._viewer.layers) if isinstance(layer, self._kinds)]
        self.blockSignals(True)
        self.clear()
        if self._none is not None:
            self.addItem(self._none)
        self.addItems([layer.name for layer in offered])
        self._layers = [weakref.ref(layer) for layer in offered]
        if chosen is None and self._none is None and offered:
            self.setCurrentIndex(0)
        else:
            self.choose(chosen)
        self.blockSignals(False)
        self._announce()

    def _announce(self, index: int = 0) -> None:
        layer = self.layer
        if layer is not (self._last() if self._last is not None else None):
            self._last = None if layer is None else weakref.ref(layer)
            self.layer_changed.emit()
