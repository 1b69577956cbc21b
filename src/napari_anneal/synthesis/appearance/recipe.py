"""How a micrograph looks: the five rungs from clean geometry to a worn specimen in a noisy microscope."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_anneal.recipe_base import Recipe

__all__ = ["Appearance"]


class Appearance(Recipe):
    """Physical parameters of the image, rung by rung; a rung includes all below it.

    1 clean geometry · 2 grey levels, texture, boundaries as they really look · 3 point spread of the optics ·
    4 detector noise · 5 artefacts of specimen and scan. Grey levels are fractions of the full range (0 black,
    1 white), lengths pixels.
    """

    rung: int = Field(4, ge=1, le=5, description="How far up the ladder: 1 clean … 5 with artefacts.")

    # Rung 2: the specimen
    mean_grey: float = Field(0.5, ge=0, le=1, description="Mean grey level of the grains (or of the matrix).")
    grain_contrast: float = Field(0.10, ge=0, le=1, description="Deviation of the grey level from grain to grain.")
    phase_contrast: float = Field(
        -0.2, ge=-1, le=1, description="Grey level of the second phase, less that of the first."
    )
    slope: float = Field(0.03, ge=0, le=1, description="Deviation of the grey-level change across a grain.")
    texture: float = Field(0.03, ge=0, le=1, description="Deviation of the grey level inside grains.")
    texture_length: float = Field(6.0, ge=1, description="Length (px) over which in-grain texture varies.")
    twins: float = Field(0.0, ge=0, le=1, description="Share of grains with twin bands; bands are not in the labels.")
    boundary_contrast: float = Field(
        -0.25,
        ge=-1,
        le=1,
        description="Grey level of a boundary, less the mean: < 0 dark groove, > 0 bright line, 0 none.",
    )
    contrast_spread: float = Field(0.3, ge=0, le=2, description="Relative deviation of that contrast over boundaries.")
    groove_width: float = Field(2.0, gt=0, le=40, description="Median width (px) a boundary appears to have.")
    groove_width_spread: float = Field(
        0.3, ge=0, le=2, description="Log-normal σ of that width over boundaries: 1 gives the heavy tail of etching."
    )
    groove_roughness: float = Field(0.1, ge=0, le=1.5, description="Log-normal σ of the width along one boundary.")
    groove_texture: float = Field(0.05, ge=0, le=1, description="Deviation of the grey level inside wide grooves.")
    groove_softness: float = Field(0.5, ge=0, le=2, description="Edge of a groove: 0 sharp … 2 no flat bottom.")
    faint_boundaries: float = Field(0.1, ge=0, le=1, description="Share of boundaries that are hardly visible.")
    relief: float = Field(0.0, ge=-1, le=1, description="Bright and dark sides of boundaries lit from one side.")
    relief_direction_deg: float = Field(90.0, ge=-360, le=360, description="Where the light of the relief comes from.")

    # Rung 3: the optics
    psf_sigma: float = Field(0.8, ge=0, le=30, description="Standard deviation (px) of the point spread function.")
    defocus_variation: float = Field(
        0.0, ge=0, le=20, description="Extra blur (px) in the worst focused part of the field."
    )
    astigmatism: float = Field(0.0, ge=-0.9, le=0.9, description="Relative difference of the blur along X and along Y.")

    # Rung 4: the detector
    dose: float = Field(400.0, gt=0, description="Quanta (electrons, photons) a white pixel counts; Poisson noise.")
    read_noise: float = Field(0.01, ge=0, le=1, description="Deviation of the Gaussian read-out noise.")
    hot_pixels: float = Field(0.0, ge=0, le=0.5, description="Share of pixels that are stuck at black or white.")

    # Rung 5: artefacts of specimen and scan
    shading: float = Field(0.08, ge=0, le=1, description="Uneven illumination, peak change over the field.")
    scratches: float = Field(2.0, ge=0, le=200, description="Mean number of polishing scratches.")
    scratch_family: float = Field(
        0.5, ge=0, le=1, description="How parallel scratches are: 0 any direction, 1 all alike."
    )
    pores: float = Field(0.002, ge=0, le=0.5, description="Area fraction of pores, pits and dirt.")
    pore_diameter: float = Field(5.0, gt=0, le=200, description="Median diameter (px) of pores and pits.")
    scan_jitter: float = Field(0.2, ge=0, le=5, description="Deviation (px) of each scan line from its place.")
    scan_lines: float = Field(0.01, ge=0, le=1, description="Deviation of the grey level from scan line to scan line.")
    scan_axis: Literal["x", "y"] = Field("x", description="Axis along which the beam scans a line.")
    curtaining: float = Field(0.0, ge=0, le=1, description="Deviation of vertical stripes left by ion milling.")
    charging: float = Field(0.0, ge=0, le=1, description="Bright patches and streaks of a charging specimen.")
