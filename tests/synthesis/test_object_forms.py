"""Particles, pores, fibres and nanoparticles: number, size, shape, overlap and outline are what was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import regionprops

from napari_anneal.errors import InputError
from napari_anneal.synthesis import Appearance, MicrostructureRecipe, Objects, synthesize

CLEAN = Appearance(rung=1)
DISKS = {"elongation": 1.0, "irregularity": 0.0}


def make(seed=0, shape=(200, 210), appearance=CLEAN, placement="random", **objects):
    objects = {"form": "particles", **objects}
    recipe = MicrostructureRecipe(
        kind="objects", shape=shape, objects=Objects(**objects), appearance=appearance, placement=placement
    )
    return synthesize(recipe, seed)


def whole_ones(m):
    """Properties of the objects that no edge cuts and nothing covers."""
    last = np.array(m.grains.shape) - 1
    found = regionprops(np.where(m.grains > 1, m.grains, 0))
    return [r for r in found if min(r.bbox[: m.grains.ndim]) > 0 and (np.array(r.bbox[m.grains.ndim :]) <= last).all()]


@pytest.mark.parametrize("shape", [(300, 310), (48, 56, 60)])
@pytest.mark.parametrize("overlap", ["none", "touching"])
def test_particles_apart_take_the_asked_fraction(shape, overlap):
    m = make(2, shape, overlap=overlap, volume_fraction=0.2, diameter=12)
    assert np.mean(m.phase == 2) == pytest.approx(0.2, abs=0.005)


def test_a_number_density_gives_so_many_objects():
    m = make(1, (400, 400), number_density=0.001, diameter=12)
    assert (np.abs(m.seeds - 199.5) <= 200).all(axis=1).sum() == 160


def test_thousands_of_particles_have_the_asked_sizes():
    m = make(0, (1500, 1500), volume_fraction=0.25, diameter=15, size_dispersion=0.3, gap=2, **DISKS)
    areas = np.array([r.area for r in whole_ones(m)])
    diameter = np.sqrt(4 * areas / np.pi)
    count = len(diameter)
    assert count > 2000
    # Objects that an edge cuts are left out, large ones more often: by about 15 / 1500.
    assert diameter.mean() == pytest.approx(15, abs=3 * 15 * 0.3 / np.sqrt(count) + 0.05)
    assert diameter.std() / diameter.mean() == pytest.approx(0.3, abs=3 * 0.3 / np.sqrt(2 * count) + 0.01)
    assert np.log(diameter).std() == pytest.approx(np.sqrt(np.log1p(0.09)), abs=0.02)


def test_elongations_and_directions_are_those_asked_for():
    m = make(
        0, (1200, 1200), volume_fraction=0.2, diameter=22, size_dispersion=0.1, elongation=2.5, elongation_spread=0.1,
        direction_deg=30, direction_spread_deg=12, irregularity=0.0, gap=2,
    )  # fmt: skip
    found = whole_ones(m)
    ratio = np.array([r.axis_major_length / r.axis_minor_length for r in found])
    # regionprops counts from the Y axis.
    angle = np.array([90 - np.rad2deg(r.orientation) for r in found])
    turned = (angle - 30 + 90) % 180 - 90
    error = 1 / np.sqrt(len(found))
    assert ratio.mean() == pytest.approx(2.5, abs=3 * 0.25 * error + 0.03)
    assert ratio.std() == pytest.approx(0.25, abs=0.05)
    assert turned.mean() == pytest.approx(0, abs=3 * 12 * error)
    assert turned.std() == pytest.approx(12, rel=0.1)


@pytest.mark.parametrize("shape", [(256, 256), (56, 60, 64)])
def test_a_boolean_model_covers_what_its_formula_says(shape):
    covered = [np.mean(make(k, shape, overlap="free", volume_fraction=0.4, diameter=12).phase == 2) for k in range(12)]
    assert np.mean(covered) == pytest.approx(0.4, abs=3 * np.std(covered) / np.sqrt(12))
    m = make(0, (512, 512), overlap="free", number_density=0.002, diameter=16, size_dispersion=0.2, **DISKS)
    expected = 1 - np.exp(-0.002 * np.pi / 4 * 16**2 * 1.04)
    assert np.mean(m.phase == 2) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(
    "shapes", [DISKS, {"facets": 6}, {"exponent": 6.0}, {"elongation": 3.0}, {"irregularity": 0.15}], ids=str
)
@pytest.mark.parametrize("gap", [1.5, 4.0])
def test_a_gap_keeps_particles_apart(shapes, gap):
    m = make(4, (220, 220), volume_fraction=0.2, diameter=18, gap=gap, **shapes)
    distance, nearest = ndimage.distance_transform_edt(m.grains == 1, return_indices=True)
    owner = m.grains[tuple(nearest)]
    # Midway between two objects lie neighbouring pixels with different owners; each is half a gap away from its own.
    for axis in range(2):
        a, b = np.take(owner, range(219), axis), np.take(owner, range(1, 220), axis)
        path = np.take(distance, range(219), axis) + np.take(distance, range(1, 220), axis)
        assert path[a != b].min() > gap - 0.75


def test_given_points_too_close_together_are_named():
    near = {"kind": "objects", "shape": (90, 90), "placement": "points", "appearance": CLEAN}
    points = ((20.0, 20.0), (60.0, 60.0), (66.0, 70.0))
    size = {"form": "particles", "volume_fraction": 3 * np.pi * 64 / 8100, "size_dispersion": 0.0}
    with pytest.raises(InputError, match="the object at point 2 would overlap another"):
        synthesize(MicrostructureRecipe(points=points, objects=Objects(**size), **near))
    assert (
        synthesize(MicrostructureRecipe(points=points, objects=Objects(overlap="free", **size), **near)).grains.max()
        == 4
    )


def test_touching_particles_touch_without_overlap():
    m = make(3, (300, 300), overlap="touching", volume_fraction=0.2, diameter=16, **DISKS)
    found = whole_ones(m)
    # None is covered by another one: all keep their convex outline.
    assert min(r.solidity for r in found) > 0.9
    touching = [len(np.unique(m.grains[ndimage.binary_dilation(m.grains == r.label, iterations=2)])) > 2 for r in found]
    assert np.mean(touching) > 0.7


def test_too_many_particles_say_how_many_would_fit():
    with pytest.raises(InputError, match=r"do not fit in without overlap: about 0\.\d\d can be reached") as caught:
        make(0, (128, 128), volume_fraction=0.75, facets=5)
    reached = float(str(caught.value).split("about ")[1][:4])
    assert 0.4 < reached < 0.75
    with pytest.raises(InputError, match="do not fit"):
        make(0, (96, 96), volume_fraction=0.8, gap=6, diameter=12, **DISKS)


def truth(recipe_shape, centres, axes, angle):
    """Distance to the nearest of some ellipses, from finely sampled outlines."""
    t = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    u, v = axes[0] * np.cos(t), axes[1] * np.sin(t)
    from scipy.spatial import cKDTree

    outline = np.concatenate([np.column_stack([y + u * s + v * c, x + u * c - v * s]) for y, x in centres])
    grid = np.stack(np.mgrid[: recipe_shape[0], : recipe_shape[1]], axis=-1)
    return cKDTree(outline).query(grid)[0]


@pytest.mark.parametrize("form", ["particles", "precipitates"])
@pytest.mark.parametrize(("elongation", "radius"), [(1.0, 14.0), (3.0, 12.0), (5.0, 9.0)])
def test_the_distance_is_that_to_a_finely_sampled_outline(form, elongation, radius):
    centres = ((40.3, 50.7), (41.1, 130.2), (120.6, 92.4))
    recipe = MicrostructureRecipe(
        kind="objects", shape=(160, 180), placement="points", points=centres, appearance=CLEAN,
        objects=Objects(
            form=form, volume_fraction=3 * np.pi * radius**2 / (160 * 180), elongation=elongation, elongation_spread=0,
            size_dispersion=0, irregularity=0, rounding=0, direction_deg=25, direction_spread_deg=0, gap=0,
        ),
    )  # fmt: skip
    m = synthesize(recipe)
    axes = radius * np.sqrt(elongation), radius / np.sqrt(elongation)
    error = np.abs(m.distance - truth((160, 180), centres, axes, np.deg2rad(25)))
    assert error.max() < 0.25
    assert error.mean() < 0.05


def test_the_distance_in_3d_is_that_to_a_ball():
    recipe = MicrostructureRecipe(
        kind="objects", shape=(40, 44, 48), placement="points", points=((20.2, 21.4, 25.1),), appearance=CLEAN,
        objects=Objects(form="particles", volume_fraction=0.06, size_dispersion=0, **DISKS),
    )  # fmt: skip
    m = synthesize(recipe)
    radius = (0.06 * m.phase.size * 3 / 4 / np.pi) ** (1 / 3)
    z, y, x = np.mgrid[:40, :44, :48]
    expected = np.abs(np.sqrt((z - 20.2) ** 2 + (y - 21.4) ** 2 + (x - 25.1) ** 2) - radius)
    assert np.abs(m.distance - expected).max() < 0.25


def test_of_overlapping_particles_the_upper_one_shows_whole():
    m = make(5, (200, 200), overlap="free", volume_fraction=0.5, diameter=24, size_dispersion=0.0, **DISKS)
    areas = np.bincount(m.grains.ravel())[2:]
    assert areas.max() == pytest.approx(np.pi * 12**2, rel=0.02)
    assert areas.min() < 0.7 * areas.max()
    # The outline of the upper one runs through the lower one, and the distance knows it.
    between = (m.phase[:, :-1] == 2) & (m.phase[:, 1:] == 2) & (m.grains[:, :-1] != m.grains[:, 1:])
    assert between.sum() > 20
    assert m.distance[:, :-1][between].max() <= 1.0


@pytest.mark.parametrize("tilt", [90.0, 40.0])
def test_dense_fibres_keep_their_fraction_and_shape(tilt):
    m = make(
        1, (300, 300), form="fibres", volume_fraction=0.6, diameter=14, size_dispersion=0.05, gap=0.5, irregularity=0.0,
        tilt_deg=tilt, direction_deg=20, misorientation_deg=1.0,
    )  # fmt: skip
    assert np.mean(m.phase == 2) == pytest.approx(0.6, abs=0.01)
    found = whole_ones(m)
    ratio = np.array([r.axis_major_length / r.axis_minor_length for r in found])
    minor = np.array([r.axis_minor_length for r in found])
    assert ratio.mean() == pytest.approx(1 / np.sin(np.deg2rad(tilt)), abs=0.06)
    assert minor.mean() == pytest.approx(14, abs=0.4)


@pytest.mark.parametrize(("tilt", "azimuth", "spread"), [(90.0, 0.0, 2.0), (0.0, 35.0, 4.0), (50.0, 20.0, 3.0)])
def test_bundles_in_3d_keep_fraction_and_direction(tilt, azimuth, spread):
    m = make(
        3, (48, 80, 84), form="fibres", volume_fraction=0.5, diameter=9, size_dispersion=0.05, gap=0.5, tilt_deg=tilt,
        direction_deg=azimuth, misorientation_deg=spread,
    )  # fmt: skip
    assert np.mean(m.phase == 2) == pytest.approx(0.5, abs=0.02)
    t, a = np.deg2rad(tilt), np.deg2rad(azimuth)
    main = np.array([np.sin(t), np.cos(t) * np.sin(a), np.cos(t) * np.cos(a)])
    angles = []
    for label in range(2, m.grains.max() + 1):
        points = np.argwhere(m.grains == label)
        if np.ptp(points @ main) > 36:
            axis = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][0]
            angles.append(np.rad2deg(np.arccos(min(abs(axis @ main), 1.0))))
    assert len(angles) > 10
    # Neighbours hold each other straighter than each would lie alone.
    assert np.median(angles) < 2 * spread + 1


def test_short_fibres_have_length_width_and_misorientation():
    m = make(
        1, (70, 150, 150), form="fibres", volume_fraction=0.07, diameter=6, length=44, size_dispersion=0.0, gap=1,
        tilt_deg=0, direction_deg=40, misorientation_deg=10,
    )  # fmt: skip
    assert np.mean(m.phase == 2) == pytest.approx(0.07, abs=0.003)
    found = whole_ones(m)
    assert len(found) > 20
    long, raised, turned = [], [], []
    for r in found:
        points = r.coords - r.coords.mean(axis=0)
        axis = np.linalg.svd(points, full_matrices=False)[2][0]
        axis *= np.sign(axis[2])
        long.append(np.ptp(points @ axis) + 1)
        raised.append(np.rad2deg(np.arcsin(axis[0])))
        turned.append(np.rad2deg(np.arctan2(axis[1], axis[2])) - 40)
    assert np.mean(long) == pytest.approx(44, abs=2.0)
    assert np.mean(turned) == pytest.approx(0, abs=30 / np.sqrt(len(found)))
    for angle in (raised, turned):
        assert np.std(angle) == pytest.approx(10, rel=3 / np.sqrt(2 * len(found)))


@pytest.mark.parametrize("shape", [(90, 120), (36, 40, 64)])
def test_the_distance_to_a_fibre_is_that_to_a_capsule(shape):
    middle = tuple(n / 2 - 0.3 for n in shape)
    size = 24 * 10 + np.pi * 25 if len(shape) == 2 else np.pi * 25 * (24 + 20 / 3)
    recipe = MicrostructureRecipe(
        kind="objects", shape=shape, placement="points", points=(middle,), appearance=CLEAN,
        objects=Objects(
            form="fibres", diameter=10, length=34, size_dispersion=0, tilt_deg=0, direction_deg=25,
            misorientation_deg=0, volume_fraction=size / np.prod(shape),
        ),
    )  # fmt: skip
    m = synthesize(recipe)
    along = np.array([0.0, np.sin(np.deg2rad(25)), np.cos(np.deg2rad(25))])[3 - len(shape) :]
    offset = np.stack(np.indices(shape), axis=-1) - np.array(middle)
    place = np.clip(offset @ along, -12, 12)[..., None] * along
    expected = np.linalg.norm(offset - place, axis=-1) - 5
    assert ((m.phase == 2) == (expected < 0)).all()
    assert np.abs(m.distance - np.abs(expected)).max() < 0.25


def test_long_fibres_that_cross_must_be_allowed_to():
    free = {"form": "fibres", "tilt_deg": 0.0, "misorientation_deg": 90.0, "volume_fraction": 0.4, "diameter": 6}
    covered = [np.mean(make(k, (256, 256), overlap="free", **free).phase == 2) for k in range(10)]
    assert np.mean(covered) == pytest.approx(0.4, abs=3 * np.std(covered) / np.sqrt(10))
    with pytest.raises(InputError, match="overlap 'free'"):
        make(0, **free)
    with pytest.raises(InputError, match="length per volume"):
        make(0, form="fibres", tilt_deg=0, number_density=0.001)
    # Ends of a fibre that is longer than the image hardly ever show.
    long = make(0, (96, 96), form="fibres", tilt_deg=0, length=200, volume_fraction=0.3, diameter=8)
    assert (long.grains == make(0, (96, 96), form="fibres", tilt_deg=0, volume_fraction=0.3, diameter=8).grains).all()


def test_nanoparticles_are_darker_than_their_film_and_2d_only():
    look = Appearance(rung=2, mean_grey=0.65, texture=0.03)
    m = make(0, form="nanoparticles", volume_fraction=0.2, contrast=-0.2, appearance=look)
    core = (m.phase == 2) & (m.distance > 2)
    film = (m.phase == 1) & (m.distance > 4)
    assert m.image[core].mean() < m.image[film].mean() - 0.08
    # Thicker is darker: the darkest part of a particle is its middle.
    rim = (m.phase == 2) & (m.distance < 1.5)
    assert m.image[core].mean() < m.image[rim].mean() - 0.02
    with pytest.raises(InputError, match=r"2D image; give a shape \(Y, X\)"):
        make(0, (8, 32, 32), form="nanoparticles")


def test_the_grain_of_a_carbon_film_has_its_ring_at_the_texture_length():
    look = Appearance(rung=2, mean_grey=0.6, texture=0.05, texture_length=8.0, grain_contrast=0.0)
    m = make(
        0, (256, 256), form="nanoparticles", number_density=1 / 256**2, diameter=4, contrast=0, rim=0, appearance=look
    )
    power = np.abs(np.fft.fft2(m.image - m.image.mean())) ** 2
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None, :])
    ring = np.array([power[(frequency >= f) & (frequency < f + 0.02)].mean() for f in np.arange(0.02, 0.4, 0.01)])
    assert np.arange(0.02, 0.4, 0.01)[ring.argmax()] + 0.01 == pytest.approx(1 / 8, abs=0.03)


def test_fraction_and_number_contradict_each_other():
    with pytest.raises(InputError, match="contradict"):
        Objects(volume_fraction=0.2, number_density=0.001)
    with pytest.raises(InputError, match="no objects"):
        Objects(volume_fraction=0)
    assert Objects(number_density=0.001).volume_fraction == 0
    with pytest.raises(InputError, match="facets"):
        Objects(facets=2)


@pytest.mark.parametrize("form", ["precipitates", "particles", "pores", "fibres", "nanoparticles"])
def test_the_same_recipe_and_seed_give_the_same_bytes(form):
    look = Appearance(rung=5)
    one, two, other = (make(seed, (96, 96), form=form, appearance=look) for seed in (7, 7, 8))
    for name in ("image", "grains", "distance", "phase", "seeds"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
    assert (one.grains != other.grains[: one.grains.shape[0]]).any()
    assert np.unique(one.grains).tolist() == list(range(1, one.grains.max() + 1))
