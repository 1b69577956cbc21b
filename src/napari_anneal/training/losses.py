"""The loss over painted pixels only: cross-entropy, Dice, focal, weighted at boundaries, and clDice for networks."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from napari_anneal.errors import InputError
from napari_anneal.training.recipe import FineTuneRecipe

__all__ = ["PaintedLoss", "class_weights", "loss_of_recipe"]

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
    """A weighted sum of terms; pixels labelled 0 have no influence whatever on any of them.

    Parameters
    ----------
    cross_entropy, dice, focal, cldice
        Weights of the terms: cross-entropy; 1 - mean Dice; focal loss (Lin et al. 2017); 1 - clDice (Shit et al. 2021).
    weights
        ``(K,)`` class weights of the cross-entropy and the focal loss, or ``None``.
    focal_gamma
        How much the focal loss turns from pixels that are right already; 0 makes it the cross-entropy.
    boundary_weight, boundary_radius
        Cross-entropy and focal loss weigh a pixel ``1 + boundary_weight`` where paint of another class lies within so
        many pixels (Chebyshev distance): boundaries are few pixels and most of the errors.
    cldice_class
        Label (1 … K) of the network of lines whose connectedness clDice measures; ``None``: the last one.
    """

    def __init__(
        self,
        cross_entropy: float = 1.0,
        dice: float = 1.0,
        weights: torch.Tensor | None = None,
        *,
        focal: float = 0.0,
        focal_gamma: float = 2.0,
        boundary_weight: float = 0.0,
        boundary_radius: int = 3,
        cldice: float = 0.0,
        cldice_class: int | None = None,
    ) -> None:
        super().__init__()
        self.cross_entropy, self.dice, self.focal, self.cldice = cross_entropy, dice, focal, cldice
        self.focal_gamma, self.cldice_class = focal_gamma, cldice_class
        self.boundary_weight, self.boundary_radius = boundary_weight, boundary_radius
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
        if self.cross_entropy and not self.boundary_weight:
            loss = loss + self.cross_entropy * functional.cross_entropy(
                logits, target, weight=self.weights, ignore_index=IGNORE
            )
        elif self.cross_entropy:
            loss = loss + self.cross_entropy * self._by_pixel(logits, target, painted, gamma=0.0)
        if self.focal:
            loss = loss + self.focal * self._by_pixel(logits, target, painted, gamma=self.focal_gamma)
        if self.dice:
            loss = loss + self.dice * (1.0 - _mean_dice(logits, target, painted))
        if self.cldice:
            line = (self.cldice_class or logits.shape[1]) - 1
            loss = loss + self.cldice * (1.0 - centreline_dice(logits, target, painted, line))
        return loss

    def _by_pixel(
        self, logits: torch.Tensor, target: torch.Tensor, painted: torch.Tensor, gamma: float
    ) -> torch.Tensor:
        """Weighted mean of ``(1 - p)^γ · (-log p)`` over painted pixels, p the probability of the true class."""
        surprise = functional.cross_entropy(logits, target, ignore_index=IGNORE, reduction="none")
        loss = surprise if gamma == 0 else (1.0 - torch.exp(-surprise)).clamp(min=1e-8) ** gamma * surprise
        weight = painted.to(loss.dtype)
        if self.weights is not None:
            weight = weight * self.weights[target.clamp(min=0)]
        if self.boundary_weight:
            near = near_another_class(target, logits.shape[1], self.boundary_radius)
            weight = weight * (1.0 + self.boundary_weight * near)
        return (loss * weight).sum() / weight.sum()


def loss_of_recipe(recipe: FineTuneRecipe, painted: torch.Tensor | None, classes: int) -> PaintedLoss:
    """Loss that a recipe asks for; ``painted`` are the painted pixels of each class, ``None`` where all count alike.

    Raises
    ------
    InputError
        ClDice of a class that there is not.
    """
    if recipe.cldice and (recipe.cldice_class or 1) > classes:
        raise InputError(f"cldice_class {recipe.cldice_class} is none of the {classes} classes; choose one of them.")
    weights = class_weights(painted) if recipe.balance_classes and painted is not None else None
    return PaintedLoss(
        recipe.cross_entropy,
        recipe.dice,
        weights,
        focal=recipe.focal,
        focal_gamma=recipe.focal_gamma,
        boundary_weight=recipe.boundary_weight,
        boundary_radius=recipe.boundary_radius,
        cldice=recipe.cldice,
        cldice_class=recipe.cldice_class,
    )


def near_another_class(target: torch.Tensor, classes: int, radius: int) -> torch.Tensor:
    """Whether paint of two classes lies within ``radius`` px (Chebyshev) of a pixel; bool ``(N, Y, X)``.

    ``target`` is ``(N, Y, X)``, classes 0 … K - 1 and `IGNORE`.
    """
    masks = torch.stack([target == k for k in range(classes)], dim=1).float()
    return functional.max_pool2d(masks, 2 * radius + 1, stride=1, padding=radius).sum(dim=1) > 1


def centreline_dice(
    logits: torch.Tensor, target: torch.Tensor, painted: torch.Tensor, line: int, rounds: int = 5
) -> torch.Tensor:
    """ClDice of one class: how much of each centre line lies within the other's lines.

    Soft skeletons by ``rounds`` of min- and max-pooling (Shit et al. 2021, algorithm 1) thin lines of up to twice as
    many pixels. What is not painted counts as empty on both sides.
    """
    found = torch.where(painted, torch.softmax(logits, dim=1)[:, line], 0.0)[:, None]
    true = ((target == line) & painted).to(found.dtype)[:, None]
    if not bool((true > 0).any()):
        return found.new_ones(())
    found_line, true_line = soft_skeleton(found, rounds), soft_skeleton(true, rounds)
    precise = ((found_line * true).sum() + 1.0) / (found_line.sum() + 1.0)
    complete = ((true_line * found).sum() + 1.0) / (true_line.sum() + 1.0)
    return 2.0 * precise * complete / (precise + complete)


def soft_skeleton(image: torch.Tensor, rounds: int) -> torch.Tensor:
    """Differentiable skeleton of ``(N, 1, Y, X)`` in [0, 1]: what repeated opening takes away."""

    def eroded(x: torch.Tensor) -> torch.Tensor:
        upright = -functional.max_pool2d(-x, (3, 1), stride=1, padding=(1, 0))
        level = -functional.max_pool2d(-x, (1, 3), stride=1, padding=(0, 1))
        return torch.minimum(upright, level)

    def opened(x: torch.Tensor) -> torch.Tensor:
        return functional.max_pool2d(eroded(x), 3, stride=1, padding=1)

    skeleton = torch.relu(image - opened(image))
    for _ in range(rounds):
        image = eroded(image)
        rest = torch.relu(image - opened(image))
        skeleton = skeleton + torch.relu(rest - skeleton * rest)
    return skeleton


def _mean_dice(logits: torch.Tensor, target: torch.Tensor, painted: torch.Tensor) -> torch.Tensor:
    probability = torch.softmax(logits, dim=1).movedim(1, -1)[painted]  # (P, K)
    truth = functional.one_hot(target[painted], logits.shape[1]).to(probability.dtype)
    overlap = (probability * truth).sum(dim=0)
    size = (probability + truth).sum(dim=0)
    present = truth.sum(dim=0) > 0
    return (2.0 * overlap[present] / size[present].clamp(min=1e-6)).mean()
