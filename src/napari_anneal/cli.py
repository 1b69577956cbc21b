"""The same jobs from a terminal: ``napari-anneal synthesize | check | split | augment | train | segment | …``.

Every command takes ``--json`` (one JSON object as the last line of standard output), returns 0 on success and 2 on bad
input with one plain sentence on standard error, and shows progress on standard error only when that is a terminal.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from napari_anneal import __version__
from napari_anneal.cli_augment import augment
from napari_anneal.cli_cascade import cascade
from napari_anneal.cli_data import check, split
from napari_anneal.cli_export import export
from napari_anneal.cli_instances import instances
from napari_anneal.cli_rank import rank
from napari_anneal.cli_runs import report, runs
from napari_anneal.cli_segment import segment
from napari_anneal.cli_training import cross_validate, train
from napari_anneal.cli_validation import calibrate, evaluate, grain_size
from napari_anneal.errors import AnnealError
from napari_anneal.launching import is_first
from napari_anneal.terminal import Json, answer, progress_bar, refuse

__all__ = ["app", "main"]

app = typer.Typer(
    name="napari-anneal",
    help="Paint a few labels, fine-tune a pretrained network carefully, segment the whole stack.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main(words: list[str] | None = None) -> NoReturn:
    """Run the command line; errors a user can cause become one sentence and exit status 2."""
    try:
        status = app(words, standalone_mode=False)
    except AnnealError as error:
        if is_first():
            print(f"napari-anneal: {error}", file=sys.stderr)
        sys.exit(2)
    except typer.Abort:
        print("napari-anneal: stopped.", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        # Misspelt options and the like; where their class lives differs between versions of typer.
        if not hasattr(error, "format_message"):
            raise
        if says := error.format_message():
            print(f"napari-anneal: {says.rstrip('.')}; see --help.", file=sys.stderr)
        sys.exit(2)
    sys.exit(status if isinstance(status, int) else 0)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def synthesize(
    out: Annotated[Path, typer.Argument(help="Folder of pairs to create; or one .ome.zarr for a volume of any size.")],
    recipe: Annotated[
        Path | None, typer.Option(help="The recipe.json beside synthetic data, or a volume: makes it again.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any setting of the recipe: field=value, e.g. appearance.dose=50 (repeat)."),
    ] = None,
    randomize: Annotated[
        bool, typer.Option("--randomize", help="Draw every setting anew from a range; --set changes the ranges.")
    ] = False,
    count: Annotated[int | None, typer.Option(help="How many pairs (default: 1, or as in the recipe file).")] = None,
    shape: Annotated[str | None, typer.Option(help="Size in pixels, e.g. 512x512 or 64x128x128 (Z first).")] = None,
    seeds: Annotated[int | None, typer.Option(help="Seeds (grains) in each.")] = None,
    placement: Annotated[str | None, typer.Option(help="random, blue_noise or clustered.")] = None,
    lloyd: Annotated[int | None, typer.Option(help="Rounds of Lloyd relaxation.")] = None,
    aspect: Annotated[float | None, typer.Option(help="Elongation of the grains.")] = None,
    direction: Annotated[float | None, typer.Option(help="Direction of elongation, degrees.")] = None,
    width: Annotated[float | None, typer.Option(help="Boundary width, pixels.")] = None,
    rung: Annotated[int | None, typer.Option(help="1 clean … 5 detector noise and artefacts.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random (default: 0, or as in the file).")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier synthetic data.")] = False,
    json_: Json = False,
) -> None:
    """Make synthetic microstructures with perfect labels (1 grain, 2 boundary); short options come before --set."""
    from napari_anneal.synthesis import RecipeRanges, save_pairs, synthesize_volume
    from napari_anneal.synthesis.recipe_file import read_recipe, recipe_from_words

    short = {
        "shape": None if shape is None else list(_shape(shape)),
        "n_seeds": seeds,
        "placement": placement,
        "lloyd_rounds": lloyd,
        "aspect_ratio": aspect,
        "direction_deg": direction,
        "boundary_width": width,
        "appearance.rung": rung,
    }
    changes = [f"{field}={json.dumps(value)}" for field, value in short.items() if value is not None]
    changes += settings or []
    if recipe is not None and randomize:
        refuse("--recipe and --randomize contradict each other; the file says whether it holds ranges.")
    asked = recipe_from_words(changes, ranges=randomize) if recipe is None else read_recipe(recipe, changes)
    first = (asked.seed or 0) if seed is None else seed
    many = (asked.count or 1) if count is None else count
    if out.suffix.lower() == ".zarr":
        if isinstance(asked.recipe, RecipeRanges) or many != 1:
            refuse(f"{out} takes one volume of one recipe; leave out --randomize and --count, or name a folder.")
        with progress_bar("synthesizing") as advance:
            synthesize_volume(asked.recipe, first, out, progress=advance, overwrite=overwrite)
        size = list(asked.recipe.shape)
        answer(json_, {"volume": str(out), "shape": size, "seed": first}, f"volume {size} written to {out}")
        return
    with progress_bar("synthesizing") as advance:
        saved = save_pairs(asked.recipe, first, many, out, progress=advance, overwrite=overwrite)
    answer(
        json_,
        {"folder": str(saved.folder), "count": saved.count, "seed": first},
        f"{saved.count} pairs written to {saved.folder}",
    )


app.command()(check)
app.command()(split)
app.command()(augment)
app.command()(train)
app.command("cross-validate")(cross_validate)
app.command()(runs)
app.command()(report)
app.command()(cascade)
app.command()(segment)
app.command()(rank)
app.command()(export)
app.command()(instances)
app.command()(evaluate)
app.command()(calibrate)
app.command("grain-size")(grain_size)


@app.command()
def models(json_: Json = False) -> None:
    """List the models that are shipped with the package."""
    from napari_anneal.inference import load_model, shipped_models

    cards = {name: load_model(name).card for name in shipped_models()}
    lines = [f"{name}: {', '.join(card.classes)}. {card.description}" for name, card in cards.items()]
    answer(json_, {name: card.model_dump(mode="json") for name, card in cards.items()}, "\n".join(lines))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder to create for the results.")] = Path("anneal-demo"),
    headless: Annotated[bool, typer.Option("--headless", help="Do not open napari at the end.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the results of an earlier demo.")] = False,
    json_: Json = False,
) -> None:
    """Show the whole line on real data: paint, fine-tune, segment unseen specimens and a CT stack, compare."""
    from napari_anneal.demo import run_demo

    result = run_demo(out, overwrite=overwrite, say=lambda text: print(text, file=sys.stderr if json_ else sys.stdout))
    answer(json_, result.to_dict(), result.summary())
    if not headless and _has_display():
        from napari_anneal.widgets.demo_viewer import show_demo

        show_demo(result)


def _shape(text: str) -> tuple[int, ...]:
    parts = text.lower().split("x")
    if not all(part.isdigit() for part in parts):
        refuse(f"--shape {text} is not a size; write it like 512x512 or 64x128x128.")
    return tuple(int(part) for part in parts)


def _has_display() -> bool:
    import os

    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


if __name__ == "__main__":
    main()
