"""Does uncertainty find the errors? AUROC of error detection by pixel, and what each estimator costs.

    python benchmarks/bench_uncertainty.py --data ../shared/data --out uncertainty.jsonl

The shipped model fine-tuned on three images, in three seeds, is tested on images of unseen specimens; the shipped model
itself on synthetic grains it has not seen. AUROC: the chance that a wrong pixel is more uncertain than a right one, by
image, then averaged. Dropout: eight passes, a tenth of the maps after every decoder block put to zero; these networks
were trained without, so it stands for the method as it can be had afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import numpy as np
import torch
from bench_rank import TRAINING, cropped
from bench_transfer import NETWORK, SHARED, TASKS, read
from sklearn.metrics import roc_auc_score

import napari_anneal as na
from napari_anneal.inference.segmentation import normalised_entropy
from napari_anneal.samples import Sample
from napari_anneal.validation import Fold, SplitPlan, SplitReport

SYNTHETIC = "synthetic grains"
SEEDS, TRAINED_ON, TESTED, PASSES, DROPPED = 3, 3, 3, 8, 0.1
# Every third pixel along either axis: neighbours say the same.
STEP = 3


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--materials", nargs="+", default=[SYNTHETIC, "γ′", "precipitates"])
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    lines = []
    for name in given.materials:
        for fold in range(1 if name == SYNTHETIC else given.folds):
            models, tested = synthetic() if name == SYNTHETIC else trained(name, given.data, fold)
            for sample in tested:
                line = {"material": name, "fold": fold, "image": sample.name} | measured(models, sample)
                lines.append(line)
                print(line, flush=True)
                if given.out is not None:
                    with given.out.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(line, ensure_ascii=False) + "\n")
    print(table(lines))


def synthetic() -> tuple[list[na.Model], list[Sample]]:
    """The shipped model, and grains drawn from wide ranges with another seed than it was trained with."""
    stream = na.SyntheticStream(na.RecipeRanges(shape=(256, 256)), seed=987_654)
    pairs = [stream[i] for i in range(2 * TESTED)]
    return [na.load_model("voronoi")], [
        Sample(np.asarray(p.image), np.asarray(p.labels).astype(np.uint8), name=f"synthetic {i}")
        for i, p in enumerate(pairs)
    ]


def trained(name: str, data: Path, fold: int) -> tuple[list[na.Model], list[Sample]]:
    """Three seeds fine-tuned on the same images, and images of other specimens."""
    samples = read(name, data / TASKS[name].folder)
    split = na.group_split(samples, folds=3, seed=0).folds[fold]
    inside = [int(i) for i in np.random.default_rng([fold, 3]).permutation(split.train)]
    judge, rest = inside[0], [i for i in inside if samples[i].group != samples[inside[0]].group]
    used = [cropped(samples[i]) for i in (*rest[:TRAINED_ON], judge)]
    plan = SplitPlan((Fold(tuple(range(TRAINED_ON)), (TRAINED_ON,)),), (), SplitReport((), (), (), (), ()))
    models = []
    for seed in range(SEEDS):
        recipe = na.FineTuneRecipe.from_preset(
            "canonical", classes=TASKS[name].classes, seed=seed, **TRAINING, **NETWORK
        )
        models.append(na.fine_tune(used, plan, recipe, "voronoi").model)
    return models, [cropped(samples[int(i)]) for i in split.val[:TESTED]]


def measured(models: list[na.Model], sample: Sample) -> dict:
    """AUROC and seconds of every estimator on one image."""
    first, truth = models[0], np.asarray(sample.labels)
    seen = (slice(None, None, STEP), slice(None, None, STEP))
    found: dict[str, dict[str, float]] = {}

    def note(name: str, probabilities: np.ndarray, unsure: np.ndarray, seconds: float) -> None:
        painted = truth[seen] > 0
        wrong = (probabilities.argmax(axis=0)[seen] + 1 != truth[seen])[painted]
        area = roc_auc_score(wrong, unsure[seen][painted]) if 0 < wrong.sum() < wrong.size else np.nan
        found[name] = {"auroc": round(float(area), 4), "wrong": round(float(wrong.mean()), 4), "seconds": seconds}

    def look(name: str, model: na.Model, estimator: str) -> None:
        began = time.process_time()
        ((_, u),) = na.estimate_uncertainty(model, sample.image, estimator)
        seconds = time.process_time() - began
        note(name, u.probabilities, u.entropy, seconds)
        if u.looks > 1:
            note(f"{name}, mutual information", u.probabilities, u.mutual_information, seconds)

    first.segment(sample.image[:64, :64])  # what is measured once is not counted
    look("entropy of one look", first, "entropy")
    look("flips and turns", first, "tta")
    with dropping(first):
        began, total = time.process_time(), 0
        for k in range(PASSES):
            torch.manual_seed(k)
            total = total + first.segment(sample.image).probabilities
        mean = np.asarray(total / PASSES, dtype=np.float32)
        note("dropout, 8 passes", mean, normalised_entropy(mean), time.process_time() - began)
    if len(models) > 1:
        look("ensemble of 3 seeds", na.ensemble(models), "ensemble")
    return found


@contextmanager
def dropping(model: na.Model) -> Iterator[None]:
    """Dropout after every block of the decoder, as long as this holds."""
    hooks = [
        block.register_forward_hook(lambda module, given, maps: torch.nn.functional.dropout2d(maps, DROPPED, True))
        for block in model.network.decoder.blocks
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def table(lines: list[dict]) -> str:
    """Markdown: mean AUROC over images, and time over that of one look."""
    materials = list(dict.fromkeys(line["material"] for line in lines))
    names = list(dict.fromkeys(key for line in lines for key, value in line.items() if isinstance(value, dict)))
    texts = [f"| estimator | {' | '.join(materials)} | time |", f"|---|{'---|' * (len(materials) + 1)}"]
    for name in names:
        cells = []
        for material in materials:
            areas = [x[name]["auroc"] for x in lines if x["material"] == material and name in x]
            cells.append(f"{np.nanmean(areas):.3f}" if areas else "")
        ratio = np.median([x[name]["seconds"] / x["entropy of one look"]["seconds"] for x in lines if name in x])
        texts.append(f"| {name} | {' | '.join(cells)} | {ratio:.1f} |")
    return "\n".join(texts)


if __name__ == "__main__":
    main()
