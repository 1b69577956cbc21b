"""Everything that is wrong with a data set, at once: files, groups, labels, pixel sizes, and copies of one image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_anneal.errors import GoldError, InputError, LedgerError
from napari_anneal.samples.folders import list_folder, read_listed
from napari_anneal.samples.gold_folder import lock_gold, read_gold_file
from napari_anneal.samples.groups_csv import Problem
from napari_anneal.samples.normalisation import intensity_range
from napari_anneal.samples.sample import Sample
from napari_anneal.validation.coverage import lone_class
from napari_anneal.validation.groups import groups_from_names
from napari_anneal.validation.leakage import Copy, find_copies
from napari_anneal.validation.leakage.merging import part_sentence
from napari_anneal.validation.leakage.parts import parts_of_one

__all__ = ["DataCheck", "check_folder", "check_samples"]

# Problems that the groups of a pattern make good.
OF_GROUPS_CSV = {"groups.csv", "empty row", "group without image", "image without group"}
MOST_NAMES = 5
# More classes than anybody paints.
MOST_CLASSES = 64


@dataclass(frozen=True)
class DataCheck:
    """What was found in a data set.

    Attributes
    ----------
    samples
        The samples that could be read.
    problems
        What is wrong, in the order in which one would mend it; ``notes``: what is good to know.
    copies
        Copies of one image, anywhere; ``leaks``: those of different groups, which a split would let through if it
        believed the groups.
    """

    samples: tuple[Sample, ...]
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]
    copies: tuple[Copy, ...]
    leaks: tuple[Copy, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers, strings and lists, ready for JSON."""
        names = [sample.name for sample in self.samples]

        def pairs(copies: Sequence[Copy]) -> list[list[str]]:
            return [[names[c.first], names[c.second], c.kind] for c in copies]

        return {
            "images": len(self.samples),
            "painted": sum(1 for sample in self.samples if any(True for _ in sample.painted_slices())),
            "groups": {sample.name: sample.group for sample in self.samples},
            "copies": pairs(self.copies),
            "leaks": pairs(self.leaks),
            **{
                role: [{"kind": p.kind, "sentence": p.sentence, "names": list(p.names)} for p in found]
                for role, found in (("problems", self.problems), ("notes", self.notes))
            },
        }

    def __str__(self) -> str:
        """One line a problem, one a note, and a last one that counts."""
        lines = [*(f"wrong: {p.sentence}" for p in self.problems), *(f"note: {p.sentence}" for p in self.notes)]
        count = len(self.problems)
        says = "nothing is wrong" if not count else "1 thing is wrong" if count == 1 else f"{count} things are wrong"
        return "\n".join([*lines, f"{len(self.samples)} images read; {says}."])


def check_folder(
    folder: str | Path,
    group_pattern: str | None = None,
    gold: Sequence[str] = (),
    *,
    progress: Callable[[int, int], None] | None = None,
) -> DataCheck:
    """Check a folder with ``images/``, ``labels/`` and perhaps ``groups.csv``, and go on after what is wrong.

    Parameters
    ----------
    folder
        As for `read_samples`.
    group_pattern
        Take the groups from the file names (see `groups_from_names`) and not from ``groups.csv``.
    gold
        Groups that are to be set aside, besides those that the folder has locked: copies of their images elsewhere are
        told apart.
    progress
        Called with (images searched for copies, images in all).

    Raises
    ------
    InputError
        No such folder, no images in it, or a bad pattern.
    """
    listing = list_folder(folder)
    problems = [p for p in listing.problems if group_pattern is None or p.kind not in OF_GROUPS_CSV]
    samples = []
    for name in listing.images:
        try:
            samples.append(read_listed(listing, name))
        except InputError as error:
            problems.append(Problem("unusable image or labels", str(error), (name,)))
    if group_pattern is not None:
        found = groups_from_names([sample.name for sample in samples], group_pattern)
        if found.unmatched:
            problems.append(Problem("image without group", found.sentence, found.unmatched))
        samples = [s.changed(group=group or "") for s, group in zip(samples, found.groups, strict=True)]
    locked = read_gold_file(folder)
    try:
        lock_gold(folder, samples)
    except (GoldError, LedgerError) as error:
        problems.append(Problem("gold", str(error)))
    checked = check_samples(samples, (*gold, *(locked.groups if locked else ())), progress=progress)
    return replace(checked, problems=(*problems, *checked.problems))


