"""How far the grain size number G is from the truth, on tessellations of known size.

    python benchmarks/bench_grain_size.py [--repeats 12] [--only cubes]

Each row: mean error of G by intercepts and by counting over the repeats (random place, and orientation where it says
so), the spread of single fields, and how many 95 % intervals hold the truth.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_anneal.validation.grains import g_from_count, g_from_intercept, grain_size

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "validation"))
from tessellations import BODY_CENTRED, hexagons, poisson, turned


@dataclass(frozen=True)
class Case:
    """Grains ``make(rng)``, their mean intercept, and grains per area of section (px); ``nan``: not known."""

    name: str
    make: Callable[[np.random.Generator], Any]
    intercept: float
    per_area: float
    options: dict[str, Any]


def cases() -> list[Case]:
    """All tessellations."""
    made: list[Case] = []

    def add(name: str, make: Callable[[Any], Any], intercept: float, per_area: float, **options: Any) -> None:
        made.append(Case(name, make, intercept, per_area, options))

    plane, volume = (256, 256), (72, 72, 72)
    ways = {"along the axes": False, "turned": True}
    for width in (6, 8, 12, 20):
        chord = math.pi / 4 * width
        add(f"Poisson-Voronoi, {width} px, 256²", partial(poisson, shape=plane, width=width), chord, width**-2)
    circles = {"test_lines": "circles"}
    add("the same, 12 px, circles", partial(poisson, shape=plane, width=12), math.pi / 4 * 12, 1 / 144, **circles)
    for side in (6.3, 11.7):
        for how, turn in ways.items():
            make = partial(turned, shape=plane, cell=np.eye(2) * side, basis=[(0, 0)], turn=turn)
            add(f"squares {side} px, {how}", make, math.pi / 4 * side, side**-2)
            add(f"squares {side} px, {how}, circles", make, math.pi / 4 * side, side**-2, **circles)
    for pitch in (7.1, 14.3):
        area = pitch**2 * math.sqrt(3) / 2
        for how, turn in ways.items():
            make = partial(turned, shape=plane, cell=hexagons(pitch), basis=[(0, 0)], turn=turn)
            add(f"hexagons {pitch} px, {how}", make, math.pi / 2 * area / (math.sqrt(3) * pitch), 1 / area)
    add("a section of a Poisson-Voronoi volume, 6 px, 200²", section, 0.6872 * 6, 1.458 / 36)
    for width in (6, 8, 12):
        make = partial(poisson, shape=volume, width=width)
        add(f"Poisson-Voronoi volume, {width} px, 72³", make, 0.6872 * width, 1.458 / width**2)
    for spacing in ((2.0, 1.0, 1.0), (3.0, 1.0, 1.0)):
        make = partial(poisson, shape=(48, 72, 72), width=10, spacing=spacing)
        name = f"the same, 10 px, voxels {spacing[0]:g} : 1 : 1"
        add(name, make, 0.6872 * 10, 1.458 / 100, spacing_um=spacing)
    for side in (7.3, 12.4):
        for how, turn in ways.items():
            make = partial(turned, shape=volume, cell=np.eye(3) * side, basis=[(0, 0, 0)], turn=turn)
            # How many grains three sections of turned cubes cut depends on how they lie.
            add(f"cubes {side} px, {how}", make, 2 / 3 * side, math.nan if turn else side**-2)
    for edge in (3.5, 5.0):
        cell, basis = BODY_CENTRED
        chord, per_area = 32 * math.sqrt(2) * edge / (6 + 12 * math.sqrt(3)), 3 / (8 * math.sqrt(2) * edge**2)
        for how, turn in ways.items():
            make = partial(turned, shape=volume, cell=cell * edge, basis=basis, turn=turn)
            add(f"truncated octahedra, edge {edge} px, {how}", make, chord, per_area if turn else math.nan)
    return made


def section(rng: np.random.Generator) -> Any:
    """One plane of a volume: it has grains as small as a pixel."""
    return poisson(rng, (1, 200, 200), 6)[0]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    print(
        f"{'tessellation':<58}" + "".join(f"{h:>16}{'spread':>8}{'held':>7}" for h in ("ΔG intercepts", "ΔG counting"))
    )
    for case in cases():
        if asked.only not in case.name:
            continue
        options = {"spacing_um": 1.0, **case.options}
        sizes = [grain_size(case.make(np.random.default_rng(seed)), **options) for seed in range(asked.repeats)]
        row = f"{case.name:<58}"
        counted = g_from_count(case.per_area * 1e6) if case.per_area > 0 else math.nan
        for name, truth in (("", g_from_intercept(case.intercept / 1000)), ("_planimetric", counted)):
            g = np.array([getattr(size, f"g{name}") for size in sizes]) - truth
            ends = np.array([getattr(size, f"g{name}_interval") for size in sizes])
            held = np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1]))
            row += f"{g.mean():>+16.3f}{g.std():>8.3f}{held:>7.0%}" if math.isfinite(truth) else f"{'n/a':>16}"
        print(row, flush=True)


if __name__ == "__main__":
    main()
