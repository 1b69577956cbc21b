"""What went wrong with a run, in words: pure functions over its facts, its recipe and its history.

Each check looks for one fault, says nothing where it cannot tell, and names what to do. The thresholds were set so that
runs with the fault planted are found and healthy ones stay silent; both are tested.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.run_facts import Finding, RunFacts
from napari_anneal.training.stages import Stage
from napari_anneal.training.validation_worth import doubts_about_validation

__all__ = ["RATE_TOO_HIGH", "Finding", "backbone_misleads", "diagnose", "diagnose_rate"]

Row = Mapping[str, Any]

# Kind of what `diagnose_rate` finds.
RATE_TOO_HIGH = "learning rate too high"

# A Dice below this is that of a class that is as good as never found; a class that is merely hard scores above 0.1.
NEVER_FOUND = 0.01
# Training and validation loss are of the same kind; specimens differ, so up to twice the loss on new ones is normal.
GAP = 2.0
# … and below this difference nobody would see it in the pictures.
LEAST_GAP = 0.15
# The validation loss of a healthy run scatters by some percent about its lowest; a rise by a fifth is no scatter.
RISE = 1.2
# Of the loss of guessing; a network that has learned anything is well below.
UNDERFIT = 0.75
# In multiples of the loss of guessing. Being sure of the wrong class, as after overfitting, costs a few times that;
# only steps that are far too long make it ten times.
EXPLODED = 10.0
# Against the lowest before; the validation loss of a healthy run, on ever the same pixels, scatters by a tenth of that.
JUMP = 1.5
SWING = 2.0
# … of the loss of guessing: a rise from 0.02 to 0.04 is none.
LEAST_JUMP = 0.2
# A rise of the training loss by so many of its standard errors is no chance: batches differ much from each other.
CERTAIN = 5.0
# Of all that the loss fell: an exponential fall that has run through two of its time constants has less than this left
# in its last fifth, one that has run through one has more.
STILL_FALLING = 0.08
# … and less than this share of the loss is scatter.
LEAST_FALL = 0.05
FEWEST_EPOCHS = 8
# The noise scale grows as the loss falls, so towards the end several times the batch is normal (McCandlish 2018, 4.4).
NOISY = 16.0
# Of the loss of guessing: below, there is too little left to learn for the batch to matter.
LEFT_TO_LEARN = 0.5
# Two models differ by chance; one pair of runs must differ by the spread from seed to seed (5 to 15 points) to count.
SEED_SPREAD = 0.05
STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class _Run:
    facts: RunFacts
    recipe: FineTuneRecipe
    history: Sequence[Row]
    steps: Sequence[Row]

    @property
    def guessing(self) -> float:
        """Loss of a network that gives every class the same probability; nan where the recipe's loss has other parts.

        With classes balanced by weights the cross-entropy of that is ln K, its Dice loss about 1 - 1/K.
        """
        recipe, count = self.recipe, len(self.facts.classes)
        if recipe.focal or recipe.cldice or recipe.boundary_weight:
            return math.nan
        return recipe.cross_entropy * math.log(count) + recipe.dice * (1 - 1 / count)

    @property
    def best(self) -> Row | None:
        return next((row for row in self.history if row["epoch"] == self.facts.best_epoch), None)

    def stages(self) -> list[tuple[Stage, list[Row]]]:
        """Every stage that reached a validation, with its epochs."""
        runs = [list(rows) for _, rows in groupby(self.history, key=lambda row: row["stage"])]
        return list(zip(self.recipe.stages, runs, strict=False))


def diagnose(
    facts: RunFacts, recipe: FineTuneRecipe, history: Sequence[Row], steps: Sequence[Row] = ()
) -> tuple[Finding, ...]:
    """Look for what is wrong with a run.

    Parameters
    ----------
    facts, recipe
        What was done to what, and what came of it.
    history
        One row an epoch: ``epoch, stage, step, train_loss, val_loss, val_dice_1 …``.
    steps
        Points of the loss over steps: ``step, loss``.

    Returns
    -------
    tuple of Finding
        Warnings first; empty if nothing was found amiss.
    """
    run = _Run(facts, recipe, history, steps)
    found = [finding for check in CHECKS for finding in check(run)]
    return tuple(sorted(found, key=lambda finding: finding.severity != "warning"))


def diagnose_rate(
    facts: RunFacts, recipe: FineTuneRecipe, history: Sequence[Row], steps: Sequence[Row]
) -> tuple[Finding, ...]:
    """As `diagnose`, the learning rate only: what can be told while the run goes, before it wastes its time."""
    return tuple(_rate(_Run(facts, recipe, history, steps)))


def backbone_misleads(feature_extraction: Sequence[float], scratch: Sequence[float]) -> Finding | None:
    """Feature extraction worse than scratch: the features of the backbone mislead, so it is better switched.

    Parameters
    ----------
    feature_extraction, scratch
        Mean Dice of the two control runs, one value a fold and seed, in the same order (they are compared in pairs).

    Returns
    -------
    Finding or None
        ``None`` where feature extraction is as good, or the difference may be chance: a single pair must differ by the
        spread from seed to seed, several by two standard errors of their mean difference.
    """
    pairs = zip(scratch, feature_extraction, strict=True)
    lost = np.array([s - f for s, f in pairs if math.isfinite(s) and math.isfinite(f)])
    if not lost.size:
        return None
    doubt = STANDARD_ERRORS * float(lost.std(ddof=1)) / math.sqrt(lost.size) if lost.size > 1 else SEED_SPREAD
    mean = float(lost.mean())
    if mean <= max(doubt, 0.01):
        return None
    over = f"over {lost.size} pairs of runs" if lost.size > 1 else "in one pair of runs"
    return Finding(
        "backbone misleads",
        f"Feature extraction scores {100 * mean:.0f} points of Dice less than training from scratch ({over}): the "
        "features of this start mislead on these images. Switch the backbone or the start, for instance to one trained "
        "on synthetic images like yours.",
        "warning",
    )


def _rate(run: _Run) -> list[Finding]:
    """Steps that are too long: NaN, a loss far beyond guessing, jumps up and down, or up for good."""
    if run.facts.fell_back:
        peak = max(max(stage.rates.values()) for stage in run.recipe.stages) * run.recipe.rate_scale
        return [_too_high("The loss became infinite or NaN", peak)]
    least = LEAST_JUMP * run.guessing if math.isfinite(run.guessing) else LEAST_JUMP
    before = math.inf
    for stage, rows in run.stages():
        losses = [row["val_loss"] for row in rows]
        peak = max(stage.rates.values()) * run.recipe.rate_scale
        exploded = [row for row in rows if row["val_loss"] > EXPLODED * run.guessing]
        if exploded:
            row = max(exploded, key=lambda row: float(row["val_loss"]))
            said = f"at epoch {row['epoch']} the validation loss was {row['val_loss']:.3g}, where guessing gives "
            return [_too_high(f"In stage '{stage.name}' {said}{run.guessing:.2g}", peak)]
        # In its first epochs a stage cannot overfit; where the loss rises at once, its steps are too long.
        first = float(np.median(losses[:3]))
        if len(losses) > 1 and first > JUMP * before and first - before > least:
            said = f"Stage '{stage.name}' began by raising the validation loss from {before:.3g} to {first:.3g}"
            return [_too_high(said, peak)]
        swings = _swings(losses, least)
        if len(swings) > 1:
            lowest, highest = min(losses[: swings[-1]]), max(losses[i] for i in swings)
            said = (
                f"In stage '{stage.name}' the validation loss jumps up and down, between {lowest:.3g} and {highest:.3g}"
            )
            return [_too_high(said, peak)]
        rise = _certain_rise(rows, run.steps, least)
        if rise is not None:
            said = f"In stage '{stage.name}' the training loss rose from {rise[0]:.3g} to {rise[1]:.3g}"
            return [_too_high(f"{said} by epoch {rise[2]}", peak)]
        before = min(before, *losses)
    return []


def _too_high(what: str, peak: float) -> Finding:
    return Finding(
        RATE_TOO_HIGH,
        f"{what}: the learning rates (up to {peak:g}) are too high. Lower them 3 to 10 times, or let the learning-rate "
        "finder suggest one.",
        "warning",
    )


def _swings(losses: Sequence[float], least: float) -> list[int]:
    """Epochs whose validation loss shot up and came down again; overfitting goes up and stays."""
    found = []
    for i in range(1, len(losses) - 1):
        low = min(losses[:i])
        back = min(losses[i + 1 :])
        if losses[i] > SWING * low and losses[i] > JUMP * back and losses[i] - max(low, back) > least:
            found.append(i)
    return found


def _certain_rise(rows: Sequence[Row], steps: Sequence[Row], least: float) -> tuple[float, float, int] | None:
    """Lowest mean training loss of two epochs, that of two later ones which is higher beyond chance, and the last."""
    pairs: list[list[float]] = []
    for earlier, row in zip([{"step": -math.inf}, *rows[:-2]], rows[1:], strict=False):
        pairs.append([point["loss"] for point in steps if earlier["step"] < point["step"] <= row["step"]])
    means = [float(np.mean(losses)) if len(losses) > 2 else math.nan for losses in pairs]
    errors = [
        float(np.std(losses, ddof=1)) / math.sqrt(len(losses)) if len(losses) > 2 else math.nan for losses in pairs
    ]
    for i in range(2, len(pairs)):
        j = min(range(i - 1), key=lambda j: (math.isnan(means[j]), means[j]))
        rise = means[i] - means[j]
        if means[i] > JUMP * means[j] and rise > least and rise > CERTAIN * math.hypot(errors[i], errors[j]):
            return means[j], means[i], int(rows[i + 1]["epoch"])
    return None


def _never_found(run: _Run) -> list[Finding]:
    found = []
    for k, (name, dice) in enumerate(zip(run.facts.classes, run.facts.best_dice, strict=False)):
        if dice is None or dice >= NEVER_FOUND:
            continue
        painted = run.facts.train_painted[k] if k < len(run.facts.train_painted) else None
        learned = f"; {painted:,} training pixels of it are painted" if painted is not None else ""
        found.append(
            Finding(
                "class never found",
                f"Class '{name}' is never found on the validation images (Dice {dice:.2f}{learned}): paint more of it "
                "where it looks different, balance the classes, or train longer.",
                "warning",
            )
        )
    return found


def _fit(run: _Run) -> list[Finding]:
    """Training and validation loss compared: learned by heart, or not learned."""
    history, best = run.history, run.best
    if best is None or len(history) < 3 or run.facts.judged_by == "training paint" or _rate(run):
        return []  # losses that jump say nothing about the fit
    train_end = float(np.median([row["train_loss"] for row in history[-3:]]))
    val_end = float(np.median([row["val_loss"] for row in history[-3:]]))
    guessing = run.guessing
    if min(train_end, best["val_loss"]) > UNDERFIT * guessing:
        return [
            Finding(
                "underfitting",
                f"The training loss is still {train_end:.2f}, and {guessing:.2f} is what guessing gives: the network "
                "has hardly learned its own training images. Train longer, at higher rates, or more layers of it.",
                "warning",
            )
        ]
    lowest = min(_smoothed([row["val_loss"] for row in history]))
    apart = val_end > GAP * train_end and val_end - train_end > LEAST_GAP
    if apart and val_end > RISE * lowest:
        return [
            Finding(
                "overfitting",
                f"From epoch {best['epoch']} on the validation loss rose from {best['val_loss']:.2f} to {val_end:.2f} "
                f"while the training loss fell to {train_end:.2f}: the training images are being learned by heart. The "
                "best epoch was kept; paint more specimens, augment more, or train fewer layers.",
                "advice",
            )
        ]
    if apart and best["val_loss"] > GAP * best["train_loss"] and best["val_loss"] - best["train_loss"] > LEAST_GAP:
        return [
            Finding(
                "generalisation gap",
                f"At the best epoch the validation loss is {best['val_loss']:.2f} and the training loss "
                f"{best['train_loss']:.2f}: the validation images differ from the training images more than the "
                "augmentation covers. Paint images like them, or augment more.",
                "advice",
            )
        ]
    return []


def _length(run: _Run) -> list[Finding]:
    """Whether more epochs would have helped; only a run that came to its end can tell."""
    history = run.history
    if run.facts.reason != "complete" or len(history) < FEWEST_EPOCHS or run.best is None:
        return []
    losses = _smoothed([row["val_loss"] for row in history])
    fifth = max(2, len(losses) // 5)
    before, now = min(losses[:-fifth]), min(losses[-fifth:])
    fell = before - now
    if fell < LEAST_FALL * before or fell < STILL_FALLING * (losses[0] - now):
        return []
    return [
        Finding(
            "still improving",
            f"The validation loss fell by {100 * (1 - now / before):.0f} % over the last {fifth} of {len(history)} "
            "epochs: the run was too short. Train longer.",
            "advice",
        )
    ]


def _early_stop(run: _Run) -> list[Finding]:
    """A first stage that ended early, and was not improved on."""
    stages = run.stages()
    if len(stages) < 2 or run.best is None:
        return []
    first, rows = stages[0]
    planned = first.length(run.facts.steps_per_epoch)
    went = rows[-1]["step"]
    if went >= planned or run.best["stage"] != first.name:
        return []
    return [
        Finding(
            "first stage stopped early",
            f"Stage '{first.name}' ended early (after {len(rows)} of "
            f"{math.ceil(planned / run.facts.steps_per_epoch)} epochs), and no later stage improved on it: the best "
            f"weights are those of epoch {run.best['epoch']}. Lower the rates of the later stages, or leave them out.",
            "advice",
        )
    ]


def _batch(run: _Run) -> list[Finding]:
    """A batch far below the noise scale, where the loss is still high: a network that is done has only noise left."""
    facts, batch, history = run.facts, run.recipe.batch_size, run.history
    scale = math.inf if facts.noise_hides_gradient else facts.noise_scale or 0.0
    left = float(np.median([row["train_loss"] for row in history[-3:]])) if history else 0.0
    if scale <= NOISY * batch or not left > LEFT_TO_LEARN * run.guessing:
        return []
    size = f"about {scale:.0f} patches" if math.isfinite(scale) else "beyond what can be measured"
    return [
        Finding(
            "batch too small",
            f"The gradient noise scale is {size}, far more than the batch of {batch}, and the training loss is still "
            f"{left:.2f}: steps follow noise. Take batches of {4 * batch} or more (with little memory, a few patches "
            "at a time), and look whether the labels contradict each other.",
            "advice",
        )
    ]


def _smoothed(losses: Sequence[float]) -> list[float]:
    """Running median of three: a single lucky or unlucky epoch does not count."""
    if len(losses) < 3:
        return list(losses)
    padded = [losses[0], *losses, losses[-1]]
    return [float(np.median(padded[i : i + 3])) for i in range(len(losses))]


CHECKS: tuple[Callable[[_Run], list[Finding]], ...] = (
    _rate, _never_found, lambda run: doubts_about_validation(run.facts), _fit, _batch, _length, _early_stop,
)  # fmt: skip
