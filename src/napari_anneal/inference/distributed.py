"""The same run on a ``dask.distributed`` cluster: the driver decides and keeps the journal, workers compute and write.

Everything is decided once, in the layout. Image and result lie on a file system that all machines see under the same
path; the network goes there too, as a bundle beside the partial result, and no network is ever pickled. Steps of a mode
are barriers: a step begins when the one before it is on the disk.

The result is that of a local run, byte for byte, on machines with the same kind of processor. What torch adds up may
depend on its number of threads, so the driver computes the first block of every step with one thread and with its own
number: where the bytes agree, workers use one thread, else they use as many as the driver.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import nn

from napari_anneal.cancelling import CancelSignal
from napari_anneal.errors import BundleError, InputError, OutputError
from napari_anneal.inference.blocks import Block
from napari_anneal.inference.distributed_worker import DONE, FULL, SOFTWARE, Job, compute_block
from napari_anneal.inference.members import MeanOfLooks
from napari_anneal.inference.output import LabelVolume
from napari_anneal.inference.predictor import Cancelled, Forward
from napari_anneal.inference.run import OnBlock, SegmentationRun
from napari_anneal.models import BundleCard, save_bundle
from napari_anneal.models.card import software_versions

__all__ = ["Cluster", "DistributedRun"]

# Seconds that a scheduler has to answer, and that a run waits for a first or another worker.
CONNECT, PATIENCE = 5, 60
# Blocks handed out for every thread of the cluster: one at work and one that waits.
AHEAD = 2
# Seconds between two looks at what is finished, and at the workers there are.
GLANCE, CENSUS = 0.02, 1.0
# Tries of a block whose worker raised something that is not the user's to mend, such as a network that stalls.
RETRIES = 2
# Errors that a worker reports by the name of their class.
REPORTED = {kind.__name__: kind for kind in (BundleError, InputError, OutputError)}


class _DiskFull(OutputError):
    """A worker could not write a block for want of room."""


class Cluster:
    """Which cluster computes: one that runs already, or processes of this machine for the time of the run.

    Parameters
    ----------
    scheduler
        Address of a scheduler.
    workers
        Number of processes; those that die are replaced.

    Raises
    ------
    InputError
        Both are given, ``workers`` is below 1, or ``distributed`` is not installed.
    """

    def __init__(self, scheduler: str | None, workers: int | None) -> None:
        if scheduler is not None and workers is not None:
            raise InputError("scheduler and workers exclude each other; give the address or the number of processes.")
        if workers is not None and workers < 1:
            raise InputError(f"workers={workers} cannot compute anything; give 1 or more.")
        if importlib.util.find_spec("distributed") is None:
            raise InputError(
                "computing on a cluster needs the package distributed, which is not installed; run: "
                "pip install 'napari-anneal[distributed]'"
            )
        self._scheduler, self._workers = scheduler, workers

    def check(
        self, network: nn.Module, image: Any, out: str | os.PathLike[str] | None, maps: bool, told: bool, single: bool
    ) -> None:
        """Refuse what workers cannot do; ``maps``: more than labels is asked for, ``told``: ``on_block`` is.

        Raises
        ------
        InputError, OutputError
            The sentence says what.
        """
        if not isinstance(image, str | os.PathLike):
            raise InputError("workers of a cluster open the image by themselves; save it and pass its path.")
        if out is None or not os.fspath(out).lower().endswith(".zarr"):
            raise OutputError("workers of a cluster write blocks of an OME-Zarr; pass out= with a name in .ome.zarr.")
        if maps:
            raise InputError(
                "a cluster computes labels only; leave probabilities and uncertainty out, or run without a cluster."
            )
        if isinstance(network, MeanOfLooks):
            raise InputError("a cluster computes with single models, not with ensembles; run without a cluster.")
        if told or single:
            asked = "on_block" if told else "only"
            raise InputError(f"{asked} is not for runs on a cluster; leave it out, or run without a cluster.")

    def run(self, card: BundleCard, volume: LabelVolume, chosen: dict[str, Any]) -> Callable[..., DistributedRun]:
        """A maker of runs that takes what ``SegmentationRun`` takes; ``chosen``: how the image is opened."""
        return partial(DistributedRun, self, card, volume, chosen)

    @contextmanager
    def client(self) -> Iterator[Any]:
        """Connect, or start the processes; both end with the block."""
        import distributed

        if self._scheduler is None:
            with (
                distributed.LocalCluster(
                    n_workers=self._workers,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address=":0",
                    silence_logs=logging.CRITICAL,
                ) as cluster,
                distributed.Client(cluster, set_as_default=False) as client,
            ):
                yield client
            return
        try:
            client = distributed.Client(self._scheduler, timeout=CONNECT, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise InputError(
                f"no scheduler answers at {self._scheduler}; check the address and that the cluster is running."
            ) from error
        with client:
            yield client


class DistributedRun(SegmentationRun):
    """A run whose blocks are computed elsewhere; everything else is that of a local one."""

    def __init__(
        self, cluster: Cluster, card: BundleCard, volume: LabelVolume, chosen: dict[str, Any], *run: Any, **more: Any
    ) -> None:
        super().__init__(*run, **more)
        self._cluster, self._card, self._volume, self._chosen = cluster, card, volume, chosen
        self._client: Any = None
        self._job = ""
        self._census, self._threads, self._seen = 0.0, 0, 0.0

    def execute(
        self,
        progress: Callable[[int, int], None] | None = None,
        cancel: CancelSignal | None = None,
        on_block: OnBlock | None = None,
        first: int | None = None,
    ) -> int:
        """As of the base; nothing is created where no scheduler answers."""
        with self._cluster.client() as self._client:
            self._seen = time.monotonic()
            return super().execute(progress, cancel, None, first)

    def _blocks(
        self,
        number: int,
        blocks: list[Block],
        forward: Forward,
        advance: Callable[..., None],
        cancel: CancelSignal | None,
    ) -> Any:
        """Hand out the blocks of one step, and journal what workers report; yields each block."""
        if not blocks:
            return
        assert self._sink is not None
        self._job = self._job or self._prepared()
        step, last = self._layout.steps[number], number == len(self._layout.steps) - 1
        threads = self._threads_for(number, blocks[0], forward)
        left, running = iter(blocks), dict[Any, Block]()
        missing = len(blocks)
        try:
            while missing:
                if cancel is not None and cancel.is_set():
                    raise Cancelled
                for block in islice(left, max(0, self._room() - len(running))):
                    future = self._client.submit(
                        compute_block, self._job, number, block.index, threads,
                        key=f"anneal-{uuid.uuid4().hex}", pure=False, retries=RETRIES,
                    )  # fmt: skip
                    running[future] = block
                finished = [future for future in running if future.status != "pending"]
                for future in finished:
                    block = running.pop(future)
                    try:
                        digest = _digest(future, block)
                    except _DiskFull:
                        self._give_back(running)
                        raise
                    self._sink.written_elsewhere(number, block, digest, last)
                    missing -= 1
                    advance(block.shape[0] * step.passes)
                    yield block, (None, None)
                if not finished:
                    time.sleep(GLANCE)
        finally:
            if running:
                self._client.cancel(list(running))

    def _give_back(self, running: dict[Any, Block]) -> None:
        """Remove what was written, to free a full disk; not before those who still write have ended."""
        assert self._sink is not None
        until = time.monotonic() + PATIENCE
        while any(future.status == "pending" for future in running) and time.monotonic() < until:
            time.sleep(GLANCE)
        self._sink.discard()

    def _prepared(self) -> str:
        """Put the network where workers find it, and describe the run to them."""
        assert self._sink is not None
        assert self._planes.path is not None
        assert self._header is not None
        model = self._sink.scratch.absolute() / "model"
        model.parent.mkdir(parents=True, exist_ok=True)
        save_bundle(self._predictor.network, self._card, model, overwrite=True)
        versions = software_versions()
        job = Job(
            token=uuid.uuid4().hex,
            model=str(model),
            weights=self._header["model"][0],
            device=self._predictor.device.type,
            precision=str(self._predictor.dtype).removeprefix("torch."),
            software=tuple(versions[name] for name in SOFTWARE),
            image=str(self._planes.path.absolute()),
            state=self._header["image"][1],
            layout=self._layout,
            out=str(self._sink.path.absolute()),
            shape=self._volume.shape,
            dtype=self._dtype.name,
            classes=self._volume.classes,
            colours=self._volume.colours,
            block=self._volume.block,
            **self._chosen,
        )
        return job.model_dump_json()

    def _threads_for(self, number: int, block: Block, forward: Forward) -> int:
        """Threads that give the bytes of a local run: one where this block says that their number does not matter."""
        own = torch.get_num_threads()
        if own == 1 or self._predictor.device.type != "cpu" or not self._layout.steps[number].views:
            return 1
        read, compute, _ = self._stages(number, forward)
        given = read(block)
        usual = compute(block, given).clone()
        try:
            torch.set_num_threads(1)
            return 1 if torch.equal(compute(block, given), usual) else own
        finally:
            torch.set_num_threads(own)

    def _room(self) -> int:
        """Blocks that may be handed out at a time; 0 while there is no worker."""
        now = time.monotonic()
        if now - self._census >= CENSUS or not self._threads:
            try:
                self._threads = sum(self._client.nthreads().values())
            except (OSError, TimeoutError) as error:
                raise InputError(
                    "the scheduler of the cluster no longer answers; start it again and go on with resume=True."
                ) from error
            self._census = now
        if self._threads:
            self._seen = now
        elif now - self._seen > PATIENCE:
            raise InputError(f"the cluster has had no worker for {PATIENCE} seconds; start some and use resume=True.")
        return AHEAD * self._threads


def _digest(future: Any, block: Block) -> str:
    """What a worker reports of a block it has written, or the error that it met."""
    from distributed import KilledWorker

    if future.status in ("cancelled", "lost"):
        raise InputError("the connection to the scheduler was lost; go on with resume=True once it is back.")
    try:
        status, text = future.result()
    except KilledWorker as error:
        raise InputError(
            f"workers died again and again over slices {block.start[0]}–{block.stop[0] - 1}, most likely for want of "
            "memory: give them more, use fewer of them, or pass a smaller tile, and go on with resume=True."
        ) from error
    if status == FULL:
        raise _DiskFull(text)
    if status != DONE:
        raise REPORTED.get(status, InputError)(text)
    return str(text)
