"""Results on disk, opened again with all that was written beside the numbers: classes, colours, pixel size, place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_anneal.samples.tiff_spacing import tiff_spacing

__all__ = ["CLASS", "COLOUR", "StoredResult", "open_stored"]

# What TIFF files call class k and its colour, with k behind.
CLASS, COLOUR = "class ", "colour "


@dataclass(frozen=True, eq=False)
class StoredResult:
    """A label map or maps of probabilities.

    Attributes
    ----------
    levels
        Arrays that read when they are indexed, the finest first: labels ``([Z,] Y, X)``; or maps, with the channels in
        front where there are several.
    kind
        ``"labels"`` or ``"maps"``.
    names, colours
        Of the classes, or of the channels.
    spacing, translation
        Along the axes without channels, in ``unit``; ``None``: not told.
    unit
        Name of a unit of length such as ``"micrometer"``; ``None``: not told.
    """

    levels: tuple[Any, ...]
    kind: str
    names: tuple[str, ...]
    colours: tuple[str, ...]
    spacing: tuple[float, ...] | None = None
    translation: tuple[float, ...] | None = None
    unit: str | None = None

    @property
    def has_channels(self) -> bool:
        """Whether the first axis holds channels."""
        return self.kind == "maps" and len(self.names) > 1


def open_stored(path: str | Path) -> StoredResult | None:
    """Open a result that this package wrote, or one of the same make; ``None``: it is something else.

    Label maps in OME-Zarr are known by their ``image-label`` metadata, maps by the names of their channels and values
    0…1, TIFF by the class names in it.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _zarr(path)
        if path.is_file() and path.suffix.lower() in (".tif", ".tiff"):
            return _tiff(path)
    except Exception:  # another program's file, or a damaged one: for other readers to tell about
        return None
    return None


def _zarr(path: Path) -> StoredResult | None:
    import zarr

    group = zarr.open_group(path, mode="r")
    ome: Any = dict(group.attrs).get("ome")
    if not ome or "multiscales" not in ome:
        return None
    image = ome["multiscales"][0]
    axes = [axis["name"] for axis in image["axes"]]
    space = [i for i, axis in enumerate(axes) if axis != "c"]
    if [axes[i] for i in space] not in (["y", "x"], ["z", "y", "x"]) or space[-1] != len(axes) - 1:
        return None
    levels = tuple(group[dataset["path"]] for dataset in image["datasets"])
    placed = {one["type"]: one for one in image["datasets"][0]["coordinateTransformations"]}
    spacing = tuple(float(placed["scale"]["scale"][i]) for i in space)
    moved = placed.get("translation")
    units = {image["axes"][i].get("unit") for i in space}
    about: dict[str, Any] = {
        "levels": levels,
        "spacing": spacing,
        "translation": None if moved is None else tuple(float(moved["translation"][i]) for i in space),
        "unit": units.pop() if len(units) == 1 else None,
    }
    if "image-label" in ome:
        label = ome["image-label"]
        names = {entry["label-value"]: entry.get("class", "") for entry in label.get("properties", ())}
        colours = {entry["label-value"]: entry.get("rgba") for entry in label.get("colors", ())}
        order = range(1, max(names, default=0) + 1)
        return StoredResult(
            kind="labels",
            names=tuple(str(names.get(k, "")) for k in order),
            colours=tuple(_hex(colours[k]) for k in order) if all(colours.get(k) for k in order) else (),
            **about,
        )
    channels = ome.get("omero", {}).get("channels", ())
    ours = channels and all(one.get("window", {}).get("max") == 1.0 for one in channels)
    if not ours or levels[0].dtype.kind != "f":
        return None
    names_, colours_ = ([str(one[key]) for one in channels] for key in ("label", "color"))
    return StoredResult(kind="maps", names=tuple(names_), colours=tuple(f"#{colour}" for colour in colours_), **about)


def _tiff(path: Path) -> StoredResult | None:
    import tifffile

    with tifffile.TiffFile(path) as file:
        axes = file.series[0].axes
        told = _told(file)
        spacing = tiff_spacing(file, axes)
        if not told or axes not in ("YX", "ZYX") or file.series[0].dtype.kind not in "ui":
            return None
    count = sum(key.startswith(CLASS) for key in told)
    names = tuple(told.get(f"{CLASS}{k}", "") for k in range(1, count + 1))
    colours = tuple(told.get(f"{COLOUR}{k}", "") for k in range(1, count + 1))
    levels = (tifffile.memmap(path, mode="r"),)
    unit = None if spacing is None else "micrometer"
    return StoredResult(levels, "labels", names, colours if all(colours) else (), spacing, None, unit)


def _told(file: Any) -> dict[str, str]:
    """Class names and colours as ImageJ's properties or OME's map annotation keep them."""
    if file.is_imagej and file.imagej_metadata:
        properties = file.imagej_metadata.get("Properties", {})
        return {str(key): str(value) for key, value in dict(properties).items() if str(key).startswith((CLASS, COLOUR))}
    if file.is_ome and file.ome_metadata:
        from xml.etree import ElementTree

        entries = ElementTree.fromstring(file.ome_metadata).iterfind(".//{*}MapAnnotation//{*}M")
        found = {str(entry.get("K")): str(entry.text or "") for entry in entries}
        return {key: value for key, value in found.items() if key.startswith((CLASS, COLOUR))}
    return {}


def _hex(rgba: Any) -> str:
    red, green, blue = (int(np.clip(value, 0, 255)) for value in rgba[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"
