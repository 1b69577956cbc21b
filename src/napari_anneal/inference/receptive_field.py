"""How far a network looks: measured, not derived from its layers, so that it holds for any architecture.

A NaN survives every convolution (even under a weight of zero), normalisation, activation and max-pool that
touches it, and nothing else can make one. Planted in a thin strip of zeros, it therefore marks exactly the
outputs that can depend on it. Planted as a block aligned with the network's stride, it says how many pixels a
tile needs on either side.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

__all__ = ["ReceptiveField", "evaluating", "measure_receptive_field"]

# The longer strip is only run for networks that fill the shorter one: it tells a wide field from an unbounded
# one.
STRIP_LENGTHS = (1024, 4096)
# A tile's output may differ from the whole image's by rounding only; a real dependence shows as far more.
SAME = 1e-4


@dataclass(frozen=True)
class ReceptiveField:
    """Pixels around an aligned block that its output can depend on.

    Attributes
    ----------
    before, after
        Pixels towards lower and towards higher indices (the larger of the two axes), multiples of the stride.
    """

    before: int
    after: int


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put every module in eval mode, and back into the mode it was in afterwards (frozen groups included)."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def measure_receptive_field(network: nn.Module, in_channels: int, stride: int) -> ReceptiveField | None:
    """Measure how far the output of a network reaches into its input.

    Parameters
    ----------
    network
        Maps ``(1, in_channels, Y, X)`` float32 to ``(1, K, Y, X)``, Y and X multiples of ``stride``.
    in_channels, stride
        Channels of the input, and the pixels by which the input can be shifted without changing the output
        but for the same shift.

    Returns
    -------
    ReceptiveField or None
        ``None``: unbounded. The field reaches across the whole strip (global pooling, attention,
        normalisation over space), or the output of a piece differs from the same piece of the whole although
        it holds all of the field (interpolation with aligned corners, position embeddings), or the network
        refuses a thin strip.
    """
    if any(parameter.device.type != "cpu" for parameter in network.parameters()):
        # On the CPU convolutions are direct; elsewhere a transform over blocks could smear the NaN further.
        network = copy.deepcopy(network).to("cpu")
    with evaluating(network), torch.inference_mode():
        try:
            return _measure(network, in_channels, stride)
        except (RuntimeError, ValueError, AssertionError):
            # Only networks that are tied to a size (pooling pyramids, position tables) refuse a thin strip.
            return None


def _measure(network: nn.Module, in_channels: int, stride: int) -> ReceptiveField | None:
    for length in STRIP_LENGTHS:
        reaches = [_reach(network, in_channels, stride, length, axis) for axis in (2, 3)]
        bounded = [reach for reach in reaches if reach is not None]
        if len(bounded) == 2:
            field = ReceptiveField(max(b for b, _ in bounded), max(a for _, a in bounded))
            return field if _holds(network, in_channels, stride, field) else None
    return None


def _strip(in_channels: int, stride: int, blocks: int, axis: int) -> torch.Tensor:
    """Zeros, ``blocks`` blocks long and two blocks wide (a single one is too thin for reflecting convolutions)."""
    shape = [1, in_channels, 2 * stride, 2 * stride]
    shape[axis] = blocks * stride
    return torch.zeros(shape)


def _reach(network: nn.Module, in_channels: int, stride: int, length: int, axis: int) -> tuple[int, int] | None:
    """Pixels needed before and after a block along one axis; ``None`` where the strip is too short to tell."""
    blocks = max(5, length // stride)
    middle = blocks // 2
    strip = _strip(in_channels, stride, blocks, axis)
    strip.narrow(axis, middle * stride, stride).fill_(torch.nan)
    marked = torch.isnan(network(strip)).movedim(axis, 0).flatten(1).any(dim=1)
    hit = marked.view(blocks, stride).any(dim=1).nonzero().flatten()
    first, last = int(hit.min()), int(hit.max())
    if first == 0 or last == blocks - 1:
        return None
    # An output block after the NaN sees it among the pixels before itself, and the other way round.
    return (last - middle) * stride, (middle - first) * stride


def _holds(network: nn.Module, in_channels: int, stride: int, field: ReceptiveField) -> bool:
    """Whether a piece with the measured surroundings really gives the output of the whole."""
    before, after = field.before // stride, field.after // stride
    core, shift = 2, 3  # an odd shift, so that a hidden period of two blocks (shifted windows) is found out
    noise = torch.Generator().manual_seed(0)
    for axis in (2, 3):
        strip = _strip(in_channels, stride, shift + before + core + after + shift + 1, axis)
        strip.normal_(generator=noise)
        whole = network(strip).narrow(axis, (shift + before) * stride, core * stride)
        piece = strip.narrow(axis, shift * stride, (before + core + after) * stride)
        part = network(piece).narrow(axis, before * stride, core * stride)
        scale = max(1.0, float(whole.abs().max()))
        if not float((whole - part).abs().max()) <= SAME * scale:
            return False
    return True
