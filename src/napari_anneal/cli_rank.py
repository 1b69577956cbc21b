"""``rank``: what to label next, from a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_anneal.terminal import Json, answer, name_list, progress_bar, refuse, remark

if TYPE_CHECKING:
    from napari_anneal.inference import Ranking

__all__ = ["rank"]


def rank(
    model: Annotated[str, typer.Argument(help="A bundle or the name of a shipped model.")],
    images: Annotated[
        Path, typer.Argument(help="Folder with images/ (labels/ and groups.csv if there are any), an image or a stack.")
    ],
    top: Annotated[int, typer.Option(min=1, help="How many places to name.")] = 20,
    tiles: Annotated[
        int | None, typer.Option(help="Rank tiles of this side, pixels (default: whole images and slices).")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Of a stack look at every n-th slice only.")] = 1,
    foreground: Annotated[
        str, typer.Option(help="Classes that matter, comma separated (default: all but the most common one).")
    ] = "",
    estimator: Annotated[
        str, typer.Option(help="tta (flips and turns legal for the sample), entropy (one look, fastest) or ensemble.")
    ] = "tta",
    voters: Annotated[
        list[str] | None, typer.Option("--with", help="Another model that votes, an ensemble (repeat for more).")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any setting of the recipe: field=value, e.g. diversity=0.5 (repeat)."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the order here (.csv), and beside it the boxes of every image as napari Shapes."),
    ] = None,
    json_: Json = False,
) -> None:
    """Say which images, slices or tiles to label next: unsure, unlike the others, of every specimen; never gold."""
    from napari_anneal.inference import RankRecipe, ensemble, load_model
    from napari_anneal.inference import rank as rank_places
    from napari_anneal.inference.ranking_table import write_ranking
    from napari_anneal.synthesis.recipe_file import change_settings

    named: dict[str, Any] = {
        "top": top, "tile": tiles, "every": every, "foreground": name_list(foreground), "estimator": estimator,
    }  # fmt: skip
    recipe = RankRecipe(**change_settings(named, settings or []))
    if out is not None and out.suffix.lower() != ".csv":
        refuse(f"--out {out}: the order is written as a table; end the name in .csv.")
    loaded = ensemble([model, *voters]) if voters else load_model(model)
    with progress_bar("looking") as advance:
        order = rank_places(loaded, images, recipe, progress=advance)
    for notice in order.notices:
        remark(notice)
    files = [] if out is None else [str(path) for path in write_ranking(order.rows(), out)]
    text = _table(order) + (f"\n\nwritten to {', '.join(files)}" if files else "")
    answer(json_, order.to_dict() | {"files": files}, text)


def _table(order: Ranking) -> str:
    """The order for a person."""
    lines = [f"{len(order)} of {order.candidates} places; foreground: {', '.join(order.foreground)}"]
    for place in order:
        where = place.name + ("" if place.z is None else f", slice {place.z}")
        if order.recipe.tile is not None:
            y0, x0, y1, x1 = place.box
            where += f", rows {y0}–{y1 - 1}, columns {x0}–{x1 - 1}"
        lines.append(f"{place.rank:4d}.  {where}: {place.why}")
    return "\n".join(lines)
