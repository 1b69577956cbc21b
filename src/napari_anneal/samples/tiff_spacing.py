"""The pixel size that a TIFF file tells: OME, ImageJ, FEI/Thermo Fisher and Zeiss SEM tags, or the resolution tags."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["MICROMETRES", "tiff_spacing"]

# Micrometres in one of each unit, by the names that OME, ImageJ, OME-Zarr and the vendors use.
MICROMETRES = {
    "m": 1e6, "meter": 1e6, "cm": 1e4, "centimeter": 1e4, "mm": 1e3, "millimeter": 1e3, "inch": 25400.0,
    "µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "\\u00b5m": 1.0,
    "nm": 1e-3, "nanometer": 1e-3, "å": 1e-4, "angstrom": 1e-4, "pm": 1e-6, "picometer": 1e-6,
}  # fmt: skip
# Resolutions that programs write for print, whatever the microscope did.
PRINT_DPI = {1, 72, 75, 90, 92, 96, 100, 120, 144, 150, 180, 200, 240, 254, 300, 600, 1200}


def tiff_spacing(tif: Any, axes: str) -> tuple[float, ...] | None:
    """Micrometres per pixel along the axes without C, or ``None``; an unknown slice distance is taken as the height."""
    found = _ome(tif) or _imagej(tif) or _vendor(tif) or _resolution(tif)
    if found is None:
        return None
    z, y, x = found
    spacing = (z or y, y, x) if "Z" in axes else (y, x)
    return spacing if all(math.isfinite(s) and s > 0 for s in spacing) else None


def _ome(tif: Any) -> tuple[float, float, float] | None:
    """``PhysicalSizeX/Y/Z`` of the first image of OME-XML (default unit µm)."""
    if not (tif.is_ome and tif.ome_metadata):
        return None
    from xml.etree import ElementTree

    pixels = ElementTree.fromstring(tif.ome_metadata).find(".//{*}Pixels")
    if pixels is None or pixels.get("PhysicalSizeX") is None:
        return None
    sizes = []
    for axis in "ZYX":
        unit = MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm").lower(), 0.0)
        sizes.append(float(pixels.get(f"PhysicalSize{axis}", "0")) * unit)
    z, y, x = sizes
    return (z, y or x, x) if x > 0 else None


def _imagej(tif: Any) -> tuple[float, float, float] | None:
    """Resolution tags in ImageJ's own unit, and its ``spacing`` between slices."""
    if not (tif.is_imagej and tif.imagej_metadata):
        return None
    unit = MICROMETRES.get(str(tif.imagej_metadata.get("unit", "")).lower())
    x, y = _pixels_per_unit(tif)
    if unit is None or not x or not y:
        return None
    return float(tif.imagej_metadata.get("spacing", 0.0)) * unit, unit / y, unit / x


def _vendor(tif: Any) -> tuple[float, float, float] | None:
    """``PixelWidth`` of an FEI/Thermo Fisher header (metres), or Zeiss's image pixel size."""
    if tif.is_fei and tif.fei_metadata:
        for section in ("Scan", "EScan", "Image"):
            part = tif.fei_metadata.get(section) or {}
            if part.get("PixelWidth"):
                width = float(part["PixelWidth"]) * 1e6
                return 0.0, float(part.get("PixelHeight") or part["PixelWidth"]) * 1e6, width
    if tif.is_sem and tif.sem_metadata:
        entry = tif.sem_metadata.get("ap_image_pixel_size") or tif.sem_metadata.get("ap_pixel_size")
        if entry and len(entry) >= 3 and str(entry[2]).lower() in MICROMETRES:
            size = float(entry[1]) * MICROMETRES[str(entry[2]).lower()]
            return 0.0, size, size
    return None


def _resolution(tif: Any) -> tuple[float, float, float] | None:
    """Plain resolution tags, unless they are one of the numbers written for print."""
    tag = tif.pages[0].tags.get("ResolutionUnit")
    unit = {2: MICROMETRES["inch"], 3: MICROMETRES["cm"]}.get(int(tag.value) if tag else 0)
    x, y = _pixels_per_unit(tif)
    if tif.is_imagej or unit is None or not x or not y:
        return None
    dots_per_inch = x * MICROMETRES["inch"] / unit
    if any(math.isclose(dots_per_inch, dpi, rel_tol=5e-3) for dpi in PRINT_DPI):
        return None
    return 0.0, unit / y, unit / x


def _pixels_per_unit(tif: Any) -> tuple[float, float]:
    """The two resolution tags as numbers; 0 where there is none."""
    values = []
    for name in ("XResolution", "YResolution"):
        tag = tif.pages[0].tags.get(name)
        above, below = tag.value if tag else (0, 1)
        values.append(above / below if below else 0.0)
    return values[0], values[1]
