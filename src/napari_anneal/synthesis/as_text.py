"""A recipe in words that make it again: a terminal command, or lines of Python."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from napari_anneal.recipe_base import Recipe
from napari_anneal.synthesis.randomization import RecipeRanges
from napari_anneal.synthesis.recipe import MicrostructureRecipe
from napari_anneal.synthesis.spans import Choice, Span

__all__ = ["as_command", "as_python"]

LINE = 100


def as_command(
    recipe: MicrostructureRecipe | RecipeRanges, seed: int, out: str | Path = "synthetic", count: int = 1
) -> str:
    """Return the ``napari-anneal synthesize`` command that writes these pairs, quoted for a POSIX shell.

    Settings at their defaults are left out.
    """
    words = ["napari-anneal", "synthesize", str(out)]
    if isinstance(recipe, RecipeRanges):
        words.append("--randomize")
    for field, value in _changed(recipe):
        if field == "shape":
            words += ["--shape", "x".join(map(str, value))]
            continue
        dumped = value.model_dump(mode="json") if isinstance(value, Recipe) else value
        text = json.dumps(dumped, separators=(",", ":"), ensure_ascii=False)
        # A bare word is the text itself; one that would be read as something else stays quoted.
        words += ["--set", f"{field}={value if isinstance(value, str) and not _is_json(value) else text}"]
    words += ["--seed", str(seed)]
    if count != 1:
        words += ["--count", str(count)]
    return shlex.join(words)


def as_python(recipe: MicrostructureRecipe | RecipeRanges, seed: int) -> str:
    """Return a script that makes the microstructure as ``made``, or of ranges the endless ``stream`` of them.

    Settings at their defaults are left out.
    """
    names: set[str] = set()
    text = _constructor(recipe, names, "")
    if isinstance(recipe, RecipeRanges):
        names.add("SyntheticStream")
        last = f"stream = SyntheticStream(ranges, seed={seed})"
    else:
        names.add("synthesize")
        last = f"made = synthesize(recipe, seed={seed})"
    variable = "ranges" if isinstance(recipe, RecipeRanges) else "recipe"
    # Classes before functions, as an import sorter has them.
    listed = ", ".join(sorted(names, key=lambda name: (name[0].islower(), name)))
    return f"from napari_anneal.synthesis import {listed}\n\n{variable} = {text}\n{last}\n"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _own_settings(recipe: Recipe) -> list[tuple[str, Any]]:
    """Settings that are not at their defaults, and those that have none."""
    whole = isinstance(recipe, (Span, Choice))
    return [
        (name, getattr(recipe, name))
        for name, field in type(recipe).model_fields.items()
        if (whole and field.is_required()) or getattr(recipe, name) != field.get_default(call_default_factory=True)
    ]


def _changed(recipe: Recipe, prefix: str = "") -> list[tuple[str, Any]]:
    """Dotted names and values of all settings that are not at their defaults."""
    found: list[tuple[str, Any]] = []
    for name, value in _own_settings(recipe):
        if isinstance(value, Recipe) and not isinstance(value, (Span, Choice)):
            found += _changed(value, f"{prefix}{name}.")
        else:
            found.append((prefix + name, value))
    return found


def _constructor(value: Any, names: set[str], indent: str) -> str:
    """Python that builds a value; on one line where that is short. The classes it needs are added to ``names``."""
    if not isinstance(value, Recipe):
        return repr(value)
    names.add(type(value).__name__)
    deeper = indent + "    "
    parts = [f"{name}={_constructor(part, names, deeper)}" for name, part in _own_settings(value)]
    line = f"{type(value).__name__}({', '.join(parts)})"
    if len(line) + len(indent) <= LINE and "\n" not in line:
        return line
    return "\n".join([f"{type(value).__name__}(", *(f"{deeper}{part}," for part in parts), f"{indent})"])
