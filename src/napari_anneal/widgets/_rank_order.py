"""Rank what the viewer holds, off the GUI thread, and show the places as boxes on their images."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anneal.errors import InputError
from napari_anneal.widgets._chosen_pairs import free_images
from napari_anneal.widgets._layers import Snapshot, check_fit, is_made, made, placement_of, sample_of, snapshot
from napari_anneal.widgets._live import Progress

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["RankOrder", "go_to", "rank_order", "show_boxes"]

# Share of the canvas that a place takes when one goes there: its surroundings tell what it is.
FILLED = 0.8


@dataclass(frozen=True)
class RankOrder:
    """What was asked for when the button was pressed; it holds snapshots, no widget and no layer.

    ``painted`` is the paint on each of ``images``, or ``None``.
    """

    images: tuple[Snapshot, ...]
    painted: tuple[Snapshot | None, ...]
    model: Any
    settings: dict[str, Any]

    def carry_out(self, report: Callable[[Any], None], cancel: threading.Event) -> Any:
        """Load the model and rank; a ``Ranking``."""
        from napari_anneal.inference import load_model, rank
        from napari_anneal.samples.sample import Sample

        model = load_model(self.model, precision="auto") if isinstance(self.model, str) else self.model
        samples = [
            Sample(image.data, None, image.group, image.spacing, image.name, image.axes)
            if paint is None
            else sample_of(image, paint)
            for image, paint in zip(self.images, self.painted, strict=True)
        ]
        return rank(
            model,
            samples,
            progress=lambda done, total: report(Progress(done, total)),
            cancel=cancel,
            **self.settings,
        )


def rank_order(
    viewer: napari.viewer.Viewer, image: Any, every: bool, model: Any, settings: dict[str, Any]
) -> RankOrder:
    """Take the image, or every image of the viewer but gold and what forms made, with the paint that lies on it.

    Raises
    ------
    InputError
        There is no image, or it is gold.
    """
    from napari.layers import Labels

    # A stack is copied only once it is known that nothing is wrong with it.
    shots = [snapshot(layer) for layer in free_images(viewer, image, every)]
    paint = [layer for layer in viewer.layers if isinstance(layer, Labels) and not is_made(layer)]
    return RankOrder(tuple(shots), tuple(_paint_on(shot, paint) for shot in shots), model, settings)


def show_boxes(viewer: napari.viewer.Viewer, places: Sequence[Any]) -> dict[str, Any]:
    """One Shapes layer for every image that is named, the boxes numbered by rank; earlier ones of these images go.

    Returns
    -------
    dict
        Name of the image → its Shapes layer.
    """
    found = {}
    chosen = set(viewer.layers.selection)
    for name in dict.fromkeys(place.name for place in places):
        if name not in viewer.layers:
            continue  # taken away meanwhile
        mine = [place for place in places if place.name == name]
        title = f"{name} · label next"
        if title in viewer.layers:
            viewer.layers.remove(title)
        found[name] = viewer.add_shapes(
            [_corners(place) for place in mine],
            shape_type="rectangle",
            name=title,
            edge_color="#f0e442",
            face_color="transparent",
            edge_width=max(1.0, 0.01 * min(mine[0].box[2] - mine[0].box[0], mine[0].box[3] - mine[0].box[1])),
            features={"rank": [place.rank for place in mine], "why": [place.why for place in mine]},
            text={"string": "{rank}", "color": "#f0e442", "anchor": "upper_left", "size": 10},
            metadata=made("boxes"),
            **placement_of(viewer.layers[name]),
        )
    # Whoever paints goes on with the layer that was chosen.
    viewer.layers.selection = {layer for layer in chosen if layer in viewer.layers} or viewer.layers.selection
    return found


def go_to(viewer: napari.viewer.Viewer, place: Any) -> None:
    """Show a place: its slice, its box in the middle of the canvas and most of it.

    Raises
    ------
    InputError
        Its image is not there any more.
    """
    if place.name not in viewer.layers:
        raise InputError(f"The image {place.name!r} is not in the viewer any more; rank again.")
    layer = viewer.layers[place.name]
    layer.visible = True
    corners = np.asarray([layer.data_to_world(corner) for corner in _corners(place)], dtype=float)
    middle = corners.mean(axis=0)
    viewer.dims.ndisplay = 2
    offset = viewer.dims.ndim - len(middle)
    for axis, value in enumerate(middle):
        viewer.dims.set_point(axis + offset, value)
    viewer.camera.center = (0.0, *middle[-2:])
    sides = np.maximum(np.ptp(corners[:, -2:], axis=0), 1e-9)
    canvas = getattr(getattr(viewer, "canvas", None), "size", None) or getattr(viewer, "_canvas_size", (600, 600))
    viewer.camera.zoom = FILLED * min(np.asarray(canvas) / sides)


def _corners(place: Any) -> np.ndarray[Any, Any]:
    """Corners of the pixels' outer edges in coordinates of the image's layer; a pixel's centre is a whole number."""
    y0, x0, y1, x1 = (edge - 0.5 for edge in place.box)
    flat = np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]])
    return flat if place.z is None else np.column_stack([np.full(4, float(place.z)), flat])


def _paint_on(image: Snapshot, layers: Sequence[Any]) -> Snapshot | None:
    """The paint of the first Labels layer of whole images that lies on an image pixel by pixel."""
    for layer in layers:
        if getattr(layer, "multiscale", False) or layer.ndim != len(image.spacing):
            continue
        shot = snapshot(layer, "labels", copy=False)
        try:
            check_fit(image, shot)
        except InputError:
            continue
        if np.asarray(shot.data).any():
            return snapshot(layer, "labels")
    return None
