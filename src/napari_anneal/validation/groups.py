"""Groups from file names: a regular expression picks the part of a name that says which specimen it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from napari_anneal.errors import InputError
from napari_anneal.samples.sample import Sample

__all__ = ["NameGroups", "grouped_by_name", "groups_from_names"]


@dataclass(frozen=True)
class NameGroups:
    """What a pattern makes of a list of names: ``groups[i]`` belongs to ``names[i]``, ``None`` where nothing matches.

    ``sentence`` sums it up: how many groups, and which names are left over.
    """

    names: tuple[str, ...]
    groups: tuple[str | None, ...]

    @property
    def unmatched(self) -> tuple[str, ...]:
        """Names that the pattern does not match."""
        return tuple(name for name, group in zip(self.names, self.groups, strict=True) if group is None)

    @property
    def sentence(self) -> str:
        """How many groups there are, and what is left over."""
        count = len({group for group in self.groups if group is not None})
        matched = len(self.names) - len(self.unmatched)
        text = f"{count} group{'s' * (count != 1)} from {matched} of {len(self.names)} names"
        if not self.unmatched:
            return f"{text}."
        more = f" and {len(self.unmatched) - 1} more" if len(self.unmatched) > 1 else ""
        return f"{text}; the pattern does not match {self.unmatched[0]!r}{more}."


def groups_from_names(names: Sequence[str], pattern: str) -> NameGroups:
    """Match every name with a regular expression.

    The group is what the capture groups ``(…)`` took, joined by ``-`` if there are several, or the whole match if the
    pattern has none: ``^[^_]+`` and ``^(.+?)_`` both make ``steelA`` of ``steelA_03``. The match may begin anywhere in
    the name; spaces around the group are dropped.

    Raises
    ------
    InputError
        The pattern is empty or not a regular expression.
    """
    if not pattern.strip():
        raise InputError("the pattern for groups is empty; give a regular expression such as '^(.+?)_'.")
    try:
        expression = re.compile(pattern)
    except re.error as error:
        where = f" at character {error.pos + 1}" if error.pos is not None else ""
        raise InputError(
            f"the pattern {pattern!r} is not a regular expression ({error.msg}{where}); correct it, or put a backslash "
            "before signs that are meant as they are."
        ) from error
    found: list[str | None] = []
    for name in names:
        match = expression.search(name)
        taken = [part for part in match.groups() if part] if match and expression.groups else []
        text = "-".join(taken) if match and expression.groups else match.group() if match else ""
        found.append(text.strip() or None)
    return NameGroups(tuple(names), tuple(found))


def grouped_by_name(samples: Sequence[Sample], pattern: str) -> list[Sample]:
    """The same samples with the groups that a pattern finds in their names, in place of those they had.

    Raises
    ------
    InputError
        A bad pattern, or a name that it does not match: without a group, that image could be on both sides.
    """
    found = groups_from_names([sample.name for sample in samples], pattern)
    if found.unmatched:
        raise InputError(
            f"{found.sentence.rstrip('.')}; widen the pattern, so that every image gets a group, or use groups.csv."
        )
    return [sample.changed(group=group or "") for sample, group in zip(samples, found.groups, strict=True)]
