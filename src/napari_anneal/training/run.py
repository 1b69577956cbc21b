"""``fine_tune``: one run, from samples to a model, with its history, notices and files."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_anneal.cancelling import CancelSignal
from napari_anneal.devices import pick_device
from napari_anneal.errors import AnnealError, OutputError
from napari_anneal.inference import Model
from napari_anneal.models.bundle import save_bundle
from napari_anneal.models.card import BundleCard, class_colours
from napari_anneal.models.layer_groups import layer_groups
from napari_anneal.samples.normalisation import standardise
from napari_anneal.samples.sample import Sample
from napari_anneal.synthesis import SyntheticStream
from napari_anneal.training.events import EpochDone, Event, Notice, RunFinished, RunStarted
from napari_anneal.training.loop import Best, train
from napari_anneal.training.losses import PaintedLoss, class_weights
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.setup import Prepared, prepare_run, resolve_start
from napari_anneal.validation import SplitPlan

__all__ = ["Run", "fine_tune"]

# The best weights so far go to disk at most this often: what a power cut can cost.
SAVE_EVERY_S = 30.0


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


@dataclass
class _Ledger:
    """Collects the events of a run as they pass."""

    listener: Callable[[Event], None] | None
    history: list[dict[str, Any]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def tell(self, event: Event) -> None:
        if isinstance(event, Notice):
            self.notices.append(event.text)
        if isinstance(event, EpochDone):
            self.history.append(_row(event))
        if self.listener is not None:
            self.listener(event)


def fine_tune(
    samples: Sequence[Sample] | SyntheticStream,
    plan: SplitPlan | None = None,
    recipe: FineTuneRecipe | None = None,
    start: str | os.PathLike[str] | Model | None = None,
    out: str | os.PathLike[str] | None = None,
    on_event: Callable[[Event], None] | None = None,
    cancel: CancelSignal | None = None,
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
        Folder to create for ``model/`` (the bundle), ``history.csv`` and ``recipe.json``; ``None``: nothing is written.
    on_event
        Called in this thread with every event (see ``training.events``).
    cancel
        Asked before every step; the best weights so far are kept.

    Raises
    ------
    AnnealError
        Bad input, a start that cannot be had, an output folder that is in use, or divergence before the first
        validation. Whatever had been learned is in ``out/model`` by then. A full disk is a notice, not an error: the
        model is in the ``Run``.
    """
    recipe = recipe or FineTuneRecipe.from_preset("scratch" if start is None else "canonical")
    folder = _free(out)
    ledger = _Ledger(on_event)
    prepared = prepare_run(samples, plan, recipe)
    begun = resolve_start(start, recipe, prepared.classes, prepared.channels)
    device = pick_device(recipe.device)
    _create(folder)
    network = begun.network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights = class_weights(prepared.painted) if recipe.balance_classes and prepared.painted is not None else None
    loss_of = PaintedLoss(recipe.cross_entropy, recipe.dice, weights).to(device)
    card = BundleCard(
        name=folder.name if folder else "",
        architecture=begun.spec,
        classes=prepared.classes,
        colours=_colours(recipe, len(prepared.classes)),
        spacing=prepared.spacing[-2:] if prepared.spacing else None,
        recipe=recipe.model_dump(mode="json"),
        start=begun.origin,
        fingerprints=_fingerprints(samples, prepared),
    )
    ledger.tell(_started(network, recipe, prepared, str(device)))
    for text in (*prepared.notices, *begun.notices):
        ledger.tell(Notice(text))

    keeper = _Keeper(network, card, prepared, ledger, folder)
    finished = RunFinished("cancelled", 0, math.inf, 0.0)
    try:
        for event in train(
            network, prepared.data, recipe, loss_of, device, keeper.best, cancel.is_set if cancel else bool
        ):
            if isinstance(event, RunFinished):
                finished = event
            else:
                ledger.tell(event)
            if isinstance(event, EpochDone):
                keeper.after_epoch(improved=event.best)
    except BaseException as error:
        keeper.rescue()
        if isinstance(error, torch.OutOfMemoryError):
            raise AnnealError(
                f"the {device} ran out of memory at batch size {recipe.batch_size} and patch {recipe.patch}; halve one "
                "of them and start again."
            ) from error
        raise
    if finished.reason == "diverged" and not keeper.best.state:
        raise AnnealError("the loss became infinite or NaN before the first validation; lower the learning rates.")
    network.cpu()
    saved = keeper.save()
    ledger.tell(finished)
    row = next((r for r in ledger.history if r["epoch"] == keeper.best.epoch), {})
    return Run(
        Model(network, keeper.card()),
        ledger.history,
        row,
        finished.reason,
        tuple(ledger.notices),
        folder if saved else None,
        finished.seconds,
    )


