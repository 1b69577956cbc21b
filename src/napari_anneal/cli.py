"""The same jobs from a terminal: ``napari-anneal synthesize | split | train | segment | evaluate | models | demo``.

Every command takes ``--json`` (one JSON object as the last line of standard output), returns 0 on success and 2 on bad
input with one plain sentence on standard error, and shows progress on standard error only when that is a terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from napari_anneal import __version__
from napari_anneal.errors import AnnealError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_anneal.training.events import Event

__all__ = ["app", "main"]

app = typer.Typer(
    name="napari-anneal",
    help="Paint a few labels, fine-tune a pretrained network carefully, segment the whole stack.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Classes = Annotated[str, typer.Option(help="Class names, comma separated, for labels 1, 2, …")]
Gold = Annotated[list[str] | None, typer.Option(help="Group set aside for the very end (repeat for more).")]


def main(words: list[str] | None = None) -> NoReturn:
    """Run the command line; errors a user can cause become one sentence and exit status 2."""
    try:
        status = app(words, standalone_mode=False)
    except AnnealError as error:
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
        _refuse("--recipe and --randomize contradict each other; the file says whether it holds ranges.")
    asked = recipe_from_words(changes, ranges=randomize) if recipe is None else read_recipe(recipe, changes)
    first = (asked.seed or 0) if seed is None else seed
    many = (asked.count or 1) if count is None else count
    if out.suffix.lower() == ".zarr":
        if isinstance(asked.recipe, RecipeRanges) or many != 1:
            _refuse(f"{out} takes one volume of one recipe; leave out --randomize and --count, or name a folder.")
        with _bar("synthesizing") as advance:
            synthesize_volume(asked.recipe, first, out, progress=advance, overwrite=overwrite)
        size = list(asked.recipe.shape)
        _result(json_, {"volume": str(out), "shape": size, "seed": first}, f"volume {size} written to {out}")
        return
    with _bar("synthesizing") as advance:
        saved = save_pairs(asked.recipe, first, many, out, progress=advance, overwrite=overwrite)
    _result(
        json_,
        {"folder": str(saved.folder), "count": saved.count, "seed": first},
        f"{saved.count} pairs written to {saved.folder}",
    )


@app.command()
def split(
    folder: Annotated[Path, typer.Argument(help="Folder with images/, labels/ and groups.csv.")],
    folds: Annotated[int, typer.Option(min=2, help="Number of folds.")] = 5,
    gold: Gold = None,
    seed: Seed = 0,
    json_: Json = False,
) -> None:
    """Show who would train and who would validate in every fold; groups never end up on both sides."""
    from napari_anneal.samples import read_samples
    from napari_anneal.validation import group_split

    samples = read_samples(folder)
    plan = group_split(samples, folds=folds, gold=tuple(gold or ()), seed=seed)
    names = [sample.name for sample in samples]
    result = {
        "folds": [{"train": [names[i] for i in f.train], "val": [names[i] for i in f.val]} for f in plan.folds],
        "gold": [names[i] for i in plan.gold],
        "warnings": list(plan.report.warnings),
    }
    _result(json_, result, str(plan.report))


@app.command()
def train(
    folder: Annotated[Path, typer.Argument(help="Folder with images/, labels/ (0 = not painted) and groups.csv.")],
    out: Annotated[Path, typer.Option(help="Folder to create for the model and its history.")] = Path("runs/a"),
    start: Annotated[
        str, typer.Option(help="scratch, imagenet, a shipped model, a bundle or a weights file.")
    ] = "voronoi",
    preset: Annotated[
        str,
        typer.Option(
            help="canonical, full, feature_extraction, linear_probe, gradual, gradual_canonical or scratch; auto: by "
            "the number of labelled images."
        ),
    ] = "canonical",
    optimizer: Annotated[
        str, typer.Option(help="adamw, adam, sgd or lion, in place of AdamW; Lion's rates are divided by 5.")
    ] = "adamw",
    epochs: Annotated[int, typer.Option(min=1, help="Epochs over all stages.")] = 30,
    patch: Annotated[int, typer.Option(help="Side of a training patch, pixels.")] = 256,
    batch: Annotated[int, typer.Option(min=1, help="Patches a step.")] = 8,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Optimizer steps an epoch (default: by painted area).")
    ] = None,
    classes: Classes = "",
    encoder: Annotated[str, typer.Option(help="timm encoder for scratch and ImageNet.")] = "resnet34",
    folds: Annotated[int, typer.Option(min=2, help="Split into this many folds …")] = 5,
    fold: Annotated[int | None, typer.Option(min=1, help="… and train this one (default: hold a fifth out).")] = None,
    gold: Gold = None,
    seed: Seed = 0,
    device: Device = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the interrupted run in --out; give the options it began with.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan of the run and stop.")] = False,
    json_: Json = False,
) -> None:
    """Fine-tune on painted images and write a model bundle."""
    from napari_anneal.samples import read_samples
    from napari_anneal.training import PRESETS, FineTuneRecipe, fine_tune, recommend
    from napari_anneal.training.plan import plan_run
    from napari_anneal.validation import SplitPlan, group_split

    samples = read_samples(folder)
    chosen = _known(preset, (*PRESETS, "auto"), "preset")
    if chosen == "auto":
        painted = sum(1 for sample in samples for _ in sample.painted_slices())
        chosen, why = recommend(painted, pretrained=start != "scratch")
        print(f"preset {chosen}: {why}", file=sys.stderr)
    recipe = FineTuneRecipe.from_preset(
        chosen,
        epochs=epochs,
        optimizer=_known(optimizer, ("adamw", "adam", "sgd", "lion"), "optimizer"),
        patch=patch,
        batch_size=batch,
        steps_per_epoch=steps,
        classes=_names(classes),
        encoder=encoder,
        seed=seed,
        device=device,
    )
    plan = None
    if fold is not None or gold:
        whole = group_split(samples, folds=folds, gold=tuple(gold or ()), seed=seed)
        if (fold or 1) > len(whole.folds):
            _refuse(f"there is no fold {fold}; the split has {len(whole.folds)}.")
        plan = SplitPlan((whole.folds[(fold or 1) - 1],), whole.gold, whole.report)
    begin = None if start == "scratch" else start
    if dry_run:
        planned = plan_run(samples, plan, recipe, begin)
        _result(json_, planned.to_dict(), str(planned))
        return
    with _bar("training") as advance:
        run = fine_tune(samples, plan, recipe, begin, out, on_event=_reporter(advance), resume=resume)
    for text in run.notices:
        print(text, file=sys.stderr)
    if run.out is None:
        _refuse("the model could not be written.")
    best = {k: v for k, v in run.best.items() if k != "best"}
    _result(
        json_,
        {"model": str(run.out / "model"), "reason": run.reason, "best": best, "classes": list(run.model.classes)},
        f"{run.reason}; best epoch {best.get('epoch')}, validation loss {best.get('val_loss', float('nan')):.4f}; "
        f"model in {run.out / 'model'}",
    )


@app.command()
def segment(
    model: Annotated[str, typer.Argument(help="A bundle or the name of a shipped model.")],
    image: Annotated[Path, typer.Argument(help="Image, TIFF stack or OME-Zarr.")],
    out: Annotated[Path, typer.Option(help="Where the labels go: .ome.zarr, .tif or .tiff.")],
    axes: Annotated[
        str | None, typer.Option(help="Axes of the image, e.g. ZYX or YXC (default: from the file).")
    ] = None,
    tile: Annotated[str, typer.Option(help="auto, none (whole image) or a size in pixels.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")] = False,
    json_: Json = False,
) -> None:
    """Segment an image or, slice by slice, a stack of any size."""
    from napari_anneal.inference import load_model

    size: int | str | None = {"auto": "auto", "none": None}.get(tile.lower(), tile)
    if isinstance(size, str) and size != "auto":
        if not size.isdigit():
            _refuse(f"--tile {tile} is not a size; give auto, none or a number of pixels.")
        size = int(size)
    with _bar("segmenting") as advance:
        result = load_model(model).segment(
            image, axes=axes, tile=size, out=out, probabilities=False, progress=advance, overwrite=overwrite
        )
    _result(
        json_,
        {"labels": str(result.path), "classes": list(result.classes), "shape": list(result.labels.shape)},
        f"labels {tuple(result.labels.shape)} written to {result.path}",
    )


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A bundle or the name of a shipped model.")],
    folder: Annotated[Path, typer.Argument(help="Folder with images/ and labels/.")],
    groups: Annotated[list[str] | None, typer.Option(help="Only this group (repeat for more).")] = None,
    json_: Json = False,
) -> None:
    """Score a model on painted images: per class, per image, mean and spread."""
    from napari_anneal.inference import load_model
    from napari_anneal.samples import read_samples
    from napari_anneal.validation import evaluate as score

    samples = [s for s in read_samples(folder) if s.labels is not None and (not groups or s.group in groups)]
    if not samples:
        _refuse(f"no labelled images{' of these groups' if groups else ''} were found in {folder}; check its labels.")
    with _bar("evaluating") as advance:
        report = score(load_model(model), samples, progress=advance)
    _result(json_, report.to_dict(), report.table())


@app.command()
def models(json_: Json = False) -> None:
    """List the models that are shipped with the package."""
    from napari_anneal.inference import load_model, shipped_models

    cards = {name: load_model(name).card for name in shipped_models()}
    lines = [f"{name}: {', '.join(card.classes)}. {card.description}" for name, card in cards.items()]
    _result(json_, {name: card.model_dump(mode="json") for name, card in cards.items()}, "\n".join(lines))


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
    _result(json_, result.to_dict(), result.summary())
    if not headless and _has_display():
        from napari_anneal.widgets.demo_viewer import show_demo

        show_demo(result)


def _shape(text: str) -> tuple[int, ...]:
    parts = text.lower().split("x")
    if not all(part.isdigit() for part in parts):
        _refuse(f"--shape {text} is not a size; write it like 512x512 or 64x128x128.")
    return tuple(int(part) for part in parts)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _known(value: str, choices: tuple[str, ...], what: str) -> Any:
    if value not in choices:
        _refuse(f"there is no {what} {value!r}; choose {', '.join(choices[:-1])} or {choices[-1]}.")
    return value


def _refuse(sentence: str) -> NoReturn:
    raise AnnealError(sentence)


def _result(as_json: bool, result: dict[str, Any], text: str) -> None:
    """Print for a person or, as the last line, for a program."""
    print(json.dumps(result) if as_json else text)


def _has_display() -> bool:
    import os

    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Progress with time left on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _reporter(advance: Callable[[int, int], None]) -> Callable[[Event], None]:
    """Turn the events of a run into progress."""
    from napari_anneal.training.events import StepDone

    def report(event: Event) -> None:
        if isinstance(event, StepDone):
            advance(event.step, event.total_steps)

    return report


if __name__ == "__main__":
    main()
