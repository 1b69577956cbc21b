"""Boundaries as they really look: widths at junctions, gaps, islands and edges are as asked, and labels stay."""

import numpy as np
import pytest
from scipy import ndimage

from napari_anneal.synthesis import Appearance, MicrostructureRecipe, synthesize
from napari_anneal.synthesis.appearance.specimen import polished_labels
from napari_anneal.synthesis.geometry.patches import find_patches

RNG = np.random.default_rng
FLAT = {
    "rung": 2, "texture": 0, "slope": 0, "groove_texture": 0, "grain_contrast": 0, "faint_boundaries": 0,
    "contrast_spread": 0, "groove_roughness": 0, "groove_width_spread": 0, "boundary_contrast": -0.3,
}  # fmt: skip
# One junction of three straight boundaries, 120 degrees apart, at (60, 60).
THREE = tuple((60 + 40 * np.sin(a), 60 + 40 * np.cos(a)) for a in np.deg2rad([30, 150, 270]))


def junction(**look):
    return synthesize(
        MicrostructureRecipe(
            shape=(121, 121), placement="points", points=THREE, appearance=Appearance(**{**FLAT, **look})
        )
    )


def grains(seed=3, shape=(300, 300), n_seeds=40, **look):
    return synthesize(
        MicrostructureRecipe(shape=shape, n_seeds=n_seeds, appearance=Appearance(**{**FLAT, **look})), seed
    )


def near(m, radius):
    y, x = np.indices(m.image.shape)
    return np.hypot(y - 60, x - 60) < radius


def test_rounding_thickens_junctions_and_nothing_else():
    plain, thick = junction(groove_width=4.0), junction(groove_width=4.0, junction_rounding=16.0)
    dark = [(m.image < 0.35).astype(float) for m in (plain, thick)]
    assert dark[1][near(plain, 12)].sum() > 1.25 * dark[0][near(plain, 12)].sum()
    # Farther from the junction than the fillet reaches, nothing differs.
    far = ~near(plain, 40)
    np.testing.assert_array_equal(plain.image[far], thick.image[far])
    assert (plain.labels == thick.labels).all()


def test_a_fillet_reaches_a_quarter_of_its_radius_deeper_where_both_grooves_are_alike():
    # From (60, 60) straight into a grain, two boundaries are equally far; the groove ends at half width + radius / 4.
    m = junction(groove_width=4.0, groove_softness=0.0, junction_rounding=24.0)
    angle = np.deg2rad(30)
    along = np.arange(0, 40, 0.25)
    line = ndimage.map_coordinates(m.image, [60 + along * np.sin(angle), 60 + along * np.cos(angle)], order=1)
    # Both boundaries are sin(60 degrees) of the way from the junction.
    assert along[np.argmax(line > 0.35)] * np.sin(np.deg2rad(60)) == pytest.approx(2 + 24 / 4, abs=0.6)


@pytest.mark.parametrize("share", [0.1, 0.35])
def test_gaps_take_the_asked_share_of_the_length_of_boundaries(share):
    missing = []
    for seed in range(4):
        m = grains(seed, groove_width=3.0, gaps=share, gap_length=8.0)
        missing.append(np.mean(m.image[m.distance < 0.5] > 0.5 - 0.15))
        assert (m.labels == grains(seed, groove_width=3.0).labels).all()
    assert np.mean(missing) == pytest.approx(share, abs=0.05)


def test_gaps_lie_along_boundaries_and_not_on_whole_ones():
    m = grains(groove_width=3.0, gaps=0.3, gap_length=10.0)
    line = m.distance < 0.5
    gone = line & (m.image > 0.45)
    # Gaps of about the asked length, of many more pieces than whole missing boundaries would be.
    pieces, count = ndimage.label(gone, np.ones((3, 3)))
    sizes = ndimage.sum_labels(gone, pieces, np.arange(1, count + 1))
    assert count > 40
    assert np.median(sizes[sizes > 4]) < 40


def test_islands_are_bright_and_only_in_wide_grooves():
    wide = {"groove_width": 16.0, "groove_softness": 0.0}
    without, with_islands = grains(**wide), grains(**wide, groove_islands=0.3)
    inside = without.distance < 6
    assert np.mean(without.image[inside] > 0.45) < 0.02
    assert np.mean(with_islands.image[inside] > 0.45) == pytest.approx(0.3, abs=0.1)
    outside = without.distance > 10
    np.testing.assert_array_equal(without.image[outside], with_islands.image[outside])
    thin = grains(groove_width=1.5, groove_islands=0.3)
    np.testing.assert_allclose(thin.image, grains(groove_width=1.5).image, atol=0.02)


@pytest.mark.parametrize("brightness", [0.2, -0.15])
def test_edges_fade_to_1_over_e_over_their_width(brightness):
    m = grains(n_seeds=6, groove_width=4.0, groove_softness=0.0, edge_brightening=brightness, edge_width=5.0)
    # In the middle of boundaries one of them alone is near.
    for away in (4.0, 9.0):
        ring = np.abs(m.distance - away) < 0.25
        expected = brightness * np.exp(-(away - 2.0) / 5.0)
        assert np.median(m.image[ring]) - 0.5 == pytest.approx(expected, abs=0.02 * abs(brightness) + 0.003)


