"""Which settings of a microstructure recipe have an effect, given the others: a form shows those alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["without_effect"]

# Settings of grains in the recipe itself; objects are placed by its seeds but shaped by their own settings.
OF_GRAINS = {
    "aspect_ratio", "direction_deg", "size_dispersion", "size_cv", "waviness", "waviness_length", "smoothing",
    "second_phase",
}  # fmt: skip
OF_CELLS = {"waviness", "waviness_length", "smoothing"}
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


def without_effect(part: str, values: Mapping[str, Any], kind: str, growth: str) -> set[str]:
    """Names of the settings of one part that change nothing.

    ``part`` is the name of a recipe inside the microstructure recipe (``"objects"`` …) or ``""`` for itself, and
    ``values`` what it is set to; ``kind`` and ``growth`` are the recipe's kind and its method of growth.
    """
    if part == "":
        idle = set() if kind == "grains" else set(OF_GRAINS)
        if growth != "none":
            idle |= OF_CELLS
        return idle | (set() if values["placement"] == "clustered" else OF_CLUSTERS)
    if part == "growth":
        return set().union(*OF_GROWTH.values()) - OF_GROWTH.get(values["method"], set())
    if part == "objects":
        own = {name for forms, names in OF_FORMS if values["form"] in forms for name in names}
        return {name for _, names in OF_FORMS for name in names} - own
    return set(OF_BOUNDARIES) if part == "appearance" and kind == "objects" else set()
