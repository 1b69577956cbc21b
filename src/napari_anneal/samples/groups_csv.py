"""``groups.csv``: which specimen each image comes from, one line an image, and everything that can be wrong with it."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from napari_anneal.errors import InputError, OutputError
from napari_anneal.samples.image_files import stem
from napari_anneal.samples.placing import why_not_written, write_whole

__all__ = ["COPY_COLUMN", "GroupTable", "Problem", "find_groups", "read_groups", "write_groups"]

# Where files hold augmented copies: the name of the original.
COPY_COLUMN = "augmented_from"


@dataclass(frozen=True)
class Problem:
    """Something wrong with a data set: what kind, a sentence, and the images (or other names) that it concerns."""

    kind: str
    sentence: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class GroupTable:
    """Group of every image named, the original of every augmented copy, and everything that is wrong."""

    groups: dict[str, str] = field(default_factory=dict)
    originals: dict[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def read_groups(path: str | Path, names: Collection[str]) -> dict[str, str]:
    """Read the group of every image.

    Parameters
    ----------
    path
        CSV, comma or semicolon, with the columns ``image`` (with or without extension) and ``group`` in its first line.
    names
        Names of the images, without extensions.

    Raises
    ------
    InputError
        No such file, or one that does not fit the images: an empty cell, a name that no image has or that is listed
        twice, an image without a group.
    """
    try:
        table = find_groups(Path(path), names)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    if table.problems:
        raise InputError(table.problems[0].sentence)
    return table.groups


def write_groups(path: Path, groups: Mapping[str, str]) -> None:
    """Write the group of every image; what a table that is there says in other columns stays.

    Such columns tell which image is a copy of which: without them a copy could judge what its original has trained.

    Raises
    ------
    InputError
        The file that is there is no table of groups; it is left alone.
    OutputError
        It cannot be written; it is as it was.
    """
    try:
        rows, columns = _rows(path) if path.exists() else (None, {"image": "image", "group": "group"})
        image, group, kept = columns["image"], columns["group"], {}
        for row in rows or ():
            name = (row[image] or "").strip()
            kept[name if name in groups else stem(name)] = row
        text = io.StringIO()
        table = csv.DictWriter(
            text,
            list(columns.values()) if rows is None else list(rows.fieldnames or ()),
            extrasaction="ignore",  # cells beyond the first line's last column
            delimiter="," if rows is None else rows.reader.dialect.delimiter,
            lineterminator="\n",
        )
        table.writeheader()
        table.writerows({image: name, **kept.get(name, {}), group: value} for name, value in groups.items())
        write_whole(path, text.getvalue())
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({why_not_written(error)}); check the folder.") from error


def find_groups(path: Path, images: Collection[str]) -> GroupTable:
    """What a table gives for these images, and everything that is wrong with it."""
    problems: list[Problem] = []

    def wrong(kind: str, sentence: str, *names: str) -> None:
        problems.append(Problem(kind, sentence, names))

    try:
        rows, columns = _rows(path)
    except InputError as error:
        wrong("groups.csv", str(error))
        return GroupTable(problems=tuple(problems))
    groups: dict[str, str] = {}
    originals: dict[str, str] = {}
    for row in rows:
        image, group = ((row[columns[c]] or "").strip() for c in ("image", "group"))
        line = f"{path.name}, line {rows.line_num}"
        name = image if image in images else stem(image)
        if not image or not group:
            missing = "image" if not image else "group"
            wrong(
                "empty row", f"{line}: the {missing} is empty; fill it in or delete the line.", *filter(None, [image])
            )
        elif name not in images:
            wrong(
                "group without image",
                f"{line}: there is no image {image!r} here; correct the name or delete the line.",
                image,
            )
        elif name in groups:
            wrong("duplicate name", f"{line}: {image!r} is listed twice; keep one line an image.", image)
        else:
            groups[name] = group
            original = (row[columns[COPY_COLUMN]] or "").strip() if COPY_COLUMN in columns else ""
            if original and stem(original) != name:
                originals[name] = original if original in images else stem(original)
    forgotten = [name for name in images if name not in groups]
    if forgotten:
        more = f" (and {len(forgotten) - 1} more)" if len(forgotten) > 1 else ""
        wrong(
            "image without group",
            f"{path.name} gives no group for {forgotten[0]}{more}; add a line, or images of one specimen "
            "may end up on both sides of a split.",
            *forgotten,
        )
    return GroupTable(groups, originals, tuple(problems))


def _rows(path: Path) -> tuple[csv.DictReader[str], dict[str, str]]:
    """The lines of a table, and the names of its columns as written by their names in small letters.

    Raises
    ------
    InputError
        It is no text, or has no columns ``image`` and ``group``.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path.name} is not UTF-8 text; save it as CSV UTF-8.") from None
    head = text.splitlines()[0] if text.strip() else ""
    rows = csv.DictReader(text.splitlines(keepends=True), delimiter=";" if ";" in head and "," not in head else ",")
    columns = {str(name).strip().lower(): name for name in rows.fieldnames or ()}
    if not {"image", "group"} <= set(columns):
        raise InputError(f"{path.name} must have the columns image and group in its first line, not {head[:80]!r}.")
    return rows, columns
