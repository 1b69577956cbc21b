"""Grains are closed cells, lines part them, gaps in boundaries are bridged, seeds and sizes do what they say."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.segmentation import find_boundaries

import napari_anneal as na
from napari_anneal.errors import InputError
from napari_anneal.inference.instances import InstanceRecipe, find_instances
from napari_anneal.validation import compare_partitions


def network(shape, n_seeds, seed):
    """A tessellation and the probability that a network could give for its boundaries."""
    made = na.synthesize(na.MicrostructureRecipe(shape=shape, n_seeds=n_seeds), seed=seed)
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 0.1, shape), 1)
    probability = np.clip(0.95 * np.exp(-((made.distance / 1.5) ** 2)) + noise, 0, 1)
    return made, probability.astype(np.float32)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), flat=st.booleans(), min_size=st.sampled_from([1, 9, 60]))
def test_every_grain_is_one_connected_cell_and_they_fill_the_image(seed, flat, min_size):
    shape = (70, 61) if flat else (18, 25, 22)
    probability = np.random.default_rng(seed).random(shape).astype(np.float32)
    probability = np.clip(3 * ndimage.gaussian_filter(probability, 1.2) - 1, 0, 1)
    found = find_instances(probability, InstanceRecipe(depth=0.3, min_size=min_size), block=16)
    assert (np.unique(found.labels) == np.arange(1, found.count + 1)).all()
    for k in range(1, found.count + 1):
        assert ndimage.label(found.labels == k)[1] == 1
    assert found.count == 1 or np.bincount(found.labels.ravel())[1:].min() >= min_size


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), flat=st.booleans())
def test_lines_part_all_grains_lose_none_and_have_no_loose_ends(seed, flat):
    shape = (70, 61) if flat else (18, 25, 22)
    probability = np.random.default_rng(seed).random(shape).astype(np.float32)
    probability = np.clip(3 * ndimage.gaussian_filter(probability, 1.2) - 1, 0, 1)
    recipe = InstanceRecipe(depth=0.3)
    filled = find_instances(probability, recipe).labels
    lined = find_instances(probability, recipe.model_copy(update={"lines": True}), block=20).labels
    line = lined == 0
    np.testing.assert_array_equal(lined[~line], filled[~line])
    assert set(np.unique(filled)) == set(np.unique(lined)) - {0}
    for axis in range(len(shape)):
        a, b = np.moveaxis(lined, axis, 0)[:-1], np.moveaxis(lined, axis, 0)[1:]
        assert not ((a != b) & (a > 0) & (b > 0)).any()
    # Every pixel of a line touches another grain than the one it was taken from.
    assert not (line & ~find_boundaries(filled, connectivity=1, mode="thick")).any()


@pytest.mark.parametrize("shape", [(160, 160), (48, 48, 48)])
def test_grains_of_a_noisy_boundary_map_are_those_of_the_tessellation(shape):
    made, probability = network(shape, 40, 1)
    found = find_instances(probability)
    assert abs(found.count - made.grains.max()) <= 4
    assert compare_partitions(made.grains, found.labels).rand_error < 0.05


def test_a_gap_in_a_boundary_is_bridged_and_one_wider_than_the_grains_is_not():
    wall = np.zeros((40, 60), np.float32)
    wall[:, 30] = 1
    wall[16:23, 30] = 0
    recipe = InstanceRecipe(reach=20)
    labels = find_instances(wall, recipe).labels
    assert labels.max() == 2
    assert (labels[:, :29] == 1).all()
    assert (labels[:, 32:] == 2).all()
    wall[4:36, 30] = 0
    assert find_instances(wall, InstanceRecipe(reach=12)).count == 1


def test_touching_disks_are_cut_at_the_neck_and_left_joined_without_split():
    y, x = np.mgrid[:60, :100]
    disks = ((y - 30) ** 2 + (x - 32) ** 2 < 400) | ((y - 30) ** 2 + (x - 66) ** 2 < 400)
    recipe = InstanceRecipe(kind="objects", reach=30)
    labels = find_instances(disks, recipe).labels
    assert labels.max() == 2
    assert (labels[disks] > 0).all()
    assert not labels[~disks].any()
    assert (labels[:, :48][disks[:, :48]] == 1).all()
    assert (labels[:, 51:][disks[:, 51:]] == 2).all()
    assert find_instances(disks, recipe.model_copy(update={"split": False})).count == 1


def test_depth_is_told_in_fractions_of_a_pixel():
    y, x = np.mgrid[:60, :100]
    disks = ((y - 30) ** 2 + (x - 32) ** 2 < 400) | ((y - 30) ** 2 + (x - 66) ** 2 < 400)
    # Radius 20, half the neck √(20² − 17²) = 10.5: the cut is some 9 px deep.
    counts = [
        find_instances(disks, InstanceRecipe(kind="objects", reach=30, depth=d, scale=1000)).count
        for d in (8.5, 8.75, 9.75, 10)
    ]
    assert counts == [2, 2, 1, 1]


def test_seeds_name_their_grains_and_hold_against_the_landscape():
    wall = np.zeros((40, 60), np.float32)
    wall[:, 30] = 1
    seeds = np.zeros(wall.shape, int)
    seeds[5, 5], seeds[35, 5], seeds[20, 50] = 7, 3, 12
    found = find_instances(wall, seeds=seeds, block=16)
    assert set(np.unique(found.labels)) == {3, 7, 12}
    assert (found.labels[:, 32:] == 12).all()
    assert found.labels[5, 5] == 7
    assert found.labels[35, 5] == 3
    points = find_instances(wall, seeds=[(5.2, 4.8), (35, 5), (20, 50)])
    renamed = np.select([found.labels == 7, found.labels == 3, found.labels == 12], [1, 2, 3])
    np.testing.assert_array_equal(points.labels, renamed)


def test_objects_that_no_seed_reaches_are_left_out():
    mask = np.zeros((20, 40), bool)
    mask[5:15, 3:13] = mask[5:15, 23:33] = True
    found = find_instances(mask, InstanceRecipe(kind="objects"), seeds=[(9, 25)])
    np.testing.assert_array_equal(found.labels, np.where(np.arange(40) > 20, mask, 0))


def test_smallest_size_in_square_micrometres_counts_pixels_by_their_size():
    mask = np.zeros((20, 40), bool)
    mask[2:5, 2:6] = True  # 12 px, 3 µm² at 0.5 µm
    mask[10:14, 20:24] = True  # 16 px, 4 µm²
    recipe = InstanceRecipe(kind="objects", split=False, min_size=1, min_size_um=3.5)
    assert find_instances(mask, recipe, spacing=(0.5, 0.5)).count == 1
    with pytest.raises(InputError, match="pixel size"):
        find_instances(mask, recipe)


def test_thick_slices_count_as_far_apart():
    # Two balls that touch along Z: with slices five times as thick the neck is far from both middles.
    z, y, x = np.mgrid[:13, :41, :41]
    balls = ((5 * (z - 3)) ** 2 + (y - 20) ** 2 + (x - 20) ** 2 < 324) | (
        (5 * (z - 9)) ** 2 + (y - 20) ** 2 + (x - 20) ** 2 < 324
    )
    recipe = InstanceRecipe(kind="objects", reach=24)
    found = find_instances(balls, recipe, spacing=(5, 1, 1))
    assert found.count == 2
    assert found.labels[3, 20, 20] != found.labels[9, 20, 20]
    assert find_instances(balls, recipe).count == 1


def test_writes_through_a_zarr_array_in_blocks_with_the_same_bytes(tmp_path):
    import zarr

    _, probability = network((40, 50, 60), 60, 2)
    stored = zarr.create_array(tmp_path / "p.zarr", shape=probability.shape, chunks=(16, 25, 30), dtype="float32")
    stored[:] = probability
    out = zarr.create_array(tmp_path / "out.zarr", shape=probability.shape, chunks=(16, 25, 30), dtype="uint32")
    for lines in (False, True):
        recipe = InstanceRecipe(lines=lines)
        found = find_instances(stored, recipe, out=out, block=(16, 25, 30))
        expected = find_instances(probability, recipe)
        np.testing.assert_array_equal(found.labels[:], expected.labels)
        assert found.table.to_csv() == expected.table.to_csv()


def test_progress_counts_every_step_and_cancel_stops():
    probability = np.random.default_rng(0).random((30, 30, 30)).astype(np.float32)
    told = []
    assert find_instances(probability, block=10, progress=lambda done, total: told.append((done, total)))
    assert told == [(k, 54) for k in range(1, 55)]
    stop = threading.Event()

    def after_five(done, total):
        if done == 5:
            stop.set()

    assert find_instances(probability, block=10, progress=after_five, cancel=stop) is None


MASK = np.zeros((8, 8), bool)


@pytest.mark.parametrize(
    ("source", "options", "sentence"),
    [
        (np.full((8, 8), np.nan, np.float32), {}, "NaN"),
        (np.full((8, 8), 80.0, np.float32), {}, "0 … 1"),
        (np.zeros((2, 2, 8, 8), np.float32), {}, "two or three axes"),
        (np.zeros((0, 8), np.float32), {}, "two or three axes"),
        (np.zeros((8, 8), complex), {}, "complex"),
        (np.full((8, 8), 2, np.uint8), {}, "value=2"),
        (np.zeros((8, 8), np.float32), {"value": 2}, "probabilities"),
        (MASK, {"spacing": (1, 2, 3)}, "2 positive numbers"),
        (MASK, {"intensity": np.zeros((3, 3))}, "intensity"),
        (MASK, {"seeds": np.zeros((3, 3))}, "seeds are labels"),
        (MASK, {"seeds": [(2, 9)]}, "seed 1 at"),
        (MASK, {"seeds": [(2, np.nan)]}, "NaN"),
        (MASK, {"seeds": np.full((8, 8), -1)}, "seeds must be"),
        (MASK, {"out": np.zeros((8, 8), np.uint8)}, "int32"),
        (MASK, {"block": 0}, "block"),
        (MASK, {"workers": 0}, "workers"),
        (MASK, {"recipe": InstanceRecipe(connectivity=3)}, "connectivity 3"),
    ],
)
def test_bad_input_is_refused_with_one_sentence(source, options, sentence):
    with pytest.raises(InputError, match=sentence) as refused:
        find_instances(source, **options)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "settings_", [{"split": False}, {"kind": "objects", "lines": True}, {"threshold": 0}, {"depth": 0}]
)
def test_settings_that_contradict_are_refused(settings_):
    with pytest.raises(InputError):
        InstanceRecipe(**settings_)


def test_a_source_that_cannot_be_read_is_named_with_the_place():
    class Broken:
        shape, dtype = (80, 80), np.dtype(np.float32)

        def __getitem__(self, place):
            if place[0].start > 0:
                raise OSError("bad sector")
            return np.zeros((80, 80), np.float32)[place]

    with pytest.raises(InputError, match=r"cannot be read at \[0:1, 15:.*bad sector"):
        find_instances(Broken(), block=16)
