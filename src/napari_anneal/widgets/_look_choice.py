"""Choose an Image layer whose look synthetic images are to take: it is looked at once, off the GUI thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_anneal.widgets._layer_choice import LayerChoice
from napari_anneal.widgets._layers import is_made
from napari_anneal.widgets._worker import Job

if TYPE_CHECKING:
    import napari.viewer

    from napari_anneal.synthesis import RealLook

__all__ = ["LookChoice"]


class LookChoice(QWidget):
    """A choice of Image layers; ``look`` is what the chosen one looks like, or ``None``.

    Signals
    -------
    changed
        There is another look.
    failed : str
        Why the chosen image has no look.
    """

    changed = Signal()
    failed = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        from napari.layers import Image

        super().__init__()
        self.look: RealLook | None = None
        self.layers = LayerChoice(viewer, (Image,), none="(as set)")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.layers)
        self._again = False
        self.job = Job(self)
        self.job.done.connect(self._take)
        self.job.failed.connect(self._refuse)
        self.job.ended.connect(self._next)
        self.layers.layer_changed.connect(self._look)

    def setToolTip(self, text: str) -> None:
        """Put the tooltip on the choice."""
        self.layers.setToolTip(text)

    def _look(self) -> None:
        layer = self.layers.layer
        if self.job.running:
            self._again = True
        elif layer is None:
            self._take(None)
        elif is_made(layer):
            self._refuse(f"Layer {layer.name!r} is synthetic itself; choose a real image to look like.")
        else:
            data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
            self.job.start(_looking(data), "look")

    def _take(self, look: RealLook | None) -> None:
        self.look = look
        self.changed.emit()

    def _refuse(self, why: str) -> None:
        self.layers.choose(None)
        self.failed.emit(why)

    def _next(self) -> None:
        if self._again:
            self._again = False
            self._look()


def _looking(data: Any) -> Callable[[Callable[[Any], None], threading.Event], RealLook]:
    def work(report: Callable[[Any], None], cancel: threading.Event) -> RealLook:
        from napari_anneal.synthesis import RealLook

        return RealLook.estimate(np.asarray(data))

    return work
