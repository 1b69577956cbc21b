"""Claims about noise read off images: images of known noise, made with NumPy, are the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_anneal.augmentation import AugmentationRecipe, low_dose, match_noise
from napari_anneal.errors import InputError
from napari_anneal.synthesis.transfer.noise import Noise


def grains(seed: int, side: int = 384) -> np.ndarray:
    """Flat grains of grey levels 0 … 1, so that the unit range is that of the levels."""
    rng = np.random.default_rng(seed)
    points = rng.integers(0, side, (60, 2))
    seeds = np.ones((side, side), bool)
    seeds[tuple(points.T)] = False
    nearest = ndimage.distance_transform_edt(seeds, return_distances=False, return_indices=True)
    grey = np.zeros((side, side))
    grey[tuple(points.T)] = np.linspace(0, 1, 60)
    return grey[tuple(nearest)]


def unit_span(image: np.ndarray) -> float:
    low, high = np.percentile(image, (2, 98))
    return high - low


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("std", [0.02, 0.06])
def test_read_noise_is_found_within_10_percent(seed, std):
    image = 1000 + 5000 * (grains(seed) + np.random.default_rng(seed).normal(0, std, (384, 384)))
    found = match_noise([image])
    assert found.gaussian_noise_std[1] == pytest.approx(5000 * std / unit_span(image), rel=0.1)
    assert found.gaussian_noise_std[0] == pytest.approx(found.gaussian_noise_std[1] / 2)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("counts", [40, 400])
def test_shot_noise_is_found_within_10_percent_as_the_variance_it_causes(seed, counts):
    image = np.random.default_rng(seed).poisson(grains(seed) * counts).astype(np.float32)
    found = match_noise([image])
    span = unit_span(image)
    # At three quarters of the range, where a line through read noise and gain is best known.
    true = 0.75 * counts / span**2
    assert found.measured[0].variance(np.array(0.75 * counts / span)) == pytest.approx(true, rel=0.2)  # std: 10 %


def test_a_low_dose_is_said_and_turned_into_shot_noise_and_a_high_one_is_not():
    rng = np.random.default_rng(0)
    low = match_noise([rng.poisson(grains(0) * 30).astype(np.uint16)])
    assert "Poisson" in low.suggestion
    assert low.suggestion.count(". ") == 0
    recipe = AugmentationRecipe().model_copy(update=low.settings)
    assert recipe.poisson == 0.5
    assert recipe.poisson_counts[0] < 60
    assert match_noise([rng.poisson(grains(0) * 3000).astype(np.uint16)]).suggestion is None


def test_a_clean_image_gets_no_noise():
    found = match_noise([grains(0)])
    assert found[:3] == (None, None, None)
    assert "sharper than half a pixel" in found.remarks[0]
    recipe = AugmentationRecipe(**found.settings)
    assert recipe.poisson == recipe.gaussian_noise == 0


def test_several_images_span_the_range_and_colour_is_measured_by_channel():
    rng = np.random.default_rng(0)
    quiet, loud = (grains(1) + rng.normal(0, std, (384, 384)) for std in (0.02, 0.08))
    found = match_noise([quiet, loud])
    low, high = found.gaussian_noise_std
    assert low == pytest.approx(0.01, rel=0.15)
    assert high == pytest.approx(0.08 / unit_span(loud), rel=0.1)
    colour = np.stack([grains(2) + rng.normal(0, 0.05, (384, 384)) for _ in range(3)], -1)
    assert match_noise([colour]).gaussian_noise_std[1] == pytest.approx(0.05 / unit_span(colour), rel=0.1)


@pytest.mark.parametrize("counts", [1, 3, 10])
def test_single_counts_are_measured_zeros_and_all_within_10_percent(counts):
    image = np.random.default_rng(0).poisson(grains(0) * counts).astype(np.uint8)
    found = match_noise([image])
    assert found.measured[0].gain * unit_span(image) == pytest.approx(1, rel=0.1)
    assert "counts per pixel" in found.suggestion


def test_images_cut_off_at_black_and_white_are_said_to_be():
    image = 2 * grains(0) + np.random.default_rng(0).normal(-0.5, 0.05, (384, 384))
    remarks = match_noise([(255 * image.clip(0, 1)).astype(np.uint8)]).remarks
    assert "cut off at black or white" in remarks[0]


def test_low_dose_is_a_function_of_the_measured_noise_alone():
    few = low_dose([Noise(0.01, 1 / 400), Noise(0.02, 1 / 30)])
    assert few.counts == pytest.approx(30)
    assert "about 30 counts per pixel" in few.sentence
    recipe = AugmentationRecipe(**few.settings)
    assert recipe.poisson_counts == (30, 1600)  # the noisiest, and half the deviation of the cleanest
    assert low_dose([Noise(0.1, 1 / 101)]) is None
    assert low_dose([Noise(0.1, 0.0)]) is None
    assert low_dose([]) is None


@pytest.mark.parametrize("sigma", [1.0, 2.0])
@pytest.mark.parametrize("std", [0.02, 0.08])
def test_blur_and_noise_of_one_image_are_told_apart(sigma, std):
    image = ndimage.gaussian_filter(grains(1), sigma) + np.random.default_rng(0).normal(0, std, (384, 384))
    found = match_noise([100 + 3000 * image])
    assert found.blur_sigma_px[1] == pytest.approx(sigma, rel=0.1)
    assert found.blur_sigma_px[0] == pytest.approx(found.blur_sigma_px[1] / 2)
    assert found.gaussian_noise_std[1] == pytest.approx(std / unit_span(image), rel=0.1)
    assert AugmentationRecipe(**found.settings).blur_sigma_px == found.blur_sigma_px
    assert found.remarks == ()
    assert "blur" in str(found)


def test_the_range_of_blur_spans_the_images_and_one_without_edges_is_named():
    rng = np.random.default_rng(0)
    images = [ndimage.gaussian_filter(grains(2), s) + rng.normal(0, 0.02, (384, 384)) for s in (1.0, 3.0)]
    found = match_noise([*images, rng.normal(0, 1, (384, 384))])
    assert found.blur_sigma_px == pytest.approx((0.5, 3.0), rel=0.1)
    assert found.blurs[2].sigma_px is None
    (remark,) = found.remarks
    assert "image 3" in remark
    assert "too few clear edges" in remark


def test_blur_that_cannot_be_told_leaves_the_recipe_as_it_was():
    found = match_noise([np.random.default_rng(0).normal(0, 1, (128, 128))])
    assert found.blur_sigma_px is None
    assert not {"blur", "blur_sigma_px"} & set(found.settings)


@pytest.mark.parametrize("grain", [0.4, 0.5])
@pytest.mark.parametrize("sigma", [0.0, 1.5])
def test_noise_that_was_smoothed_a_little_is_still_found_within_10_percent_and_that_is_said(sigma, grain):
    noise = ndimage.gaussian_filter(np.random.default_rng(5).normal(0, 1, (384, 384)), grain)
    image = ndimage.gaussian_filter(grains(1), sigma) + 0.05 * noise / noise.std()
    found = match_noise([image])
    assert found.gaussian_noise_std[1] == pytest.approx(0.05 / unit_span(image), rel=0.1)
    assert "this was allowed for" in found.remarks[0]


def test_noise_smoothed_so_much_that_it_is_underestimated_is_called_so():
    noise = ndimage.gaussian_filter(np.random.default_rng(5).normal(0, 1, (384, 384)), 0.9)
    assert "stronger than was measured" in match_noise([grains(1) + 0.05 * noise / noise.std()]).remarks[0]


@pytest.mark.parametrize("images", [[], [np.zeros((128, 128))], [np.eye(20, 200)], [np.ones((3, 80, 80))]])
def test_what_has_no_noise_to_read_is_refused_in_a_sentence(images):
    with pytest.raises(InputError, match="image"):
        match_noise(images)