def check_samples(
    samples: Sequence[Sample], gold: Sequence[str] = (), *, progress: Callable[[int, int], None] | None = None
) -> DataCheck:
    """Check samples that were read already; see `check_folder`."""
    samples = tuple(samples)
    names = [sample.name or f"image {i}" for i, sample in enumerate(samples, start=1)]
    own = [sample.group.strip() or f"\0{i}" for i, sample in enumerate(samples)]
    copies = find_copies(samples, progress=progress)
    leaks = tuple(copy for copy in copies if own[copy.first] != own[copy.second])
    gold_groups = {name.strip() for name in gold}
    problems = [
        *_pixels(samples, names),
        *_labels(samples, names, own),
        *_groups(samples, own, gold_groups),
        *_augmented(samples, names, own),
        *_leaks(leaks, names, own, gold_groups),
        *_parts(names, own),
    ]
    return DataCheck(samples, tuple(problems), tuple(_notes(samples, names, copies, leaks)), copies, leaks)


def _pixels(samples: Sequence[Sample], names: Sequence[str]) -> Iterator[Problem]:
    """Images that cannot be normalised, and grey ones among coloured ones."""
    for sample, name in zip(samples, names, strict=True):
        try:
            intensity_range(sample.image, sample.axes, name)
        except InputError as error:
            yield Problem("pixels", str(error), (name,))
    grey = [name for sample, name in zip(samples, names, strict=True) if sample.channels == 1]
    colour = [name for sample, name in zip(samples, names, strict=True) if sample.channels == 3]
    if grey and colour:
        fewer = min(grey, colour, key=len)
        yield Problem(
            "grey and colour",
            f"{len(grey)} images are grey and {len(colour)} are colour ({_listed(fewer)}); convert all to grey to "
            "train together.",
            tuple(fewer),
        )


def _labels(samples: Sequence[Sample], names: Sequence[str], own: Sequence[str]) -> Iterator[Problem]:
    """Nothing painted, a class left out, one class only, a class in one group only."""
    where: dict[int, dict[str, None]] = {}
    blank = []
    for sample, name, group in zip(samples, names, own, strict=True):
        classes = {int(k) for part in sample.painted_slices() for k in np.unique(part.labels)} - {0}
        for k in classes:
            where.setdefault(k, {})[group] = None
        if sample.labels is not None and not classes:
            blank.append(name)
    if blank:
        yield Problem("unpainted", f"the labels of {_listed(blank)} are empty; paint on them.", tuple(blank))
    if not where:
        if samples:
            yield Problem("unpainted", "no image is painted at all; paint a few strokes of each class first.")
        return
    if max(where) > MOST_CLASSES:
        yield Problem(
            "instances",
            f"labels go up to {max(where)}: they look like the numbers of single objects, not like classes; give all "
            "pixels of one kind the same number.",
        )
        return
    skipped = [k for k in range(1, max(where)) if k not in where]
    if skipped:
        yield Problem(
            "label gap",
            f"label {_listed(skipped)} is painted nowhere, though label {max(where)} is; number the classes without a "
            "gap.",
        )
    if len(where) == 1:
        yield Problem(
            "one class", f"only label {min(where)} is painted; paint the background or another class as well."
        )
    groups = {group for painted in where.values() for group in painted}
    for k, painted in sorted(where.items()):
        if len(painted) == 1 and len(groups) > 1:
            only = next(iter(painted)).lstrip("\0")
            only = names[int(only)] if only.isdigit() and next(iter(painted)).startswith("\0") else only
            yield Problem("class in one group", lone_class(k, only), (only,))


def _groups(samples: Sequence[Sample], own: Sequence[str], gold: set[str]) -> Iterator[Problem]:
    """One group only; gold groups that nobody has."""
    if len(samples) > 1 and len(set(own)) == 1:
        yield Problem(
            "one group",
            f"all {len(samples)} images are of one group ({own[0]}), so nothing can be held out; add another specimen, "
            "or correct the groups.",
        )
    for name in sorted(gold - set(own)):
        yield Problem("gold", f"no image belongs to the gold group {name!r}; check its spelling.", (name,))
    if gold and gold >= set(own):
        yield Problem("gold", "every group is gold, so there is nothing to train on; take fewer groups.")


