"""How a micrograph looks: the five rungs from clean geometry to a worn specimen in a noisy microscope."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_anneal.recipe_base import Recipe

__all__ = ["Appearance"]


# The setting that each rung's block begins with, below.
FIRST_OF_RUNG = {"mean_grey": 2, "psf_sigma": 3, "dose": 4, "shading": 5}


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
    groove_islands: float = Field(
        0.0, ge=0, le=1, description="Share of the filling of wide grooves that remains of grains take."
    )
    junction_rounding: float = Field(
        0.0, ge=0, le=40, description="Radius (px) of the fillets where boundaries meet: thicker triple junctions."
    )
    gaps: float = Field(
        0.0, ge=0, le=0.9, description="Share of the length of boundaries on which they taper off and do not show."
    )
    gap_length: float = Field(20.0, ge=2, le=500, description="Length (px) over which boundaries come and go.")
    edge_brightening: float = Field(
        0.0,
        ge=-1,
        le=1,
        description="Grey level added to grains along their boundaries: > 0 as secondary electrons do, < 0 shading.",
    )
    edge_width: float = Field(3.0, gt=0, le=60, description="Distance (px) over which that fades to 1/e.")
    faint_boundaries: float = Field(0.1, ge=0, le=1, description="Share of boundaries that are hardly visible.")
    relief: float = Field(0.0, ge=-1, le=1, description="Bright and dark sides of boundaries lit from one side.")
    relief_direction_deg: float = Field(90.0, ge=-360, le=360, description="Where the light of the relief comes from.")

    # Rung 3: the optics
    psf_sigma: float = Field(0.8, ge=0, le=30, description="Standard deviation (px) of the point spread function.")
    defocus_variation: float = Field(
        0.0, ge=0, le=20, description="Extra blur (px) in the worst focused part of the field."
    )
    astigmatism: float = Field(
        0.0, ge=-0.9, le=0.9, description="How much wider than the mean σ the blur is along its axis, as a share of σ."
    )
    astigmatism_deg: float = Field(
        0.0, ge=-360, le=360, description="Axis of the astigmatism, from the X axis towards +Y."
    )

    # Rung 4: the detector
    dose: float = Field(400.0, gt=0, description="Quanta (electrons, photons) a white pixel counts; Poisson noise.")
    gain: float = Field(
        1.0, gt=0, le=10, description="Amplification after counting: above 1, what is bright burns out to white."
    )
    gain_variation: float = Field(
        0.0, ge=0, le=0.5, description="Relative deviation of the gain from pixel to pixel (fixed pattern)."
    )
    read_noise: float = Field(0.01, ge=0, le=1, description="Deviation of the Gaussian read-out noise.")
    hot_pixels: float = Field(0.0, ge=0, le=0.5, description="Share of pixels that are stuck at black or white.")

    # Rung 5: artefacts of specimen and scan
    shading: float = Field(0.08, ge=0, le=1, description="Uneven illumination, peak change over the field.")
    scratches: float = Field(2.0, ge=0, le=200, description="Mean number of polishing scratches.")
    scratch_family: float = Field(
        0.5, ge=0, le=1, description="Share of scratches that run parallel in families; the others run any way."
    )
    scratch_families: int = Field(1, ge=1, le=8, description="Number of such families, each with its direction.")
    bright_scratches: float = Field(0.33, ge=0, le=1, description="Share of scratches that are bright, not dark.")
    pores: float = Field(0.002, ge=0, le=0.5, description="Area fraction of pores, pits and dirt.")
    pore_diameter: float = Field(5.0, gt=0, le=200, description="Median diameter (px) of pores and pits.")
    bright_pores: float = Field(0.2, ge=0, le=1, description="Share of those marks that are bright (dust, inclusions).")
    ringed_pores: float = Field(0.4, ge=0, le=1, description="Share of those marks that have a bright rim.")
    contamination: float = Field(0.0, ge=0, le=1, description="Share of the field that stains cover.")
    contamination_contrast: float = Field(
        -0.15, ge=-1, le=1, description="Grey level of stains, less that of the clean surface, at its most."
    )
    scan_frame: float = Field(
        0.0, ge=0, le=1, description="Darkness (grey level) of the rectangle that an earlier scan has left (2D)."
    )
    drift: float = Field(
        0.0, ge=0, le=30, description="Way (px) the specimen moves during the scan; halfway it is in its place."
    )
    drift_deg: float = Field(
        0.0, ge=-360, le=360, description="Direction of the drift from the scan line: 0 shears, 90 stretches."
    )
    scan_jitter: float = Field(0.2, ge=0, le=5, description="Deviation (px) of each scan line from its place.")
    scan_lines: float = Field(0.01, ge=0, le=1, description="Deviation of the grey level from scan line to scan line.")
    scan_axis: Literal["x", "y"] = Field("x", description="Axis along which the beam scans a line.")
    curtaining: float = Field(0.0, ge=0, le=1, description="Deviation of vertical stripes left by ion milling.")
    charging: float = Field(0.0, ge=0, le=1, description="Bright patches and streaks of a charging specimen.")

    # Rung 5: artefacts of tomography
    rings: float = Field(0.0, ge=0, le=0.5, description="Deviation of the grey level from ring to ring (CT).")
    rotation_axis: float = Field(
        0.0, ge=0, le=3, description="Distance of the rotation axis of CT from the middle of the field, in its sides."
    )
    beam_hardening: float = Field(
        0.0, ge=0, le=0.9, description="Cupping: how much darker the grey at the axis of CT is than at the far corner."
    )
    streaks: float = Field(
        0.0, ge=0, le=0.5, description="Deviation of streaks around the densest spots of a CT slice, beside them."
    )

    @property
    def surface_lengths(self) -> list[float]:
        """Lengths (px) over which the fields of the surface vary: texture and its octave, roughness, islands, gaps."""
        lengths = [self.texture_length, self.texture_length / 3, max(3.0, self.groove_width)]
        lengths += [max(2.5, self.groove_width)] if self.groove_islands > 0 else []
        return lengths + ([self.gap_length] if self.gaps > 0 else [])

    def acting(self) -> tuple[str, ...]:
        """Names of the settings that have an effect at this rung."""
        rung, names = 1, []
        for name in type(self).model_fields:
            rung = FIRST_OF_RUNG.get(name, rung)
            if name != "rung" and rung <= self.rung:
                names.append(name)
        return tuple(names)
