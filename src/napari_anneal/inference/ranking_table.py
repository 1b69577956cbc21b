"""What to label next, as files: a table of all places in order, and for every image its boxes as napari reads Shapes.

The files know nothing of how the order was found: they take its rows, one plain dictionary a place.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_anneal.errors import InputError, OutputError
from napari_anneal.samples.placing import why_not_written, write_whole

__all__ = ["boxes_csv", "ranking_csv", "write_ranking"]

CORNERS = ("y0", "x0", "y1", "x1")
# What every file system allows in a name.
UNSAFE = re.compile(r"[^\w.+-]+")


def ranking_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The places in order, a line each; ``box`` becomes the columns ``y0, x0, y1, x1`` (px, the last two not included).

    Parameters
    ----------
    rows
        As ``Ranking.rows()`` gives them: the same keys in each, ``box`` among them; ``None`` becomes an empty cell.

    Raises
    ------
    InputError
        There is no place.
    """
    if not rows:
        raise InputError("nothing was ranked, so there is no table to write; rank at least one image.")
    names = [name for key in rows[0] for name in (CORNERS if key == "box" else (key,))]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = {key: value for key, value in row.items() if key != "box"} | dict(zip(CORNERS, row["box"], strict=True))
        writer.writerow({key: f"{value:.9g}" if isinstance(value, float) else value for key, value in cells.items()})
    return text.getvalue()


def boxes_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The places of one image as rectangles of a Shapes layer, in the format of napari's own reader and writer.

    Vertices are in pixels of the image (give the layer its scale); a rectangle encloses its pixels, whose centres
    are at whole numbers. In a stack, where ``z`` is a number, they have a third coordinate in front.

    Raises
    ------
    InputError
        There is no place, or some have a slice and others have none: they are of different images.
    """
    if not rows:
        raise InputError("nothing was ranked, so there are no boxes to write; rank at least one image.")
    flat = [row["z"] is None for row in rows]
    if any(flat) and not all(flat):
        raise InputError("these places are of images and of stacks; write the boxes of one image at a time.")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    axes = range(2 if flat[0] else 3)
    writer.writerow(["index", "shape-type", "vertex-index", *(f"axis-{axis}" for axis in axes)])
    for i, row in enumerate(rows):
        y0, x0, y1, x1 = (edge - 0.5 for edge in row["box"])
        front = () if row["z"] is None else (float(row["z"]),)
        for j, corner in enumerate(((y0, x0), (y0, x1), (y1, x1), (y1, x0))):
            writer.writerow([i, "rectangle", j, *front, *corner])
    return text.getvalue()


def write_ranking(rows: Sequence[Mapping[str, Any]], path: str | Path) -> list[Path]:
    """Write the table, and beside it the boxes of every image: ``order.csv``, ``order.IMAGE.boxes.csv``, ….

    Parameters
    ----------
    rows
        As for `ranking_csv`; ``name`` tells which image a place is of.
    path
        The table, a name ending in ``.csv``. Files of an earlier order are replaced, each as a whole.

    Returns
    -------
    list of Path
        What was written, the table first.

    Raises
    ------
    InputError
        There is no place.
    OutputError
        Another ending, or a file cannot be written.
    """
    place = Path(path)
    if place.suffix.lower() != ".csv":
        raise OutputError(f"{place}: the order is written as a table; end the name in .csv.")
    files = {place: ranking_csv(rows)}
    for name in dict.fromkeys(row["name"] for row in rows):
        files[_boxes_file(place, name, files)] = boxes_csv([row for row in rows if row["name"] == name])
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            write_whole(file, text)
    except OSError as error:
        raise OutputError(
            f"the order could not be written to {place}: {why_not_written(error)}; choose another name or folder."
        ) from error
    return list(files)


def _boxes_file(table: Path, name: str, taken: Mapping[Path, str]) -> Path:
    """Beside the table, by the name of the image; two images whose names are alike in a file system get numbers."""
    plain = UNSAFE.sub("_", Path(name).name).strip("._") or "image"
    taken_names = {file.name.lower() for file in taken}
    wanted, number = f"{table.stem}.{plain}.boxes.csv", 2
    while wanted.lower() in taken_names:
        wanted, number = f"{table.stem}.{plain}-{number}.boxes.csv", number + 1
    return table.with_name(wanted)
