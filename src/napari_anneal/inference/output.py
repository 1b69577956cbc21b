"""Writing labels to disk block by block: complete under the name asked for, or not under that name at all.

A run writes to a sibling (``seg.partial.ome.zarr`` for ``seg.ome.zarr``) that takes the final name when the
last block is written; what stood there before is replaced only then. A run that ends early keeps its finished
blocks in that sibling, with a journal and scratch data beside it that let it be gone on with, except when the disk is
full: then all three are removed, to give the space back.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import AnnealError, InputError, OutputError
from napari_anneal.inference.blocks import Block
from napari_anneal.inference.journal import Journal, block_digest
from napari_anneal.samples.placing import disk_is_full, put_in_place, remove

__all__ = ["LabelSink", "LabelVolume", "LabelWriter", "check_place", "open_sink"]

_FORMATS = {
    ".ome.zarr": "zarr",
    ".zarr": "zarr",
    ".ome.tiff": "tiff",
    ".ome.tif": "tiff",
    ".tiff": "tiff",
    ".tif": "tiff",
}


@dataclass(frozen=True)
class LabelVolume:
    """What is going to be written; ``shape`` is ``(Y, X)`` or ``(Z, Y, X)``, ``spacing`` is along these axes.

    ``block``: rows and columns that are written at once, where that is less than a plane. ``translation``: where the
    first voxel lies, in the unit of the spacing (kept in OME-Zarr).
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    spacing: tuple[float, ...] | None
    classes: tuple[str, ...]
    colours: tuple[str, ...]
    unit: str | None = None
    block: tuple[int, int] | None = None
    translation: tuple[float, ...] | None = None

    @property
    def depth(self) -> int:
        """Number of planes."""
        return self.shape[0] if len(self.shape) == 3 else 1


class LabelWriter(Protocol):
    """A file format: takes planes, or pieces of them, in any order."""

    def write(self, z: int, labels: npt.NDArray[Any], corner: tuple[int, int] = (0, 0)) -> None:
        """Write plane ``z`` (Y, X), or the piece of it that begins at ``corner``."""
        ...

    def read_back(self, block: Block) -> npt.NDArray[Any]:
        """Labels ``(z, y, x)`` of a block, as they are on the disk."""
        ...

    def close(self) -> None:
        """Write what is left; the file is complete afterwards."""
        ...


