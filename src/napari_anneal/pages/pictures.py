"""Pictures of results: a grey image with its classes tinted, what is right and wrong in it, and both as PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from napari_anneal.samples.normalisation import intensity_range

__all__ = ["RIGHT", "WRONG", "error_map", "overlay", "png", "rgb", "shown", "side_by_side"]

GAP_PX = 6
# Blue and vermilion of Okabe and Ito's palette: told apart with every common colour vision deficiency.
RIGHT, WRONG = "#56b4e9", "#d55e00"


def shown(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Grey values ``(Y, X)`` as uint8 to look at, between the limits that a network's input has."""
    return np.asarray(np.round(intensity_range(image).apply(image).clip(0, 1) * 255), dtype=np.uint8)


def overlay(
    image: npt.NDArray[np.uint8], labels: npt.NDArray[Any] | None, colours: Sequence[str], opacity: float = 0.45
) -> npt.NDArray[np.uint8]:
    """Tint an image, uint8 ``(Y, X)`` or ``(Y, X, 3)``, by its labels (0 stays as it is); returns ``(Y, X, 3)``."""
    picture = image if image.ndim == 3 else np.repeat(image[..., np.newaxis], 3, axis=2)
    if labels is None:
        return picture
    table = np.array([(0, 0, 0), *(rgb(colour) for colour in colours)], dtype=np.float32)
    tinted = picture * np.float32(1 - opacity) + table[labels] * np.float32(opacity)
    return np.asarray(np.where((labels > 0)[..., np.newaxis], np.round(tinted), picture), dtype=np.uint8)


def error_map(
    image: npt.NDArray[Any], labels: npt.NDArray[Any], prediction: npt.NDArray[Any], opacity: float = 0.6
) -> npt.NDArray[np.uint8]:
    """Tint painted pixels by whether the prediction is right (blue) or wrong (vermilion); the others stay grey."""
    verdict = np.where(labels == 0, 0, np.where(labels == prediction, 1, 2))
    return overlay(image, verdict, (RIGHT, WRONG), opacity)


def side_by_side(pictures: Sequence[npt.NDArray[np.uint8]], path: Path) -> Path:
    """Write pictures of one height in a row, with white gaps."""
    import imageio.v3 as iio

    gap = np.full((pictures[0].shape[0], GAP_PX, 3), 255, dtype=np.uint8)
    row = [part for picture in pictures for part in (picture, gap)][:-1]
    path.parent.mkdir(parents=True, exist_ok=True)
    iio.imwrite(path, np.concatenate(row, axis=1))
    return path


def png(picture: npt.NDArray[np.uint8]) -> Markup:
    """Return the address (``data:image/png;base64,…``) of a picture that lies in the page itself."""
    import imageio.v3 as iio

    buffer = io.BytesIO()
    iio.imwrite(buffer, picture, extension=".png")
    return Markup("data:image/png;base64,") + base64.b64encode(buffer.getvalue()).decode("ascii")


def rgb(colour: str) -> tuple[int, int, int]:
    """``#rrggbb`` as three numbers up to 255."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue
