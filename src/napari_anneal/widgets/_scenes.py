"""Canvases of plots stay whole in Python until Qt has taken their scenes apart.

While it does so, Qt asks labels and axes for their sizes. Had Python's garbage collector emptied them by then, each
answer would be an error, and an error in a method that Qt calls can end the process.
"""

from __future__ import annotations

from qtpy.QtWidgets import QGraphicsView

__all__ = ["outlive_scene"]

_canvases: set[QGraphicsView] = set()


def outlive_scene(canvas: QGraphicsView) -> None:
    """Keep a canvas, and all that Python holds of it, for as long as its scene lives."""
    _canvases.add(canvas)
    canvas.scene().destroyed.connect(lambda: _canvases.discard(canvas))
