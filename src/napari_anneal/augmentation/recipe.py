"""What to vary, how often and how strongly: the augmentation recipe, frozen and serialisable.

Every transform has a probability under its own name (``elastic=0.1``; 0 switches it off) and its strength in
fields that start with that name and end with the unit (``elastic_sigma_px``). Intensities are in units of the
robust range of the image: 0 is its 2nd percentile, 1 its 98th. Default ranges: the transforms commonly
used for microscopy, gentle enough for any isotropic sample; elastic after Simard et al. 2003 (ICDAR, doi
10.1109/ICDAR.2003.1227801).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from napari_anneal.augmentation.legality import (
    TRANSFORMS,
    SampleKind,
    illegal_transforms,
    mirrors,
    sample_kinds,
)
from napari_anneal.recipe_base import Recipe

__all__ = ["TRANSFORMS", "AugmentationRecipe"]

Probability = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Range = tuple[float, float]
IntRange = tuple[int, int]


class AugmentationRecipe(Recipe):
    """Probabilities and strengths of every transform; the default is a gentle set for isotropic samples.

    Raises
    ------
    InputError
        A number out of its range, or a transform switched on that the kind of sample forbids; the sentence
        names it and says why.
    """

    sample: SampleKind = Field(
        "isotropic", description="What the sample is; forbids the transforms that would be untrue"
    )
    also: tuple[SampleKind, ...] = Field((), description="What else it is, where several kinds hold at once")
    direction_deg: float = Field(
        90.0,
        ge=-360,
        le=360,
        description="Rolling, drawing or growth direction in the image, or one that classes name, degrees "
        "anticlockwise from right (90: upwards)",
    )
    light_deg: float = Field(
        90.0,
        ge=-360,
        le=360,
        description="Where the detector that casts shadows stands, degrees anticlockwise from right (90: above)",
    )
    outside: Literal["reflect", "wrap", "unpainted"] = Field(
        "reflect",
        description="Labels of pixels brought in from outside the patch: mirrored or wrapped around together "
        "with the image, or left unpainted (the image is then mirrored)",
    )

    hflip: Probability = Field(0.5, description="Probability of a left-right flip")
    vflip: Probability = Field(0.5, description="Probability of an up-down flip")
    rot180: Probability = Field(
        0.0, description="Probability of a half turn (for samples where quarter turns are untrue)"
    )
    rot90: Probability = Field(
        0.75, description="Probability of a random number of quarter turns (square patches only)"
    )
    rotate: Probability = Field(0.2, description="Probability of a rotation by any angle")
    rotate_deg: Range = Field((-45.0, 45.0), description="Angle of that rotation, degrees")
    scale: Probability = Field(0.2, description="Probability of zooming")
    scale_factor: Range = Field((0.8, 1.25), description="Magnification, the same in both directions")
    shear: Probability = Field(0.0, description="Probability of an affine shear")
    shear_deg: Range = Field((-8.0, 8.0), description="Shear angle in each direction, degrees")
    perspective: Probability = Field(0.0, description="Probability of a perspective change (a tilted stage)")
    perspective_fraction: Range = Field((0.02, 0.06), description="Shift of the corners, fraction of the side")
    crop: Probability = Field(0.0, description="Probability of a random crop, resized to the patch")
    crop_area: Range = Field((0.5, 1.0), description="Area of that crop, fraction of the patch")
    elastic: Probability = Field(0.1, description="Probability of an elastic deformation")
    elastic_alpha: float = Field(50.0, ge=0, description="Strength α of the deformation, pixels before smoothing")
    elastic_sigma_px: float = Field(5.0, gt=0, description="Smoothness σ of the deformation, pixels")

    brightness: Probability = Field(0.5, description="Probability of a brightness shift")
    brightness_shift: Range = Field((-0.2, 0.2), description="Shift, fraction of the intensity range")
    contrast: Probability = Field(0.5, description="Probability of a contrast change")
    contrast_factor: Range = Field((0.7, 1.3), description="Contrast factor about mid-grey")
    gamma: Probability = Field(0.5, description="Probability of a gamma change")
    gamma_exponent: Range = Field((0.7, 1.3), description="Exponent")
    clahe: Probability = Field(0.0, description="Probability of local histogram equalisation (CLAHE)")
    clahe_limit: Range = Field((1.0, 4.0), description="Clip limit of CLAHE")
    clahe_tiles: int = Field(8, ge=1, description="Tiles of CLAHE along each side")

    blur: Probability = Field(0.1, description="Probability of a Gaussian blur (the point spread function)")
    blur_sigma_px: Range = Field((0.3, 1.2), description="Sigma of the blur, pixels")
    poisson: Probability = Field(0.1, description="Probability of shot noise")
    poisson_counts: Range = Field((100.0, 1000.0), description="Counts at intensity 1 (drawn on a log scale)")
    gaussian_noise: Probability = Field(0.3, description="Probability of additive Gaussian (read) noise")
    gaussian_noise_std: Range = Field((0.01, 0.05), description="Standard deviation, fraction of the intensity range")
    salt_pepper: Probability = Field(0.0, description="Probability of salt-and-pepper noise")
    salt_pepper_fraction: Range = Field((0.001, 0.01), description="Fraction of the pixels hit")
    cutout: Probability = Field(0.0, description="Probability of erasing rectangles; erased pixels become unpainted")
    cutout_holes: IntRange = Field((1, 4), description="Number of rectangles")
    cutout_fraction: Range = Field((0.05, 0.2), description="Side of a rectangle, fraction of the side of the patch")

    @model_validator(mode="after")
    def _check(self) -> AugmentationRecipe:
        """Refuse ranges the wrong way round or out of their domain, and transforms the sample forbids."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, tuple) and name != "also":
                low, high = value
                if not (abs(low) < float("inf") and abs(high) < float("inf") and low <= high):
                    raise ValueError(f"{name} must be two finite numbers, the lower one first, not {value}")
                if name in _ABOVE_ZERO and not low > 0:
                    raise ValueError(f"{name} must be above 0, not {value}")
                if name in _AT_MOST_ONE and not (low >= 0 and high <= 1):
                    raise ValueError(f"{name} must lie between 0 and 1, not {value}")
        illegal, what = self.switched_off, " and ".join(repr(kind) for kind in self.kinds)
        for name, reason in illegal.items():
            if getattr(self, name) > 0:
                raise ValueError(f"{name} is not legal for a sample that is {what}: {reason}; set {name}=0")
        if self.outside == "reflect" and not mirrors(illegal) and set(_FROM_OUTSIDE) & set(self.active):
            raise ValueError(
                f"outside='reflect' is not legal for a sample that is {what}: what a warp brings in from outside the "
                "patch would be mirrored as by a flip; set outside='wrap' or outside='unpainted'"
            )
        return self

    @property
    def kinds(self) -> tuple[SampleKind, ...]:
        """Everything the sample is: ``sample`` and ``also``, each kind once."""
        return sample_kinds((self.sample, *self.also))

    @property
    def switched_off(self) -> dict[str, str]:
        """The transforms that the kind of sample forbids, each with the reason."""
        return illegal_transforms(self.kinds, self.direction_deg, self.light_deg)

    @property
    def active(self) -> tuple[str, ...]:
        """Names of the transforms that can happen, in the order in which they are applied."""
        return tuple(name for name in TRANSFORMS if getattr(self, name) > 0)

    @classmethod
    def none(cls) -> AugmentationRecipe:
        """No augmentation at all."""
        return cls(**dict.fromkeys(TRANSFORMS, 0.0))

    @classmethod
    def only(cls, **settings: Any) -> AugmentationRecipe:
        """Nothing but what is named: ``only(elastic=1.0)``, for a look at one transform alone."""
        return cls(**{**dict.fromkeys(TRANSFORMS, 0.0), **settings})

    @classmethod
    def for_sample(cls, kinds: str | Iterable[str], **settings: Any) -> AugmentationRecipe:
        """The default set with everything switched off that one kind of sample, or several at once, forbid.

        ``recipe.switched_off`` tells which and why. Where quarter turns are forbidden and half turns are not,
        half turns take their place; where a flip is forbidden, what lies outside the patch is wrapped, not mirrored.

        Raises
        ------
        InputError
            Not one of ``legality.SAMPLE_KINDS``.
        """
        sample, *also = sample_kinds(kinds)
        plain = cls(**{name: settings[name] for name in ("direction_deg", "light_deg") if name in settings})
        forbidden = illegal_transforms((sample, *also), plain.direction_deg, plain.light_deg)
        legal: dict[str, Any] = {"sample": sample, "also": tuple(also), **dict.fromkeys(forbidden, 0.0)}
        if "rot90" in forbidden and "rot180" not in forbidden:
            legal["rot180"] = 0.5
        if not mirrors(forbidden):
            legal["outside"] = "wrap"
        return cls(**{**legal, **settings})

    def of_another_sample(
        self, kinds: str | Iterable[str], direction_deg: float = 90.0, light_deg: float = 90.0
    ) -> AugmentationRecipe:
        """The recipe for another kind of sample: settings of its own stay where they are legal.

        What is as usual for the present sample becomes what is usual for the other one, so that a transform which only
        the present sample forbids comes back.

        Raises
        ------
        InputError
            As `for_sample`.
        """
        now = self.for_sample(self.kinds, direction_deg=self.direction_deg, light_deg=self.light_deg)
        then = self.for_sample(kinds, direction_deg=direction_deg, light_deg=light_deg)
        own = {name: value for name in type(self).model_fields if (value := getattr(self, name)) != getattr(now, name)}
        settings = {name: getattr(then, name) for name in type(self).model_fields}
        what = {name: settings[name] for name in ("sample", "also", "direction_deg", "light_deg")}
        return type(self)(**self.made_legal({**settings, **own, **what}))

    @classmethod
    def made_legal(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings with what their own sample forbids switched off: those of a form in which a kind was chosen.

        ``settings`` has all of ``sample``, ``direction_deg``, ``light_deg`` and ``outside``; ``also`` may be missing.
        """
        kinds = (settings["sample"], *settings.get("also", ()))
        forbidden = illegal_transforms(kinds, settings["direction_deg"], settings["light_deg"])
        wrapped = settings["outside"] == "reflect" and not mirrors(forbidden)
        return {**settings, **dict.fromkeys(forbidden, 0.0), **({"outside": "wrap"} if wrapped else {})}


# Warps that can bring in pixels from outside the patch.
_FROM_OUTSIDE = ("rotate", "scale", "shear", "perspective", "elastic")
_ABOVE_ZERO = {
    "scale_factor", "contrast_factor", "gamma_exponent", "clahe_limit", "blur_sigma_px", "poisson_counts",
    "crop_area",
}  # fmt: skip
_AT_MOST_ONE = {"perspective_fraction", "crop_area", "salt_pepper_fraction", "cutout_fraction"}
