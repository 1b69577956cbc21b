"""Test lines and intersections as layers over the grains, so that one sees what was counted, and as what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anneal.validation.grains import HandCount
from napari_anneal.validation.grains.grain_page import KIND_COLOURS, LINE_COLOUR
from napari_anneal.widgets._layers import Snapshot, made, made_as

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["show_count"]

LINES, MARKS = "test lines", "intersections"
# Marks as large as this share of a mean intercept can be told apart and seen; boundaries are 1 px wide.
MARK, LEAST_PX = 0.22, 3.0


def show_count(viewer: napari.viewer.Viewer, count: HandCount, labels: Snapshot, z: int | None) -> None:
    """Put the lines and intersections of one section where it lies; those of an earlier measurement go."""
    for layer in [layer for layer in viewer.layers if made_as(layer) in (LINES, MARKS)]:
        viewer.layers.remove(layer)
    placement, active = dict(labels.placement), viewer.layers.selection.active
    shapes = [_placed(line.points, z) for line in count.lines]
    kinds = ["polygon" if line.closed else "line" for line in count.lines]
    width = max(1.0, 0.05 * count.mean_intercept) if np.isfinite(count.mean_intercept) else 1.0
    viewer.add_shapes(
        shapes, shape_type=kinds, name=f"{labels.name} · {LINES}", edge_color=LINE_COLOUR, face_color="transparent",
        edge_width=width, metadata=made(LINES), **placement,
    )  # fmt: skip
    size = max(LEAST_PX, MARK * count.mean_intercept) if len(count.places) else LEAST_PX
    viewer.add_points(
        _placed(count.places, z),
        name=f"{labels.name} · {MARKS}",
        size=size,
        face_color=[KIND_COLOURS[kind] for kind in count.kinds] or KIND_COLOURS["crossing"],
        border_color="white",
        border_width=0.1,
        features={"kind": list(count.kinds), "score": count.scores},
        metadata=made(MARKS),
        **placement,
    )
    # Who goes on painting goes on on the same layer.
    if active is not None and active in viewer.layers:
        viewer.layers.selection.active = active


def _placed(points: Any, z: int | None) -> Any:
    """Points (Y, X), with the slice in front where there is one."""
    return points if z is None else np.column_stack([np.full(len(points), float(z)), points])
