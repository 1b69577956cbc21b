"""The table of instances: one row each, with size, place and shape, in pixels and µm, as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.cancelling import CancelSignal
from napari_anneal.errors import InputError, OutputError
from napari_anneal.inference.blocks import BlockPlan
from napari_anneal.inference.instances.blocks import Volume, block_shape
from napari_anneal.inference.instances.measures import Measures, Sums
from napari_anneal.samples.placing import why_not_written, write_whole
from napari_anneal.synthesis.statistics.label_maps import as_spacing

__all__ = ["InstanceTable", "instance_table", "table_of"]


@dataclass(frozen=True, eq=False)
class InstanceTable:
    """One row an instance.

    Attributes
    ----------
    columns
        Name → array of length N, see `instance_table`.
    """

    columns: dict[str, npt.NDArray[Any]]

    def __len__(self) -> int:
        return len(self.columns["label"])

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """A column."""
        return self.columns[name]

    def rows(self) -> list[dict[str, Any]]:
        """The rows as plain numbers and words, ``None`` where there is no figure."""
        plain = {name: [_plain(v) for v in column.tolist()] for name, column in self.columns.items()}
        return [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]

    def to_csv(self) -> str:
        """The table as comma-separated values, names first; an empty cell where there is no figure."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.columns), lineterminator="\n")
        writer.writeheader()
        for row in self.rows():
            writer.writerow({k: f"{v:.9g}" if isinstance(v, float) else v for k, v in row.items()})
        return text.getvalue()

    def to_json(self) -> str:
        """The rows as a JSON list of objects."""
        return json.dumps(self.rows())

    def write(self, path: str | Path) -> Path:
        """Write a ``.csv`` or a ``.json`` file.

        Raises
        ------
        OutputError
            Another ending, or the file cannot be written.
        """
        place = Path(path)
        forms = {".csv": self.to_csv, ".json": self.to_json}
        if place.suffix.lower() not in forms:
            raise OutputError(f"{place}: tables are written as .csv or .json; end the name in one of these.")
        try:
            write_whole(place, forms[place.suffix.lower()]())
        except OSError as error:
            raise OutputError(f"{place} cannot be written ({why_not_written(error)}); choose another name.") from error
        return place


def instance_table(
    labels: Any,
    intensity: Any = None,
    spacing: Sequence[float] | None = None,
    *,
    class_name: str = "",
    block: Any = None,
    progress: Callable[[int, int], None] | None = None,
    cancel: CancelSignal | None = None,
) -> InstanceTable | None:
    """Measure instances, block by block; figures equal those of ``skimage.measure.regionprops``.

    Columns, for (Y, X) and, where given, for (Z, Y, X): ``label``; ``class``; ``area_px`` (``volume_px``) and
    ``equivalent_diameter_px``, with spacing also ``area_um2`` (``volume_um3``) and ``equivalent_diameter_um``;
    ``centroid_y_px`` …, ``start_y_px`` … and ``stop_y_px`` … (box, half-open), with spacing ``centroid_y_um`` …;
    ``touches_edge``; ``major_axis_…`` and ``minor_axis_…`` of the ellipse (ellipsoid) with the same second moments,
    each pixel counted as a square, so that one pixel has axes too, in µm where the spacing is known, else px;
    ``aspect_ratio``; in 2D ``orientation_deg`` of the major axis from +X towards +Y, −90 … 90; ``mean_intensity``,
    ``min_intensity``, ``max_intensity`` where intensities are given.

    Parameters
    ----------
    labels
        Whole numbers, ``(Y, X)`` or ``(Z, Y, X)``, 0 for no instance; anything that reads when it is indexed.
    intensity
        Grey values of the same shape; ``None``: none.
    spacing
        Pixel size along the axes, µm; ``None``: not known.
    class_name
        What the instances are, for the column ``class``.
    block
        Shape of the blocks that are read; ``None``: chosen.
    progress, cancel
        Called with (blocks done, all blocks); asked before every block, and ``None`` is returned when it is set.

    Raises
    ------
    InputError
        Not whole numbers ≥ 0, other than two or three axes, shapes that differ, or a spacing that does not fit.
    """
    volume = as_volume(labels, "the label map")
    if volume.dtype.kind not in "bui":
        raise InputError(f"instances are whole numbers, 0 for none; this map is {volume.dtype}.")
    grey = matching(intensity, "the intensity image", volume)
    steps = as_spacing(spacing, volume.ndim) if spacing is not None else None
    blocks = BlockPlan(volume.shape, block_shape(volume.shape, block, volume.chunks))
    measures = Measures()
    for done, part in enumerate(blocks):
        if cancel is not None and cancel.is_set():
            return None
        found = volume.read(part)
        if found.dtype.kind == "i" and found.size and found.min() < 0:
            raise InputError(f"a label map must not hold negative labels (there is {found.min()}); use 0 for none.")
        measures.add(found, part.start, None if grey is None else grey.read(part))
        if progress is not None:
            progress(done + 1, len(blocks))
    return table_of(measures.sums(), volume.shape, volume.ndim, steps, class_name, grey is not None)


