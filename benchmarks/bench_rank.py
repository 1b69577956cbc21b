"""Is it worth being told what to label next? A simulated labelling loop, ranking against random choice.

    python benchmarks/bench_rank.py runs/rank --data ../shared/data          # run (or go on), then print the tables
    python benchmarks/bench_rank.py runs/rank --table                        # print what there is

One tile of a pool is labelled; each round two more are chosen by a method and labelled (the hand-made labels are
uncovered), and the shipped model is fine-tuned anew on all of them. Everything but the choice is the same for all
methods of a repeat: pool, first tile, validation image, test images (of specimens that are not in the pool), seed,
steps. *Foreground-aware random* knows the true labels: a class is drawn, each alike, and then a tile in proportion to
that class's pixels in it. Finished loops are lines of ``loops.jsonl``: stop it at any moment.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import numpy as np
from bench_transfer import NETWORK, SHARED, TASKS, read
from scipy import stats

import napari_anneal as na
from napari_anneal.inference.candidates import Box, boxes_of
from napari_anneal.samples import Sample
from napari_anneal.validation import Fold, SplitPlan, SplitReport

SIDE, TILE, POOL, TESTED = 384, 128, 6, 4
ROUNDS, A_ROUND = 3, 2
TRAINING = {
    "epochs": 10, "steps_per_epoch": 8, "batch_size": 4, "patch": 64, "patience": 1000, "validation_patches": 4,
    "noise_scale_every": 0,
}  # fmt: skip
SYNTHETIC = "synthetic"
RANDOM, AWARE = "random", "foreground-aware random"
PLAIN = "plain entropy"
METHODS: dict[str, na.RankRecipe | None] = {
    AWARE: None,
    RANDOM: None,
    PLAIN: na.RankRecipe(estimator="entropy", measure="entropy", elsewhere=1, diversity=0, balance=0),
    "rank": na.RankRecipe(),
    "rank, mutual information": na.RankRecipe(measure="mutual_information"),
    "rank, entropy": na.RankRecipe(measure="entropy"),
}
Tile = tuple[int, Box]  # image of the pool, and where in it


def main() -> None:
    """Run what has not been run, then print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path, help="Folder of the results; an old one is gone on with.")
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--materials", nargs="+", default=["γ′", "precipitates"], choices=[*TASKS, SYNTHETIC])
    parser.add_argument("--methods", nargs="+", default=list(METHODS)[:4], choices=METHODS)
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--minutes", type=float, default=60, help="No loop begins after this long.")
    parser.add_argument("--table", action="store_true", help="Only print the tables of the loops there are.")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if not given.table:
        for line in measure(given):
            with (given.out / "loops.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            print(
                line["material"], line["repeat"], line["method"], line["dice"], f"{line['seconds']:.0f} s", flush=True
            )
    print(tables(finished(given.out)))


def measure(given: argparse.Namespace) -> Iterator[dict]:
    """Yield one line a loop, all methods of one repeat before the next repeat."""
    began, done = time.monotonic(), {key(line) for line in finished(given.out)}
    samples = {name: material(name, given.data) for name in given.materials}
    for repeat in range(given.repeats):
        for name, these in samples.items():
            left = [m for m in given.methods if (name, repeat, m) not in done]
            if not left:
                continue
            loop = Loop(name, these, repeat)
            for method in left:
                if time.monotonic() - began > 60 * given.minutes:
                    return
                yield loop.run(method)


class Loop:
    """One repeat on one material: what all methods have in common."""

    def __init__(self, name: str, samples: list[Sample], repeat: int) -> None:
        self.name, self.repeat = name, repeat
        self.classes = ("matrix", "object") if name == SYNTHETIC else TASKS[name].classes
        fold = na.group_split(samples, folds=3, seed=0).folds[repeat % 3]
        rng = np.random.default_rng([repeat, 11])
        inside = [int(i) for i in rng.permutation(fold.train)]
        self.judge = cropped(samples[inside[-1]])
        rest = [i for i in inside if samples[i].group != samples[inside[-1]].group]
        self.pool = [cropped(samples[i]) for i in rest[:POOL]]
        self.tested = [cropped(samples[int(i)]) for i in rng.permutation(fold.val)[:TESTED]]
        self.tiles: list[Tile] = [
            (i, box) for i, s in enumerate(self.pool) for box in boxes_of(s.spatial_shape[-2:], TILE)
        ]
        self.first = [aware(self, rng, [])]
        self.start, self.score = self.learn(self.first)

    def learn(self, labelled: list[Tile]) -> tuple[na.Model, list[float]]:
        """Fine-tune the shipped model on these tiles; the model, and its Dice of every class on the test images."""
        painted = self.painted(labelled)
        train = [sample for sample in painted if sample.labels.any()]
        names = [sample.name for sample in (*train, self.judge)]
        plan = SplitPlan(
            (Fold(tuple(range(len(train))), (len(train),)),), (), SplitReport((), (), tuple(names), (), ())
        )
        recipe = na.FineTuneRecipe.from_preset(
            "canonical", classes=self.classes, seed=self.repeat, **TRAINING, **NETWORK
        )
        model = na.fine_tune([*train, self.judge], plan, recipe, "voronoi").model
        report = na.evaluate(model, self.tested)
        return model, [round(float(value), 4) for value in report.mean("dice")]

    def painted(self, labelled: list[Tile]) -> list[Sample]:
        """The pool, painted on these tiles only."""
        found = []
        for i, sample in enumerate(self.pool):
            labels = np.zeros_like(sample.labels)
            for _, (y0, x0, y1, x1) in [tile for tile in labelled if tile[0] == i]:
                labels[y0:y1, x0:x1] = sample.labels[y0:y1, x0:x1]
            found.append(replace(sample, labels=labels))
        return found

    def run(self, method: str) -> dict:
        """All rounds of one method."""
        began, recipe = time.monotonic(), METHODS[method]
        rng = np.random.default_rng([self.repeat, 13])
        labelled, model, scores = list(self.first), self.start, [self.score]
        for _ in range(ROUNDS):
            if recipe is None:
                draw = aware if method == AWARE else uniform
                for _ in range(A_ROUND):
                    labelled.append(draw(self, rng, labelled))
            else:
                asked = recipe.model_copy(update={"top": A_ROUND, "tile": TILE})
                order = na.rank(model, self.painted(labelled), asked)
                names = [sample.name for sample in self.pool]
                labelled += [(names.index(place.name), place.box) for place in order]
            model, score = self.learn(labelled)
            scores.append(score)
        return {
            "material": self.name,
            "repeat": self.repeat,
            "method": method,
            "dice": [round(float(np.mean(score)), 4) for score in scores],
            "of_classes": scores,
            "labelled": [[self.pool[i].name, list(box)] for i, box in labelled],
            "seconds": round(time.monotonic() - began, 1),
        }


