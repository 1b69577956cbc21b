"""A folder that torch, segmentation-models-pytorch and safetensors open without this package, and without any pickle.

``model.safetensors`` · ``model.json`` (the constructor with its arguments, classes, normalisation) · ``sample.npz`` (an
image and the probabilities it must give) · ``README.md`` (the lines of Python that load, run and check it) ·
``SHA256SUMS``.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from napari_anneal.inference.export.exported import NORMALISATION_IN_WORDS, Exportable
from napari_anneal.inference.export.package_pages import spacing_in_words
from napari_anneal.models.architecture import constructor_arguments
from napari_anneal.models.lineage import weights_file
from napari_anneal.samples.normalisation import (
    CLIP,
    HIGH_PERCENTILE,
    IMAGENET_GREY_MEAN,
    IMAGENET_GREY_STD,
    LOW_PERCENTILE,
    MAX_PIXELS_PER_SLICE,
)

__all__ = ["write_folder"]

_README = Path(__file__).with_name("plain_readme.md")


def write_folder(leaving: Exportable, path: Path) -> None:
    """Write the folder.

    Raises
    ------
    OSError
        It cannot be written.
    """
    image = leaving.raw_sample(leaving.smallest)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, image=image, probabilities=leaving.probabilities(image))
    files = {
        "model.safetensors": weights_file(leaving.network),
        "model.json": (json.dumps(_about(leaving), indent=2, ensure_ascii=False) + "\n").encode(),
        "sample.npz": buffer.getvalue(),
        "README.md": _readme(leaving).encode(),
    }
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    path.mkdir()
    for name, content in {**files, "SHA256SUMS": sums.encode()}.items():
        (path / name).write_bytes(content)


def _about(leaving: Exportable) -> dict[str, Any]:
    card, spec = leaving.card, leaving.card.architecture
    return {
        "name": card.name,
        "description": card.description,
        "callable": "segmentation_models_pytorch.create_model",
        "constructor": constructor_arguments(spec),
        "classes": card.classes,
        "colours": card.colours,
        "channels": leaving.channels,
        "spacing": card.spacing,
        "temperature": card.temperature,
        "stride": spec.stride,
        "smallest_side": leaving.smallest,
        "normalisation": {
            "low_percentile": LOW_PERCENTILE,
            "high_percentile": HIGH_PERCENTILE,
            "most_pixels": MAX_PIXELS_PER_SLICE,
            "clip": CLIP,
            "mean": IMAGENET_GREY_MEAN,
            "std": IMAGENET_GREY_STD,
            "in_words": NORMALISATION_IN_WORDS,
        },
        "versions": card.versions,
        "weights_sha256": leaving.weights_sha256,
        "bundle_sha256": leaving.bundle_sha256,
    }


def _readme(leaving: Exportable) -> str:
    card, spec = leaving.card, leaving.card.architecture
    return Template(_README.read_text(encoding="utf-8")).substitute(
        name=card.name or "A segmentation model",
        description=card.description or "No description was given.",
        version=card.versions.get("napari-anneal", ""),
        classes=", ".join(f"{k} {name}" for k, name in enumerate(card.classes, start=1)),
        channels=", ".join(leaving.channels),
        stride=spec.stride,
        smallest=leaving.smallest,
        spacing=spacing_in_words(card.spacing),
        temperature=f"{card.temperature:g}",
    )
