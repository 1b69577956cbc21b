"""One run of a network over an image or a volume: the steps of its layout, block by block, into memory or a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_anneal.cancelling import CancelSignal
from napari_anneal.errors import InputError
from napari_anneal.inference.blocks import Block
from napari_anneal.inference.journal import block_digest
from napari_anneal.inference.layout import Layout, Step
from napari_anneal.inference.map_output import MapSink
from napari_anneal.inference.output import LabelSink, keeping_what_is_done
from napari_anneal.inference.pipeline import run_pipeline
from napari_anneal.inference.planes import Planes
from napari_anneal.inference.predictor import Cancelled, Forward, Predictor
from napari_anneal.inference.scratch import Scratch, ScratchFolder
from napari_anneal.inference.segmentation import normalised_entropy
from napari_anneal.inference.work import BlockWork
from napari_anneal.validation.calibration import with_temperature

__all__ = ["OnBlock", "SegmentationRun"]

# A finished block, its labels (z, y, x), and its probabilities (K, z, y, x) where they were asked for.
OnBlock = Callable[[Block, npt.NDArray[Any], npt.NDArray[np.float32] | None], None]


class SegmentationRun:
    """The state of one run; ``labels``, ``probabilities``, ``uncertainty`` and ``path`` are its result.

    ``header`` is what the journal of the sink begins with; ``resume``: the sink's journal was read and belongs to this
    very run, so that its blocks need not be computed again where the disk still holds them. ``maps`` are files for
    ``"probabilities"`` and ``"uncertainty"``.
    """

    def __init__(
        self,
        predictor: Predictor,
        planes: Planes,
        layout: Layout,
        dtype: np.dtype[Any],
        sink: LabelSink | None = None,
        keep_probabilities: bool = False,
        keep_uncertainty: bool = False,
        temperature: float = 1.0,
        header: dict[str, Any] | None = None,
        resume: bool = False,
        maps: Mapping[str, MapSink] | None = None,
    ) -> None:
        self._predictor, self._planes, self._layout = predictor, planes, layout
        self._dtype, self._sink, self._header, self._resume = dtype, sink, header, resume
        self._keep_probabilities, self._keep_uncertainty = keep_probabilities, keep_uncertainty
        self._temperature = temperature
        self._maps = dict(maps or {})
        self._scratch: list[Scratch] = []
        self.labels: Any = None
        self.probabilities: Any = None
        self.uncertainty: Any = None
        self.path: Path | None = None

    def execute(
        self,
        progress: Callable[[int, int], None] | None = None,
        cancel: CancelSignal | None = None,
        on_block: OnBlock | None = None,
        first: int | None = None,
    ) -> int:
        """Run, and return the number of planes that were finished; see ``Model.segment`` for the arguments."""
        self._allocate()
        sink, layout = self._sink, self._layout
        # Of when the journal's header was made: a change since then counts, too.
        state = self._header["image"][1] if self._header else self._planes.state()
        total, tiles_done, voxels, last = layout.total_tiles, 0, 0, len(layout.steps) - 1

        def advance(tiles: int = 1) -> None:
            nonlocal tiles_done
            tiles_done = min(total, tiles_done + tiles)
            if progress is not None:
                progress(tiles_done, total)

        folder = ScratchFolder(
            None if sink is None else sink.scratch,
            layout,
            self._planes.channels,
            self._planes.dtype,
            self._predictor.n_classes,
        )
        try:
            with keeping_what_is_done(sink, self._maps.values()):
                if sink is not None and not self._resume:
                    sink.open(self._header)
                self._open_maps()
                self._scratch = [folder.volume(number) for number in range(len(layout.steps) - 1)]
                try:
                    with self._predictor.session(cancel) as forward:
                        held = self._held()
                        if done := sum(block.shape[0] * layout.steps[n].passes for n, block in held):
                            advance(done)
                        voxels += sum(_voxels(block) for n, block in held if n == last)
                        for number, step in enumerate(layout.steps):
                            todo = [b for b in step.blocks.ordered(first if number == last else None)
                                    if (number, b) not in held]  # fmt: skip
                            for block, result in self._blocks(number, todo, forward, advance, cancel):
                                if number == last:
                                    voxels += _voxels(block)
                                    if on_block is not None:
                                        on_block(block, *result)
                except Cancelled:
                    pass
                self._refuse_changes(state)
        finally:
            if sink is None:
                folder.remove()
        finished = voxels // int(np.prod(self._planes.plane_shape))
        for kind, maps in self._maps.items():
            place = maps.finish() if finished == len(self._planes) else maps.keep_partial()
            setattr(self, kind, None if place is None else maps.read(place))
        if sink is not None:
            self.path = sink.finish() if finished == len(self._planes) else sink.keep_partial()
            self.labels = None if self.path is None else sink.read(self.path)
        return finished

    def _allocate(self) -> None:
        """Make room for what is kept in memory; labels start as 0, which no class has."""
        shape = self._planes.shape
        if self._sink is None:
            self.labels = np.zeros(shape, dtype=self._dtype)
        if self._keep_probabilities:
            self.probabilities = np.zeros((self._predictor.n_classes, *shape), dtype=np.float32)
        if self._keep_uncertainty:
            self.uncertainty = np.zeros(shape, dtype=np.float32)

    def _open_maps(self) -> None:
        """Go on with the maps of an earlier run, or begin them."""
        for maps in self._maps.values():
            header = None if self._header is None else maps.header(self._header)
            if not (self._resume and self._header is not None and maps.goes_on(self._header)):
                maps.open(header)

    def _blocks(
        self,
        number: int,
        blocks: list[Block],
        forward: Forward,
        advance: Callable[[], None],
        cancel: CancelSignal | None,
    ) -> Any:
        """Read, compute and write blocks of one step; yields each with what ``on_block`` is told."""
        with closing(run_pipeline(blocks, *self._stages(number, forward, advance, cancel))) as finished:
            yield from finished

    def _stages(
        self,
        number: int,
        forward: Forward,
        advance: Callable[[], None] | None = None,
        cancel: CancelSignal | None = None,
    ) -> tuple[Callable[[Block], Any], Callable[[Block, Any], Any], Callable[[Block, Any], Any]]:
        """How the blocks of one step are read, computed and written."""
        layout = self._layout
        step, last = layout.steps[number], number == len(layout.steps) - 1
        copied = layout.steps[0].kind == "copy"
        before = self._scratch[number - 1].along(step.axis) if number > copied else None
        source: Any = self._scratch[0].along(step.axis) if copied and number else self._planes
        views = sum(len(earlier.views) for earlier in layout.steps[:number])
        work = BlockWork(self._predictor, layout, step, source, before, views)

        def compute(block: Block, given: Any) -> Any:
            if cancel is not None and cancel.is_set():
                raise Cancelled
            return given if step.kind == "copy" else work.compute(block, given, forward, advance)

        def write(block: Block, found: Any) -> Any:
            if not last:
                return self._pass_on(number, step, block, found)
            return self._keep(number, block, found)

        read: Any = work.read if step.kind != "copy" else lambda block: self._planes.read(*block.where)
        return read, compute, write

    def _held(self) -> set[tuple[int, Block]]:
        """Blocks, by step, that an earlier run has done and the disk still has, or that nothing needs any more."""
        held: set[tuple[int, Block]] = set()
        if not self._resume:
            return held
        needed, computing = True, False
        for number, step in reversed(list(enumerate(self._layout.steps))):
            if step.kind == "copy":  # which every step that still computes reads
                needed = computing
            found = {(number, block) for block in step.blocks if not needed or self._holds(number, step, block)}
            held |= found
            missing = len(found) < len(step.blocks)
            needed, computing = missing, computing or missing
        return held

    def _holds(self, number: int, step: Step, block: Block) -> bool:
        assert self._sink is not None
        digest = self._sink.journal.done.get((number, block.index))
        if digest is None:
            return False
        if number == len(self._layout.steps) - 1:
            return all(maps.holds_block(block) for maps in self._maps.values()) and self._sink.holds(block, digest)
        try:
            return block_digest(self._scratch[number].fresh(step.along_volume(block.where))) == digest
        except Exception:  # a chunk that is lost or cannot be decoded
            return False

    def _pass_on(self, number: int, step: Step, block: Block, found: Any) -> None:
        """Write what the steps after this one need."""
        if isinstance(found, torch.Tensor):
            # In 65,535ths: half the room of float32, and off by no more than 8e-6.
            with torch.inference_mode():  # which this thread is not in
                levels = found.clamp_(0, 1).mul_(65535).add_(0.5).to(torch.int32).numpy().astype(np.uint16)
            axes = np.argsort(step.order)
            found = np.moveaxis(levels, 1, 0).transpose(0, *(1 + axes))
        where = step.along_volume(block.where)
        self._scratch[number].write(where, found)
        if self._sink is not None:
            self._sink.journal.add(number, block.index, block_digest(found))

    def _keep(self, number: int, block: Block, found: torch.Tensor) -> tuple[Any, Any]:
        """Store and write the labels of a block."""
        # NumPy's, because torch's takes ten times as long along an axis that is not the last in memory.
        labels = (found.numpy().argmax(axis=1) + 1).astype(self._dtype)
        probabilities = self._probabilities(found)
        z, y, x = block.where
        where: Any = (z, y, x) if "Z" in self._planes.axes else (y, x)
        if probabilities is not None:
            given = probabilities if "Z" in self._planes.axes else probabilities[:, 0]
            if self._keep_probabilities:
                assert self.probabilities is not None
                self.probabilities[:, *where] = given
            if self._keep_uncertainty:
                assert self.uncertainty is not None
                self.uncertainty[where] = normalised_entropy(given)
            # Before the labels, whose line in the journal says that all of a block is on the disk.
            for kind, maps in self._maps.items():
                values = probabilities if kind == "probabilities" else normalised_entropy(probabilities)[np.newaxis]
                maps.write_block(block, values)
        if self._sink is None:
            self.labels[where] = labels if "Z" in self._planes.axes else labels[0]
        else:
            self._sink.write_block(block, labels)
            if self._header is not None:
                self._sink.journal.add(number, block.index, block_digest(labels))
        return labels, probabilities

    def _probabilities(self, found: torch.Tensor) -> npt.NDArray[np.float32] | None:
        """Probabilities ``(K, z, y, x)`` at the model's temperature, where something is to be kept of them."""
        if not (self._keep_probabilities or self._keep_uncertainty or self._maps):
            return None
        probabilities = np.moveaxis(found.numpy(), 1, 0)
        if self._layout.combine == "max":
            probabilities = probabilities / probabilities.sum(axis=0)
        if self._temperature != 1:
            # After the labels: rounding must not turn a near tie round.
            probabilities = with_temperature(probabilities, self._temperature)
        return probabilities

    def _refuse_changes(self, state: Any) -> None:
        """Refuse a result that would be of two images."""
        if self._planes.state() != state:
            raise InputError(
                "the image changed while it was being segmented, so that the result would be of two images; segment it "
                "again once nothing writes to it."
            )


def _voxels(block: Block) -> int:
    z, y, x = block.shape
    return z * y * x
