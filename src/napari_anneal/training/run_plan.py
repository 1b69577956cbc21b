"""What a run would do, as data: stages, layer groups with their sizes, every learning rate, minutes and memory."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from napari_anneal.models.layer_groups import layer_groups
from napari_anneal.samples.placing import readable_bytes
from napari_anneal.training.optimizers import build_optimizer, set_rates, state_bytes
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.step_memory import StepMemory

__all__ = ["RunPlan", "describe_groups", "describe_stages"]


@dataclass(frozen=True)
class RunPlan:
    """The plan of a run.

    ``groups``: parameters by layer group. ``stages``: for each its name, optimizer, schedule, steps and
    ``rates[group][step]``. ``train``, ``validation``: names of the samples. ``minutes`` is expected from a few steps
    that were timed, if no stage ends early (``None``: none were), ``memory`` expected on ``device``. ``parameters``:
    size of every single parameter by layer group.
    """

    classes: tuple[str, ...]
    groups: dict[str, int]
    stages: tuple[dict[str, Any], ...]
    steps_per_epoch: int
    train: tuple[str, ...]
    validation: tuple[str, ...]
    notices: tuple[str, ...]
    minutes: float | None
    memory: StepMemory
    device: str
    parameters: dict[str, dict[str, int]]

    @property
    def memory_bytes(self) -> int:
        """Memory (bytes) that the run is expected to take on its device, beside images and PyTorch itself."""
        return self.memory.total

    @property
    def steps(self) -> int:
        """Optimizer steps over all stages."""
        return sum(int(stage["steps"]) for stage in self.stages)

    def to_dict(self) -> dict[str, Any]:
        """Everything but single parameters as plain numbers, strings and lists, ready for JSON."""
        return {
            "classes": list(self.classes),
            "groups": self.groups,
            "stages": list(self.stages),
            "steps_per_epoch": self.steps_per_epoch,
            "train": list(self.train),
            "validation": list(self.validation),
            "notices": list(self.notices),
            "minutes": self.minutes,
            "memory_bytes": self.memory_bytes,
            "memory": asdict(self.memory),
            "device": self.device,
        }

    def __str__(self) -> str:
        """One line a stage, its groups indented; then what it takes."""
        lines = [f"train on {', '.join(self.train) or 'synthetic images'}; validate on {', '.join(self.validation)}"]
        for stage in self.stages:
            state = readable_bytes(stage["optimizer_state_bytes"])
            lines.append(
                f"{stage['name']}: {stage['optimizer']} (state {state}), {stage['schedule']}, {stage['steps']} steps"
            )
            for name, count in self.groups.items():
                peak = f"peak rate {max(stage['rates'][name]):.1e}" if name in stage["rates"] else "frozen"
                lines.append(f"    {name:<12} {count:>12,} parameters  {peak}")
        time = "" if self.minutes is None else f", about {self.minutes:.1f} min"
        lines.append(f"{self.steps} steps on {self.device}{time}, about {readable_bytes(self.memory_bytes)} of memory")
        return "\n".join([*lines, *self.notices])


def describe_stages(network: nn.Module, recipe: FineTuneRecipe, steps_per_epoch: int) -> tuple[dict[str, Any], ...]:
    """Every stage with the learning rate of every group at every step, from the functions that set them in a run."""
    stages = []
    for stage in recipe.stages:
        total = stage.length(steps_per_epoch)
        optimizer = build_optimizer(network, stage)
        per_step = [set_rates(optimizer, stage, step, total, recipe.rate_scale) for step in range(total)]
        learning = sum(p.numel() for p in network.parameters() if p.requires_grad)
        stages.append(
            {
                "name": stage.name,
                "optimizer": stage.optimizer,
                "optimizer_state_bytes": state_bytes(stage.optimizer, learning),
                "schedule": stage.schedule,
                "steps": total,
                "rates": {name: [rates[name] for rates in per_step] for name in per_step[0]},
            }
        )
    return tuple(stages)


def describe_groups(network: nn.Module) -> dict[str, dict[str, int]]:
    """Size of every parameter, by layer group in the order stem → head."""
    return {name: {path: p.numel() for path, p in members} for name, members in layer_groups(network).items()}
