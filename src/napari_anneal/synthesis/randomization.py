"""Domain randomization: every setting drawn anew for every image, from ranges wide enough to hold the real ones."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from pydantic import Field, field_validator, model_validator

from napari_anneal.recipe_base import Recipe
from napari_anneal.synthesis.appearance.recipe import Appearance
from napari_anneal.synthesis.growth.recipe import Growth, GrowthMethod, TwoPhase
from napari_anneal.synthesis.objects.recipe import Form, LineShape, Objects, Overlap
from napari_anneal.synthesis.recipe import MicrostructureRecipe
from napari_anneal.synthesis.spans import Choice, Span
from napari_anneal.synthesis.transfer.look import RealLook

__all__ = ["AppearanceRanges", "GrowthRanges", "ObjectRanges", "RecipeRanges", "TwoPhaseRanges"]


def _span(low: float, high: float, *, log: bool = False, often: float = 1.0, otherwise: float = 0.0) -> Any:
    """Make the default of a setting drawn from a range; its meaning and unit are those of the recipe's field."""
    return Field(default=Span(low=low, high=high, log=log, probability=often, otherwise=otherwise))


# Objects below this many pixels across cannot be told from noise, let alone be outlined.
SMALLEST_FINE = 1.5


class AppearanceRanges(Recipe):
    """Ranges of `Appearance`, field by field; meanings and units are the same."""

    rung: int = Field(5, ge=1, le=5, description="How far up the ladder: 1 clean … 5 with artefacts.")
    mean_grey: Span = _span(0.25, 0.75)
    grain_contrast: Span = _span(0.005, 0.22)
    phase_contrast: Span = _span(-0.35, 0.35)
    slope: Span = _span(0.0, 0.08)
    texture: Span = _span(0.005, 0.06, log=True)
    texture_length: Span = _span(1.5, 30.0, log=True)
    twins: Span = _span(0.05, 0.6, often=0.25)
    boundary_contrast: Span = _span(-0.5, 0.4, often=0.85)
    contrast_spread: Span = _span(0.0, 0.6)
    groove_width: Span = _span(1.0, 6.0, log=True)
    groove_width_spread: Span = _span(0.0, 1.0)
    groove_roughness: Span = _span(0.0, 0.5)
    groove_texture: Span = _span(0.0, 0.2)
    groove_softness: Span = _span(0.0, 1.5)
    groove_islands: Span = _span(0.05, 0.4, often=0.25)
    junction_rounding: Span = _span(1.0, 8.0, often=0.4)
    gaps: Span = _span(0.02, 0.25, often=0.4)
    gap_length: Span = _span(5.0, 40.0, log=True)
    edge_brightening: Span = _span(-0.2, 0.3, often=0.35)
    edge_width: Span = _span(1.0, 10.0, log=True)
    faint_boundaries: Span = _span(0.0, 0.35)
    relief: Span = _span(-0.35, 0.35, often=0.35)
    relief_direction_deg: Span = _span(-180.0, 180.0)
    psf_sigma: Span = _span(0.3, 2.2)
    defocus_variation: Span = _span(0.3, 2.5, often=0.2)
    astigmatism: Span = _span(0.05, 0.4, often=0.2)
    astigmatism_deg: Span = _span(-90.0, 90.0)
    dose: Span = _span(25.0, 5000.0, log=True)
    gain: Span = _span(0.7, 1.4, often=0.2, otherwise=1.0)
    gain_variation: Span = _span(0.003, 0.05, log=True, often=0.2)
    read_noise: Span = _span(0.002, 0.06, log=True)
    hot_pixels: Span = _span(0.0001, 0.005, log=True, often=0.1)
    shading: Span = _span(0.0, 0.3)
    scratches: Span = _span(0.0, 8.0, often=0.4)
    scratch_family: Span = _span(0.0, 1.0)
    scratch_families: Span = _span(1.0, 3.0)
    bright_scratches: Span = _span(0.0, 0.6)
    pores: Span = _span(0.0003, 0.02, log=True, often=0.5)
    pore_diameter: Span = _span(2.0, 12.0, log=True)
    bright_pores: Span = _span(0.0, 0.5)
    ringed_pores: Span = _span(0.0, 0.7)
    contamination: Span = _span(0.02, 0.3, often=0.12)
    contamination_contrast: Span = _span(-0.25, 0.1)
    scan_frame: Span = _span(0.02, 0.12, often=0.06)
    drift: Span = _span(0.2, 1.6, often=0.2)
    drift_deg: Span = _span(-180.0, 180.0)
    scan_jitter: Span = _span(0.05, 0.7, often=0.4)
    scan_lines: Span = _span(0.001, 0.03, log=True, often=0.5)
    scan_axis: Choice = Field(default=Choice(options=("x", "y"), weights=(4.0, 1.0)))
    curtaining: Span = _span(0.01, 0.08, often=0.12)
    charging: Span = _span(0.02, 0.15, often=0.15)
    rings: Span = _span(0.003, 0.04, log=True, often=0.1)
    rotation_axis: Span = _span(0.0, 1.5)
    beam_hardening: Span = _span(0.02, 0.25, often=0.1)
    streaks: Span = _span(0.005, 0.06, log=True, often=0.06)

    visibility: float = Field(
        1.5,
        ge=0,
        description="Least contrast of grains, boundaries or objects, in deviations of noise and texture together: "
        "a label that nothing in the image speaks for teaches guessing. 0: whatever the ranges give.",
    )

    def draw(self, rng: np.random.Generator) -> Appearance:
        """One appearance out of the ranges, its contrast raised where noise and texture would hide it."""
        drawn = _draw_fields(self, rng)
        least = _least_visible(drawn, drawn.pop("visibility"))
        drawn["scratch_families"] = round(drawn["scratch_families"])
        line, step = drawn["boundary_contrast"], drawn["grain_contrast"]
        if max(abs(line), abs(drawn["relief"]), step) < least:
            if line != 0:
                drawn["boundary_contrast"] = float(np.copysign(least, line))
            else:
                drawn["grain_contrast"] = least
        return Appearance(**drawn)


