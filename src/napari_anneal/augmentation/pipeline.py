"""Image and labels in, another legal view of both out: the albumentations pipeline that a recipe describes.

Geometry moves image, labels (nearest neighbour), points and boxes together, grey-value transforms touch the image
alone. All slices of a stack move alike, and each has noise of its own. A call is a pure function of (image, labels,
seed): the same seed gives the same bytes, in any thread or process.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_anneal.augmentation import following
from napari_anneal.augmentation.recipe import AugmentationRecipe
from napari_anneal.errors import InputError

if TYPE_CHECKING:
    import albumentations as A

__all__ = ["Augmented", "Augmenter"]

# Labels travel as float32 where they do not fit 16 bits: OpenCV warps no int32, and float32 is exact up to
# here.
MAX_LABEL = 1 << 24


class Augmented(NamedTuple):
    """What `Augmenter.apply` gives; points and boxes are ``None`` where none were given."""

    image: npt.NDArray[np.float32]
    labels: npt.NDArray[Any]
    keypoints: npt.NDArray[np.float64] | None
    boxes: npt.NDArray[np.float64] | None


class Augmenter:
    """Applies a recipe; cheap to build, picklable, safe to share between threads.

    A call is for pairs, as training makes them; `apply` is for stacks, points and boxes, too.

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
        moved = self._run(image, labels, rng_seed, None)
        return moved[0], moved[1]

    def apply(
        self,
        image: npt.NDArray[np.float32],
        labels: npt.NDArray[Any],
        rng_seed: int,
        *,
        keypoints: Any = None,
        boxes: Any = None,
    ) -> Augmented:
        """Augment a pair, or a stack of slices, and what is marked on it.

        Parameters
        ----------
        image
            As for a call, or a stack ``(Z, C, Y, X)``.
        labels
            ``(Y, X)``, or ``(Z, Y, X)`` for a stack.
        rng_seed
            As for a call; the image and labels of a pair become the same as there.
        keypoints
            ``(N, 2)`` points y, x in pixels as in a Points layer: pixel centres are whole numbers. More columns may
            stand in front, such as z; they stay as they are.
        boxes
            ``(M, 4)`` boxes y0, x0, y1, x1 in the same coordinates (half numbers are the borders of pixels).

        Returns
        -------
        Augmented
            Points and boxes keep their order; those that left the image, or were erased by ``cutout``, are NaN. A box
            is the smallest upright one around what is left of it in the picture.

        Raises
        ------
        InputError
            As a call; points or boxes of another shape, or outside the image.
        """
        _check_pair(image, labels)
        if keypoints is None and boxes is None:
            return Augmented(*self._run(image, labels, rng_seed, None)[:2], None, None)
        shape = tuple(labels.shape[-2:])
        points = following.checked(() if keypoints is None else keypoints, 2, "keypoints", shape)
        frames = following.checked(() if boxes is None else boxes, 4, "boxes", shape)
        travelling = np.concatenate([points[:, -2:], following.grids(frames)])
        marked = following.with_marks(travelling, shape)
        new_image, new_labels, arrived = self._run(image, labels, rng_seed, marked)
        yx = np.where(arrived[:, 2:] > 0, np.nan, arrived[:, 1::-1].astype(np.float64))
        new_points = points.copy()
        new_points[:, -2:] = yx[: len(points)]
        return Augmented(
            new_image,
            new_labels,
            None if keypoints is None else new_points,
            None if boxes is None else following.boxes_around(yx[len(points) :]),
        )

    def _run(
        self, image: npt.NDArray[np.float32], labels: npt.NDArray[Any], rng_seed: int, points: npt.NDArray[Any] | None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any], npt.NDArray[Any]]:
        """Image, labels and points ``(N, 3)`` (x, y, mark) through the pipeline."""
        _check_pair(image, labels)
        stack = image.ndim == 4
        pipeline = self._pipeline(labels.shape[-2:], points is not None)
        # One pair of generators for all transforms: albumentations' own ``set_random_seed`` gives each
        # transform the same seed, so that all of their coins would fall the same way.
        pipeline.set_random_state(np.random.default_rng(rng_seed), random.Random(rng_seed))
        picture, mask = ("volume", "mask3d") if stack else ("image", "mask")
        given: dict[str, Any] = {} if points is None else {"keypoints": points}
        given[picture] = np.ascontiguousarray(np.moveaxis(image, -3, -1))
        given[mask] = _to_warpable(labels)
        out = pipeline(**given)
        last = out[picture].reshape(*image.shape[:-3], *image.shape[-2:], image.shape[-3])
        moved = np.ascontiguousarray(np.moveaxis(last, -1, -3), dtype=np.float32)
        arrived = np.asarray(out["keypoints"]) if points is not None else np.zeros((0, 3))
        return _unshared(moved, image), _unshared(out[mask].astype(labels.dtype), labels), arrived.reshape(-1, 3)

    def _pipeline(self, shape: tuple[int, ...], with_points: bool) -> A.Compose:
        """The composed transforms for one patch shape, built once a thread."""
        built: dict[tuple[int, ...], A.Compose] = self._local.__dict__.setdefault("built", {})
        key = (*shape, with_points)
        if key not in built:
            if len(built) > 32:  # images of many sizes without patches: do not keep a pipeline for each
                built.clear()
            built[key] = _compose(self.recipe, (int(shape[0]), int(shape[1])), with_points)
        return built[key]


def _compose(recipe: AugmentationRecipe, shape: tuple[int, int], with_points: bool) -> A.Compose:
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
        if shape[0] == shape[1]
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
        "crop": lambda: geometry.Crop(
            size=shape,
            scale=r.crop_area,
            ratio=(side * least, side * most),
            interpolation=geometry.NEAREST_RESIZED if exact else geometry.interpolation(exact),
            mask_interpolation=geometry.NEAREST_RESIZED,
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
    # Points that have left are marked, not removed, so that they keep their order.
    points = A.KeypointParams(format="xyz", remove_invisible=False) if with_points else None
    return A.Compose([steps[name]() for name in r.active], keypoint_params=points)


def _check_pair(image: Any, labels: Any) -> None:
    """Refuse what would otherwise surface deep inside OpenCV."""
    wrong = image.ndim not in (3, 4) or image.shape[-3] not in (1, 3) or image.size == 0
    if wrong or labels.shape != (*image.shape[:-3], *image.shape[-2:]):
        raise InputError(
            "augmentation takes an image (C, Y, X) with 1 or 3 channels and labels (Y, X) of the same size, or a stack "
            f"(Z, C, Y, X) and labels (Z, Y, X), not {tuple(image.shape)} and {tuple(labels.shape)}."
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
