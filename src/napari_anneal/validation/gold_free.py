"""What is left for training once gold, and every copy of a gold image, is taken out."""

from __future__ import annotations

from collections.abc import Sequence

from napari_anneal.samples.gold import is_locked
from napari_anneal.samples.sample import Sample
from napari_anneal.validation.leakage import find_copies, merge_copies, sample_name

__all__ = ["gold_free"]


def gold_free(samples: Sequence[Sample]) -> tuple[list[int], str]:
    """Indices of the samples that share no group and no image with locked gold, and a sentence about the others.

    Without a locked sample nothing is compared, and the sentence is empty.
    """
    gold = [i for i, sample in enumerate(samples) if is_locked(sample)]
    if not gold:
        return list(range(len(samples))), ""
    keys = merge_copies(samples, find_copies(samples)).keys
    taken = {keys[i] for i in gold}
    left = [i for i, key in enumerate(keys) if key not in taken]
    names = [sample_name(samples, i) for i in range(len(samples)) if i not in left]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return left, f"Left out, because it is gold or shares a group or an image with gold: {shown}."
