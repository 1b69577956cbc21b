"""How long copies among 1,000 images take to find, and how many are found: ``python benchmarks/bench_leakage.py``.

Planted: every kind of copy of synthetic micrographs and, with ``--images FOLDER``, of crops of real ones. Everything
else that is reported counts as a false alarm, so a folder must not hold overlapping pictures itself.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from napari_anneal import MicrostructureRecipe, Sample, synthesize
from napari_anneal.samples import read_image
from napari_anneal.validation.leakage import find_copies
from napari_anneal.validation.leakage.symmetry import transform

KINDS = ("symmetric", "grey", "inverted", "noisy", "overlap", "overlap, turned, noisy")


def planted(image, kind, rng, side):
    """Two windows of an image, or one and a changed version of it."""
    spread = float(image.std())
    y, x = (int(rng.integers(0, n - side + 1)) for n in image.shape)
    window = image[y : y + side, x : x + side]
    if kind == "symmetric":
        return window, transform(window, int(rng.integers(1, 8)))
    if kind == "grey":
        low, high = window.min(), window.max()
        return window, 40 + 150 * ((window - low) / (high - low)) ** float(rng.choice([0.5, 0.7, 1.5, 2.0]))
    if kind == "inverted":
        return window, window.max() - window
    if kind == "noisy":
        return window, window + rng.normal(0, 0.5 * spread, window.shape)
    while True:  # between a half and three quarters of the area in common
        dy, dx = rng.uniform(0, 0.5, 2)
        if 0.5 <= (1 - dy) * (1 - dx) <= 0.75:
            break
    dy, dx = int(dy * side), int(dx * side)
    y, x = (int(rng.integers(0, n - side - d + 1)) for n, d in zip(image.shape, (dy, dx), strict=True))
    first, second = image[y : y + side, x : x + side], image[y + dy : y + dy + side, x + dx : x + dx + side]
    if "noisy" in kind:
        second = transform(second, int(rng.integers(1, 8)))
        second = second + rng.normal(0, 0.5 * spread, second.shape)
    return first, second


def sources(folder, count, side, rng):
    """Images of 1.5 times the side at least: real ones first, then synthetic ones of one recipe."""
    big = int(1.5 * side)
    found = []
    for path in sorted(folder.iterdir()) if folder else ():
        image, axes, _ = read_image(path)
        grey = np.asarray(image, np.float32).mean(axis=-1) if axes.endswith("C") else np.asarray(image, np.float32)
        if min(grey.shape) >= big:
            found.append(grey)
    recipe = MicrostructureRecipe(shape=(big, big), n_seeds=int(rng.integers(200, 400)))
    return (found + [255 * synthesize(recipe, seed=n).image for n in range(max(0, count - len(found)))])[:count]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--side", type=int, default=512)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    per_kind = options.count // 20
    pictures = sources(options.images, options.count - per_kind * len(KINDS), options.side, rng)
    samples, truth = [], {}
    for number, picture in enumerate(pictures):
        kind = KINDS[number // per_kind] if number < per_kind * len(KINDS) else None
        pair = planted(picture, kind, rng, options.side) if kind else (picture[: options.side, : options.side],)
        if kind:
            truth[len(samples), len(samples) + 1] = kind
        samples += [Sample(np.ascontiguousarray(part, dtype=np.float32), axes="YX") for part in pair]
    begin = time.perf_counter(), time.process_time()
    copies = find_copies(samples)
    wall, cpu = time.perf_counter() - begin[0], time.process_time() - begin[1]
    found = {(copy.first, copy.second) for copy in copies}
    print(f"{len(samples)} images of {options.side}²: {wall:.1f} s ({cpu:.1f} s of one core)")
    for kind in KINDS:
        pairs = [pair for pair, what in truth.items() if what == kind]
        print(f"  {kind:<24}{sum(pair in found for pair in pairs)} of {len(pairs)} found")
    print(f"  false alarms: {len(found - set(truth))} of {len(samples) * (len(samples) - 1) // 2 - len(truth)} pairs")


if __name__ == "__main__":
    main()
