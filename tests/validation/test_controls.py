"""Claims about the classical controls: they solve what they can solve, fairly, and never look at held-out labels."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import threshold_otsu, threshold_sauvola

from napari_anneal.errors import InputError
from napari_anneal.samples import Sample
from napari_anneal.samples.normalisation import intensity_range
from napari_anneal.samples.shipped import shipped_samples
from napari_anneal.validation import evaluate, fit_classical, fit_controls


def phases(seed, levels=(40, 120, 200), noise=4.0, shape=(96, 96), order=(1, 2, 3)):
    """Blobs of K grey levels; ``order`` says which class each level is."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.standard_normal(shape), 5)
    index = np.digitize(field, np.quantile(field, np.linspace(0, 1, len(levels) + 1)[1:-1]))
    image = np.array(levels)[index] + rng.normal(0, noise, shape)
    return Sample(np.clip(image, 0, 255).astype(np.uint8), np.array(order)[index].astype(np.uint8), group=str(seed))


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (2, 1, 3)])
def test_clean_grey_levels_are_found_whichever_class_they_belong_to(order):
    control = fit_classical([phases(s, order=order) for s in (0, 1)], ("a", "b", "c"))
    report = evaluate(control, [phases(s, order=order) for s in (2, 3)])
    assert report.mean("dice").min() > 0.97
    assert control.classes == ("a", "b", "c")


def test_two_plain_bands_are_otsus_threshold():
    train = [phases(0, (60, 160), order=(1, 2))]
    control = fit_classical(train, methods=("multi-otsu",), by_size=False)
    held_out = phases(1, (60, 160), 20.0, order=(1, 2))
    labels = control.segment(held_out.image).labels
    expected = (held_out.image > threshold_otsu(held_out.image)) + 1
    # Thresholds are searched on 96 grey levels, Otsu's here on 256: they may differ by one level of the coarser.
    assert (labels == expected).mean() > 0.995
    assert control.sigma_px == 0


def test_noise_is_met_by_smoothing_or_watershed():
    samples = [phases(s, (90, 150), 45.0, order=(1, 2)) for s in range(4)]
    plain = fit_classical(samples[:2], methods=("multi-otsu",), by_size=False)
    best = fit_classical(samples[:2])
    assert best.sigma_px > 0
    assert evaluate(best, samples[2:]).mean().min() > evaluate(plain, samples[2:]).mean().min() + 0.1


def test_classes_that_differ_in_size_alone_are_told_apart_by_size():
    def particles(seed):
        rng = np.random.default_rng(seed)
        image, labels = np.full((128, 128), 180.0), np.ones((128, 128), np.uint8)
        for y, x in rng.permutation([(y, x) for y in range(16, 128, 32) for x in range(16, 128, 32)])[:12]:
            k = int(rng.integers(2))
            r = 3 if k else 12
            image[y - r : y + r, x - r : x + r], labels[y - r : y + r, x - r : x + r] = 60, 2 + k
        return Sample(image + rng.normal(0, 3, image.shape), labels)

    train, held_out = [particles(s) for s in (0, 1)], [particles(s) for s in (2, 3)]
    assert evaluate(fit_classical(train), held_out).mean().min() > 0.95
    assert evaluate(fit_classical(train, by_size=False), held_out).mean().min() < 0.5


def test_sparse_strokes_are_enough_and_a_stack_shares_its_thresholds():
    volume = np.stack([phases(s, (60, 160), order=(1, 2)).image for s in range(5)])
    truth = np.stack([phases(s, (60, 160), order=(1, 2)).labels for s in range(5)])
    painted = np.zeros_like(truth)
    painted[2, 40:50] = truth[2, 40:50]
    control = fit_classical([Sample(volume, painted)])
    labels = control.segment(volume, axes="ZYX").labels
    assert labels.dtype == np.uint8
    assert (labels == truth).mean() > 0.98


def test_colour_and_float_images_are_segmented():
    grey = phases(0, (60, 160), order=(1, 2))
    rgb = np.repeat(grey.image[..., None], 3, -1)
    control = fit_classical([Sample(rgb, grey.labels)])
    assert (control.segment(rgb, axes="YXC").labels == grey.labels).mean() > 0.98
    assert (control.segment(grey.image / 1e3).labels == grey.labels).mean() > 0.98


