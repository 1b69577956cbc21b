"""How well grains are told apart in real predictions: ours against plain components and scikit-image's watershed.

Run ``python benchmarks/bench_instance_quality.py FOLDER``, where FOLDER has images/ and masks/ with a number a grain, 0
where nothing is painted. The shipped ``voronoi`` model, trained on synthetic images only, predicts boundaries; every
method gets the same probabilities. Figures are over the painted pixels of the middle 1024²; three synthetic
images (rungs 3, 4, 5), where the truth is whole, come after. No setting was tuned to single images; the defaults of
`InstanceRecipe` were chosen on the mean over these images, so they are a little flattered.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

import napari_anneal as na
from napari_anneal.inference.segmentation import class_to_divide
from napari_anneal.samples.reading import read_image
from napari_anneal.synthesis.statistics.closing import close_cells
from napari_anneal.validation import compare_partitions, match_objects

SIDE = 1024


def plain_components(probability):
    """Regions below one half, and boundary pixels to the nearest."""
    labels = ndimage.label(probability < 0.5)[0]
    nearest = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    return labels[tuple(nearest)]


def watershed_on_distance(probability):
    """As in scikit-image's gallery: peaks of the distance at least 10 px apart, flooded."""
    distance = ndimage.distance_transform_edt(probability < 0.5)
    peaks = peak_local_max(distance, min_distance=10, exclude_border=False, labels=probability < 0.5)
    seeds = np.zeros(probability.shape, int)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return watershed(-distance, seeds)


METHODS = {
    "components": plain_components,
    "watershed": watershed_on_distance,
    "close_cells": lambda p: close_cells(p).grains,
    "ours": lambda p: na.find_instances(p).labels,
}


def middle(array):
    return array[tuple(slice(max(n - SIDE, 0) // 2, max(n - SIDE, 0) // 2 + SIDE) for n in array.shape)]


def fields(folder):
    """Name, probabilities of the boundary, numbers of true grains."""
    model = na.load_model("voronoi")
    k = class_to_divide(model.classes, "boundaries")
    for file in sorted((folder / "images").iterdir()):
        image = np.asarray(read_image(file)[0])
        grey = middle(image if image.ndim == 2 else image.mean(axis=-1))
        truth = middle(np.asarray(read_image(folder / "masks" / f"{file.stem}.tif", as_labels=True)[0]))
        yield file.stem, model.segment(grey.astype(np.float32)).probabilities[k], truth.astype(int)
    for seeds, rung in ((200, 3), (500, 4), (200, 5)):
        recipe = na.MicrostructureRecipe(shape=(512, 512), n_seeds=seeds, appearance=na.Appearance(rung=rung))
        made = na.synthesize(recipe, seed=10 + rung)
        yield f"synthetic, rung {rung}", model.segment(made.image).probabilities[k], made.grains


def main():
    found = {}
    for name, probability, truth in fields(Path(sys.argv[1])):
        row = found[name] = {"painted": round(float((truth > 0).mean()), 2)}
        for method, divide in METHODS.items():
            labels = divide(probability)
            error = compare_partitions(truth, labels).rand_error
            quality = match_objects(truth, np.where(truth > 0, labels, 0)).panoptic_quality
            row[method] = (round(error, 3), round(quality, 3))
        print(f"{name:22s}", *(f"{m}: {v}" for m, v in row.items()), flush=True)
    means = {m: [round(float(np.mean([row[m][i] for row in found.values()])), 3) for i in (0, 1)] for m in METHODS}
    print("mean (Rand error, panoptic quality):", means)
    print(json.dumps({**found, "mean": means}))


if __name__ == "__main__":
    main()
