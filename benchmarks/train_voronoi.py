"""Train the shipped ``voronoi`` model: grain boundaries learned from synthetic microstructures alone.

    python benchmarks/train_voronoi.py runs/voronoi --epochs 40

The recipe, seeds, versions, machine and hours are in the bundle's card.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path

import napari_anneal as na
from napari_anneal.augmentation import AugmentationRecipe
from napari_anneal.models import save_bundle
from napari_anneal.training.events import EpochDone


def main() -> None:
    """Train, then write the float16 bundle beside the run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--patch", type=int, default=192)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()

    recipe = na.FineTuneRecipe.from_preset(
        "scratch",
        epochs=given.epochs,
        steps_per_epoch=given.steps,
        encoder="resnet18",
        encoder_depth=4,
        decoder_channels=(64, 32, 16, 16),
        batch_size=given.batch,
        patch=given.patch,
        patience=1000,
        augmentation=AugmentationRecipe.none(),
        seed=given.seed,
    )
    began = time.time()

    def report(event: object) -> None:
        if isinstance(event, EpochDone):
            dice = ", ".join(f"{d:.3f}" for d in event.val_dice)
            print(f"epoch {event.epoch}: loss {event.val_loss:.4f}, Dice {dice}, {event.seconds:.0f} s", flush=True)

    stream = na.SyntheticStream(na.RecipeRanges(shape=(given.patch, given.patch)), seed=given.seed)
    run = na.fine_tune(stream, recipe=recipe, out=given.out, on_event=report)
    hours = (time.time() - began) / 3600
    card = run.model.card.model_copy(
        update={
            "name": "voronoi",
            "description": "Grain boundaries, learned from synthetic microstructures alone (no real image).",
            "start": run.model.card.start
            | {"hours": round(hours, 2), "machine": f"{os.cpu_count()} cores, {platform.machine()}"},
        }
    )
    save_bundle(run.model.network, card, given.out / "voronoi", half=True)
    print(f"{hours:.2f} h; bundle in {given.out / 'voronoi'}")


if __name__ == "__main__":
    main()
