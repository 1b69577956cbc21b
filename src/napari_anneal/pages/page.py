"""The frame that every report shares: its style, and templates in which every name is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from markupsafe import Markup

__all__ = ["render", "swatches"]


def render(template: str, **fields: Any) -> str:
    """Fill in a template; what is not markup already is escaped.

    Parameters
    ----------
    template
        Path within this package, e.g. ``training/run.html.jinja``; it extends ``pages/page.html.jinja``.
    fields
        What it asks for; a field that is missing is an error, never an empty place.
    """
    return str(_environment().get_template(template).render(**fields))


def swatches(names: Sequence[str], colours: Sequence[str]) -> Markup:
    """Return the key to the colours of a picture or chart."""
    items = Markup('<span class="swatch" style="background:{}"></span>{} ')
    return Markup('<p class="key">{}</p>').format(
        Markup("").join(items.format(colour, name) for name, colour in zip(names, colours, strict=True))
    )


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("napari_anneal", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["figure"] = _figure
    made.filters["count"] = lambda number: f"{number:,}".replace(",", "\u202f")
    return made


def _figure(value: float | None, digits: int = 3) -> str:
    """A figure between 0 and 1, or n/a: never 0 or 1 where there is none."""
    return "n/a" if value is None or value != value else f"{value:.{digits}f}"
