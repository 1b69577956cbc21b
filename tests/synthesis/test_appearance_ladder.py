"""The image: each rung does what its physics says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_anneal.synthesis import Appearance, MicrostructureRecipe, synthesize
from napari_anneal.synthesis.appearance.artefacts import damage_specimen, disturb_scan
from napari_anneal.synthesis.appearance.microscope import blur, detect
from napari_anneal.synthesis.appearance.smooth_noise import smooth_noise

RNG = np.random.default_rng
STILL = {"shading": 0, "scratches": 0, "pores": 0, "scan_jitter": 0, "scan_lines": 0, "curtaining": 0, "charging": 0}


@pytest.mark.parametrize("level", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("dose", [20.0, 400.0])
def test_poisson_noise_has_variance_equal_to_its_mean_in_counts(level, dose):
    counts = dose * detect(np.full((1, 400, 400), level, np.float32), Appearance(dose=dose, read_noise=0), RNG(0))
    # Standard errors of mean and variance of 160 000 Poisson counts.
    mean, n = level * dose, counts.size
    assert counts.mean() == pytest.approx(mean, abs=5 * np.sqrt(mean / n))
    assert counts.var() == pytest.approx(mean, abs=5 * np.sqrt((mean + 2 * mean**2) / n))
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-3)


def test_read_noise_adds_its_deviation_and_hot_pixels_their_share():
    flat = np.full((1, 400, 400), 0.5, np.float32)
    seen = detect(flat, Appearance(dose=1e12, read_noise=0.03), RNG(1))
    assert seen.std() == pytest.approx(0.03, rel=0.02)
    stuck = detect(flat, Appearance(dose=1e12, read_noise=0, hot_pixels=0.02), RNG(2))
    assert np.mean((stuck == 0) | (stuck == 1)) == pytest.approx(0.02, rel=0.1)


def test_point_spread_has_the_asked_sigma_along_each_axis():
    point = np.zeros((1, 101, 101), np.float32)
    point[0, 50, 50] = 1
    spread = blur(point, Appearance(psf_sigma=4.0, astigmatism=0.25), RNG(0))[0]
    place = np.arange(101) - 50
    # The kernel is cut at 3 σ, which takes a little from the variance.
    assert np.sqrt((spread.sum(axis=0) * place**2).sum()) == pytest.approx(5.0, rel=0.04)
    assert np.sqrt((spread.sum(axis=1) * place**2).sum()) == pytest.approx(3.0, rel=0.04)
    assert spread.sum() == pytest.approx(1, abs=1e-4)


def test_no_blur_at_sigma_zero():
    image = RNG(0).random((1, 20, 20), dtype=np.float32)
    assert (blur(image, Appearance(psf_sigma=0), RNG(0)) == image).all()


@pytest.mark.parametrize("shape", [(1, 900, 900), (90, 90, 90)])
def test_smooth_noise_has_unit_deviation_and_the_asked_length(shape):
    fields = [smooth_noise(shape, 7.0, RNG(k)) for k in range(4)]
    assert np.mean([f.mean() for f in fields]) == pytest.approx(0, abs=0.06)
    assert np.mean([f.var() for f in fields]) == pytest.approx(1, abs=0.08)
    f = fields[0]
    near = np.mean(f[..., 1:] * f[..., :-1])
    far = np.mean(f[..., 28:] * f[..., :-28])
    assert near > 0.9
    assert abs(far) < 0.12


def specimen(**look):
    recipe = MicrostructureRecipe(
        shape=(200, 200), n_seeds=30, appearance=Appearance(rung=2, texture=0, slope=0, groove_texture=0, **look)
    )
    return synthesize(recipe, 5)


def test_grains_differ_by_the_asked_contrast():
    m = specimen(grain_contrast=0.15, boundary_contrast=0)
    greys = ndimage.mean(m.image, m.grains, np.arange(1, m.grains.max() + 1))
    assert np.std(greys) == pytest.approx(0.15, rel=0.25)
    assert ndimage.standard_deviation(m.image, m.grains, np.arange(1, m.grains.max() + 1)).max() < 1e-5


@pytest.mark.parametrize("contrast", [-0.3, 0.3])
def test_boundaries_are_dark_or_bright_by_the_sign_of_their_contrast(contrast):
    look = {"grain_contrast": 0, "faint_boundaries": 0, "contrast_spread": 0, "groove_roughness": 0}
    m = specimen(boundary_contrast=contrast, groove_width=4.0, groove_width_spread=0, **look)
    assert np.median(m.image[m.distance < 0.5]) == pytest.approx(0.5 + contrast, abs=0.01)
    assert m.image[m.distance > 6] == pytest.approx(0.5, abs=1e-4)


def test_faint_boundaries_vanish_from_the_image_but_not_from_the_labels():
    look = {"grain_contrast": 0, "contrast_spread": 0, "boundary_contrast": -0.3}
    clear, faint = specimen(faint_boundaries=0, **look), specimen(faint_boundaries=1, **look)
    assert (clear.labels == faint.labels).all()
    on = clear.distance < 0.5
    assert np.abs(faint.image[on] - 0.5).max() < 0.25 * np.abs(clear.image[on] - 0.5).max()


def test_wide_grooves_leave_the_label_on_the_centre_line():
    look = {"grain_contrast": 0, "boundary_contrast": -0.3, "faint_boundaries": 0}
    thin, wide = specimen(groove_width=1.5, **look), specimen(groove_width=20.0, groove_width_spread=1.0, **look)
    assert (thin.labels == wide.labels).all()
    assert np.mean(wide.image < 0.4) > 4 * np.mean(thin.image < 0.4)


def test_twins_change_the_image_and_not_the_labels():
    look = {"grain_contrast": 0.1, "boundary_contrast": 0}
    plain, twinned = specimen(**look), specimen(twins=1.0, **look)
    assert (plain.labels == twinned.labels).all()
    inside = ndimage.standard_deviation(twinned.image, twinned.grains, np.arange(1, twinned.grains.max() + 1))
    assert np.median(inside) > 0.02


def test_relief_makes_the_two_sides_of_a_boundary_differ():
    recipe = MicrostructureRecipe(
        shape=(60, 60), placement="points", points=((15.0, 30.0), (45.0, 30.0)),
        appearance=Appearance(
            rung=2, texture=0, slope=0, grain_contrast=0, boundary_contrast=0, relief=0.2, relief_direction_deg=90,
            contrast_spread=0, faint_boundaries=0, groove_width=6,
        ),
    )  # fmt: skip
    image = synthesize(recipe).image
    assert image[31, 30] > 0.55
    assert image[29, 30] < 0.45


ARTEFACTS = {
    "shading": {"shading": 0.4},
    "scratches": {"scratches": 6},
    "pores": {"pores": 0.02},
    "jitter": {"scan_jitter": 1.0},
    "curtaining": {"curtaining": 0.1},
    "charging": {"charging": 0.3},
}


def disturbed(**settings):
    y, x = np.mgrid[:128, :128]
    image = (0.5 + 0.2 * np.sin(x / 5) * np.cos(y / 7)).astype(np.float32)[None]
    look = Appearance(rung=5, **{**STILL, **settings})
    return image, disturb_scan(damage_specimen(image.copy(), look, RNG(3)), look, RNG(4))


def test_without_artefacts_nothing_changes():
    before, after = disturbed()
    assert (before == after).all()


@pytest.mark.parametrize("name", ARTEFACTS)
def test_each_artefact_changes_the_image(name):
    before, after = disturbed(**ARTEFACTS[name])
    assert np.abs(after - before).max() > 0.02
    assert np.isfinite(after).all()


def test_pores_take_the_asked_area():
    flat = np.full((1, 600, 600), 0.5, np.float32)
    look = Appearance(rung=5, **{**STILL, "pores": 0.05, "pore_diameter": 6.0})
    marked = damage_specimen(flat, look, RNG(5)) != 0.5
    # Pores are drawn out of round and have lips, so they cover somewhat more.
    assert 0.04 < marked.mean() < 0.12


def test_shading_reaches_its_peak_and_no_more():
    before, after = disturbed(shading=0.4)
    assert np.abs(after / before - 1).max() == pytest.approx(0.4, rel=1e-3)