class LabelSink:
    """Where the planes of one run go; see the module's first lines for the promises it keeps."""

    def __init__(self, path: Path, volume: LabelVolume, overwrite: bool) -> None:
        self.path, self._volume, self._overwrite = path, volume, overwrite
        self._suffix = _suffix(path)
        name = path.name[: len(path.name) - len(self._suffix)]
        self.partial = path.with_name(f"{name}.partial{path.name[len(name) :]}")
        self.journal = Journal(self.partial.with_name(f"{self.partial.name}.journal"))
        self.scratch = self.partial.with_name(f"{self.partial.name}.scratch")
        self.written = 0
        self._voxels = 0
        self._writer: LabelWriter | None = None

    def open(self, header: dict[str, Any] | None = None) -> None:
        """Create the partial file (an older one of the same name is replaced) and, with a header, its journal."""
        with self._explaining():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.discard()
            self._writer = self._new_writer()
            if header is not None:
                self.journal.begin(header)

    def go_on(self) -> bool:
        """Open what an earlier run left; ``False``: its file is not there, or is damaged beyond single blocks."""
        try:
            self._writer = self._new_writer(fresh=False)
        except Exception:  # readers of damaged files raise anything
            return False
        return True

    def holds(self, block: Block, digest: str) -> bool:
        """Whether the disk gives back the labels of a block that the journal tells of."""
        assert self._writer is not None
        try:
            same = block_digest(self._writer.read_back(block)) == digest
        except Exception:  # a chunk that is lost or cannot be decoded
            return False
        if same:
            self._count(block)
        return same

    def write(self, z: int, labels: npt.NDArray[Any]) -> None:
        """Write one plane of labels (Y, X)."""
        self.write_block(Block(z, (z, 0, 0), (z + 1, *labels.shape)), labels[np.newaxis])

    def write_block(self, block: Block, labels: npt.NDArray[Any]) -> None:
        """Write the labels of a block, ``(z, y, x)``; again is as good as once."""
        assert self._writer is not None
        with self._explaining():
            for z, plane in zip(range(block.start[0], block.stop[0]), labels, strict=True):
                if block.shape[1:] == self._volume.shape[-2:]:
                    self._writer.write(z, plane)
                else:
                    self._writer.write(z, plane, block.start[1:])
        self._count(block)

    def written_elsewhere(self, step: int, block: Block, digest: str, labels: bool) -> None:
        """Note a block that another process has put on the disk; ``labels``: of the result, not of scratch data."""
        self.journal.add(step, block.index, digest)
        if labels:
            self._count(block)

    def _new_writer(self, fresh: bool = True) -> LabelWriter:
        return _writer(_FORMATS[self._suffix], self.partial, self._volume, fresh)

    def _count(self, block: Block) -> None:
        self._voxels += math.prod(block.shape)
        self.written = self._voxels // math.prod(self._volume.shape[-2:])

    def finish(self) -> Path:
        """Close the file and give it its final name."""
        with self._explaining():
            self._close()
            if self.path.exists() and not self._overwrite:  # it may have appeared during the run
                raise OutputError(f"{self.path} appeared while the run was going; the result is in {self.partial}.")
            remove(self.scratch)
            put_in_place(self.partial, self.path)
            self.journal.remove()
        return self.path

    def keep_partial(self) -> Path | None:
        """End early: close the partial file; ``None`` where no block was finished and nothing is kept."""
        with self._explaining():
            self._close()
        if not self._voxels and not self.journal.done:
            self.discard()
            return None
        return self.partial

    def discard(self) -> None:
        """Remove all that is unfinished: labels, scratch data and journal."""
        for leftover in (self.partial, self.scratch):
            remove(leftover)
        self.journal.remove()

    def read(self, path: Path) -> Any:
        """Labels on disk as an array that reads when it is indexed."""
        if _FORMATS[self._suffix] == "zarr":
            import zarr

            return zarr.open_array(path / "0", mode="r")
        import tifffile

        return tifffile.memmap(path, mode="r").reshape(self._volume.shape)

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Turn what the system says into a sentence; give the space of a full disk back."""
        try:
            yield
        except AnnealError:
            raise
        except OSError as error:
            self._writer = None
            if disk_is_full(error):
                self.discard()
                raise OutputError(
                    f"the disk is full after {self.written} of {self._volume.depth} slices of {self.path}; the "
                    "unfinished file was removed and nothing else was touched: free some space or write somewhere else."
                ) from error
            raise OutputError(
                f"{self.path} cannot be written ({error.strerror or error}); check the folder and its permissions."
            ) from error


def open_sink(out: str | Path, volume: LabelVolume, overwrite: bool, source: Path | None) -> LabelSink:
    """Where a result goes, checked before anything is computed; see `check_place` for what is refused."""
    check_place(out, overwrite, source)
    return LabelSink(Path(out), volume, overwrite)


def check_place(out: str | Path, overwrite: bool, source: Path | None) -> None:
    """Check where a result is to go, before anything is computed.

    Raises
    ------
    OutputError
        Another file type than ``.ome.zarr``/``.zarr``/``.tif``/``.tiff``; the path exists and ``overwrite``
        is false, or it is something else than an earlier result, or the very image to segment.
    """
    path = Path(out)
    if not _suffix(path):
        raise OutputError(
            f"{path}: results are written as .ome.zarr, .zarr, .tif or .tiff; end the name in one of these."
        )
    if source is not None:
        output, image = path.absolute().resolve(), source.absolute().resolve()
        if output == image or output in image.parents:
            raise OutputError(f"{path} is the image to segment itself; choose another name for the result.")
        if image in output.parents:
            raise OutputError(f"{path} lies inside the image {source}; choose a place beside it.")
    if path.exists():
        if not overwrite:
            raise OutputError(f"{path} already exists; choose another name, or pass overwrite=True to replace it.")
        zarr_store = path.is_dir() and any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))
        if not (path.is_file() if _FORMATS[_suffix(path)] == "tiff" else zarr_store):
            raise OutputError(
                f"{path} exists and is not a result of this kind, so it is not replaced; choose another name."
            )


@contextmanager
def keeping_what_is_done(sink: LabelSink | None, maps: Iterable[LabelSink] = ()) -> Iterator[None]:
    """Keep the finished slices, those of ``maps`` too, when an error ends the run, and say where they are."""
    try:
        yield
    except BaseException as error:
        for other in maps:
            other.keep_partial()
        kept = None if sink is None else sink.keep_partial()
        if kept is not None and sink is not None and isinstance(error, InputError):
            raise InputError(f"{error} The {sink.written} slices finished before are kept in {kept}.") from error
        raise


def _suffix(path: Path) -> str:
    lower = path.name.lower()
    return next((s for s in _FORMATS if lower.endswith(s) and len(lower) > len(s)), "")


def _writer(kind: str, path: Path, volume: LabelVolume, fresh: bool = True) -> LabelWriter:
    if kind == "zarr":
        from napari_anneal.inference.ome_zarr_labels import OmeZarrWriter

        return OmeZarrWriter(path, volume, fresh)
    from napari_anneal.inference.tiff_labels import TiffWriter

    return TiffWriter(path, volume, fresh)
