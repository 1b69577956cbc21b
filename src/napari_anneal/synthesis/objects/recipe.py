"""Objects in a matrix: which form they have, how many, how big, which shape, and how they show."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from napari_anneal.recipe_base import Recipe

__all__ = ["Form", "LineShape", "Objects", "Overlap"]

Form = Literal["precipitates", "cuboids", "particles", "pores", "fibres", "dislocations", "nanoparticles"]
Overlap = Literal["none", "touching", "free"]
LineShape = Literal["curved", "straight", "loops", "pile_ups"]


class Objects(Recipe):
    """Precipitates, particles, pores, fibres, dislocation lines or nanoparticles, of prescribed statistics.

    Shapes are superellipses |x|^p + |y|^p = 1 (exponent 2 is an ellipse, 4 to 8 the rounded cuboid of γ′) or polygons
    with rounded corners (`facets`). A setting that a form has no use for is passed over.
    """

    form: Form = Field(
        "precipitates",
        description="'precipitates' grow until they meet, coarse and fine; 'cuboids' of γ′ do so in rows along the "
        "common direction (exponent 4 at least); 'particles' and 'pores' keep the shapes they are given; 'fibres' are "
        "cut across, lie in the plane, or run through a volume; 'dislocations' are lines; 'nanoparticles' lie on "
        "amorphous carbon (TEM, 2D).",
    )
    volume_fraction: float = Field(
        0.15, ge=0, le=0.8, description="Share of the image the (coarse) objects take; 0: go by number_density."
    )
    number_density: float = Field(
        0.0, ge=0, le=0.25, description="Objects per px² (px³ in 3D); 0: as many as the volume fraction takes."
    )
    diameter: float = Field(
        16.0, ge=2, description="Mean diameter (px) of the coarse objects; with given points it follows."
    )
    size_dispersion: float = Field(0.25, ge=0, le=1.5, description="Coefficient of variation of the diameters.")
    exponent: float = Field(2.0, ge=1.5, le=12, description="Superellipse exponent: 2 ellipse, 4-8 rounded cuboid.")
    facets: int = Field(
        0, ge=0, le=24, description="Flat sides of particles, pores and nanoparticles, at random angles; 0: none."
    )
    elongation: float = Field(1.2, ge=1, le=20, description="Mean length over width.")
    elongation_spread: float = Field(0.15, ge=0, le=1, description="Relative deviation of length over width.")
    direction_deg: float = Field(0.0, ge=-360, le=360, description="Common direction of the objects.")
    direction_spread_deg: float = Field(90.0, ge=0, le=90, description="Deviation from it: 90 is any direction.")
    irregularity: float = Field(0.08, ge=0, le=0.5, description="Relative amplitude of dents and bulges.")
    overlap: Overlap = Field(
        "none",
        description="Particles, pores, fibres, nanoparticles: 'none' keeps them apart by the gap, 'touching' moves "
        "them into contact, 'free' lets them lie on one another (Boolean model).",
    )
    gap: float = Field(
        1.0, ge=0, description="Least channel (px) of matrix between neighbouring objects; 0: may touch."
    )
    rounding: float = Field(
        0.05, ge=0, le=0.5, description="Radius, in diameters, that rounds corners and the notches where objects meet."
    )
    free_zone: float = Field(2.0, ge=0, le=100, description="Width (px) around coarse objects without fine ones.")
    fine_fraction: float = Field(
        0.0,
        ge=0,
        le=0.6,
        description="Share of the matrix between precipitates or cuboids that fine ones take.",
    )
    fine_diameter: float = Field(4.0, ge=1.5, description="Mean diameter (px) of the fine objects.")

    # Fibres and lines
    tilt_deg: float = Field(
        90.0, ge=0, le=90, description="Fibres: angle out of the (Y, X) plane; 90 cuts them across, 0: they lie in it."
    )
    misorientation_deg: float = Field(
        2.0, ge=0, le=90, description="Deviation of each fibre from the common direction; 90 is any direction."
    )
    length: float = Field(
        0.0,
        ge=0,
        description="Length (px) of fibres and dislocations; 0 (or a fibre longer than the image): right through.",
    )
    line_density: float = Field(
        0.02, gt=0, le=0.5, description="Dislocations: length of line per area (px/px²) or volume (px/px³)."
    )
    line_shape: LineShape = Field(
        "curved",
        description="Dislocations: 'curved' bowed lines, 'straight' ones along the common direction, 'loops' of the "
        "given diameter, 'pile_ups' of short lines that crowd towards an obstacle.",
    )
    line_width: float = Field(3.0, ge=1, le=40, description="Width (px) of a dislocation line in the labels.")
    persistence: float = Field(
        80.0, ge=4, description="Dislocations: length (px) over which a curved line forgets its direction."
    )

    # How they show
    contrast: float = Field(-0.15, ge=-1, le=1, description="Grey level of the objects, less that of the matrix.")
    contrast_spread: float = Field(0.2, ge=0, le=2, description="Relative deviation of that contrast over objects.")
    rim: float = Field(0.05, ge=-1, le=1, description="Grey level added just outside the outline (edge effect).")
    rim_width: float = Field(2.0, gt=0, le=40, description="Width (px) over which that bright or dark rim fades.")
    diffracting: float = Field(
        0.15, ge=0, le=1, description="Share of nanoparticles that diffract strongly and so are much darker."
    )
    fringes: float = Field(0.0, ge=0, le=1, description="Amplitude of lattice fringes in nanoparticles (grey level).")
    fringe_spacing: float = Field(4.0, ge=2, le=40, description="Period (px) of the lattice fringes.")
    fading: float = Field(
        0.3, ge=0, le=1, description="How much the contrast of a dislocation varies along the line; 1: to nothing."
    )
    bend_contours: float = Field(
        0.1, ge=0, le=1, description="Darkness (grey level) of bend contours behind dislocations."
    )

    @model_validator(mode="before")
    @classmethod
    def _number_instead_of_fraction(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("number_density") and "volume_fraction" not in given:
            return {**given, "volume_fraction": 0.0}
        return given

    @model_validator(mode="after")
    def _settings_agree(self) -> Objects:
        if self.fine_fraction > 0 and self.fine_diameter >= self.diameter:
            raise ValueError(
                f"fine_diameter {self.fine_diameter:g} px must be less than the coarse diameter {self.diameter:g} px"
            )
        if self.volume_fraction > 0 and self.number_density > 0:
            raise ValueError(
                f"volume_fraction {self.volume_fraction:g} and number_density {self.number_density:g} contradict each "
                "other, as the diameter is given; set one of the two to 0"
            )
        if self.volume_fraction == 0 and self.number_density == 0:
            raise ValueError("volume_fraction and number_density are both 0, so there would be no objects; give one")
        if self.facets in (1, 2):
            raise ValueError(f"facets {self.facets} enclose nothing; use 0 (a rounded shape) or 3 and more")
        return self