def _augmented(samples: Sequence[Sample], names: Sequence[str], own: Sequence[str]) -> Iterator[Problem]:
    """Augmented copies that are given another group than their original."""
    originals = {name: own[i] for i, name in enumerate(names) if not samples[i].copy_of}
    for sample, name, group in zip(samples, names, own, strict=True):
        if sample.copy_of and originals.get(sample.copy_of, group) != group:
            yield Problem(
                "copy across groups",
                f"{name!r} is an augmented copy of {sample.copy_of!r}, but has another group; give it that of its "
                "original.",
                (sample.copy_of, name),
            )


def _leaks(leaks: Sequence[Copy], names: Sequence[str], own: Sequence[str], gold: set[str]) -> Iterator[Problem]:
    """Copies in different groups, and those of gold images first."""
    for copy in leaks:
        pair = (names[copy.first], names[copy.second])
        sides = [own[i] in gold for i in (copy.first, copy.second)]
        if sides[0] != sides[1]:
            yield Problem(
                "gold overlaps training",
                f"gold and training share an image: {copy.sentence(names)} Take both groups as gold, or remove one.",
                pair,
            )
        else:
            yield Problem(
                "copy across groups", f"{copy.sentence(names)} They are in different groups; make these one.", pair
            )


def _parts(names: Sequence[str], own: Sequence[str]) -> Iterator[Problem]:
    """Tiles, slices and augmented copies of one image in different groups."""
    for first, second, image in parts_of_one(names):
        # An image without a group is put right by itself: it counts with the others of its image.
        if own[first] != own[second] and not any(own[i].startswith("\0") for i in (first, second)):
            why = part_sentence(names, first, second, image)
            yield Problem(
                "parts across groups",
                f"{why[:1].upper()}{why[1:]} They are in different groups; make these one.",
                (names[first], names[second]),
            )


def _notes(
    samples: Sequence[Sample], names: Sequence[str], copies: Sequence[Copy], leaks: Sequence[Copy]
) -> Iterator[Problem]:
    """Good to know: no labels yet, augmented copies, no groups, no pixel sizes, copies within a group."""
    bare = [name for sample, name in zip(samples, names, strict=True) if sample.labels is None]
    if bare and len(bare) < len(samples):
        yield Problem("unlabelled", f"{_listed(bare)} {_has(bare)} no labels yet.", tuple(bare))
    augmented = [name for sample, name in zip(samples, names, strict=True) if sample.copy_of]
    if augmented:
        yield Problem(
            "augmented copies",
            f"{len(augmented)} images are augmented copies of others; they train with their originals and never judge.",
            tuple(augmented),
        )
    alone = [name for sample, name in zip(samples, names, strict=True) if not sample.group.strip()]
    if alone and len(samples) > 1:
        whose = (
            "every image counts" if len(alone) == len(samples) else f"{_listed(alone)} count{'s' * (len(alone) == 1)}"
        )
        yield Problem(
            "no groups",
            f"{whose} as a specimen of its own, because no group is given; images of one specimen must share one.",
            tuple(alone),
        )
    scaleless = [name for sample, name in zip(samples, names, strict=True) if sample.spacing is None]
    if scaleless:
        yield Problem(
            "no spacing",
            f"{_listed(scaleless)} {_has(scaleless)} no pixel size, so figures in µm cannot be given; save it in the "
            "files (TIFF or OME-Zarr).",
            tuple(scaleless),
        )
    sizes = sorted({sample.spacing[-1] for sample in samples if sample.spacing is not None})
    if sizes and sizes[-1] > 1.2 * sizes[0]:
        yield Problem(
            "several spacings",
            f"pixel sizes range from {sizes[0]:g} to {sizes[-1]:g}; the network sees pixels, so one structure will "
            "look different in them.",
        )
    within = [copy for copy in copies if copy not in leaks]
    if within:
        yield Problem(
            "copies within groups",
            f"{len(within)} pair{'s' * (len(within) != 1)} of copies lie within groups, which no split separates; the "
            f"first: {within[0].sentence(names)}",
        )


def _listed(names: Sequence[object]) -> str:
    shown = ", ".join(str(name) for name in names[:MOST_NAMES])
    return shown + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")


def _has(names: Sequence[object]) -> str:
    return "has" if len(names) == 1 else "have"
