"""``recipe.json``, which lies beside synthetic data and makes it again: the recipe, the seed, the number, the versions.

A recipe can also be made from words: ``field=value`` with dots for what lies deeper, as on a command line.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_anneal.errors import InputError
from napari_anneal.synthesis.randomization import RecipeRanges
from napari_anneal.synthesis.recipe import MicrostructureRecipe

__all__ = ["RecipeFile", "change_settings", "read_recipe", "recipe_from_words"]

# What a file can hold, under the name it has there.
KINDS: dict[str, type[MicrostructureRecipe] | type[RecipeRanges]] = {
    "recipe": MicrostructureRecipe,
    "ranges": RecipeRanges,
}


@dataclass(frozen=True)
class RecipeFile:
    """What a recipe file says; ``seed`` and ``count`` are ``None`` where it does not say."""

    recipe: MicrostructureRecipe | RecipeRanges
    seed: int | None = None
    count: int | None = None

    def to_json(self) -> str:
        """The text of the file, with the versions that made the data (not needed to read it)."""
        from importlib.metadata import version

        kind = "ranges" if isinstance(self.recipe, RecipeRanges) else "recipe"
        versions = {name: version(name) for name in ("napari-anneal", "numpy", "scipy", "numba")}
        versions["python"] = platform.python_version()
        content = {
            kind: self.recipe.model_dump(mode="json"), "seed": self.seed, "count": self.count, "versions": versions
        }  # fmt: skip
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def read_recipe(path: str | Path, changes: Iterable[str] = ()) -> RecipeFile:
    """Read a recipe or ranges from a file, with some settings changed.

    Parameters
    ----------
    path
        What `RecipeFile.to_json` wrote, a volume that `synthesize_volume` wrote, or the bare JSON of a
        `MicrostructureRecipe` or of `RecipeRanges` (told apart by the settings that only ranges have).
    changes
        ``field=value`` words, see `change_settings`.

    Raises
    ------
    InputError
        No such file, not JSON, or a setting that is unknown or out of range.
    """
    path = Path(path)
    store = path / "zarr.json"
    try:
        content = json.loads((store if store.is_file() else path).read_text(encoding="utf-8"))
        if store.is_file():
            content = content.get("attributes", {}).get("napari-anneal", {"zarr": "of another origin"})
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); check the name.") from error
    except ValueError as error:
        raise InputError(f"{path} is not a recipe: it holds no JSON text ({error}).") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a recipe: it holds a {type(content).__name__} instead of named settings.")
    kind = next((kind for kind in KINDS if isinstance(content.get(kind), dict)), None)
    if kind is None:
        only_ranges = set(RecipeRanges.model_fields) - set(MicrostructureRecipe.model_fields)
        return RecipeFile(_checked("ranges" if only_ranges & set(content) else "recipe", content, changes, path))
    numbers = {name: content.get(name) for name in ("seed", "count")}
    for (name, value), least in zip(numbers.items(), (0, 1), strict=True):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise InputError(f"{path}: {name} = {value!r} cannot be used; it must be a whole number, {least} or more.")
    return RecipeFile(_checked(kind, content[kind], changes, path), numbers["seed"], numbers["count"])


def _checked(
    kind: str, settings: dict[str, Any], changes: Iterable[str], path: Path
) -> MicrostructureRecipe | RecipeRanges:
    # The file is checked by itself first, so that a fault of the file is not laid to a change.
    try:
        KINDS[kind].model_validate(settings)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return KINDS[kind].model_validate(change_settings(settings, changes))


def recipe_from_words(changes: Iterable[str], ranges: bool = False) -> RecipeFile:
    """Make a recipe (or ranges) from its defaults and ``field=value`` words, see `change_settings`.

    Raises
    ------
    InputError
        A setting that is unknown or out of range.
    """
    return RecipeFile(KINDS["ranges" if ranges else "recipe"].model_validate(change_settings({}, changes)))


def change_settings(settings: dict[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """Return a copy of ``settings`` with ``field=value`` words carried out; checks nothing but their form.

    ``appearance.dose=50`` reaches into a part. A value is read as JSON (``50``, ``true``, ``null``, ``[64,64]``) and
    taken as text where it is none (``blue_noise``).

    Raises
    ------
    InputError
        A word without ``=``, or one that reaches into something that has no parts.
    """
    changed: dict[str, Any] = json.loads(json.dumps(settings))
    for word in changes:
        field, equals, text = word.partition("=")
        if not equals or not all(field.split(".")):
            raise InputError(f"{word!r} is no setting; write field=value, for example appearance.dose=50.")
        *parts, last = field.split(".")
        place: Any = changed
        for part in parts:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise InputError(f"{word!r} cannot be set: {part} has no parts.")
        try:
            place[last] = json.loads(text)
        except ValueError:
            place[last] = text
    return changed
