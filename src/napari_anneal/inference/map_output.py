"""Probabilities and uncertainty on disk: OME-Zarr images with a channel a class, written block by block like labels.

The same promises as for labels hold: complete under the name asked for or not under that name at all, what is finished
is kept, and a run that goes on compares it with its digests.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import OutputError
from napari_anneal.inference.blocks import Block
from napari_anneal.inference.journal import block_digest
from napari_anneal.inference.ome_zarr_labels import CHUNK_SIDE
from napari_anneal.inference.output import LabelSink, LabelVolume, check_place
from napari_anneal.inference.units import LONG_NAMES
from napari_anneal.samples.ome_zarr import OmeZarrPyramid

__all__ = ["MapSink", "MapVolume", "open_all_maps", "open_maps"]


@dataclass(frozen=True)
class MapVolume(LabelVolume):
    """What is going to be written: floats 0…1 ``(C, [Z,] Y, X)``; ``shape`` is without the channels.

    ``classes`` and ``colours`` name and colour the channels.
    """

    @property
    def has_channels(self) -> bool:
        """Whether there is a channel axis; a single map has none."""
        return len(self.classes) > 1


class MapSink(LabelSink):
    """Where the maps of one run go, block by block."""

    def _new_writer(self, fresh: bool = True) -> Any:
        assert isinstance(self._volume, MapVolume)
        return MapWriter(self.partial, self._volume, fresh)

    def goes_on(self, header: dict[str, Any]) -> bool:
        """Open what an earlier run with this header left; ``False``: there is nothing of it."""
        earlier = self.journal.read()
        return earlier is not None and _without_layout(earlier) == _without_layout(self.header(header)) and self.go_on()

    def header(self, run: dict[str, Any]) -> dict[str, Any]:
        """First line of the journal: that of the run, and what is kept of it here."""
        return run | {"channels": list(self._volume.classes), "dtype": self._volume.dtype.name}

    def write_block(self, block: Block, labels: npt.NDArray[Any]) -> None:
        """Write the values of a block, ``(C, z, y, x)``; again is as good as once."""
        values = labels.astype(self._volume.dtype)
        assert isinstance(self._writer, MapWriter)
        with self._explaining():
            self._writer.write_block(block, values)
            if self.journal.path.exists():
                self.journal.add(0, block.index, block_digest(values))
        self._count(block)

    def holds_block(self, block: Block) -> bool:
        """Whether the disk gives back the values of a block that the journal tells of."""
        digest = self.journal.done.get((0, block.index))
        return digest is not None and self.holds(block, digest)


class MapWriter:
    """Writes one set of maps; metadata comes first, so that a partial result opens in any viewer."""

    def __init__(self, path: Path, volume: MapVolume, fresh: bool = True) -> None:
        # A channel a chunk: who looks at one class reads one class.
        front = (len(volume.classes),) if volume.has_channels else ()
        flat = len(volume.shape) == 2
        chunks = (*(1 for _ in front), *(() if flat else (1,)), CHUNK_SIDE, CHUNK_SIDE)
        spacing = volume.spacing or (1.0,) * len(volume.shape)
        self._index = (slice(None),) * len(front)
        self._flat, self._channels = flat, front
        self._pyramid = OmeZarrPyramid(
            path,
            (*front, *volume.shape),
            volume.dtype,
            chunks,
            (*(1.0 for _ in front), *spacing),
            LONG_NAMES[volume.unit] if volume.unit else None,
            {"omero": {"channels": [_channel(*one) for one in zip(volume.classes, volume.colours, strict=True)]}},
            volume.block,
            fresh,
            "c" * len(front) + "zyx"[-len(volume.shape) :],
            None if volume.translation is None else (*(0.0 for _ in front), *volume.translation),
        )

    def write_block(self, block: Block, values: npt.NDArray[Any]) -> None:
        """Write ``(C, z, y, x)`` into every level."""
        start = block.start[1:] if self._flat else block.start
        part = values[:, 0] if self._flat else values
        if self._channels:
            self._pyramid.write(0, part, start)
        else:
            self._pyramid.write(start[0], part[0], start[1:])

    def read_back(self, block: Block) -> npt.NDArray[Any]:
        """Values ``(C, z, y, x)`` of a block as on the disk; coarser levels are put right where they differ."""
        where = (*self._index, *(block.where[1:] if self._flat else block.where))
        found = self._pyramid.read(where)
        self._pyramid.repair(tuple(part.start or 0 for part in where), found)
        return found.reshape(*(self._channels or (1,)), *block.shape)

    def close(self) -> None:
        """Nothing is left to write: every block is on disk when ``write_block`` returns."""


def open_maps(out: str | os.PathLike[str], volume: MapVolume, overwrite: bool, source: Path | None) -> MapSink:
    """Check where maps are to go, before anything is computed.

    Raises
    ------
    OutputError
        Another file type than ``.ome.zarr`` and ``.zarr``, or as for labels.
    """
    path = Path(out)
    if path.suffix.lower() != ".zarr":
        raise OutputError(f"{path}: probabilities and uncertainty are written as .ome.zarr or .zarr; end the name so.")
    check_place(path, overwrite, source)
    return MapSink(path, volume, overwrite)


def open_all_maps(
    labels: LabelVolume,
    wanted: Mapping[str, str | os.PathLike[str] | None],
    half: bool,
    overwrite: bool,
    source: Path | None,
    out: str | os.PathLike[str] | None,
) -> dict[str, MapSink]:
    """Sinks for ``"probabilities"`` (a channel for each class) and ``"uncertainty"``, where a path is given.

    Raises
    ------
    OutputError
        As `open_maps`, or two files of a run have one name.
    """
    sinks: dict[str, MapSink] = {}
    taken = set() if out is None else {Path(out).absolute()}
    for kind, path in wanted.items():
        if path is None:
            continue
        if Path(path).absolute() in taken:
            raise OutputError(f"{path} is asked for twice; give labels, probabilities and uncertainty a name each.")
        taken.add(Path(path).absolute())
        named = (labels.classes, labels.colours) if kind == "probabilities" else ((kind,), ("#ffffff",))
        dtype = np.dtype(np.float16 if half else np.float32)
        volume = MapVolume(labels.shape, dtype, labels.spacing, *named, labels.unit, labels.block, labels.translation)
        sinks[kind] = open_maps(path, volume, overwrite, source)
    return sinks


def _without_layout(header: dict[str, Any]) -> dict[str, Any]:
    """What must be the same for a run to go on; its tiles are taken from the labels' journal."""
    return {key: value for key, value in header.items() if key != "layout"}


def _channel(name: str, colour: str) -> dict[str, Any]:
    window = {"start": 0.0, "end": 1.0, "min": 0.0, "max": 1.0}
    return {"label": name, "color": colour.lstrip("#"), "active": True, "window": window}
