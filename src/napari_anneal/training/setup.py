"""From what the user gave (samples, split, recipe, start) to what the loop needs: checked, said in sentences."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_anneal.errors import InputError, StartError
from napari_anneal.inference import Model, load_model
from napari_anneal.models.architecture import ArchitectureSpec
from napari_anneal.models.bundle import is_bundle
from napari_anneal.models.lineage import lineage_of
from napari_anneal.models.starts import (
    Start,
    continue_from,
    start_from_file,
    start_from_imagenet,
    start_from_scratch,
)
from napari_anneal.samples.gold import is_locked, lock
from napari_anneal.samples.patches import PatchSampler, PreparedSlice, painted_tiles, prepare_slices
from napari_anneal.samples.sample import Sample, refuse_copy
from napari_anneal.synthesis import SyntheticStream
from napari_anneal.training.batches import SyntheticPatches
from napari_anneal.training.holdout import hold_out_groups, hold_out_paint
from napari_anneal.training.loop import TrainingSet
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.run_facts import JudgedBy
from napari_anneal.training.validation_budget import validation_budget
from napari_anneal.validation import SplitPlan
from napari_anneal.validation.gold_free import gold_free

__all__ = ["Prepared", "prepare_run", "resolve_start"]

MIN_STEPS_PER_EPOCH = 8
SMALLEST_PATCH = 64
# Indices of a stream that training never reaches (at 8 patches a step, after 10⁸ steps) are its validation images.
STREAM_VALIDATION = 1 << 30
SYNTHETIC_STEPS_PER_EPOCH = 50


@dataclass(frozen=True)
class Prepared:
    """The checked ingredients of a run.

    ``held`` are the slices that judge it, whole, before they are cut to tiles; ``gold`` are the samples set aside.
    """

    data: TrainingSet
    classes: tuple[str, ...]
    channels: int
    painted: torch.Tensor | None
    train: tuple[int, ...]
    validation: tuple[int, ...]
    train_slices: int
    spacing: tuple[float, ...] | None
    notices: tuple[str, ...]
    held: tuple[PreparedSlice, ...]
    judged_by: JudgedBy
    gold: tuple[int, ...] = ()


def prepare_run(
    samples: Sequence[Sample] | SyntheticStream, plan: SplitPlan | None, recipe: FineTuneRecipe
) -> Prepared:
    """Check what is there to learn from and cut it into patches.

    Raises
    ------
    InputError
        Nothing painted, one class only, a class in the middle never painted, grey and colour mixed, names that do not
        fit the number of classes, or pixels that cannot be used.
    """
    if isinstance(samples, SyntheticStream):
        return _prepare_stream(samples, recipe)
    samples = list(samples)
    if not samples:
        raise InputError("no samples were given; add at least one image with painted labels.")
    notices: list[str] = []
    if plan is not None:
        # Nothing below can read gold, whatever it does with the samples.
        samples = [lock(sample) if i in plan.gold else sample for i, sample in enumerate(samples)]
    train, validation, by_paint = _choose(samples, plan, recipe, notices)
    channels = _one_channel_count(samples, [*train, *validation])
    slices = prepare_slices(samples, train)
    if not slices:
        raise InputError(
            "no painted labels were found in the training images; paint a few strokes of each class first."
        )
    if by_paint:
        _class_names(slices, [], recipe)  # all paint is checked before some of it is held out
        train_slices, held = hold_out_paint(slices, _highest(slices), recipe.seed)
    else:
        train_slices, held = slices, prepare_slices(samples, validation)
    classes = _class_names(train_slices, held, recipe)
    patch = _patch_for(train_slices, recipe.patch)
    if patch < recipe.patch:
        notices.append(f"Patches of {patch} px are cut, not {recipe.patch}, because the images are that small.")
    tiles_to_see = len(painted_tiles(train_slices, patch, 10**9))
    steps = recipe.steps_per_epoch or max(MIN_STEPS_PER_EPOCH, math.ceil(tiles_to_see / recipe.batch_size))
    most = validation_budget(recipe, steps)
    tiles = painted_tiles(held, patch, most)
    judged_by: JudgedBy = "held-out paint" if by_paint else "other groups"
    if not tiles:
        judged_by = "training paint"
        tiles = painted_tiles(train_slices, patch, most)
        notices.append("There is too little paint to hold any out, so the run is judged by the paint it learns from.")
    sampler = PatchSampler(train_slices, patch, len(classes), recipe.seed)
    painted = torch.tensor([sum(int((s.labels == k + 1).sum()) for s in train_slices) for k in range(len(classes))])
    return Prepared(
        TrainingSet(sampler, tiles, steps),
        classes,
        channels,
        painted,
        tuple(train),
        tuple(validation),
        len(train_slices),
        samples[train[0]].spacing,
        tuple(notices),
        tuple(held or train_slices),
        judged_by,
        tuple(i for i, sample in enumerate(samples) if is_locked(sample)),
    )


def resolve_start(
    start: str | os.PathLike[str] | Model | None,
    recipe: FineTuneRecipe,
    classes: tuple[str, ...],
    channels: int,
) -> Start:
    """Turn what the user calls a start into a network and its origin.

    Parameters
    ----------
    start
        ``None`` (scratch), ``"imagenet"``, the name of a shipped model, a bundle, a weights file, or a ``Model``.
    recipe
        Its architecture counts for scratch, ImageNet and weights files; a model brings its own.
    classes, channels
        What the network is to tell apart, and in how many channels it sees it.

    Raises
    ------
    StartError, BundleError
        It does not exist, cannot be had, or does not fit.
    """
    wanted: dict[str, Any] = {"in_channels": channels, "n_classes": len(classes)}
    own = ArchitectureSpec(
        decoder=recipe.decoder,
        encoder=recipe.encoder,
        encoder_depth=recipe.encoder_depth,
        decoder_channels=recipe.decoder_channels,
        **wanted,
    )
    if start is None:
        return start_from_scratch(own, recipe.seed)
    if isinstance(start, str) and start == "imagenet":
        return start_from_imagenet(own, recipe.seed)
    if not isinstance(start, Model):
        path = Path(start)
        if path.is_file() and not is_bundle(path):
            return start_from_file(own, path, recipe.seed)
        if path.suffix in (".safetensors", ".pth", ".pt"):
            raise StartError(f"there is no weights file {path}; check the path.")
        start = load_model(start)
    old = start.card.architecture
    begun = continue_from(start.network, old, old.model_copy(update=wanted), start.classes == classes, recipe.seed)
    origin = {
        "kind": "model",
        "name": start.card.name,
        "created": start.card.created,
    }
    return replace(begun, origin=origin, lineage=lineage_of(start.network, start.card))


def _choose(
    samples: list[Sample], plan: SplitPlan | None, recipe: FineTuneRecipe, notices: list[str]
) -> tuple[list[int], list[int], bool]:
    """Indices to train and validate on; the flag says that validation is held-out paint of the same images."""
    if plan is not None:
        fold = plan.folds[0]
        beyond = [i for i in (*fold.train, *fold.val, *plan.gold) if not 0 <= i < len(samples)]
        if beyond:
            raise InputError(
                f"the split names sample {beyond[0]} but {len(samples)} samples were given; make the split from these "
                "very samples."
            )
        for i in fold.val:
            refuse_copy(samples[i], samples[i].name or f"sample {i}")
        return list(fold.train), list(fold.val), False
    free, said = gold_free(samples)
    notices += [said] * bool(said)
    labelled = [i for i in free if samples[i].labels is not None]
    if not labelled:
        raise InputError("none of the samples has labels; paint a few strokes of each class first.")
    highest = max(int(np.max([part.labels.max() for part in samples[i].painted_slices()] or [0])) for i in labelled)
    split = hold_out_groups([samples[i] for i in free], range(1, highest + 1), recipe.seed)
    if split is not None:
        split = [free[i] for i in split[0]], [free[i] for i in split[1]]
        held = sorted({samples[i].group or samples[i].name or f"sample {i}" for i in split[1]})
        notices.append(f"Validated on {', '.join(held)}, which the network never trains on.")
        return *split, False
    originals = [i for i in labelled if not samples[i].copy_of]
    if not originals:
        raise InputError("every sample with labels is an augmented copy, and copies never judge; add the originals.")
    if len(originals) < len(labelled):
        notices.append("Augmented copies are left out: the paint held out from their original would be on them.")
    notices.append(
        "Validated on paint held out from the training specimen itself, so the score flatters; paint a second specimen "
        "to know better."
    )
    return originals, [], True


def _patch_for(slices: list[PreparedSlice], wanted: int) -> int:
    """Side of the patches: at most three quarters of the largest slice's shorter side, 64 px at least.

    A patch as large as the image would always be the same view of it, and no paint would ever lie near its edge: the
    network would then not know what to do at the border of an image.
    """
    side = max(min(part.labels.shape) for part in slices)
    return min(wanted, max(SMALLEST_PATCH, int(0.75 * side) // 32 * 32))


def _highest(slices: list[PreparedSlice]) -> int:
    return max(int(part.labels.max()) for part in slices)


def _class_names(train: list[PreparedSlice], held: list[PreparedSlice], recipe: FineTuneRecipe) -> tuple[str, ...]:
    """Names of classes 1…K, after checking that there are at least two and that each is painted."""
    found = {int(k) for part in train for k in np.unique(part.labels)} - {0}
    if not found:
        raise InputError(
            "no painted labels were found in the training images; paint a few strokes of each class first."
        )
    count = max(*found, *(int(part.labels.max()) for part in held), len(recipe.classes), 1)
    if recipe.classes and len(recipe.classes) < count:
        raise InputError(
            f"label {count} is painted but only {len(recipe.classes)} class names were given; name all {count} classes."
        )
    names = recipe.classes or tuple(f"class {k}" for k in range(1, count + 1))
    if len(found) == 1:
        raise InputError(
            f"only one class ({names[min(found) - 1]}) is painted; paint the background or another class as well."
        )
    for k in range(1, count + 1):
        if k not in found:
            raise InputError(
                f"label {k} ({names[k - 1]}) is painted nowhere in the training images, though there are "
                f"{count} classes; paint some of it or number the classes without a gap."
            )
    return names


def _one_channel_count(samples: list[Sample], used: list[int]) -> int:
    counts = {samples[i].channels: samples[i].name or str(i) for i in used}
    if len(counts) > 1:
        raise InputError(
            f"sample {counts[1]!r} is grey and {counts[3]!r} is colour; convert all to grey to train together."
        )
    return next(iter(counts))


def _prepare_stream(stream: SyntheticStream, recipe: FineTuneRecipe) -> Prepared:
    """Training on endless synthetic images: validated on images of the same stream far beyond those trained on."""
    names = recipe.classes or stream.classes
    held = SyntheticPatches(stream, STREAM_VALIDATION)
    steps = recipe.steps_per_epoch or SYNTHETIC_STEPS_PER_EPOCH
    drawn = [held.draw(i) for i in range(validation_budget(recipe, steps))]
    tiles = [PreparedSlice(image, labels, i, None) for i, (image, labels) in enumerate(drawn)]
    data = TrainingSet(SyntheticPatches(stream), tiles, steps)
    notices = ("Validated on synthetic images never trained on.",)
    return Prepared(data, names, 1, None, (), (), 0, None, notices, tuple(tiles), "synthetic stream")
