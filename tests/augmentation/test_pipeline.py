"""Claims about the augmentation pipeline; oracles are NumPy's flips and rotations and hand-made images."""

import pickle
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_anneal.augmentation import AugmentationRecipe, Augmenter
from napari_anneal.augmentation.recipe import TRANSFORMS
from napari_anneal.errors import InputError

GEOMETRY = TRANSFORMS[: TRANSFORMS.index("brightness")]
INTENSITY = TRANSFORMS[TRANSFORMS.index("brightness") : TRANSFORMS.index("cutout")]


def pair(shape=(64, 64), channels=1, seed=0, classes=4):
    rng = np.random.default_rng(seed)
    image = rng.uniform(-0.1, 1.1, (channels, *shape)).astype(np.float32)
    return image, rng.integers(0, classes, shape).astype(np.int64)


def coded_pair(shape=(64, 64)):
    """An image whose grey value says which label sits there, in blocks wide enough to survive interpolation."""
    labels = (np.arange(shape[0])[:, None] // 16 + 2 * (np.arange(shape[1])[None] // 16)) % 3 + 1
    return (labels[None] / 4).astype(np.float32), labels.astype(np.int64)


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(64, 64), (48, 80)])
def test_every_transform_alone_keeps_shape_dtype_and_finiteness(name, channels, shape):
    image, labels = pair(shape, channels)
    before = image.copy(), labels.copy()
    out, moved = Augmenter(AugmentationRecipe.only(**{name: 1.0}))(image, labels, 5)
    assert out.shape == image.shape
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert moved.shape == labels.shape
    assert moved.dtype == labels.dtype
    assert set(np.unique(moved)) <= set(np.unique(labels)) | {0}
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(labels, before[1])


@pytest.mark.parametrize("name", [*GEOMETRY, *INTENSITY, "cutout"])
def test_every_transform_does_something(name):
    image, labels = pair()
    augment = Augmenter(AugmentationRecipe.only(**{name: 1.0}))
    assert any(not np.array_equal(augment(image, labels, seed)[0], image) for seed in range(8))


@given(seed=st.integers(0, 2**32 - 1), channels=st.sampled_from([1, 3]))
@settings(max_examples=40, deadline=None)
def test_flips_and_quarter_turns_are_exact_permutations(seed, channels):
    image, labels = pair((32, 32), channels)
    recipe = AugmentationRecipe.only(hflip=0.5, vflip=0.5, rot90=1.0)
    out, moved = Augmenter(recipe)(image, labels, seed)
    symmetric = [
        (np.rot90(flip(image, -1), k, (1, 2)), np.rot90(flip(labels, -1), k))
        for k in range(4)
        for flip in (np.flip, lambda array, axis: array)
    ]
    assert sum(np.array_equal(out, i) and np.array_equal(moved, m) for i, m in symmetric) == 1


def test_all_eight_symmetries_occur_and_the_coins_are_independent():
    # One seed for every transform (albumentations' own seeding) would give only some of the eight.
    image, labels = pair((8, 8))
    augment = Augmenter(AugmentationRecipe.only(hflip=0.5, vflip=0.5, rot90=0.75))
    seen = {augment(image, labels, seed)[0].tobytes() for seed in range(200)}
    assert len(seen) == 8


def test_a_patch_that_is_not_square_is_turned_by_180_degrees_or_not_at_all():
    image, labels = pair((24, 40))
    augment = Augmenter(AugmentationRecipe.only(rot90=1.0))
    turned = 0
    for seed in range(40):
        out, moved = augment(image, labels, seed)
        if not np.array_equal(out, image):
            np.testing.assert_array_equal(out, image[:, ::-1, ::-1])
            np.testing.assert_array_equal(moved, labels[::-1, ::-1])
            turned += 1
    assert 5 < turned < 35


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_the_same_seed_gives_the_same_bytes_in_another_augmenter_after_other_calls(seed):
    image, labels = pair()
    recipe = AugmentationRecipe.only(**dict.fromkeys(TRANSFORMS, 0.5))
    used = Augmenter(recipe)
    for other in range(3):
        used(image, labels, other)
    fresh = pickle.loads(pickle.dumps(Augmenter(recipe)))
    for a, b in zip(used(image, labels, seed), fresh(image, labels, seed), strict=True):
        assert a.tobytes() == b.tobytes()


