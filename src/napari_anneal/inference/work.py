"""What is computed for one block: a function of the block, the image, the network and the layout, and of nothing else.

A block read and computed on another day, in another order or on another machine of the same kind gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from napari_anneal.inference.blocks import Block
from napari_anneal.inference.layout import Layout, Step
from napari_anneal.inference.one_slice import OneSlice
from napari_anneal.inference.predictor import Forward, Predictor
from napari_anneal.inference.views import View
from napari_anneal.samples.normalisation import IntensityRange, standardise

__all__ = ["BlockWork", "VoxelSource"]


class VoxelSource(Protocol):
    """Anything that gives boxes of a volume as ``(C, z, y, x)``: an image, or a scratch array."""

    def read(self, z: slice, y: slice, x: slice) -> npt.NDArray[Any]:
        """A box."""
        ...


class BlockWork:
    """Reads and computes the blocks of one step.

    Parameters
    ----------
    predictor, layout, step
        The network, and what was decided.
    source
        The image.
    before
        Probabilities that the steps before have found, in 65,535ths, or ``None`` for the first.
    count
        Views that these are the mean of.
    """

    def __init__(
        self,
        predictor: Predictor,
        layout: Layout,
        step: Step,
        source: VoxelSource,
        before: VoxelSource | None = None,
        count: int = 0,
    ) -> None:
        self._predictor, self._layout, self._step = predictor, layout, step
        self._source, self._before, self._count = source, before, count
        self._limits = IntensityRange(*layout.limits)
        # A single slice of a stack has neighbours beyond the planes of the step.
        self._offset, self._depth = 0, step.shape[0]
        if isinstance(source, OneSlice):
            self._offset, self._depth = source.offset, source.depth

    def read(self, block: Block) -> tuple[npt.NDArray[np.float32] | None, npt.NDArray[Any] | None]:
        """Standardised pixels ``(C, d, h, w)`` of a block with its surroundings, and what earlier steps found there."""
        before = None if self._before is None else self._box(self._before, block.where)
        if not self._step.views:
            return None, before
        planes, rows, columns = block.where
        reach = self._layout.context // 2
        begin, end = planes.start + self._offset, planes.stop + self._offset
        inner = slice(max(0, begin - reach), min(self._depth, end + reach))
        box = self._box(self._source, (inner, *self._region(rows, columns)))
        # Beyond the first and the last plane, these stand in for the neighbours that there are none of.
        wanted = np.arange(begin - reach, end + reach).clip(0, self._depth - 1) - inner.start
        box = box if len(wanted) == box.shape[1] else box[:, wanted]
        return self._standardised(box), before

    def compute(
        self,
        block: Block,
        given: tuple[npt.NDArray[np.float32] | None, npt.NDArray[Any] | None],
        forward: Forward,
        on_tile: Callable[[], None] | None = None,
    ) -> torch.Tensor:
        """Probabilities of a block, float32 ``(d, K, h, w)``, from what ``read`` gave."""
        pixels, before = given
        found: torch.Tensor | None = None
        count = self._count
        if before is not None:
            found = torch.from_numpy(np.moveaxis(before, 0, 1).astype(np.float32)).div_(65535)
        if pixels is not None:
            planes = torch.from_numpy(np.ascontiguousarray(self._with_neighbours(pixels)))
            size = planes.shape[-2:]
            if self._step.scaled != self._step.shape[1:]:
                planes = _resized(planes, self._step.scaled, antialias=True)
            for view in self._step.views:
                part = self._view(planes, size, view, block, forward, on_tile)
                found = part if found is None else self._combined(found, part, count)
                count += 1
        assert found is not None
        return found

    def _combined(self, found: torch.Tensor, part: torch.Tensor, count: int) -> torch.Tensor:
        """Add one more view to the mean (or the maximum) of ``count``."""
        if self._layout.combine == "max":
            return torch.maximum(found, part)
        return found.mul_(count / (count + 1)).add_(part, alpha=1 / (count + 1))

    def _view(
        self,
        planes: torch.Tensor,
        size: torch.Size,
        view: View,
        block: Block,
        forward: Forward,
        on_tile: Callable[[], None] | None,
    ) -> torch.Tensor:
        """Probabilities, at ``size``, of planes that the network sees mirrored or turned."""
        step = self._step
        plan = step.plan_for(view)
        _, rows, columns = block.where
        whole = block.shape[1:] == step.shape[1:]
        if not whole:
            plan, (top, left) = plan.part(rows, columns)
        seen = view(planes).numpy()
        found = view.undo(self._predictor.predict_planes(seen, plan, forward, on_tile, self._layout.batch_pixels))
        if step.scaled != step.shape[1:]:
            found = _resized(found, (size[0], size[1]), antialias=False)
        if not whole:
            found = found[
                ...,
                rows.start - top.start : rows.stop - top.start,
                columns.start - left.start : columns.stop - left.start,
            ]
        return found

    def _region(self, rows: slice, columns: slice) -> tuple[slice, slice]:
        """What has to be read of a plane: all of it, or what the tiles of a piece of it need."""
        _, height, width = self._step.shape
        if (rows.stop - rows.start, columns.stop - columns.start) == (height, width):
            return rows, columns
        assert self._step.tiles is not None
        _, (y, x) = self._step.tiles.part(rows, columns)
        return slice(y.start, min(y.stop, height)), slice(x.start, min(x.stop, width))

    def _box(self, source: VoxelSource, where: tuple[slice, slice, slice]) -> npt.NDArray[Any]:
        """A box given along the axes of this step, read along those of the volume and turned back."""
        return source.read(*self._step.along_volume(where)).transpose(0, *(1 + i for i in self._step.order))

    def _standardised(self, box: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        if box.dtype != np.uint8:
            return standardise(self._limits.apply(box))
        # The same values by a table: one pass over the pixels instead of six.
        return np.asarray(standardise(self._limits.apply(np.arange(256, dtype=np.uint8)))[box], dtype=np.float32)

    def _with_neighbours(self, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """``(C, d + context - 1, h, w)`` → ``(d, context · C, h, w)``, the channels of one slice side by side."""
        context = self._layout.context
        depth = pixels.shape[1] - context + 1
        if context == 1:
            return np.moveaxis(pixels, 0, 1)
        shifted = [np.moveaxis(pixels[:, i : i + depth], 0, 1) for i in range(context)]
        return np.concatenate(shifted, axis=1)


def _resized(planes: torch.Tensor, size: tuple[int, int], antialias: bool) -> torch.Tensor:
    """Bilinear, smoothed first where it shrinks."""
    return torch.nn.functional.interpolate(
        planes.contiguous(), size=size, mode="bilinear", align_corners=False, antialias=antialias
    )
