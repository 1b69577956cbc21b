"""What a caller may pass to be ranked: samples, arrays, images and stacks on disk, or a folder of images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_anneal.errors import InputError
from napari_anneal.samples.image_files import stem
from napari_anneal.samples.reading import read_image, read_samples
from napari_anneal.samples.sample import Sample

__all__ = ["as_samples"]


def as_samples(given: Any) -> list[Sample]:
    """Samples, with their names.

    A folder with ``images/`` gives all its images, its gold locked; every other path is one image or stack.

    Raises
    ------
    InputError
        Not an image, or a file that cannot be read.
    """
    if isinstance(given, str | os.PathLike):
        return _from_path(Path(given))
    if isinstance(given, Sample):
        return [given]
    if hasattr(given, "shape"):
        return [Sample(given)]
    if not isinstance(given, Sequence):
        raise InputError(f"an object of type {type(given).__name__} cannot be ranked; pass images, samples or paths.")
    return [sample for one in given for sample in as_samples(one)]


def _from_path(path: Path) -> list[Sample]:
    if not path.exists():
        raise InputError(f"there is no image or folder {str(path)!r}; check the name.")
    if (path / "images").is_dir():
        return read_samples(path, labelled=False)
    if path.parent.name == "images" and path.parent.is_dir():
        # One image of a data set has the group, the labels and perhaps the lock that its folder gives it.
        return [s for s in read_samples(path.parent.parent, labelled=False) if s.name == stem(path)]
    image, axes, spacing = read_image(path)
    return [Sample(image, spacing=spacing, name=stem(path), axes=axes)]
