"""Synthetic images made to look real: what is estimated is right, what is matched comes near, no boundary moves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, stats
from skimage.segmentation import find_boundaries, watershed

from napari_anneal.errors import InputError
from napari_anneal.samples.shipped import shipped_samples
from napari_anneal.synthesis import (
    PRESETS,
    Appearance,
    MicrostructureRecipe,
    Objects,
    RealLook,
    RecipeRanges,
    SyntheticStream,
    boundary_shift,
    look_distance,
    match_image,
    preset,
    synthesize,
)
from napari_anneal.synthesis.transfer import matching
from napari_anneal.synthesis.transfer.matching import match_levels
from napari_anneal.synthesis.transfer.noise import Noise, estimate_noise
from napari_anneal.synthesis.transfer.spectrum import BINS, radial_filter, radial_power

RNG = np.random.default_rng
NONE = Noise(0.0, 0.0)
GRAINS = MicrostructureRecipe(shape=(256, 256), n_seeds=60, appearance=Appearance(rung=3))
PHASE = Objects(volume_fraction=0.45, diameter=40.0, size_dispersion=0.4, contrast=-0.2)
OBJECTS = MicrostructureRecipe(kind="objects", shape=(256, 256), objects=PHASE, appearance=Appearance(rung=3))


@pytest.fixture(scope="module")
def superalloy():
    return [np.asarray(s.image) for s in shipped_samples("superalloy")[::6]]


@pytest.fixture(scope="module")
def cement():
    return np.asarray(shipped_samples("cement")[0].image)


# --- noise -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["grains", "objects"])
@pytest.mark.parametrize("dose", [25.0, 100.0, 400.0, 2000.0])
@pytest.mark.parametrize("read", [0.0, 0.03])
def test_the_noise_of_a_synthetic_micrograph_is_found_within_a_tenth(kind, dose, read):
    look = Appearance(rung=4, dose=dose, read_noise=read)
    image = synthesize(MicrostructureRecipe(kind=kind, shape=(512, 512), n_seeds=200, appearance=look), 3).image
    grey = np.quantile(image, [0.2, 0.5, 0.8])
    found = np.sqrt(estimate_noise(image).variance(grey))
    np.testing.assert_allclose(found, np.sqrt(read**2 + grey / dose), rtol=0.1)


def test_shot_noise_and_read_noise_are_told_apart_where_grey_levels_differ():
    level = np.linspace(0.05, 0.95, 600) * np.ones((600, 1))
    noisy = RNG(0).poisson(level * 300) / 300 + RNG(1).normal(0, 0.02, level.shape)
    found = estimate_noise(noisy)
    assert 1 / found.gain == pytest.approx(300, rel=0.1)
    assert found.read == pytest.approx(0.02, rel=0.2)


def test_edges_and_smooth_texture_are_no_noise():
    m = synthesize(MicrostructureRecipe(shape=(400, 400), n_seeds=80, appearance=Appearance(rung=3)), 0)
    assert np.sqrt(estimate_noise(m.image).variance(np.array([0.5]))) < 0.003
    assert estimate_noise(np.zeros((5, 5))) == (0.0, 0.0)


# --- spectrum --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(128, 128), (97, 150)])
def test_power_of_white_noise_is_its_variance_and_a_wave_is_in_its_bin(shape):
    power = np.mean([radial_power(RNG(k).normal(0, 3.0, shape)) for k in range(8)], axis=0)
    # The lowest bins hold few frequencies.
    np.testing.assert_allclose(power[4:], 9.0, rtol=0.2)
    assert power.mean() == pytest.approx(9.0, rel=0.04)
    wave = radial_power(np.sin(2 * np.pi * 0.2 * np.arange(shape[1])) * np.ones((shape[0], 1)))
    assert abs(wave.argmax() - int(0.2 * 2 * BINS)) <= 1


@pytest.mark.parametrize("shape", [(80, 91), (24, 30, 28)])
def test_a_gaussian_filter_is_that_of_scipy_and_has_zero_phase(shape):
    image = ndimage.gaussian_filter(RNG(0).standard_normal(shape), 1.0)
    centre = (np.arange(BINS) + 0.5) / (2 * BINS)
    filtered = radial_filter(image, np.exp(-2 * np.pi**2 * 1.5**2 * centre**2))
    expected = ndimage.gaussian_filter(image, 1.5, mode="mirror", truncate=6)
    assert np.corrcoef(filtered.ravel(), expected.ravel())[0, 1] > 0.999
    # Turned about, the image gives the filtered image turned about: nothing is shifted.
    turned = radial_filter(np.flip(image), np.exp(-2 * np.pi**2 * 1.5**2 * centre**2))
    np.testing.assert_allclose(np.flip(turned), filtered, atol=1e-9)
    np.testing.assert_allclose(radial_filter(image, np.ones(BINS)), image, atol=1e-9)


# --- shift -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("move", [0.0, 0.4, 1.0, 2.2, -1.5])
@pytest.mark.parametrize("profile", ["line", "step"])
def test_a_known_shift_is_measured_to_a_tenth_of_a_pixel(move, profile):
    x = np.mgrid[:90, :200][1]
    grains = x // 20 + 1
    at = (x + 0.5) % 20
    distance = np.where((x < 10) | (x >= 190), 10.0, np.minimum(at, 20 - at))

    def image(shift):
        place = x + 0.5 - shift
        if profile == "line":
            return 0.5 - 0.3 * sum(np.exp(-((place - edge) ** 2) / 3) for edge in range(20, 200, 20))
        return 0.5 + 0.1 * sum((-1) ** k * stats.norm.cdf(place - 20 * k) for k in range(1, 10))

    noise = RNG(0).normal(0, 0.02, x.shape)
    found = boundary_shift(image(0), image(move) + noise, grains, distance)
    assert len(found.each) == 9
    np.testing.assert_allclose(found.each, move, atol=0.12)
    assert found.shift == pytest.approx(abs(move), abs=0.12)


@pytest.mark.parametrize("recipe", [GRAINS, OBJECTS], ids=["grains", "objects"])
def test_blur_contrast_and_noise_move_no_boundary_and_a_shift_of_two_pixels_is_seen(recipe):
    m = synthesize(recipe, 1)
    blurred = 0.3 + 0.4 * ndimage.gaussian_filter(m.image, 1.0) + RNG(0).normal(0, 0.02, m.image.shape)
    assert boundary_shift(m.image, blurred, m.grains, m.distance).shift < 0.5
    moved = ndimage.shift(m.image, (1.5, 1.5), mode="nearest")
    assert boundary_shift(m.image, moved, m.grains, m.distance).shift > 1.5


def test_boundaries_that_nobody_can_see_are_not_counted():
    m = synthesize(GRAINS, 1)
    flat = RNG(0).normal(0.5, 0.1, m.image.shape)
    found = boundary_shift(m.image, flat, m.grains, m.distance)
    assert found.lost > 0.9
    assert np.isnan(boundary_shift(flat, flat, np.ones_like(m.grains), np.full(m.image.shape, np.inf)).shift)


# --- match -----------------------------------------------------------------------------------------------------------


def power_apart(a, b):
    """RMS difference of ln power over octaves of frequency, by a plain periodogram of the whole images."""

    def octaves(image):
        image = image - image.mean()
        window = np.outer(*(np.hanning(n) for n in image.shape))
        power = np.abs(np.fft.fft2(image * window)) ** 2 / (window**2).sum()
        f = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in image.shape), indexing="ij"))
        edges = 0.5 / 2.0 ** np.arange(6)
        return np.array([np.log(power[(f <= high) & (f > high / 2)].mean()) for high in edges])

    return np.sqrt(np.mean((octaves(a) - octaves(b)) ** 2))


@pytest.mark.parametrize("rung", [3, 4, 5])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_images_come_nearer_to_the_shipped_superalloy_in_levels_and_power(superalloy, rung, number):
    plain = synthesize(OBJECTS.model_copy(update={"appearance": Appearance(rung=rung)}), number)
    look = RealLook.estimate(superalloy[number])
    real = superalloy[number] / 255.0
    made = synthesize(plain.recipe.model_copy(update={"real_look": look}), number)
    assert (made.labels == plain.labels).all()
    grey = [stats.wasserstein_distance(m.image.ravel()[::7], real.ravel()[::7]) for m in (plain, made)]
    assert grey[1] < 0.012
    assert grey[1] < 0.4 * grey[0]
    apart = [power_apart(m.image, real) for m in (plain, made)]
    assert apart[1] < 0.7 * apart[0]
    ours = np.array([look_distance(m.image, look) for m in (plain, made)])
    assert (ours[1] < ours[0]).all()
    # The noise is the real one's, where it can be told.
    noise = [np.sqrt(estimate_noise(i).variance(np.array([np.median(real)])))[0] for i in (made.image, real)]
    assert noise[0] == pytest.approx(noise[1], rel=0.15)


def test_volumes_come_nearer_to_the_shipped_cement(cement):
    recipe = MicrostructureRecipe(shape=(64, 64, 64), n_seeds=30, appearance=Appearance(rung=4))
    plain = synthesize(recipe, 0)
    made = synthesize(recipe.model_copy(update={"real_look": RealLook.estimate(cement)}), 0)
    real = cement / 255.0
    grey = [stats.wasserstein_distance(m.image.ravel()[::7], real.ravel()[::97]) for m in (plain, made)]
    assert grey[1] < 0.3 * grey[0]
    apart = [
        np.mean([power_apart(m.image[k], real[32 + k, 32:96, 32:96]) for k in range(0, 64, 8)]) for m in (plain, made)
    ]
    assert apart[1] < 0.7 * apart[0]
    assert boundary_shift(plain.image, made.image, plain.grains, plain.distance).shift < 1


def recovered(image, grains, distance):
    """Boundaries by watershed from inside the true cells, on the image itself: dark lines are made the divides."""
    markers = np.where(distance > 4, grains, 0)
    return find_boundaries(watershed(-ndimage.gaussian_filter(image, 1.0), markers), mode="thick")


@pytest.mark.parametrize(
    "look",
    [
        {"boundary_contrast": -0.35},
        {"boundary_contrast": -0.35, "groove_width": 4.0, "groove_width_spread": 0.6},
        {"boundary_contrast": -0.3, "psf_sigma": 1.5},
        {"boundary_contrast": -0.3, "texture": 0.06, "relief": 0.1},
    ],
)
def test_the_recovered_boundary_stays_within_a_pixel(superalloy, cement, look):
    # Grains that differ little, so that a watershed on the grey levels can follow the lines between them.
    settings = {"faint_boundaries": 0.0, "contrast_spread": 0.0, "grain_contrast": 0.02, **look}
    quiet = Appearance(rung=5, dose=1e9, read_noise=0, **settings)
    m = synthesize(GRAINS.model_copy(update={"appearance": quiet}), 5)
    for real in (superalloy[2], cement):
        look_of_it = RealLook.estimate(real)
        known = {"noise": NONE, "grains": m.grains, "distance": m.distance}
        matched = [match_image(m.image, look_of_it, seed, **known) for seed in range(6)]
        assert max(one.shift for one in matched) <= 1
        # An independent look: a watershed finds the lines of both images, and they lie on one another. Averaged, since
        # single pixels of a watershed follow the noise.
        average = np.mean([one.image for one in matched], axis=0)
        before, after = (recovered(image, m.grains, m.distance) for image in (m.image, average))
        away = ndimage.distance_transform_edt(~before)[after]
        assert np.mean(away <= 1) > 0.95


@pytest.mark.parametrize("name", PRESETS)
def test_no_preset_has_its_boundaries_moved(name, superalloy, cement):
    recipe = preset(name, (256, 256))
    silent = recipe.appearance.model_copy(update={"dose": 1e12, "read_noise": 0.0, "hot_pixels": 0.0})
    clean = synthesize(recipe.model_copy(update={"appearance": silent}), 1)
    plain = synthesize(recipe, 1)
    for real in (superalloy[2], cement):
        look = RealLook.estimate(real)
        made = synthesize(recipe.model_copy(update={"real_look": look}), 1)
        assert (made.grains == clean.grains).all()
        # Of four, averaged: on one alone the noise of the real image hides where faint boundaries are.
        known = {"noise": NONE, "grains": clean.grains, "distance": clean.distance}
        average = np.mean([match_image(clean.image, look, seed, **known).image for seed in range(4)], axis=0)
        assert boundary_shift(clean.image, average, clean.grains, clean.distance).shift <= 1
        before, after = look_distance(plain.image, look), look_distance(made.image, look)
        assert after[0] < 0.8 * before[0]
        assert after[1] < before[1]


@pytest.mark.parametrize("most", [0.2, 0.1, 0.0])
def test_a_match_that_would_move_boundaries_farther_than_allowed_is_weakened(most, monkeypatch):
    # Real images so far out of focus that a grain runs into the next.
    fine = GRAINS.model_copy(update={"n_seeds": 400})
    look = RealLook.estimate(np.rint(255 * ndimage.gaussian_filter(synthesize(fine, 9).image, 4.0)).astype(np.uint8))
    m = synthesize(fine, 0)
    free = match_image(m.image, look, 0, noise=NONE, grains=m.grains, distance=m.distance)
    assert free.filter_share < 1
    assert free.shift <= 1
    monkeypatch.setattr(matching, "MOST_SHIFT", most)
    held = match_image(m.image, look, 0, noise=NONE, grains=m.grains, distance=m.distance)
    assert (held.filter_share, held.level_share) < (free.filter_share, free.level_share)
    assert held.shift <= most
    assert boundary_shift(m.image, held.image, m.grains, m.distance).shift < most + 0.2


@pytest.mark.parametrize("sigma", [0.4, 1.2, 1.8, 2.5])
@pytest.mark.parametrize("quiet", [True, False])
def test_the_difference_of_two_point_spreads_is_found(sigma, quiet):
    def micrograph(psf, seed):
        look = Appearance(rung=3 if quiet else 4, psf_sigma=psf, dose=3000, read_noise=0)
        image = synthesize(GRAINS.model_copy(update={"appearance": look}), seed).image
        return radial_power(image), np.full(BINS, estimate_noise(image).variance(image).mean())

    gain = matching.gaussian_gain(micrograph(0.8, 1), micrograph(sigma, 7))
    frequency = (np.arange(BINS) + 0.5) / (2 * BINS)
    squared = -np.log(gain[8]) / (2 * np.pi**2 * frequency[8] ** 2)
    assert squared == pytest.approx(sigma**2 - 0.8**2, rel=0.3, abs=0.2)


@given(seed=st.integers(0, 2**32), strength=st.floats(0, 1), bins=st.integers(1, 60))
def test_grey_levels_keep_their_order(seed, strength, bins):
    image = RNG(seed).integers(0, bins, 400) / bins
    mapped = match_levels(image, np.sort(RNG(seed + 1).random(67)), strength)
    order = np.argsort(image)
    assert (np.diff(mapped[order]) >= -1e-12).all()


def test_strength_runs_from_nothing_to_all(superalloy):
    image = synthesize(GRAINS, 0).image
    real = superalloy[1]
    apart = []
    for strength in (0.0, 0.5, 1.0):
        matched = match_image(image, RealLook.estimate(real, strength), 4, noise=NONE).image
        apart.append(stats.wasserstein_distance(matched.ravel(), real.ravel()[::4] / 255))
        if strength == 0:
            np.testing.assert_allclose(matched, image, atol=1e-6)
    assert apart[0] > 1.5 * apart[1] > 2 * apart[2]


def test_only_the_missing_noise_is_added():
    def micrograph(dose, seed):
        look = Appearance(rung=4, dose=dose, read_noise=0.0)
        return synthesize(GRAINS.model_copy(update={"appearance": look}), seed).image

    def level(image):
        return np.sqrt(estimate_noise(image).variance(np.array([0.5])))[0]

    look = RealLook.estimate(np.rint(255 * micrograph(100, 0)).astype(np.uint8))
    # A quiet image gets the noise of the real one; a noisy one keeps its own and gets next to none.
    assert level(match_image(micrograph(1000, 1), look, 0).image) == pytest.approx(level(micrograph(100, 1)), rel=0.12)
    noisy = [match_image(micrograph(30, 1), look, seed).image for seed in (0, 1)]
    assert np.std(noisy[0] - noisy[1]) < 0.3 * level(noisy[0])


# --- recipes ---------------------------------------------------------------------------------------------------------


def test_a_look_is_part_of_the_recipe_and_a_stream_makes_the_same_bytes(superalloy):
    look = RealLook.estimate(superalloy)
    assert look.count == len(superalloy)
    assert RealLook.model_validate_json(look.model_dump_json()) == look
    ranges = RecipeRanges(shape=(64, 64), kind=("grains", "objects"), real_look=look)
    again = RecipeRanges.model_validate_json(ranges.model_dump_json())
    for index in (0, 3):
        m, n = SyntheticStream(ranges, 7)[index], SyntheticStream(again, 7)[index]
        assert m.image.tobytes() == n.image.tobytes()
        assert m.image.dtype == np.float32
        assert m.image.min() >= 0
        assert m.image.max() <= 1
        plain = SyntheticStream(ranges.model_copy(update={"real_look": None}), 7)[index]
        assert (plain.grains == m.grains).all()
        assert not np.array_equal(plain.image, m.image)


def test_each_seed_draws_one_of_the_real_images(superalloy):
    look = RealLook.estimate(superalloy)
    medians = {row[33] for row in look.levels}
    recipe = GRAINS.model_copy(update={"shape": (64, 64), "n_seeds": 8, "real_look": look})
    nearest = {min(medians, key=lambda m: abs(m - np.median(synthesize(recipe, k).image))) for k in range(12)}
    assert nearest == medians


@pytest.mark.parametrize("kind", [np.uint16, np.float32, np.int32])
def test_any_number_type_is_looked_at_on_its_own_scale(kind, superalloy):
    wide = (superalloy[0].astype(np.float64) * 37 + 1000).astype(kind)
    look, eight = RealLook.estimate(wide), RealLook.estimate(superalloy[0])
    spread = [np.ptp(np.array(row.levels[0])) for row in (look, eight)]
    assert spread[0] > 0.95
    ratio = spread[0] / spread[1]
    noise = [np.sqrt(Noise(k.read_noise[0], k.gain[0]).variance(np.array([k.levels[0][33]])))[0] for k in (look, eight)]
    assert noise[0] / noise[1] == pytest.approx(ratio, rel=0.1)
    colour = np.stack([superalloy[0]] * 3, axis=-1)
    assert RealLook.estimate(colour).levels == eight.levels


def test_narrowed_ranges_hold_the_dose_that_made_the_images():
    look = Appearance(rung=4, dose=150, read_noise=0.02, mean_grey=0.6, boundary_contrast=-0.3)
    made = synthesize(MicrostructureRecipe(shape=(400, 400), n_seeds=80, appearance=look), 0).image
    narrow = RealLook.estimate(np.rint(255 * made).astype(np.uint8)).narrow(RecipeRanges())
    spans = narrow.appearance
    assert spans.dose.low < 150 < spans.dose.high
    assert spans.dose.high / spans.dose.low == pytest.approx(4)
    assert spans.mean_grey.low < 0.6 < spans.mean_grey.high
    assert spans.texture == RecipeRanges().appearance.texture


@pytest.mark.parametrize(
    ("images", "says"),
    [
        ([], "give one or more"),
        ([np.zeros((10, 10))], "24 pixels"),
        (np.full((30, 30), 7), "constant"),
        (np.full((30, 30), np.nan), "NaN"),
        ([np.zeros((2, 2, 30, 30))], "cannot be looked at"),
    ],
)
def test_what_cannot_be_looked_at_gets_one_sentence(images, says):
    with pytest.raises(InputError, match=says):
        RealLook.estimate(images)


def test_a_wrong_look_or_image_gets_one_sentence(superalloy):
    look = RealLook.estimate(superalloy[0])
    with pytest.raises(InputError, match="one entry for each image"):
        look.model_copy(update={"gain": (0.1, 0.1)})
    with pytest.raises(InputError, match="must not fall"):
        look.model_copy(update={"levels": (look.levels[0][::-1],)})
    with pytest.raises(InputError, match="no number 3"):
        match_image(np.zeros((20, 20)), look, which=3)
    with pytest.raises(InputError, match="8 pixels"):
        match_image(np.zeros((4, 20)), look)
