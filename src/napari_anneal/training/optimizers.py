"""Optimizers over layer groups: one parameter group a layer group, its peak rate kept beside the current one."""

from __future__ import annotations

import torch
from torch import nn

from napari_anneal.models.layer_groups import freeze_all_but, layer_groups
from napari_anneal.training.schedules import rate_factor
from napari_anneal.training.stages import OptimizerName, Stage

__all__ = ["build_optimizer", "set_rates", "state_bytes"]

# Tensors of the size of a parameter that an optimizer keeps for each: two moments, or one.
STATE_TENSORS: dict[OptimizerName, int] = {"adamw": 2, "adam": 2, "sgd": 1, "lion": 1}


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
    # Rates are set before every step, so those given here never act.
    if stage.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=stage.momentum, nesterov=stage.nesterov)
    if stage.optimizer == "lion":
        from timm.optim import Lion

        lion: torch.optim.Optimizer = Lion(groups, lr=1.0)
        return lion
    if stage.optimizer == "adam":
        return torch.optim.Adam(groups, lr=0.0)
    return torch.optim.AdamW(groups, lr=0.0)


def set_rates(
    optimizer: torch.optim.Optimizer, stage: Stage, step: int, total: int, scale: float = 1.0
) -> dict[str, float]:
    """Set every group's learning rate for one step of a stage; return rate by group name.

    ``scale`` multiplies all rates: the linear scaling rule for another batch size, or a halving after a divergence.
    """
    factor = rate_factor(stage.schedule, step, total) * scale
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    return {group["name"]: group["lr"] for group in optimizer.param_groups}


def state_bytes(optimizer: OptimizerName, parameters: int) -> int:
    """Memory (bytes) of an optimizer's state for so many float32 parameters that learn."""
    return STATE_TENSORS[optimizer] * parameters * 4
