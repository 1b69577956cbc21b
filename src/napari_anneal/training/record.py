"""What a run leaves beside its model: facts, steps, findings, pictures of its worst images, and a report to read.

None of it may endanger the model: it comes after the model is on disk, and what fails is said in a notice.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from napari_anneal.errors import InputError
from napari_anneal.inference import Model
from napari_anneal.models.card import BundleCard
from napari_anneal.models.layer_groups import group_sizes
from napari_anneal.samples.patches import PreparedSlice
from napari_anneal.samples.placing import write_whole
from napari_anneal.samples.sample import Sample
from napari_anneal.synthesis import SyntheticStream
from napari_anneal.training.diagnostics import RATE_TOO_HIGH, Finding, diagnose, diagnose_rate
from napari_anneal.training.events import EpochDone, Event, Notice
from napari_anneal.training.keeper import Ledger
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.report import write_report
from napari_anneal.training.run_facts import ClassicalScore, RunFacts, UsedImage, now, read_facts, write_facts
from napari_anneal.training.runs import RECIPE
from napari_anneal.training.setup import Prepared
from napari_anneal.training.state import RunState
from napari_anneal.training.worst_images import judge, write_pictures

__all__ = ["Record", "facts_of"]

# Single readings of the gradient noise scale scatter by several times; the median of a few does not.
ENOUGH_READINGS = 4


class Record:
    """The record of one run: its facts, completed as the run goes on.

    Parameters
    ----------
    facts
        What is known before the first step.
    names
        Of all samples, in order.
    recipe, ledger
        Of the run.
    folder
        Where it is written; ``None``: nowhere.
    """

    def __init__(
        self,
        facts: RunFacts,
        names: Sequence[UsedImage],
        recipe: FineTuneRecipe,
        ledger: Ledger,
        folder: Path | None,
    ) -> None:
        self.facts, self.names, self.recipe, self.ledger, self.folder = facts, names, recipe, ledger, folder

    def begin(self, resumed: bool) -> None:
        """Write what is known, so that a run that is killed can be told from no run."""
        if self.folder is None:
            return
        if resumed:
            try:
                earlier = read_facts(self.folder)
                self.facts = self.facts.changed(created=earlier.created, resumed=(*earlier.resumed, now()))
            except InputError:  # damaged: the run itself does not depend on it
                self.facts = self.facts.changed(resumed=(now(),))
        self._write()

    def after(self, event: Event) -> None:
        """Tell once, as soon as it shows, that the learning rate is too high."""
        if isinstance(event, EpochDone) and RATE_TOO_HIGH not in self.ledger.told:
            self._say(diagnose_rate(self.facts, self.recipe, self.ledger.history, self.ledger.trace.points))

    def end(self, state: RunState, reason: str) -> None:
        """Complete the facts with what the run came to, and write them."""
        best, scales = state.best, self.ledger.noise_scales
        scale = float(np.median(scales[len(scales) // 2 :])) if len(scales) >= ENOUGH_READINGS else math.nan
        self.facts = self.facts.changed(
            reason=reason,
            seconds=round(state.progress.seconds, 3),
            steps=state.progress.step,
            epochs=len(self.ledger.history),
            best_epoch=best.epoch,
            best_val_loss=best.loss if math.isfinite(best.loss) else None,
            best_dice=tuple(None if math.isnan(d) else d for d in best.dice),
            noise_scale=scale if math.isfinite(scale) else None,
            noise_hides_gradient=math.isinf(scale),
            fell_back=state.progress.rate_scale < 1,
            notices=tuple(self.ledger.notices),
        )
        self._write()

    def diagnose(self) -> None:
        """Tell what the facts and the history show, unless it has been told already."""
        findings = diagnose(self.facts, self.recipe, self.ledger.history, self.ledger.trace.points)
        self._say(findings)
        self.facts = self.facts.changed(findings=findings, notices=tuple(self.ledger.notices))

    def publish(
        self,
        network: nn.Module,
        tiles: Sequence[PreparedSlice],
        device: torch.device,
        classical: Callable[[], tuple[ClassicalScore, ...]] = tuple,
    ) -> None:
        """Look at the validation images once more, and write everything down; what fails is told, never raised.

        Parameters
        ----------
        network
            With the weights that were kept.
        tiles
            The validation patches.
        device
            Where the network is.
        classical
            What the classical methods do on the same images; asked only where there are figures to put beside them.
        """
        if self.folder is None:
            return
        try:
            self.ledger.trace.write(self.folder)
            if self.facts.best_epoch:
                images, pictures = judge(network, tiles, self.recipe, device, self.names)
                self.facts = self.facts.changed(images=tuple(images), classical=classical())
                write_pictures(self.folder, pictures)
            write_facts(self.folder, self.facts)
            write_report(self.folder)
        except Exception as error:  # the model is on disk, and no picture of it is worth an error
            self._write()
            self.ledger.tell(
                Notice(f"The model is saved, but the report in {self.folder} could not be written ({error}).")
            )

    def _say(self, findings: Sequence[Finding]) -> None:
        """Tell what is found, unless something of its kind has been told: figures change as a run goes on."""
        told = set(self.ledger.told)
        for finding in findings:
            if finding.kind not in told and finding.sentence not in self.ledger.notices:
                self.ledger.told.append(finding.kind)
                self.ledger.tell(Notice(finding.sentence))

    def _write(self) -> None:
        """Write facts and recipe where that is possible: a full disk is told by whoever has more to lose."""
        if self.folder is None:
            return
        with contextlib.suppress(OSError):
            write_whole(self.folder / RECIPE, json.dumps(self.recipe.model_dump(mode="json"), indent=2) + "\n")
            write_facts(self.folder, self.facts)


def facts_of(
    samples: Sequence[Sample] | SyntheticStream,
    prepared: Prepared,
    card: BundleCard,
    start: str | os.PathLike[str] | Model | None,
    network: nn.Module,
    device: torch.device,
) -> tuple[RunFacts, tuple[UsedImage, ...]]:
    """Facts of a run before its first step, and the names of all samples."""
    names = () if isinstance(samples, SyntheticStream) else tuple(_used(s, i) for i, s in enumerate(samples))
    tiles = prepared.data.validation
    painted = [sum(int((t.labels == k + 1).sum()) for t in tiles) for k in range(len(prepared.classes))]
    facts = RunFacts(
        name=card.name,
        created=now(),
        start=card.start,
        start_given=_given(start),
        lineage=tuple(str(link) for link in card.lineage),
        architecture=card.architecture.model_dump(mode="json"),
        classes=prepared.classes,
        colours=card.colours,
        train=tuple(names[i] for i in prepared.train),
        validation=tuple(names[i] for i in prepared.validation),
        gold=tuple(names[i] for i in prepared.gold),
        judged_by=prepared.judged_by,
        train_painted=() if prepared.painted is None else tuple(int(n) for n in prepared.painted),
        validation_painted=tuple(painted),
        validation_patches=len(tiles),
        parameters=group_sizes(network),
        patch=int(tiles[0].labels.shape[0]),
        steps_per_epoch=prepared.data.steps_per_epoch,
        device=str(device),
        fingerprints=card.fingerprints,
        versions=card.versions,
    )
    return facts, names


def _used(sample: Sample, number: int) -> UsedImage:
    name = sample.name or f"sample {number}"
    return UsedImage(name=name, group=sample.group or name, mark=sample.mark)


def _given(start: str | os.PathLike[str] | Model | None) -> str:
    """The start as another run can be given it, wherever that runs; empty for a model in memory."""
    if start is None:
        return "scratch"
    if isinstance(start, Model):
        return ""
    path = Path(start)
    return str(path.absolute()) if path.exists() else os.fspath(start)
