"""Boundary F1, boundary IoU, surface Dice and clDice: brute force, TorchMetrics and OpenCV say the same."""

from itertools import product

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.morphology import skeletonize
from torchmetrics.functional.segmentation import utils as oracle

from napari_anneal.errors import InputError
from napari_anneal.validation import boundary_f1, boundary_iou, cl_dice, surface_dice

K = 2
OUTLINE_FIGURES = (boundary_f1, boundary_iou, surface_dice)


@st.composite
def pairs(draw, lowest=1, side=7, dims=(2, 3)):
    shape = draw(hnp.array_shapes(min_dims=dims[0], max_dims=dims[1], min_side=1, max_side=side))
    labels = draw(hnp.arrays(np.uint8, shape, elements=st.integers(lowest, K)))
    return labels, draw(hnp.arrays(np.uint8, shape, elements=st.integers(1, K)))


def distance(a, b, spacing):
    return float(np.linalg.norm((np.array(a) - b) * spacing))


def brute_boundary_f1(labels, prediction, k, tolerance, spacing):
    """Straight from the definition, pixel by pixel."""
    places = list(product(*map(range, labels.shape)))
    unpainted = [p for p in places if labels[p] == 0]

    def outline(mask, known):
        found = []
        for p in places:
            for axis, step in product(range(labels.ndim), (-1, 1)):
                q = tuple(n + step * (a == axis) for a, n in enumerate(p))
                inside = all(0 <= n < s for n, s in zip(q, labels.shape, strict=True))
                if mask[p] and inside and known[q] and not mask[q]:
                    found.append(p)
                    break
        return found

    def counts(p):
        return all(distance(p, q, spacing) > tolerance + max(spacing) + 1e-9 for q in unpainted)

    def share(some, others):
        some = [p for p in some if counts(p)]
        hits = [any(distance(p, q, spacing) <= tolerance + 1e-9 for q in others) for p in some]
        return np.mean(hits) if some else np.nan

    true_line = outline(labels == k, labels > 0)
    line = outline(prediction == k, np.ones(labels.shape, bool))
    recall, precision = share(true_line, line), share(line, true_line)
    if np.isnan(recall):
        return np.nan
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


@settings(max_examples=60, deadline=None)
@given(pairs(lowest=0, side=5), st.sampled_from([1.0, 1.5, 2.0]), st.sampled_from([1.0, 2.0]))
def test_boundary_f1_equals_brute_force_with_unpainted_pixels_and_spacing(pair, tolerance, first):
    labels, prediction = pair
    spacing = (first,) + (1.0,) * (labels.ndim - 1)
    found = boundary_f1(labels, prediction, K, tolerance=tolerance, spacing=spacing)
    expected = [brute_boundary_f1(labels, prediction, k, tolerance, spacing) for k in range(1, K + 1)]
    np.testing.assert_allclose(found, expected)


@settings(max_examples=60, deadline=None)
@given(pairs(dims=(2, 2), side=12), st.integers(1, 3))
def test_boundary_iou_equals_rims_by_opencvs_erosion(pair, width):
    """A square of side 3 erodes what lies within √2; a disc erodes what lies within its radius."""
    labels, prediction = pair
    if width == 1:
        kernel, tolerance = np.ones((3, 3), np.uint8), 1.5
    else:
        y, x = np.mgrid[-width : width + 1, -width : width + 1]
        kernel, tolerance = (y**2 + x**2 <= width**2).astype(np.uint8), float(width)

    def rim(mask):
        # The frame is no boundary: beyond it the region goes on.
        eroded = cv2.erode(mask.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=1)
        return mask & ~eroded.astype(bool)

    found = boundary_iou(labels, prediction, K, tolerance=tolerance)
    for k in range(1, K + 1):
        truth, guess = rim(labels == k), rim(prediction == k)
        expected = (truth & guess).sum() / (truth | guess).sum() if truth.any() else np.nan
        np.testing.assert_allclose(found[k - 1], expected)


@settings(max_examples=40, deadline=None)
@given(pairs(side=6), st.sampled_from([1.0, 1.7]), st.sampled_from([1.0, 2.5]))
def test_surface_dice_equals_torchmetrics_pieces_of_surface(pair, tolerance, first):
    check_surface_dice(pair, tolerance, first)


@pytest.mark.parametrize("shape", [(30, 30), (12, 12, 12)])
def test_surface_dice_equals_torchmetrics_in_noise_that_has_every_kind_of_window(shape):
    rng = np.random.default_rng(0)
    for share in (0.2, 0.5, 0.8):
        labels, prediction = ((rng.random(shape) < share).astype(np.uint8) + 1 for _ in range(2))
        # Within half a pixel: with a wider tolerance every piece of such noise finds another.
        check_surface_dice((labels, prediction), 0.5, 2.5)


