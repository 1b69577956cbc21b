"""What commands share: options that mean the same everywhere, one way to answer, to refuse and to show progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from napari_anneal.errors import AnnealError
from napari_anneal.launching import is_first, is_launched, launch

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_anneal.samples import Sample

__all__ = [
    "Classes",
    "Device",
    "Devices",
    "Gold",
    "GroupPattern",
    "Json",
    "Metrics",
    "Nodes",
    "Seed",
    "SplitFile",
    "Tolerance",
    "ToleranceUm",
    "Who",
    "answer",
    "asked_figures",
    "grouped_samples",
    "known",
    "name_list",
    "person",
    "progress_bar",
    "refuse",
    "remark",
    "reporter",
    "shared_by",
]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Devices = Annotated[int, typer.Option(min=1, help="GPUs (or, with --device cpu, processes) that share every batch.")]
Nodes = Annotated[
    int,
    typer.Option(
        min=1, help="Machines that do so, --devices on each; set MASTER_ADDR, MASTER_PORT and NODE_RANK there."
    ),
]
Classes = Annotated[str, typer.Option(help="Class names, comma separated, for labels 1, 2, …")]
Who = Annotated[str | None, typer.Option(help="Your name for the gold ledger (default: that of your account).")]
Gold = Annotated[list[str] | None, typer.Option(help="Group set aside for the very end (repeat for more).")]

GroupPattern = Annotated[
    str | None,
    typer.Option(
        "--group-pattern",
        help="Regular expression whose (…), or whole match, in the file name is the group, such as '^(.+?)_'.",
    ),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option("--metric", help="A figure, e.g. dice, boundary_iou, cl_dice, panoptic_quality (repeat); or all."),
]
Tolerance = Annotated[float, typer.Option(help="Of boundary figures, pixels.")]
ToleranceUm = Annotated[float | None, typer.Option(help="The same in micrometres.")]
SplitFile = Annotated[
    Path | None, typer.Option("--split", help="Take folds and gold from this file, as split --out writes it.")
]


def grouped_samples(folder: Path, pattern: str | None, gold: Sequence[str] | None = None) -> list[Sample]:
    """Read a folder and lock its gold groups; with a pattern the groups come from the names, not from groups.csv."""
    from napari_anneal.samples import read_samples
    from napari_anneal.samples.gold_folder import locked_as
    from napari_anneal.validation import grouped_by_name

    samples = read_samples(folder)
    if pattern is not None:
        samples = grouped_by_name(samples, pattern)
    names = {name.strip() for name in gold or ()}
    return [locked_as(sample, folder) if sample.group.strip() in names else sample for sample in samples]


def asked_figures(metrics: list[str] | None) -> Sequence[str] | None:
    """Names of the figures asked for; ``all`` stands for all there are."""
    from napari_anneal.validation import ALL_METRICS

    return ALL_METRICS if metrics == ["all"] else metrics


def name_list(text: str) -> tuple[str, ...]:
    """Names between commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def known(value: str, choices: tuple[str, ...], what: str) -> Any:
    """Return the value if it is one of the choices; else refuse it, naming them."""
    if value not in choices:
        refuse(f"there is no {what} {value!r}; choose {', '.join(choices[:-1])} or {choices[-1]}.")
    return value


def person(who: str | None) -> str:
    """Who is at work: the name given, or that of the account."""
    import getpass

    return who or getpass.getuser()


def refuse(sentence: str) -> NoReturn:
    """End with one sentence and status 2."""
    raise AnnealError(sentence)


def remark(sentence: str) -> None:
    """Say something beside the answer, once however many processes share the command."""
    if is_first():
        print(sentence, file=sys.stderr)


def answer(as_json: bool, found: dict[str, Any], text: str) -> None:
    """Print for a person or, as the last line, for a program."""
    print(json.dumps(found) if as_json else text)


def shared_by(devices: int, nodes: int) -> None:
    """Start this very command once a device and end with its status; go on where this is one of those processes."""
    if devices * nodes > 1 and not is_launched():
        raise typer.Exit(launch(devices, nodes, [sys.executable, "-m", "napari_anneal.cli", *sys.argv[1:]]))


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Progress with time left on standard error, if that is a terminal."""
    if not sys.stderr.isatty() or not is_first():
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


def reporter(advance: Callable[[int, int], None]) -> Callable[[Any], None]:
    """Turn the events of a run into progress."""
    from napari_anneal.training.events import StepDone

    def report(event: Any) -> None:
        if isinstance(event, StepDone):
            advance(event.step, event.total_steps)

    return report
