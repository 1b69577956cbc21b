"""Image and labels in, another legal view of both out: the albumentations pipeline that a recipe describes.

Geometry moves image and labels together (labels nearest neighbour), grey-value transforms touch the image
alone. A call is a pure function of (image, labels, seed): the same seed gives the same bytes, in any thread
or process.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_anneal.augmentation.recipe import AugmentationRecipe
from napari_anneal.errors import InputError

if TYPE_CHECKING:
    import albumentations as A

__all__ = ["Augmenter"]

# Labels travel as float32 where they do not fit 16 bits: OpenCV warps no int32, and float32 is exact up to
# here.
MAX_LABEL = 1 << 24


class Augmenter:
    """Applies a recipe; cheap to build, picklable, safe to share between threads.

    Parameters
    ----------
    recipe
        What to vary; ``None`` for the default.
    """

    def __init__(self, recipe: AugmentationRecipe | None = None) -> None:
        self.recipe = AugmentationRecipe() if recipe is None else recipe
        # A composed pipeline carries the state of its random draws, so every thread has its own.
        self._local = threading.local()

    def __reduce__(self) -> tuple[type[Augmenter], tuple[AugmentationRecipe]]:
        return (type(self), (self.recipe,))

    def __call__(
        self, image: npt.NDArray[np.float32], labels: npt.NDArray[Any], rng_seed: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
        """Augment one pair.

        Parameters
        ----------
        image
            ``(C, Y, X)`` float32 in unit range (values slightly beyond [0, 1] are kept, not clipped); C is 1
            or 3.
        labels
            ``(Y, X)`` whole numbers, 0 = not painted.
        rng_seed
            0 … 2⁶⁴-1; the same seed gives the same result.

        Returns
        -------
        tuple
            Image and labels of the same shapes and dtypes, always new arrays.

        Raises
        ------
        InputError
            Shapes that do not belong together, another dtype, or labels above 2²⁴.
        """
        _check_pair(image, labels)
        square = image.shape[1] == image.shape[2]
        pipeline = self._pipeline(image.shape[1:], square)
        # One pair of generators for all transforms: albumentations' own ``set_random_seed`` gives each
        # transform the same seed, so that all of their coins would fall the same way.
        pipeline.set_random_state(np.random.default_rng(rng_seed), random.Random(rng_seed))
        out = pipeline(image=np.ascontiguousarray(np.moveaxis(image, 0, -1)), mask=_to_warpable(labels))
        moved = np.ascontiguousarray(np.moveaxis(out["image"].reshape(*image.shape[1:], -1), -1, 0), dtype=np.float32)
        return _unshared(moved, image), _unshared(out["mask"].astype(labels.dtype), labels)

    def _pipeline(self, shape: tuple[int, ...], square: bool) -> A.Compose:
        """The composed transforms for one patch shape, built once a thread."""
        built: dict[tuple[int, ...], A.Compose] = self._local.__dict__.setdefault("built", {})
        if shape not in built:
            if len(built) > 32:  # images of many sizes without patches: do not keep a pipeline for each
                built.clear()
            built[shape] = _compose(self.recipe, (int(shape[0]), int(shape[1])), square)
        return built[shape]


def _compose(recipe: AugmentationRecipe, shape: tuple[int, int], square: bool) -> A.Compose:
    """Recipe → ``albumentations.Compose``, only with the transforms that can happen."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import asks a server for the newest version otherwise
    import albumentations as A

    from napari_anneal.augmentation import geometry, intensity

    r = recipe
    # Between two orientations there is no mean colour that is an orientation of either.
    exact = "orientation_map" in r.kinds
    warp = geometry.border_options(r.outside, exact)
    kinds = geometry.transforms(r.outside)
    half_turn = A.Sequential([A.HorizontalFlip(p=1), A.VerticalFlip(p=1)], p=r.rot180)
    # Quarter turns change the shape of a patch that is not square; a half turn is the part of them that does
    # not.
    quarter = (
        A.RandomRotate90(p=r.rot90)
        if square
        else A.Sequential([A.HorizontalFlip(p=1), A.VerticalFlip(p=1)], p=r.rot90 / 2)
    )
    # A stretch turns every direction that lies along neither side.
    least, most = (0.9, 1.1) if {"isotropic", "chiral", "vortex"}.issuperset(r.kinds) else (1.0, 1.0)
    side = shape[1] / shape[0]  # of the patch, which a crop must keep or stretch by its ratio
    sides = (r.cutout_fraction[0], min(r.cutout_fraction[1], 0.999))
    steps: dict[str, Callable[[], Any]] = {
        "hflip": lambda: A.HorizontalFlip(p=r.hflip),
        "vflip": lambda: A.VerticalFlip(p=r.vflip),
        "rot180": lambda: half_turn,
        "rot90": lambda: quarter,
        "rotate": lambda: kinds.affine(rotate=r.rotate_deg, p=r.rotate, **warp),
        "scale": lambda: kinds.affine(scale=r.scale_factor, keep_ratio=True, p=r.scale, **warp),
        "shear": lambda: kinds.affine(shear={"x": r.shear_deg, "y": r.shear_deg}, p=r.shear, **warp),
        "perspective": lambda: kinds.perspective(scale=r.perspective_fraction, p=r.perspective, **warp),
        "crop": lambda: A.RandomResizedCrop(
            size=shape,
            scale=r.crop_area,
            ratio=(side * least, side * most),
            interpolation=geometry.interpolation(exact),
            p=r.crop,
        ),
        "elastic": lambda: kinds.elastic(
            # Uniform displacements before smoothing, as Simard et al. draw them.
            alpha=r.elastic_alpha,
            sigma=r.elastic_sigma_px,
            noise_distribution="uniform",
            p=r.elastic,
            **warp,
        ),
        "brightness": lambda: intensity.Brightness(r.brightness_shift, p=r.brightness),
        "contrast": lambda: intensity.Contrast(r.contrast_factor, p=r.contrast),
        "gamma": lambda: intensity.Gamma(r.gamma_exponent, p=r.gamma),
        "clahe": lambda: intensity.Clahe(r.clahe_limit, r.clahe_tiles, p=r.clahe),
        "blur": lambda: intensity.Blur(r.blur_sigma_px, p=r.blur),
        "poisson": lambda: intensity.PoissonNoise(r.poisson_counts, p=r.poisson),
        "gaussian_noise": lambda: intensity.GaussianNoise(r.gaussian_noise_std, p=r.gaussian_noise),
        "salt_pepper": lambda: intensity.SaltPepper(r.salt_pepper_fraction, p=r.salt_pepper),
        "cutout": lambda: intensity.Cutout(
            num_holes_range=r.cutout_holes,
            hole_height_range=sides,
            hole_width_range=sides,
            fill_mask=0,
            p=r.cutout,
        ),
    }
    return A.Compose([steps[name]() for name in r.active])


def _check_pair(image: Any, labels: Any) -> None:
    """Refuse what would otherwise surface deep inside OpenCV."""
    if image.ndim != 3 or image.shape[0] not in (1, 3) or labels.shape != image.shape[1:] or image.size == 0:
        raise InputError(
            "augmentation takes an image (C, Y, X) with 1 or 3 channels and labels (Y, X) of the same size, "
            f"not {tuple(image.shape)} and {tuple(labels.shape)}."
        )
    if image.dtype != np.float32 or labels.dtype.kind not in "bui":
        raise InputError(
            f"augmentation takes a float32 image and whole-number labels, not {image.dtype} and "
            f"{labels.dtype}; scale the image to the unit range first."
        )


def _to_warpable(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels in the smallest dtype that OpenCV can warp without rounding."""
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > MAX_LABEL:
        raise InputError(f"labels must lie between 0 and {MAX_LABEL}, but these run from {low} to {high}.")
    return np.ascontiguousarray(labels, dtype=np.uint8 if high < 256 else np.uint16 if high < 65536 else np.float32)


def _unshared(result: npt.NDArray[Any], source: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The result as an array of its own (with no transform drawn it may still be the caller's)."""
    return result.copy() if np.shares_memory(result, source) else result
