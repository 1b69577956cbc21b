"""Presets: micrographs of seven common kinds, each a family of recipes to train on and one typical recipe of it.

They are drawn by hand after what such images show, not fitted to any. Settings that a preset does not name keep the
default of the recipe, so a preset says all that is peculiar about its kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from napari_anneal.errors import InputError
from napari_anneal.synthesis.appearance.recipe import Appearance
from napari_anneal.synthesis.objects.recipe import Objects
from napari_anneal.synthesis.randomization import AppearanceRanges, ObjectRanges, RecipeRanges
from napari_anneal.synthesis.recipe import MicrostructureRecipe

__all__ = ["PRESETS", "PresetName", "preset", "preset_ranges"]

PresetName = Literal[
    "sem_bse_polished",
    "sem_se_etched",
    "optical_etched",
    "ebsd_band_contrast",
    "tem_nanoparticles",
    "xct_grains",
    "ct_fibres",
]

PRESETS: dict[PresetName, str] = {
    "sem_bse_polished": "SEM, backscattered electrons, polished: grains by channelling contrast, twins, no grooves.",
    "sem_se_etched": "SEM, secondary electrons, etched: dark grooves of many widths with bright edges, pits.",
    "optical_etched": "Light microscope, etched: thin dark boundaries on bright grains, some of them faint or missing.",
    "ebsd_band_contrast": "EBSD band contrast map: grey grains, dark boundaries one or two steps wide, bad points.",
    "tem_nanoparticles": "TEM, bright field: dark nanoparticles on grainy amorphous carbon.",
    "xct_grains": "X-ray CT slice or volume: polycrystal whose boundaries hold a denser phase; rings, cupping.",
    "ct_fibres": "X-ray CT of a composite cut across its fibres: bright round fibres in a darker matrix; rings.",
}


def preset(name: str, shape: tuple[int, ...] = (512, 512)) -> MicrostructureRecipe:
    """Return the typical recipe of a kind of micrograph: the middle of every range of `preset_ranges`.

    ``shape`` is in pixels, (Y, X) or (Z, Y, X); ``tem_nanoparticles`` is 2D only.

    Raises
    ------
    InputError
        There is no such preset, or a shape that cannot be made.
    """
    return preset_ranges(name, shape).typical()


def preset_ranges(name: str, shape: tuple[int, ...] = (256, 256)) -> RecipeRanges:
    """Return the ranges of a kind of micrograph, for a `SyntheticStream` that looks like it.

    Raises
    ------
    InputError
        There is no such preset.
    """
    if name not in _SETTINGS:
        raise InputError(f"there is no preset {name!r}; choose from {', '.join(PRESETS)}.")
    settings = dict(_SETTINGS[name])
    look = {**_defaults(Appearance), "rung": 5, **_ABSENT, **settings.pop("appearance")}
    objects = {**_defaults(Objects), **settings.pop("objects", {})}
    return RecipeRanges(
        shape=shape, **{**_PLAIN, **settings}, appearance=AppearanceRanges(**look), objects=ObjectRanges(**objects)
    )


def _defaults(recipe: type[Appearance] | type[Objects]) -> dict[str, Any]:
    """Every setting fixed at its default."""
    return {name: field.get_default(call_default_factory=True) for name, field in recipe.model_fields.items()}


def _log(low: float, high: float) -> dict[str, Any]:
    """Even in the logarithm."""
    return {"low": low, "high": high, "log": True}


def _often(share: float, low: float, high: float, otherwise: float = 0.0) -> dict[str, Any]:
    """Present in that share of the images."""
    return {"low": low, "high": high, "probability": share, "otherwise": otherwise}


# Artefacts that a preset has only if it names them.
_ABSENT: dict[str, Any] = {
    "relief": 0, "shading": 0, "scratches": 0, "pores": 0, "scan_jitter": 0, "scan_lines": 0, "faint_boundaries": 0,
}  # fmt: skip
# Likewise for the geometry: plain grains.
_PLAIN: dict[str, Any] = {
    "placement": "random", "lloyd_rounds": (0, 2), "aspect_ratio": 1, "size_dispersion": (0.1, 0.5),
    "waviness": (0.02, 0.08), "smoothing": 0, "second_phase": 0,
}  # fmt: skip

_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "sem_bse_polished": {
        "grain_diameter": _log(28, 90),
        "waviness": (0.01, 0.05),
        "appearance": {
            "mean_grey": (0.35, 0.55), "grain_contrast": (0.06, 0.13), "slope": (0.0, 0.03),
            "texture": (0.003, 0.01), "texture_length": (8, 30), "twins": _often(0.6, 0.1, 0.5),
            "boundary_contrast": _often(0.3, -0.06, -0.02), "groove_width": (1, 1.6),
            "psf_sigma": (0.6, 1.3), "astigmatism": _often(0.2, 0.05, 0.2), "astigmatism_deg": (-90, 90),
            "dose": _log(60, 400), "read_noise": (0.005, 0.02), "shading": (0.02, 0.1),
            "scratches": _often(0.6, 1, 6), "scratch_family": (0.5, 1), "scratch_families": (1, 2),
            "bright_scratches": (0, 0.3), "pores": _log(0.0004, 0.004), "pore_diameter": (2.5, 6),
            "bright_pores": (0, 0.15), "ringed_pores": (0, 0.2),
            "scan_lines": (0.001, 0.006), "scan_jitter": (0.02, 0.15), "drift": _often(0.2, 0.2, 1),
            "drift_deg": (-180, 180), "scan_frame": _often(0.08, 0.02, 0.06),
        },
    },
    "sem_se_etched": {
        "grain_diameter": _log(30, 90),
        "smoothing": (0.01, 0.04),
        "appearance": {
            "mean_grey": (0.4, 0.55), "grain_contrast": (0.02, 0.06), "slope": (0.02, 0.05),
            "texture": (0.008, 0.02), "texture_length": _log(1.5, 4), "twins": _often(0.4, 0.05, 0.3),
            "boundary_contrast": (-0.36, -0.2), "contrast_spread": (0.15, 0.35),
            "groove_width": (2, 4.5), "groove_width_spread": (0.3, 0.6), "groove_roughness": (0.15, 0.35),
            "groove_texture": (0.05, 0.12), "groove_softness": (0.5, 1.2), "groove_islands": (0.02, 0.2),
            "junction_rounding": (4, 10), "gaps": (0.02, 0.08), "gap_length": (12, 35),
            "edge_brightening": (0.1, 0.22), "edge_width": (1.5, 3.5), "faint_boundaries": (0.03, 0.12),
            "relief": (0.05, 0.15), "relief_direction_deg": (-150, -30),
            "psf_sigma": (0.6, 1.2), "dose": _log(200, 2500), "read_noise": (0.005, 0.02),
            "shading": (0.03, 0.15), "scratches": _often(0.3, 1, 4), "pores": _log(0.002, 0.01),
            "pore_diameter": (2, 5), "bright_pores": (0.05, 0.3), "contamination": _often(0.15, 0.02, 0.15),
            "contamination_contrast": (-0.12, -0.05), "scan_frame": _often(0.1, 0.02, 0.08),
            "scan_lines": (0.002, 0.01), "scan_jitter": (0.05, 0.3), "drift": _often(0.3, 0.2, 1.5),
            "drift_deg": (-180, 180), "charging": _often(0.25, 0.03, 0.12),
        },
    },
    "optical_etched": {
        "grain_diameter": _log(25, 80),
        "appearance": {
            "mean_grey": (0.68, 0.8), "grain_contrast": (0.01, 0.045), "slope": (0.0, 0.02),
            "texture": (0.006, 0.015), "texture_length": _log(2, 10), "twins": _often(0.3, 0.05, 0.3),
            "boundary_contrast": (-0.5, -0.3), "contrast_spread": (0.15, 0.4),
            "groove_width": (1.4, 2.6), "groove_width_spread": (0.15, 0.4), "groove_roughness": (0.15, 0.35),
            "groove_softness": (0.5, 1.2), "junction_rounding": (2, 6), "gaps": (0.02, 0.1), "gap_length": (15, 45),
            "edge_brightening": _often(0.5, -0.06, -0.02), "edge_width": (2, 6), "faint_boundaries": (0.03, 0.12),
            "psf_sigma": (0.9, 1.5), "defocus_variation": _often(0.4, 0.4, 1.5), "dose": _log(2000, 8000),
            "read_noise": (0.004, 0.012), "shading": (0.05, 0.2), "scratches": _often(0.6, 1, 6),
            "scratch_family": (0.3, 1), "scratch_families": (1, 2), "bright_scratches": 0,
            "pores": _log(0.001, 0.006),
            "pore_diameter": (2, 5), "bright_pores": (0, 0.1), "contamination": _often(0.35, 0.03, 0.2),
            "contamination_contrast": (-0.15, -0.05), "gain_variation": _often(0.3, 0.003, 0.01),
        },
    },
    "ebsd_band_contrast": {
        "grain_diameter": _log(20, 70),
        "waviness": 0,
        "appearance": {
            "mean_grey": (0.58, 0.72), "grain_contrast": (0.015, 0.05), "slope": (0.01, 0.03),
            "texture": (0.003, 0.012), "texture_length": (6, 20), "boundary_contrast": (-0.5, -0.3),
            "contrast_spread": (0.1, 0.25), "groove_width": (1.2, 2), "groove_width_spread": (0, 0.1),
            "groove_roughness": (0.2, 0.4), "groove_softness": (0.8, 1.5), "psf_sigma": (0.3, 0.6),
            "dose": 1e4, "read_noise": (0.02, 0.045), "scratches": _often(0.6, 1, 5), "scratch_family": (0.5, 1),
            "bright_scratches": 0, "pores": _log(0.001, 0.006), "pore_diameter": (1.2, 3), "bright_pores": 0,
            "ringed_pores": 0, "shading": (0.0, 0.06),
        },
    },
    "tem_nanoparticles": {
        "kind": "objects",
        "objects": {
            "form": "nanoparticles", "volume_fraction": (0.06, 0.2), "diameter": _log(12, 32),
            "size_dispersion": (0.08, 0.25), "facets": _often(0.4, 5, 8), "elongation": (1.0, 1.15),
            "irregularity": (0.02, 0.05), "overlap": ("none", "touching", "free"), "contrast": (-0.32, -0.16),
            "contrast_spread": (0.1, 0.25), "diffracting": (0.05, 0.25), "rim": (0.01, 0.04), "rim_width": (1, 2),
            "fringes": _often(0.4, 0.01, 0.05), "fringe_spacing": (3, 5),
        },
        "appearance": {
            "mean_grey": (0.58, 0.7), "grain_contrast": (0.04, 0.12), "texture": (0.025, 0.055),
            "texture_length": (4, 7), "psf_sigma": (0.5, 1.0), "astigmatism": _often(0.3, 0.05, 0.2),
            "astigmatism_deg": (-90, 90), "dose": _log(80, 500), "read_noise": (0.004, 0.015),
            "gain_variation": (0.003, 0.015), "hot_pixels": _often(0.3, 0.0001, 0.0008), "shading": (0.0, 0.1),
        },
    },
    "xct_grains": {
        "grain_diameter": _log(28, 70),
        "lloyd_rounds": (1, 3),
        "appearance": {
            "mean_grey": (0.38, 0.5), "grain_contrast": (0.0, 0.012), "slope": 0, "texture": (0.004, 0.012),
            "texture_length": (2, 5), "boundary_contrast": (0.15, 0.32), "contrast_spread": (0.2, 0.4),
            "groove_width": (1.8, 3.2), "groove_width_spread": (0.15, 0.35), "groove_roughness": (0.2, 0.4),
            "groove_softness": (0.6, 1.2), "junction_rounding": (5, 12), "gaps": (0.04, 0.15), "gap_length": (12, 35),
            "faint_boundaries": (0.03, 0.12), "psf_sigma": (0.9, 1.5), "dose": _log(200, 1200),
            "read_noise": (0.012, 0.03), "pores": _log(0.0005, 0.004), "pore_diameter": (3, 8), "bright_pores": 0,
            "ringed_pores": 0,
            "rings": _log(0.004, 0.02), "rotation_axis": (0, 1), "beam_hardening": (0.03, 0.2),
            "streaks": _often(0.3, 0.005, 0.02),
        },
    },
    "ct_fibres": {
        "kind": "objects",
        "objects": {
            "form": "fibres", "volume_fraction": (0.5, 0.62), "diameter": _log(8, 16), "size_dispersion": (0.03, 0.08),
            "irregularity": (0.01, 0.03), "overlap": "none", "gap": (0, 0.3), "tilt_deg": (75, 90),
            "misorientation_deg": (1, 4), "contrast": (0.15, 0.3), "contrast_spread": (0.04, 0.12),
            "rim": (-0.1, -0.02), "rim_width": (1, 1.8),
        },
        "appearance": {
            "mean_grey": (0.4, 0.5), "grain_contrast": (0, 0.04), "texture": (0.015, 0.03),
            "texture_length": (1.8, 2.6), "psf_sigma": (0.8, 1.3), "dose": _log(300, 2000), "read_noise": (0.008, 0.02),
            "rings": _log(0.003, 0.012), "rotation_axis": (0, 1), "beam_hardening": (0, 0.12),
        },
    },
}  # fmt: skip
