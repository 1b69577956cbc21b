"""Augmented pairs on disk, for programs that do not augment by themselves: images, labels, groups and the recipe.

Training here augments on the fly and needs none of this. A copy has the group of its original and says in
``groups.csv`` which image it was made from, so that no split of ours ever lets it judge, and with which seed, so that
it can be made again.
"""

from __future__ import annotations

import csv
import io
import json
import platform
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_anneal.augmentation.pipeline import Augmenter
from napari_anneal.augmentation.recipe import AugmentationRecipe
from napari_anneal.cancelling import CancelSignal
from napari_anneal.errors import GoldError, InputError, OutputError
from napari_anneal.samples.gold import is_locked
from napari_anneal.samples.groups_csv import COPY_COLUMN
from napari_anneal.samples.normalisation import IntensityRange, intensity_range
from napari_anneal.samples.placing import put_in_place, refuse_full_disk, remove, why_not_written
from napari_anneal.samples.sample import PaintedSlice, Sample
from napari_anneal.samples.writing import write_plane

__all__ = ["Exported", "copy_seed", "export_augmented", "read_augmentation"]

FORMAT = "napari-anneal augmented 1"
RECIPE_NAME = "recipe.json"
SEED_COLUMN = "augmentation_seed"
# Draws after which a copy without any paint left on it is given up.
MOST_DRAWS = 32
# On the disk, a pixel of labels at the most; an image takes what its type takes, since noise does not compress.
LABEL_BYTES = 1


@dataclass(frozen=True)
class Exported:
    """What `export_augmented` wrote.

    Attributes
    ----------
    folder
        The folder; ``None`` after a cancel, which leaves nothing.
    copies, originals
        How many augmented pairs, and how many originals beside them.
    left_out
        Names of the samples that carry no paint and therefore make no pair.
    """

    folder: Path | None
    copies: int
    originals: int
    left_out: tuple[str, ...]

    def __str__(self) -> str:
        """One sentence."""
        if self.folder is None:
            return "Cancelled; nothing was written."
        pairs = f"{self.copies} augmented pair{'s' * (self.copies != 1)}"
        beside = f" and {self.originals} original{'s' * (self.originals != 1)}" if self.originals else ""
        unpainted = f"; not painted, so left out: {', '.join(self.left_out)}" if self.left_out else ""
        return f"{pairs}{beside} written to {self.folder}{unpainted}."


class _Source(NamedTuple):
    """One painted slice: the name it gets in the folder, the number of its sample, and what is needed to write it."""

    name: str
    group: str
    number: int
    part: PaintedSlice
    limits: IntensityRange
    spacing: tuple[float, float] | None


