"""Does transfer help? The same network from scratch and from synthetic data alone, with 1, 3 and 10 real images.

    python benchmarks/bench_transfer.py runs/transfer --data ../shared/data     # run (or go on), then print the tables
    python benchmarks/bench_transfer.py runs/transfer --table                   # print what there is

Every run of one comparison has the same training images, validation image, seed, number of steps and patches; only
start and preset differ. Tested on images of groups (specimens, spots, micrographs) that are neither trained nor
validated on. Repeat r takes fold r mod 3 and seed r. Finished runs are lines of ``runs.jsonl``: stop it at any moment.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import imageio.v3 as iio
import numpy as np
from scipy import ndimage
from skimage.segmentation import find_boundaries

import napari_anneal as na
from napari_anneal.augmentation import AugmentationRecipe
from napari_anneal.samples import Sample
from napari_anneal.validation import Fold, SplitPlan

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
METHODS = {  # name: (start is the source model?, preset)
    "scratch": (False, "scratch"),
    "feature extraction": (True, "feature_extraction"),
    "canonical": (True, "canonical"),
    "linear probe": (True, "linear_probe"),
    "full": (True, "full"),
}
UNTOUCHED = "source as it is"
# The length that the product gives a few images by default: 30 epochs of 8 steps. Nothing ends early.
EPOCHS, STEPS_PER_EPOCH, BATCH, PATCH = 30, 8, 8, 128
FOLDS = 3
GRAIN_PX = 32
# Two micrographs of this data set show the same place: more than half of image 10 is image 08.
ONE_FIELD = {"Cr-5-5-10Fe-H1400-20h-A800-240h-80k-10": "Cr-5-5-10Fe-H1400-20h-A800-240h-80k-9"}
NETWORK = {"encoder": "resnet18", "encoder_depth": 4, "decoder_channels": (64, 32, 16, 16)}


@dataclass(frozen=True)
class Task:
    """A data set: where it lies, its classes, the source model, and with how many training images it is tried."""

    folder: str
    classes: tuple[str, ...]
    source: str
    images: tuple[int, ...]


TASKS = {
    "grains": Task("grains_petro_ceramic", ("grain", "boundary"), "voronoi", (1, 3, 5)),
    "γ′": Task("nasa_super", ("matrix", "fine γ′", "coarse γ′"), "objects", (1, 3, 10)),
    "precipitates": Task("dt_segnet_cr_superalloy", ("matrix", "precipitate"), "objects", (1, 3, 10)),
}


def main() -> None:
    """Run what has not been run, then print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path, help="Folder of the runs; an old one is gone on with.")
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--methods", nargs="+", default=list(METHODS)[:3], choices=METHODS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--source-steps", type=int, default=1000)
    parser.add_argument("--table", action="store_true", help="Only print the tables of the runs there are.")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if not given.table:
        for line in measure(given):
            with (given.out / "runs.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
    print(tables(finished(given.out)))


def measure(given: argparse.Namespace) -> Iterator[dict]:
    """Yield one line a run, all methods and numbers of images of one repeat before the next repeat."""
    done = {key(line) for line in finished(given.out)}
    samples = {}
    for name in given.tasks:
        folder = given.data / TASKS[name].folder
        if folder.is_dir():
            samples[name] = read(name, folder)
        else:
            print(f"skipped {name}: there is no folder {folder}", flush=True)
    for repeat in range(given.repeats):
        for name, these in samples.items():
            line = {"task": name, "images": 0, "method": UNTOUCHED, "repeat": repeat}
            start = source(TASKS[name].source, given)
            if key(line) not in done and start.classes == TASKS[name].classes:
                yield line | scores(start, [these[i] for i in split(these, 1, repeat).gold])
            for count in TASKS[name].images:
                for method in given.methods:
                    line = {"task": name, "images": count, "method": method, "repeat": repeat}
                    if key(line) not in done:
                        line |= one_run(TASKS[name], these, count, method, repeat, given)
                        print(line, flush=True)
                        yield line


def one_run(task: Task, samples: list[Sample], count: int, method: str, repeat: int, given: argparse.Namespace) -> dict:
    """Train one network and score it on the images of unseen groups."""
    plan = split(samples, count, repeat)
    from_source, preset = METHODS[method]
    recipe = na.FineTuneRecipe.from_preset(
        preset, epochs=EPOCHS, steps_per_epoch=STEPS_PER_EPOCH, batch_size=BATCH, patch=PATCH, patience=1000,
        validation_patches=16, classes=task.classes, seed=repeat, **NETWORK,
    )  # fmt: skip
    began = time.monotonic()
    run = na.fine_tune(samples, plan, recipe, source(task.source, given) if from_source else None)
    seconds = time.monotonic() - began
    return scores(run.model, [samples[i] for i in plan.gold]) | {
        "val_dice": [round(run.best[f"val_dice_{k}"], 4) for k in range(1, len(task.classes) + 1)],
        "best_epoch": run.best["epoch"],
        "train": [samples[i].name for i in plan.folds[0].train],
        "test": [samples[i].name for i in plan.gold],
        "seconds": round(seconds, 1),
    }


def scores(model: na.Model, samples: list[Sample]) -> dict:
    """Dice and IoU of every class, mean over images."""
    report = na.evaluate(model, samples)
    return {metric: [round(float(value), 4) for value in report.mean(metric)] for metric in ("dice", "iou")}


def split(samples: list[Sample], count: int, repeat: int) -> SplitPlan:
    """Test on one fold of the groups, validate on one image of another group, train on ``count`` of all the rest.

    Fewer training images are a part of more, and the order depends on the repeat alone.
    """
    plan = na.group_split(samples, folds=FOLDS, seed=0)
    fold = plan.folds[repeat % FOLDS]
    rng = np.random.default_rng([repeat, 7])
    order = [int(i) for i in rng.permutation(fold.train)]
    # Of a small group: a large one would leave too few to train on.
    sizes = {i: sum(samples[j].group == samples[i].group for j in fold.train) for i in order}
    judge = min(order, key=lambda i: sizes[i])
    train = [i for i in order if samples[i].group != samples[judge].group][:count]
    if len(train) < count:
        raise SystemExit(f"only {len(train)} images are left to train on, not {count}")
    return replace(plan, folds=(Fold(tuple(train), (judge,)),), gold=fold.val)


def source(name: str, given: argparse.Namespace) -> na.Model:
    """Return the start: the shipped model, or that model trained on with synthetic objects (kept in the folder)."""
    if name == "voronoi":
        return na.load_model(name)
    folder = given.out / "source"
    if not (folder / "model").is_dir():
        # All layers at one rate: the preset of fresh weights, on weights that have seen synthetic grains.
        recipe = na.FineTuneRecipe.from_preset(
            "scratch", epochs=given.source_steps // 50, steps_per_epoch=50, batch_size=BATCH, patch=PATCH,
            patience=1000, classes=("matrix", "object"), augmentation=AugmentationRecipe.none(), **NETWORK,
        )  # fmt: skip
        forms = ("precipitates", "cuboids", "particles", "pores")
        ranges = na.RecipeRanges(shape=(PATCH, PATCH), kind="objects", objects={"form": forms, "diameter": (6, 60)})
        print(f"training the source on {given.source_steps} steps of synthetic objects", flush=True)
        run = na.fine_tune(na.SyntheticStream(ranges, seed=0), None, recipe, "voronoi", folder)
        print(f"source: {run.best} in {run.seconds:.0f} s", flush=True)
    return na.load_model(folder / "model")


def read(name: str, folder: Path) -> list[Sample]:
    """Read a data set as grey images with labels 1…K, 0 where nobody knows."""
    with (folder / "groups.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    samples = []
    for row in rows:
        image = grey(iio.imread(next((folder / "images").glob(f"{row['image']}.*"))))
        mask = iio.imread(next((folder / "masks").glob(f"{row['image']}.*")))
        group = row.get("group") or row["parent_micrograph_group"]
        group = ONE_FIELD.get(group, group)
        image, labels = as_grains(image, mask) if name == "grains" else as_phases(image, mask)
        samples.append(Sample(image, labels, group, name=row["image"]))
    return samples


def as_grains(image: np.ndarray, instances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label 1 inside grains and 2 within 1.5 px of their outlines, at a scale where the mean grain is 32 px or less.

    Between the outlined grains nothing is known (glass, matrix, or grains nobody outlined), so it is not painted.
    """
    areas = np.bincount(instances.ravel())[1:]
    diameter = np.sqrt(4 / np.pi * areas[areas > 0].mean())
    factor = max(1, round(diameter / GRAIN_PX))
    image, instances = reduced(image, factor), instances[factor // 2 :: factor, factor // 2 :: factor]
    instances = instances[: image.shape[0], : image.shape[1]].astype(np.int32)
    outline = ndimage.binary_dilation(find_boundaries(instances, mode="inner"), np.ones((3, 3)))
    return image, np.where(outline, 2, instances > 0).astype(np.uint8)


def as_phases(image: np.ndarray, phases: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Phases 0, 1, … as labels 1, 2, …; pictures beyond 800 px halved."""
    factor = 2 if max(image.shape) > 800 else 1
    image, phases = reduced(image, factor), phases[factor // 2 :: factor, factor // 2 :: factor]
    return image, (phases[: image.shape[0], : image.shape[1]] + 1).astype(np.uint8)


def grey(picture: np.ndarray) -> np.ndarray:
    """Grey levels of a picture ``(Y, X)``, ``(Y, X, 3)`` or ``(Y, X, 4)``; alpha does not count."""
    return picture.astype(np.float32) if picture.ndim == 2 else picture[..., :3].astype(np.float32).mean(axis=2)


def reduced(image: np.ndarray, factor: int) -> np.ndarray:
    """Means of blocks of ``factor`` × ``factor`` pixels."""
    height, width = (n // factor for n in image.shape)
    blocks = image[: height * factor, : width * factor].reshape(height, factor, width, factor)
    return blocks.mean(axis=(1, 3)).astype(np.float32)


def finished(out: Path) -> list[dict]:
    """Return the lines of all runs that were finished."""
    path = out / "runs.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def key(line: dict) -> tuple:
    """Return what tells a run from the others."""
    return line["task"], line["images"], line["method"], line["repeat"]


def tables(lines: list[dict]) -> str:
    """Markdown: one table a task, mean ± standard deviation over repeats of the mean Dice over classes, in points."""
    texts = []
    for task in TASKS:
        mine = [line for line in lines if line["task"] == task]
        methods = [m for m in METHODS if any(line["method"] == m for line in mine)]
        if not mine:
            continue
        texts.append(f"\n**{task}**: Dice × 100, mean over {', '.join(TASKS[task].classes)}\n")
        heads = methods + [f"{m} − scratch" for m in methods if m != "scratch"]
        texts += [f"| training images | runs | {' | '.join(heads)} |", f"|---|---|{'---|' * len(heads)}"]
        for count in TASKS[task].images:
            found = {m: {x["repeat"]: x for x in mine if x["images"] == count and x["method"] == m} for m in methods}
            common = sorted(set.intersection(*(set(f) for f in found.values())))
            score = {m: np.array([100 * np.mean(found[m][r]["dice"]) for r in common]) for m in methods}
            cells = [spread(score[m]) for m in methods]
            cells += [spread(score[m] - score["scratch"], sign="+") for m in methods if m != "scratch"]
            texts.append(f"| {count} | {len(common)} | {' | '.join(cells)} |")
        untouched = np.array([100 * np.mean(line["dice"]) for line in mine if line["method"] == UNTOUCHED])
        if len(untouched):
            texts.append(f"\nThe source as it is, without fine-tuning: {spread(untouched)} ({len(untouched)} folds)")
    return "\n".join(texts)


def spread(values: np.ndarray, sign: str = "") -> str:
    """Mean ± standard deviation (n − 1)."""
    if len(values) < 2:
        return f"{values.mean():{sign}.1f}" if len(values) else "not run"
    return f"{values.mean():{sign}.1f} ± {values.std(ddof=1):.1f}"


if __name__ == "__main__":
    main()
