"""Objects in a matrix: how many, how big, which shape; coarse and fine populations side by side."""

from __future__ import annotations

from pydantic import Field, model_validator

from napari_anneal.recipe_base import Recipe

__all__ = ["Objects"]


class Objects(Recipe):
    """Precipitates, particles or pores: a coarse population and, where wanted, a fine one between them.

    Shapes are superellipses |x|^p + |y|^p = 1: exponent 2 is an ellipse, 4 to 8 the rounded cuboid of γ′.
    """

    volume_fraction: float = Field(0.15, gt=0, le=0.8, description="Share of the image the coarse objects take.")
    diameter: float = Field(
        16.0, ge=2, description="Mean diameter (px) of the coarse objects; with given points it follows."
    )
    size_dispersion: float = Field(0.25, ge=0, le=1.5, description="Coefficient of variation of the diameters.")
    exponent: float = Field(2.0, ge=1.5, le=12, description="Superellipse exponent: 2 ellipse, 4-8 rounded cuboid.")
    elongation: float = Field(1.2, ge=1, le=20, description="Mean length over width.")
    direction_deg: float = Field(0.0, ge=-360, le=360, description="Common direction of the objects.")
    direction_spread_deg: float = Field(90.0, ge=0, le=90, description="Deviation from it: 90 is any direction.")
    irregularity: float = Field(0.08, ge=0, le=0.5, description="Relative amplitude of dents and bulges.")
    gap: float = Field(
        1.0, ge=0, description="Least channel (px) of matrix between neighbouring objects; 0: may touch."
    )
    rounding: float = Field(
        0.05, ge=0, le=0.5, description="Radius, in diameters, that rounds corners and the notches where objects meet."
    )
    free_zone: float = Field(2.0, ge=0, le=100, description="Width (px) around coarse objects without fine ones.")
    fine_fraction: float = Field(
        0.0, ge=0, le=0.6, description="Share of the matrix between them that fine objects take."
    )
    fine_diameter: float = Field(4.0, ge=1.5, description="Mean diameter (px) of the fine objects.")
    contrast: float = Field(-0.15, ge=-1, le=1, description="Grey level of the objects, less that of the matrix.")
    contrast_spread: float = Field(0.2, ge=0, le=2, description="Relative deviation of that contrast over objects.")
    rim: float = Field(0.05, ge=-1, le=1, description="Grey level added just outside the outline (edge effect).")
    rim_width: float = Field(2.0, gt=0, le=40, description="Width (px) over which that bright or dark rim fades.")

    @model_validator(mode="after")
    def _fine_is_finer(self) -> Objects:
        if self.fine_fraction > 0 and self.fine_diameter >= self.diameter:
            raise ValueError(
                f"fine_diameter {self.fine_diameter:g} px must be less than the coarse diameter {self.diameter:g} px"
            )
        return self