def test_edges_and_gaps_go_together():
    m = grains(groove_width=3.0, edge_brightening=0.2, edge_width=3.0, gaps=0.35, gap_length=25.0)
    beside = np.abs(m.distance - 3.0) < 0.3
    # Where the boundary does not show, its edges do not either.
    assert np.mean(m.image[beside] < 0.52) == pytest.approx(0.35, abs=0.15)


@pytest.mark.parametrize(
    "look", [{"junction_rounding": 10.0}, {"edge_brightening": 0.2, "edge_width": 3.0}, {"gaps": 0.3}], ids=str
)
def test_a_label_map_looks_as_the_cells_it_comes_from(look):
    m = junction(groove_width=5.0, **look)
    labels = m.grains[None] - np.int32(1)
    seeds = np.column_stack([np.zeros(3), m.seeds])
    image = polished_labels(
        m.recipe.appearance, labels, seeds, find_patches(labels, m.distance[None]), np.ones(3, np.uint8), RNG(0)
    )[0]
    if "gaps" in look:
        # Other gaps, as many of them.
        line = m.distance < 0.5
        assert np.mean(image[line] > 0.35) == pytest.approx(np.mean(m.image[line] > 0.35), abs=0.3)
        return
    inner = np.s_[12:-12, 12:-12]
    assert np.mean(np.abs(np.clip(image, 0, 1) - m.image)[inner] > 0.03) < 0.05


ALL = {
    "twins": 0.5, "relief": 0.2, "groove_islands": 0.3, "junction_rounding": 5.0, "gaps": 0.2, "edge_brightening": 0.2,
    "defocus_variation": 1.0, "astigmatism": 0.3, "astigmatism_deg": 30.0, "gain": 1.3, "gain_variation": 0.05,
    "hot_pixels": 0.01, "contamination": 0.2, "scan_frame": 0.1, "drift": 3.0, "drift_deg": 40.0, "scan_jitter": 1.0,
    "curtaining": 0.1, "charging": 0.2, "rings": 0.05, "beam_hardening": 0.2, "streaks": 0.05, "scratches": 5.0,
    "pores": 0.02, "scan_lines": 0.02,
}  # fmt: skip


@pytest.mark.parametrize("shape", [(80, 90), (10, 30, 40)])
def test_no_setting_of_the_appearance_changes_a_label(shape):
    def made(**look):
        return synthesize(MicrostructureRecipe(shape=shape, n_seeds=15, appearance=Appearance(**look)), 7)

    clean, all_on = made(rung=1), made(rung=5, **ALL)
    for name in ("grains", "boundary", "distance", "phase", "seeds"):
        assert (getattr(clean, name) == getattr(all_on, name)).all()
    assert np.isfinite(all_on.image).all()
    assert 0 <= all_on.image.min() <= all_on.image.max() <= 1
    assert (all_on.image == made(rung=5, **ALL).image).all()


def recovered(image, m):
    """Signed distance (px) of each dark line's middle from the true boundary, along X, for near-vertical boundaries."""
    away = []
    for y in range(10, image.shape[0] - 10, 3):
        for x in range(12, image.shape[1] - 12):
            if m.grains[y, x] != m.grains[y, x - 1]:
                # Sub-pixel place of the crossing from the exact distances on both sides.
                a, b = m.distance[y, x - 1], m.distance[y, x]
                if not 0.85 < a + b <= 1.001 or m.distance[y, x - 6] < 4 or m.distance[y, x + 5] < 4:
                    continue
                depth = np.clip(np.median(image) - image[y, x - 6 : x + 6], 0, None)
                if depth.sum() > 0.3:
                    away.append((depth * np.arange(x - 6, x + 6)).sum() / depth.sum() - (x - 1 + a / (a + b)))
    return np.array(away)


@pytest.mark.parametrize("rung", [1, 2, 3, 4])
def test_rungs_1_to_4_leave_boundaries_where_they_are(rung):
    look = {**FLAT, "rung": rung, "groove_width": 3.0, "psf_sigma": 1.2, "dose": 20000.0, "read_noise": 0.005}
    extra = {"groove_roughness": 0.2, "astigmatism": 0.3, "astigmatism_deg": 25.0, "gain_variation": 0.01}
    m = synthesize(
        MicrostructureRecipe(
            shape=(300, 300), n_seeds=25, boundary_width=3.0, appearance=Appearance(**{**look, **extra})
        ),
        3,
    )  # fmt: skip
    away = recovered(m.image, m)
    assert len(away) > 100
    # Without bias to either side, and each within a fraction of a pixel.
    assert abs(np.median(away)) < 0.05
    assert np.percentile(np.abs(away), 90) < 0.3