def table_of(
    sums: Sums,
    shape: tuple[int, int, int],
    ndim: int,
    spacing: tuple[float, ...] | None,
    class_name: str,
    with_intensity: bool,
) -> InstanceTable:
    """Turn sums into the columns of `instance_table`."""
    names = "zyx"[3 - ndim :]
    axes = range(3 - ndim, 3)
    n = sums.pixels
    measure, unit, power = ("area", "px", "um2") if ndim == 2 else ("volume", "px", "um3")
    columns: dict[str, npt.NDArray[Any]] = {"label": sums.label, "class": np.full(len(n), class_name, dtype=object)}
    columns[f"{measure}_px"] = n
    columns["equivalent_diameter_px"] = _diameter(n, ndim)
    steps = np.ones(3)
    if spacing is not None:
        steps[3 - ndim :] = spacing
        unit = "um"
        size = n * math.prod(spacing)
        columns[f"{measure}_{power}"] = size
        columns["equivalent_diameter_um"] = _diameter(size, ndim)
    centroid = sums.first / np.maximum(n, 1)[:, None]
    for axis, name in zip(axes, names, strict=True):
        columns[f"centroid_{name}_px"] = centroid[:, axis]
    if spacing is not None:
        for axis, name in zip(axes, names, strict=True):
            columns[f"centroid_{name}_um"] = centroid[:, axis] * steps[axis]
    for axis, name in zip(axes, names, strict=True):
        columns[f"start_{name}_px"] = sums.low[:, axis]
        columns[f"stop_{name}_px"] = sums.high[:, axis] + 1
    edge = np.array(shape) - 1
    columns["touches_edge"] = ((sums.low == 0) | (sums.high == edge))[:, 3 - ndim :].any(axis=1)
    covariance = sums.central()[:, 3 - ndim :, 3 - ndim :] * steps[3 - ndim :, None] * steps[3 - ndim :]
    values, vectors = np.linalg.eigh(covariance)
    scale = 4.0 if ndim == 2 else 2 * math.sqrt(5)
    axis_lengths = scale * np.sqrt(np.maximum(values, 0))
    columns[f"major_axis_{unit}"] = axis_lengths[:, -1]
    columns[f"minor_axis_{unit}"] = axis_lengths[:, 0]
    columns["aspect_ratio"] = axis_lengths[:, -1] / axis_lengths[:, 0]
    if ndim == 2:
        y, x = vectors[:, 0, -1], vectors[:, 1, -1]
        # A direction has no sign: X ≥ 0, then Y ≥ 0.
        flip = np.where((x < 0) | ((x == 0) & (y < 0)), -1.0, 1.0)
        columns["orientation_deg"] = np.rad2deg(np.arctan2(flip * y, flip * x))
    if with_intensity:
        columns["mean_intensity"] = sums.intensity[:, 0] / np.maximum(n, 1)
        columns["min_intensity"], columns["max_intensity"] = sums.intensity[:, 1], sums.intensity[:, 2]
    return InstanceTable(columns)


def as_volume(source: Any, what: str) -> Volume:
    """Wrap an array-like of two or three axes."""
    if not hasattr(source, "shape") or not hasattr(source, "dtype"):
        source = np.asarray(source)
    if len(source.shape) not in (2, 3) or 0 in source.shape:
        raise InputError(f"{what} must have two or three axes, (Y, X) or (Z, Y, X), not {tuple(source.shape)}.")
    if np.dtype(source.dtype).kind not in "buif":
        raise InputError(f"{what} is {source.dtype}; numbers are needed.")
    return Volume(source, what)


def matching(source: Any, what: str, volume: Volume) -> Volume | None:
    """Wrap an array-like of the shape of another; ``None`` stays ``None``."""
    if source is None:
        return None
    other = as_volume(source, what)
    if other.shape != volume.shape or other.ndim != volume.ndim:
        raise InputError(
            f"{what} has the shape {other.shape[3 - other.ndim :]}, where {volume.shape[3 - volume.ndim :]} is needed."
        )
    return other


def _diameter(size: npt.NDArray[Any], ndim: int) -> npt.NDArray[np.float64]:
    """Diameter of the disk or ball of that size."""
    return np.asarray(2 * np.sqrt(size / np.pi) if ndim == 2 else np.cbrt(6 * size / np.pi), dtype=np.float64)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
