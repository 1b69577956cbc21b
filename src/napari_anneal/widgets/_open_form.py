"""One form opens another: in the viewer's window, or found there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_anneal.errors import InputError

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["open_form"]


def open_form(viewer: napari.viewer.Viewer, title: str, otherwise: str) -> Any:
    """Open the form of that title, or find it, and bring it to the front.

    ``otherwise`` says what to do in a script, where there may be no window.

    Raises
    ------
    InputError
        The viewer has no window to open a form in.
    """
    window = window_of(viewer)
    if window is None:
        raise InputError(f"{title} needs a viewer with a window; in a script, {otherwise}.")
    dock, form = window.add_plugin_dock_widget("napari-anneal", title, tabify=True)
    dock.show()
    dock.raise_()
    return form


def window_of(viewer: napari.viewer.Viewer) -> Any:
    """The window of a viewer; ``None``: it has none."""
    return getattr(viewer, "window", None)
