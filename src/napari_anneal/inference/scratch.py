"""What lies between two steps of a run: a volume in chunks that either of them reads or writes whole."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.inference.layout import AXES, Layout, Step
from napari_anneal.samples.placing import remove

__all__ = ["Scratch", "ScratchFolder"]

# Scratch volumes up to this many bytes stay in memory where the result does.
IN_MEMORY = 1 << 28
# Slabs of chunks that a reader keeps.
SLABS_KEPT = 2


class Scratch:
    """A volume ``(C, Z, Y, X)`` of pixels, or of probabilities in 65,535ths."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self._slabs: OrderedDict[tuple[int, int], npt.NDArray[Any]] = OrderedDict()
        self._axis = 0

    def along(self, axis: str) -> Scratch:
        """A reader for a sweep along one axis: thinner pieces than a chunk come from slabs that are kept."""
        reader = Scratch(self._array)
        reader._axis = AXES.index(axis)
        return reader

    def read(self, z: slice, y: slice, x: slice) -> npt.NDArray[Any]:
        """A box ``(C, z, y, x)``."""
        where = [z, y, x]
        asked, length = where[self._axis], self._array.shape[1 + self._axis]
        thick = self._array.chunks[1 + self._axis]
        first, last = asked.start // thick, (asked.stop - 1) // thick
        parts = []
        for slab in range(first, last + 1):
            begin, end = slab * thick, min((slab + 1) * thick, length)
            inside = slice(max(asked.start, begin) - begin, min(asked.stop, end) - begin)
            part = self._slab(begin, end, where)
            parts.append(part[(slice(None),) * (1 + self._axis) + (inside,)])
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1 + self._axis)

    def _slab(self, begin: int, end: int, where: list[slice]) -> npt.NDArray[Any]:
        key = (begin, end)
        if key not in self._slabs:
            box = where.copy()
            box[self._axis] = slice(begin, end)
            self._slabs[key] = np.asarray(self._array[:, *box])
            while len(self._slabs) > SLABS_KEPT:
                self._slabs.popitem(last=False)
        return self._slabs[key]

    def write(self, where: tuple[slice, slice, slice], values: npt.NDArray[Any]) -> None:
        """Write a box of whole chunks, ``(C, z, y, x)``."""
        self._array[:, *where] = values

    def fresh(self, where: tuple[slice, slice, slice]) -> npt.NDArray[Any]:
        """A box as it is on the disk now."""
        return np.asarray(self._array[:, *where])


class ScratchFolder:
    """The scratch volumes of one run, one behind each step but the last.

    Parameters
    ----------
    place
        Folder to keep them in, so that a run can be gone on with; ``None``: in memory, or where that would be much, in
        a temporary folder.
    """

    def __init__(self, place: Path | None, layout: Layout, channels: int, dtype: np.dtype[Any], classes: int) -> None:
        self._layout, self._place, self._temporary = layout, place, None
        self._kinds = {"copy": (channels, dtype), "predict": (classes, np.dtype(np.uint16))}
        size = sum(self._bytes(step) for step in layout.steps[:-1])
        if place is None and size > IN_MEMORY:
            self._temporary = tempfile.TemporaryDirectory(prefix="napari-anneal-")
            self._place = Path(self._temporary.name)

    def volume(self, step: int) -> Scratch:
        """The volume that a step writes: created, or the one that is there."""
        import zarr

        made = self._layout.steps[step]
        channels, dtype = self._kinds[made.kind]
        store: Any = zarr.storage.MemoryStore() if self._place is None else self._place / f"{step}.zarr"
        if self._place is not None and (self._place / f"{step}.zarr" / "zarr.json").is_file():
            return Scratch(zarr.open_array(store, mode="r+"))
        array = zarr.create_array(
            store,
            shape=(channels, *made.along_volume(made.shape)),
            chunks=(channels, *self._chunks(step)),
            dtype=dtype,
            fill_value=0,
            compressors=zarr.codecs.BloscCodec(cname="lz4", clevel=1, shuffle="shuffle"),
            overwrite=True,
        )
        return Scratch(array)

    def remove(self) -> None:
        """Delete all of it."""
        if self._temporary is not None:
            self._temporary.cleanup()
        elif self._place is not None:
            remove(self._place)

    def _chunks(self, number: int) -> tuple[int, ...]:
        """As thick along an axis as the blocks of the step that sweeps along it."""
        step = self._layout.steps[number]
        chunks = list(step.along_volume(step.shape))
        if step.kind == "copy":  # read along all three axes
            return tuple(min(n, step.size[0]) for n in chunks)
        for sweep in (step, self._layout.steps[number + 1]):
            chunks[sweep.order[0]] = sweep.size[0]
        return tuple(chunks)

    def _bytes(self, step: Step) -> int:
        channels, dtype = self._kinds[step.kind]
        return int(np.prod(step.shape, dtype=np.int64)) * channels * dtype.itemsize
