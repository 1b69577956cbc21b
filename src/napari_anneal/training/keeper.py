"""What is kept of a run while it goes: its history, its best model on disk, and checkpoints to go on from."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from napari_anneal.errors import InputError
from napari_anneal.models.bundle import save_bundle
from napari_anneal.models.card import BundleCard
from napari_anneal.samples.normalisation import standardise
from napari_anneal.samples.placing import why_not_written, write_whole
from napari_anneal.training.checkpoint import Checkpoint, remove_checkpoints, write_checkpoint
from napari_anneal.training.events import EpochDone, Event, NoiseScaleRead, Notice, StepDone
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.runs import HISTORY
from napari_anneal.training.setup import Prepared
from napari_anneal.training.state import RunState
from napari_anneal.training.trace import Trace

__all__ = ["Keeper", "Ledger"]

# Best weights and checkpoints go to disk at most this often (what a power cut can cost), and never so often that
# writing either of them takes more than a hundredth of the time.
SAVE_EVERY_S = 30.0
LEAST_WORK_PER_WRITE = 100.0


@dataclass
class Ledger:
    """Collects the events of a run as they pass; ``told`` are the kinds of findings that have been said already."""

    listener: Callable[[Event], None] | None
    history: list[dict[str, Any]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    trace: Trace = field(default_factory=Trace)
    noise_scales: list[float] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def tell(self, event: Event) -> None:
        """Note what is to be kept of an event and pass it on."""
        if isinstance(event, Notice):
            self.notices.append(event.text)
        if isinstance(event, StepDone):
            self.trace.add(event)
        if isinstance(event, NoiseScaleRead):
            self.noise_scales.append(math.inf if event.scale is None else event.scale)
        if isinstance(event, EpochDone):
            self.history.append(_row(event))
        if self.listener is not None:
            self.listener(event)


@dataclass
class Keeper:
    """Keeps the best weights, in memory always and on disk as often as is sensible; a full disk costs no result.

    ``disk_full`` says that a checkpoint could not be written, so the run had better stop; ``unsaved`` that the model
    could not, which is then the last thing to be said.
    """

    state: RunState
    base: BundleCard
    prepared: Prepared
    ledger: Ledger
    folder: Path | None
    disk_full: bool = False
    unsaved: bool = False
    reason: str | None = None
    model_due: float = -math.inf
    checkpoint_due: float = field(default_factory=lambda: time.monotonic() + SAVE_EVERY_S)

    def after(self, event: Event) -> None:
        """Write what is due. The state is whole after every step, and after the last event of a step."""
        if self.folder is None:
            return
        if isinstance(event, EpochDone):
            self._after_epoch(event.best)
        # At the end of an epoch the step is told first: then the history lacks the epoch, but the state has it.
        whole = isinstance(event, EpochDone) or (isinstance(event, StepDone) and self.state.progress.losses)
        if whole and time.monotonic() >= self.checkpoint_due:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Write a checkpoint."""
        if self.folder is None:
            return
        began = time.monotonic()
        about = {
            "recipe": self.base.recipe,
            "fingerprints": self.base.fingerprints,
            "history": self.ledger.history,
            "notices": self.ledger.notices,
            "trace": self.ledger.trace.to_json(),
            "noise_scales": self.ledger.noise_scales,
            "told": self.ledger.told,
        }
        try:
            write_checkpoint(self.folder, self.state.capture(), about)
        except OSError as error:
            self.disk_full = True
            self._warn(
                f"A checkpoint could not be written to {self.folder} ({why_not_written(error)}), so the run was "
                "stopped; the last checkpoint is as it was, and the run can go on from it when there is space."
            )
        self.checkpoint_due = _next_write(began)

    def go_on(self, found: Checkpoint, recipe: FineTuneRecipe) -> str:
        """Put a run back to its checkpoint; return a sentence that says from where it goes on.

        Raises
        ------
        InputError
            The checkpoint is of another recipe or other data.
        """
        about = found.about
        for other, same in (
            ("another recipe", recipe.is_kept_as(about["recipe"])),
            ("other images or labels", about["fingerprints"] == self.base.fingerprints),
        ):
            if not same:
                raise InputError(
                    f"the run in {self.folder} began with {other}; resume it with those, or start a new run."
                )
        try:
            self.state.put_back(found.captured, recipe.stages)
        except (RuntimeError, KeyError, ValueError) as error:
            raise InputError(
                f"the checkpoint in {self.folder} does not fit this network ({error}); resume with its own start."
            ) from error
        progress = self.state.progress
        if progress.reason not in ("complete", "stopped early"):
            progress.reason = "complete"
        self.ledger.history[:] = about["history"]
        self.ledger.notices[:] = about["notices"]
        self.ledger.trace.restore(about["trace"])
        self.ledger.noise_scales[:] = about["noise_scales"]
        self.ledger.told[:] = about.get("told", ())  # checkpoints of earlier versions have none
        return f"{found.notice} The run goes on after step {progress.step}, epoch {progress.epoch}.".strip()

    def rescue(self) -> None:
        """Bring the best weights to disk when the run ends by an exception."""
        if self.state.best.state:
            self.state.network.load_state_dict(self.state.best.state)
            self.save(self.state.network)

    def close(self, reason: str) -> bool:
        """Write the final model; return whether it is on disk. A run that can go on keeps its checkpoints."""
        self.reason = reason
        saved = self.save(self.state.network)
        if self.folder is not None and saved and reason in ("complete", "stopped early", "finished"):
            remove_checkpoints(self.folder)
        return saved

    def save(self, network: nn.Module) -> bool:
        """Write a network as it is now; return whether it is on disk."""
        if self.folder is None:
            return False
        began = time.monotonic()
        try:
            save_bundle(network, self.card(), self.folder / "model", example=self._example(), overwrite=True)
        except OSError as error:
            self._warn(f"{error} The model is kept in memory; save it somewhere else before you leave.")
            self.unsaved = True
            return False
        self.model_due, self.unsaved = _next_write(began), False
        return True

    def card(self) -> BundleCard:
        """Complete the card with what was measured so far."""
        metrics = self._metrics()
        scored = self.base.lineage[-1].model_copy(update={name: metrics[name] for name in ("val_loss", "val_dice")})
        return self.base.model_copy(update={"metrics": metrics, "lineage": (*self.base.lineage[:-1], scored)})

    def _after_epoch(self, improved: bool) -> None:
        """Write the history, and the model if it is the best and the last one on disk is old."""
        assert self.folder is not None
        try:
            _write_history(self.folder, self.ledger.history)
        except OSError as error:
            self._warn(f"The history could not be written to {self.folder} ({error.strerror}).")
        if improved and time.monotonic() > self.model_due:
            self.save(self.state.shown)

    def _metrics(self) -> dict[str, Any]:
        best, classes = self.state.best, self.prepared.classes
        dice = {name: (None if math.isnan(d) else d) for name, d in zip(classes, best.dice, strict=False)}
        return {
            "val_loss": best.loss if math.isfinite(best.loss) else None,
            "val_dice": dice,
            "epoch": best.epoch,
            "epochs_run": len(self.ledger.history),
            "reason": self.reason,
            "notices": list(self.ledger.notices),
        }

    def _example(self) -> npt.NDArray[np.float32]:
        """Return a piece of a real validation patch for the bundle to replay, ``(1, C, Y, X)``."""
        return standardise(self.prepared.data.validation[0].image[np.newaxis, :, :128, :128])

    def _warn(self, text: str) -> None:
        if text not in self.ledger.notices:
            self.ledger.tell(Notice(text))


def _next_write(began: float) -> float:
    """When to write again what took from ``began`` until now."""
    now = time.monotonic()
    return now + max(SAVE_EVERY_S, LEAST_WORK_PER_WRITE * (now - began))


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


def _write_history(folder: Path, history: list[dict[str, Any]]) -> None:
    """Write the table of epochs so far (small; replaced as a whole)."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(history[-1]))
    writer.writeheader()
    writer.writerows(history)
    write_whole(folder / HISTORY, text.getvalue())
