"""A run before its first step: everything checked, the network where it begins, the folder taken."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
from torch import nn

from napari_anneal.cancelling import CancelSignal
from napari_anneal.devices import has_float16, pick_device, resolve_precision
from napari_anneal.errors import InputError
from napari_anneal.inference import Model
from napari_anneal.models.card import BundleCard, class_colours
from napari_anneal.models.layer_groups import group_sizes
from napari_anneal.models.lineage import shortened
from napari_anneal.models.starts import Start
from napari_anneal.samples.sample import Sample
from napari_anneal.synthesis import SyntheticStream
from napari_anneal.training.batch_statistics import BatchStatistics
from napari_anneal.training.events import Event, RunStarted
from napari_anneal.training.keeper import Keeper, Ledger
from napari_anneal.training.losses import PaintedLoss, loss_of_recipe
from napari_anneal.training.provenance import fingerprints, gold_before, link_of_run, marks_of, seen_before
from napari_anneal.training.ranks import Ranks
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.record import Record, facts_of
from napari_anneal.training.run_folder import create_folder, folder_to_resume, unused_or_refused
from napari_anneal.training.run_lock import locked
from napari_anneal.training.setup import Prepared, prepare_run, resolve_start
from napari_anneal.training.state import RunState
from napari_anneal.training.watching import Watched
from napari_anneal.validation import SplitPlan

__all__ = ["Ready", "begin_state", "check_alike", "run_started", "run_warnings", "set_up"]


@dataclass(frozen=True)
class Ready:
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


def set_up(
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
) -> Ready:
    """Check everything, then take the folder; ``opened`` gives it back, and the random state of torch, at the end."""
    folder = folder_to_resume(out) if resume and ranks.first else unused_or_refused(out)
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
    facts, names = facts_of(samples, prepared, card, start, network, device)
    opened.enter_context(locked(folder))
    opened.enter_context(torch.random.fork_rng(devices=[device] if device.type == "cuda" else []))
    torch.manual_seed(recipe.seed + ranks.rank)  # dropout
    record = Record(facts, names, recipe, ledger, folder)
    said = (
        *prepared.notices, *begun.notices, *marks_of(samples, prepared), *seen_before(begun.lineage, link),
        *gold_before(begun.lineage, samples, prepared), *run_warnings(recipe, device),
    )  # fmt: skip
    return Ready(prepared, said, device, state, loss_of, watched, ledger, keeper, record)


def check_alike(ranks: Ranks, ready: Ready) -> None:
    """Refuse processes that would not compute the same run: on several machines files may differ."""
    if ranks.world == 1:
        return
    weights = [float(tensor.double().sum()) for tensor in ready.state.network.state_dict().values()]
    told = ranks.everyone((ready.keeper.base.fingerprints, weights))
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


def run_started(ready: Ready, recipe: FineTuneRecipe) -> RunStarted:
    """What a run tells first."""
    prepared, per_epoch = ready.prepared, ready.prepared.data.steps_per_epoch
    return RunStarted(
        total_steps=recipe.total_steps(per_epoch),
        total_epochs=recipe.total_epochs(per_epoch),
        stages=tuple((stage.name, math.ceil(stage.length(per_epoch) / per_epoch)) for stage in recipe.stages),
        classes=prepared.classes,
        parameters=group_sizes(ready.state.network),
        device=str(ready.device),
        train_slices=prepared.train_slices,
        validation_slices=len({(t.sample, t.z) for t in prepared.data.validation}),
    )
