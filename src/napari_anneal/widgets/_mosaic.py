"""Pictures of one size side by side with captions above them, and the place to cut such a picture from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_anneal.widgets._layers import made

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["GAP", "add_captions", "crop_window", "tiled"]

# Pixels between the cells.
GAP = 6


def crop_window(labels: npt.NDArray[Any], side: int) -> tuple[slice, slice]:
    """The square of ``side`` with the most paint in it (the middle of the image, where nothing is painted)."""
    if labels.any():
        total = np.pad((labels != 0).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
        inside = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
        y, x = np.unravel_index(int(inside.argmax()), inside.shape)
    else:
        y, x = ((n - side) // 2 for n in labels.shape)
    return slice(int(y), int(y) + side), slice(int(x), int(x) + side)


def tiled(cells: list[npt.NDArray[Any]], columns: int) -> npt.NDArray[Any]:
    """Cells of one shape side by side, row by row, with a gap of zeros; a single channel loses its axis."""
    height, width = cells[0].shape[:2]
    rows = -(-len(cells) // columns)
    shape = (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, *cells[0].shape[2:])
    out = np.zeros(shape, cells[0].dtype)
    for number, cell in enumerate(cells):
        y, x = divmod(number, columns)
        out[y * (height + GAP) :, x * (width + GAP) :][:height, :width] = cell
    if out.ndim == 3:
        return out[..., 0] if out.shape[-1] == 1 else np.clip(out, 0, 1)
    return out


def add_captions(
    viewer: napari.viewer.Viewer,
    name: str,
    texts: Sequence[str],
    columns: int,
    cell: tuple[int, int],
    head: int,
    placement: Mapping[str, Any],
    **letters: Any,
) -> Any:
    """A layer with a caption in the ``head`` pixels above every picture of ``cell`` pixels; ``letters``: their size."""
    height, width = cell
    boxes = []
    for number in range(len(texts)):
        y, x = number // columns * (head + height + GAP), number % columns * (width + GAP)
        boxes.append([(y, x), (y, x + width), (y + head, x + width), (y + head, x)])
    # Rectangles and not points: a Points layer would be offered as seeds.
    return viewer.add_shapes(
        np.array(boxes),
        shape_type="rectangle",
        name=name,
        edge_color="transparent",
        face_color="transparent",
        opacity=1,
        text={"string": list(texts), "color": "white", "anchor": "center", **letters},
        metadata=made("captions"),
        **placement,
    )
