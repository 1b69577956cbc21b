"""Layer groups: every parameter of a network in exactly one group, from the stem to the head.

The groups carry the names of a ResNet's stages, which is how the literature writes discriminative learning rates;
another encoder's stages map onto them by how much they have shrunk the image (4× → layer1 … 32× → layer4).
"""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

__all__ = ["GROUPS", "GroupName", "freeze_all_but", "group_of_parameter", "keep_frozen_statistics", "layer_groups"]

GroupName = Literal["stem+layer1", "layer2", "layer3", "layer4", "head"]
GROUPS: tuple[GroupName, ...] = ("stem+layer1", "layer2", "layer3", "layer4", "head")
_BY_REDUCTION: dict[int, GroupName] = {
    1: "stem+layer1",
    2: "stem+layer1",
    4: "stem+layer1",
    8: "layer2",
    16: "layer3",
    32: "layer4",
}


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


def group_of_parameter(network: nn.Module) -> dict[str, GroupName]:
    """Name the group of every parameter of a network."""
    prefix = "encoder.model."
    extractor: Any = network.get_submodule("encoder.model")
    modules = [name.replace(".", "_") for name, _ in extractor.named_modules()]
    # A timm feature extractor lists its modules in the order of the forward pass: a stage is all that comes after
    # the previous feature map and not after its own.
    ends: list[tuple[int, GroupName]] = []
    for stage, reduction in zip(extractor.feature_info.module_name(), extractor.feature_info.reduction(), strict=True):
        inside = stage.replace(".", "_")
        last = max(i for i, name in enumerate(modules) if name == inside or name.startswith(inside + "_"))
        ends.append((last, _BY_REDUCTION[int(reduction)]))

    def group(name: str) -> GroupName:
        if not name.startswith(prefix):
            return "head"
        owner = name.removeprefix(prefix).rpartition(".")[0].replace(".", "_")
        position = modules.index(owner)
        return next((stage for end, stage in ends if position <= end), ends[-1][1])

    return {name: group(name) for name, _ in network.named_parameters()}


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
        own = list(module.parameters(recurse=False))
        if isinstance(module, nn.modules.batchnorm._NormBase) and own and not any(p.requires_grad for p in own):
            module.eval()
