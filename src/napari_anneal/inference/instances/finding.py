"""Instances out of probabilities or labels: block by block, with the same numbers whatever the blocks."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from napari_anneal.cancelling import CancelSignal
from napari_anneal.errors import InputError
from napari_anneal.inference.blocks import Block, BlockPlan
from napari_anneal.inference.instances.basins import BlockRegions, basins_of_block
from napari_anneal.inference.instances.blocks import Volume, block_shape, framed, grown, named, within
from napari_anneal.inference.instances.components import components_of_block
from napari_anneal.inference.instances.gathering import RegionGraph
from napari_anneal.inference.instances.landscape import Landscape
from napari_anneal.inference.instances.lines import crests
from napari_anneal.inference.instances.linking import SliceLinks
from napari_anneal.inference.instances.measures import Measures
from napari_anneal.inference.instances.merging import numbers_of_instances
from napari_anneal.inference.instances.neighbours import forward_steps
from napari_anneal.inference.instances.recipe import InstanceRecipe
from napari_anneal.inference.instances.result import Instances
from napari_anneal.inference.instances.seams import Seams
from napari_anneal.inference.instances.seeds import Seeds
from napari_anneal.inference.instances.table import as_volume, matching, table_of
from napari_anneal.synthesis.statistics.label_maps import as_spacing

__all__ = ["find_instances"]

T = TypeVar("T")
# More blocks at a time would need their memory and gain nothing: reading and the last joins go one by one.
MOST_WORKERS = 4


def find_instances(
    source: Any,
    recipe: InstanceRecipe | None = None,
    *,
    value: int | None = None,
    seeds: Any = None,
    intensity: Any = None,
    spacing: Sequence[float] | None = None,
    class_name: str = "",
    out: Any = None,
    block: int | Sequence[int] | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancel: CancelSignal | None = None,
) -> Instances | None:
    """Divide an image into instances: grains between boundaries, or objects on a ground.

    The landscape of the recipe is flooded from its hollows, or from the user's seeds, and cut along a minimum spanning
    forest, which is unique: the numbers are the same to the bit for any blocks and workers. With
    ``kind='boundaries'`` all cells are closed: every pixel belongs to one grain, which is connected, or, with
    ``lines``, to a line between different grains. With ``kind='objects'`` and ``split=False`` the instances are those
    of ``scipy.ndimage.label``. Memory: a few blocks and some bytes a region at the blocks' faces; time is linear in
    the number of pixels.

    Parameters
    ----------
    source
        ``(Y, X)`` or ``(Z, Y, X)``, anything that reads when it is indexed: float probabilities 0 … 1 of the boundary
        or object class; a mask; or labels, with ``value``.
    recipe
        Settings; ``None``: the defaults, for boundaries.
    value
        The label that is the boundary or the object.
    seeds
        Whole numbers of the same shape, 0 for no seed, or points ``(N, ndim)`` in pixels, which become seeds 1 … N.
        Instances have the numbers of their seeds; depth and smallest size are not asked; what no seed reaches is 0.
    intensity
        Grey values of the same shape, for the table.
    spacing
        Pixel size along the axes, µm: for the table, and for distances where axes differ. ``None``: not known, alike.
    class_name
        What the instances are, for the table.
    out
        Where labels go: whole numbers of four bytes or more, of the same shape, read and written in blocks (a Zarr
        array). Until the end it holds unfinished numbers. ``None``: a new int32 array.
    block
        Shape of the blocks; ``None``: whole chunks of about four million pixels.
    workers
        Blocks at work at a time; ``None``: a few, no more than processors.
    progress
        Called with (steps done, all steps).
    cancel
        Asked before every block; when it is set, ``None`` is returned and ``out`` is unfinished.

    Raises
    ------
    InputError
        Not an image of two or three axes, probabilities that are NaN or not in 0 … 1 (the block is named), labels
        without a value, seeds that are no seeds, a spacing that does not fit or is missing where µm are asked for.
    """
    finder = _Finder(source, recipe or InstanceRecipe(), value, seeds, intensity, spacing, out, block, workers)
    return finder.find(class_name, progress, cancel)


class _Stopped(Exception):
    """The user asked to stop."""


class _Finder:
    """One search: what it reads and writes, and its steps."""

    def __init__(
        self,
        source: Any,
        recipe: InstanceRecipe,
        value: int | None,
        seeds: Any,
        intensity: Any,
        spacing: Sequence[float] | None,
        out: Any,
        block: Any,
        workers: int | None,
    ) -> None:
        self.recipe, self.value = recipe, value
        self.volume = as_volume(source, "the image to divide")
        ndim, shape = self.volume.ndim, self.volume.shape
        if self.volume.dtype.kind == "f" and value is not None:
            raise InputError("value names a label, and these are probabilities; leave it out.")
        if recipe.connectivity > ndim:
            raise InputError(f"connectivity {recipe.connectivity} is for volumes; a 2D image has 1 or 2.")
        self.spacing = None if spacing is None else as_spacing(spacing, ndim)
        if recipe.min_size_um is not None and self.spacing is None:
            raise InputError("min_size_um needs the pixel size; give spacing in µm, or min_size in pixels.")
        self.intensity = matching(intensity, "the intensity image", self.volume)
        self.seeds = None if seeds is None else Seeds(seeds, self.volume)
        if self.seeds is not None and not recipe.split:
            raise InputError("seeds are grown where touching objects are cut; use split=True.")
        self.out = self._output(out)
        held = Volume(self.out, "the output")
        self._held = held
        self.blocks = list(BlockPlan(shape, block_shape(shape, block, held.chunks or self.volume.chunks)))
        if recipe.slices and (ndim == 2 or seeds is not None):
            raise InputError("slices are linked in a stack (Z, Y, X) without seeds; leave out slices=True.")
        self.steps = forward_steps(shape, recipe.connectivity, recipe.slices)
        full = (1.0,) * (3 - ndim) + (self.spacing or (1.0,) * ndim)
        self.landscape = Landscape.of(recipe, shape, (full[0], full[1], full[2]))
        if workers is not None and workers < 1:
            raise InputError(f"workers = {workers} must be at least 1.")
        self.workers = workers or max(1, min(MOST_WORKERS, os.cpu_count() or 1))

    def find(
        self, class_name: str, progress: Callable[[int, int], None] | None, cancel: CancelSignal | None
    ) -> Instances | None:
        """Run, see `find_instances`."""
        depth = self.volume.shape[0]
        self._done = 0
        self._total = len(self.blocks) * (4 if self.recipe.lines else 2) + (depth if self.recipe.slices else 0)
        self._progress, self._cancel = progress, cancel
        try:
            numbers, offsets = self._regions()
            measures = Measures()
            last = None if self.recipe.slices else measures
            self._number(numbers, offsets, None if self.recipe.lines else last)
            if self.recipe.lines:
                self._draw_lines()
                self._clear_lines(last)
            if self.recipe.slices:
                self._link(measures)
        except _Stopped:
            return None
        shape, ndim = self.volume.shape, self.volume.ndim
        table = table_of(measures.sums(), shape, ndim, self.spacing, class_name, self.intensity is not None)
        return Instances(self.out, table, self.recipe, self.spacing)

    def _regions(self) -> tuple[npt.NDArray[np.int64], list[int]]:
        """Find the regions of every block, write their numbers within the block, and say which instance each is."""
        seams = Seams(self.volume.shape, self.steps)
        seeded = self.seeds is not None
        graph, offsets, layer = RegionGraph(self.landscape.depth, seeded), [], 0
        for block, (found, heights) in self._each(self._regions_of):
            if block.start[0] != layer:
                graph.close_layer(seams.reachable())
                layer = block.start[0]
            self._write(block, found.labels)
            offsets.append(graph.add(found))
            graph.link(seams.edges(block, found.labels, offsets[-1], heights))
            self._step()
        pixel = math.prod((self.spacing or (1.0,))[1 if self.recipe.slices else 0 :])
        least = max(self.recipe.min_size, math.ceil((self.recipe.min_size_um or 0.0) / pixel))
        numbers = numbers_of_instances(
            graph,
            seeded=seeded,
            min_size=least,
            fills=self.recipe.kind == "boundaries",
        )
        if len(numbers) and numbers.max() > np.iinfo(np.int32).max:
            raise InputError("there are more instances than 32 bits can number; raise min_size or depth.")
        return numbers, offsets

    def _regions_of(self, block: Block) -> tuple[BlockRegions, npt.NDArray[np.uint16] | None]:
        """Regions of a block, and its heights with a frame."""
        heights, flooded = self._heights(block)
        place = block.start, self.volume.shape
        if not self.recipe.split:
            return components_of_block(flooded, self.steps, *place), None
        seeds = None if self.seeds is None else self.seeds.read(block)
        return basins_of_block(heights, flooded, seeds, self.steps, *place, self.landscape.depth), heights

    def _heights(self, block: Block) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.bool_]]:
        """Heights and flooded pixels of a block, with a frame of one pixel."""
        held = grown(block, (1, 1, 1), self.volume.shape)
        read = grown(held, self.landscape.halo, self.volume.shape)
        given = self.volume.read(read)
        self._check(given, read)
        heights, flooded = self.landscape.heights(given, self.value)
        here = within(held, read)
        return framed(block, held, heights[here], 0), framed(block, held, flooded[here], False)

    def _check(self, given: npt.NDArray[Any], block: Block) -> None:
        """Refuse what is no probability, or labels of which nobody said what they are."""
        if given.dtype.kind == "f":
            if not (given.min() >= 0 and given.max() <= 1):
                what = "NaN" if np.isnan(given).any() else f"{given.min():g} … {given.max():g}"
                raise InputError(
                    f"probabilities must lie in 0 … 1, and there are {what} at {named(block)}; give a class's "
                    "probabilities, not grey values."
                )
        elif given.dtype.kind in "ui" and self.value is None and given.max() > 1:
            what = "boundary" if self.recipe.kind == "boundaries" else "object"
            raise InputError(
                f"these are labels up to {given.max()} or more; say which one is the {what} (value={given.max()})."
            )

    def _number(self, numbers: npt.NDArray[np.int64], offsets: list[int], measures: Measures | None) -> None:
        """Put the instance in place of every region."""
        for (block, part), offset in zip(self._each(self._read), offsets, strict=True):
            here = numbers[offset : offset + (int(part.max()) if part.size else 0)]
            labels = np.concatenate([np.zeros(1, np.int32), here.astype(np.int32)])[part]
            self._write(block, labels)
            self._measure(measures, block, labels)
            self._step()

    def _draw_lines(self) -> None:
        """Make the labels negative on the crests between instances; the numbers are needed around them still."""
        for block, (labels, heights) in self._each(self._around):
            inner = labels[1:-1, 1:-1, 1:-1]
            self._write(block, np.where(crests(labels, heights, self.steps), -inner, inner))
            self._step()

    def _around(self, block: Block) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint16]]:
        held = grown(block, (1, 1, 1), self.volume.shape)
        return framed(block, held, np.abs(self._read(held)), 0), self._heights(block)[0]

    def _clear_lines(self, measures: Measures | None) -> None:
        """Put 0 in place of negative labels."""
        for block, part in self._each(self._read):
            labels = np.maximum(part, 0)
            self._write(block, labels)
            self._measure(measures, block, labels)
            self._step()

    def _link(self, measures: Measures) -> None:
        """Give the parts of an instance in neighbouring slices one number."""
        links = SliceLinks(self.recipe.overlap)
        depth, height, width = self.volume.shape
        for z in range(depth):
            self._ask()
            plane = Block(z, (z, 0, 0), (z + 1, height, width))
            labels = links.renumber(self._read(plane)[0])[None]
            self._write(plane, labels)
            self._measure(measures, plane, labels)
            self._step()

    def _measure(self, measures: Measures | None, block: Block, labels: npt.NDArray[np.int32]) -> None:
        if measures is not None:
            measures.add(labels, block.start, None if self.intensity is None else self.intensity.read(block))

    def _read(self, block: Block) -> npt.NDArray[np.int32]:
        return self._held.read(block).astype(np.int32)

    def _write(self, block: Block, labels: npt.NDArray[np.int32]) -> None:
        place = block.where[3 - self.volume.ndim :]
        self.out[place] = labels.reshape(labels.shape[3 - self.volume.ndim :]).astype(self.out.dtype)

    def _output(self, out: Any) -> Any:
        shape = self.volume.shape[3 - self.volume.ndim :]
        if out is None:
            return np.zeros(shape, np.int32)
        dtype = np.dtype(out.dtype)
        if tuple(out.shape) != shape or dtype.kind not in "ui" or dtype.itemsize < 4:
            raise InputError(
                f"out is {dtype} of shape {tuple(out.shape)}, where int32 (or wider) of shape {shape} is needed."
            )
        return out

    def _each(self, job: Callable[[Block], T]) -> Iterator[tuple[Block, T]]:
        """Do a job for every block, some at a time, and hand the results out in order."""
        if self.workers == 1 or len(self.blocks) == 1:
            for block in self.blocks:
                self._ask()
                yield block, job(block)
            return
        with ThreadPoolExecutor(self.workers) as pool:
            waiting: deque[tuple[Block, Future[T]]] = deque()
            try:
                for block in self.blocks:
                    self._ask()
                    waiting.append((block, pool.submit(job, block)))
                    if len(waiting) > self.workers:
                        first, result = waiting.popleft()
                        yield first, result.result()
                while waiting:
                    self._ask()
                    first, result = waiting.popleft()
                    yield first, result.result()
            finally:
                for _, result in waiting:
                    result.cancel()

    def _ask(self) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise _Stopped

    def _step(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)
