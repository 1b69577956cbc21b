"""The base of every recipe: frozen, no unknown fields, and one plain sentence when a setting is wrong."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_anneal.errors import InputError

__all__ = ["Recipe", "one_sentence"]


class Recipe(BaseModel):
    """A frozen recipe whose faults reach the user as :class:`InputError`, never as a pydantic report."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **settings: Any) -> None:
        """Check the settings; a wrong one raises `InputError` with a sentence that names it."""
        try:
            super().__init__(**settings)
        except ValidationError as fault:
            raise InputError(one_sentence(fault, type(self).__name__)) from None

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """As pydantic's, from a dict (a bundle, a JSON file), with `InputError` for a wrong setting."""
        try:
            return super().model_validate(obj, **options)
        except ValidationError as fault:
            raise InputError(one_sentence(fault, cls.__name__)) from None

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """As pydantic's, from JSON text, with `InputError` for a wrong setting."""
        try:
            return super().model_validate_json(json_data, **options)
        except ValidationError as fault:
            raise InputError(one_sentence(fault, cls.__name__)) from None

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse: a recipe in use must not change under the feet of a run."""
        raise InputError(
            f"{type(self).__name__} cannot be changed; make a changed copy with .model_copy(update={{{name!r}: …}})."
        )

    def model_copy(self, *, update: Any = None, deep: bool = False) -> Self:
        """Return a copy with some settings changed, checked like a new one (pydantic's own copy checks nothing)."""
        settings = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**{**settings, **dict(update or {})})


def one_sentence(fault: ValidationError, recipe: str) -> str:
    """Say the first thing that is wrong with a recipe, and how many more there are."""
    errors = fault.errors()
    first = errors[0]
    field = ".".join(str(part) for part in first["loc"])
    given = first["input"]
    says = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
    if first["type"] == "extra_forbidden":
        sentence = f"{recipe} has no setting called {field!r}; check the spelling"
    elif first["type"] == "value_error" and (not field or isinstance(fault_cause(first), InputError)):
        sentence = says if not field else f"{field}: {says}"
    else:
        shown = repr(given) if len(repr(given)) <= 60 else f"a {type(given).__name__}"
        sentence = f"{recipe}: {field} = {shown} cannot be used: {says[:1].lower()}{says[1:]}"
    more = len(errors) - 1
    return sentence + (f" ({more} more {'setting is' if more == 1 else 'settings are'} wrong)." if more else ".")


def fault_cause(error: Any) -> object:
    """Return the exception raised by a validator of ours, if that is what the error comes from."""
    return error.get("ctx", {}).get("error")
