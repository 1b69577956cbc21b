"""What the product's loop costs beside the bare loop, what validation takes of a run, and how far ahead the loader is.

    python benchmarks/bench_loop.py [--network default] [--parts overhead]

The bare loop is what a person would write for the same recipe: forward, loss, backward, clip, optimizer step, and a
validation every epoch. Both have the same network, batches, loss and optimizer, and take turns step by step (the bare
step runs while the product's run tells of its own), so that a busy machine slows both. Seconds are the processor's, in
the thread that trains; another one makes the batches, and the last part says what of a step's time that takes.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass, field

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import numpy as np
import torch

import napari_anneal as na
from napari_anneal.augmentation import AugmentationRecipe, Augmenter
from napari_anneal.devices import autocast, pick_device
from napari_anneal.models import ArchitectureSpec, build_network
from napari_anneal.samples import Sample
from napari_anneal.training.batches import PatchSource, SyntheticPatches, batches
from napari_anneal.training.events import EpochDone, StepDone
from napari_anneal.training.losses import PaintedLoss
from napari_anneal.training.optimizers import build_optimizer
from napari_anneal.training.setup import prepare_run

NETWORKS = {
    "small": {"encoder": "resnet18", "encoder_depth": 4, "decoder_channels": (64, 32, 16, 16), "patch": 128},
    "default": {},
}
PARTS = ("overhead", "validation", "loader")
CPU = torch.device("cpu")
SHORT_EPOCH, LONG_EPOCH, WARM_UP = 8, 50, 8


class BareLoop:
    """The same steps without all that the product does around them."""

    def __init__(self, recipe: na.FineTuneRecipe, source: PatchSource) -> None:
        spec = ArchitectureSpec(
            encoder=recipe.encoder, encoder_depth=recipe.encoder_depth, decoder_channels=recipe.decoder_channels,
            n_classes=3,
        )  # fmt: skip
        self.recipe, self.device, self.loss_of, self.steps = recipe, pick_device("cpu"), PaintedLoss(), 0
        self.network = build_network(spec).to(memory_format=torch.channels_last).train()
        self.optimizer = build_optimizer(self.network, recipe.stages[0])
        self.premade = list(batches(source, None, recipe.batch_size, range(4), 0, CPU))

    def step(self) -> None:
        """Train on the next of the batches."""
        images, labels = self.premade[self.steps % len(self.premade)]
        self.steps += 1
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.device, self.recipe.precision):
            logits = self.network(images)
        loss = self.loss_of(logits, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.max_gradient)
        self.optimizer.step()
        loss.item()

    def validate(self) -> None:
        """Look at one patch."""
        images, labels = self.premade[0]
        self.network.eval()
        with torch.inference_mode(), autocast(self.device, self.recipe.precision):
            self.loss_of(self.network(images[:1]), labels[:1]).item()
        self.network.train()


@dataclass
class Turns:
    """Listens to the product's run; whatever that has done, the bare loop does next."""

    bare: BareLoop | None = None
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    since: float = 0.0

    def __call__(self, event: object) -> None:
        """Take note of the time, and give the bare loop its turn."""
        if not isinstance(event, (StepDone, EpochDone)):
            return
        now = time.thread_time()
        if isinstance(event, StepDone):
            self.ours.append(now - self.since)
            self.theirs.append(0.0)
        if self.bare is not None:
            self.bare.step() if isinstance(event, StepDone) else self.bare.validate()
        self.since = time.thread_time()
        self.theirs[-1] += self.since - now


def images(count: int, side: int = 512) -> list[Sample]:
    """Noise with labels of three classes: nobody looks at what is learned."""
    rng = np.random.default_rng(0)
    shape = (side, side)
    return [
        Sample(
            rng.integers(0, 255, shape).astype(np.uint8),
            rng.integers(1, 4, shape).astype(np.uint8),
            f"g{i}",
            name=f"{i}",
        )
        for i in range(count)
    ]


