"""A volume cut into blocks, and reading a block with a frame, checked, from whatever reads when it is indexed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.inference.blocks import Block

__all__ = ["Volume", "block_shape", "framed", "grown", "named", "within"]

# Voxels of a block where nothing else is asked for: some 250 MB while it is at work.
BLOCK_VOXELS = 1 << 22

# Edges of a block are counted in 32 bits, up to 13 a voxel.
MOST_VOXELS = 1 << 28


def grown(block: Block, by: tuple[int, int, int], shape: tuple[int, int, int]) -> Block:
    """A block with a frame, where the volume has one."""
    low, high, room = (np.array(v) for v in (block.start, block.stop, shape))
    z, y, x = np.maximum(low - by, 0).tolist()
    z_end, y_end, x_end = np.minimum(high + by, room).tolist()
    return Block(block.index, (z, y, x), (z_end, y_end, x_end))


def within(block: Block, other: Block) -> tuple[slice, slice, slice]:
    """Index of a block in an array of another."""
    z, y, x = (slice(w.start - o, w.stop - o) for w, o in zip(block.where, other.start, strict=True))
    return z, y, x


def block_shape(shape: tuple[int, int, int], asked: Any, chunks: tuple[int, ...] | None) -> tuple[int, int, int]:
    """Shape of a block: as asked for, or whole chunks of about four million voxels.

    Raises
    ------
    InputError
        Not one whole number above 0, nor one an axis; a block that is too large.
    """
    if asked is not None:
        sides = (asked,) if isinstance(asked, int | np.integer) else tuple(asked)
        sides = sides * 3 if len(sides) == 1 else (1,) * (3 - len(sides)) + sides
        if len(sides) != 3 or not all(isinstance(s, int | np.integer) and s > 0 for s in sides):
            raise InputError(f"block = {asked!r} must be a number of pixels, or one an axis (Z, Y, X), above 0.")
        z, y, x = (min(int(s), n) for s, n in zip(sides, shape, strict=True))
        if z * y * x > MOST_VOXELS:
            raise InputError(f"a block of {z} × {y} × {x} pixels is too large; {MOST_VOXELS} pixels are the most.")
        return z, y, x
    side = 32
    unit = (1,) * (3 - len(chunks)) + chunks if chunks else (side, side, side)
    block = [min(u, n) for u, n in zip(unit, shape, strict=True)]
    while True:
        # The shortest axis that can grow, so that the frames stay small beside the blocks.
        grows = [i for i in range(3) if block[i] < shape[i]]
        if not grows or 2 * math.prod(block) > BLOCK_VOXELS:
            return block[0], block[1], block[2]
        i = min(grows, key=lambda k: block[k])
        block[i] = min(2 * block[i], shape[i])


class Volume:
    """An array-like of two or three axes, read as ``(Z, Y, X)``."""

    def __init__(self, source: Any, what: str) -> None:
        self._source, self._what = source, what
        self.ndim = len(source.shape)
        shape = (1,) * (3 - self.ndim) + tuple(int(n) for n in source.shape)
        self.shape: tuple[int, int, int] = (shape[0], shape[1], shape[2])
        self.dtype = np.dtype(source.dtype)

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of its chunks, where it has such."""
        chunks = getattr(self._source, "shards", None) or getattr(self._source, "chunks", None)
        if not chunks:
            return None
        return tuple(int(c[0]) if isinstance(c, tuple) else int(c) for c in chunks)

    def read(self, block: Block) -> npt.NDArray[Any]:
        """Read a block, ``(Z, Y, X)``.

        Raises
        ------
        InputError
            It cannot be read, or is not of the shape it should have; the block is named.
        """
        place = block.where[3 - self.ndim :]
        try:
            part = np.asarray(self._source[place])
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise InputError(f"{self._what} cannot be read at {named(block)} ({error}); check the file.") from error
        wanted = block.shape
        if part.shape != wanted[3 - self.ndim :]:
            raise InputError(
                f"{self._what} gave {part.shape} pixels at {named(block)} in place of {wanted}; it changed meanwhile."
            )
        return part.reshape(wanted)


def named(block: Block) -> str:
    """How a sentence calls a block."""
    return "[" + ", ".join(f"{a}:{b}" for a, b in zip(block.start, block.stop, strict=True)) + "]"


def framed(block: Block, held: Block, part: npt.NDArray[Any], fill: Any) -> npt.NDArray[Any]:
    """Cut a block with a frame of one pixel out of an array of ``held``; outside the volume the frame is ``fill``."""
    out = np.full([n + 2 for n in block.shape], fill, dtype=part.dtype)
    source, target = [], []
    for a, b, low, high in zip(block.start, block.stop, held.start, held.stop, strict=True):
        first, last = max(a - 1, low), min(b + 1, high)
        source.append(slice(first - low, last - low))
        target.append(slice(first - a + 1, last - a + 1))
    out[tuple(target)] = part[tuple(source)]
    return out