def test_other_seeds_give_other_images():
    image, labels = pair()
    augment = Augmenter()
    assert len({augment(image, labels, seed)[0].tobytes() for seed in range(50)}) >= 45


def test_threads_sharing_an_augmenter_do_not_disturb_each_other():
    image, labels = pair()
    augment = Augmenter(AugmentationRecipe.only(**dict.fromkeys(TRANSFORMS, 0.5)))
    expected = [augment(image, labels, seed)[0] for seed in range(40)]
    got = [None] * 40

    def work(start):
        for seed in range(start, 40, 4):
            got[seed] = augment(image, labels, seed)[0]

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("outside", ["reflect", "wrap"])
@pytest.mark.parametrize("name", ["rotate", "scale", "shear", "perspective", "crop", "elastic"])
def test_labels_follow_the_image_through_every_warp(name, outside):
    image, labels = coded_pair((96, 96))
    augment = Augmenter(AugmentationRecipe.only(**{name: 1.0}, outside=outside))
    for seed in range(6):
        out, moved = augment(image, labels, seed)
        assert moved.min() >= 1, "no pixel may lose its label"
        # Interpolation blurs the image by a pixel at the edges of the blocks; elsewhere the grey value is the label.
        inside = _away_from_edges(moved)
        assert inside.mean() > 0.3
        assert (np.abs(out[0] * 4 - moved) < 0.2)[inside].mean() > 0.98


def _away_from_edges(labels):
    inner = np.ones(labels.shape, bool)
    for axis in (0, 1):
        for shift in (-1, 1, -2, 2):
            inner &= np.roll(labels, shift, axis) == labels
    inner[:3], inner[-3:], inner[:, :3], inner[:, -3:] = False, False, False, False
    return inner


@pytest.mark.parametrize("outside", ["reflect", "wrap", "unpainted"])
@pytest.mark.parametrize("name", ["rotate", "scale", "shear", "perspective", "elastic"])
def test_no_warp_leaves_a_black_corner(name, outside):
    image = np.full((1, 64, 64), 0.7, np.float32)
    augment = Augmenter(AugmentationRecipe.only(**{name: 1.0}, outside=outside, scale_factor=(0.5, 0.6)))
    for seed in range(5):
        assert augment(image, np.ones((64, 64), int), seed)[0].min() == pytest.approx(0.7, abs=1e-5)


@pytest.mark.parametrize("name", ["rotate", "scale", "shear"])
def test_pixels_from_outside_are_unpainted_when_asked(name):
    settings_ = {"rotate_deg": (45.0, 45.0), "scale_factor": (0.5, 0.5), "shear_deg": (20.0, 20.0)}
    labels = np.full((64, 64), 3)
    image = np.zeros((1, 64, 64), np.float32)
    _, moved = Augmenter(AugmentationRecipe.only(**{name: 1.0}, outside="unpainted", **settings_))(image, labels, 0)
    assert set(np.unique(moved)) == {0, 3}
    _, mirrored = Augmenter(AugmentationRecipe.only(**{name: 1.0}, **settings_))(image, labels, 0)
    assert set(np.unique(mirrored)) == {3}
    if name == "scale":
        assert (moved == 3).mean() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("name", INTENSITY)
def test_grey_value_transforms_leave_the_labels_alone(name):
    image, labels = pair()
    np.testing.assert_array_equal(Augmenter(AugmentationRecipe.only(**{name: 1.0}))(image, labels, 1)[1], labels)


def test_values_beyond_the_unit_range_keep_their_order():
    ramp = np.linspace(-0.3, 1.4, 64 * 64, dtype=np.float32).reshape(1, 64, 64)
    labels = np.ones((64, 64), int)
    recipe = AugmentationRecipe.only(brightness=1.0, contrast=1.0, gamma=1.0)
    for seed in range(20):
        out = Augmenter(recipe)(ramp, labels, seed)[0].ravel()
        assert (np.diff(out) > 0).all()


