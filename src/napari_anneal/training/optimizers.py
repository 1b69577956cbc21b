"""Optimizers over layer groups: one parameter group a layer group, its peak rate kept beside the current one."""

from __future__ import annotations

import torch
from torch import nn

from napari_anneal.models.layer_groups import freeze_all_but, layer_groups
from napari_anneal.training.recipe import Stage
from napari_anneal.training.schedules import rate_factor

__all__ = ["build_optimizer", "set_rates"]


def build_optimizer(network: nn.Module, stage: Stage) -> torch.optim.Optimizer:
    """Freeze what the stage does not train and build its optimizer over the rest.

    Normalisation weights and biases (one-dimensional parameters) get no weight decay, as is customary: decaying a
    scale towards zero regularises nothing.
    """
    freeze_all_but(network, set(stage.rates))
    groups = []
    for name, members in layer_groups(network).items():
        if name not in stage.rates:
            continue
        for decays in (True, False):
            chosen = [p for _, p in members if (p.ndim > 1) == decays]
            if chosen:
                decay = stage.weight_decay if decays else 0.0
                groups.append(
                    {
                        "params": chosen,
                        "name": name,
                        "peak": stage.rates[name],
                        "lr": stage.rates[name],
                        "weight_decay": decay,
                    }
                )
    if stage.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=stage.momentum, nesterov=stage.nesterov)
    return torch.optim.AdamW(groups, lr=0.0)


def set_rates(optimizer: torch.optim.Optimizer, stage: Stage, step: int, total: int) -> dict[str, float]:
    """Set every group's learning rate for one step of a stage; return rate by group name."""
    factor = rate_factor(stage.schedule, step, total)
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    return {group["name"]: group["lr"] for group in optimizer.param_groups}