def test_the_same_samples_give_the_same_control():
    samples = [phases(s, noise=30.0) for s in (0, 1)]
    assert fit_classical(samples) == fit_classical(samples)


def test_on_real_micrographs_of_another_spot_the_control_is_a_strong_opponent():
    samples = shipped_samples("superalloy")
    train = [s for s in samples if s.group == "spot2"]
    control = fit_classical(train[:3], ("matrix", "tertiary", "secondary"))
    dice = evaluate(control, [s for s in samples if s.group == "spot3"]).mean()
    # With the split by size it finds even the fine precipitates.
    assert dice.min() > 0.6
    assert dice.max() > 0.9


@pytest.mark.parametrize(
    ("labels", "options", "reason"),
    [
        (np.zeros((8, 8), int), {}, "highest painted class is 0"),
        (np.ones((8, 8), int), {}, "highest painted class is 1"),
        (np.eye(8, dtype=int) + 2, {"classes": ("a", "b")}, "highest painted class is 3"),
        (np.eye(8, dtype=int) + 1, {"methods": ()}, "no classical method"),
    ],
)
def test_what_cannot_be_fitted_is_refused(labels, options, reason):
    with pytest.raises(InputError, match=reason):
        fit_classical([Sample(np.arange(64).reshape(8, 8), labels)], **options)


def shaded_letters(seed):
    """Small dark things on a ground that is darker on one side than the things on the other."""
    rng = np.random.default_rng(seed)
    labels = np.ones((96, 96), np.uint8)
    for y, x in rng.integers(5, 88, (25, 2)):
        labels[y : y + 4, x : x + 4] = 2
    shading = np.linspace(60, 200, 96)[None, :] - 35 * (labels == 2)
    return Sample((shading + rng.normal(0, 2, labels.shape)).clip(0, 255).astype(np.uint8), labels, group=f"s{seed}")


def outlined_grains(seed):
    """Grains of all greys; only their edges tell them apart."""
    rng = np.random.default_rng(seed)
    points = rng.random((12, 2)) * 96
    places = np.stack(np.mgrid[:96, :96], -1)
    grain = np.linalg.norm(places[:, :, None] - points, axis=-1).argmin(-1)
    edge = ndimage.morphological_gradient(grain, 3) > 0
    image = ndimage.gaussian_filter(np.linspace(40, 220, 12)[rng.permutation(12)][grain], 1)
    image += rng.normal(0, 3, grain.shape)
    return Sample(image.clip(0, 255).astype(np.uint8), np.where(edge, 2, 1).astype(np.uint8), group=f"g{seed}")


def test_sauvola_sees_through_shading_that_otsu_cannot():
    train, held_out = [shaded_letters(0)], [shaded_letters(1)]
    local = evaluate(fit_classical(train, methods=("sauvola",)), held_out).mean()
    plain = evaluate(fit_classical(train, methods=("otsu",), by_size=False), held_out).mean()
    assert local[1] > 0.7
    assert plain[1] < 0.3


@pytest.mark.parametrize("dark", [True, False])
def test_sauvola_is_scikit_images_threshold_for_dark_and_for_bright_things(dark):
    sample = shaded_letters(2)
    sample = sample if dark else replace(sample, image=255 - sample.image)
    control = fit_classical([sample], methods=("sauvola",), by_size=False)
    unit = intensity_range(sample.image, "YX").apply(np.asarray(sample.image)[None])[0]
    grey = ndimage.gaussian_filter(unit, control.sigma_px)
    grey = 1 - grey if control.inverted else grey
    expected = grey > threshold_sauvola(grey, control.window_px, control.strength, r=0.5)
    labels = control.segment(sample.image).labels
    assert len(set(labels[expected])) == len(set(labels[~expected])) == 1
    assert control.inverted != dark


def test_canny_finds_the_edges_between_grains_of_any_grey():
    train, held_out = [outlined_grains(0)], [outlined_grains(1)]
    edges = evaluate(fit_classical(train, methods=("canny",)), held_out).mean()
    levels = evaluate(fit_classical(train, methods=("multi-otsu",)), held_out).mean()
    assert edges[1] > 0.7 > levels[1]


