"""Spinodal decomposition: what the Cahn-Hilliard equation promises, and the two-phase microstructures made with it."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from scipy import ndimage

from napari_anneal.errors import InputError
from napari_anneal.synthesis import (
    Appearance,
    MicrostructureRecipe,
    RecipeRanges,
    SyntheticStream,
    TwoPhase,
    TwoPhaseRanges,
    memory,
    synthesize,
)
from napari_anneal.synthesis.growth.cahn_hilliard import FASTEST, CahnHilliard


def make(seed=0, *, shape=(96, 112), rung=1, appearance=None, **two_phase):
    recipe = MicrostructureRecipe(
        kind="two_phase", shape=shape, two_phase=TwoPhase(**two_phase), boundary_width=1.0,
        appearance=Appearance(rung=rung, **(appearance or {})),
    )  # fmt: skip
    return synthesize(recipe, seed)


@pytest.mark.parametrize("shape", [(60, 70), (61, 45), (20, 18, 21)])
@pytest.mark.parametrize("mean", [0.0, -0.4])
def test_mass_stays_and_free_energy_never_rises(shape, mean):
    mixture = CahnHilliard(shape, mean, np.random.default_rng(1))
    before = mixture.energy
    for number in range(120):
        # However long the step.
        mixture.step(0.2 * 1.06**number)
        after = mixture.energy
        assert after <= before + 1e-9 * mixture.field.size
        before = after
        assert mixture.field.mean() == pytest.approx(mean, abs=1e-12)
    assert np.abs(mixture.field).max() < 1.2


def test_free_energy_is_that_of_its_definition():
    mixture = CahnHilliard((40, 36), 0.1, np.random.default_rng(2))
    for _ in range(60):
        mixture.step(0.5)
    spectrum = np.fft.fftn(mixture.field)
    ky, kx = 2 * np.pi * np.fft.fftfreq(40)[:, None], 2 * np.pi * np.fft.fftfreq(36)
    slope_y, slope_x = np.fft.ifftn(1j * ky * spectrum).real, np.fft.ifftn(1j * kx * spectrum).real
    density = 0.25 * (mixture.field**2 - 1) ** 2 + 0.5 * (slope_y**2 + slope_x**2)
    # Where waves stand on the last frequency of an even grid, their gradient has no sign.
    assert mixture.energy == pytest.approx(density.sum(), rel=1e-3)


def test_the_fastest_wave_is_the_one_that_linear_theory_names():
    mixture = CahnHilliard((256, 256), 0.0, np.random.default_rng(3))
    for _ in range(120):
        mixture.step(0.05)
    power = np.abs(np.fft.fftn(mixture.field)) ** 2
    wave = 2 * np.pi * np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256))
    bins = np.arange(0.1, 1.6, 0.05)
    ring = np.digitize(wave.ravel(), bins)
    mean = np.bincount(ring, power.ravel())[1 : len(bins)] / np.bincount(ring)[1 : len(bins)]
    assert bins[mean.argmax()] + 0.025 == pytest.approx(2 * np.pi / FASTEST, rel=0.1)


def test_domains_coarsen_with_the_cube_root_of_time():
    times = np.geomspace(60, 900, 9)
    length = np.zeros(len(times))
    for seed in range(3):
        mixture = CahnHilliard((160, 160), 0.0, np.random.default_rng(seed))
        for number, end in enumerate(times):
            while mixture.time < end:
                mixture.step(0.5)
            length[number] += mixture.wavelength / 3
    exponent = np.polyfit(np.log(times), np.log(length), 1)[0]
    assert 0.25 < exponent < 0.36
    # λ = λ₀ + b tⁿ is straight in tⁿ for n = 1/3, and not for the exponents of other mechanisms.
    bent = {n: 1 - np.corrcoef(length, times**n)[0, 1] ** 2 for n in (1 / 5, 1 / 3, 1 / 2)}
    assert min(bent, key=bent.get) == 1 / 3
    assert bent[1 / 3] < 0.002


def test_an_interface_at_rest_has_its_profile():
    mixture = CahnHilliard((4, 64), 0.0, np.random.default_rng(0))
    x = np.arange(64)
    start = np.where((x >= 16) & (x < 48), 1.0, -1.0) * np.ones((4, 1))
    from scipy.fft import rfftn

    mixture.field, mixture._spectrum = start, rfftn(start)
    for _ in range(300):
        mixture.step(0.5)
    row = mixture.field[0]
    middle = np.interp(0.0, row[10:22], x[10:22])
    np.testing.assert_allclose(row[10:22], np.tanh((x[10:22] - middle) / np.sqrt(2)), atol=0.02)


@pytest.mark.parametrize("fraction", [0.25, 0.5, 0.63])
@pytest.mark.parametrize("shape", [(96, 112), (20, 24, 28)])
def test_the_volume_fraction_is_exact_to_a_pixel(fraction, shape):
    m = make(1, shape=shape, volume_fraction=fraction, wavelength=16)
    assert np.count_nonzero(m.phase == 2) == round(fraction * m.phase.size)


@pytest.mark.parametrize(("wavelength", "coarsening"), [(12, 2.0), (24, 1.5), (30, 2.5)])
def test_domains_have_the_asked_spacing(wavelength, coarsening):
    wave = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256))
    # The first peak; the sharp edges of the mask put some power into higher waves.
    kept = wave < 1.6 / wavelength
    found = []
    for seed in range(4):
        m = make(seed, shape=(256, 256), wavelength=wavelength, coarsening=coarsening)
        power = np.abs(np.fft.fftn((m.phase == 2) - 0.5)) ** 2 * kept
        found.append(power.sum() / (power * wave).sum())
    assert np.mean(found) == pytest.approx(wavelength, rel=0.1)


def test_the_interface_is_known_to_a_fraction_of_a_pixel():
    # The same domains on a pixel three times finer say where the interface really is.
    coarse = make(5, shape=(90, 90), wavelength=30.0)
    fine = make(5, shape=(270, 270), wavelength=90.0)
    signed = np.where(coarse.phase == 2, coarse.distance, -coarse.distance)
    truth = np.where(fine.phase == 2, fine.distance, -fine.distance) / 3
    # Pixel centres: index i of the coarse grid is 3 i of the fine one.
    error = (signed - truth[::3, ::3])[np.abs(signed) < 4]
    assert np.percentile(np.abs(error), 95) < 0.15


def test_distance_agrees_with_a_distance_transform_and_the_phases():
    m = make(3, shape=(128, 128), wavelength=20)
    inside, outside = (ndimage.distance_transform_edt(m.phase == k) - 0.5 for k in (2, 1))
    away = np.where(m.phase == 2, inside, outside)
    inner = np.s_[12:-12, 12:-12]
    near = (m.distance < 5)[inner]
    assert np.abs(away - m.distance)[inner][near].max() < 0.8
    assert abs(np.mean((away - m.distance)[inner][near])) < 0.15


@pytest.mark.parametrize("rung", [1, 2, 5])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (33, 57), (9, 12, 15), (1, 14, 18)])
def test_arrays_keep_the_contract(rung, shape):
    m = make(4, shape=shape, rung=rung, wavelength=12, appearance={"twins": 0.5, "relief": 0.2})
    assert {a.shape for a in (m.image, m.grains, m.boundary, m.distance, m.phase, m.labels)} == {shape}
    assert [a.dtype for a in (m.image, m.grains, m.boundary, m.distance, m.phase, m.labels)] == [
        np.float32, np.int32, bool, np.float32, np.uint8, np.uint8
    ]  # fmt: skip
    assert np.isfinite(m.image).all()
    assert 0 <= m.image.min() <= m.image.max() <= 1
    assert ((m.grains > 1) == (m.phase == 2)).all()
    assert (m.labels == m.phase).all()
    assert m.classes == ("matrix", "second phase")
    domains = np.unique(m.grains[m.grains > 1])
    assert (domains == np.arange(2, 2 + len(domains))).all()
    assert m.seeds.shape == (len(domains), len(shape))
    assert not np.isnan(m.distance).any()
    assert m.distance.min() >= 0


def test_domains_are_connected_across_the_edges_and_apart_otherwise():
    m = make(6, shape=(128, 128), volume_fraction=0.3, wavelength=16)
    doubled = np.tile(m.grains, (2, 2))
    pieces, count = ndimage.label(doubled > 1)
    for piece in range(1, count + 1):
        assert np.unique(doubled[pieces == piece]).size == 1
    assert m.grains.max() > 20


def test_a_recipe_and_a_seed_give_the_same_bytes():
    def fingerprint(seed):
        m = make(seed, shape=(64, 60), rung=4)
        arrays = (m.image, m.grains, m.boundary, m.distance, m.phase, m.seeds)
        return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()

    assert fingerprint(3) == fingerprint(3)
    assert fingerprint(3) != fingerprint(4)


def test_phases_differ_by_their_contrast_and_edges_are_smooth():
    look = {"phase_contrast": -0.3, "boundary_contrast": 0.0, "texture": 0.0, "relief": 0.0, "mean_grey": 0.6}
    m = make(7, shape=(128, 128), rung=2, appearance=look)
    far = m.distance > 1.5
    assert np.ptp(m.image[far & (m.phase == 1)]) < 1e-5
    assert m.image[far & (m.phase == 1)].mean() - m.image[far & (m.phase == 2)].mean() == pytest.approx(0.3, abs=1e-4)
    # A pixel on the interface shows both in its proportion.
    signed = np.where(m.phase == 2, -m.distance, m.distance)
    expected = 0.6 - 0.3 * np.clip(0.5 - signed, 0, 1)
    np.testing.assert_allclose(m.image, expected, atol=1e-5)


def test_decomposition_counts_towards_the_memory_that_is_needed(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 60 << 20)
    make(shape=(256, 256), wavelength=24)
    with pytest.raises(InputError, match="needs about"):
        make(shape=(256, 256), wavelength=6, coarsening=3)


@pytest.mark.parametrize(
    ("settings", "names"),
    [({"volume_fraction": 0.05}, "volume_fraction"), ({"wavelength": 0}, "wavelength"), ({"speed": 1}, "speed")],
)
def test_a_wrong_setting_is_one_sentence(settings, names):
    with pytest.raises(InputError, match=names):
        TwoPhase(**settings)


def test_a_stream_can_hold_all_kinds():
    assert set(TwoPhaseRanges.model_fields) == set(TwoPhase.model_fields)
    ranges = RecipeRanges(shape=(64, 64), kind=("grains", "objects", "two_phase"))
    kinds = set()
    stream = SyntheticStream(ranges, 3)
    for i in range(12):
        recipe, seed = stream.recipe(i)
        kinds.add(recipe.kind)
        if recipe.kind == "two_phase":
            m = synthesize(recipe, seed)
            grey = [np.median(m.image[m.phase == k]) for k in (1, 2)]
            assert abs(grey[0] - grey[1]) > 0.01
    assert kinds == {"grains", "objects", "two_phase"}