@dataclass
class _Keeper:
    """Keeps the best weights, in memory always and on disk as often as is sensible; a full disk costs no result."""

    network: nn.Module
    base: BundleCard
    prepared: Prepared
    ledger: _Ledger
    folder: Path | None
    best: Best = field(default_factory=Best)
    last_saved: float = -math.inf

    def after_epoch(self, improved: bool) -> None:
        """Write the history, and the model if it is the best and the last one on disk is old."""
        if self.folder is None:
            return
        try:
            _write_history(self.folder, self.ledger.history)
        except OSError as error:
            self._warn(f"The history could not be written to {self.folder} ({error.strerror}).")
        if improved and time.monotonic() - self.last_saved > SAVE_EVERY_S:
            self.save()

    def rescue(self) -> None:
        """Bring the best weights to disk when the run ends by an exception."""
        if self.best.state:
            self.network.load_state_dict(self.best.state)
            self.save()

    def save(self) -> bool:
        """Write the network as it is now; return whether it is on disk."""
        if self.folder is None:
            return False
        try:
            recipe = json.dumps(self.base.recipe, indent=2) + "\n"
            (self.folder / "recipe.json").write_text(recipe, encoding="utf-8")
            save_bundle(self.network, self.card(), self.folder / "model", example=self._example(), overwrite=True)
        except OSError as error:
            self._warn(f"{error} The model is kept in memory; save it somewhere else before you leave.")
            return False
        self.last_saved = time.monotonic()
        return True

    def card(self) -> BundleCard:
        """Complete the card with what was measured so far."""
        metrics = _metrics(self.best, self.ledger, self.prepared)
        return self.base.model_copy(update={"metrics": metrics})

    def _example(self) -> npt.NDArray[np.float32]:
        """Return a piece of a real validation patch for the bundle to replay, ``(1, C, Y, X)``."""
        return standardise(self.prepared.data.validation[0].image[np.newaxis, :, :128, :128])

    def _warn(self, text: str) -> None:
        if text not in self.ledger.notices:
            self.ledger.tell(Notice(text))


def _colours(recipe: FineTuneRecipe, count: int) -> tuple[str, ...]:
    """Colours of the classes: the recipe's as far as they go, then the palette's."""
    return (*recipe.colours, *class_colours(count)[len(recipe.colours) :])[:count]


def _free(out: str | os.PathLike[str] | None) -> Path | None:
    """Refuse an output folder that holds something."""
    if out is None:
        return None
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder} already exists and is not empty; choose another folder for this run.")
    return folder


def _create(folder: Path | None) -> None:
    """Create the output folder, once everything else has been found good."""
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be created ({error.strerror}); choose another.") from error


def _started(network: nn.Module, recipe: FineTuneRecipe, prepared: Prepared, device: str) -> RunStarted:
    return RunStarted(
        total_steps=recipe.epochs * prepared.data.steps_per_epoch,
        total_epochs=recipe.epochs,
        stages=tuple((stage.name, stage.epochs) for stage in recipe.stages),
        classes=prepared.classes,
        parameters={name: sum(p.numel() for _, p in group) for name, group in layer_groups(network).items()},
        device=device,
        train_slices=prepared.train_slices,
        validation_slices=len({(t.sample, t.z) for t in prepared.data.validation}),
    )


def _row(event: EpochDone) -> dict[str, Any]:
    row: dict[str, Any] = {
        "epoch": event.epoch,
        "stage": event.stage,
        "step": event.step,
        "train_loss": event.train_loss,
        "val_loss": event.val_loss,
        "best": event.best,
        "seconds": round(event.seconds, 3),
    }
    return row | {f"val_dice_{k}": dice for k, dice in enumerate(event.val_dice, start=1)}


def _metrics(best: Best, ledger: _Ledger, prepared: Prepared) -> dict[str, Any]:
    dice = {name: (None if math.isnan(d) else d) for name, d in zip(prepared.classes, best.dice, strict=False)}
    return {
        "val_loss": best.loss if math.isfinite(best.loss) else None,
        "val_dice": dice,
        "epoch": best.epoch,
        "epochs_run": len(ledger.history),
        "notices": list(ledger.notices),
    }


def _write_history(folder: Path, history: list[dict[str, Any]]) -> None:
    """Write the table of epochs so far (small; replaced as a whole)."""
    partial = folder / ".history.csv.partial"
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[-1]))
        writer.writeheader()
        writer.writerows(history)
    partial.replace(folder / "history.csv")


def _fingerprints(samples: Sequence[Sample] | SyntheticStream, prepared: Prepared) -> dict[str, str]:
    """SHA-256 over shape, type and painted pixels of every training and validation sample."""
    if isinstance(samples, SyntheticStream):
        return {}
    prints = {}
    for index in (*prepared.train, *prepared.validation):
        digest = hashlib.sha256()
        for part in samples[index].painted_slices():
            for array in (part.image, part.labels):
                digest.update(f"{array.shape}{array.dtype}".encode())
                digest.update(np.ascontiguousarray(array).tobytes())
        prints[samples[index].name or f"sample {index}"] = digest.hexdigest()
    return prints
