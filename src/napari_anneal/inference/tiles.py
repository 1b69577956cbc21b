"""Cutting a plane into tiles that cannot be seen in the result.

Finite receptive field: the plane is divided into *cores*, aligned with the network's stride, and each is
computed with a *halo* of exactly what its outputs depend on, clipped at the image's own border so that the
network's padding is seen where the whole image would see it. Unbounded field: equal tiles overlap and are
blended with a smooth weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError

__all__ = ["Span", "Tile", "TilePlan", "blend_weight", "pad_to_stride", "plan_tiles"]

# Share of a tile's side that it has in common with each neighbour where tiles are blended.
OVERLAP = 0.25


@dataclass(frozen=True)
class Span:
    """A tile along one axis: it is computed on ``[start, stop)`` and kept on ``[keep_start, keep_stop)``."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int

    @property
    def computed(self) -> slice:
        """Where the tile is read."""
        return slice(self.start, self.stop)

    @property
    def kept(self) -> slice:
        """Where its result goes."""
        return slice(self.keep_start, self.keep_stop)

    @property
    def inside(self) -> slice:
        """The kept part, counted from the tile's own start."""
        return slice(self.keep_start - self.start, self.keep_stop - self.start)

    def shifted(self, by: int) -> Span:
        """The same tile counted from another origin."""
        return Span(self.start + by, self.stop + by, self.keep_start + by, self.keep_stop + by)


@dataclass(frozen=True)
class Tile:
    """One tile of a plane, in pixels of the padded plane."""

    y: Span
    x: Span


@dataclass(frozen=True)
class TilePlan:
    """How a plane is computed: the tiles are ``ys`` × ``xs``, row by row.

    ``blended``: kept parts overlap and are averaged with ``blend_weight``; else they are disjoint and cover
    the plane.
    """

    padded: tuple[int, int]
    ys: tuple[Span, ...]
    xs: tuple[Span, ...]
    blended: bool

    def __iter__(self) -> Iterator[Tile]:
        return (Tile(y, x) for y in self.ys for x in self.xs)

    def __len__(self) -> int:
        return len(self.ys) * len(self.xs)

    @property
    def computed_pixels(self) -> int:
        """Pixels that go through the network."""
        return sum(s.stop - s.start for s in self.ys) * sum(s.stop - s.start for s in self.xs)

    def part(self, rows: slice, columns: slice) -> tuple[TilePlan, tuple[slice, slice]]:
        """The tiles that a piece of the plane needs, as a plan of the region they cover, and that region.

        The plan counts from the region's own corner; what it gives on the piece is what the whole plan gives there.
        """
        ys, xs = (tuple(s for s in spans if s.keep_start < piece.stop and piece.start < s.keep_stop)
                  for spans, piece in ((self.ys, rows), (self.xs, columns)))  # fmt: skip
        (top, bottom), (left, right) = ((min(s.start for s in spans), max(s.stop for s in spans)) for spans in (ys, xs))
        plan = TilePlan(
            (bottom - top, right - left),
            tuple(s.shifted(-top) for s in ys),
            tuple(s.shifted(-left) for s in xs),
            self.blended and len(ys) * len(xs) > 1,
        )
        return plan, (slice(top, bottom), slice(left, right))


def pad_to_stride(plane: npt.NDArray[Any], stride: int) -> npt.NDArray[Any]:
    """Reflect ``(…, Y, X)`` at the bottom and right to multiples of ``stride``; any size from 1 × 1 up."""
    extra = [(0, 0)] * (plane.ndim - 2) + [(0, -n % stride) for n in plane.shape[-2:]]
    return np.pad(plane, extra, mode="reflect") if any(e for _, e in extra) else plane


