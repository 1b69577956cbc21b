"""Copies, and parts of one image, are one group whatever the user says: such groups are made one, and it is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari_anneal.samples.sample import Sample
from napari_anneal.validation.leakage.parts import parts_of_one
from napari_anneal.validation.leakage.search import Copy

__all__ = ["MergedGroups", "group_key", "merge_copies", "part_sentence", "sample_name"]

MOST_SENTENCES = 20


@dataclass(frozen=True)
class MergedGroups:
    """The group of every sample after merging, and why.

    Attributes
    ----------
    keys
        One a sample; samples of one group have the same. Use them to tell groups apart, not to show them.
    names
        What to call the group of each sample: ``"a + b"`` where a and b became one.
    sentences
        What was merged, and because of which copies.
    """

    keys: tuple[str, ...]
    names: tuple[str, ...]
    sentences: tuple[str, ...]


def sample_name(samples: Sequence[Sample], index: int) -> str:
    """What messages call a sample."""
    return samples[index].name or f"image {index + 1}"


def group_key(samples: Sequence[Sample], index: int) -> str:
    """The sample's group, or a name of its own that no group can have (groups are stripped of spaces)."""
    return samples[index].group.strip() or f"({sample_name(samples, index)} #{index + 1}) "


def part_sentence(names: Sequence[str], first: int, second: int, image: str) -> str:
    """Why two samples are parts of one image."""
    pair = f"{names[first]!r} and {names[second]!r}"
    return f"by their names, {pair} were made of one image ({image!r}); rename them if they were not."


def merge_copies(samples: Sequence[Sample], copies: Sequence[Copy]) -> MergedGroups:
    """Make one group of all groups that copies, or parts of one image, link, over any number of steps.

    Augmented copies are of their original's group, whether or not they look like it.

    Parameters
    ----------
    samples
        A sample with an empty group is a group of its own.
    copies
        What `find_copies` found among these very samples.
    """
    keys = [group_key(samples, i) for i in range(len(samples))]
    whole = {key: key for key in keys}

    def root(key: str) -> str:
        while whole[key] != key:
            whole[key] = whole[whole[key]]
            key = whole[key]
        return key

    names = [sample_name(samples, i) for i in range(len(samples))]
    alike = [
        (first, second, f"{names[second]!r} is an augmented copy of {samples[second].copy_of!r}.")
        for first, second in _copied(samples, names)
    ]
    alike += [(copy.first, copy.second, copy.sentence(names)) for copy in copies]
    alike += [(a, b, part_sentence(names, a, b, image)) for a, b, image in parts_of_one(names)]
    sentences = []
    for first, second, why in alike:
        one, other = root(keys[first]), root(keys[second])
        if one == other:
            continue
        whole[other] = one
        groups = [samples[i].group.strip() for i in (first, second)]
        if all(groups):
            sentences.append(f"groups {groups[0]!r} and {groups[1]!r} count as one: {why}")
        elif not samples[second].copy_of:  # that copies go with their original is what their table says
            sentences.append(f"counted as one group: {why}")
    members: dict[str, list[str]] = {}
    for key in dict.fromkeys(keys):
        members.setdefault(root(key), []).append(key)
    if len(sentences) > MOST_SENTENCES:
        rest = len(sentences) - MOST_SENTENCES
        sentences[MOST_SENTENCES:] = [f"{rest} more groups were merged because of copies and parts of one image."]
    return MergedGroups(
        tuple(root(key) for key in keys),
        tuple(" + ".join(members[root(key)]) for key in keys),
        tuple(sentences),
    )


def _copied(samples: Sequence[Sample], names: Sequence[str]) -> list[tuple[int, int]]:
    """Each augmented copy with its original; copies whose original is missing still belong together."""
    originals: dict[str, int] = {}
    for i, sample in enumerate(samples):
        if not sample.copy_of:
            originals.setdefault(names[i], i)
    return [(originals.setdefault(s.copy_of, i), i) for i, s in enumerate(samples) if s.copy_of]
