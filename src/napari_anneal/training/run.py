"""``fine_tune``: one run, from samples to a model, with its history, notices and files."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import nn

from napari_anneal.cancelling import CancelSignal
from napari_anneal.devices import has_float16, pick_device, resolve_precision
from napari_anneal.errors import AnnealError, InputError
from napari_anneal.inference import Model
from napari_anneal.models.card import BundleCard, class_colours
from napari_anneal.models.layer_groups import layer_groups
from napari_anneal.models.lineage import shortened
from napari_anneal.models.starts import Start
from napari_anneal.samples.sample import Sample
from napari_anneal.synthesis import SyntheticStream
from napari_anneal.training.batch_statistics import BatchStatistics
from napari_anneal.training.checkpoint import read_checkpoint
from napari_anneal.training.control import RunControl
from napari_anneal.training.events import Event, Notice, RunFinished, RunStarted
from napari_anneal.training.gradients import is_out_of_memory
from napari_anneal.training.keeper import Keeper, Ledger
from napari_anneal.training.loop import train
from napari_anneal.training.losses import PaintedLoss, loss_of_recipe
from napari_anneal.training.provenance import fingerprints, link_of_run, seen_before
from napari_anneal.training.ranks import Ranks, join
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.record import Record, facts_of
from napari_anneal.training.run_folder import create_folder, folder_to_resume, free_folder
from napari_anneal.training.run_lock import locked
from napari_anneal.training.setup import Prepared, prepare_run, resolve_start
from napari_anneal.training.state import RunState
from napari_anneal.training.watching import Watched
from napari_anneal.validation import SplitPlan

__all__ = ["Run", "begin_state", "fine_tune", "run_warnings"]


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
            ready = _set_up(samples, plan, recipe, start, out, on_event, cancel, resume, watch, ranks, opened)
        ledger, keeper, record, state, prepared = ready.ledger, ready.keeper, ready.record, ready.state, ready.prepared
        device, network, folder = ready.device, state.network, keeper.folder
        _check_alike(ranks, keeper.base.fingerprints, network)
        if resume:
            found = ranks.same(None if folder is None else read_checkpoint(folder))
            assert found is not None
            ledger.tell(Notice(keeper.go_on(found, recipe)))
            if not ranks.first:  # the checkpoint holds the first one's random state; dropout must not fall alike
                torch.manual_seed(recipe.seed + ranks.rank)
        record.begin(resume)
        ledger.tell(_started(network, recipe, prepared, str(device)))
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
            for event in train(state, prepared.data, recipe, ready.loss_of, device, cancelled, control, look, ranks):
                if isinstance(event, RunFinished):
                    finished = event
                else:
                    ledger.tell(event)
                    keeper.after(event)
                    record.after(event)
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
            record.publish(network, prepared.data.validation, device)
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


@dataclass(frozen=True)
class _Ready:
    """A run before its first step."""

    prepared: Prepared
    notices: tuple[str, ...]
    device: torch.device
    state: RunState
    loss_of: PaintedLoss
    watched: Watched | None
    ledger: Ledger
    keeper: Keeper
    record: Record


def _set_up(
    samples: Sequence[Sample] | SyntheticStream,
    plan: SplitPlan | None,
    recipe: FineTuneRecipe,
    start: str | os.PathLike[str] | Model | None,
    out: str | os.PathLike[str] | None,
    on_event: Callable[[Event], None] | None,
    cancel: CancelSignal | None,
    resume: bool,
    watch: npt.NDArray[Any] | None,
    ranks: Ranks,
    opened: ExitStack,
) -> _Ready:
    """Check everything, then take the folder; ``opened`` gives it back, and the random state of torch, at the end."""
    folder = folder_to_resume(out) if resume and ranks.first else free_folder(out)
    ledger = Ledger(on_event)
    prepared = prepare_run(samples, plan, recipe)
    begun = resolve_start(start, recipe, prepared.classes, prepared.channels)
    device = ranks.device or pick_device(recipe.device)
    network = begun.network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = begin_state(network, recipe, begun, device, ranks.world)
    watched = None if watch is None else Watched(watch, state.shown, begun.spec, device, recipe.precision, cancel)
    create_folder(folder)
    loss_of = loss_of_recipe(recipe, prepared.painted, len(prepared.classes)).to(device)
    prints = fingerprints(samples, prepared)
    card = BundleCard(
        name=folder.name if folder else "",
        architecture=begun.spec,
        classes=prepared.classes,
        colours=_colours(recipe, len(prepared.classes)),
        spacing=prepared.spacing[-2:] if prepared.spacing else None,
        recipe=recipe.model_dump(mode="json"),
        start=begun.origin,
        fingerprints=prints,
    )
    link = link_of_run(samples, prepared, recipe, prints, card.name, card.created)
    card = card.model_copy(update={"lineage": shortened((*begun.lineage, link))})
    keeper = Keeper(state, card, prepared, ledger, folder)
    facts, names = facts_of(samples, plan, prepared, card, start, network, device)
    opened.enter_context(locked(folder))
    opened.enter_context(torch.random.fork_rng(devices=[device] if device.type == "cuda" else []))
    torch.manual_seed(recipe.seed + ranks.rank)  # dropout
    record = Record(facts, names, recipe, ledger, folder)
    said = (*prepared.notices, *begun.notices, *seen_before(begun.lineage, link), *run_warnings(recipe, device))
    return _Ready(prepared, said, device, state, loss_of, watched, ledger, keeper, record)


def _check_alike(ranks: Ranks, prints: dict[str, str], network: nn.Module) -> None:
    """Refuse processes that would not compute the same run: on several machines files may differ."""
    if ranks.world == 1:
        return
    weights = [float(tensor.double().sum()) for tensor in network.state_dict().values()]
    told = ranks.everyone((prints, weights))
    others = [rank for rank, each in enumerate(told) if each != told[0]]
    if others:
        raise InputError(
            f"process {others[0]} of this run found other images, labels or start weights than process 0; give every "
            "machine the same files."
        )


def _colours(recipe: FineTuneRecipe, count: int) -> tuple[str, ...]:
    """Colours of the classes: the recipe's as far as they go, then the palette's."""
    return (*recipe.colours, *class_colours(count)[len(recipe.colours) :])[:count]


def begin_state(
    network: nn.Module, recipe: FineTuneRecipe, begun: Start, device: torch.device, world: int = 1
) -> RunState:
    """Where a run begins, with what its recipe asks for beside the network."""
    half = resolve_precision(recipe.precision, device) is torch.float16
    statistics = BatchStatistics(network, recipe.batch_norm, begun.origin["kind"], world)
    return RunState(network, recipe.ema_decay, statistics, torch.amp.GradScaler(device.type, enabled=half))


def run_warnings(recipe: FineTuneRecipe, device: torch.device) -> list[str]:
    """Sentences about what will not be as the recipe's reader might expect."""
    found = []
    if recipe.precision == "float16" and not has_float16(device):
        found.append(f"The {device} has no use for float16, so the run computes in float32.")
    if recipe.compile and recipe.world > 1:
        found.append("The network is not compiled, because several processes share the statistics of its layers.")
    return found + [
        f"Stage '{stage.name}' gives Lion a learning rate of AdamW's size ({max(stage.rates.values()):g}); Lion's is 3 "
        "to 10 times smaller, with as much more weight decay, so the run may diverge."
        for stage in recipe.stages
        if stage.too_fast_for_lion
    ]


def _started(network: nn.Module, recipe: FineTuneRecipe, prepared: Prepared, device: str) -> RunStarted:
    per_epoch = prepared.data.steps_per_epoch
    return RunStarted(
        total_steps=recipe.total_steps(per_epoch),
        total_epochs=recipe.total_epochs(per_epoch),
        stages=tuple((stage.name, math.ceil(stage.length(per_epoch) / per_epoch)) for stage in recipe.stages),
        classes=prepared.classes,
        parameters={name: sum(p.numel() for _, p in group) for name, group in layer_groups(network).items()},
        device=device,
        train_slices=prepared.train_slices,
        validation_slices=len({(t.sample, t.z) for t in prepared.data.validation}),
    )
