"""``cascade``: ImageNet → synthetic → real (→ another microscope) from a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_anneal.cli_training import (
    Batch,
    Direction,
    Encoder,
    Epochs,
    Fold,
    Folder,
    Folds,
    Light,
    Optimizer,
    Patch,
    Precision,
    PresetName,
    Resume,
    SampleIs,
    Start,
    Steps,
    fold_plan,
    recipe_of_options,
)
from napari_anneal.terminal import (
    Classes,
    Device,
    Gold,
    GroupPattern,
    Json,
    Seed,
    SplitFile,
    answer,
    grouped_samples,
    progress_bar,
    refuse,
    remark,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_anneal.samples import Sample
    from napari_anneal.training.arrows import CascadeEvent
    from napari_anneal.validation import SplitPlan

__all__ = ["cascade"]


def cascade(
    context: typer.Context,
    folder: Folder,
    out: Annotated[Path, typer.Option(help="Folder to create: one run an arrow, and cascade.json.")] = Path(
        "runs/cascade"
    ),
    start: Start = "imagenet",
    preset: PresetName = "canonical",
    optimizer: Optimizer = "adamw",
    epochs: Epochs = 30,
    steps: Steps = None,
    synthetic: Annotated[
        Path | None,
        typer.Option(help="The recipe.json beside synthetic data (default: grains, every setting drawn anew)."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any setting of the synthetic images: field=value (repeat)."),
    ] = None,
    synthetic_epochs: Annotated[int, typer.Option(min=1, help="Epochs of the synthetic arrow.")] = 30,
    synthetic_steps: Annotated[
        int | None, typer.Option(min=1, help="Its optimizer steps an epoch (default: 50).")
    ] = None,
    then: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of another microscope to fine-tune on afterwards, with the same recipe (repeat)."),
    ] = None,
    score_every: Annotated[
        int, typer.Option(min=0, help="Score the earlier tasks every so many epochs, too (0: after each arrow).")
    ] = 0,
    patch: Patch = 256,
    batch: Batch = 8,
    classes: Classes = "",
    encoder: Encoder = "resnet34",
    precision: Precision = "auto",
    sample: SampleIs = None,
    direction: Direction = 90.0,
    light: Light = 90.0,
    folds: Folds = 5,
    fold: Fold = None,
    gold: Gold = None,
    split: SplitFile = None,
    group_pattern: GroupPattern = None,
    seed: Seed = 0,
    device: Device = "auto",
    resume: Resume = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan of every arrow and stop.")] = False,
    json_: Json = False,
) -> None:
    """Fine-tune on synthetic microstructures, then on painted images; score every task after every arrow.

    From a model (a bundle or a shipped one) the synthetic arrow is left out unless --synthetic or --set ask for it.
    Name --classes as the synthetic ones (grain,boundary) where they mean the same, so that the head is kept.
    --sample, like every other setting but the lengths, holds for the synthetic arrow, too.
    --split is that of FOLDER; --group-pattern is for the folders after --then, too.
    """
    from napari_anneal.synthesis import SyntheticStream
    from napari_anneal.synthesis.recipe_file import read_recipe, recipe_from_words
    from napari_anneal.training import Arrow, run_arrows
    from napari_anneal.training.arrows import cascade_arrows, is_model, plan_arrows, recipe_of_synthetic
    from napari_anneal.training.runs import start_named

    samples = grouped_samples(folder, group_pattern, gold)
    begin = start_named(start)
    recipe = recipe_of_options(context.params, samples)
    stream = first = None
    if synthetic is not None or settings or not is_model(begin):
        words = settings or ()
        asked = recipe_from_words(words, ranges=True) if synthetic is None else read_recipe(synthetic, words)
        stream = SyntheticStream.in_patches(asked.recipe, seed if asked.seed is None else asked.seed, patch)
        first = recipe_of_synthetic(recipe, stream, begin, synthetic_epochs, steps_per_epoch=synthetic_steps)
    others = {place.resolve().name: grouped_samples(place, group_pattern, gold) for place in then or ()}
    if len(others) < len(then or ()):
        refuse("two folders after --then have the same name, which their arrows would share; rename one of them.")
    groups = {place: _groups(given) for place, given in ((str(folder), samples), *others.items())}
    for name in gold or ():
        if not any(name in there for there in groups.values()):
            refuse(f"no sample is of the group {name!r} that is to be gold; check groups.csv.")

    def plan_of(
        place: str, given: Sequence[Sample], number: int | None = None, file: Path | None = None
    ) -> SplitPlan | None:
        """The split of one folder, with the gold groups that are in it."""
        there = [name for name in gold or () if name in groups[place]]
        most = folds if place == str(folder) else max(2, min(folds, len(groups[place]) - len(there)))
        return fold_plan(given, most, number, there, seed, file)

    plan = plan_of(str(folder), samples, fold, split)
    more = [Arrow(name, given, recipe, plan_of(name, given)) for name, given in others.items()]
    arrows = cascade_arrows(samples, plan, recipe, first, stream, begin, more)
    if dry_run:
        plans = plan_arrows(arrows, begin, measure=True)
        found = [{"arrow": arrow.name, **plan.to_dict()} for arrow, plan in zip(arrows, plans, strict=True)]
        texts = [f"{arrow.name}\n{plan}" for arrow, plan in zip(arrows, plans, strict=True)]
        answer(json_, {"arrows": found}, "\n\n".join(texts))
        return
    with progress_bar("cascade") as advance:
        done = run_arrows(arrows, begin, out, _teller(advance, len(arrows)), None, resume, score_every)
    answer(json_, done.to_dict(), f"{done.table()}\n\nmodel in {done.runs[-1].out}/model")


def _groups(samples: Sequence[Sample]) -> set[str]:
    return {sample.group or sample.name for sample in samples}


def _teller(advance: Callable[[int, int], None], total: int) -> Callable[[CascadeEvent], None]:
    """Progress over all arrows, and every notice on standard error."""
    from napari_anneal.training.events import Notice, PartStarted, StepDone

    number = 0

    def tell(event: CascadeEvent) -> None:
        nonlocal number
        if isinstance(event, PartStarted):
            number = event.number
            going = "is finished" if event.done else "begins"
            remark(f"arrow {number} of {event.total}, {event.name}, {going}")
        elif isinstance(event, StepDone):
            advance((number - 1) * event.total_steps + event.step, total * event.total_steps)
        elif isinstance(event, Notice):
            remark(event.text)

    return tell
