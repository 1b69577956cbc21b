"""Gradients of one batch: in one go where memory suffices, else piece by piece with the very same result.

The loss looks at all painted pixels of a batch together (Dice and class weights are no sums over images), so the mean
over pieces would be another loss. Instead the logits of all pieces are computed without memory for gradients, the loss
gives the gradient of every logit, and each piece is passed through the network again with its share of them (gradient
caching, Gao et al. 2021). That costs one more forward pass. Several processes share a batch in the same way: each
computes its own logits, all see the loss of the whole batch, and the gradients are added up.

Normalisation by batch statistics sees the pieces, not the batch; with frozen statistics, or none, the result is that of
the whole batch to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from napari_anneal.devices import Precision, autocast
from napari_anneal.training.ranks import ALONE, Ranks

__all__ = ["backward", "forward_pass", "is_out_of_memory", "random_state", "set_random_state"]


def backward(
    forward: Callable[[Tensor], Tensor],
    network: nn.Module,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    micro_batch: int | None = None,
    scaled: Callable[[Tensor], Tensor] = lambda loss: loss,
    ranks: Ranks = ALONE,
) -> float:
    """Add the gradients of a batch to the network's parameters and return its loss.

    Parameters
    ----------
    forward
        The network's forward pass in the precision wanted: images ``(N, C, Y, X)`` to logits ``(N, K, Y, X)``.
    network
        Whose running statistics must move once a piece, not twice.
    loss_of
        Loss of the logits and labels of the whole batch.
    images, labels
        The batch, ``(N, C, Y, X)`` and ``(N, Y, X)``.
    micro_batch
        Images that pass through the network at once; ``None``: all.
    scaled
        Multiplies the loss before its gradients are taken (float16 has no numbers as small as theirs).
    ranks
        The processes that share the batch; ``images`` and ``labels`` are then this process's own, the loss and, in the
        end, the gradients those of the whole.
    """
    whole = micro_batch is None or micro_batch >= len(images)
    if whole and ranks.world == 1:
        loss = loss_of(forward(images), labels)
        scaled(loss).backward()  # type: ignore[no-untyped-call]
        return loss.item()
    size = len(images) if whole or micro_batch is None else micro_batch
    pieces = torch.split(images, size)
    if whole:
        found, again = [forward(images)], False
    else:
        found, again = [], True
        randoms = []
        with torch.no_grad(), statistics_at_rest(network):
            for piece in pieces:
                randoms.append(random_state(images.device))
                found.append(forward(piece))
    own = torch.cat([part.detach() for part in found]).requires_grad_()
    logits = ranks.gather(own)
    logits[ranks.rank] = own
    loss = loss_of(torch.cat(logits), torch.cat(ranks.gather(labels)))
    (slope,) = torch.autograd.grad(scaled(loss), own)
    for number, share in enumerate(torch.split(slope, size)):
        if again:
            set_random_state(images.device, randoms[number])  # dropout must fall as it fell the first time
            found[number] = forward(pieces[number])
        found[number].backward(share)  # type: ignore[no-untyped-call]
    ranks.add(p.grad for p in network.parameters() if p.grad is not None)
    return loss.item()


def forward_pass(network: Callable[[Tensor], Tensor], precision: Precision) -> Callable[[Tensor], Tensor]:
    """Forward pass of a network in a precision: images ``(N, C, Y, X)`` to logits ``(N, K, Y, X)``."""

    def forward(images: Tensor) -> Tensor:
        with autocast(images.device, precision):
            return network(images)

    return forward


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the memory of the device, or of the machine, did not suffice."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and "not enough memory" in str(error)


@contextmanager
def statistics_at_rest(network: nn.Module) -> Iterator[None]:
    """Let forward passes leave the running statistics of normalisation layers as they are."""
    layers = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._NormBase)]
    before = [layer.momentum for layer in layers]
    counts = [None if layer.num_batches_tracked is None else layer.num_batches_tracked.clone() for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum, count in zip(layers, before, counts, strict=True):
            layer.momentum = momentum
            if count is not None and layer.num_batches_tracked is not None:
                layer.num_batches_tracked.copy_(count)


def random_state(device: torch.device) -> Tensor:
    """State of the random numbers that a forward pass on the device draws from (dropout)."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def set_random_state(device: torch.device, state: Tensor) -> None:
    """Put that state back."""
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
