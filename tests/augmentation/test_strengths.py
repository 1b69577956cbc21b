"""Claims about how strong the transforms are: each is measured in the images and compared with the recipe's numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, stats

from napari_anneal.augmentation import AugmentationRecipe, Augmenter

SIDE = 96
Y, X = np.mgrid[:SIDE, :SIDE].astype(np.float32)
ONES = np.ones((SIDE, SIDE), int)
INNER = np.s_[SIDE // 3 : 2 * SIDE // 3, SIDE // 3 : 2 * SIDE // 3]


def draws(image: np.ndarray, count: int, **settings: object) -> list[np.ndarray]:
    """Augmented images of a plane, or of three channels."""
    augment = Augmenter(AugmentationRecipe.only(**settings))
    stack = (image[None] if image.ndim == 2 else image).astype(np.float32)
    return [augment(stack, ONES, seed)[0] for seed in range(count)]


def warp(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From a warped pair of ramps: 2 × 2 matrix from output to input px (y, x) in the middle, and its residual."""
    source = np.stack([image[0][INNER], image[1][INNER]]) * SIDE
    design = np.column_stack([Y[INNER].ravel(), X[INNER].ravel(), np.ones(Y[INNER].size)])
    fit, *_ = np.linalg.lstsq(design, source.reshape(2, -1).T, rcond=None)
    return fit[:2].T, source.reshape(2, -1).T - design @ fit


RAMPS = np.stack([Y / SIDE, X / SIDE, 0 * X])


def uniform(values: list[float], low: float, high: float) -> bool:
    """Whether values could be draws from U[low, high]: none outside, and no other distribution."""
    inside = low - 1e-3 <= min(values) and max(values) <= high + 1e-3
    return inside and stats.kstest(values, "uniform", (low, high - low)).pvalue > 0.01


def test_brightness_contrast_and_gamma_are_drawn_evenly_from_the_ranges_of_the_recipe():
    plane = 0.1 + 0.8 * X / SIDE
    shift = [float((out[0] - plane).mean()) for out in draws(plane, 80, brightness=1.0)]
    slope = [float(np.polyfit(plane.ravel(), out.ravel(), 1)[0]) for out in draws(plane, 80, contrast=1.0)]
    power = [float(np.median(np.log(out[0]) / np.log(plane))) for out in draws(plane, 80, gamma=1.0)]
    assert uniform(shift, -0.2, 0.2)
    assert uniform(slope, 0.7, 1.3)
    assert uniform(power, 0.7, 1.3)


def test_rotation_and_zoom_are_drawn_evenly_in_degrees_and_as_magnification():
    angles, sizes = [], []
    for out in draws(RAMPS, 60, rotate=1.0):
        matrix, _ = warp(out)
        angles.append(float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))))
        assert np.linalg.det(matrix) == pytest.approx(1, abs=0.02)
    for out in draws(RAMPS, 60, scale=1.0):
        matrix, _ = warp(out)
        sizes.append(float(1 / np.sqrt(np.linalg.det(matrix))))
        np.testing.assert_allclose(matrix, np.eye(2) / sizes[-1], atol=0.02)
    assert uniform(angles, -45, 45)
    assert uniform(sizes, 0.8, 1.25)


def test_a_crop_keeps_the_area_the_recipe_says():
    areas = [float(np.linalg.det(warp(out)[0])) for out in draws(RAMPS, 40, crop=1.0)]
    assert 0.47 < min(areas) < 0.65
    assert 0.85 < max(areas) < 1.03


def test_elastic_displacements_are_those_of_uniform_noise_smoothed_by_sigma_times_alpha():
    # Noise U[-1, 1] has the deviation 1/√3; a Gaussian of σ px leaves 1/(2σ√π) of it.
    expected = 50 / np.sqrt(3) / (2 * 5 * np.sqrt(np.pi))
    moved = [out[:2] * SIDE - np.stack([Y, X]) for out in draws(RAMPS, 30, elastic=1.0)]
    inner = np.stack([m[:, 16:-16, 16:-16] for m in moved])
    assert inner.std() == pytest.approx(expected, rel=0.1)
    # Correlated over σ√2 · √2 = 2σ: exp(-d² / 4σ²) at a distance d.
    apart = (inner[..., 10:] * inner[..., :-10]).mean() / inner.var()
    assert apart == pytest.approx(np.exp(-1), abs=0.12)


