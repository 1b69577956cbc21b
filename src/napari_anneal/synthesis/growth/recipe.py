"""How a structure grows before its picture is taken: grains by Potts or phase field, two phases by decomposition."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from napari_anneal.recipe_base import Recipe

__all__ = ["Growth", "GrowthMethod", "TwoPhase"]

GrowthMethod = Literal["none", "potts", "phase_field"]


class Growth(Recipe):
    """Grain growth, for kind 'grains': from the cells of the seeds to fewer and larger grains with curved boundaries.

    All boundaries have the same energy and mobility in every direction. Growth forgets where it came from: after the
    mean area has doubled a few times, sizes and shapes no longer tell how the seeds were placed. Bending, smoothing
    and rounding of the cells do not apply to grains that grow.
    """

    method: GrowthMethod = Field(
        "none",
        description="'potts': Monte Carlo; 'phase_field': boundaries move by their curvature; 'none': no growth.",
    )
    rounds: float = Field(
        300.0,
        gt=0,
        le=1e6,
        description="Monte Carlo steps (method 'potts'), visits to each pixel. An isolated circular grain loses about "
        "3.8 px² in one.",
    )
    temperature: float = Field(
        0.5,
        ge=0,
        le=1.5,
        description="Temperature (method 'potts'), k_B·T over the energy of two unlike pixels side by side.",
    )
    time: float = Field(
        200.0,
        gt=0,
        le=1e7,
        description="Time in px² (method 'phase_field'): mobility and energy of boundaries are 1, so an isolated "
        "circular grain loses 2π px² in a unit of it.",
    )
    resolution: float = Field(
        12.0,
        ge=8,
        le=100,
        description="Grid steps (method 'phase_field') across the mean grain at the start, where that is more than a "
        "step a pixel: larger grains are computed on a coarser grid than the image.",
    )
    periodic: bool = Field(False, description="Opposite edges of the image join; otherwise boundaries end at them.")


class TwoPhase(Recipe):
    """Two phases that have decomposed spinodally and coarsened: worm-like where they share evenly, else droplets."""

    volume_fraction: float = Field(
        0.5, ge=0.25, le=0.75, description="Share of the image the second phase takes, exact to a pixel."
    )
    wavelength: float = Field(24.0, ge=6, le=1e4, description="Mean distance (px) from a domain to the next.")
    coarsening: float = Field(
        2.0,
        ge=1.3,
        le=6,
        description="By how much that distance has grown since the phases formed: the more, the rounder the domains.",
    )

    def box(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Size (px) of the periodic box that is computed: the image's, but at least two wavelengths."""
        least = math.ceil(2 * self.wavelength)
        return tuple(max(n, least) for n in shape)

    def grid(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Grid points in it: the interface is about three grid steps wide, so early domains take fewer a wavelength."""
        # 2π√2 steps are the wavelength that decomposition starts with.
        return tuple(round(n * self.coarsening * 2 * math.pi * math.sqrt(2) / self.wavelength) for n in self.box(shape))
