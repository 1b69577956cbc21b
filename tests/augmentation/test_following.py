"""Claims about points, boxes and stacks: an image in which the point can be seen is the oracle of where it went."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_anneal.augmentation import AugmentationRecipe, Augmenter
from napari_anneal.augmentation.legality import TRANSFORMS
from napari_anneal.errors import InputError

GEOMETRY = TRANSFORMS[: TRANSFORMS.index("brightness")]
SHAPE = (96, 120)


def spots(points: np.ndarray, shape: tuple[int, int] = SHAPE, sigma: float = 2.5) -> np.ndarray:
    """A Gaussian spot at every point; its centroid in the warped image is where the point went."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return sum(np.exp(-((y - p[0]) ** 2 + (x - p[1]) ** 2) / (2 * sigma**2)) for p in points)[None].astype(np.float32)


def centroid(image: np.ndarray) -> np.ndarray:
    """Of the brightest spot."""
    clear = np.where(image[0] > 0.2 * image.max(), image[0], 0.0)
    y, x = np.indices(clear.shape)
    return np.array([(y * clear).sum(), (x * clear).sum()]) / clear.sum()


@pytest.mark.parametrize("outside", ["unpainted", "wrap"])
@pytest.mark.parametrize("name", GEOMETRY)
def test_a_point_is_where_its_spot_is_after_every_transform(name, outside):
    rng = np.random.default_rng(0)
    # A gentle field, since a strong one makes no spot of a spot.
    augment = Augmenter(AugmentationRecipe.only(**{name: 1.0}, outside=outside, elastic_sigma_px=12.0))
    seen = 0
    for seed in range(12):
        point = rng.uniform((25, 25), (SHAPE[0] - 26, SHAPE[1] - 26))
        done = augment.apply(spots([point]), np.zeros(SHAPE, int), seed, keypoints=[point])
        (found,) = done.keypoints
        if np.isnan(found).any():
            continue
        if (found < 9).any() or (found > np.array(SHAPE) - 10).any():
            continue  # the border cuts the spot, and its centroid says nothing
        assert centroid(done.image) == pytest.approx(found, abs=0.15 if name != "elastic" else 0.5)
        seen += 1
    assert seen >= 3


@pytest.mark.parametrize("name", [*GEOMETRY, "cutout"])
def test_a_point_is_on_the_label_it_was_put_on_and_gone_where_that_is_gone(name):
    rng = np.random.default_rng(1)
    recipe = AugmentationRecipe.only(
        **{name: 1.0}, outside="unpainted", rotate_deg=(-180.0, 180.0), cutout_fraction=(0.2, 0.4)
    )
    image, labels = np.zeros((1, *SHAPE), np.float32), np.zeros(SHAPE, int)
    points = rng.integers((1, 1), (SHAPE[0] - 1, SHAPE[1] - 1), (40, 2))
    gone = 0
    for seed in range(4):
        for number, (y, x) in enumerate(points[:12], 1):
            labels[:] = 0
            labels[y - 1 : y + 2, x - 1 : x + 2] = number
            done = Augmenter(recipe).apply(image, labels, seed, keypoints=[(y, x)])
            (found,) = done.keypoints
            if np.isnan(found).any():
                gone += 1
                # Of nine pixels, a few may still be there when the middle one has just left.
                assert (done.labels == number).sum() <= 8
            else:
                assert done.labels[tuple(np.rint(found).astype(int))] in (number, 0 if name == "elastic" else number)
    assert gone > 0 or name in ("hflip", "vflip", "rot180", "rot90", "shear", "perspective", "elastic", "scale")


@given(seed=st.integers(0, 2**32 - 1), side=st.sampled_from([16, 17]))
@settings(max_examples=30, deadline=None)
def test_under_flips_and_turns_every_pixel_and_its_box_go_together(seed, side):
    augment = Augmenter(AugmentationRecipe.only(hflip=0.5, vflip=0.5, rot180=0.3, rot90=0.8))
    labels = np.arange(side * side).reshape(side, side)
    points = np.argwhere(labels >= 0)
    boxes = np.array([(2.5, 3.5, 7.5, 5.5), (-0.5, -0.5, side - 0.5, side - 0.5), (4.5, 6.5, 5.5, 7.5)])
    done = augment.apply(labels[None].astype(np.float32), labels, seed, keypoints=points, boxes=boxes)
    at = np.rint(done.keypoints).astype(int)
    np.testing.assert_allclose(done.keypoints, at, atol=1e-4)
    np.testing.assert_array_equal(done.labels[at[:, 0], at[:, 1]], np.arange(side * side))
    for box, moved in zip(boxes, done.boxes, strict=True):
        inside = np.isin(done.labels, labels[pixels(box)])
        assert moved == pytest.approx(around(inside), abs=2e-3)