def check_surface_dice(pair, tolerance, first):
    labels, prediction = (np.pad(m, 1, constant_values=1) for m in pair)
    spacing = (first,) + (1.0,) * (labels.ndim - 1)
    masks = [torch.from_numpy((m == 2).astype(np.uint8)) for m in (prediction, labels)]
    edges_p, edges_t, areas_p, areas_t = (
        np.asarray(m).squeeze() for m in oracle.mask_edges(*masks, crop=False, spacing=spacing)
    )
    found = surface_dice(labels, prediction, K, tolerance=tolerance, spacing=spacing)[1]
    if not edges_t.any():
        assert np.isnan(found)
        return

    def hits(areas, edges, others):
        if not others.any():
            return 0.0
        near = ndimage.distance_transform_edt(~others, sampling=spacing) <= tolerance + 1e-9
        return areas[edges & near].sum()

    above = hits(areas_t, edges_t, edges_p) + hits(areas_p, edges_p, edges_t)
    np.testing.assert_allclose(found, above / (areas_t[edges_t].sum() + areas_p[edges_p].sum()), rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(pairs(side=8))
def test_cl_dice_equals_its_definition_on_scikit_images_skeletons(pair):
    labels, prediction = pair
    found = cl_dice(labels, prediction, K)
    for k in range(1, K + 1):
        truth, guess = labels == k, prediction == k
        if not truth.any():
            assert np.isnan(found[k - 1])
            continue
        true_line = skeletonize(truth) > 0
        line = skeletonize(guess) > 0 if guess.any() else guess
        sensitivity = guess[true_line].mean()
        precision = truth[line].mean() if line.any() else 0
        expected = 2 * precision * sensitivity / (precision + sensitivity) if precision + sensitivity else 0
        np.testing.assert_allclose(found[k - 1], expected)


@settings(max_examples=40, deadline=None)
@given(pairs(lowest=0, side=9), st.data())
def test_what_is_predicted_where_nobody_painted_changes_no_outline_figure(pair, data):
    labels, prediction = pair
    other = np.where(labels == 0, data.draw(hnp.arrays(np.uint8, labels.shape, elements=st.integers(1, K))), prediction)
    for figure in OUTLINE_FIGURES:
        np.testing.assert_array_equal(figure(labels, prediction, K), figure(labels, other, K))


@settings(max_examples=40, deadline=None)
@given(pairs(lowest=0, side=9))
def test_a_perfect_prediction_scores_one_or_is_not_applicable(pair):
    labels, prediction = pair
    perfect = np.where(labels == 0, prediction, labels)
    for figure in (*OUTLINE_FIGURES, cl_dice):
        values = figure(labels, perfect, K)
        assert ((values == 1) | np.isnan(values)).all()
        assert np.isnan(values[~np.isin(np.arange(1, K + 1), labels)]).all()


def test_an_outline_moved_by_the_tolerance_is_a_hit_and_by_more_a_miss():
    labels = np.ones((40, 40), np.uint8)
    labels[:, 20:] = 2
    for shift, expected in ((2, 1.0), (3, 0.0)):
        moved = np.roll(labels, shift, axis=1)
        moved[:, :shift] = 1
        assert boundary_f1(labels, moved, K, tolerance=2)[0] == expected
        assert surface_dice(labels, moved, K, tolerance=2)[0] == expected
        # Half a micrometre a pixel: two pixels are one micrometre.
        assert boundary_f1(labels, moved, K, tolerance=1, spacing=0.5)[0] == expected


def test_a_painted_class_that_is_never_predicted_scores_zero():
    labels = np.ones((20, 20), np.uint8)
    labels[5:15, 5:15] = 2
    for figure in (*OUTLINE_FIGURES, cl_dice):
        assert figure(labels, np.ones_like(labels), K)[1] == 0


def test_empty_arrays_and_unpainted_images_have_no_figures():
    for shape in ((0, 4), (3, 0, 4), (6, 6)):
        blank = np.zeros(shape, np.uint8)
        for figure in (*OUTLINE_FIGURES, cl_dice):
            assert np.isnan(figure(blank, np.ones(shape, np.uint8), K)).all()


def test_thin_boundaries_in_3d_count_by_their_area():
    """A plane through a volume, and a prediction that has half of it."""
    labels = np.ones((8, 12, 12), np.uint8)
    labels[4:] = 2
    half = labels.copy()
    half[:, :, 6:] = 1
    found = surface_dice(labels, half, K, tolerance=0.5, spacing=(4.0, 1.0, 1.0))[1]
    # 121 pieces of the plane; of them 5 columns of 11 stay whole, and the step down one side makes surface of its own.
    assert 0.3 < found < 0.7


@pytest.mark.parametrize("figure", OUTLINE_FIGURES)
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"tolerance": 0}, "boundary tolerance of 0"),
        ({"tolerance": -1}, "boundary tolerance of -1"),
        ({"tolerance": np.nan}, "boundary tolerance of nan"),
        ({"spacing": (1, 2, 3)}, "2 positive numbers"),
        ({"spacing": (1, 0)}, "2 positive numbers"),
    ],
)
def test_what_cannot_be_measured_is_refused(figure, options, reason):
    labels = np.ones((4, 4), np.uint8)
    with pytest.raises(InputError, match=reason):
        figure(labels, labels, K, **options)


def test_other_shapes_are_refused():
    for figure in (*OUTLINE_FIGURES, cl_dice):
        with pytest.raises(InputError, match="differ in shape"):
            figure(np.ones((4, 4), np.uint8), np.ones((4, 5), np.uint8), K)
