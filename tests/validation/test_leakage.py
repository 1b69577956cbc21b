"""Claims about the leakage guard: copies are found however changed, look-alikes are not, copies are one group."""

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

import napari_anneal as na
from napari_anneal.samples import Sample
from napari_anneal.validation.leakage import find_copies, merge_copies
from napari_anneal.validation.leakage.motion import Motion
from napari_anneal.validation.leakage.symmetry import SYMMETRIES, compose, inverse, transform

SIDE = 160


def micrograph(seed, side=2 * SIDE):
    """Grains with their own grey levels, blur and noise: unlike any other seed's, but of the same kind."""
    recipe = na.MicrostructureRecipe(shape=(side, side), n_seeds=side * side // 400, appearance=na.Appearance(rung=4))
    return (255 * na.synthesize(recipe, seed=seed).image).round().astype(np.float32)


@pytest.fixture(scope="module")
def micrographs():
    return [micrograph(seed) for seed in range(12)]


def window(image, y=0, x=0, side=SIDE):
    return np.ascontiguousarray(image[y : y + side, x : x + side])


def samples_of(images, groups=()):
    groups = groups or [f"g{i}" for i in range(len(images))]
    return [Sample(im, axes="YX", group=g, name=f"n{i}") for i, (im, g) in enumerate(zip(images, groups, strict=True))]


def grey_changed(image, rng):
    low, high = image.min(), image.max()
    return 30 + 180 * ((image - low) / (high - low)) ** rng.choice([0.5, 0.7, 1.5, 2.0])


CHANGES = {
    "exact": lambda im, rng: im.copy(),
    "symmetric": lambda im, rng: transform(im, int(rng.integers(1, 8))).copy(),
    "grey": grey_changed,
    "inverted": lambda im, rng: im.max() - im,
    "grey, turned": lambda im, rng: transform(grey_changed(im, rng), int(rng.integers(1, 8))),
    "noisy": lambda im, rng: im + rng.normal(0, 0.5 * im.std(), im.shape),
    "blurred": lambda im, rng: ndimage.gaussian_filter(im, 1.0),
    "noisy, turned": lambda im, rng: transform(im + rng.normal(0, 0.5 * im.std(), im.shape), int(rng.integers(8))),
}
REPORTED = {"inverted": "grey", "grey, turned": "grey", "noisy, turned": "noisy", "blurred": "noisy"}


@pytest.mark.parametrize("change", CHANGES)
def test_every_changed_copy_is_found_with_its_kind_and_nothing_else_is(micrographs, change):
    rng = np.random.default_rng(len(change))
    originals = [window(im) for im in micrographs]
    changed = [CHANGES[change](im, rng).astype(np.float32) for im in originals]
    copies = find_copies(samples_of(originals + changed))
    count = len(originals)
    assert [(c.first, c.second) for c in copies] == [(i, i + count) for i in range(count)]
    assert {c.kind for c in copies} == {REPORTED.get(change, change)}
    for copy, image in zip(copies, changed, strict=True):
        if change != "blurred" and "noisy" not in change:
            turned = transform(originals[copy.first], copy.symmetry)
            assert copy.shift == (0, 0)
            assert abs(np.corrcoef(turned.ravel(), image.ravel())[0, 1]) > 0.9
            assert (copy.correlation < 0) == (change == "inverted")


@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_crops_that_share_half_of_their_area_are_found_and_placed_even_turned(micrographs, noise):
    rng = np.random.default_rng(3)
    images, shifts = [], []
    for picture in micrographs:
        dy, dx = int(0.3 * SIDE), int(0.25 * SIDE)  # 52.5 % of the area in common
        images.append(window(picture))
        moved = window(picture, dy, dx)
        images.append(moved + rng.normal(0, noise * moved.std(), moved.shape).astype(np.float32))
        shifts.append((-dy, -dx))
    copies = find_copies(samples_of(images))
    assert [(c.first, c.second) for c in copies] == [(i, i + 1) for i in range(0, len(images), 2)]
    assert [c.shift for c in copies] == shifts
    assert {(c.kind, c.symmetry) for c in copies} == {("overlap", 0)}
    assert all(c.overlap == pytest.approx(0.525, abs=0.01) for c in copies)
    turned = [transform(im, 5).copy() if i % 2 else im for i, im in enumerate(images)]
    copies = find_copies(samples_of(turned))
    assert [(c.first, c.second, c.kind, c.symmetry) for c in copies] == [
        (i, i + 1, "overlap", 5) for i in range(0, len(images), 2)
    ]


def test_a_crop_of_a_larger_picture_is_found_whatever_its_size(micrographs):
    whole = micrographs[0]
    crops = [window(whole, 31, 45, 130), window(whole, 100, 7, 200), window(micrographs[1], 0, 0, 130)]
    copies = find_copies(samples_of([whole, *crops]))
    assert [(c.first, c.second, c.shift) for c in copies] == [(0, 1, (-31, -45)), (0, 2, (-100, -7))]
    assert copies[0].overlap == 1


def periodic(rng, side=SIDE):
    y, x = np.mgrid[:side, :side] * 2 * np.pi / 12
    waves = np.cos(x + rng.uniform(0, 6.3)) + np.cos(x / 2 + 0.866 * y + rng.uniform(0, 6.3))
    return waves + rng.normal(0, 0.3, waves.shape)


def fibres(rng, side=SIDE):
    """Ends of fibres, nearly but not quite in a hexagonal packing."""
    y, x = np.mgrid[:side, :side]
    nearest = np.full((side, side), np.inf)
    for row in range(side // 15 + 2):
        for column in range(side // 18 + 2):
            centre = np.array([15.6 * row, 18 * column + 9 * (row % 2)]) + rng.normal(0, 1.2, 2)
            nearest = np.minimum(nearest, np.hypot(y - centre[0], x - centre[1]))
    return np.clip(8 - nearest, 0, 1) + rng.normal(0, 0.1, nearest.shape)


def with_data_bar(rng, side=SIDE):
    image = 40 * ndimage.gaussian_filter(rng.normal(size=(side, side)), 3)
    bar = np.random.default_rng(7).normal(size=(side // 8, side))
    image[-side // 8 :] = 60 * (ndimage.gaussian_filter(bar, 1.5) > 0)
    return image


LOOK_ALIKES = {
    "a lattice": periodic,
    "stripes": lambda rng: (
        np.sign(np.sin(np.arange(SIDE) / 3 + rng.uniform(0, 6)))[:, None] + rng.normal(0, 0.3, (SIDE, SIDE))
    ),
    "fibres": fibres,
    "flat and noisy": lambda rng: rng.normal(100, 3, (SIDE, SIDE)).round(),
    "smooth blobs": lambda rng: ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 5),
    "scratches": lambda rng: ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), (1, 40)),
    "one data bar": with_data_bar,
    "one shading": lambda rng: (
        ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 2)
        + np.hypot(*np.mgrid[-1 : 1 : 1j * SIDE, -1 : 1 : 1j * SIDE])
    ),
}


@pytest.mark.parametrize("kind", LOOK_ALIKES)
def test_look_alikes_are_not_copies(kind):
    rng = np.random.default_rng(11)
    images = [np.asarray(LOOK_ALIKES[kind](rng), np.float32) for _ in range(15)]
    assert find_copies(samples_of(images)) == ()


def test_different_images_of_one_recipe_are_not_copies(micrographs):
    clean = na.MicrostructureRecipe(shape=(SIDE, SIDE), n_seeds=60, appearance=na.Appearance(rung=1))
    images = [window(im) for im in micrographs] + [na.synthesize(clean, seed=s).image for s in range(20)]
    assert find_copies(samples_of(images)) == ()


def test_constant_images_are_copies_of_nothing():
    assert find_copies(samples_of([np.full((64, 64), v, np.float32) for v in (0, 0, 3)])) == ()


def test_tiny_images_are_compared_pixel_by_pixel():
    rng = np.random.default_rng(0)
    a = rng.random((9, 13)).astype(np.float32)
    copies = find_copies(samples_of([a, rng.random((9, 13)).astype(np.float32), a.T.copy(), a.copy()]))
    assert [(c.first, c.second, c.kind) for c in copies] == [
        (0, 2, "symmetric"),
        (0, 3, "exact"),
        (2, 3, "symmetric"),
    ]


def test_every_pair_of_many_copies_is_listed(micrographs):
    rng = np.random.default_rng(5)
    base = window(micrographs[0])
    family = [CHANGES["noisy, turned"](base, rng).astype(np.float32) for _ in range(9)]
    found = find_copies(samples_of([*family, *(window(im) for im in micrographs[1:])]))
    assert {(c.first, c.second) for c in found} == {(a, b) for a in range(9) for b in range(a + 1, 9)}


def test_colour_and_other_types_are_seen_through(micrographs):
    grey = window(micrographs[0]).astype(np.uint8)
    colour = np.stack([grey, grey // 2 + 40, 255 - grey // 3], axis=-1)
    copies = find_copies([Sample(grey), Sample(colour), Sample(grey.astype(np.uint16) * 257)])
    assert {(c.first, c.second) for c in copies} == {(0, 1), (0, 2), (1, 2)}


def test_a_slice_of_a_stack_saved_as_an_image_is_found_and_its_own_slices_are_not_reported():
    rng = np.random.default_rng(2)
    stack = 100 + 300 * ndimage.gaussian_filter(rng.normal(size=(12, SIDE, SIDE)), 2.5).astype(np.float32)
    copies = find_copies([Sample(stack, name="stack"), Sample(transform(stack[5], 4).copy(), name="slice")])
    assert [(c.first, c.second, c.kind) for c in copies] == [(0, 1, "symmetric")]
    assert copies[0].slices == (5, None)
    assert copies[0].sentence(["stack", "slice"]) == "'slice' is a copy of 'stack' (slice 5), mirrored left to right."


def test_nan_pixels_and_cancelling_do_no_harm(micrographs):
    holed = window(micrographs[0]).copy()
    holed[20:24, 30:33] = np.nan
    (copy,) = find_copies(samples_of([window(micrographs[0]), holed]))
    assert copy.kind in ("grey", "noisy")

    class Set:
        def is_set(self):
            return True

    assert find_copies(samples_of([window(im) for im in micrographs]), cancel=Set()) == ()


def test_progress_ends_with_all_planes(micrographs):
    told = []
    find_copies(samples_of([window(im) for im in micrographs[:3]]), progress=lambda *n: told.append(n))
    assert told == [(1, 3), (2, 3), (3, 3)]


@given(k=st.sampled_from(SYMMETRIES), j=st.sampled_from(SYMMETRIES), h=st.integers(1, 5), w=st.integers(1, 5))
def test_symmetries_compose_and_invert_as_on_arrays(k, j, h, w):
    image = np.arange(h * w).reshape(h, w)
    assert np.array_equal(transform(transform(image, k), j), transform(image, compose(j, k)))
    assert np.array_equal(transform(transform(image, k), inverse(k)), image)


@given(data=st.data())
def test_motions_follow_pixels_there_over_and_back(data):
    shapes = [data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9))) for _ in range(3)]
    motions = [
        Motion(data.draw(st.sampled_from(SYMMETRIES)), data.draw(st.tuples(st.integers(-9, 9), st.integers(-9, 9))))
        for _ in range(2)
    ]
    point = data.draw(st.tuples(st.integers(0, shapes[0][0] - 1), st.integers(0, shapes[0][1] - 1)))
    there = motions[0].at(point, shapes[0])
    over = motions[0].then(motions[1], shapes[0], shapes[1])
    assert over.at(point, shapes[0]) == motions[1].at(there, shapes[1])
    assert motions[0].back(shapes[0], shapes[1]).at(there, shapes[1]) == point


def test_copies_merge_groups_over_any_number_of_steps(micrographs):
    a, b = (window(im) for im in micrographs[:2])
    samples = samples_of([a, a.copy(), transform(a, 2).copy(), b], ["p", "q", "", "r"])
    merged = merge_copies(samples, find_copies(samples))
    assert merged.keys[0] == merged.keys[1] == merged.keys[2] != merged.keys[3]
    assert merged.names[0].startswith("p + q + (n2")
    assert merged.sentences == (
        "groups 'p' and 'q' count as one: 'n1' is a copy of 'n0'.",
        "counted as one group: 'n2' is a copy of 'n0', turned by 180°.",
    )


def test_images_read_from_disk_piece_by_piece_are_searched_too(micrographs, tmp_path):
    from napari_anneal.samples import read_image

    for name, image in (("a", window(micrographs[0])), ("b", window(micrographs[0])[:, ::-1])):
        tifffile.imwrite(tmp_path / f"{name}.tif", image.astype(np.uint8))
    images = [read_image(tmp_path / f"{name}.tif") for name in "ab"]
    (copy,) = find_copies([Sample(array, axes=axes) for array, axes, _ in images])
    assert (copy.kind, copy.symmetry) == ("symmetric", 4)
