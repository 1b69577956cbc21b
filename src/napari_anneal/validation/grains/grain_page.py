"""A grain size as files: one HTML page with the histogram and the counted section, and the same as JSON and CSV."""

from __future__ import annotations

import datetime
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from napari_anneal.errors import OutputError
from napari_anneal.pages import Curve, chart, png, render, rgb, swatches
from napari_anneal.samples.placing import why_not_written, write_whole
from napari_anneal.validation.grains.hand_count import HandCount
from napari_anneal.validation.grains.result import Estimate, GrainSize

__all__ = ["KIND_COLOURS", "LINE_COLOUR", "number", "write_grain_size"]

# Okabe and Ito's palette: told apart with every common colour vision deficiency.
KIND_COLOURS = {"crossing": "#0072b2", "tangent": "#cc79a7", "triple point": "#d55e00", "line end": "#009e73"}
LINE_COLOUR = "#e69f00"
NUMBER, AREA, FIT = "#0072b2", "#e69f00", "#8a96a3"
GRAIN, GAP, UNKNOWN = 235, 90, 160
# Wide enough to see every mark; a larger section is thinned out.
SIDE_PX, LARGEST_PX, MARK_PX = 1000, 2000, 3


def write_grain_size(
    size: GrainSize,
    page: str | os.PathLike[str],
    *,
    title: str = "Grain size",
    about: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the page, and beside it the figures (``.json``) and the single grains (``.csv``) under the same name.

    Parameters
    ----------
    size
        What `grain_size` returned.
    page
        ``….html``; its folder is created if need be. It is one self-contained file.
    title, about
        Heading, and facts for its foot, such as the file that was measured.
    overwrite
        Replace earlier files.

    Raises
    ------
    OutputError
        A file is there already, or cannot be written; or the name does not end in .html.
    """
    page = Path(page).expanduser()
    if page.suffix.lower() not in (".html", ".htm"):
        raise OutputError(
            f"{page} is no name for a report; let it end in .html (.json and .csv are written beside it)."
        )
    figures, table = page.with_suffix(".json"), page.with_suffix(".csv")
    for path in (page, figures, table):
        if path.exists() and not overwrite:
            raise OutputError(f"{path} already exists; choose another name, or overwrite it.")
    unit, pixel = ("µm", size.pixel_um) if size.spacing_um is not None else ("px", 1.0)
    text = render(
        "validation/grain_size.html.jinja",
        title=title,
        size=size,
        unit=unit,
        known=size.spacing_um is not None,
        methods=_methods(size, unit, pixel),
        histogram=_histogram(size, unit, pixel),
        aspect=_aspect(size),
        fit=_fit(size, unit, pixel),
        principal=" × ".join(f"{length * pixel:.4g}" for length in size.principal),
        sections=[_section(count) for count in size.hand_counts[:1]],
        key=swatches(("test line", *KIND_COLOURS), (LINE_COLOUR, *KIND_COLOURS.values())),
        about=dict(about or {}),
        written=datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        files=(figures.name, table.name),
    )
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        write_whole(figures, json.dumps(size.to_dict(), indent=1, allow_nan=False) + "\n")
        write_whole(table, size.to_csv())
        write_whole(page, text)
    except OSError as error:
        raise OutputError(f"the report could not be written to {page} ({why_not_written(error)}).") from error
    return page


def _methods(size: GrainSize, unit: str, pixel: float) -> list[dict[str, str]]:
    """One row a method, as text."""
    known = size.spacing_um is not None

    def row(name: str, estimate: Estimate, power: int, g: float, ends: tuple[float, float]) -> dict[str, str]:
        low, high = (end * pixel**power for end in estimate.interval)
        accuracy = estimate.relative_accuracy_percent
        return {
            "name": name,
            "counted": f"{estimate.count:,.6g}".replace(",", "\u202f"),
            "fields": str(estimate.fields),
            "value": number(estimate.value * pixel**power, f"{unit}{'²' if power == 2 else ''}"),
            "interval": f"{low:.4g} – {high:.4g}" if math.isfinite(low + high) else "n/a",
            "accuracy": f"{accuracy:.1f} %" if math.isfinite(accuracy) else "n/a",
            "g": f"{g:.2f}" if known and math.isfinite(g) else "n/a",
            "g_interval": f"{ends[0]:.2f} – {ends[1]:.2f}" if known and math.isfinite(sum(ends)) else "n/a",
        }

    none = math.nan, (math.nan, math.nan)
    by_intercept = (size.g, size.g_interval) if known else none
    by_count = (size.g_planimetric, size.g_planimetric_interval) if known else none
    return [
        row(f"mean intercept ({size.test_lines})", size.intercept, 1, *by_intercept),
        row("mean section (planimetric)", size.planimetric, 2, *by_count),
    ]


def _histogram(size: GrainSize, unit: str, pixel: float) -> Markup | None:
    """Shares of number and of area by diameter, and the log-normal that fits; ``None`` below two grains."""
    median, sigma = size.log_normal
    if not math.isfinite(median):
        return None
    edges, shares = size.histogram()
    _, area = size.histogram(weighted_by="area")
    area_name = "share of the area" if size.ndim == 2 else "share of the volume"
    curves = [
        Curve("share of the grains", _steps(edges * pixel, 100 * shares), NUMBER),
        Curve(area_name, _steps(edges * pixel, 100 * area), AREA),
    ]
    if sigma > 0:
        x = np.linspace(edges[-1] / 400, edges[-1], 200)
        share = 100 * size.log_normal_density(x) * (edges[1] - edges[0])
        curves.append(
            Curve("log-normal fit", list(zip((x * pixel).tolist(), share.tolist(), strict=True)), FIT, dashed=True)
        )
    return chart(
        curves, title="Grains by diameter (%)", x_label=f"equivalent diameter ({unit})", whole_x=False,
        mark=(median * pixel, "median"),
    )  # fmt: skip


def _aspect(size: GrainSize) -> Markup | None:
    """Shares of grains by aspect ratio; ``None`` without a whole grain."""
    if not len(size.diameter):
        return None
    edges, shares = size.aspect_histogram()
    curve = Curve("share of the grains", _steps(edges, 100 * shares), NUMBER)
    mark = (size.aspect_ratio, "mean")
    return chart([curve], title="Grains by aspect ratio (%)", x_label="long over short axis", whole_x=False, mark=mark)


def _fit(size: GrainSize, unit: str, pixel: float) -> str:
    median, sigma = size.log_normal
    if not math.isfinite(median):
        return ""
    return f"Log-normal fit of the diameters: median {median * pixel:.4g} {unit}, σ of the logarithm {sigma:.3f}."


def _section(count: HandCount) -> dict[str, Any]:
    """The section with its test lines and every intersection, and what they came to."""
    return {
        "picture": png(_drawn(count)),
        "lines": len(count.lines),
        "intersections": f"{count.intersections:g}",
        "intercepts": f"{count.intercepts:g}",
        "kinds": ", ".join(f"{count.kinds.count(kind)} × {kind}" for kind in KIND_COLOURS if kind in count.kinds),
    }


def _drawn(count: HandCount) -> npt.NDArray[np.uint8]:
    """Boundaries dark on light grains, test lines and marks in colour, uint8 ``(H, W, 3)``."""
    grains = count.grains
    thin = -(-max(grains.shape) // LARGEST_PX)
    zoom = max(1, SIDE_PX // max(grains.shape))
    large = np.kron(grains[::thin, ::thin], np.ones((zoom, zoom), dtype=np.int32))
    scale = zoom / thin
    edge = np.zeros(large.shape, dtype=bool)
    edge[:, :-1] |= large[:, :-1] != large[:, 1:]
    edge[:-1] |= large[:-1] != large[1:]
    grey = np.where(large == 0, UNKNOWN, np.where(edge, GAP, GRAIN)).astype(np.uint8)
    picture = np.repeat(grey[..., np.newaxis], 3, axis=2)
    for line in count.lines:
        points = np.concatenate([line.points, line.points[:1]]) if line.closed else line.points
        run = np.concatenate([[0.0], np.linalg.norm(np.diff(points, axis=0), axis=1).cumsum()])
        at = np.linspace(0, run[-1], int(run[-1] * scale * 2) + 2)
        _paint(picture, np.column_stack([np.interp(at, run, points[:, a]) for a in (0, 1)]), scale, LINE_COLOUR, 0)
    for kind, colour in KIND_COLOURS.items():
        chosen = [k == kind for k in count.kinds]
        if any(chosen):
            _paint(picture, count.places[chosen], scale, colour, MARK_PX)
    return picture


def _paint(picture: npt.NDArray[np.uint8], places: npt.NDArray[Any], scale: float, colour: str, half: int) -> None:
    """Squares of ``2 half + 1`` pixels at places in pixels of the section."""
    centre = np.floor((places + 0.5) * scale).astype(np.int64)
    painted = rgb(colour)
    for dy in range(-half, half + 1):
        for dx in range(-half, half + 1):
            y, x = (np.clip(centre[:, a] + d, 0, picture.shape[a] - 1) for a, d in ((0, dy), (1, dx)))
            picture[y, x] = painted


def _steps(edges: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> list[tuple[float, float]]:
    """Outline of a bar chart."""
    outline = [(float(edges[0]), 0.0)]
    for low, high, value in zip(edges, edges[1:], values, strict=False):
        outline += [(float(low), float(value)), (float(high), float(value))]
    return [*outline, (float(edges[-1]), 0.0)]


def number(value: float, unit: str) -> str:
    """Four digits and the unit, or n/a."""
    return f"{value:.4g} {unit}" if math.isfinite(value) else "n/a"
