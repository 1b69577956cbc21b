"""A folder of images and labels → samples: ``images/`` + ``labels/`` (or ``masks/``) + optional ``groups.csv``.

An image and its labels have the same name, whatever their extensions. ``groups.csv`` has the columns ``image`` (with
or without extension) and ``group``; other columns are ignored.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from napari_anneal.errors import InputError
from napari_anneal.samples.image_files import is_readable, natural_order, read_image, stem
from napari_anneal.samples.sample import Sample

__all__ = ["read_samples"]

JUNK = {"thumbs.db", "desktop.ini"}


def read_samples(folder: str | Path) -> list[Sample]:
    """Read every image of a folder with its labels, group and pixel size, in the order of their names.

    Images without labels come back with ``labels=None``. Labels count from 1; 0 = not painted.

    Raises
    ------
    InputError
        No such folder, no ``images/``, not one pair, labels without an image, two files of one name, a file that
        cannot be read, or a ``groups.csv`` that does not fit the images.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"there is no folder {str(folder)!r}; check the name.")
    if not (folder / "images").is_dir():
        raise InputError(
            f"{folder.name!r} has no folder 'images'; put the images in images/ and their labels, under the "
            "same names, in labels/."
        )
    label_folder = next((folder / name for name in ("labels", "masks") if (folder / name).is_dir()), None)
    images = _by_stem(folder / "images")
    labels = _by_stem(label_folder) if label_folder is not None else {}
    if not images:
        raise InputError(f"{folder.name}/images is empty; put the images there.")
    orphans = sorted(set(labels) - set(images))
    if orphans:
        raise InputError(
            f"{label_folder.name if label_folder else ''}/{labels[orphans[0]].name} has no image of the same name in "
            f"images/{_more(orphans)}; rename or remove it."
        )
    if not labels:
        raise InputError(
            f"{folder.name!r} holds {len(images)} images but no labels; save painted labels under the same names in "
            "labels/."
        )
    groups = _read_groups(folder / "groups.csv", images)
    samples = []
    for name, path in images.items():
        image, axes, spacing = read_image(path)
        painted = _read_labels(labels[name]) if name in labels else None
        samples.append(Sample(image, painted, groups.get(name, ""), spacing, name, axes))
    return samples


def _by_stem(folder: Path) -> dict[str, Path]:
    """Files of a folder by their names without extension."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=natural_order):
        if path.name.startswith(".") or path.name.lower() in JUNK:
            continue
        if not is_readable(path):
            raise InputError(f"{folder.name}/{path.name} is of a type that is not read here; convert or remove it.")
        name = stem(path)
        if name in found:
            raise InputError(
                f"{folder.name}/ holds both {found[name].name} and {path.name}; names must differ in more than the "
                "extension."
            )
        found[name] = path
    return found


def _read_labels(path: Path) -> Any:
    """Class numbers; refuses colours and the 0/255 masks that would make 255 classes of which one is painted."""
    labels, axes, _ = read_image(path, as_labels=True, allow_missing_chunks=True)
    if "C" in axes:
        raise InputError(
            f"{path.parent.name}/{path.name} is a colour picture; save labels as class numbers (0 = not painted, "
            "1, 2, …) in one grey channel."
        )
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "ui" and labels.max() == 255:
        values = np.unique(labels)
        if len(values) <= 2:
            raise InputError(
                f"{path.parent.name}/{path.name} is a 0/255 mask, but 0 means not painted here; save the background as "
                "1 and the object as 2."
            )
    return labels


def _read_groups(path: Path, images: dict[str, Path]) -> dict[str, str]:
    """Group of every image named in ``groups.csv``; no file, no groups."""
    if not path.exists():
        return {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is not UTF-8 text; save it as CSV UTF-8.") from error
    head = text.splitlines()[0] if text.strip() else ""
    rows = csv.DictReader(text.splitlines(), delimiter=";" if ";" in head and "," not in head else ",")
    columns = {str(name).strip().lower(): name for name in rows.fieldnames or ()}
    if not {"image", "group"} <= set(columns):
        raise InputError(f"{path.name} must have the columns image and group in its first line, not {head[:80]!r}.")
    groups: dict[str, str] = {}
    for row in rows:
        image, group = ((row[columns[c]] or "").strip() for c in ("image", "group"))
        line = f"{path.name}, line {rows.line_num}"
        if not image or not group:
            missing = "image" if not image else "group"
            raise InputError(f"{line}: the {missing} is empty; fill it in or delete the line.")
        name = image if image in images else stem(image)
        if name not in images:
            raise InputError(f"{line}: there is no image {image!r} in images/; correct the name or delete the line.")
        if name in groups:
            raise InputError(f"{line}: {image!r} is listed twice; keep one line an image.")
        groups[name] = group
    forgotten = [name for name in images if name not in groups]
    if forgotten:
        raise InputError(
            f"{path.name} gives no group for {forgotten[0]}{_more(forgotten)}; add a line, or images of one specimen "
            "may end up on both sides of a split."
        )
    return groups


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
