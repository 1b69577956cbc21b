"""A folder of images and labels → samples: ``images/`` + ``labels/`` (or ``masks/``) + optional ``groups.csv``.

An image and its labels have the same name, whatever their extensions. ``groups.csv`` has the columns ``image`` (with
or without extension) and ``group``, and perhaps ``augmented_from``, which names the image that this one is an augmented
copy of; other columns are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_anneal.errors import InputError
from napari_anneal.samples.gold_folder import lock_gold
from napari_anneal.samples.groups_csv import GroupTable, Problem, find_groups
from napari_anneal.samples.image_files import is_readable, natural_order, read_image, stem
from napari_anneal.samples.sample import Sample

__all__ = ["Listing", "list_folder", "read_listed", "read_samples"]

JUNK = {"thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class Listing:
    """The files of a data set by their names without extension, the groups of the images, what is wrong, and which
    images are augmented copies, and of which.
    """

    images: dict[str, Path]
    labels: dict[str, Path]
    groups: dict[str, str]
    problems: tuple[Problem, ...]
    originals: dict[str, str] = field(default_factory=dict)


def read_samples(folder: str | Path, labelled: bool = True) -> list[Sample]:
    """Read every image of a folder with its labels, group and pixel size, in the order of their names.

    Gold (see ``gold.json`` and `samples.gold`) comes back locked: its pixels cannot be read. Images without labels come
    back with ``labels=None``. Labels count from 1; 0 = not painted. ``labelled=False``: none needs to have labels.

    Raises
    ------
    InputError
        No such folder, no ``images/``, not one pair (where there must be one), labels without an image, two files of
        one name, a file that cannot be read, or a ``groups.csv`` that does not fit the images.
    """
    listing = list_folder(folder)
    wrong = [problem for problem in listing.problems if labelled or problem.kind != "no labels"]
    if wrong:
        raise InputError(wrong[0].sentence)
    return lock_gold(folder, [read_listed(listing, name) for name in listing.images])


def list_folder(folder: str | Path) -> Listing:
    """List the files of a data set, pair them and read ``groups.csv``; no image is opened.

    Raises
    ------
    InputError
        No such folder, no ``images/``, or nothing in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"there is no folder {str(folder)!r}; check the name.")
    if not (folder / "images").is_dir():
        raise InputError(
            f"{folder.name!r} has no folder 'images'; put the images in images/ and their labels, under the "
            "same names, in labels/."
        )
    problems: list[Problem] = []
    label_folder = next((folder / name for name in ("labels", "masks") if (folder / name).is_dir()), None)
    images = _by_stem(folder / "images", problems)
    labels = _by_stem(label_folder, problems) if label_folder is not None else {}
    if not images and not problems:
        raise InputError(f"{folder.name}/images is empty; put the images there.")
    orphans = sorted(set(labels) - set(images))
    if orphans:
        sentence = (
            f"{label_folder.name if label_folder else ''}/{labels[orphans[0]].name} has no image of the same name in "
            f"images/{_more(orphans)}; rename or remove it."
        )
        problems.append(Problem("labels without image", sentence, tuple(orphans)))
    if not labels:
        sentence = (
            f"{folder.name!r} holds {len(images)} images but no labels; save painted labels under the same names in "
            "labels/."
        )
        problems.append(Problem("no labels", sentence))
    path = folder / "groups.csv"
    table = find_groups(path, images) if path.exists() else GroupTable()
    return Listing(images, labels, table.groups, (*problems, *table.problems), table.originals)


def read_listed(listing: Listing, name: str) -> Sample:
    """Read one image of a listing with its labels, group and pixel size.

    Raises
    ------
    InputError
        A file cannot be read, or image and labels do not fit one another.
    """
    image, axes, spacing = read_image(listing.images[name])
    painted = _read_labels(listing.labels[name]) if name in listing.labels else None
    original = listing.originals.get(name, "")
    return Sample(image, painted, listing.groups.get(name, ""), spacing, name, axes, copy_of=original)


def _by_stem(folder: Path, problems: list[Problem]) -> dict[str, Path]:
    """Files of a folder by their names without extension."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=natural_order):
        if path.name.startswith(".") or path.name.lower() in JUNK:
            continue
        name = stem(path)
        if not is_readable(path):
            sentence = f"{folder.name}/{path.name} is of a type that is not read here; convert or remove it."
            problems.append(Problem("unknown type", sentence, (path.name,)))
        elif name in found:
            sentence = (
                f"{folder.name}/ holds both {found[name].name} and {path.name}; names must differ in more than the "
                "extension."
            )
            problems.append(Problem("duplicate name", sentence, (name,)))
        else:
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


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