def test_a_perspective_moves_the_corners_by_the_fraction_of_the_recipe_and_is_no_affine_map():
    residuals = [np.abs(warp(out)[1]).max() for out in draws(RAMPS, 20, perspective=1.0)]
    affine = [np.abs(warp(out)[1]).max() for out in draws(RAMPS, 20, shear=1.0)]
    assert np.median(residuals) > 3 * np.median(affine)
    for out in draws(RAMPS, 20, perspective=1.0):
        corner = out[:2, 0, 0] * SIDE
        assert (corner < 3 * 0.06 * SIDE).all()


def test_a_blurred_point_has_the_width_of_the_recipe():
    point = np.zeros((SIDE, SIDE))
    point[48, 48] = 1
    for sigma in (0.8, 1.2, 2.0):
        out = draws(point, 1, blur=1.0, blur_sigma_px=(sigma, sigma))[0][0]
        assert out.sum() == pytest.approx(1, rel=1e-4)
        assert np.sqrt((out * (X - 48) ** 2).sum()) == pytest.approx(sigma, rel=0.06)


def test_salt_and_pepper_hit_the_fraction_of_the_recipe_half_dark_half_bright():
    for out in draws(np.full((SIDE, SIDE), 0.5), 5, salt_pepper=1.0, salt_pepper_fraction=(0.1, 0.1)):
        assert (out == 0).mean() == pytest.approx(0.05, abs=0.012)
        assert (out == 1).mean() == pytest.approx(0.05, abs=0.012)


def test_equalisation_widens_a_narrow_histogram_everywhere():
    rng = np.random.default_rng(0)
    plane = 0.3 + 0.3 * X / SIDE + rng.normal(0, 0.02, X.shape)
    for out in draws(plane, 5, clahe=1.0, clahe_limit=(4.0, 4.0), clahe_tiles=2):
        for half in (np.s_[:, :48], np.s_[:, 48:]):
            assert out[0][half].std() > 1.3 * plane[half].std()


@pytest.mark.parametrize("outside", ["reflect", "wrap", "unpainted"])
@pytest.mark.parametrize("name", ["hflip", "rot90", "rotate", "scale", "shear", "perspective", "crop", "elastic"])
def test_what_is_not_painted_stays_so_and_paint_stays_on_what_it_was_painted_on(name, outside):
    # Bright where painted with 3, grey where nothing is painted: no bright ground may lose, no grey may gain paint.
    rng = np.random.default_rng(1)
    blobs = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 6)
    painted = blobs > np.quantile(blobs, 0.7)
    labels = np.where(painted, 3, 0)
    augment = Augmenter(AugmentationRecipe.only(**{name: 1.0}, outside=outside))
    for seed in range(6):
        image, moved = augment((0.2 + 0.6 * painted)[None].astype(np.float32), labels, seed)
        assert set(np.unique(moved)) <= {0, 3}
        on_paint = ndimage.binary_erosion(moved == 3, iterations=1)
        assert (image[0][on_paint] > 0.5).mean() > 0.995
        if outside != "unpainted":
            bare = ndimage.binary_erosion(moved == 0, iterations=1)
            assert (image[0][bare] < 0.5).mean() > 0.995


@pytest.mark.parametrize("name", ["perspective", "elastic", "rotate"])
def test_borders_never_show_a_value_the_image_does_not_have(name):
    plane = 0.4 + 0.2 * np.random.default_rng(0).random((SIDE, SIDE))
    for outside in ("reflect", "wrap", "unpainted"):
        for out in draws(plane, 5, **{name: 1.0}, outside=outside):
            assert plane.min() - 1e-5 <= out.min()
            assert out.max() <= plane.max() + 1e-5
