"""What a run came to, in words: the status line, the sentences under it, and where its files are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from napari_anneal.widgets._session_models import session_models
from napari_anneal.widgets._status import clock

if TYPE_CHECKING:
    from napari_anneal.training import Run

__all__ = ["Ending", "ending_of"]

# How a run that did not go to its end is reported.
REASONS = {
    "cancelled": "Cancelled; the best model so far is kept",
    "finished": "Finished early; the best model is kept",
    "diverged": "Stopped",
    "disk full": "Stopped",
}
BAD = ("diverged", "disk full")


@dataclass(frozen=True)
class Ending:
    """Shown when a run is over. ``warnings`` stand out among the sentences."""

    status: str
    mood: str
    folder: Path | None = None
    report: Path | None = None
    warnings: tuple[str, ...] = ()
    others: tuple[str, ...] = field(default=())


def ending_of(run: Run, notices: Sequence[str]) -> Ending:
    """Offer the model of a run in *Segment* and say what came of it; ``notices`` were told on the way."""
    name = _offer(run)
    where = f" Saved in {run.out}." if run.out is not None else ""
    status = f"{_how(run)}: “{name}” is ready in Segment{_score(run)} ({clock(run.seconds)} min).{where}"
    return Ending(status, _mood(run), run.out, others=tuple(notices))


def _offer(run: Run) -> str:
    """Put the model into the session; the name it has there."""
    name = run.model.card.name or "model"
    return session_models().add(name, run.model)


def _score(run: Run) -> str:
    dice = [v for k, v in run.best.items() if k.startswith("val_dice_") and v == v]
    return f", mean Dice {sum(dice) / len(dice):.2f} on the held-out paint" if dice else ""


def _how(run: Run) -> str:
    return REASONS.get(run.reason, "Done")


def _mood(run: Run) -> str:
    return "bad" if run.reason in BAD else "good"
