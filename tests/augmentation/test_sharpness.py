"""Claims about blur read off images: specimens drawn finely, blurred by SciPy and rendered by our own optics."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

import napari_anneal as na
from napari_anneal.augmentation.noise_width import noise_width
from napari_anneal.augmentation.sharpness import estimate_blur

SIDE = 384


def specimen(seed: int = 0, side: int = SIDE, finer: int = 4) -> np.ndarray:
    """Flat grains of grey levels 0 … 1, drawn four times finer than the pixels that average over them."""
    rng = np.random.default_rng(seed)
    fine = side * finer
    points = rng.integers(0, fine, (50, 2))
    seeds = np.ones((fine, fine), bool)
    seeds[tuple(points.T)] = False
    nearest = ndimage.distance_transform_edt(seeds, return_distances=False, return_indices=True)
    grey = np.zeros((fine, fine))
    grey[tuple(points.T)] = rng.permutation(np.linspace(0, 1, 50))
    return grey[tuple(nearest)].reshape(side, finer, side, finer).mean(axis=(1, 3))


GRAINS = specimen()


def taken(sigma: float, noise: float, seed: int = 1) -> np.ndarray:
    return ndimage.gaussian_filter(GRAINS, sigma) + np.random.default_rng(seed).normal(0, noise, GRAINS.shape)


@pytest.mark.parametrize("noise", [0.0, 0.03, 0.1, 0.2])
@pytest.mark.parametrize("sigma", [0.8, 1.2, 2.0, 3.0, 5.0])
def test_blur_of_sharp_grains_is_found_within_10_percent_in_any_noise(sigma, noise):
    found = estimate_blur(taken(sigma, noise), noise**2)
    assert found.sigma_px == pytest.approx(sigma, rel=0.1)
    assert found.edges > 300


@pytest.mark.parametrize("look", [{"grain_contrast": 0.2}, {"phase_contrast": -0.4, "texture": 0.01}])
@pytest.mark.parametrize("sigma", [0.8, 1.5, 2.5, 4.0])
def test_blur_of_rendered_microstructures_is_found_within_10_percent(sigma, look):
    phases = {"second_phase": 0.4} if "phase_contrast" in look else {}
    appearance = na.Appearance(rung=4, psf_sigma=sigma, boundary_contrast=0.0, **look)
    recipe = na.MicrostructureRecipe(shape=(SIDE, SIDE), n_seeds=60, appearance=appearance, **phases)
    image = na.synthesize(recipe, seed=1).image
    noise = 0.01**2 + image / 400  # the recipe's own read noise and dose
    assert estimate_blur(image, noise).sigma_px == pytest.approx(sigma, rel=0.1)


@pytest.mark.parametrize("sigma", [0.8, 1.5, 2.5, 4.0])
def test_thin_lines_are_not_taken_for_blur(sigma):
    appearance = na.Appearance(rung=4, psf_sigma=sigma, grain_contrast=0.03, boundary_contrast=-0.3)
    image = na.synthesize(na.MicrostructureRecipe(shape=(SIDE, SIDE), n_seeds=60, appearance=appearance), seed=1).image
    found = estimate_blur(image, 0.01**2 + image / 400)
    assert found.sigma_px is None
    assert "thin lines" in found.sentence


def test_what_has_no_sharp_edges_is_said_to_have_none():
    noise = np.random.default_rng(0).normal(0, 1, (SIDE, SIDE))
    assert "too few clear edges" in estimate_blur(noise, 1.0).sentence
    assert "sharper than half a pixel" in estimate_blur(taken(0.0, 0.02), 0.02**2).sentence
    assert "too much" in estimate_blur(taken(14.0, 0.001), 0.001**2).sentence
    cloud = ndimage.gaussian_filter(noise, 3.0)
    assert estimate_blur(cloud, 1e-6).sigma_px is None
    assert estimate_blur(np.zeros((100, 100)), 0.0).sigma_px is None
    assert estimate_blur(np.zeros((9, 9)), 0.0).sigma_px is None


def test_edges_of_two_kinds_of_sharpness_are_not_averaged():
    half = taken(0.8, 0.01)
    half[:, SIDE // 2 :] = taken(4.0, 0.01)[:, SIDE // 2 :]
    found = estimate_blur(half, 0.01**2)
    assert found.sigma_px is None
    assert "not equally sharp" in found.sentence


@pytest.mark.parametrize("contrast", [1e-3, 1e4])
def test_blur_does_not_hang_on_the_unit_of_grey(contrast):
    found = estimate_blur(taken(1.5, 0.05) * contrast, (0.05 * contrast) ** 2)
    assert found.sigma_px == pytest.approx(estimate_blur(taken(1.5, 0.05), 0.05**2).sigma_px, rel=1e-6)


@pytest.mark.parametrize("blur", [0.0, 1.5])
@pytest.mark.parametrize("seed", [0, 1])
def test_white_noise_is_called_white_however_blurred_the_specimen(seed, blur):
    assert noise_width(taken(blur, 0.04, seed)) == (0.0, 1.0, True)
    assert noise_width(taken(blur, 0.0)).factor == 1.0


@pytest.mark.parametrize("grain", [0.4, 0.5, 0.7, 0.9])
def test_smoothed_noise_is_known_for_what_it_is(grain):
    rng = np.random.default_rng(3)
    noise = ndimage.gaussian_filter(rng.normal(0, 1, GRAINS.shape), grain)
    found = noise_width(ndimage.gaussian_filter(GRAINS, 1.0) + 0.04 * noise / noise.std())
    assert found.sigma_px > 0.12
    assert found.known == (grain < 0.6)
