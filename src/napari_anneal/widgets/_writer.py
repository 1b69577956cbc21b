"""Writer for Labels layers: OME-Zarr or TIFF with pixel size, class names and colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_anneal.errors import InputError
from napari_anneal.widgets._layers import GROUP_KEY, Snapshot, hex_colour
from napari_anneal.widgets._live import known
from napari_anneal.widgets._torch_beside_gl import load_triton_apart

__all__ = ["write_labels"]


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write one Labels layer, 2D or a stack; the file appears under its name when it is complete.

    Raises
    ------
    OutputError
        Another file type, a path that cannot be written, a full disk.
    InputError
        Labels of another number of axes.
    """
    load_triton_apart()
    from napari_anneal.inference.output import LabelVolume, open_sink

    labels = data[0] if isinstance(data, (list, tuple)) else data
    shape = tuple(int(n) for n in labels.shape)
    if len(shape) not in (2, 3):
        raise InputError(f"Labels of {len(shape)} axes cannot be written; split the layer into stacks of 2 or 3 axes.")
    planes = [labels] if len(shape) == 2 else labels
    top = max((int(np.asarray(plane).max()) for plane in planes), default=0)
    dtype = np.dtype(np.uint8 if top < 256 else np.uint16 if top < 65536 else np.uint32)
    remembered = attributes.get("metadata", {}).get(GROUP_KEY)
    classes = tuple(remembered.get("classes", ())) if isinstance(remembered, dict) else ()
    colormap = attributes.get("colormap")
    colours = tuple(hex_colour(colormap.map(k)) for k in range(1, len(classes) + 1)) if colormap is not None else ()
    spacing = tuple(float(s) for s in attributes.get("scale", ())) or None
    # napari has asked already whether to replace what is there; other things than an earlier result are refused.
    moved = tuple(float(t) for t in attributes.get("translate", ())) or None
    unit = known(Snapshot("", labels, "", {"units": attributes.get("units") or ()}).unit)
    volume = LabelVolume(shape, dtype, spacing, classes, colours, unit, translation=moved)
    sink = open_sink(path, volume, overwrite=True, source=None)
    sink.open()
    for z, plane in enumerate(planes):
        sink.write(z, np.asarray(plane).astype(dtype))
    return [str(Path(sink.finish()))]
