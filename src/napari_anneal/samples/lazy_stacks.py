"""Stacks that stay on disk: big and multi-page TIFF, folders of slices, HDF5. A plane is read when it is asked for.

Large uncompressed TIFF are read with plain reads and not through a memory map: pages of a map count as this process's
memory, and a disk that fails under it kills the process.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError

__all__ = ["LazyStack", "open_hdf5", "raw_planes", "tiff_pages"]

HDF5 = (".h5", ".hdf5", ".hdf", ".nxs")


class LazyStack:
    """Planes on disk behind the indexing of an array ``(Z, Y, X)`` or ``(Z, Y, X, C)``.

    Parameters
    ----------
    shape, dtype
        Of the whole stack.
    read
        Gives plane z.
    """

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike, read: Callable[[int], npt.NDArray[Any]]) -> None:
        self.shape, self.dtype, self._read = tuple(shape), np.dtype(dtype), read
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        """Read the planes an index names, and what it names of them."""
        first, *rest = index if isinstance(index, tuple) else (index,)
        if isinstance(first, slice):
            planes = [self._read(z)[tuple(rest)] for z in range(*first.indices(len(self)))]
            return np.stack(planes) if planes else np.empty((0, *self.shape[1:]), self.dtype)[:, *rest]
        if not 0 <= int(first) < len(self):
            raise IndexError(first)
        return np.asarray(self._read(int(first))[tuple(rest)])

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """All of it."""
        return self[:].astype(dtype or self.dtype, copy=False)


def raw_planes(path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> LazyStack:
    """Planes that lie one behind the other in a file, from byte ``offset`` on; ``dtype`` has the file's byte order."""
    size = int(np.prod(shape[1:]))

    def read(z: int) -> npt.NDArray[Any]:
        values = np.fromfile(path, dtype=dtype, count=size, offset=offset + z * size * dtype.itemsize)
        if values.size < size:
            raise OSError(f"the file ends within page {z + 1}")
        return values.reshape(shape[1:]).astype(dtype.newbyteorder("="), copy=False)

    return LazyStack(shape, dtype.newbyteorder("="), read)


def tiff_pages(path: Path, series: Any) -> LazyStack:
    """Pages of a TIFF series, decoded one by one; the series is ``(pages, Y, X)`` or ``(pages, Y, X, samples)``."""
    import tifffile

    pages = [page.index for page in series.pages]

    def read(z: int) -> npt.NDArray[Any]:
        with tifffile.TiffFile(path) as tif:
            return np.asarray(tif.pages[pages[z]].asarray()).reshape(series.shape[1:])

    return LazyStack(series.shape, series.dtype, read)


def open_hdf5(path: Path, dataset: str) -> Any:
    """A dataset of an HDF5 file, read when it is indexed.

    Parameters
    ----------
    path
        The file.
    dataset
        Its path in the file; empty: the only one that can be an image.

    Raises
    ------
    InputError
        h5py is not installed, the file cannot be opened, or there is no such dataset, or several to choose from.
    """
    try:
        import h5py
    except ImportError as error:
        raise InputError(
            f"{path.name} is an HDF5 file, and the package h5py that reads those is not installed; install it with "
            "`pip install h5py`."
        ) from error
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path.name} cannot be opened as HDF5 ({error}); copy or export it again.") from error
    found: list[str] = []
    file.visititems(lambda name, node: found.append(name) if getattr(node, "ndim", 0) in (2, 3, 4) else None)
    listed = ", ".join(found[:8]) or "none"
    if not dataset and len(found) == 1:
        dataset = found[0]
    if dataset.strip("/") in found:
        return file[dataset]
    file.close()
    if not dataset:
        raise InputError(f"{path.name} holds the datasets {listed}; name one of them with dataset=.")
    raise InputError(f"{path.name} has no image dataset {dataset!r}; it holds {listed}.")
