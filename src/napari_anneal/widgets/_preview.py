"""The live preview: a layer that follows the settings, drawn off the GUI thread; the newest settings win."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from napari_anneal.widgets._layers import made as made_by_form
from napari_anneal.widgets._size_plot import Sizes, measured
from napari_anneal.widgets._worker import Job

if TYPE_CHECKING:
    import napari.viewer

    from napari_anneal.synthesis import Microstructure, MicrostructureRecipe

__all__ = ["PREVIEW", "Preview", "piece"]

PREVIEW = "synthetic preview"
# Edits within this time are drawn as one. It counts from the first of them, so that dragging draws all the way.
DEBOUNCE_MS = 20
# How often the GUI thread looks whether the drawing is there.
LOOK_MS = 5
# A preview shows a piece of at most this size with the same density of grains, so that it keeps up with the mouse.
PREVIEW_2D, PREVIEW_3D = 512, 72


class Preview(QObject):
    """Draw what ``settings()`` says after every call of `ask`.

    Signals
    -------
    shown : Microstructure, Sizes
        The layer holds this now.
    failed : str
        Why there is nothing to show.
    """

    shown = Signal(object, object)
    failed = Signal(str)

    def __init__(
        self,
        owner: QWidget,
        viewer: napari.viewer.Viewer,
        settings: Callable[[], tuple[MicrostructureRecipe, int, dict[str, Any]]],
        guarded: Callable[[Callable[[], None]], None],
    ) -> None:
        super().__init__(owner)
        self._viewer, self._settings, self._guarded = viewer, settings, guarded
        self._placement: dict[str, Any] = {}
        self._again = self._dropped = False
        self.job = Job(owner, LOOK_MS)
        self.job.done.connect(lambda drawn: guarded(lambda: self._show(*drawn)))
        self.job.failed.connect(self.failed)
        self.job.ended.connect(self._next)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DEBOUNCE_MS)
        self._timer.timeout.connect(lambda: guarded(self._draw))

    def ask(self) -> None:
        """Draw soon."""
        if not self._timer.isActive():
            self._timer.start()

    def drop(self) -> None:
        """Forget what was asked for; what is being drawn is not shown. Does not wait."""
        self._again, self._dropped = False, True
        self._timer.stop()

    def stop(self) -> None:
        """Draw nothing more, and wait for the thread: the form is going."""
        self.drop()
        self.job.stop()

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        if PREVIEW in self._viewer.layers:
            self._viewer.layers.remove(PREVIEW)

    def _draw(self) -> None:
        if self.job.running:
            self._again = True
            return
        recipe, seed, placement = self._settings()
        self._placement, self._dropped = placement, False
        self.job.start(_drawing(piece(recipe), seed), "preview")

    def _next(self) -> None:
        if self._again:
            self._again = False
            self._guarded(self._draw)

    def _show(self, made: Microstructure, sizes: Sizes) -> None:
        if self._dropped:
            return
        layers = self._viewer.layers
        if PREVIEW in layers and layers[PREVIEW].ndim != made.image.ndim:
            layers.remove(PREVIEW)
        if PREVIEW not in layers:
            self._viewer.add_image(
                made.image,
                name=PREVIEW,
                contrast_limits=(0, 1),
                metadata=made_by_form("preview"),
                **self._placement,
            )
            self._viewer.reset_view()
        else:
            layer = layers[PREVIEW]
            moved = layer.data.shape != made.image.shape or tuple(layer.scale) != tuple(self._placement["scale"])
            layer.data, layer.visible = made.image, True
            layer.scale, layer.units = self._placement["scale"], self._placement["units"]
            if moved:
                self._viewer.reset_view()
        self.shown.emit(made, sizes)


def piece(recipe: MicrostructureRecipe, largest: int | None = None) -> MicrostructureRecipe:
    """A recipe for a preview: at most so large, with the same density of grains; prescribed points stay as they are."""
    if largest is None:
        largest = PREVIEW_2D if len(recipe.shape) == 2 else PREVIEW_3D
    shape = tuple(min(n, largest) for n in recipe.shape)
    if shape == recipe.shape or recipe.points is not None:
        return recipe
    share = math.prod(shape) / math.prod(recipe.shape)
    return recipe.model_copy(update={"shape": shape, "n_seeds": max(1, round(recipe.n_seeds * share))})


def _drawing(
    recipe: MicrostructureRecipe, seed: int
) -> Callable[[Callable[[Any], None], threading.Event], tuple[Microstructure, Sizes]]:
    def work(report: Callable[[Any], None], cancel: threading.Event) -> tuple[Microstructure, Sizes]:
        from napari_anneal.synthesis import synthesize

        made = synthesize(recipe, seed)
        return made, measured(made)

    return work
