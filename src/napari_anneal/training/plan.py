"""What a run would do, before it does it: stages, layer groups with their sizes, and every learning rate."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from napari_anneal.inference import Model
from napari_anneal.models.layer_groups import layer_groups
from napari_anneal.samples.placing import readable_bytes
from napari_anneal.samples.sample import Sample
from napari_anneal.synthesis import SyntheticStream
from napari_anneal.training.optimizers import build_optimizer, set_rates, state_bytes
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.setup import prepare_run, resolve_start
from napari_anneal.validation import SplitPlan

__all__ = ["RunPlan", "plan_run"]


@dataclass(frozen=True)
class RunPlan:
    """The plan of a run.

    ``groups``: parameters by layer group. ``stages``: for each its name, optimizer, schedule, steps and
    ``rates[group][step]``. ``train``, ``validation``: names of the samples.
    """

    classes: tuple[str, ...]
    groups: dict[str, int]
    stages: tuple[dict[str, Any], ...]
    steps_per_epoch: int
    train: tuple[str, ...]
    validation: tuple[str, ...]
    notices: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers, strings and lists, ready for JSON."""
        return {
            "classes": list(self.classes),
            "groups": self.groups,
            "stages": list(self.stages),
            "steps_per_epoch": self.steps_per_epoch,
            "train": list(self.train),
            "validation": list(self.validation),
            "notices": list(self.notices),
        }

    def __str__(self) -> str:
        """One line a stage, its groups indented."""
        lines = [f"train on {', '.join(self.train) or 'synthetic images'}; validate on {', '.join(self.validation)}"]
        for stage in self.stages:
            state = readable_bytes(stage["optimizer_state_bytes"])
            lines.append(
                f"{stage['name']}: {stage['optimizer']} (state {state}), {stage['schedule']}, {stage['steps']} steps"
            )
            for name, count in self.groups.items():
                peak = f"peak rate {max(stage['rates'][name]):.1e}" if name in stage["rates"] else "frozen"
                lines.append(f"    {name:<12} {count:>12,} parameters  {peak}")
        return "\n".join([*lines, *self.notices])


def plan_run(
    samples: Sequence[Sample] | SyntheticStream,
    plan: SplitPlan | None,
    recipe: FineTuneRecipe,
    start: str | os.PathLike[str] | Model | None,
) -> RunPlan:
    """Plan a run with the very functions that carry it out; same arguments and errors as ``fine_tune``."""
    prepared = prepare_run(samples, plan, recipe)
    begun = resolve_start(start, recipe, prepared.classes, prepared.channels)
    stages = []
    for stage in recipe.stages:
        total = stage.length(prepared.data.steps_per_epoch)
        optimizer = build_optimizer(begun.network, stage)
        per_step = [set_rates(optimizer, stage, step, total, recipe.rate_scale) for step in range(total)]
        rates = {name: [rates[name] for rates in per_step] for name in per_step[0]}
        learning = sum(p.numel() for p in begun.network.parameters() if p.requires_grad)
        described = {
            "name": stage.name,
            "optimizer": stage.optimizer,
            "optimizer_state_bytes": state_bytes(stage.optimizer, learning),
            "schedule": stage.schedule,
            "steps": total,
        }
        stages.append(described | {"rates": rates})

    def names(indices: tuple[int, ...]) -> tuple[str, ...]:
        if isinstance(samples, SyntheticStream):
            return ()
        return tuple(samples[i].name or f"sample {i}" for i in indices)

    return RunPlan(
        prepared.classes,
        {name: sum(p.numel() for _, p in members) for name, members in layer_groups(begun.network).items()},
        tuple(stages),
        prepared.data.steps_per_epoch,
        names(prepared.train),
        names(prepared.validation),
        (*prepared.notices, *begun.notices),
    )
