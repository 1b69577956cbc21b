"""Synthetic pairs on disk: images, training labels and grains in the layout ``read_samples`` reads, with their recipe.

The folder takes its name when it is finished. A run that ends early (cancelled, disk full) ends with the pairs that
were finished, in a folder that says how many; a process that is killed leaves only a ``.partial`` beside the name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from napari_anneal.cancelling import CancelSignal
from napari_anneal.errors import InputError, OutputError
from napari_anneal.synthesis.microstructure import check_seed, synthesize
from napari_anneal.synthesis.randomization import RecipeRanges
from napari_anneal.synthesis.recipe import MicrostructureRecipe
from napari_anneal.synthesis.recipe_file import RecipeFile
from napari_anneal.synthesis.stream import SyntheticStream

__all__ = ["SavedPairs", "pairs_bytes", "save_pairs"]

RECIPE_NAME = "recipe.json"
# What a folder of pairs holds; one that holds anything else is not ours to replace.
CONTENT = {"images", "labels", "grains", "groups.csv", RECIPE_NAME}
# Of an image as 16-bit TIFF (noise does not compress) and its labels and grains (which do, well).
BYTES_PER_PIXEL = 2.6
# Of one plane of the three TIFFs, whatever its size.
BYTES_PER_PLANE = 1200


@dataclass(frozen=True)
class SavedPairs:
    """What `save_pairs` wrote: ``count`` pairs in ``folder`` (``None`` where a cancel left none).

    The folder is the one asked for, except when a run that was to replace an earlier folder ended early: that one
    stays, and what is new lies in a ``.partial`` beside it.
    """

    folder: Path | None
    count: int


def save_pairs(
    recipe: MicrostructureRecipe | RecipeRanges,
    seed: int,
    count: int,
    out: str | Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    cancel: CancelSignal | None = None,
    overwrite: bool = False,
) -> SavedPairs:
    """Write ``count`` pairs: ``images/``, ``labels/`` and ``grains/`` (TIFF), each pair a group of ``groups.csv``.

    ``recipe.json`` beside them holds the recipe, the seed and the count, which make them again.

    Parameters
    ----------
    recipe
        One recipe, made with the seeds ``seed, seed + 1, …``; or ranges, of which pair k is ``SyntheticStream(ranges,
        seed)[k]``.
    seed
        Whole number ≥ 0.
    count
        How many, ≥ 1.
    out
        The folder to create.
    progress
        Called with (finished pairs, ``count``).
    cancel
        Asked before every pair; when it is set, the pairs finished so far are kept.
    overwrite
        Replace a folder that an earlier call wrote; it goes when the new one is finished.

    Returns
    -------
    SavedPairs
        How many were written, less than ``count`` after a cancel, and where.

    Raises
    ------
    InputError
        The seed or the recipe cannot be used, or a pair needs more memory than there is.
    OutputError
        The folder is in use, the disk has too little space (says how much is needed), or it cannot be written; the
        pairs finished before are kept, and the sentence says where.
    """
    from napari_anneal.samples.placing import refuse_full_disk, remove, why_not_written
    from napari_anneal.samples.writing import write_pair

    out = Path(out)
    check_seed(seed)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InputError(f"count = {count!r} cannot be used; give a whole number of pairs, 1 or more.")
    _refuse_occupied(out, overwrite)
    refuse_full_disk(out, pairs_bytes(recipe.shape, count), f"{count} pairs")
    partial = out.with_name(f"{out.name}.partial")
    _refuse_occupied(partial, overwrite=True)
    names: list[str] = []
    try:
        try:
            remove(partial)
            partial.mkdir(parents=True)
            _write_recipe(partial, RecipeFile(recipe, seed, count))
        except OSError as error:
            raise OutputError(f"{out} cannot be created ({why_not_written(error)}); write somewhere else.") from error
        for name, one, its_seed in _numbered(recipe, seed, count):
            if cancel is not None and cancel.is_set():
                break
            made = synthesize(one, its_seed)
            write_pair(partial, name, made.image, made.labels, made.grains)
            names.append(name)
            if progress is not None:
                progress(len(names), count)
    except OutputError as error:
        kept = _keep(partial, out, recipe, seed, names, count).folder
        raise OutputError(f"{error} {_what_is_left(len(names), kept)}") from error
    except BaseException:
        _keep(partial, out, recipe, seed, names, count)
        raise
    return _keep(partial, out, recipe, seed, names, count)


def pairs_bytes(shape: tuple[int, ...], count: int) -> int:
    """Bytes that ``count`` pairs of ``shape`` (Y, X) or (Z, Y, X) take on a disk, about."""
    planes = shape[0] if len(shape) == 3 else 1
    return count * (round(math.prod(shape) * BYTES_PER_PIXEL) + planes * BYTES_PER_PLANE)


def _numbered(
    recipe: MicrostructureRecipe | RecipeRanges, seed: int, count: int
) -> Iterator[tuple[str, MicrostructureRecipe, int]]:
    """Name, recipe and seed of every pair."""
    if isinstance(recipe, RecipeRanges):
        stream = SyntheticStream(recipe, seed)
        for index in range(count):
            yield (f"synthetic_{index:05d}", *stream.recipe(index))
    else:
        for number in range(seed, seed + count):
            yield f"synthetic_{number:05d}", recipe, number


def _keep(
    partial: Path, out: Path, recipe: MicrostructureRecipe | RecipeRanges, seed: int, names: list[str], count: int
) -> SavedPairs:
    """Give the folder its name, its recipe saying how many pairs there are; without pairs there is no folder."""
    from napari_anneal.samples.placing import put_in_place, remove, why_not_written

    done = len(names)
    if done == 0:
        remove(partial)
        return SavedPairs(None, 0)
    try:
        rows = ["image,group", *(f"{name},{name}" for name in names)]
        (partial / "groups.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        if done < count:
            _write_recipe(partial, RecipeFile(recipe, seed, done))
            if out.exists() and any(out.iterdir()):  # an earlier folder does not go for an incomplete one
                return SavedPairs(partial, done)
        put_in_place(partial, out)
    except OSError as error:
        raise OutputError(
            f"{out} could not be put in its place ({why_not_written(error)}); {done} pairs are in {partial}."
        ) from error
    return SavedPairs(out, done)


def _write_recipe(folder: Path, content: RecipeFile) -> None:
    """Write the recipe, whole or not at all."""
    fresh = folder / f".{RECIPE_NAME}"
    fresh.write_text(content.to_json(), encoding="utf-8")
    fresh.replace(folder / RECIPE_NAME)


def _what_is_left(done: int, kept: Path | None) -> str:
    return f"The {done} pairs finished before are in {kept}." if done else "Nothing was written."


def _refuse_occupied(out: Path, overwrite: bool) -> None:
    """Refuse to write over anything but, where asked to, what an earlier call wrote."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not overwrite:
        raise OutputError(f"{out} already exists and is not empty; choose another folder, or overwrite it.")
    found = {entry.name for entry in out.iterdir()} if out.is_dir() else set()
    if RECIPE_NAME not in found or found - CONTENT:
        raise OutputError(
            f"{out} holds other things than synthetic pairs, so it is not replaced; choose another folder."
        )
