"""What a person sees of a BioImage.IO package: its cover and its documentation."""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.models import BundleCard
from napari_anneal.samples.normalisation import HIGH_PERCENTILE, LOW_PERCENTILE

__all__ = ["cover", "documentation", "spacing_in_words"]

_PAGE = Path(__file__).with_name("package_readme.md")
# The zoo wants covers twice as wide as high.
COVER = (512, 256)


def cover(image: npt.NDArray[np.uint8], probabilities: npt.NDArray[np.float32], colours: tuple[str, ...]) -> Any:
    """Picture (Pillow) of an image ``(C, Y, X)`` with the classes that ``(K, Y, X)`` finds in it beside it."""
    from PIL import Image

    side = min(image.shape[1:])
    grey = image[:3] if len(image) >= 3 else np.repeat(image[:1], 3, axis=0)
    palette = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in colours], dtype=np.uint8)
    found = palette[probabilities.argmax(axis=0)]
    both = [half[:side, :side] for half in (np.moveaxis(grey, 0, -1), found)]
    return Image.fromarray(np.concatenate(both, axis=1)).resize(COVER, Image.Resampling.NEAREST)


def documentation(card: BundleCard) -> str:
    """The README of a package, with the figures of the run in the section that the zoo asks for."""
    named = enumerate(zip(card.classes, card.colours, strict=True), start=1)
    return Template(_PAGE.read_text(encoding="utf-8")).substitute(
        name=card.name or "A segmentation model",
        description=card.description or "No description was given.",
        version=card.versions.get("napari-anneal", ""),
        spacing=spacing_in_words(card.spacing),
        classes="\n".join(f"{k}. {name} (`{colour}`)" for k, (name, colour) in named),
        temperature=f"{card.temperature:g}",
        low=f"{LOW_PERCENTILE:g}",
        high=f"{HIGH_PERCENTILE:g}",
        figures=_figures(card.metrics),
    )


def spacing_in_words(spacing: tuple[float, ...] | None) -> str:
    """Pixel size of the training images along Y and X."""
    return "not known" if spacing is None else " × ".join(f"{size:g}" for size in spacing)


def _figures(metrics: dict[str, Any]) -> str:
    """The numbers of a run, one a line, in its own words."""
    rows: list[tuple[str, float]] = []
    for key, value in metrics.items():
        inner = value if isinstance(value, dict) else {"": value}
        rows += [
            (f"{key} {name}".replace("_", " ").strip(), one)
            for name, one in inner.items()
            if isinstance(one, int | float) and not isinstance(one, bool)
        ]
    if not rows:
        return "The run kept no figures."
    return "\n".join(["| figure of the run | |", "|---|---|", *(f"| {what} | {one:.4g} |" for what, one in rows)])
