"""What may be learned from: of the listed pairs no gold, nothing twice, and only what a person has painted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari_anneal.errors import InputError
from napari_anneal.samples.gold import lock
from napari_anneal.samples.sample import Sample
from napari_anneal.widgets._layers import group_of, is_gold, is_made, made_as, snapshot
from napari_anneal.widgets._pairs import Pair
from napari_anneal.widgets._watch import WATCHED

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["chosen_pairs", "free_images", "gold_groups", "gold_of"]


def chosen_pairs(viewer: napari.viewer.Viewer, pairs: Sequence[Pair]) -> tuple[list[Pair], list[str]]:
    """The pairs that train, and the names of the images that are left out as gold.

    Of a gold specimen nothing trains: an image of its group is left out though it is not marked itself, and though the
    marked one is not in the list.

    Raises
    ------
    InputError
        The same pair twice, labels that are no paint, or nothing to train on.
    """
    of_gold = gold_groups(viewer)
    chosen: list[Pair] = []
    gold: list[str] = []
    for pair in pairs:
        if pair.image is not None and (is_gold(pair.image) or pair.group in of_gold):
            gold.append(pair.image.name)
            continue
        if pair.labels is not None and made_as(pair.labels) == WATCHED:
            raise InputError(
                f"{pair.labels.name!r} is what a network said while it learned, not paint; choose the labels that you "
                "have painted."
            )
        if pair.labels is not None and any(p.image is pair.image and p.labels is pair.labels for p in chosen):
            raise InputError(f"Image {pair.image.name!r} with {pair.labels.name!r} is listed twice; remove one row.")
        chosen.append(pair)
    if not chosen:
        what = f"all of them are gold ({', '.join(gold)})" if gold else "the list is empty"
        raise InputError(f"There is no pair to train on: {what}; add an image with painted labels.")
    return chosen, gold


def gold_groups(viewer: napari.viewer.Viewer) -> set[str]:
    """Groups of the gold layers of a viewer: of such a specimen nothing is learned, whichever image is marked."""
    return {group_of(layer) for layer in viewer.layers if is_gold(layer)} - {""}


def free_images(viewer: napari.viewer.Viewer, image: Any, every: bool) -> list[Any]:
    """An image that something may be learned from; ``every``: then those of the viewer but gold and what forms made.

    Raises
    ------
    InputError
        There is no image, or it is gold.
    """
    from napari.layers import Image

    first, gold = snapshot(image, copy=False), gold_groups(viewer)
    if is_gold(image) or group_of(image) in gold:
        raise InputError(f"Image {first.name!r} is gold, and nothing may be learned from it; choose another one.")
    return [image] + [
        layer
        for layer in viewer.layers
        if every
        and isinstance(layer, Image)
        and layer is not image
        and layer.ndim in (2, 3)
        and not (is_made(layer) or is_gold(layer) or group_of(layer) in gold)
    ]


def gold_of(viewer: napari.viewer.Viewer) -> list[Sample]:
    """The gold images of a viewer, locked, with no copy of their pixels: so that copies of them can be found."""
    from napari.layers import Image

    shots = [snapshot(a, copy=False) for a in viewer.layers if isinstance(a, Image) and is_gold(a)]
    return [lock(Sample(shot.data, None, shot.group, shot.spacing, shot.name, shot.axes)) for shot in shots]
