"""``augment``: augmented copies of a data set as a folder, for programs that do not augment by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_anneal.cli_training import Direction, Light, SampleIs
from napari_anneal.terminal import (
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
    from napari_anneal.augmentation import AugmentationRecipe
    from napari_anneal.samples import Sample

__all__ = ["augment"]


def augment(
    folder: Annotated[Path, typer.Argument(help="Folder with images/, labels/ (0 = not painted) and groups.csv.")],
    out: Annotated[Path, typer.Argument(help="Folder of pairs to create.")],
    copies: Annotated[int, typer.Option(min=1, help="Augmented copies of every painted image or slice.")] = 5,
    sample: SampleIs = None,
    direction: Direction = 90.0,
    light: Light = 90.0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any setting of the augmentation: field=value, e.g. elastic=0.3 (repeat)."),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="Augment as this recipe.json says: of an earlier export, or of a training run.")
    ] = None,
    match_noise: Annotated[
        bool, typer.Option("--match-noise", help="Add noise and blur as strong as those of the images themselves.")
    ] = False,
    only_copies: Annotated[
        bool, typer.Option("--only-copies", help="Leave the originals out; then nothing in the folder may judge.")
    ] = False,
    split: SplitFile = None,
    fold: Annotated[int, typer.Option(min=1, help="With --split: augment what trains in this fold.")] = 1,
    gold: Gold = None,
    group_pattern: GroupPattern = None,
    seed: Seed = 0,
    json_: Json = False,
) -> None:
    """Write augmented copies of painted images, with groups and recipe; train needs none of it and augments as it goes.

    Gold is left out, and so is what validates, with --split. Copies keep the group of their original and never judge.
    """
    from napari_anneal.augmentation import export_augmented

    samples = _training(grouped_samples(folder, group_pattern, gold), split, fold)
    chosen = _recipe(recipe, sample, direction, light)
    if match_noise:
        chosen = chosen.model_copy(update=_matched(samples, chosen))
    chosen = _changed(chosen, settings or [])
    with progress_bar("augmenting") as advance:
        done = export_augmented(
            samples, chosen, out, copies=copies, seed=seed, originals=not only_copies, progress=advance
        )
    found = {
        "folder": str(done.folder),
        "copies": done.copies,
        "originals": done.originals,
        "left_out": list(done.left_out),
        "switched_off": chosen.switched_off,
        "augmentation": chosen.model_dump(mode="json"),
        "seed": seed,
    }
    answer(json_, found, str(done))


def _training(samples: Sequence[Sample], split: Path | None, fold: int) -> list[Sample]:
    """What may be augmented: nothing that is gold or shares an image with gold, and of a split only what trains."""
    from napari_anneal.validation import read_plan
    from napari_anneal.validation.gold_free import gold_free

    free, said = gold_free(samples)
    if said:
        remark(said)
    if split is not None:
        plan = read_plan(split, samples)
        if fold > len(plan.folds):
            refuse(f"there is no fold {fold} in {split}; it has {len(plan.folds)}.")
        free = sorted({*free} & {*plan.folds[fold - 1].train})
    return [samples[i] for i in free if not samples[i].copy_of]


def _recipe(file: Path | None, kinds: list[str] | None, direction: float, light: float) -> AugmentationRecipe:
    from napari_anneal.augmentation import AugmentationRecipe, read_augmentation

    if file is None:
        return AugmentationRecipe.for_sample(kinds or "isotropic", direction_deg=direction, light_deg=light)
    if kinds:
        refuse("--recipe and --sample contradict each other; the file says what the sample is.")
    return read_augmentation(file)


def _changed(recipe: AugmentationRecipe, words: Sequence[str]) -> AugmentationRecipe:
    from napari_anneal.augmentation import AugmentationRecipe
    from napari_anneal.synthesis.recipe_file import change_settings

    return AugmentationRecipe.model_validate(change_settings(recipe.model_dump(mode="json"), words))


def _matched(samples: Sequence[Sample], recipe: AugmentationRecipe) -> dict[str, Any]:
    """Settings that the images themselves give, without what the kind of sample forbids; remarks are said."""
    from napari_anneal.augmentation import match_noise

    parts = [part.image for one in samples for part in one.painted_slices()]
    found = match_noise([image[0] if len(image) == 1 else image.transpose(1, 2, 0) for image in parts])
    for sentence in (f"{found}.", *found.remarks, *([found.suggestion] if found.suggestion else [])):
        remark(sentence)
    return {name: value for name, value in found.settings.items() if name not in recipe.switched_off}