def _least_visible(look: dict[str, Any], visibility: float) -> float:
    """Least grey-level difference that stands out from noise and texture, so many times their deviation."""
    # Blur hides less of a line than of noise of its own scale, which the eye and a network average away.
    noise = np.hypot(np.sqrt(look["mean_grey"] / max(look["dose"], 1e-9)), look["read_noise"])
    noise *= max(0.5, 1 / (1 + look["psf_sigma"]))
    return min(visibility * (float(np.hypot(noise, look["texture"])) + 0.01), 0.5)


class ObjectRanges(Recipe):
    """Ranges of `Objects`, field by field; meanings and units are the same."""

    form: Choice = Field(default=Choice(options=("precipitates",)), description="Which forms, evenly or with weights.")
    volume_fraction: Span = _span(0.04, 0.55)
    number_density: Span = _span(0.0, 0.0)
    diameter: Span = _span(8.0, 110.0, log=True)
    size_dispersion: Span = _span(0.05, 0.6)
    exponent: Span = _span(2.5, 7.0, often=0.45, otherwise=2.0)
    facets: Span = _span(5.0, 9.0, often=0.25)
    elongation: Span = _span(1.0, 1.8)
    elongation_spread: Span = _span(0.0, 0.3)
    direction_deg: Span = _span(-90.0, 90.0)
    direction_spread_deg: Span = _span(0.0, 20.0, often=0.5, otherwise=90.0)
    irregularity: Span = _span(0.0, 0.22)
    overlap: Choice = Field(default=Choice(options=("none", "touching", "free")), description="How they may overlap.")
    gap: Span = _span(0.0, 3.0)
    rounding: Span = _span(0.02, 0.2, often=0.8)
    free_zone: Span = _span(1.0, 15.0, log=True)
    fine_fraction: Span = _span(0.02, 0.3, often=0.3)
    fine_diameter: Span = _span(2.5, 7.0)
    tilt_deg: Span = _span(25.0, 90.0, often=0.5, otherwise=90.0)
    misorientation_deg: Span = _span(0.5, 8.0)
    length: Span = _span(40.0, 400.0, log=True, often=0.5)
    line_density: Span = _span(0.003, 0.05, log=True)
    line_shape: Choice = Field(
        default=Choice(options=("curved", "straight", "loops", "pile_ups"), weights=(4.0, 1.0, 1.0, 1.0)),
        description="Shapes of dislocation lines.",
    )
    line_width: Span = _span(3.0, 3.0)
    persistence: Span = _span(20.0, 300.0, log=True)
    contrast: Span = _span(-0.3, 0.3)
    contrast_spread: Span = _span(0.02, 0.3, often=0.5)
    rim: Span = _span(-0.15, 0.3, often=0.6)
    rim_width: Span = _span(1.0, 10.0, log=True)
    diffracting: Span = _span(0.0, 0.35)
    fringes: Span = _span(0.01, 0.08, often=0.4)
    fringe_spacing: Span = _span(2.5, 8.0)
    fading: Span = _span(0.0, 0.8)
    bend_contours: Span = _span(0.0, 0.25)

    @field_validator("form", "overlap", "line_shape")
    @classmethod
    def _known_options(cls, choice: Choice, info: Any) -> Choice:
        known = {"form": get_args(Form), "overlap": get_args(Overlap), "line_shape": get_args(LineShape)}
        return _checked(choice, info.field_name, known[info.field_name])

    def draw(self, rng: np.random.Generator, largest: float = np.inf, ndim: int = 2) -> Objects:
        """One population out of the ranges, no object on average larger than ``largest`` px, and not too dense."""
        drawn = _draw_fields(self, rng)
        drawn["diameter"] = max(2.0, min(drawn["diameter"], largest))
        drawn["fine_diameter"] = min(drawn["fine_diameter"], drawn["diameter"] / 2)
        if drawn["fine_diameter"] < SMALLEST_FINE:
            drawn["fine_diameter"], drawn["fine_fraction"] = SMALLEST_FINE, 0.0
        drawn["facets"] = round(drawn["facets"])
        if drawn["form"] == "fibres" and drawn["length"] > 0:
            # ``largest`` is a third of the shorter side.
            drawn["length"] = max(drawn["diameter"], min(drawn["length"], 2.4 * largest))
        if drawn["number_density"] > 0:
            drawn["volume_fraction"] = 0.0
        elif drawn["form"] not in ("precipitates", "cuboids") and drawn["overlap"] != "free":
            drawn["volume_fraction"] = min(drawn["volume_fraction"], _fitting(drawn, ndim))
        return Objects(**drawn)


