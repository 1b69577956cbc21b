"""Layer groups: every parameter of a network in exactly one group, from the stem to the head.

The groups carry the names of a ResNet's stages, which is how the literature writes discriminative learning rates;
another encoder's stages map onto them by how much they shrink the image (4× → layer1 … 32× → layer4), and the blocks of
a vision transformer in four equal parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

from torch import nn

__all__ = [
    "GROUPS",
    "GroupName",
    "freeze_all_but",
    "group_of_parameter",
    "group_sizes",
    "keep_frozen_statistics",
    "layer_groups",
]

GroupName = Literal["stem+layer1", "layer2", "layer3", "layer4", "head"]
GROUPS: tuple[GroupName, ...] = ("stem+layer1", "layer2", "layer3", "layer4", "head")
# Where HRNet's stages end: timm names its feature maps after stages that are no modules.
_HRNET_ENDS = {"stem": "act2", "stage1": "transition1", "stage2": "transition2", "stage3": "transition3"}


def layer_groups(network: nn.Module) -> dict[GroupName, list[tuple[str, nn.Parameter]]]:
    """Sort all parameters of a network into groups, in the order stem → head.

    Parameters
    ----------
    network
        As ``build_network`` makes them: ``network.encoder.model`` is a timm feature extractor, all else is head
        (decoder and segmentation head).

    Returns
    -------
    dict
        Group name → list of (parameter name, parameter); groups that the network lacks are left out.
    """
    groups: dict[GroupName, list[tuple[str, nn.Parameter]]] = {name: [] for name in GROUPS}
    stage_of = group_of_parameter(network)
    for name, parameter in network.named_parameters():
        groups[stage_of[name]].append((name, parameter))
    return {name: members for name, members in groups.items() if members}


def group_sizes(network: nn.Module) -> dict[str, int]:
    """Number of parameters of each group of a network."""
    return {name: sum(p.numel() for _, p in members) for name, members in layer_groups(network).items()}


def group_of_parameter(network: nn.Module) -> dict[str, GroupName]:
    """Name the group of every parameter of a network."""
    prefix = "encoder.model."
    extractor: Any = network.get_submodule("encoder.model")
    is_vit = hasattr(extractor, "blocks") and hasattr(extractor, "patch_embed")
    in_encoder = _group_in_vit(extractor) if is_vit else _group_in_pyramid(extractor)
    return {
        name: in_encoder(name.removeprefix(prefix)) if name.startswith(prefix) else "head"
        for name, _ in network.named_parameters()
    }


def _group_in_pyramid(extractor: Any) -> Callable[[str], GroupName]:
    """Groups of an encoder whose stages halve the image.

    A timm feature extractor lists its modules in the order of the forward pass: a stage is all that comes after
    the previous feature map and not after its own.
    """
    modules = [name.replace(".", "_") for name, _ in extractor.named_modules()]
    stages, reductions = extractor.feature_info.module_name(), extractor.feature_info.reduction()
    ends: list[tuple[int, GroupName]] = []
    for number, stage in enumerate(stages):
        inside = stage.replace(".", "_")
        if inside not in modules and not any(name.startswith(inside + "_") for name in modules):
            inside = _HRNET_ENDS.get(inside, inside)
        last = max(i for i, name in enumerate(modules) if name == inside or name.startswith(inside + "_"))
        # The first map says where the count begins (1×, 2× or 4×). Later ones are counted, not measured: a dilated
        # encoder no longer shrinks the image in its last stage, and that is its last stage all the same.
        rank = round(math.log2(reductions[0])) + number
        ends.append((last, GROUPS[min(max(rank - 2, 0), 3)]))

    def group(name: str) -> GroupName:
        position = modules.index(name.rpartition(".")[0].replace(".", "_"))
        return next((stage for end, stage in ends if position <= end), ends[-1][1])

    return group


def _group_in_vit(extractor: Any) -> Callable[[str], GroupName]:
    """Groups of a vision transformer: blocks in four quarters, embeddings with the first, the rest with the last."""
    count = len(extractor.blocks)

    def group(name: str) -> GroupName:
        if name.startswith("blocks."):
            return GROUPS[int(name.split(".")[1]) * 4 // count]
        before = name.startswith(("patch_embed.", "norm_pre.")) or "." not in name  # tokens and positions
        return GROUPS[0] if before else GROUPS[3]

    return group


def freeze_all_but(network: nn.Module, trainable: set[GroupName] | frozenset[GroupName]) -> None:
    """Let only the named groups learn, and keep the statistics of every frozen normalisation layer as they are."""
    stage_of = group_of_parameter(network)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(stage_of[name] in trainable)
    keep_frozen_statistics(network)


def keep_frozen_statistics(network: nn.Module) -> None:
    """Put frozen normalisation layers into eval mode.

    Call it after each ``network.train()``, which wakes them: their running mean and variance would then drift although
    no weight moves.
    """
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase):  # asked first: this is done before every step
            own = list(module.parameters(recurse=False))
            if own and not any(p.requires_grad for p in own):
                module.eval()