def export_augmented(
    samples: Sequence[Sample],
    recipe: AugmentationRecipe,
    out: str | Path,
    *,
    copies: int = 5,
    seed: int = 0,
    originals: bool = True,
    progress: Callable[[int, int], None] | None = None,
    cancel: CancelSignal | None = None,
) -> Exported:
    """Write augmented copies of every painted image and slice into a new folder that ``read_samples`` reads.

    ``images/`` and ``labels/`` (TIFF; images in the type of their original, which a detector of that type would have
    given: values beyond its end are cut off there), ``groups.csv`` with ``image, group, augmented_from,
    augmentation_seed``, and ``recipe.json``. The folder takes its name when it is finished.

    Parameters
    ----------
    samples
        Training samples. Of a stack every painted slice becomes a pair of its own, with the group of the stack.
    recipe
        What to vary.
    out
        The folder to create; one that exists must be empty.
    copies
        Augmented copies of every painted image or slice, ≥ 1.
    seed
        Whole number ≥ 0; the same samples, recipe and seed give the same files.
    originals
        Put the originals beside the copies; without them nothing in the folder may judge a model.
    progress
        Called with (pairs written, pairs in all).
    cancel
        Asked before every pair; when it is set, nothing is kept.

    Raises
    ------
    InputError
        Nothing is painted, two samples have one name, a number is out of range, the recipe varies nothing or what the
        kind of sample forbids, or an image is constant or holds NaN.
    GoldError
        A sample is gold.
    OutputError
        The folder is in use, the disk has too little space, or it cannot be written; nothing is left.
    """
    out = Path(out)
    recipe = _checked(recipe, copies, seed)
    names = _names(samples)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise OutputError(f"{out} already exists and is not empty; choose another folder.")
    slices = [_painted_count(sample) for sample in samples]
    if not sum(slices):
        raise InputError("nothing is painted on these samples, so there are no pairs to augment; paint on them first.")
    total = sum(slices) * (copies + originals)
    refuse_full_disk(out, _bytes(samples, slices, copies + originals), f"{total} pairs")
    augment = Augmenter(recipe)
    partial = out.with_name(f".{out.name}.partial")
    rows: list[tuple[str, str, str, str]] = []
    done = 0

    def wanted() -> bool:
        nonlocal done
        if cancel is not None and cancel.is_set():
            return False
        done += 1
        if progress is not None and done > 1:
            progress(done - 1, total)
        return True

    try:
        remove(partial)
        partial.mkdir(parents=True)
        for source in _sources(samples, names):
            if originals:
                if not wanted():
                    return _cancelled(partial)
                write_plane(partial, source.name, _picture(source.part.image), source.part.labels, source.spacing)
                rows.append((source.name, source.group, "", ""))
            for number in range(1, copies + 1):
                if not wanted():
                    return _cancelled(partial)
                image, labels, drawn = _draw(augment, source, seed, number)
                name = f"{source.name}_aug{number:03d}"
                write_plane(partial, name, _as_taken(image, source), labels, source.spacing)
                rows.append((name, source.group, source.name, str(drawn)))
        if progress is not None:
            progress(total, total)
        _describe(partial, recipe, seed, copies, rows)
        put_in_place(partial, out)
    except BaseException as error:
        remove(partial)
        if isinstance(error, OSError) and not isinstance(error, OutputError):
            raise OutputError(f"{out} cannot be written ({why_not_written(error)}); write somewhere else.") from error
        raise
    left_out = tuple(name for name, count in zip(names, slices, strict=True) if not count)
    return Exported(out, sum(slices) * copies, sum(slices) * originals, left_out)


def copy_seed(seed: int, sample: int, z: int | None, copy: int, draw: int = 0) -> int:
    """Seed for `Augmenter` of one copy: of the sample's number from 0, its slice, the copy's number and the draw."""
    key = [seed, sample, 0 if z is None else z + 1, copy, draw]
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])


