"""The image: each rung does what its physics says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_anneal.synthesis import Appearance, MicrostructureRecipe, synthesize
from napari_anneal.synthesis.appearance.artefacts import damage_specimen, disturb_scan, stain
from napari_anneal.synthesis.appearance.microscope import blur, detect, gain_pattern
from napari_anneal.synthesis.appearance.smooth_noise import smooth_noise
from napari_anneal.synthesis.appearance.tomography import add_streaks, draw_rings, harden_beam, rotation_axis

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


@pytest.mark.parametrize("gain", [0.5, 2.0])
def test_gain_scales_poisson_noise_so_that_variance_is_mean_times_gain(gain):
    dose, n = 100.0, 400 * 400
    look = Appearance(dose=dose, read_noise=0, gain=gain)
    seen = detect(np.full((1, 400, 400), 0.4, np.float32), look, RNG(3)).astype(float)
    mean, step = 0.4 * gain, gain / dose
    assert seen.mean() == pytest.approx(mean, abs=5 * np.sqrt(mean * step / n))
    counts = 0.4 * dose
    assert seen.var() / step == pytest.approx(mean, abs=5 * step * np.sqrt((counts + 2 * counts**2) / n))


def test_gain_above_one_burns_out_what_is_bright():
    look = Appearance(rung=4, gain=3.0, grain_contrast=0.15)
    m = synthesize(MicrostructureRecipe(shape=(64, 64), n_seeds=9, appearance=look))
    assert np.mean(m.image == 1) > 0.3


def test_a_fixed_pattern_is_the_same_in_every_slice_and_grows_with_the_signal():
    bright, dim = np.full((6, 100, 100), 0.8, np.float32), np.full((6, 100, 100), 0.2, np.float32)
    look = Appearance(dose=1e9, read_noise=0, gain_variation=0.05)
    pattern = gain_pattern(bright.shape, look, 1)
    seen = detect(bright, look, RNG(1), pattern)
    np.testing.assert_allclose(seen, np.broadcast_to(seen[:1], seen.shape), atol=2e-4)
    assert seen[0].std() / 0.8 == pytest.approx(0.05, rel=0.05)
    assert detect(dim, look, RNG(1), pattern)[0].std() / 0.2 == pytest.approx(0.05, rel=0.05)


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 135.0])
def test_astigmatism_has_its_two_widths_along_and_across_its_axis(angle):
    point = np.zeros((1, 101, 101), np.float32)
    point[0, 50, 50] = 1
    look = Appearance(psf_sigma=4.0, astigmatism=0.25, astigmatism_deg=angle)
    spread = blur(point, look, RNG(0))[0].astype(float)
    y, x = np.mgrid[:101, :101] - 50
    a = np.deg2rad(angle)
    along, across = x * np.cos(a) + y * np.sin(a), y * np.cos(a) - x * np.sin(a)
    assert spread.sum() == pytest.approx(1, abs=1e-4)
    assert np.sqrt((spread * along**2).sum()) == pytest.approx(5.0, rel=0.04)
    assert np.sqrt((spread * across**2).sum()) == pytest.approx(3.0, rel=0.04)
    assert abs((spread * along * across).sum()) < 0.2


def test_an_askew_blur_keeps_a_flat_image_flat_to_its_edges():
    flat = np.full((2, 33, 47), 0.6, np.float32)
    seen = blur(flat, Appearance(psf_sigma=2.0, astigmatism=0.4, astigmatism_deg=20.0), RNG(0))
    np.testing.assert_allclose(seen, 0.6, atol=1e-5)


def scratch_angles(**look):
    from napari_anneal.synthesis.appearance.artefacts import _scratches

    marks = _scratches((1, 200, 200), Appearance(scratches=150.0, **look), RNG(9))
    return np.arctan2(marks[:, 4], marks[:, 5]) % np.pi


@pytest.mark.parametrize("families", [1, 3])
def test_scratches_of_a_family_share_a_direction(families):
    angle = np.sort(scratch_angles(scratch_family=1.0, scratch_families=families))
    # On the circle of directions there are as many clusters as families.
    gaps = np.diff(np.concatenate([angle, angle[:1] + np.pi]))
    assert (gaps > 0.1).sum() == families


def test_scratches_outside_families_run_any_way():
    angle = scratch_angles(scratch_family=0.0)
    assert np.abs(np.exp(2j * angle).mean()) < 0.25


def test_all_pores_are_dark_or_bright_as_asked():
    flat = np.full((1, 300, 300), 0.5, np.float32)
    for bright in (0.0, 1.0):
        look = Appearance(rung=5, **{**STILL, "pores": 0.03, "bright_pores": bright, "ringed_pores": 0})
        marked = damage_specimen(flat.copy(), look, RNG(5))[0]
        core = marked[np.abs(marked - 0.5) > 0.15]
        assert (core > 0.5).all() if bright else (core < 0.5).all()


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_stains_cover_the_asked_share(share):
    covered = []
    for k in range(12):
        image = np.full((1, 200, 200), 0.5, np.float32)
        stain(image, Appearance(contamination=share, contamination_contrast=-0.2), RNG(k))
        covered.append(np.mean(image < 0.5 - 0.05))
        assert image.min() > 0.5 - 0.2 * 1.01
    assert np.mean(covered) == pytest.approx(share, abs=0.08)


def test_an_earlier_scan_leaves_one_dark_rectangle():
    image = np.full((1, 100, 120), 0.5, np.float32)
    stain(image, Appearance(scan_frame=0.1), RNG(2))
    dark = image[0] < 0.45
    y, x = np.nonzero(dark)
    assert dark.sum() == (np.ptp(y) + 1) * (np.ptp(x) + 1)
    assert image[0][dark] == pytest.approx(0.4)
    volume = np.full((4, 30, 30), 0.5, np.float32)
    stain(volume, Appearance(scan_frame=0.1), RNG(2))
    assert (volume == 0.5).all()


def place_of_line(image):
    """Sub-pixel place of the bright line in each row."""
    weight = image - image.min(axis=1, keepdims=True)
    return (weight * np.arange(image.shape[1])).sum(axis=1) / weight.sum(axis=1)


@pytest.mark.parametrize(("axis", "angle", "way"), [("x", 0.0, 4.0), ("x", 180.0, -4.0), ("y", 0.0, 4.0)])
def test_drift_along_scan_lines_shears_by_the_asked_way_about_the_middle(axis, angle, way):
    x = np.arange(101)
    image = np.tile(np.exp(-(((x - 50) / 3.0) ** 2)), (101, 1)).astype(np.float32)
    source = image if axis == "x" else image.T
    look = Appearance(**{**STILL, "drift": 4.0, "drift_deg": angle, "scan_axis": axis})
    seen = disturb_scan(np.ascontiguousarray(source)[None], look, RNG(0))[0]
    place = place_of_line(seen if axis == "x" else seen.T)
    # A line shows what has moved under it, so what is fixed in the specimen goes the other way.
    np.testing.assert_allclose(place - 50, -np.linspace(-way / 2, way / 2, 101), atol=0.05)


def test_drift_across_scan_lines_stretches():
    y = np.arange(101.0)
    image = sum(np.exp(-(((y - c) / 3.0) ** 2)) for c in (20, 50, 80))
    image = np.tile(image[:, None], (1, 11)).astype(np.float32)
    seen = disturb_scan(image[None], Appearance(**{**STILL, "drift": 10.0, "drift_deg": 90.0}), RNG(0))[0, :, 5]
    peaks = [np.average(y[c - 9 : c + 10], weights=seen[c - 9 : c + 10] ** 4) for c in (23, 50, 77)]
    # The scan covers 110 px of specimen in its 101 lines.
    np.testing.assert_allclose(peaks, [50 - 30 / 1.1, 50, 50 + 30 / 1.1], atol=0.15)


def test_jitter_has_the_asked_deviation():
    x = np.arange(81)
    image = np.tile(np.exp(-(((x - 40) / 4.0) ** 2)), (2000, 1)).astype(np.float32)
    seen = disturb_scan(image[None], Appearance(**{**STILL, "scan_jitter": 0.5}), RNG(0))[0]
    assert place_of_line(seen).std() == pytest.approx(0.5, rel=0.08)


def radii(shape, look, seed):
    y0, x0 = rotation_axis(shape, look, seed)
    y, x = np.indices(shape[1:])
    return np.hypot(y - y0, x - x0)


@pytest.mark.parametrize("away", [0.0, 0.8])
def test_rings_are_constant_along_circles_and_differ_from_one_to_the_next(away):
    look = Appearance(rings=0.04, rotation_axis=away)
    image = np.zeros((2, 200, 200), np.float32)
    draw_rings(image, look, 5)
    r = radii(image.shape, look, 5)
    near = np.round(r, 2)
    rings = np.unique(near, return_inverse=True)[1].ravel()
    for plane in image:
        # All of the variation is between radii, none along a circle.
        mean = np.bincount(rings, plane.ravel()) / np.bincount(rings)
        assert np.abs(plane.ravel() - mean[rings]).max() < 0.005
        assert plane.std() > 0.01
    # Each slice is seen by detector elements of its own.
    assert abs(np.corrcoef(image[0].ravel(), image[1].ravel())[0, 1]) < 0.6


def test_rings_have_the_asked_deviation():
    look = Appearance(rings=0.04)
    spread = []
    for seed in range(20):
        image = np.zeros((1, 300, 300), np.float32)
        draw_rings(image, look, seed)
        spread.append(image.var())
    assert np.sqrt(np.mean(spread)) == pytest.approx(0.04, rel=0.12)


def test_beam_hardening_is_a_parabola_that_is_lower_by_its_share_on_the_axis():
    look = Appearance(beam_hardening=0.3)
    image = np.full((1, 101, 101), 0.5, np.float32)
    harden_beam(image, look, 0)
    assert image[0, 50, 50] == pytest.approx(0.5 * 0.7, rel=1e-5)
    assert image[0, 0, 0] == pytest.approx(0.5, rel=1e-5)
    r = radii(image.shape, look, 0)
    np.testing.assert_allclose(image[0] / 0.5, 1 - 0.3 * (1 - (r / r.max()) ** 2), rtol=1e-5)


def test_streaks_run_straight_from_dense_spots_and_fade():
    image = np.full((1, 201, 201), 0.3, np.float32)
    # Nothing else than this block is dense, and it is large enough to be hit.
    image[0, 60:100, 90:130] = 0.9
    before = image.copy()
    harden_beam(image, Appearance(streaks=0.1), 4)
    added = (image - before)[0]
    assert added.std() > 0.01
    inner, outer = (slice(40, 120), slice(70, 150)), (slice(150, 201), slice(None))
    assert added[inner].std() > 1.3 * added[outer].std()
    # From some spot in the block, the added grey is constant in sign along rays: nothing oscillates outwards.
    single = np.zeros((201, 201), np.float32)
    add_streaks(single, 80.0, 110.0, np.tile([1.0, -1.0], 12))
    for k in (1, 10, 15, 22):
        # Down the middle of a fan.
        angle = 2 * np.pi * (k / 24 - 0.5)
        r = np.arange(20, 70)
        ray = ndimage.map_coordinates(single, [80 + r * np.sin(angle), 110 + r * np.cos(angle)], order=1)
        assert (np.sign(ray) == (-1) ** k).all()
        assert ray[0] / ray[-1] > 1.5


def test_curtains_hang_along_y():
    flat = np.full((1, 200, 200), 0.5, np.float32)
    seen = damage_specimen(flat, Appearance(**{**STILL, "curtaining": 0.1}), RNG(0))[0]
    assert seen.mean(axis=0).std() > 5 * (seen - seen.mean(axis=0)).std() / np.sqrt(200)
    assert seen.std(axis=1).mean() > 3 * seen.std(axis=0).mean()


def test_charging_only_brightens_and_streaks_along_the_scan():
    flat = np.full((1, 256, 256), 0.3, np.float32)
    for axis in ("x", "y"):
        seen = disturb_scan(flat.copy(), Appearance(**{**STILL, "charging": 0.3, "scan_axis": axis}), RNG(1))[0]
        assert seen.min() >= 0.3
        along, across = (1, 0) if axis == "x" else (0, 1)
        assert np.abs(np.diff(seen, axis=along)).mean() < 0.5 * np.abs(np.diff(seen, axis=across)).mean()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_rims_of_pits_are_brighter_than_the_surface_if_asked(share):
    flat = np.full((1, 300, 300), 0.5, np.float32)
    look = {"pores": 0.01, "pore_diameter": 8.0, "bright_pores": 0.0, "ringed_pores": share}
    marked = damage_specimen(flat, Appearance(**{**STILL, **look}), RNG(5))
    assert (np.mean(marked > 0.55) > 0.002) == (share == 1.0)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_all_scratches_are_dark_or_bright_as_asked(share):
    flat = np.full((1, 200, 200), 0.5, np.float32)
    look = Appearance(**{**STILL, "scratches": 30.0, "bright_scratches": share})
    strong = damage_specimen(flat, look, RNG(5)) - 0.5
    strong = strong[np.abs(strong) > 0.13]
    assert strong.size > 50
    assert ((strong > 0) == (share == 1.0)).all()


@pytest.mark.parametrize("rung", [1, 2, 3, 4])
def test_settings_of_higher_rungs_have_no_effect(rung):
    plain = Appearance(rung=rung)
    assert set(plain.acting()) < set(Appearance(rung=rung + 1).acting())
    silent = set(Appearance.model_fields) - set(plain.acting()) - {"rung"}
    # Half of every number's value, and any other word: all at once, and nothing may move.
    changed = {n: v / 2 for n in silent if isinstance(v := getattr(plain, n), float) and v}
    changed |= (
        {"scan_axis": "y", "rings": 0.2, "gaps": 0.3, "twins": 0.5} if rung == 1 else {"scan_axis": "y", "rings": 0.2}
    )
    recipe = MicrostructureRecipe(shape=(48, 48), n_seeds=12, appearance=plain)
    other = recipe.model_copy(update={"appearance": plain.model_copy(update=changed)})
    assert np.array_equal(synthesize(recipe, 3).image, synthesize(other, 3).image)
