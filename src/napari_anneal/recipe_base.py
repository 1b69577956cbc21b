"""The base of every recipe: a frozen, validated, serialisable object whose errors are sentences."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_anneal.errors import InputError

__all__ = ["Recipe"]


class Recipe(BaseModel):
    """A frozen pydantic model that refuses unknown fields and explains a wrong one in a sentence.

    Raises
    ------
    InputError
        A field is unknown, missing, of another type or out of range: the sentence names the first such field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise InputError(explain(error, type(self).__name__)) from error

    def with_changes(self, **fields: Any) -> Any:
        """Return a copy with some fields replaced, validated again."""
        return type(self)(**{name: getattr(self, name) for name in type(self).model_fields} | fields)


def explain(error: ValidationError, owner: str) -> str:
    """One sentence for the first thing that is wrong with a recipe."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or "these settings"
    message = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], dict) else f" (given: {first['input']!r})"
    return f"{owner}: {field}{given}: {message[:1].lower()}{message[1:]}."
