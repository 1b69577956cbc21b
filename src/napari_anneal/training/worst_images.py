"""What the kept weights do on every validation image, and pictures of where they fail, worst image first.

The very patches that chose the weights are looked at once more, so this costs as much as one validation; the pictures
are bounded in number and size however large the images are.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_anneal.devices import autocast
from napari_anneal.samples.patches import PreparedSlice
from napari_anneal.samples.placing import write_whole
from napari_anneal.training.batches import validation_batches
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.run_facts import JudgedImage, UsedImage
from napari_anneal.validation.metrics import confusion_matrix, scores_from_confusion

__all__ = ["MOST_PICTURES", "Picture", "judge", "read_pictures", "write_pictures"]

PICTURES = "pictures.npz"
# As many as a person looks at, no wider than half a screen.
MOST_PICTURES, MOST_SIDE = 6, 512


@dataclass(frozen=True, eq=False)
class Picture:
    """One validation patch: ``image`` uint8 ``(Y, X)`` or ``(Y, X, 3)``, ``labels`` and ``prediction`` ``(Y, X)``."""

    image: npt.NDArray[np.uint8]
    labels: npt.NDArray[Any]
    prediction: npt.NDArray[Any]


def judge(
    network: nn.Module,
    tiles: Sequence[PreparedSlice],
    recipe: FineTuneRecipe,
    device: torch.device,
    names: Sequence[UsedImage],
) -> tuple[list[JudgedImage], list[Picture]]:
    """Score every validation image by its patches; return them worst first (mean Dice), with pictures of the worst.

    Parameters
    ----------
    network
        On ``device``; in evaluation mode afterwards.
    tiles
        The validation patches.
    recipe, device
        Batch size and precision; where to compute.
    names
        Of all samples, in order; a tile of a sample beyond them is called by its number.
    """
    found: dict[tuple[int, int | None], npt.NDArray[np.int64]] = {}
    worst: dict[tuple[int, int | None], tuple[int, int, npt.NDArray[Any]]] = {}
    network.eval()
    number = 0
    with torch.inference_mode():
        for images, _ in validation_batches(tiles, recipe.batch_size, device):
            with autocast(device, recipe.precision):
                logits = network(images)
            count = logits.shape[1]
            for prediction in logits.argmax(dim=1).cpu().numpy() + 1:
                tile = tiles[number]
                where = (tile.sample, tile.z)
                table = confusion_matrix(tile.labels, prediction, count)
                found[where] = found.get(where, np.zeros_like(table)) + table
                wrong = int(table.sum() - np.trace(table))
                if where not in worst or wrong > worst[where][0]:
                    worst[where] = (wrong, number, prediction.astype(np.min_scalar_type(count)))
                number += 1
    order = sorted(found, key=lambda where: _mean_dice(found[where]))
    judged, pictures = [], []
    for place, where in enumerate(order):
        sample, z = where
        used = names[sample] if sample < len(names) else UsedImage(name=f"image {sample + 1}")
        picture = place if place < MOST_PICTURES else None
        rows = tuple(tuple(row) for row in found[where].tolist())
        judged.append(JudgedImage(name=used.name, group=used.group, z=z, confusion=rows, picture=picture))
        if picture is not None:
            _, at, prediction = worst[where]
            pictures.append(_picture(tiles[at], prediction))
    return judged, pictures


def write_pictures(folder: Path, pictures: Sequence[Picture]) -> None:
    """Write ``pictures.npz``.

    Raises
    ------
    OSError
        It could not be written; an earlier one is as it was.
    """
    arrays = {
        f"{kind}-{number}": getattr(picture, kind)
        for number, picture in enumerate(pictures)
        for kind in ("image", "labels", "prediction")
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_whole(folder / PICTURES, buffer.getvalue())


def read_pictures(folder: Path) -> list[Picture]:
    """Read ``pictures.npz``; empty if there is none, or it cannot be read (the figures do not depend on it)."""
    try:
        with np.load(folder / PICTURES, allow_pickle=False) as file:
            count = sum(name.startswith("image-") for name in file.files)
            return [Picture(file[f"image-{i}"], file[f"labels-{i}"], file[f"prediction-{i}"]) for i in range(count)]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return []


def _mean_dice(table: npt.NDArray[np.int64]) -> float:
    return scores_from_confusion(table).mean("dice")


def _picture(tile: PreparedSlice, prediction: npt.NDArray[Any]) -> Picture:
    """Every n-th pixel of a patch, so that it is no larger than a picture is shown."""
    thin = np.s_[:: -(-tile.labels.shape[0] // MOST_SIDE), :: -(-tile.labels.shape[1] // MOST_SIDE)]
    image = np.round(np.moveaxis(tile.image, 0, -1).clip(0, 1) * 255).astype(np.uint8)
    return Picture(
        (image[..., 0] if image.shape[-1] == 1 else image)[thin],
        tile.labels.astype(prediction.dtype)[thin],
        prediction[thin],
    )
