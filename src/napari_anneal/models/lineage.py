"""Where a model's weights came from, link by link: ImageNet → synthetic (ranges, seed) → real (specimens).

Every link says what was learned from and what it scored, and names the weights it gave to the next by their digest, so
a stranger with the bundles can check the chain: ``sha256sum model.safetensors`` of one bundle is what the next one's
lineage says it began with (of a bundle in half precision, `weights_digest` of the network it opens to).
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from napari_anneal.samples.ledger import LedgerState

if TYPE_CHECKING:
    from napari_anneal.models.card import BundleCard

__all__ = ["Link", "described", "gold_ledgers", "lineage_of", "weights_digest"]

# A card may have 4 MiB: beyond these the oldest links give way (the origin stays), or their lists of images do.
MOST_LINKS = 64
MOST_FINGERPRINTS = 10_000


class Link(BaseModel):
    """One link: an origin of weights ("scratch", "imagenet", "weights file"), or a run on synthetic or real images.

    ``weights`` is the SHA-256 of what the link gave to the next: of the weights file, or of a bundle's
    ``model.safetensors`` in full precision. It is empty for fresh weights, where nobody knows, and in the last link of
    a card, whose weights lie beside it (``SHA256SUMS`` has their digest).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["scratch", "imagenet", "weights file", "synthetic", "real", "unknown"]
    name: str = Field("", description="Run, shipped model, weights file or their repository.", max_length=300)
    seed: int | None = Field(None, description="Seed of the fresh weights, or of the run.")
    preset: str = Field("", description="Preset of the run's recipe.", max_length=40)
    classes: tuple[str, ...] = Field((), description="What the run told apart.")
    stream: dict[str, Any] = Field(
        default_factory=dict, description="Recipe or ranges of the synthetic images, and the seed of their stream."
    )
    train_groups: tuple[str, ...] = Field((), description="Specimens trained on.")
    validation_groups: tuple[str, ...] = Field((), description="Specimens that judged the run.")
    train: dict[str, str] = Field(default_factory=dict, description="SHA-256 of each training image and its labels.")
    validation: dict[str, str] = Field(default_factory=dict, description="SHA-256 of each validation image and labels.")
    gold: dict[str, str] = Field(
        default_factory=dict,
        description="Images set aside as gold while the run learned: SHA-256 of their pixels, empty where not taken.",
    )
    gold_ledgers: tuple[LedgerState, ...] = Field((), description="Where the gold ledgers stood when the run began.")
    val_loss: float | None = Field(None, description="Lowest validation loss.")
    val_dice: dict[str, float | None] = Field(default_factory=dict, description="Dice of each class at that epoch.")
    weights: str = Field(
        "", description="SHA-256 of the weights this link gave to the next.", pattern="^([0-9a-f]{64})?$"
    )
    created: str = Field("", description="When the run began, in UTC.", max_length=40)

    def __str__(self) -> str:
        """In a few words, such as ``synthetic (seed 3)``."""
        if self.kind == "scratch":
            return "scratch" if self.seed is None else f"scratch (seed {self.seed})"
        if self.kind == "synthetic":
            seed = self.stream.get("seed")
            return "synthetic" if seed is None else f"synthetic (seed {seed})"
        if self.kind == "real":
            groups = ", ".join(self.train_groups[:4]) + (" …" if len(self.train_groups) > 4 else "")
            return f"real ({groups})" if groups else "real"
        named = {"imagenet": "ImageNet", "weights file": "weights file", "unknown": "unknown"}[self.kind]
        return f"{named} ({self.name})" if self.name else named


def described(lineage: tuple[Link, ...]) -> str:
    """The chain in one line: ``scratch (seed 0) → synthetic (seed 3) → real (a, b)``."""
    return " → ".join(map(str, lineage))


def gold_ledgers(lineage: tuple[Link, ...]) -> list[LedgerState]:
    """What a chain remembers of gold ledgers, each with the gold images it was told of."""
    return [
        replace(state, images=tuple(digest for digest in link.gold.values() if digest))
        for link in lineage
        for state in link.gold_ledgers
    ]


def weights_digest(network: nn.Module) -> str:
    """SHA-256 of a network's weights as a bundle in full precision keeps them (its ``model.safetensors``)."""
    return hashlib.sha256(weights_file(network)).hexdigest()


def weights_file(network: nn.Module, half: bool = False) -> bytes:
    """Weights and buffers as the contents of a safetensors file; floating point ones as float32, or float16."""
    import safetensors.torch

    def stored(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.detach().cpu().contiguous().clone()
        if not tensor.is_floating_point():
            return tensor
        return tensor.to(torch.float16 if half else torch.float32)

    content: bytes = safetensors.torch.save({name: stored(tensor) for name, tensor in network.state_dict().items()})
    return content


def lineage_of(network: nn.Module, card: BundleCard) -> tuple[Link, ...]:
    """The chain that a run inherits when it starts from this model: its links, the last one with its digest.

    Of bundles from before lineages were kept, as much as their card tells.
    """
    links = card.lineage or _from_old_card(card)
    return shortened((*links[:-1], links[-1].model_copy(update={"weights": weights_digest(network)})))


def shortened(links: tuple[Link, ...]) -> tuple[Link, ...]:
    """Keep a chain within what a card may hold: the origin and the newest links, and the newest lists of images."""
    if len(links) > MOST_LINKS:
        links = (links[0], *links[len(links) - MOST_LINKS + 1 :])
    kept, count = [], 0
    for link in reversed(links):
        count += len(link.train) + len(link.validation) + len(link.gold)
        empty: dict[str, Any] = {"train": {}, "validation": {}, "gold": {}}
        kept.append(link if count <= MOST_FINGERPRINTS else link.model_copy(update=empty))
    return tuple(reversed(kept))


def _from_old_card(card: BundleCard) -> tuple[Link, ...]:
    """Links of a card of version 1: the origin, the models on the way as far as they are named, and its own run."""
    chain: list[dict[str, Any]] = []
    origin: Any = card.start
    while isinstance(origin, dict) and origin.get("kind") == "model":
        chain.append({"kind": "unknown", "name": origin.get("name"), "created": origin.get("created")})
        origin = origin.get("before")
    origin = origin if isinstance(origin, dict) else {}
    name = origin.get("weights") or origin.get("file")
    chain.append({"kind": origin.get("kind", "unknown"), "name": name, "seed": origin.get("seed")})
    run = {
        # Only runs on synthetic images left no fingerprints.
        "kind": "real" if card.fingerprints else "synthetic" if card.recipe else "unknown",
        "name": card.name,
        "seed": card.recipe.get("seed"),
        "preset": card.recipe.get("preset"),
        "classes": card.classes,
        "train": card.fingerprints,
        "val_loss": card.metrics.get("val_loss"),
        "val_dice": card.metrics.get("val_dice"),
        "created": card.created,
    }
    told = [{k: v for k, v in link.items() if v is not None} for link in (*reversed(chain), run)]
    try:
        return tuple(Link.model_validate(link) for link in told)
    except ValidationError:  # a card that was written by hand
        return (Link(kind="unknown", name=card.name),)