@pytest.mark.parametrize(
    ("name", "field", "strength", "measured"),
    [
        ("gaussian_noise", "gaussian_noise_std", 0.03, lambda noise, level: noise.std()),
        ("poisson", "poisson_counts", 200.0, lambda noise, level: level / noise.var()),
    ],
)
def test_noise_has_the_strength_the_recipe_says(name, field, strength, measured):
    image = np.full((1, 256, 256), 0.6, np.float32)
    recipe = AugmentationRecipe.only(**{name: 1.0, field: (strength, strength)})
    noise = Augmenter(recipe)(image, np.ones((256, 256), int), 3)[0] - 0.6
    assert abs(noise.mean()) < 0.002
    assert measured(noise, 0.6) == pytest.approx(strength, rel=0.03)


@pytest.mark.parametrize("outside", ["reflect", "wrap", "unpainted"])
def test_what_is_not_painted_stays_so_and_no_transform_invents_paint(outside):
    image, _ = pair()
    augment = Augmenter(AugmentationRecipe.only(**dict.fromkeys(TRANSFORMS, 0.7), outside=outside))
    sparse = np.zeros((64, 64), int)
    sparse[20:26, 30:36] = 3
    for seed in range(8):
        assert not augment(image, np.zeros((64, 64), int), seed)[1].any()
        assert set(np.unique(augment(image, sparse, seed)[1])) <= {0, 3}


def test_erased_pixels_become_unpainted_and_no_others():
    image, _ = pair()
    labels = np.full((64, 64), 2)
    out, moved = Augmenter(AugmentationRecipe.only(cutout=1.0))(image, labels, 0)
    erased = moved == 0
    assert 0 < erased.mean() < 0.5
    np.testing.assert_allclose(out[0][erased], image.mean(), atol=1e-5)
    np.testing.assert_array_equal(out[0][~erased], image[0][~erased])


def test_no_augmentation_is_the_identity_in_new_arrays():
    image, labels = pair()
    out, moved = Augmenter(AugmentationRecipe.none())(image, labels, 0)
    np.testing.assert_array_equal(out, image)
    np.testing.assert_array_equal(moved, labels)
    assert not np.shares_memory(out, image)
    assert not np.shares_memory(moved, labels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_large_labels_survive_a_warp(dtype):
    value = min(np.iinfo(dtype).max, 2**24)
    image, _ = pair()
    labels = np.full((64, 64), value, dtype)
    _, moved = Augmenter(AugmentationRecipe.only(rotate=1.0))(image, labels, 0)
    assert moved.dtype == dtype
    assert (moved == value).all()


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        (np.zeros((2, 8, 8), np.float32), np.zeros((8, 8), int)),
        (np.zeros((8, 8), np.float32), np.zeros((8, 8), int)),
        (np.zeros((1, 8, 8), np.float32), np.zeros((8, 9), int)),
        (np.zeros((1, 8, 8), np.uint8), np.zeros((8, 8), int)),
        (np.zeros((1, 8, 8), np.float32), np.zeros((8, 8), float)),
        (np.zeros((1, 8, 8), np.float32), np.full((8, 8), -1)),
        (np.zeros((1, 8, 8), np.float32), np.full((8, 8), 2**25)),
        (np.zeros((1, 0, 8), np.float32), np.zeros((0, 8), int)),
    ],
)
def test_what_cannot_be_augmented_is_refused_in_a_sentence(image, labels):
    with pytest.raises(InputError, match=r"augmentation takes|labels must"):
        Augmenter()(image, labels, 0)


def test_a_pair_of_256_pixels_takes_8_ms_at_most_on_average():
    image, labels = pair((256, 256))
    augment = Augmenter()
    augment(image, labels, 0)
    best = min(_seconds(lambda: [augment(image, labels, s) for s in range(60)]) / 60 for _ in range(3))
    assert best < 0.008


def _seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