def _fitting(drawn: dict[str, Any], ndim: int) -> float:
    """Share of the image that objects of given shapes can be sure to find room for without overlap."""
    dense = {2: 0.62, 3: 0.5} if drawn["form"] == "fibres" else {2: 0.4, 3: 0.22}
    gap = drawn["gap"] if drawn["overlap"] == "none" else 0.0
    return float(dense[ndim] / (1 + gap / drawn["diameter"]) ** ndim)


def _checked(choice: Choice, name: str, known: tuple[str, ...]) -> Choice:
    """Refuse options that a setting does not have."""
    for option in choice.options:
        if option not in known:
            raise ValueError(f"{name} {option!r} is not known; choose from {', '.join(known)}")
    return choice


class GrowthRanges(Recipe):
    """Ranges of `Growth`, field by field; rounds and time in squares of the mean grain diameter at the start."""

    method: Choice = Field(default=Choice(options=("none",)), description="Which methods, evenly or with weights.")
    rounds: Span = _span(0.3, 4.0, log=True)
    temperature: Span = _span(0.2, 0.7)
    time: Span = _span(0.2, 2.5, log=True)
    resolution: Span = _span(12.0, 12.0)
    periodic: bool = Field(False, description="Opposite edges of the image join; the same for all.")

    @field_validator("method")
    @classmethod
    def _known_methods(cls, choice: Choice) -> Choice:
        return _checked(choice, "method", get_args(GrowthMethod))

    def draw(self, rng: np.random.Generator) -> Growth:
        """One growth out of the ranges, for grains of diameter 1."""
        return Growth(**_draw_fields(self, rng))


class TwoPhaseRanges(Recipe):
    """Ranges of `TwoPhase`, field by field; meanings and units are the same."""

    volume_fraction: Span = _span(0.3, 0.7)
    wavelength: Span = _span(12.0, 60.0, log=True)
    coarsening: Span = _span(1.5, 3.0)

    def draw(self, rng: np.random.Generator) -> TwoPhase:
        """One pair of phases out of the ranges."""
        return TwoPhase(**_draw_fields(self, rng))


