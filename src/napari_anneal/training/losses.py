"""The loss: cross-entropy plus Dice, over painted pixels only."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

__all__ = ["PaintedLoss", "class_weights"]

IGNORE = -1


def class_weights(painted: torch.Tensor) -> torch.Tensor:
    """Weights inversely proportional to the square root of the painted counts, with mean 1 over painted pixels.

    The square root stands between no balancing and full balancing: paint is a person's choice, not the class's share
    of the specimen.

    Parameters
    ----------
    painted
        ``(K,)`` painted pixels of each class; a class with none gets weight 1.
    """
    counts = painted.double()
    weights = torch.where(counts > 0, counts.clamp(min=1).rsqrt(), torch.zeros_like(counts))
    weights = weights * counts.sum() / (weights * counts).sum()
    return torch.where(counts > 0, weights, torch.ones_like(weights)).float()


class PaintedLoss(nn.Module):
    """``cross_entropy · CE + dice · (1 - mean Dice)``; pixels labelled 0 have no influence whatever.

    Parameters
    ----------
    cross_entropy, dice
        Weights of the two terms.
    weights
        ``(K,)`` class weights of the cross-entropy, or ``None``.
    """

    def __init__(self, cross_entropy: float = 1.0, dice: float = 1.0, weights: torch.Tensor | None = None) -> None:
        super().__init__()
        self.cross_entropy, self.dice = cross_entropy, dice
        self.weights: torch.Tensor | None
        self.register_buffer("weights", weights)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Loss of logits ``(N, K, Y, X)`` against labels ``(N, Y, X)``, 0 = not painted, 1…K = classes.

        A batch without any paint has loss 0. Dice (Milletari 2016, with squares left out) is taken over the painted
        pixels of the whole batch, class by class, and averaged over the classes painted in it.
        """
        logits = logits.float()
        target = labels.long() - 1
        painted = target != IGNORE
        if not bool(painted.any()):
            return logits.sum() * 0.0
        loss = logits.new_zeros(())
        if self.cross_entropy:
            loss = loss + self.cross_entropy * functional.cross_entropy(
                logits, target, weight=self.weights, ignore_index=IGNORE
            )
        if self.dice:
            loss = loss + self.dice * (1.0 - _mean_dice(logits, target, painted))
        return loss


def _mean_dice(logits: torch.Tensor, target: torch.Tensor, painted: torch.Tensor) -> torch.Tensor:
    probability = torch.softmax(logits, dim=1).movedim(1, -1)[painted]  # (P, K)
    truth = functional.one_hot(target[painted], logits.shape[1]).to(probability.dtype)
    overlap = (probability * truth).sum(dim=0)
    size = (probability + truth).sum(dim=0)
    present = truth.sum(dim=0) > 0
    return (2.0 * overlap[present] / size[present].clamp(min=1e-6)).mean()
