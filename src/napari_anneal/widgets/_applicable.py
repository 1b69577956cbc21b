"""Which settings of a microstructure recipe a form shows: the few with a slider, and those that have an effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["PARTS_OF", "SLIDERS", "without_effect"]

ALL = ("grains", "objects", "two_phase")
# Sliders by the dotted name of the setting: caption, for which kinds, ends, and whether even in the logarithm.
SLIDERS: dict[str, tuple[str, tuple[str, ...], float, float, bool]] = {
    "n_seeds": ("Grains", ("grains",), 10, 5000, True),
    "objects.volume_fraction": ("Fraction", ("objects",), 0.01, 0.7, False),
    "two_phase.volume_fraction": ("Fraction", ("two_phase",), 0.25, 0.75, False),
    "two_phase.wavelength": ("Spacing", ("two_phase",), 8, 150, True),
    "objects.diameter": ("Diameter", ("objects",), 3, 100, True),
    "boundary_width": ("Boundary", ALL, 0.5, 8, False),
    "appearance.grain_contrast": ("Grey spread", ("grains", "objects"), 0, 0.4, False),
    "objects.contrast": ("Contrast", ("objects",), -0.5, 0.5, False),
    "appearance.phase_contrast": ("Phases", ("grains", "two_phase"), -0.5, 0.5, False),
    "appearance.boundary_contrast": ("Grooves", ("grains", "two_phase"), -0.6, 0.6, False),
    "appearance.psf_sigma": ("Blur", ALL, 0, 5, False),
    "appearance.dose": ("Dose", ALL, 5, 10_000, True),
}
# Of which kind some of these are; all others are of every kind.
PARTS_OF = {"growth": "grains", "objects": "objects", "two_phase": "two_phase"}
# Settings of grains in the recipe itself; objects are placed by its seeds but shaped by their own settings.
OF_GRAINS = {
    "aspect_ratio", "aspect_spread", "direction_deg", "direction_spread_deg", "size_dispersion",
    "size_cv", "waviness", "waviness_length", "smoothing",
    "second_phase",
}  # fmt: skip
OF_CELLS = {"waviness", "waviness_length", "smoothing"}
OF_SEEDS = {"placement", "lloyd_rounds", "periodic"}
OF_CLUSTERS = {"cluster_size", "cluster_radius"}
OF_GROWTH = {"potts": {"rounds", "temperature", "periodic"}, "phase_field": {"time", "resolution", "periodic"}}
# Settings of objects that only some forms have; all others are of every form.
OF_FORMS = (
    (("precipitates", "cuboids"), {"fine_fraction", "fine_diameter", "free_zone", "rounding"}),
    (("precipitates", "cuboids", "particles", "pores", "nanoparticles"), {"exponent"}),
    (
        ("precipitates", "cuboids", "particles", "pores", "nanoparticles", "fibres"),
        {"volume_fraction", "number_density", "irregularity", "gap"},
    ),
    (
        ("precipitates", "cuboids", "particles", "pores", "nanoparticles", "dislocations"),
        {"elongation", "elongation_spread", "direction_spread_deg"},
    ),
    (("particles", "pores", "nanoparticles"), {"facets"}),
    (("particles", "pores", "nanoparticles", "fibres"), {"overlap"}),
    (("nanoparticles",), {"diffracting", "fringes", "fringe_spacing"}),
    (("fibres",), {"tilt_deg", "misorientation_deg"}),
    (("fibres", "dislocations"), {"length"}),
    (("dislocations",), {"line_density", "line_shape", "line_width", "persistence", "fading", "bend_contours"}),
)
# What grains and their boundaries show; a matrix with objects has none of it.
OF_BOUNDARIES = {
    "phase_contrast", "slope", "twins", "boundary_contrast", "groove_width", "groove_width_spread",
    "groove_roughness", "groove_texture", "groove_islands", "junction_rounding", "gaps", "gap_length",
    "edge_brightening", "edge_width", "faint_boundaries",
}  # fmt: skip
# What differs from one grain or boundary to the next; two phases are two bodies with one interface.
OF_BODIES = {"slope", "twins", "grain_contrast", "contrast_spread", "faint_boundaries", "groove_width_spread"}


def without_effect(part: str, values: Mapping[str, Any], kind: str, growth: str) -> set[str]:
    """Names of the settings of one part that change nothing.

    ``part`` is the name of a recipe inside the microstructure recipe (``"objects"`` …) or ``""`` for itself, and
    ``values`` what it is set to; ``kind`` and ``growth`` are the recipe's kind and its method of growth.
    """
    if part == "":
        if kind == "two_phase":
            return OF_GRAINS | OF_SEEDS | OF_CLUSTERS
        idle = set() if kind == "grains" else set(OF_GRAINS)
        if growth != "none":
            idle |= OF_CELLS
        return idle | (set() if values["placement"] == "clustered" else OF_CLUSTERS)
    if part == "growth":
        return set().union(*OF_GROWTH.values()) - OF_GROWTH.get(values["method"], set())
    if part == "objects":
        own = {name for forms, names in OF_FORMS if values["form"] in forms for name in names}
        return {name for _, names in OF_FORMS for name in names} - own
    if part == "appearance":
        return {"grains": set(), "objects": OF_BOUNDARIES, "two_phase": OF_BODIES}[kind]
    return set()