def read_augmentation(path: str | Path) -> AugmentationRecipe:
    """Read an augmentation recipe: bare, or the ``recipe.json`` of an export or a training run, or the folder of one.

    Raises
    ------
    InputError
        No such file, no JSON, or a setting that is unknown, out of range or illegal for the kind of sample.
    """
    path = Path(path)
    path = path / RECIPE_NAME if path.is_dir() else path
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); check the name.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a recipe: it holds no JSON text ({error}).") from error
    settings = content.get("augmentation", content) if isinstance(content, dict) else content
    if not isinstance(settings, dict):
        raise InputError(f"{path} is not a recipe: it holds a {type(settings).__name__} instead of named settings.")
    try:
        return AugmentationRecipe.model_validate(settings)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _checked(recipe: AugmentationRecipe, copies: int, seed: int) -> AugmentationRecipe:
    """Refuse numbers out of range, and recipes that vary nothing or were never checked."""
    for name, value, least in (("copies", copies, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{name} = {value!r} cannot be used; give a whole number, {least} or more.")
    recipe = AugmentationRecipe.model_validate(recipe.model_dump())
    if not recipe.active:
        raise InputError("this recipe varies nothing, so every copy would be its original; switch a transform on.")
    return recipe


def _names(samples: Sequence[Sample]) -> list[str]:
    """Names fit for files, all different whatever the case; gold is refused here, before anything is read."""
    names: list[str] = []
    for number, sample in enumerate(samples, start=1):
        if is_locked(sample):
            raise GoldError(
                f"{sample.name or f'sample {number}'!r} is gold, and no copies are made of gold; leave it out here."
            )
        if sample.copy_of:
            raise InputError(f"{sample.name!r} is itself an augmented copy of {sample.copy_of!r}; give the originals.")
        name = re.sub(r'[\x00-\x1f<>:"/\\|?*]', "_", sample.name).strip(" .") or f"image_{number:03d}"
        if name.lower() in (other.lower() for other in names):
            raise InputError(f"two samples are called {name!r}; give every sample a name of its own.")
        names.append(name)
    return names


def _painted_count(sample: Sample) -> int:
    """How many slices carry paint; only labels are read."""
    if sample.labels is None:
        return 0
    planes = range(sample.spatial_shape[0]) if sample.is_stack else (slice(None),)
    return sum(bool(np.asarray(sample.labels[z]).any()) for z in planes)


def _bytes(samples: Sequence[Sample], slices: Sequence[int], each: int) -> int:
    """What the pairs need on the disk, about."""
    total = 0
    for sample, count in zip(samples, slices, strict=True):
        pixel = min(np.dtype(sample.image.dtype).itemsize, 4) * sample.channels + LABEL_BYTES
        total += count * each * int(np.prod(sample.spatial_shape[-2:])) * pixel
    return total


def _sources(samples: Sequence[Sample], names: Sequence[str]) -> Iterator[_Source]:
    """Every painted slice, read one at a time."""
    for number, (sample, name) in enumerate(zip(samples, names, strict=True)):
        limits = None
        for part in sample.painted_slices():
            # Those of the whole volume, as in training.
            limits = limits or intensity_range(sample.image, sample.axes, f"sample {name!r}")
            spacing = None if sample.spacing is None else (sample.spacing[-2], sample.spacing[-1])
            called = name if part.z is None else f"{name}_z{part.z:04d}"
            group = " ".join(sample.group.split()) or name
            yield _Source(called, group, number, part, limits, spacing)


def _draw(
    augment: Augmenter, source: _Source, seed: int, number: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any], int]:
    """An augmented copy that has paint left on it, and the seed it was drawn with."""
    unit = source.limits.apply(source.part.image, f"sample {source.name!r}")
    for draw in range(MOST_DRAWS):
        drawn = copy_seed(seed, source.number, source.part.z, number, draw)
        image, labels = augment(unit, source.part.labels, drawn)
        if labels.any():
            return image, labels, drawn
    raise InputError(
        f"{source.name!r} has so little paint that {MOST_DRAWS} draws have moved all of it out of the picture; paint "
        "more, or make rotate, scale, crop and cutout weaker."
    )


def _picture(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``(C, Y, X)`` as ``(Y, X)`` or ``(Y, X, 3)`` in a type that every program opens."""
    picture = image[0] if image.shape[0] == 1 else np.moveaxis(image, 0, -1)
    if picture.dtype == np.bool_:
        return picture.astype(np.uint8) * np.uint8(255)
    return picture.astype(np.float32) if picture.dtype.kind == "f" else picture


def _as_taken(unit: npt.NDArray[np.float32], source: _Source) -> npt.NDArray[Any]:
    """Back from the unit range to the grey values and the type of the original."""
    grey = unit.astype(np.float64) * (source.limits.high - source.limits.low) + source.limits.low
    dtype = source.part.image.dtype
    if dtype.kind == "f":
        return _picture(grey.astype(np.float32))
    if dtype == np.bool_:
        grey, dtype = grey * 255, np.dtype(np.uint8)
    ends = np.iinfo(dtype)
    return _picture(np.clip(np.rint(grey), ends.min, ends.max).astype(dtype))


def _describe(
    folder: Path, recipe: AugmentationRecipe, seed: int, copies: int, rows: Sequence[tuple[str, str, str, str]]
) -> None:
    """Write ``groups.csv`` and ``recipe.json``."""
    from importlib.metadata import version

    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("image", "group", COPY_COLUMN, SEED_COLUMN))
    table.writerows(rows)
    (folder / "groups.csv").write_text(text.getvalue(), encoding="utf-8")
    versions = {name: version(name) for name in ("napari-anneal", "numpy", "albumentations")}
    content = {
        "format": FORMAT,
        "augmentation": recipe.model_dump(mode="json"),
        "seed": seed,
        "copies": copies,
        "versions": {**versions, "python": platform.python_version()},
    }
    (folder / RECIPE_NAME).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _cancelled(partial: Path) -> Exported:
    remove(partial)
    return Exported(None, 0, 0, ())