def aware(loop: Loop, rng: np.random.Generator, taken: list[Tile]) -> Tile:
    """Draw a class, each alike, and then a tile in proportion to its pixels of that class."""
    open_ = [tile for tile in loop.tiles if tile not in taken]
    counts = np.array([
        np.bincount(loop.pool[i].labels[y0:y1, x0:x1].ravel(), minlength=len(loop.classes) + 1)[1:]
        for i, (y0, x0, y1, x1) in open_
    ], dtype=float)  # fmt: skip
    there = np.flatnonzero(counts.sum(axis=0))
    share = counts[:, rng.choice(there)]
    return open_[int(rng.choice(len(open_), p=share / share.sum()))]


def uniform(loop: Loop, rng: np.random.Generator, taken: list[Tile]) -> Tile:
    """Draw any tile."""
    open_ = [tile for tile in loop.tiles if tile not in taken]
    return open_[int(rng.integers(len(open_)))]


def material(name: str, data: Path) -> list[Sample]:
    """Read a data set, or make synthetic objects."""
    if name != SYNTHETIC:
        return read(name, data / TASKS[name].folder)
    ranges = na.RecipeRanges(
        shape=(SIDE, SIDE), kind="objects", objects={"form": ("precipitates", "particles"), "diameter": (8, 40)}
    )
    stream = na.SyntheticStream(ranges, seed=5)
    pairs = [stream[i] for i in range(15)]
    return [
        Sample(np.asarray(p.image), np.asarray(p.labels).astype(np.uint8), f"specimen {i}", name=f"synthetic {i}")
        for i, p in enumerate(pairs)
    ]


def cropped(sample: Sample) -> Sample:
    """The middle of an image, so that all count alike."""
    cut = tuple(slice(max(0, (n - SIDE) // 2), max(0, (n - SIDE) // 2) + SIDE) for n in sample.spatial_shape)
    return replace(sample, image=sample.image[cut], labels=np.asarray(sample.labels)[cut])


def finished(out: Path) -> list[dict]:
    """Return the lines of all loops that were finished."""
    path = out / "loops.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def key(line: dict) -> tuple:
    """Return what tells a loop from the others."""
    return line["material"], line["repeat"], line["method"]


def tables(lines: list[dict]) -> str:
    """Markdown: mean Dice × 100 after every round, over repeats that all methods have; differences are paired."""
    texts = []
    for name in dict.fromkeys(line["material"] for line in lines):
        mine: dict[str, dict[int, np.ndarray]] = {}
        for line in lines:
            if line["material"] == name:
                mine.setdefault(line["method"], {})[line["repeat"]] = 100 * np.array(line["dice"])
        common = sorted(set.intersection(*(set(found) for found in mine.values())))
        counts = [1 + A_ROUND * r for r in range(ROUNDS + 1)]
        texts.append(f"\n**{name}**, {len(common)} repeats\n")
        texts.append(f"| choice | {' | '.join(f'{n} tiles' for n in counts)} | mean of rounds − {AWARE} |")
        texts.append(f"|---|{'---|' * (len(counts) + 1)}")
        base = np.array([mine[AWARE][r][1:].mean() for r in common]) if AWARE in mine else None
        for method, found in mine.items():
            curves = np.array([found[r] for r in common])
            cells = [f"{m:.1f} ± {s:.1f}" for m, s in zip(curves.mean(0), curves.std(0, ddof=1), strict=True)]
            gain = "" if base is None or method == AWARE else difference(curves[:, 1:].mean(axis=1) - base)
            texts.append(f"| {method} | {' | '.join(cells)} | {gain} |")
    return "\n".join(texts)


def difference(gains: np.ndarray) -> str:
    """Mean paired difference with its 95 % interval (t)."""
    half = stats.t.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else np.nan
    return f"{gains.mean():+.1f} (95 %: {gains.mean() - half:+.1f} … {gains.mean() + half:+.1f})"


if __name__ == "__main__":
    main()