def test_every_listed_control_is_the_best_of_its_parameters_on_the_training_images():
    train = [phases(s, (60, 160), 30.0, order=(1, 2)) for s in (0, 1)]
    controls = fit_controls(train, ("dark", "bright"))
    assert list(controls) == ["Otsu", "multi-Otsu", "watershed", "Sauvola", "Canny"]
    for name, control in controls.items():
        assert control.method in name.lower()
        # What it says of itself is what it scores there (each image counting by its pixels).
        assert evaluate(control, train).pooled.mean("dice") == pytest.approx(control.train_dice)
    assert controls["Otsu"].train_dice <= controls["multi-Otsu"].train_dice
    assert len({str(control) for control in controls.values()}) == 5


def test_a_report_lists_the_controls_beside_the_model():
    train, held_out = [phases(0, (60, 160), order=(1, 2))], [phases(1, (60, 160), order=(1, 2))]
    model = fit_classical(train, ("dark", "bright"))
    report = evaluate(model, held_out, metrics=("dice", "iou"), controls_from=train)
    assert "this model" in report.table()
    for name, control in fit_controls(train, ("dark", "bright")).items():
        assert name in report.table()
        found = report.to_dict()["controls"][name]
        assert found["method"] == str(control)
        assert found["mean"]["iou"] == pytest.approx(list(evaluate(control, held_out).mean("iou")))
    for judged in (train, [replace(held_out[0], group="0")]):
        with pytest.raises(InputError, match="both what controls would be fitted on and what they would be judged by"):
            evaluate(model, judged, controls_from=train)


def test_regions_are_labelled_once_for_all_sizes_and_sizes_are_those_of_scipy(monkeypatch):
    from napari_anneal.validation import control_bands, controls

    samples = [phases(seed, noise=30.0) for seed in (0, 1)]
    calls = []
    real = control_bands.region_sizes
    monkeypatch.setattr(controls, "region_sizes", lambda bands: calls.append(bands) or real(bands))
    monkeypatch.setattr(control_bands, "region_sizes", lambda bands: pytest.fail("labelled again for one size"))
    found = fit_classical(samples, methods=("multi-otsu",))
    # Two numbers of bands on two images; every size of region is tried on each.
    assert len(calls) == 4
    assert found.train_dice > 0.5
    sizes = real(calls[0])
    for band in np.unique(calls[0]):
        regions, _ = ndimage.label(calls[0] == band)
        expected = np.bincount(regions.ravel())[regions]
        np.testing.assert_array_equal(sizes[calls[0] == band], expected[calls[0] == band])


def test_of_a_large_image_the_window_round_the_paint_is_fitted_on(monkeypatch):
    from napari_anneal.validation import controls

    small = phases(0, (60, 160), order=(1, 2), shape=(64, 64))
    image, labels = np.zeros((200, 300), np.uint8), np.zeros((200, 300), np.uint8)
    # Elsewhere other grey levels, and nothing painted.
    image[:] = np.random.default_rng(0).choice([60, 160], image.shape)
    image[100:164, 200:264], labels[100:164, 200:264] = small.image, small.labels
    seen = []
    real = controls.find_bands
    monkeypatch.setattr(controls, "MAX_FIT_SIDE_PX", 80)
    monkeypatch.setattr(controls, "find_bands", lambda grey, *rest: seen.append(grey.shape) or real(grey, *rest))
    found = fit_classical([Sample(image, labels)], methods=("multi-otsu",))
    assert set(seen) == {(80, 80)}
    assert found.train_dice > 0.95


def test_some_slices_of_a_stack_are_those_of_the_whole():
    volume = np.stack([phases(s, (60, 160), order=(1, 2)).image for s in range(4)])
    control = fit_classical([phases(9, (60, 160), order=(1, 2))])
    planes = list(control.planes(Sample(volume, axes="ZYX"), [3, 1]))
    np.testing.assert_array_equal(planes, control.segment(volume, axes="ZYX").labels[[3, 1]])