def pixels(box: np.ndarray) -> tuple[slice, slice]:
    y0, x0, y1, x1 = np.rint(np.asarray(box) + 0.5).astype(int)
    return slice(y0, y1), slice(x0, x1)


def around(mask: np.ndarray) -> np.ndarray:
    y, x = np.nonzero(mask)
    return np.array([y.min() - 0.5, x.min() - 0.5, y.max() + 0.5, x.max() + 0.5])


@pytest.mark.parametrize("name", GEOMETRY)
def test_a_box_is_the_box_of_what_is_left_of_its_labels(name):
    recipe = AugmentationRecipe.only(**{name: 1.0}, outside="unpainted", elastic_sigma_px=8.0)
    rng = np.random.default_rng(3)
    augment, seen = Augmenter(recipe), 0
    for seed in range(10):
        y0, x0 = rng.integers((0, 0), (60, 80))
        box = (y0 - 0.5, x0 - 0.5, y0 + 29.5, x0 + 35.5)
        labels = np.zeros(SHAPE, int)
        labels[pixels(box)] = 1
        done = augment.apply(np.zeros((1, *SHAPE), np.float32), labels, seed, boxes=[box])
        (found,) = done.boxes
        if not done.labels.any():
            assert np.isnan(found).all()
            continue
        # Pixels are whole, and one that the border cuts is known to a sixteenth of its side (36 px, and turned).
        border = (around(done.labels > 0) <= 0) | (around(done.labels > 0) >= np.array([*SHAPE, *SHAPE]) - 1)
        off = np.abs(found - around(done.labels > 0))
        assert off.max() <= (3.6 if border.any() else 1.6), (seed, found, around(done.labels > 0))
        seen += 1
    assert seen >= 5


