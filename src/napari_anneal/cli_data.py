"""``check`` and ``split``: what is wrong with a data set, and who trains and who validates, from a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_anneal.terminal import (
    Gold,
    GroupPattern,
    Json,
    Seed,
    Who,
    answer,
    grouped_samples,
    known,
    person,
    progress_bar,
    refuse,
)

__all__ = ["check", "split"]

Folder = Annotated[Path, typer.Argument(help="Folder with images/, labels/ (0 = not painted) and groups.csv.")]


def check(
    folder: Folder,
    group_pattern: GroupPattern = None,
    gold: Gold = None,
    json_: Json = False,
) -> None:
    """Say everything that is wrong with a data set: files, groups, labels, copies of one image in different groups."""
    from napari_anneal.validation.checking import check_folder

    with progress_bar("looking for copies") as advance:
        found = check_folder(folder, group_pattern, tuple(gold or ()), progress=advance)
    answer(json_, found.to_dict(), str(found))


def split(
    folder: Folder,
    folds: Annotated[int, typer.Option(min=2, help="Number of folds.")] = 5,
    method: Annotated[
        str,
        typer.Option(
            help="group (balances images), stratified (every class in every fold), leave_one_group_out or hold_out."
        ),
    ] = "group",
    share: Annotated[float, typer.Option(help="Part of the groups that a hold_out validates on.")] = 0.2,
    gold: Gold = None,
    group_pattern: GroupPattern = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the split here as JSON, for --split of train, cascade, cross-validate and calibrate."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier split.")] = False,
    lock: Annotated[
        bool,
        typer.Option(
            "--lock", help="Lock the gold in the folder's gold.json: no command reads it again but evaluate --gold."
        ),
    ] = False,
    release: Annotated[
        bool,
        typer.Option(
            "--release", help="Give the locked gold up for good, which the ledger and every later report will say."
        ),
    ] = False,
    who: Who = None,
    seed: Seed = 0,
    json_: Json = False,
) -> None:
    """Show who would train and who would validate in every fold; groups never end up on both sides."""
    from napari_anneal.samples.gold_folder import lock_folder, release_folder
    from napari_anneal.validation import group_split, plan_to_dict, write_plan
    from napari_anneal.validation.splits import METHODS

    if release:
        if lock or gold or out is not None:
            refuse("--release only gives gold up; leave out --lock, --gold and --out, and split afterwards.")
        names = release_folder(folder, person(who))
        answer(json_, {"released": list(names)}, f"released, and no gold any more: {', '.join(names)}")
        return
    chosen = known(method, METHODS, "method of splitting")
    samples = grouped_samples(folder, group_pattern)
    plan = group_split(samples, folds, tuple(gold or ()), seed, method=chosen, share=share)
    if lock:
        lock_folder(folder, samples, plan.gold, person(who))
    if out is not None:
        write_plan(plan, samples, out, overwrite)
    answer(json_, plan_to_dict(plan, samples), f"{plan.report}" + (f"\nsplit written to {out}" if out else ""))
