"""Names of length units: what people and napari write, and what OME-Zarr and TIFF keep."""

from __future__ import annotations

from napari_anneal.errors import InputError

__all__ = ["LONG_NAMES", "unit_symbol"]

# Symbol, as OME-TIFF and ImageJ keep it → name, as OME-Zarr keeps it.
LONG_NAMES = {
    "m": "meter",
    "cm": "centimeter",
    "mm": "millimeter",
    "µm": "micrometer",
    "nm": "nanometer",
    "Å": "angstrom",
    "pm": "picometer",
}
_ALIASES = {name: symbol for symbol, name in LONG_NAMES.items()} | {
    "um": "µm",
    "\u03bcm": "µm",  # the Greek letter, where the symbol has the micro sign
    "micron": "µm",
    "microns": "µm",
    "metre": "m",
    "millimetre": "mm",
    "micrometre": "µm",
    "nanometre": "nm",
}


def unit_symbol(unit: str | None) -> str | None:
    """Symbol of a unit of length; ``None`` for none, and for pixels.

    Raises
    ------
    InputError
        Not a unit of length that is known here.
    """
    if unit is None or unit.lower() in ("", "pixel", "pixels", "px"):
        return None
    symbol = unit if unit in LONG_NAMES else _ALIASES.get(unit.lower())
    if symbol is None:
        raise InputError(f"unit {unit!r} is not known; use one of {', '.join(LONG_NAMES)}, or None.")
    return symbol