def overhead(network: str, epochs: int, **changes: object) -> float:
    """Per cent that the product takes more than the bare loop, in short epochs; one patch is validated.

    Without files: those are held to a hundredth of the time each by the clock, see ``training.keeper``.
    """
    recipe = na.FineTuneRecipe.from_preset(
        "scratch", epochs, steps_per_epoch=SHORT_EPOCH, augmentation=AugmentationRecipe.none(), patience=1000,
        validation_patches=1, device="cpu", **(NETWORKS[network] | changes),
    )  # fmt: skip
    samples = images(6)
    turns = Turns(BareLoop(recipe, prepare_run(samples, None, recipe).data.source))
    na.fine_tune(samples, None, recipe, None, None, turns)
    return 100 * (sum(turns.ours[WARM_UP:]) / sum(turns.theirs[WARM_UP:]) - 1)


def validation_share(network: str, preset: str, steps_per_epoch: int) -> float:
    """Per cent of a run that its validations take by default: what the last step of an epoch takes more than others."""
    epochs = 2 if preset == "scratch" else 3
    recipe = na.FineTuneRecipe.from_preset(
        preset, epochs, steps_per_epoch=steps_per_epoch, noise_scale_every=0, device="cpu", **NETWORKS[network]
    )
    turns = Turns()
    na.fine_tune(images(60, 512), None, recipe, None, None, turns)
    spent = np.array(turns.ours).reshape(-1, steps_per_epoch)
    # The intervals end when a step is told, so validation (done by then) falls into the last one of an epoch.
    extra = spent[:, -1] - np.median(spent[:, 1:-1], axis=1)
    return 100 * float(extra.sum() / (np.median(spent[:, 1:-1], axis=1) * steps_per_epoch + extra).sum())


def loader_share(source: PatchSource, augment: Augmenter | None, step: float, count: int = 6) -> float:
    """Time that one core takes for a batch over that of a step: below 1, a second core keeps ahead of the step."""
    for _ in batches(source, augment, 8, range(1), 0, CPU):
        pass
    began = time.process_time()
    for _ in batches(source, augment, 8, range(count), 0, CPU):
        pass
    return (time.process_time() - began) / count / step


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", choices=NETWORKS, default="small")
    parser.add_argument("--epochs", type=int, default=13, help="Of 8 steps each, for the overhead.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    given = parser.parse_args()
    name = given.network
    result: dict[str, object] = {"network": name, "threads": torch.get_num_threads()}
    if "overhead" in given.parts:
        result["overhead_percent"] = {
            "as it is": overhead(name, given.epochs),
            "without the noise scale": overhead(name, given.epochs, noise_scale_every=0),
        }
    if "validation" in given.parts:
        result["validation_percent"] = {
            f"{preset}, epochs of {steps} steps": validation_share(name, preset, steps)
            for preset, steps in (
                ("scratch", SHORT_EPOCH), ("canonical", SHORT_EPOCH), ("feature_extraction", SHORT_EPOCH),
                ("scratch", LONG_EPOCH),
            )
        }  # fmt: skip
    if "loader" in given.parts:
        result |= loader(name)
    print(json.dumps(_rounded(result)))


def loader(network: str) -> dict[str, object]:
    """Milliseconds of a step, and what a batch takes of that."""
    recipe = na.FineTuneRecipe.from_preset("scratch", device="cpu", **NETWORKS[network])
    painted = prepare_run(images(6), None, recipe).data.source
    bare, times = BareLoop(recipe, painted), []
    for _ in range(6):
        began = time.thread_time()
        bare.step()
        times.append(time.thread_time() - began)
    step, shape = float(np.median(times)), (recipe.patch, recipe.patch)
    shares = {
        "painted images, augmented": loader_share(painted, Augmenter(), step),
        **{
            f"synthetic {kind}": loader_share(
                SyntheticPatches(na.SyntheticStream(na.RecipeRanges(shape=shape, kind=kind))), Augmenter(), step
            )
            for kind in ("grains", "objects")
        },
    }
    return {"step_ms": 1e3 * step, "loader_to_step": shares}


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return round(value, 3) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