def plan_tiles(
    shape: tuple[int, int],
    stride: int,
    reach: tuple[int, int] | None,
    tile: int | str | None,
    max_pixels: int,
    cut: tuple[int, int] | None = None,
) -> TilePlan:
    """Plan the tiles of a plane.

    Parameters
    ----------
    shape
        ``(Y, X)`` of the plane, before padding.
    stride
        Tiles start and end at multiples of this.
    reach
        Pixels ``(before, after)`` a core needs, multiples of ``stride``; ``None``: unbounded, tiles are
        blended.
    tile
        ``None``: the whole plane at once. An integer: side of the cores (of the tiles, where blended),
        rounded up to the stride. ``"auto"``: the whole plane where it has at most ``max_pixels`` pixels, else
        the grid that sends the fewest pixels through the network with no tile above ``max_pixels``.
    max_pixels
        What one forward pass may hold.
    cut
        Cores also end at multiples of this (Y, X), multiples of ``stride``: a plane that is written in blocks of this
        size is then computed without doing a tile twice. Blended tiles are not cut.

    Raises
    ------
    InputError
        ``tile`` is none of these.
    """
    height, width = (math.ceil(n / stride) * stride for n in shape)
    whole = tile is None or (tile == "auto" and height * width <= max_pixels)
    if whole:
        sides = height, width
    elif tile == "auto":
        sides = _cheapest(height, width, stride, reach, max_pixels)
    elif isinstance(tile, int | np.integer) and not isinstance(tile, bool) and tile >= 1:
        sides = 2 * (math.ceil(int(tile) / stride) * stride,)
    else:
        raise InputError(f"tile={tile!r} is not a tile size; use 'auto', None (the whole image) or a number of pixels.")
    ys, xs = (
        _spans(n, side, stride, reach, c)
        for n, side, c in zip((height, width), sides, cut or (None, None), strict=True)
    )
    return TilePlan((height, width), ys, xs, blended=reach is None and len(ys) * len(xs) > 1)


def blend_weight(tile: Tile) -> npt.NDArray[np.float32]:
    """Weight ``(Y, X)`` of a blended tile: a squared sine that rises from its edges, never quite 0."""
    ramps = []
    for span in (tile.y, tile.x):
        length = span.stop - span.start
        edge = (np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5) / max(1.0, length * OVERLAP)
        ramps.append(np.sin(0.5 * np.pi * np.minimum(edge, 1.0)) ** 2)
    return np.outer(*ramps).astype(np.float32)


def _spans(
    length: int, side: int, stride: int, reach: tuple[int, int] | None, cut: int | None = None
) -> tuple[Span, ...]:
    """Tiles along one axis of a padded plane."""
    if side >= length and (cut is None or reach is None or cut >= length):
        return (Span(0, length, 0, length),)
    if reach is not None:
        before, after = reach
        piece = cut or length
        pieces = ((a, min(a + piece, length)) for a in range(0, length, piece))
        cores = ((a, min(a + side, end)) for begin, end in pieces for a in range(begin, end, side))
        return tuple(Span(max(0, a - before), min(length, b + after), a, b) for a, b in cores)
    step = max(stride, math.floor(side * (1 - OVERLAP) / stride) * stride)
    # The last tile is moved inwards instead of being cut: what a network with global context sees keeps its
    # size.
    starts = sorted({min(a, length - side) for a in range(0, length - side + step, step)})
    return tuple(Span(a, a + side, a, a + side) for a in starts)


def _cheapest(height: int, width: int, stride: int, reach: tuple[int, int] | None, max_pixels: int) -> tuple[int, int]:
    """Sides of the tiles that fit the budget and send the fewest pixels through the network."""
    halo = 0 if reach is None else sum(reach)
    best, best_cost = (stride, stride), math.inf
    for side_y in _divisions(height, stride):
        tall = min(height, side_y + halo)
        for side_x in _divisions(width, stride):
            if tall * min(width, side_x + halo) > max_pixels:
                continue
            ys, xs = (_spans(n, s, stride, reach) for n, s in ((height, side_y), (width, side_x)))
            cost = sum(s.stop - s.start for s in ys) * sum(s.stop - s.start for s in xs)
            if cost < best_cost:
                best, best_cost = (side_y, side_x), cost
            break  # smaller cores on this row can only cost more
    return best


def _divisions(length: int, stride: int) -> Iterator[int]:
    """Sides that cut an axis into 1, 2, 3, … about equal parts, largest first; coarser steps beyond 64 parts."""
    blocks, parts, last = length // stride, 1, None
    while parts < blocks:
        side = math.ceil(blocks / parts) * stride
        if side != last:
            yield side
        last, parts = side, parts + max(1, parts // 64)
    yield stride
