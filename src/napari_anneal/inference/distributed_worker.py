"""What a worker of a cluster does: opens image, network and result by itself, and computes and writes single blocks.

A block is a function of the job and its number, and its chunks belong to no other block: a block that is done twice,
because its first worker died or was lost from sight, leaves the same bytes.
"""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from napari_anneal.errors import AnnealError, BundleError, InputError, OutputError
from napari_anneal.inference.journal import Journal
from napari_anneal.inference.layout import Layout
from napari_anneal.inference.output import LabelSink, LabelVolume
from napari_anneal.inference.planes import open_planes
from napari_anneal.inference.predictor import Predictor
from napari_anneal.inference.run import SegmentationRun
from napari_anneal.inference.scratch import ScratchFolder
from napari_anneal.models import load_bundle
from napari_anneal.models.card import software_versions
from napari_anneal.models.lineage import weights_digest

__all__ = ["DONE", "FULL", "SOFTWARE", "Job", "compute_block"]

# First part of the answer where a block is on the disk, and where no room was left for it; else the name of an error's
# class.
DONE, FULL = "done", "full"
# What must be the same everywhere for the same bytes.
SOFTWARE = ("napari-anneal", "torch", "numpy")


class Job(BaseModel):
    """All that a worker is told; goes to it as JSON. ``token`` is new for every run of a driver."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: str
    model: str
    weights: str
    device: str
    precision: str
    software: tuple[str, ...]
    image: str
    axes: str | None
    spacing: tuple[float, ...] | None
    level: int
    channel: int | None
    dataset: str
    state: list[Any]
    layout: Layout
    out: str
    shape: tuple[int, ...]
    dtype: str
    classes: tuple[str, ...]
    colours: tuple[str, ...]
    block: tuple[int, int] | None


class _Report(Journal):
    """Keeps what would be written to the journal: that is the driver's alone."""

    def add(self, step: int, index: int, digest: str) -> None:
        """Remember."""
        self.done[step, index] = digest


class _WorkerSink(LabelSink):
    """Writes into the partial result of a driver, which alone may begin, finish or remove it."""

    def __init__(self, path: Path, volume: LabelVolume) -> None:
        super().__init__(path, volume, overwrite=True)
        self.journal = _Report(self.journal.path)
        self.full = False

    def discard(self) -> None:
        """Only remember that the disk is full: others may be writing."""
        self.full = True


class _WorkerRun(SegmentationRun):
    """The run of a driver, as far as one process computes it."""

    def __init__(self, job: Job) -> None:
        if (here := _software()) != job.software:
            named = ", ".join(f"{n} {a} instead of {b}" for n, a, b in zip(SOFTWARE, here, job.software, strict=True)
                              if a != b)  # fmt: skip
            raise InputError(f"it has {named}, which may give other bytes; install the same versions everywhere.")
        if not Path(job.model).exists() or not Path(job.image).exists():
            missing = job.image if Path(job.model).exists() else job.model
            raise InputError(f"{missing} cannot be reached from it; image and result must lie where every worker sees "
                             "them under the same path.")  # fmt: skip
        network, card = load_bundle(job.model)
        if weights_digest(network) != job.weights:
            raise BundleError(f"{job.model} holds other weights than the model of this run; segment again.")
        spec = card.architecture
        predictor = Predictor(network, spec.in_channels, spec.n_classes, spec.stride, job.device, job.precision)
        channels = spec.in_channels // card.context
        planes, _ = open_planes(
            job.image, job.axes, job.spacing, channels, level=job.level, channel=job.channel, dataset=job.dataset
        )
        if planes.state() != job.state:
            raise InputError(f"{job.image} is not the same there, or it has changed; segment it again.")
        dtype = np.dtype(job.dtype)
        sink = _WorkerSink(
            Path(job.out), LabelVolume(job.shape, dtype, None, job.classes, job.colours, None, job.block)
        )
        if not sink.go_on():
            raise OutputError(
                f"{sink.partial} cannot be opened from it; the result must lie where every worker sees it."
            )
        super().__init__(predictor, planes, job.layout, dtype, sink, header={})
        folder = ScratchFolder(sink.scratch, job.layout, planes.channels, planes.dtype, predictor.n_classes)
        self._scratch = [folder.volume(number) for number in range(len(job.layout.steps) - 1)]
        self._report, self._store = sink.journal, sink
        self._current: tuple[int, Any] | None = None

    @property
    def full(self) -> bool:
        """Whether the disk was full when a block was to be written."""
        return self._store.full

    def one(self, number: int, index: int) -> str:
        """Compute and write a block of a step; returns its digest."""
        with self._predictor.session() as forward:
            if self._current is None or self._current[0] != number:
                # Anew for every step: readers of scratch data keep what they have read.
                self._current = (number, self._stages(number, lambda tiles: self._forward(tiles)))
            self._forward = forward
            read, compute, write = self._current[1]
            block = self._layout.steps[number].blocks[index]
            write(block, compute(block, read(block)))
        return self._report.done.pop((number, index))


_LOCK = threading.Lock()
_LATEST: dict[str, _WorkerRun] = {}


def compute_block(job: str, number: int, index: int, threads: int) -> tuple[str, str]:
    """Compute and write one block.

    Parameters
    ----------
    job
        A ``Job`` as JSON.
    number, index
        The step of its layout, and the block of the step.
    threads
        That torch computes with.

    Returns
    -------
    status, text
        ``DONE`` and the digest of what was written; or ``FULL`` or the class of an error the user can do something
        about, and its sentence. Such errors are answers, because another try would end the same way.
    """
    with _LOCK:  # a worker may have several threads, but a source is read from one at a time
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(threads)
            if job not in _LATEST:
                _LATEST.clear()
                _LATEST[job] = _WorkerRun(Job.model_validate_json(job))
            return DONE, _LATEST[job].one(number, index)
        except AnnealError as error:
            run = _LATEST.get(job)
            status = FULL if run is not None and run.full else type(error).__name__
            return status, f"the worker on {socket.gethostname()} reports: {error}"
        except MemoryError:
            return "InputError", f"the worker on {socket.gethostname()} ran out of memory; pass a smaller tile."
        finally:
            torch.set_num_threads(before)


def _software() -> tuple[str, ...]:
    versions = software_versions()
    return tuple(versions[name] for name in SOFTWARE)
