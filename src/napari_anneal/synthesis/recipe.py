"""What a microstructure is made of: a frozen recipe that, with a seed, gives the same pair on every run.

Lengths are in pixels, angles in degrees from the X axis towards +Y, grey levels in fractions of the full range.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from napari_anneal.recipe_base import Recipe
from napari_anneal.synthesis.appearance.recipe import Appearance
from napari_anneal.synthesis.growth.recipe import Growth, TwoPhase
from napari_anneal.synthesis.objects.recipe import Objects
from napari_anneal.synthesis.transfer.look import RealLook

__all__ = ["SMALLEST_GRAIN", "MicrostructureRecipe"]

# Pixels of the smallest grain that a size can be prescribed for.
SMALLEST_GRAIN = 4
Placement = Literal["random", "blue_noise", "clustered", "points"]


class MicrostructureRecipe(Recipe):
    """Geometry and appearance of one synthetic micrograph or volume.

    Raises
    ------
    InputError
        A setting is out of range, unknown, or contradicts another one.
    """

    kind: Literal["grains", "objects", "two_phase"] = Field(
        "grains",
        description="'grains': closed cells and their boundaries; 'objects': precipitates in a matrix; "
        "'two_phase': spinodal decomposition.",
    )
    shape: tuple[int, ...] = Field((512, 512), description="Size in pixels, (Y, X) or (Z, Y, X).")
    spacing: tuple[float, ...] | None = Field(
        None, description="Pixel size along each axis, in any one unit; only carried along. None: 1 along every axis."
    )
    n_seeds: int = Field(500, ge=1, le=10_000_000, description="Number of seeds: one grain grows from each.")
    placement: Placement = Field(
        "random",
        description="'random': uniform; 'blue_noise': even, none close to another; 'clustered': Thomas process; "
        "'points': the given points.",
    )
    points: tuple[tuple[float, ...], ...] | None = Field(
        None, description="Seed positions (pixel indices, one tuple a seed) for placement 'points'; sets n_seeds."
    )
    cluster_size: float = Field(8.0, gt=1, description="Mean number of seeds in a cluster (placement 'clustered').")
    cluster_radius: float = Field(
        0.6, gt=0, description="Spread (σ) of a cluster in units of the mean distance between clusters."
    )
    periodic: bool = Field(
        False,
        description="Opposite sides of the image continue each other: grains that leave at one enter at the other.",
    )
    lloyd_rounds: int = Field(0, ge=0, le=100, description="Rounds of Lloyd relaxation: more, and grains get even.")
    aspect_ratio: float = Field(1.0, ge=1, le=50, description="Elongation of the grains, length over width.")
    direction_deg: float = Field(0.0, ge=-360, le=360, description="Direction of elongation in the (Y, X) plane.")
    aspect_spread: float = Field(
        0.0, ge=0, le=1.5, description="Log-normal σ of the aspect ratio from grain to grain; boundaries curve."
    )
    direction_spread_deg: float = Field(
        0.0, ge=0, le=180, description="Deviation of the direction from grain to grain; boundaries curve."
    )
    size_dispersion: float = Field(
        0.0,
        ge=0,
        le=2,
        description="Coefficient of variation of the log-normal radii that weight the cells (Laguerre): uneven grains, "
        "but of no prescribed distribution; for that give size_cv.",
    )
    size_cv: float | None = Field(
        None,
        ge=0,
        le=2,
        description="Coefficient of variation of the grains' areas or volumes, which become log-normal; 0: all alike. "
        "None: whatever the seeds give.",
    )
    target_sizes: tuple[float, ...] | None = Field(
        None,
        description="Area (px²) or volume (px³) of every grain, one a seed in their order, or shares of the image; "
        "scaled together to fill it. None: no grain has a size of its own.",
    )
    waviness: float = Field(
        0.0,
        ge=0,
        description="Amplitude (RMS, px) by which boundaries are bent smoothly (no effect on grown grains).",
    )
    waviness_length: float | None = Field(
        None, gt=0, description="Length (px) over which the bending varies. None: half the mean grain diameter."
    )
    smoothing: float = Field(
        0.0,
        ge=0,
        description="Radius (σ, px) over which boundaries are smoothed by their curvature and grain corners rounded "
        "(no effect on grown grains).",
    )
    boundary_width: float = Field(2.0, gt=0, description="Width (px) of the boundary mask, centred on the boundary.")
    second_phase: float = Field(0.0, ge=0, le=1, description="Share of the grains that belong to a second phase.")
    growth: Growth = Field(default_factory=Growth, description="How grains grow from the cells of the seeds.")
    two_phase: TwoPhase = Field(default_factory=TwoPhase, description="The two phases, for kind 'two_phase'.")
    objects: Objects = Field(default_factory=Objects, description="The objects, for kind 'objects'.")
    appearance: Appearance = Field(default_factory=Appearance, description="How the micrograph looks.")
    real_look: RealLook | None = Field(
        None,
        description="How real images look, for the image to be matched to: sharpness, grey levels, and their noise "
        "instead of the detector's. See RealLook.estimate.",
    )

    @field_validator("shape", "spacing", "points", "target_sizes", mode="before")
    @classmethod
    def _arrays_are_lists(cls, given: Any) -> Any:
        # napari's Points layers and NumPy's shapes come as arrays.
        return given.tolist() if hasattr(given, "tolist") else given

    @model_validator(mode="after")
    def _settings_agree(self) -> MicrostructureRecipe:
        if len(self.shape) not in (2, 3) or any(n < 1 for n in self.shape):
            raise ValueError(f"shape {self.shape} must be two or three positive sizes, (Y, X) or (Z, Y, X)")
        ndim = len(self.shape)
        if self.spacing is not None and (
            len(self.spacing) != ndim or not all(math.isfinite(s) and s > 0 for s in self.spacing)
        ):
            raise ValueError(f"spacing {self.spacing} must be {ndim} positive numbers, one for each axis of the shape")
        if (self.points is not None) != (self.placement == "points"):
            raise ValueError("placement 'points' and a list of points belong together; give both or neither")
        if self.points is not None:
            self._check_points(self.points)
            object.__setattr__(self, "n_seeds", len(self.points))
        self._check_sizes()
        if self.kind == "objects" and self.objects.form == "nanoparticles" and ndim == 3:
            raise ValueError(
                "nanoparticles are seen in projection through a carbon film, which is a 2D image; give a shape (Y, X), "
                "or use form 'particles' for a volume"
            )
        if self.periodic:
            self._check_periodic()
        if self.kind == "grains" and self.boundary_width > 1 and self.boundary_width >= self.grain_diameter:
            raise ValueError(
                f"boundary_width {self.boundary_width:g} px is wider than the mean grain of "
                f"{self.grain_diameter:.2g} px, so nothing but boundary would be left; "
                "use fewer seeds or a thinner boundary"
            )
        if self.waviness > 0 and self.waviness * 5 > self.bend_length:
            raise ValueError(
                f"waviness {self.waviness:g} px over a length of {self.bend_length:.3g} px would fold the boundaries; "
                f"use at most {self.bend_length / 5:.2g} px or a longer waviness_length"
            )
        if self.has_own_metrics and self.growth.method != "none":
            raise ValueError(
                "aspect_spread and direction_spread_deg shape cells and growth takes that back; leave one of them out"
            )
        if self.smoothing > max(1.0, self.grain_diameter / 2):
            raise ValueError(
                f"smoothing {self.smoothing:g} px would melt grains of {self.grain_diameter:.2g} px away; "
                f"use at most {max(1.0, self.grain_diameter / 2):.2g} px"
            )
        return self

    def _check_periodic(self) -> None:
        """Refuse what does not continue across the sides of the image."""
        other = (
            "objects" if self.kind == "objects"
            else "growth" if self.growth.method != "none"
            else "aspect_spread and direction_spread_deg" if self.has_own_metrics
            else "size_cv" if self.size_cv is not None
            else "target_sizes" if self.target_sizes is not None
            else None
        )  # fmt: skip
        if other is not None:
            raise ValueError(
                f"periodic is for grains as they are cut from their seeds, not together with {other}; leave out one of "
                "the two"
            )

    def _check_points(self, points: tuple[tuple[float, ...], ...]) -> None:
        """Refuse points that are no seeds of this shape."""
        if not points:
            raise ValueError("there are no points; place at least one seed")
        for number, point in enumerate(points):
            if len(point) != len(self.shape):
                raise ValueError(
                    f"point {number} has {len(point)} coordinates but the shape has {len(self.shape)} axes"
                )
            if not all(-0.5 <= p <= n - 0.5 for p, n in zip(point, self.shape, strict=True)):
                raise ValueError(
                    f"point {number} at {point} lies outside the image of shape {self.shape}; move or remove it"
                )

    def _check_sizes(self) -> None:
        """Refuse sizes of grains that contradict each other, the number of seeds or the image."""
        given = [name for name in ("size_cv", "target_sizes") if getattr(self, name) is not None]
        given += ["size_dispersion"] if self.size_dispersion > 0 else []
        if len(given) > 1:
            raise ValueError(f"{given[0]} and {given[1]} both say how large the grains are; give one of them")
        if self.has_own_metrics and (self.size_cv is not None or self.target_sizes is not None):
            raise ValueError(
                f"{given[0]} can be kept only for grains that are alike in shape; leave it out, or set aspect_spread "
                "and direction_spread_deg to 0"
            )
        if self.growth_grid and given and given[0] != "size_dispersion":
            raise ValueError(f"growth changes the sizes that {given[0]} prescribes; give one of them")
        whole = math.prod(self.shape)
        if self.size_cv is not None and whole < 2 * SMALLEST_GRAIN * self.n_seeds:
            raise ValueError(
                f"grains of {whole / self.n_seeds:.2g} px on average are too small for a size_cv; they need "
                f"{2 * SMALLEST_GRAIN} px, so use fewer seeds or a larger shape"
            )
        if self.target_sizes is None:
            return
        if len(self.target_sizes) != self.n_seeds:
            raise ValueError(
                f"target_sizes has {len(self.target_sizes)} entries but there are {self.n_seeds} seeds; give one a seed"
            )
        total = sum(self.target_sizes)
        for number, size in enumerate(self.target_sizes):
            if size <= 0:
                raise ValueError(f"target_sizes: entry {number} is {size:g}; sizes must be greater than 0")
            if size * whole < SMALLEST_GRAIN * total:
                raise ValueError(
                    f"target_sizes: entry {number} is {size * whole / total:.2g} px of this image; a grain needs "
                    f"{SMALLEST_GRAIN} px or more"
                )
        if total > whole * (1 + 1e-6):
            raise ValueError(
                f"target_sizes add up to {total:g} px but the image of shape {self.shape} has {whole}; make them "
                "smaller, or give shares that add up to 1"
            )

    @property
    def grain_diameter(self) -> float:
        """Mean grain diameter (px): that of a disk or ball of the mean grain's size."""
        size = math.prod(self.shape) / self.n_seeds
        return math.sqrt(4 * size / math.pi) if len(self.shape) == 2 else (6 * size / math.pi) ** (1 / 3)

    @property
    def bend_length(self) -> float:
        """Length (px) over which boundaries bend."""
        return self.waviness_length if self.waviness_length is not None else max(2.0, self.grain_diameter / 2)

    @property
    def is_curved(self) -> bool:
        """Whether boundaries are anything but straight."""
        curved = self.waviness > 0 or self.smoothing > 0 or self.has_own_metrics
        return self.kind == "grains" and self.growth.method == "none" and curved

    @property
    def has_own_metrics(self) -> bool:
        """Whether grains differ in aspect ratio or direction."""
        return self.aspect_spread > 0 or (self.direction_spread_deg > 0 and self.aspect_ratio > 1)

    @property
    def growth_step(self) -> float:
        """Grid step (px) on which growth is computed."""
        coarse = self.growth.method == "phase_field"
        return max(1.0, self.grain_diameter / self.growth.resolution) if coarse else 1.0

    @property
    def growth_grid(self) -> int:
        """Number of grid points on which growth is computed; 0 where nothing grows."""
        if self.kind == "two_phase":
            return math.prod(self.two_phase.grid(self.shape))
        grows = self.kind == "grains" and self.growth.method != "none"
        return round(math.prod(self.shape) / self.growth_step ** len(self.shape)) if grows else 0
