"""File › Open Sample: the shipped images as layers, with class names, colours and groups already in place."""

from __future__ import annotations

from typing import Any

from napari_anneal.samples.sample import Sample
from napari_anneal.widgets._layers import GROUP_KEY, class_colormap

__all__ = ["cement", "superalloy", "synthetic"]

LayerTuple = tuple[Any, dict[str, Any], str]


def superalloy() -> list[LayerTuple]:
    """One SEM image of each of the 7 spots with its labels; only the first pair is visible."""
    from napari_anneal.samples.shipped import SHIPPED, shipped_samples

    first_of_group: dict[str, Sample] = {}
    for sample in shipped_samples("superalloy"):
        first_of_group.setdefault(sample.group, sample)
    about = SHIPPED["superalloy"]
    layers: list[LayerTuple] = []
    for number, sample in enumerate(first_of_group.values()):
        layers += pair(sample, about.classes, about.colours, "labels", visible=number == 0)
    return layers


def cement() -> list[LayerTuple]:
    """A CT volume of cement paste with strokes painted on two of its slices."""
    from napari_anneal.samples.shipped import SHIPPED, shipped_samples

    about = SHIPPED["cement"]
    return pair(shipped_samples("cement")[0], about.classes, about.colours, "strokes")


def synthetic() -> list[LayerTuple]:
    """Synthetic grains with their boundary labels."""
    from napari_anneal.synthesis import MicrostructureRecipe, synthesize

    made = synthesize(MicrostructureRecipe(n_seeds=150), seed=0)
    sample = Sample(made.image, made.labels, "synthetic", made.spacing, "synthetic grains")
    return pair(sample, made.classes, ("#56b4e9", "#d55e00"), "boundary")


def pair(
    sample: Sample, classes: tuple[str, ...], colours: tuple[str, ...], suffix: str, visible: bool = True
) -> list[LayerTuple]:
    """An image and its labels as layer data, with what the forms remember in the metadata."""
    common = {"scale": sample.spacing or (1.0,) * len(sample.spatial_shape), "visible": visible}
    image = {**common, "name": sample.name, "rgb": "C" in sample.axes, "metadata": {GROUP_KEY: {"group": sample.group}}}
    labels = {
        **common,
        "name": f"{sample.name} {suffix}",
        "opacity": 0.6,
        "colormap": class_colormap(colours),
        "features": {"index": list(range(len(classes) + 1)), "class": ["not painted", *classes]},
        "metadata": {GROUP_KEY: {"group": sample.group, "classes": list(classes)}},
    }
    return [(sample.image, image, "image"), (sample.labels, labels, "labels")]
