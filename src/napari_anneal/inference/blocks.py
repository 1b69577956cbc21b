"""The result of a run as a grid of blocks: the unit that is computed, written, journalled and given to a worker."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Block", "BlockPlan"]


@dataclass(frozen=True)
class Block:
    """A box of a stack: voxels ``start`` up to, not including, ``stop`` along its three axes.

    ``index`` is its place in the plan. A 2D image is a stack of one plane.
    """

    index: int
    start: tuple[int, int, int]
    stop: tuple[int, int, int]

    @property
    def where(self) -> tuple[slice, slice, slice]:
        """The box as an index."""
        z, y, x = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each axis."""
        z, y, x = (b - a for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x


@dataclass(frozen=True)
class BlockPlan:
    """A regular grid over a stack, swept slab by slab.

    Parameters
    ----------
    shape
        Of the stack.
    size
        Of a block; those at the upper ends are smaller.
    slab
        Planes that are read from the source at once, a multiple of ``size[0]``: all blocks above one place of a slab
        come one after the other, so that each of its chunks is read once.
    """

    shape: tuple[int, int, int]
    size: tuple[int, int, int]
    slab: int = 1

    @property
    def counts(self) -> tuple[int, int, int]:
        """Blocks along each axis."""
        z, y, x = (math.ceil(n / s) for n, s in zip(self.shape, self.size, strict=True))
        return z, y, x

    def __len__(self) -> int:
        return math.prod(self.counts)

    def __iter__(self) -> Iterator[Block]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Block:
        """The block of this number, in the order of the sweep."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        _, rows, columns = self.counts
        slab, rest = divmod(index, self._layers * rows * columns)
        place, layer = divmod(rest, self._layers_in(slab))
        return self._block(index, (slab * self._layers + layer, *divmod(place, columns)))

    def ordered(self, first: int | None = None) -> Iterator[Block]:
        """All blocks in the order of the sweep; with ``first``, those nearest to this plane of the stack come first."""
        if first is None:
            yield from self
            return
        depth, (_, rows, columns) = self.size[0], self.counts

        def away(begin: int, thick: int) -> int:
            return max(begin - first, first - (begin + thick - 1), 0)

        thick = self._layers * depth
        for slab in sorted(range(math.ceil(self.shape[0] / thick)), key=lambda s: away(s * thick, thick)):
            here, begin = self._layers_in(slab), slab * self._layers
            layers = sorted(range(here), key=lambda layer: away((begin + layer) * depth, depth))
            for place in range(rows * columns):
                for layer in layers:
                    yield self[slab * self._layers * rows * columns + place * here + layer]

    @property
    def _layers(self) -> int:
        """Layers of blocks in a slab."""
        return max(1, self.slab // self.size[0])

    def _layers_in(self, slab: int) -> int:
        return min(self._layers, self.counts[0] - slab * self._layers)

    def _block(self, index: int, place: tuple[int, int, int]) -> Block:
        z, y, x = (p * s for p, s in zip(place, self.size, strict=True))
        ends = (min(a + s, n) for a, s, n in zip((z, y, x), self.size, self.shape, strict=True))
        z_end, y_end, x_end = ends
        return Block(index, (z, y, x), (z_end, y_end, x_end))