@pytest.mark.parametrize("name", [*GEOMETRY])
def test_labels_are_not_shifted_against_the_image(name):
    # Grey value and label both say where a pixel came from.
    y, x = np.mgrid[:64, :64]
    image = np.stack([y, x, x * 0]).astype(np.float32)
    labels = 1 + 64 * y + x
    augment = Augmenter(AugmentationRecipe.only(**{name: 1.0}, outside="unpainted"))
    for seed in range(6):
        moved, paint = augment(image, labels, seed)
        painted = paint > 0
        painted[:4], painted[-4:], painted[:, :4], painted[:, -4:] = False, False, False, False
        for grey, from_label in zip(moved[:2], ((paint - 1) // 64, (paint - 1) % 64), strict=True):
            assert abs(np.mean((grey - from_label)[painted])) < 0.05


def test_a_point_that_has_left_does_not_come_back_with_a_later_transform():
    # Turned by 45°, the corners leave; zoomed to a half, their places are in the picture again, but nothing of them.
    recipe = AugmentationRecipe.only(rotate=1.0, scale=1.0, rotate_deg=(45.0, 45.0), scale_factor=(0.5, 0.5))
    done = Augmenter(recipe).apply(
        np.zeros((1, 64, 64), np.float32),
        np.zeros((64, 64), int),
        0,
        keypoints=[(2, 2), (32, 32)],
        boxes=[(0, 0, 3, 3)],
    )
    assert np.isnan(done.keypoints[0]).all()
    assert done.keypoints[1] == pytest.approx((31.75, 31.75), abs=0.5)
    assert np.isnan(done.boxes).all()


def test_points_that_are_erased_are_gone_and_others_stay():
    augment = Augmenter(AugmentationRecipe.only(cutout=1.0, cutout_fraction=(0.3, 0.5)))
    points = np.argwhere(np.ones((32, 32)))
    done = augment.apply(np.zeros((1, 32, 32), np.float32), np.ones((32, 32), int), 3, keypoints=points)
    np.testing.assert_array_equal(np.isnan(done.keypoints[:, 0]), done.labels.ravel() == 0)
    kept = ~np.isnan(done.keypoints[:, 0])
    np.testing.assert_allclose(done.keypoints[kept], points[kept])


@pytest.mark.parametrize("recipe", [AugmentationRecipe(), AugmentationRecipe.only(**dict.fromkeys(TRANSFORMS, 0.5))])
def test_marks_change_nothing_in_the_image_and_columns_in_front_stay(recipe):
    rng = np.random.default_rng(0)
    image, labels = rng.random((1, 64, 64), np.float32), rng.integers(0, 4, (64, 64))
    augment = Augmenter(recipe)
    for seed in range(6):
        done = augment.apply(image, labels, seed, keypoints=[(7.0, 20, 30), (9.0, 1, 2)])
        plain = augment(image, labels, seed)
        np.testing.assert_array_equal(done.image, plain[0])
        np.testing.assert_array_equal(done.labels, plain[1])
        np.testing.assert_array_equal(done.keypoints[:, 0], [7.0, 9.0])
        assert done.boxes is None
        bare = augment.apply(image, labels, seed)
        np.testing.assert_array_equal(bare.image, plain[0])
        assert bare.keypoints is None


def test_no_points_are_no_trouble():
    augment = Augmenter(AugmentationRecipe.only(**dict.fromkeys(TRANSFORMS, 1.0)))
    done = augment.apply(np.ones((1, 32, 32), np.float32), np.ones((32, 32), int), 0, keypoints=[], boxes=[])
    assert done.keypoints.shape == (0, 2)
    assert done.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("marks", "words"),
    [
        ({"keypoints": [1, 2]}, "keypoints must be"),
        ({"keypoints": [(1, np.nan)]}, "keypoints must lie in"),
        ({"keypoints": [(31.6, 2)]}, "keypoints must lie in the image of 32 × 32"),
        ({"boxes": [(1, 2, 3)]}, "boxes must be"),
        ({"boxes": [(5, 5, 2, 9)]}, "y0 ≤ y1"),
        ({"boxes": [(-2, 0, 5, 5)]}, "boxes must lie in"),
    ],
)
def test_marks_that_cannot_be_are_refused_in_a_sentence(marks, words):
    with pytest.raises(InputError, match=words):
        Augmenter().apply(np.ones((1, 32, 32), np.float32), np.ones((32, 32), int), 0, **marks)


def stack(depth: int = 3, side: int = 48, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.random((depth, channels, side, side), np.float32), rng.integers(0, 5, (depth, side, side))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", [*GEOMETRY, "cutout", "contrast", "gamma", "brightness", "blur", "clahe"])
@pytest.mark.parametrize("outside", ["reflect", "wrap", "unpainted"])
def test_every_slice_of_a_stack_is_changed_as_it_would_be_alone(name, channels, outside):
    image, labels = stack(channels=channels)
    augment = Augmenter(AugmentationRecipe.only(**{name: 1.0}, outside=outside))
    for seed in range(3):
        done = augment.apply(image, labels, seed)
        assert done.image.shape == image.shape
        for z in range(len(image)):
            alone, paint = augment(image[z], labels[z], seed)
            np.testing.assert_allclose(done.image[z], alone, atol=2e-5)
            np.testing.assert_array_equal(done.labels[z], paint)


@pytest.mark.parametrize("name", ["gaussian_noise", "poisson", "salt_pepper"])
def test_every_slice_of_a_stack_has_noise_of_its_own_of_the_same_strength(name):
    image, labels = np.full((4, 1, 64, 64), 0.5, np.float32), np.ones((4, 64, 64), int)
    noise = Augmenter(AugmentationRecipe.only(**{name: 1.0})).apply(image, labels, 2).image[:, 0] - 0.5
    assert np.ptp([part.std() for part in noise]) < 0.3 * noise.std()
    across = np.corrcoef(noise.reshape(4, -1))[np.triu_indices(4, 1)]
    assert np.abs(across).max() < 0.1


def test_a_stack_of_one_is_a_pair_and_the_default_recipe_moves_all_slices_alike():
    image, labels = stack(1)
    for seed in range(5):
        done, plain = Augmenter().apply(image, labels, seed), Augmenter()(image[0], labels[0], seed)
        np.testing.assert_allclose(done.image[0], plain[0], atol=2e-5)
        np.testing.assert_array_equal(done.labels[0], plain[1])
    image = np.repeat(stack()[0][:1], 3, axis=0)
    same = np.repeat(stack()[1][:1], 3, axis=0)
    for seed in range(5):
        moved = Augmenter().apply(image, same, seed).labels
        assert (moved == moved[0]).all()


def test_points_on_a_stack_keep_their_slice():
    image, labels = stack()
    done = Augmenter(AugmentationRecipe.only(hflip=1.0)).apply(image, labels, 0, keypoints=[(2, 10, 5), (0, 3, 40)])
    np.testing.assert_allclose(done.keypoints, [(2, 10, 42), (0, 3, 7)])
