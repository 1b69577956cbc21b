"""``grain_size``: the grain size of label maps after ASTM E112, with what it is worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError
from napari_anneal.validation.grains.grain_map import Boundary, GrainMap, Zero, make_grain_map
from napari_anneal.validation.grains.hand_count import HandCount, circle_pattern, count_by_hand, line_pattern
from napari_anneal.validation.grains.intercepts import Crossings, circle_crossings, line_crossings
from napari_anneal.validation.grains.planimetric import Count, count_grains, count_in_blocks, total
from napari_anneal.validation.grains.result import Estimate, GrainSize

__all__ = ["grain_size"]

FloatArray = npt.NDArray[np.float64]
# Parts of one image that stand for fields: each should hold this many grains, or its count tells little.
GRAINS_A_BLOCK = 10
MOST_BLOCKS = {2: 4, 3: 3}
# Neighbouring parts share the grains on their common edges, so they are more alike than fields apart. The counts of a
# part blur its edge over this share of a grain's width (found by simulation of Poisson-Voronoi grains; half is the
# value for ½ a count a cut grain).
INTERCEPT_BLUR, COUNT_BLUR = 0.5, 0.75
LEVEL = 0.95
# Above this share the extrapolation to steps of 0 is a guess.
MOST_UNSEEN = 0.25
# Where boundaries of 2 to 4 px were drawn, G comes out nearest to that of the undrawn grains with steps of 2 px.
DRAWN_STRIDE = 2


def grain_size(
    labels: Any,
    spacing_um: float | Sequence[float] | None = None,
    *,
    boundary: Boundary = "auto",
    zero: Zero = "boundary",
    ignore: Any = None,
    test_lines: Literal["lines", "circles"] = "lines",
    close_gaps: float = 0.0,
    smallest: int = 9,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> GrainSize:
    """Measure the grain size of one label map, or of several fields of one material.

    Parameters
    ----------
    labels
        Whole numbers, ``(Y, X)`` or ``(Z, Y, X)``: an instance map (a number a grain), or a class map with grains and
        boundaries; a list or tuple of such maps are fields of one material. With several fields the confidence interval
        is that of E112 over fields; one image is cut into 4 to 27 parts, whose likeness is allowed for.
    spacing_um
        Size of a pixel, µm, one number or one an axis; ``None``: sizes in px only, and no G.
    boundary, zero, close_gaps, smallest
        How the map is read; see `grain_map.make_grain_map`. In a network's class map a gap in a boundary makes one
        grain of two: with the shipped ``voronoi`` on synthetic images G came out 0.3 to 0.5 too small, 0.02 to 0.15
        with ``close_gaps=12``.
    ignore
        bool mask, True where there is no micrograph (scale bar); for several fields a list with one mask or ``None``
        each.
    test_lines
        ``"lines"`` through every pixel along 12 directions (43 in 3D; others where pixels are not square);
        ``"circles"``: Abrams' three circles in each field (2D). The same kind of lines, a few, is counted as a person
        would (2D); see `hand_count`.
    seed
        Where the few lines lie that are counted as by hand.
    progress
        Called with (steps done, steps in all); what it raises ends the measurement.

    Returns
    -------
    GrainSize
        For volumes the intercepts run through the volume, grains are counted on plane sections along the three axes,
        and single grains are measured in 3D. How far G is from the truth on tessellations of known size, by
        ``benchmarks/bench_grain_size.py``, stands in ``docs/figures-that-mean-something.md``: within about 0.05 from
        grains 6 px wide on, random or on a lattice, however they lie. What cannot be better: directions between those
        that are counted leave up to 0.03 (0.04 in 3D) where *all* boundaries run along the axes; grains on one lattice,
        5 to 6 px from face to face and all alike, add some more (0.07 for truncated octahedra of 10 px along the axes);
        and one field of a few grains has the grains it has, which is what the interval is for. Sections along the faces
        of cubes cut fewer grains (1 / a²) than others (3 / 2a² on average): counting gives the number of these
        sections, as the standard says, not that of all.

    Raises
    ------
    InputError
        What is given is no label map or holds one grain only; spacing or masks do not fit.
    """
    several = isinstance(labels, (list, tuple)) and all(np.ndim(each) in (2, 3) for each in labels) and len(labels) > 0
    maps = list(labels) if several else [labels]
    masks = list(ignore) if several and ignore is not None else [ignore] * len(maps)
    if len(masks) != len(maps):
        raise InputError(f"{len(masks)} masks do not fit {len(maps)} label maps; give one mask or None for each.")
    names = [f"label map {k}" if several else "the label map" for k in range(1, len(maps) + 1)]
    fields = [
        make_grain_map(
            each, boundary=boundary, zero=zero, ignore=mask, close_gaps=close_gaps, smallest=smallest, name=name
        )
        for each, mask, name in zip(maps, masks, names, strict=True)
    ]
    ndim = fields[0].grains.ndim
    if any(field.grains.ndim != ndim for field in fields):
        raise InputError("label maps of two and three dimensions cannot be mixed; measure them apart.")
    if test_lines not in ("lines", "circles") or (test_lines == "circles" and ndim == 3):
        raise InputError(f"test_lines={test_lines!r} is not known for {ndim}D; use 'lines' (or 'circles' in 2D).")
    spacing = _spacing(spacing_um, ndim)
    steps = (1.0,) * ndim if spacing is None else tuple(s / spacing[-1] for s in spacing)
    return _measure(fields, steps, spacing, test_lines, seed, progress)


def _measure(
    fields: list[GrainMap],
    steps: tuple[float, ...],
    spacing: tuple[float, ...] | None,
    test_lines: str,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> GrainSize:
    """Measure grain maps with pixels of size ``steps``."""
    from napari_anneal.synthesis.statistics.grains import grain_statistics

    ndim = fields[0].grains.ndim
    notes = list(dict.fromkeys(note for field in fields for note in field.notes))
    statistics = [grain_statistics(field.grains, steps) for field in fields]
    blocks = _blocks(fields, sum(len(s.ids) for s in statistics))
    stride = DRAWN_STRIDE if any(field.drawn for field in fields) else 1
    count_crossings: Callable[..., Crossings] = line_crossings if test_lines == "lines" else circle_crossings
    parts_done = [_share(progress, number, len(fields)) for number in range(len(fields))]
    crossings = _joined(
        [
            count_crossings(field.grains, steps, blocks, stride, done)
            for field, done in zip(fields, parts_done, strict=True)
        ]
    )
    if not crossings.counted:
        raise InputError(
            "no boundary was met: a single grain fills the field, so it has no grain size; take a field with 50 grains "
            "or more, or a lower magnification."
        )
    counts = [count_grains(field.grains, steps) for field in fields]
    parts = count_in_blocks(fields[0].grains, steps, blocks) if blocks > 1 else counts
    whole_count = total(counts)
    width = math.sqrt(1 / whole_count.density) if whole_count.inside else math.inf
    shape = np.array(fields[0].grains.shape) * steps
    inflate = [_likeness(shape, blocks, blur * width) for blur in (INTERCEPT_BLUR, COUNT_BLUR)]
    intercept = _intercept(crossings, inflate[0])
    planimetric = _planimetric(whole_count, parts, inflate[1])
    if not whole_count.inside:
        notes.append("no grain lies in the field whole, so grains cannot be counted; take a larger field.")
    if not math.isfinite(intercept.half_width):
        notes.append(
            f"no confidence interval: that takes several fields, or one with {GRAINS_A_BLOCK * 2**ndim} grains."
        )
    elif intercept.relative_accuracy_percent > 10:
        notes.append(
            f"the relative accuracy of the intercepts is {intercept.relative_accuracy_percent:.0f} %, above the 10 % "
            "that E112 asks for; measure more fields."
        )
    if crossings.unseen_share > MOST_UNSEEN:
        notes.append(
            f"grains are so small that {crossings.unseen_share:.0%} of the crossings lie between pixels and are "
            "estimated; below 5 px of mean intercept take a higher magnification."
        )
    # Circles are there to average over directions, and have too few steps along each.
    straight = test_lines == "lines"
    by_direction = crossings.per_length() if straight else np.zeros(0)
    directions = crossings.directions if straight else np.zeros((0, ndim))
    principal, axes = _principal(directions, by_direction)
    weight = np.concatenate([s.weight for s in statistics])
    whole = weight > 0
    diameter = np.concatenate([s.diameter for s in statistics])[whole]
    return GrainSize(
        intercept=intercept,
        planimetric=planimetric,
        directions=directions,
        intercepts=np.divide(1, by_direction, out=np.full(by_direction.shape, np.inf), where=by_direction > 0),
        principal=principal,
        principal_directions=axes,
        diameter=diameter,
        grain_weight=weight[whole] / weight.sum() if whole.any() else weight[whole],
        grain_aspect_ratio=np.concatenate([s.aspect_ratio for s in statistics])[whole],
        whole=int(whole.sum()),
        cut=int((~whole).sum()),
        ndim=ndim,
        test_lines=test_lines,
        spacing_um=spacing,
        notes=tuple(notes),
        hand_counts=_by_hand(fields, steps, test_lines, intercept.value, seed),
    )


def _by_hand(
    fields: list[GrainMap], steps: tuple[float, ...], test_lines: str, mean_intercept: float, seed: int
) -> tuple[HandCount, ...]:
    """What a person would count on each section; nothing in volumes."""
    if len(steps) != 2:
        return ()
    rng, found = np.random.default_rng(seed), []
    for field in fields:
        shape = field.grains.shape
        circles = test_lines == "circles"
        lines = circle_pattern(shape, steps) if circles else line_pattern(shape, steps, mean_intercept, rng)
        found.append(count_by_hand(field.grains, lines, steps))
    return tuple(found)


def _share(progress: Callable[[int, int], None] | None, number: int, fields: int) -> Callable[[int, int], None] | None:
    """Progress of one of several fields, as progress of all."""
    if progress is None:
        return None
    return lambda done, total: progress(number * total + done, fields * total)


def _intercept(crossings: Crossings, inflate: float) -> Estimate:
    """Mean intercept, with the scatter of fields weighted by their length of line."""
    from scipy import stats

    density = crossings.mean_per_length()
    each, length = crossings.each_per_length(), crossings.covered.sum(axis=1)
    usable = np.isfinite(each)
    half = _half_width(each[usable] - density, length[usable], inflate, stats.t.ppf)
    value = 1 / density if density > 0 else math.inf
    return Estimate(value, density, half, crossings.counted, float(length.sum()), int(usable.sum()))


def _planimetric(whole: Count, parts: list[Count], inflate: float) -> Estimate:
    """Mean section of a grain, with the scatter of fields weighted by their area."""
    from scipy import stats

    density = whole.density
    usable = [part for part in parts if part.area > 0]
    area = np.array([part.area for part in usable])
    each = np.array([part.grains for part in usable]) / area
    half = _half_width(each - each.mean(), area, inflate, stats.t.ppf) if whole.inside else math.nan
    return Estimate(1 / density, density, half, whole.grains, whole.area, len(usable))


def _half_width(
    deviations: FloatArray, weight: FloatArray, inflate: float, student: Callable[[float, int], float]
) -> float:
    """Half of the confidence interval of a mean over fields of unequal extent (Student's t, E112-13 eq. 16)."""
    n = len(deviations)
    if n < 2:
        return math.nan
    scaled = deviations * weight / weight.mean()
    error = math.sqrt(float(scaled @ scaled) / (n * (n - 1)))
    return float(student((1 + LEVEL) / 2, n - 1)) * error * inflate


def _blocks(fields: list[GrainMap], grains: int) -> int:
    """Parts along each axis that one image is cut into; 1 for several images, or where it holds too few grains."""
    if len(fields) > 1:
        return 1
    ndim = fields[0].grains.ndim
    parts = int((grains / GRAINS_A_BLOCK) ** (1 / ndim) + 1e-9)
    parts = min(parts, MOST_BLOCKS[ndim], min(fields[0].grains.shape) // 8)
    return parts if parts >= 2 else 1


def _likeness(shape: FloatArray, blocks: int, blur: float) -> float:
    """By how much the scatter of parts understates the error of the whole.

    Of counts that blur a box of sides L over a width Δ, the variance of the density is that of the box times
    Π (1 − Δ/L); parts are smaller than the whole, so more of their scatter is blurred away.
    """
    if blocks == 1 or not math.isfinite(blur):
        return 1.0
    # Where grains are about as large as the parts the formula ends; then no interval is wide enough anyway.
    shares = np.clip(blur * blocks / shape, 0, 0.5)
    return float(np.sqrt(np.prod((1 - shares / blocks) / (1 - shares))))


def _joined(parts: list[Crossings]) -> Crossings:
    """Fields of several images behind each other."""
    first, *others = parts
    return replace(
        first,
        changes=np.concatenate([part.changes for part in parts]),
        covered=np.concatenate([part.covered for part in parts]),
        losses=sum((part.losses for part in others), first.losses),
    )


def _principal(directions: FloatArray, per_length: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean intercepts along the axes of N_L² = uᵀ M u fitted to all directions u: stretching makes it just so."""
    if not len(directions) or not np.isfinite(per_length).all():
        return np.zeros(0), np.zeros((0, directions.shape[1] if directions.ndim == 2 else 0))
    ndim = directions.shape[1]
    pairs = [(i, j) for i in range(ndim) for j in range(i, ndim)]
    terms = np.column_stack([directions[:, i] * directions[:, j] * (1 if i == j else 2) for i, j in pairs])
    solution = np.linalg.lstsq(terms, per_length**2, rcond=None)[0]
    matrix = np.zeros((ndim, ndim))
    for (i, j), value in zip(pairs, solution, strict=True):
        matrix[i, j] = matrix[j, i] = value
    values, vectors = np.linalg.eigh(matrix)
    # Bands without an end have no crossing along them.
    return 1 / np.sqrt(np.maximum(values, 1e-12)), vectors.T


def _spacing(spacing_um: float | Sequence[float] | None, ndim: int) -> tuple[float, ...] | None:
    """One positive number an axis, µm."""
    if spacing_um is None:
        return None
    try:
        given = np.asarray(spacing_um, dtype=np.float64)
        steps = tuple(float(s) for s in np.broadcast_to(given, (ndim,)))
    except (TypeError, ValueError):
        steps = ()
    if len(steps) != ndim or not all(math.isfinite(s) and s > 0 for s in steps):
        raise InputError(f"spacing_um={spacing_um} must be a positive number, or {ndim} of them, one for each axis.")
    return steps
