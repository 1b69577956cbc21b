"""How a structure grows before its picture is taken: grains by Potts or phase field, two phases by decomposition."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_anneal.recipe_base import Recipe

__all__ = ["Growth", "GrowthMethod"]

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
