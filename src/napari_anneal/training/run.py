"""``fine_tune``: one run, from samples to a model, with its history, notices and files."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch

from napari_anneal.cancelling import CancelSignal
from napari_anneal.errors import AnnealError
from napari_anneal.inference import Model
from napari_anneal.samples.sample import Sample
from napari_anneal.synthesis import SyntheticStream
from napari_anneal.training.checkpoint import read_checkpoint
from napari_anneal.training.classical import classical_beside
from napari_anneal.training.control import RunControl
from napari_anneal.training.events import Event, Notice, RunFinished
from napari_anneal.training.gradients import is_out_of_memory
from napari_anneal.training.loop import train
from napari_anneal.training.ranks import join
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.run_setup import check_alike, run_started, set_up
from napari_anneal.validation import SplitPlan

__all__ = ["Run", "fine_tune"]


@dataclass(frozen=True)
class Run:
    """What came out of a run.

    ``history`` is a table: one dictionary an epoch (epoch, stage, step, train_loss, val_loss, val_dice …, best);
    ``best`` is the row of the weights that were kept. ``out`` is ``None`` if nothing was to be written or could be
    (then the last notice says why, and ``model.save`` writes it elsewhere).
    """

    model: Model
    history: list[dict[str, Any]]
    best: dict[str, Any]
    reason: str
    notices: tuple[str, ...] = ()
    out: Path | None = None
    seconds: float = 0.0

    @property
    def cancelled(self) -> bool:
        """Whether the user stopped the run."""
        return self.reason == "cancelled"


def fine_tune(
    samples: Sequence[Sample] | SyntheticStream,
    plan: SplitPlan | None = None,
    recipe: FineTuneRecipe | None = None,
    start: str | os.PathLike[str] | Model | None = None,
    out: str | os.PathLike[str] | None = None,
    on_event: Callable[[Event], None] | None = None,
    cancel: CancelSignal | None = None,
    resume: bool = False,
    watch: npt.NDArray[Any] | None = None,
    control: RunControl | None = None,
    probe: Callable[[int, Model], None] | None = None,
) -> Run:
    """Fine-tune a network on painted samples (or train one on a synthetic stream).

    Parameters
    ----------
    samples
        Images with painted labels; 0 is not painted and ignored. Of a stack only the painted slices are read.
    plan
        Who trains and who validates (its first fold); gold samples are never touched. ``None``: a fifth of the groups
        validates, or, with one group only, a fifth of the paint.
    recipe
        ``None``: the canonical preset, or ``scratch`` where the start is scratch.
    start
        ``None`` (scratch), ``"imagenet"``, a shipped model's name, a bundle, a weights file or a ``Model``.
    out
        Folder to create for ``model/`` (the bundle), ``report.html``, and what both are made from (``recipe.json``,
        ``run.json``, ``history.csv``, ``steps.csv``, ``pictures.npz``); ``None``: nothing is written.
    on_event
        Called in this thread with every event (see ``training.events``).
    cancel
        Asked before every step; the best weights so far are kept, and a checkpoint to go on from.
    resume
        Go on with the run in ``out`` from its last checkpoint: the rest is, bit for bit on a CPU, what it would have
        been without the interruption. Samples, plan, recipe and start must be those it began with.
    watch
        An image ``(Y, X)`` or ``(Y, X, C)`` to predict after every epoch (event ``Predicted``); with and without it the
        run is the same, bit for bit.
    control
        Pauses the run, sends it on, or finishes it early, from another thread.
    probe
        Called after every epoch with its number and the network as it is then, to be scored and not to be changed.

    Raises
    ------
    AnnealError
        Bad input, a start that cannot be had, an output folder that is in use, nothing to resume, or divergence before
        the first validation. Whatever had been learned is in ``out/model`` by then. A full disk stops the run with a
        notice, not an error: the model is in the ``Run``, and the last checkpoint is as it was.
    """
    recipe = recipe or FineTuneRecipe.from_preset("scratch" if start is None else "canonical")
    ranks = join(recipe.devices, recipe.nodes, recipe.device)
    if not ranks.first:  # the first process writes, tells and listens; the others compute
        out = on_event = cancel = watch = probe = None
    with ExitStack() as opened:
        with ranks.united():
            ready = set_up(samples, plan, recipe, start, out, on_event, cancel, resume, watch, ranks, opened)
        ledger, keeper, record, state, device = ready.ledger, ready.keeper, ready.record, ready.state, ready.device
        data, network, folder = ready.prepared.data, state.network, keeper.folder
        check_alike(ranks, ready)
        if resume:
            found = ranks.same(None if folder is None else read_checkpoint(folder))
            assert found is not None
            ledger.tell(Notice(keeper.go_on(found, recipe)))
            if not ranks.first:  # the checkpoint holds the first one's random state; dropout must not fall alike
                torch.manual_seed(recipe.seed + ranks.rank)
        record.begin(resume)
        ledger.tell(run_started(ready, recipe))
        if not resume:
            for text in ready.notices:
                ledger.tell(Notice(text))

        stopping = False

        def cancelled() -> bool:
            nonlocal stopping
            if not stopping and cancel is not None and cancel.is_set():
                stopping = True
                keeper.checkpoint()  # between two steps the state is whole
            return stopping or keeper.disk_full

        def look(epoch: int) -> Iterator[Event]:
            if ready.watched is not None:
                yield from ready.watched.look(epoch)
            if probe is not None:
                probe(epoch, Model(state.shown, keeper.card(), device, recipe.precision))

        finished = RunFinished("cancelled", 0, math.inf, 0.0)
        try:
            for event in train(state, data, recipe, ready.loss_of, device, cancelled, control, look, ranks):
                if isinstance(event, RunFinished):
                    finished = event
                else:
                    ledger.tell(event)
                    record.after(event)  # first, so that a checkpoint knows what has been told
                    keeper.after(event)
        except BaseException as error:
            keeper.rescue()
            record.end(state, "failed")
            if is_out_of_memory(error):
                raise AnnealError(
                    f"the {device} ran out of memory even with one patch of {recipe.patch} px at a time; take a "
                    "smaller patch and start again."
                ) from error
            raise
        if finished.reason == "diverged" and not state.best.state:
            record.end(state, finished.reason)
            raise AnnealError("the loss became infinite or NaN before the first validation; lower the learning rates.")
        if keeper.disk_full:
            finished = replace(finished, reason="disk full")
        record.end(state, finished.reason)
        if not keeper.unsaved:
            record.diagnose()
        saved = keeper.close(finished.reason)
        if saved:
            beside = partial(classical_beside, samples, ready.prepared, finished.reason, folder)
            record.publish(network, data.validation, device, beside)
    network.cpu()
    ledger.tell(finished)
    row = next((r for r in ledger.history if r["epoch"] == state.best.epoch), {})
    return Run(
        Model(network, keeper.card()),
        ledger.history,
        row,
        finished.reason,
        tuple(ledger.notices),
        folder if saved else None,
        finished.seconds,
    )