class RecipeRanges(Recipe):
    """Ranges of `MicrostructureRecipe`: a `Span` or ``(low, high)`` or a number each, a `Choice` for names.

    The number of seeds follows from the grain diameter, so the same ranges serve every shape; where the shape is
    small, grains and objects are no larger than half and a third of its shorter side.

    Raises
    ------
    InputError
        A range runs backwards, holds a value its setting cannot take, or belongs to no setting.
    """

    shape: tuple[int, ...] = Field((256, 256), description="Size in pixels, (Y, X) or (Z, Y, X); the same for all.")
    spacing: tuple[float, ...] | None = Field(None, description="Pixel size along each axis; only carried along.")
    kind: Choice = Field(default=Choice(options=("grains",)), description="'grains', 'objects', 'two_phase', or a mix.")
    grain_diameter: Span = Field(
        default=Span(low=14.0, high=70.0, log=True), description="Mean grain diameter, px; sets the number of seeds."
    )
    placement: Choice = Field(
        default=Choice(options=("random", "blue_noise", "clustered"), weights=(3.0, 3.0, 1.0)),
        description="How seeds are placed.",
    )
    periodic: bool = Field(False, description="Opposite sides of the image continue each other; the same for all.")
    lloyd_rounds: Span = Field(default=Span(low=0, high=3, probability=0.4), description="Rounds of relaxation.")
    aspect_ratio: Span = _span(1.0, 2.5, often=0.4, otherwise=1.0)
    direction_deg: Span = _span(-90.0, 90.0)
    aspect_spread: Span = _span(0.1, 0.4, often=0.15)
    direction_spread_deg: Span = _span(5.0, 40.0, often=0.15)
    size_dispersion: Span = _span(0.1, 0.7, often=0.5)
    waviness: Span = Field(
        default=Span(low=0.02, high=0.2, probability=0.7),
        description="Amplitude of the bending, as a fraction of the length over which it varies (below 0.2).",
    )
    waviness_length: Span = Field(
        default=Span(low=0.3, high=1.0), description="That length, as a fraction of the grain diameter."
    )
    smoothing: Span = Field(
        default=Span(low=0.02, high=0.1, probability=0.3),
        description="Radius of the smoothing, as a fraction of the grain diameter (at most 0.5).",
    )
    boundary_width: Span = Field(
        default=Span(low=3.0, high=3.0), description="Width of the boundary mask, px; one value keeps labels alike."
    )
    second_phase: Span = _span(0.05, 0.5, often=0.2)
    objects: ObjectRanges = Field(default_factory=ObjectRanges, description="Ranges of the objects.")
    appearance: AppearanceRanges = Field(default_factory=AppearanceRanges, description="Ranges of the appearance.")
    real_look: RealLook | None = Field(None, description="How real images look, for every image to be matched to.")

    size_cv: Span = Field(
        default=Span(low=0.0, high=0.0),
        description="Coefficient of variation of the grains' areas or volumes, in place of size_dispersion; "
        "0: whatever the seeds give.",
    )
    growth: GrowthRanges = Field(default_factory=GrowthRanges, description="Ranges of the growth.")
    two_phase: TwoPhaseRanges = Field(default_factory=TwoPhaseRanges, description="Ranges of the two phases.")

    @field_validator("kind", "placement")
    @classmethod
    def _known_options(cls, choice: Choice, info: Any) -> Choice:
        known = {"kind": ("grains", "objects", "two_phase"), "placement": ("random", "blue_noise", "clustered")}
        return _checked(choice, info.field_name, known[info.field_name])

    @model_validator(mode="after")
    def _recipes_hold(self) -> RecipeRanges:
        if len(self.shape) == 3 and "objects" in self.kind.options and "nanoparticles" in self.objects.form.options:
            raise ValueError("nanoparticles are a 2D image; leave them out of the forms, or give a shape (Y, X)")
        # A recipe from either end of all ranges finds what would otherwise fail at some later image of a stream.
        for end in (0.0, 1.0 - 1e-12):
            self.draw(_Constant(end))
        return self

    def draw(self, rng: Any) -> MicrostructureRecipe:
        """One recipe out of the ranges.

        Every setting takes the same number of draws whatever its range, so narrowing one leaves the others alone.
        """
        side = float(min(self.shape[-2:]))
        picked = _draw_fields(self, rng, objects={"largest": side / 3, "ndim": len(self.shape)})
        diameter = max(1.0, min(picked.pop("grain_diameter"), side / 2))
        size = float(np.prod(np.array(self.shape, dtype=np.float64)))
        cell = np.pi / 4 * diameter**2 if len(self.shape) == 2 else np.pi / 6 * diameter**3
        picked["n_seeds"] = max(1, round(size / cell))
        picked["lloyd_rounds"] = round(picked["lloyd_rounds"])
        # Few seeds on a small image make grains larger than asked; bending goes by the size asked for.
        picked["waviness_length"] = max(2.0, picked["waviness_length"] * diameter)
        picked["waviness"] *= picked["waviness_length"]
        picked["smoothing"] *= diameter
        picked["size_cv"] = picked["size_cv"] or None
        if picked["size_cv"] is not None:
            picked["size_dispersion"] = 0.0
        growth = picked["growth"]
        if picked["size_cv"] is not None or growth.method != "none":
            picked["aspect_spread"] = picked["direction_spread_deg"] = 0.0
        square = diameter**2
        picked["growth"] = growth.model_copy(update={"rounds": growth.rounds * square, "time": growth.time * square})
        if picked["kind"] == "two_phase":
            picked["appearance"] = self._visible_phases(picked["two_phase"], picked["appearance"])
        if picked["kind"] == "objects":
            picked["objects"] = self._visible_objects(picked["objects"], picked["appearance"])
        return MicrostructureRecipe(**picked)

    def typical(self) -> MicrostructureRecipe:
        """Return the recipe in the middle of every range, to three digits, without what is mostly absent."""
        middle = self.draw(_Constant(0.5, present=0.5))
        return MicrostructureRecipe.model_validate(_rounded(middle.model_dump()))

    def _visible_phases(self, phases: TwoPhase, look: Appearance) -> Appearance:
        """Raise the contrast of phases that noise and texture would hide, and leave room beside grooves."""
        least = _least_visible(look.model_dump(), self.appearance.visibility)
        contrast = float(np.copysign(max(abs(look.phase_contrast), least), look.phase_contrast))
        groove = min(look.groove_width, phases.wavelength / 8)
        return look.model_copy(update={"phase_contrast": contrast, "groove_width": groove})

    def _visible_objects(self, objects: Objects, look: Appearance) -> Objects:
        """Raise the contrast of objects that noise and texture would hide."""
        least = _least_visible(look.model_dump(), self.appearance.visibility)
        change: dict[str, float] = {}
        if objects.fine_fraction > 0:
            # What is smaller than the point spread and fainter than the noise cannot be labelled by anybody.
            least = min(2 * least, 0.5)
            change["fine_diameter"] = min(max(objects.fine_diameter, 4 * look.psf_sigma), 0.6 * objects.diameter)
        if max(abs(objects.contrast), 0.0 if objects.fine_fraction > 0 else abs(objects.rim)) < least:
            change["contrast"] = float(np.copysign(least, objects.contrast))
        return objects.model_copy(update=change) if change else objects


class _Constant:
    """Stands in for a generator where the draw itself is given: 0 is the low end of a range, 1 the high one."""

    def __init__(self, value: float, present: float = 0.0) -> None:
        self.value = value
        self.present = present

    def random(self, size: int | None = None) -> Any:
        """Return the constant; the first of two numbers says 'present' where it is below the range's probability."""
        return self.value if size is None else np.array([self.present, self.value])


def _rounded(value: Any) -> Any:
    """Floats to three significant digits, however deep they lie."""
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _draw_fields(ranges: Recipe, rng: Any, **limits: dict[str, float]) -> dict[str, Any]:
    """Draw every field that is a range or a choice, within limits of its own; carry the fixed ones over."""
    drawn: dict[str, Any] = {}
    for name in type(ranges).model_fields:
        value = getattr(ranges, name)
        drawable = isinstance(value, (Span, Choice, ObjectRanges, AppearanceRanges, GrowthRanges, TwoPhaseRanges))
        drawn[name] = value.draw(rng, **limits.get(name, {})) if drawable else value
    return drawn
