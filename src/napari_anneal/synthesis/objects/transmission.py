"""Rung 2 for the transmission electron microscope: nanoparticles on an amorphous carbon film.

Mass-thickness contrast follows the projected thickness of each particle, diffraction contrast makes some of them much
darker, and a defocused weak-phase object gives the film its grain: white noise through |sin χ| of the contrast
transfer function (Thon 1966), whose first ring lies at the texture length.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_anneal.synthesis.appearance.smooth_noise import smooth_noise
from napari_anneal.synthesis.compiled import compiled
from napari_anneal.synthesis.objects.outlines import body_level
from napari_anneal.synthesis.objects.particles import LaidBodies
from napari_anneal.synthesis.recipe import MicrostructureRecipe

__all__ = ["nanoparticles_on_carbon", "phase_grain"]

FloatImage = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]


def nanoparticles_on_carbon(recipe: MicrostructureRecipe, laid: LaidBodies, rng: np.random.Generator) -> FloatImage:
    """Grey levels of particles on a film, float32 ``(1, Y, X)``, not clipped."""
    look, objects, shape = recipe.appearance, recipe.objects, laid.outside.shape
    image = np.float32(look.mean_grey) + np.float32(look.texture) * phase_grain(shape, look.texture_length, rng)
    # The film is not equally thick everywhere.
    image += np.float32(look.grain_contrast / 3) * smooth_noise(shape, max(shape) / 2.5, rng)
    table = _particle_table(recipe, laid, rng)
    bodies = laid.bodies
    project_bodies(
        laid.body, laid.seeds, bodies.turn, bodies.axes, bodies.reach, bodies.exponent, bodies.facets, bodies.dents,
        bodies.depth, table, image,
    )  # fmt: skip
    if objects.rim != 0:
        # Fresnel fringes of a defocused edge: one bright outside, one dark inside.
        place = laid.outside / np.float32(objects.rim_width)
        image += np.float32(objects.rim) * np.sign(place) * np.exp(-(((np.abs(place) - np.float32(0.5)) / 0.6) ** 2))
    return np.asarray(image, dtype=np.float32)


def phase_grain(shape: tuple[int, ...], length: float, rng: np.random.Generator) -> FloatImage:
    """Phase-contrast grain of an amorphous film, of deviation 1 and first Thon ring at a period of ``length`` px."""
    from scipy import fft

    noise = fft.rfft2(rng.standard_normal(shape[1:], dtype=np.float32))
    ky, kx = fft.fftfreq(shape[1])[:, None], fft.rfftfreq(shape[2])[None, :]
    # χ is quadratic in the spatial frequency (defocus alone) and π/2 at the first ring.
    square = ((ky**2 + kx**2) * length**2).astype(np.float32)
    transfer = np.abs(np.sin(np.float32(np.pi / 2) * square)) * np.exp(-square / np.float32(3.0))
    grain = fft.irfft2(noise * transfer, s=shape[1:])
    return np.asarray((grain / max(float(grain.std()), 1e-9))[None], dtype=np.float32)


def _particle_table(recipe: MicrostructureRecipe, laid: LaidBodies, rng: np.random.Generator) -> Array:
    """One row a body for `project_bodies`."""
    objects, count = recipe.objects, len(laid.bodies.diameter)
    table = np.zeros((count, 6))
    vary = np.exp(objects.contrast_spread * rng.normal(size=count) - objects.contrast_spread**2 / 2)
    # Thicker is darker: the thickness of a particle goes with its diameter.
    table[:, 0] = objects.contrast * vary * laid.bodies.diameter / laid.bodies.diameter.mean()
    strong = rng.random(count) < objects.diffracting
    table[:, 0] *= np.where(strong, rng.uniform(1.6, 2.8, count), 1.0)
    # Even the darkest lets some electrons through.
    table[:, 0] = np.maximum(table[:, 0], -0.85 * recipe.appearance.mean_grey)
    # A bent or twinned crystal diffracts unevenly.
    angle = rng.uniform(0, 2 * np.pi, count)
    uneven = np.where(strong, 0.5, 0.15) * rng.random(count)
    table[:, 1], table[:, 2] = uneven * np.sin(angle), uneven * np.cos(angle)
    # Fringes show in those that happen to lie with lattice planes along the beam.
    angle = rng.uniform(0, np.pi, count)
    period = objects.fringe_spacing * rng.choice([1.0, 0.866, 1.15], count)
    table[:, 3], table[:, 4] = 2 * np.pi * np.sin(angle) / period, 2 * np.pi * np.cos(angle) / period
    table[:, 5] = objects.fringes * (rng.random(count) < 0.6) * rng.uniform(0.4, 1.0, count)
    return table


@compiled
def project_bodies(
    body: npt.NDArray[np.int64],
    centres: Array,
    turn: Array,
    axes: Array,
    reach: Array,
    exponent: float,
    facets: Array,
    dents: Array,
    depth: float,
    table: Array,
    image: FloatImage,
) -> None:
    """Add to the image what each copy of a body takes away, by its thickness along the beam; overlaps add up.

    ``table`` rows: contrast at the thickest point, its relative change (y, x) across a radius, wave vector (y, x; 1/px)
    and amplitude of the lattice fringes.
    """
    height, width = image.shape[1:]
    for k in range(body.shape[0]):
        i = body[k]
        cy, cx = centres[k, 1], centres[k, 2]
        y0, y1 = max(int(np.ceil(cy - reach[i])), 0), min(int(cy + reach[i]) + 1, height)
        x0, x1 = max(int(np.ceil(cx - reach[i])), 0), min(int(cx + reach[i]) + 1, width)
        row, own_turn, own_axes, own_facets, own_dents = table[i], turn[i], axes[i], facets[i], dents[i]
        for y in range(y0, y1):
            for x in range(x0, x1):
                dy, dx = y - cy, x - cx
                level = body_level(0.0, dy, dx, own_turn, own_axes, exponent, own_facets, own_dents, depth)[0]
                if level >= 1.0:
                    continue
                # A ball's chord; crystals with flat sides have flat tops too.
                thick = np.sqrt(1.0 - level * level) if facets.shape[1] == 0 else np.sqrt(1.0 - level**4)
                value = row[0] * thick * (1.0 + (row[1] * dy + row[2] * dx) / reach[i])
                if row[5] > 0.0:
                    value += row[5] * thick * np.cos(row[3] * dy + row[4] * dx)
                image[0, y, x] += np.float32(value)
