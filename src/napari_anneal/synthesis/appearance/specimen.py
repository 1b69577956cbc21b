"""Rungs 1 and 2: the specimen before any microscope: grain contrast, texture, twins, boundaries as they really look."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.appearance.paint import paint_grains, paint_patches
from napari_anneal.synthesis.appearance.recipe import Appearance
from napari_anneal.synthesis.appearance.smooth_noise import NoiseField, noise_field, share_of
from napari_anneal.synthesis.geometry.cells import Cells
from napari_anneal.synthesis.geometry.coverage import boundary_coverage
from napari_anneal.synthesis.geometry.patches import Patches, nearest_patches
from napari_anneal.synthesis.geometry.powers import site_rows
from napari_anneal.synthesis.recipe import MicrostructureRecipe

__all__ = [
    "clean_grains",
    "composed",
    "edge_table",
    "grain_table",
    "polished_grains",
    "polished_labels",
    "surface",
    "surface_fields",
    "unit_vectors",
]

FloatImage = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
CLEAN_GREYS, CLEAN_BOUNDARY = (0.8, 0.55), 0.1
# What etching leaves: no boundary wider than this is seen on the micrographs this follows.
WIDEST_GROOVE = 40.0
# So many boundaries near a pixel compete for it: those of a triple junction, or of a quadruple point in 3D.
NEARBY = 4


def clean_grains(distance: FloatImage, phase: npt.NDArray[np.uint8], boundary_width: float) -> FloatImage:
    """Rung 1: flat grains, one grey a phase, and antialiased dark boundary lines (float32 in [0, 1])."""
    cover = boundary_coverage(distance, boundary_width)
    grey = np.asarray(CLEAN_GREYS, dtype=np.float32)[phase - 1]
    return np.asarray(grey + cover * (np.float32(CLEAN_BOUNDARY) - grey), dtype=np.float32)


def polished_grains(
    recipe: MicrostructureRecipe,
    cells: Cells,
    labels: npt.NDArray[np.int32],
    distance: FloatImage,
    phase_of: npt.NDArray[np.uint8],
    shift: npt.NDArray[np.float32] | None,
    rng: np.random.Generator,
) -> FloatImage:
    """Rung 2: grey levels of the polished or etched surface, float32 ``(Z, Y, X)``, not clipped."""
    look, ndim = recipe.appearance, len(recipe.shape)
    # Copies of a grain across the sides of a periodic image look like it.
    grain = grain_table(look, recipe.grain_diameter, ndim, phase_of, rng)[cells.grain]
    edge = edge_table(look, cells.n_pairs, rng)
    texture, filling, swell, settings = surface(look, labels.shape, rng, recipe.periodic)
    out = np.empty(labels.shape, dtype=np.float32)
    none = np.empty((3, 0, 0, 0), dtype=np.float32)
    sites = site_rows(cells) if cells.metric.ndim == 3 else np.empty((0, 10))
    paint_grains(
        labels, distance, recipe.is_curved, cells.seeds, cells.start, cells.neighbour, cells.planes, sites, cells.pair,
        grain, edge, texture, filling, swell, none if shift is None else shift, settings, out,
    )  # fmt: skip
    return out


def polished_labels(
    look: Appearance,
    labels: npt.NDArray[np.int32],
    seeds: FloatArray,
    patches: Patches,
    phase_of: npt.NDArray[np.uint8],
    rng: np.random.Generator,
) -> FloatImage:
    """Rung 2 of any label map, float32 ``(Z, Y, X)``, not clipped.

    ``labels`` are 0 … N - 1, ``seeds`` ``(N, 3)`` a place in each grain (slopes and twins start from it),
    ``patches`` the boundaries (`find_patches`) and ``phase_of`` the phase of each grain.
    """
    ndim = sum(n > 1 for n in labels.shape) if labels.shape[0] > 1 else 2
    size = float(np.prod(np.array(labels.shape, dtype=np.float64))) / len(seeds)
    diameter = np.sqrt(4 * size / np.pi) if ndim == 2 else (6 * size / np.pi) ** (1 / 3)
    grain = grain_table(look, float(diameter), ndim, phase_of, rng)
    edge = edge_table(look, patches.n_pairs, rng)
    texture, filling, swell, settings = surface(look, labels.shape, rng)
    widest = float(edge[:, 1].max() * swell.max()) if patches.n_pairs else 0.0
    reach = widest * (1 + look.groove_softness / 2) + 1 + look.junction_rounding
    if look.edge_brightening != 0:
        reach += 3 * look.edge_width
    nearest = nearest_patches(patches, labels, NEARBY, reach=reach)
    out = np.empty(labels.shape, dtype=np.float32)
    paint_patches(
        labels, seeds, patches.place, patches.pair, patches.grains, nearest, grain, edge, texture, filling, swell,
        settings, out,
    )  # fmt: skip
    return out


def surface(
    look: Appearance, shape: tuple[int, ...], rng: np.random.Generator, periodic: bool = False
) -> tuple[FloatImage, FloatImage, FloatImage, FloatArray]:
    """Texture, filling and swelling of grooves (float32 ``(Z, Y, X)``), and settings, for the brushes of grains."""
    return composed(look, [field.whole() for field in surface_fields(look, shape, rng, periodic)])


def surface_fields(
    look: Appearance, shape: tuple[int, ...], rng: np.random.Generator, periodic: bool = False
) -> list[NoiseField]:
    """Draw what `composed` needs: texture, its finer octave (real surfaces vary on more than one length), roughness.

    Where there are any, islands and gaps follow.
    """
    return [noise_field(shape, length, rng, periodic) for length in look.surface_lengths]


def composed(look: Appearance, fields: list[FloatImage]) -> tuple[FloatImage, FloatImage, FloatImage, FloatArray]:
    """Make what `surface` returns from the fields of `surface_fields`, of a whole image or of a part."""
    texture, fine, rough, *others = fields
    swell = np.exp(np.float32(look.groove_roughness) * rough)
    filling = np.float32(look.groove_texture) * rough
    if look.groove_islands > 0:
        # What the etchant left standing is as bright as a grain, and its edges make it somewhat brighter.
        filling += share_of(others[0], look.groove_islands, soft=0.4) * np.float32(-1.2 * look.boundary_contrast)
    if look.gaps > 0:
        swell *= 1 - share_of(others[-1], look.gaps, soft=0.25)
    angle = np.deg2rad(look.relief_direction_deg)
    edge_width = look.edge_width if look.edge_brightening != 0 else 0.0
    settings = np.array(
        [look.mean_grey, look.groove_softness, 0.0, np.sin(angle), np.cos(angle), look.junction_rounding, edge_width]
    )
    return texture + np.float32(0.5) * fine, filling, swell, settings


def grain_table(
    look: Appearance, diameter: float, ndim: int, phase_of: npt.NDArray[np.uint8], rng: np.random.Generator
) -> FloatArray:
    """One row a grain for the brushes; ``diameter`` is the mean of the grains (px)."""
    count = len(phase_of)
    table = np.zeros((count, 10))
    # Orientation contrast is spread about evenly between its extremes, not bell-shaped: many neighbours differ clearly.
    table[:, 0] = look.mean_grey + look.grain_contrast * np.sqrt(3) * rng.uniform(-1, 1, count)
    table[:, 0] += look.phase_contrast * (phase_of == 2)
    slope = rng.normal(size=count) * look.slope / diameter
    table[:, 1:4] = slope[:, None] * unit_vectors(count, ndim, rng)
    table[:, 4] = look.texture * rng.gamma(4.0, 0.25, count)
    twinned = rng.random(count) < look.twins
    table[:, 5] = twinned * rng.choice([-1.0, 1.0], count) * (0.04 + 1.2 * look.grain_contrast * rng.random(count))
    period = diameter * rng.uniform(0.35, 1.2, count)
    table[:, 6:9] = unit_vectors(count, ndim, rng) / period[:, None]
    table[:, 9] = rng.uniform(0.1, 0.45, count)
    return table


def edge_table(look: Appearance, count: int, rng: np.random.Generator) -> FloatArray:
    """One row a boundary for the brushes: contrast, half width, relief and brightness of the grains beside it."""
    table = np.zeros((count, 4))
    visible = np.where(rng.random(count) < look.faint_boundaries, rng.uniform(0, 0.2, count), 1.0)
    vary = np.maximum(1 + look.contrast_spread * rng.normal(size=count), 0.0)
    table[:, 0] = look.boundary_contrast * vary * visible
    width = look.groove_width * np.exp(look.groove_width_spread * rng.normal(size=count))
    table[:, 1] = np.clip(width, min(1.0, look.groove_width), WIDEST_GROOVE) / 2
    table[:, 2] = look.relief * vary * visible
    table[:, 3] = look.edge_brightening * vary * visible
    return table


def unit_vectors(count: int, ndim: int, rng: np.random.Generator) -> FloatArray:
    """Random directions ``(count, 3)``, in the (Y, X) plane for 2D."""
    vectors = np.zeros((count, 3))
    vectors[:, 3 - ndim :] = rng.normal(size=(count, ndim))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float64)
