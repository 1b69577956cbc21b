"""Line charts as inline SVG: small, sharp at any size and in print, and in the page's own colours, light or dark.

Written here and not with a plotting library because a picture drawn for a white page is unreadable on a dark one, and
because a plotting library weighs more than all of this package.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

__all__ = ["Curve", "chart"]

WIDTH, HEIGHT = 760, 230
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 22, 30
# Bands of alternating tint; a name narrower than its band is written into it.
PX_A_LETTER = 6.5


@dataclass(frozen=True)
class Curve:
    """One line: points ``(x, y)`` in order (those that are no number leave a gap), and how it is drawn.

    ``dots`` marks every point, with its value shown under the pointer; ``faint`` is for what lies behind the others.
    """

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    dots: bool = False
    faint: bool = False
    dashed: bool = False


def chart(
    curves: Sequence[Curve],
    *,
    title: str,
    x_label: str = "",
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    log: bool = False,
    bands: Sequence[tuple[str, float, float]] = (),
    mark: tuple[float, str] | None = None,
    whole_x: bool = True,
) -> Markup:
    """Draw curves over one pair of axes, with a legend.

    Parameters
    ----------
    curves
        What to draw; empty ones are left out of the legend.
    title
        Written above the chart and read by screen readers.
    x_label
        What the horizontal axis counts.
    x_range, y_range
        Ends of the axes; ``None``: those of the data, the vertical one widened to round numbers.
    log
        Whether the vertical axis is logarithmic (values of 0 and less are left out).
    bands
        ``(name, from, to)``: stretches of the horizontal axis, tinted in turn.
    mark
        ``(x, text)``: a dashed upright line.
    whole_x
        Whether the horizontal axis counts (epochs, steps), so that only whole numbers stand at it.

    Returns
    -------
    markupsafe.Markup
        A ``<figure>``; names in it are escaped.
    """
    curves = [Curve(c.name, _drawable(c.points, log), c.colour, c.dots, c.faint, c.dashed) for c in curves]
    curves = [curve for curve in curves if any(not math.isnan(y) for _, y in curve.points)]
    xs = [x for curve in curves for x, _ in curve.points] or [0.0, 1.0]
    ys = [y for curve in curves for _, y in curve.points if not math.isnan(y)] or [0.0, 1.0]
    x_low, x_high = x_range or (min(xs), max(xs))
    ticks = _decades(min(ys), max(ys)) if log else _round_numbers(*(y_range or (min(ys), max(ys))))
    y_low, y_high = (ticks[0], ticks[-1]) if y_range is None or log else y_range

    def at_x(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (x - x_low) / ((x_high - x_low) or 1)

    def at_y(y: float) -> float:
        low, high, y = (math.log10(v) for v in (y_low, y_high, y)) if log else (y_low, y_high, y)
        share = (y - low) / ((high - low) or 1)
        # A single spike must not squeeze everything else, nor leave the frame.
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(max(share, 0), 1))

    parts = [_band(number, band, at_x) for number, band in enumerate(bands)]
    for tick in (tick for tick in ticks if y_low <= tick <= y_high):
        y = at_y(tick)
        parts.append(Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(LEFT, y, WIDTH - RIGHT))
        parts.append(
            Markup('<text class="end" x="{}" y="{:.1f}">{}</text>').format(
                LEFT - 6, y + 4, _power(tick) if log else f"{tick:g}"
            )
        )
    for x in _round_numbers(x_low, x_high, most=8):
        if x_low <= x <= x_high and (x == round(x) or not whole_x):
            number = f"{x:.0f}" if whole_x else f"{x:g}"
            parts.append(
                Markup('<text class="middle" x="{:.1f}" y="{}">{}</text>').format(at_x(x), HEIGHT - 12, number)
            )
    if x_label:
        parts.append(Markup('<text class="end" x="{}" y="{}">{}</text>').format(WIDTH - RIGHT, HEIGHT - 1, x_label))
    if mark is not None:
        x, text = mark
        parts.append(Markup('<path class="mark" d="M{:.1f} {}V{}"/>').format(at_x(x), TOP, HEIGHT - BOTTOM))
        side = "end" if at_x(x) > WIDTH - 120 else "start"
        away = at_x(x) + (-5 if side == "end" else 5)
        parts.append(
            Markup('<text class="{} strong" x="{:.1f}" y="{}">{}</text>').format(side, away, HEIGHT - BOTTOM - 6, text)
        )
    parts += [_line(curve, at_x, at_y) for curve in curves]
    legend = Markup("").join(
        Markup('<span class="swatch" style="background:{}"></span>{} ').format(curve.colour, curve.name)
        for curve in curves
    )
    return Markup(
        '<figure class="chart"><figcaption><b>{}</b> <span class="key">{}</span></figcaption>'
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg></figure>'
    ).format(title, legend, WIDTH, HEIGHT, title, Markup("").join(parts))


def _drawable(points: Sequence[tuple[float, float]], log: bool) -> list[tuple[float, float]]:
    return [(x, y if math.isfinite(y) and (y > 0 or not log) else math.nan) for x, y in points]


def _band(number: int, band: tuple[str, float, float], at_x: Callable[[float], float]) -> Markup:
    name, left, right = band[0], at_x(band[1]), at_x(band[2])
    letters = int((right - left) / PX_A_LETTER)
    written = name if len(name) <= letters else f"{name[: letters - 1]}…" if letters > 3 else ""
    return Markup(
        '<g><title>{}</title><rect class="band{}" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>'
        '<text class="middle" x="{:.1f}" y="{}">{}</text></g>'
    ).format(
        name, number % 2, left, TOP, max(right - left, 0), HEIGHT - TOP - BOTTOM, (left + right) / 2, TOP - 7, written
    )


def _line(curve: Curve, at_x: Callable[[float], float], at_y: Callable[[float], float]) -> Markup:
    """One polyline a stretch without gaps, then the dots."""
    runs: list[list[str]] = [[]]
    for x, y in curve.points:
        if math.isnan(y):
            runs.append([])
        else:
            runs[-1].append(f"{at_x(x):.1f},{at_y(y):.1f}")
    kind = f"curve{' faint' if curve.faint else ''}{' dashed' if curve.dashed else ''}"
    drawn = Markup("").join(
        Markup('<polyline class="{}" points="{}" style="stroke:{}"/>').format(kind, " ".join(run), curve.colour)
        for run in runs
        if len(run) > 1
    )
    single = [run[0] for run in runs if len(run) == 1]
    if not curve.dots and not single:
        return drawn
    dots = Markup("").join(
        Markup(
            '<circle cx="{:.1f}" cy="{:.1f}" r="2.6" style="fill:{}"><title>{}: {:g} at {:g}</title></circle>'
        ).format(at_x(x), at_y(y), curve.colour, curve.name, float(f"{y:.4g}"), x)
        for x, y in curve.points
        if not math.isnan(y)
    )
    return drawn + dots


def _round_numbers(low: float, high: float, most: int = 5) -> list[float]:
    """At most ``most`` + 1 multiples of 1, 2 or 5 times a power of ten that enclose the range."""
    if high <= low:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten that enclose the range."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    return [10.0**n for n in range(first, max(last, first + 1) + 1)]


def _power(value: float) -> str:
    """A power of ten, such as 10⁻³."""
    return "10" + str(round(math.log10(value))).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
