"""Every patch holds paint, rare classes are seen as often as common ones, and a draw can be repeated."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_anneal.errors import InputError
from napari_anneal.samples.normalisation import intensity_range
from napari_anneal.samples.patches import PatchSampler, PreparedSlice, painted_tiles, prepare_slices
from napari_anneal.samples.sample import Sample


def painted(shape=(200, 150), seed=0):
    """A gradient whose value tells where a pixel came from, with a big class 1 and a tiny class 2."""
    labels = np.zeros(shape, dtype=np.int64)
    labels[:, : shape[1] // 2] = 1
    labels[shape[0] // 2, -2] = 2
    image = np.arange(labels.size, dtype=np.float32).reshape(1, *shape)
    return PreparedSlice(image, labels, seed, None)


@given(number=st.integers(0, 10**6), patch=st.sampled_from([32, 64]))
def test_a_patch_is_a_window_of_image_and_labels_alike(number, patch):
    part = painted()
    image, labels = PatchSampler([part], patch, 2, seed=3).draw(number)
    y, x = divmod(int(image[0, 0, 0]), part.labels.shape[1])
    np.testing.assert_array_equal(image, part.image[:, y : y + patch, x : x + patch])
    np.testing.assert_array_equal(labels, part.labels[y : y + patch, x : x + patch])
    assert labels.any()


def test_a_class_of_one_pixel_is_drawn_half_the_time():
    sampler = PatchSampler([painted()], 32, 2, seed=0)
    share = np.mean([(sampler.draw(i)[1] == 2).any() for i in range(400)])
    assert 0.42 < share < 0.6


def test_the_painted_pixel_is_seen_all_over_the_patch():
    sampler = PatchSampler([painted((400, 400))], 32, 2, seed=0)
    rows = [int(np.argwhere(labels == 2)[0, 0]) for _, labels in map(sampler.draw, range(600)) if (labels == 2).any()]
    assert set(rows) == set(range(32))


def test_draws_depend_on_seed_and_number_alone():
    a, b = (PatchSampler([painted()], 32, 2, seed=5) for _ in range(2))
    b.draw(0)
    np.testing.assert_array_equal(a.draw(7)[0], b.draw(7)[0])
    assert any(not np.array_equal(a.draw(i)[0], PatchSampler([painted()], 32, 2, seed=6).draw(i)[0]) for i in range(5))


@given(height=st.integers(1, 90), width=st.integers(1, 90))
def test_an_image_smaller_than_a_patch_is_mirrored_and_its_margin_unpainted(height, width):
    part = PreparedSlice(
        np.random.default_rng(0).random((1, height, width), dtype=np.float32),
        np.ones((height, width), dtype=np.int64),
        0,
        None,
    )
    image, labels = PatchSampler([part], 64, 1, seed=0).draw(0)
    assert image.shape == (1, 64, 64)
    assert np.isin(image, part.image).all()
    assert (labels > 0).sum() <= height * width


@given(height=st.integers(40, 200), width=st.integers(40, 200))
def test_validation_tiles_cover_each_painted_pixel_once(height, width):
    labels = np.ones((height, width), dtype=np.int64)
    part = PreparedSlice(np.zeros((1, height, width), dtype=np.float32), labels, 0, None)
    tiles = painted_tiles([part], 32, most=10**6)
    assert sum(int(t.labels.sum()) for t in tiles) == height * width


def test_at_most_as_many_tiles_as_asked_for():
    part = PreparedSlice(np.zeros((1, 320, 320), np.float32), np.ones((320, 320), np.int64), 0, None)
    assert len(painted_tiles([part], 32, most=7)) == 7


def test_fewer_tiles_still_show_every_class():
    labels = np.ones((320, 320), np.int64)
    labels[40:44, 100:104] = 3
    labels[170, 170] = 3
    labels[300:310, 40:50] = 2
    part = PreparedSlice(np.zeros((1, 320, 320), np.float32), labels, 0, None)
    tiles = painted_tiles([part], 32, most=3)
    assert len(tiles) <= 5
    assert {int(k) for tile in tiles for k in np.unique(tile.labels)} == {1, 2, 3}
    assert max(int((tile.labels == 3).sum()) for tile in tiles) == 16  # the patch with most of it


class Counting:
    """An image stack that counts which slices are read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, []

    def __getitem__(self, z):
        self.read.append(z)
        return self.array[z]


def test_only_painted_slices_of_a_stack_train_and_the_rest_is_hardly_read():
    stack = Counting(np.random.default_rng(0).integers(0, 255, (200, 20, 30), dtype=np.uint8))
    labels = np.zeros(stack.shape, dtype=np.uint8)
    labels[7, :5], labels[150, 5:9] = 1, 2
    slices = prepare_slices([Sample(stack, labels)], [0])
    assert [s.z for s in slices] == [7, 150]
    assert len(set(stack.read)) <= 18, "more than the painted slices and 16 for the intensity limits were read"


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "float32", "float64", "int16"])
def test_any_pixel_type_lands_on_the_same_scale(dtype):
    unit = np.random.default_rng(0).random((64, 64))
    image = (unit > 0.5) if dtype == "bool" else (unit * (1 if dtype.startswith("float") else 250)).astype(dtype)
    scaled = intensity_range(image).apply(image)
    assert scaled.dtype == np.float32
    assert np.quantile(scaled, 0.02) == pytest.approx(0, abs=0.02)
    assert np.quantile(scaled, 0.98) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("pixel", "what"), [(np.nan, "NaN or infinite"), (np.inf, "NaN or infinite")])
def test_one_bad_pixel_is_refused_wherever_it_is(pixel, what):
    image = np.random.default_rng(0).random((700, 700)).astype(np.float32)
    image[333, 331] = pixel
    with pytest.raises(InputError, match=what):
        intensity_range(image, where="image 'a'")


def test_a_constant_image_is_refused_but_a_nearly_constant_one_is_not():
    with pytest.raises(InputError, match="constant"):
        intensity_range(np.full((30, 30), 7, dtype=np.uint8))
    spot = np.zeros((300, 300), dtype=np.uint8)
    spot[5, 5] = 200
    assert intensity_range(spot).high == 200


def test_a_hole_in_the_specimen_does_not_squeeze_its_phases():
    rng = np.random.default_rng(0)
    image = np.where(rng.random((300, 300)) < 0.5, 150, 180).astype(np.uint8)
    pierced = image.copy()
    pierced[:30, :45] = 0  # 1.5 % of the image
    for grey in (150, 180):
        whole, holed = (intensity_range(i).apply(i)[image == grey] for i in (image, pierced))
        assert np.median(holed) == pytest.approx(np.median(whole), abs=0.05)
