"""Claims about reports: scikit-learn's figures, spread over images, n/a where nothing is painted."""

import csv
import io
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, jaccard_score

from napari_anneal.errors import InputError
from napari_anneal.samples import Sample
from napari_anneal.validation import ALL_METRICS, boundary_f1, boundary_iou, cl_dice, evaluate, surface_dice

RNG = np.random.default_rng(0)


class Rounded:
    """A model whose prediction is the image itself: label = pixel value."""

    classes = ("matrix", "pore", "fibre")
    seen = ()

    def segment(self, image, *, axes=None):
        self.seen = (*self.seen, axes)
        return SimpleNamespace(labels=np.asarray(image).astype(np.uint8))


def samples(n=4, shape=(20, 30), highest=3):
    return [
        Sample(RNG.integers(1, 4, shape), RNG.integers(0, highest + 1, shape), group=f"g{i % 2}", name=f"image{i}")
        for i in range(n)
    ]


def test_mean_and_spread_equal_scikit_learn_and_numpy():
    chosen = samples()
    report = evaluate(Rounded(), chosen)
    dice, iou = (
        np.array([f(s.labels[s.labels > 0], s.image[s.labels > 0], labels=[1, 2, 3], average=None) for s in chosen])
        for f in (f1_score, jaccard_score)
    )
    np.testing.assert_allclose(report.mean("dice"), dice.mean(0))
    np.testing.assert_allclose(report.std("dice"), dice.std(0, ddof=1))
    np.testing.assert_allclose(report.mean("iou"), iou.mean(0))
    truth, guess = (np.concatenate([getattr(s, role)[s.labels > 0] for s in chosen]) for role in ("labels", "image"))
    np.testing.assert_allclose(report.pooled.dice, f1_score(truth, guess, labels=[1, 2, 3], average=None))


def test_pixel_accuracy_has_a_mean_and_a_spread_over_images():
    chosen = samples()
    report = evaluate(Rounded(), chosen)
    expected = [accuracy_score(s.labels[s.labels > 0], s.image[s.labels > 0]) for s in chosen]
    np.testing.assert_allclose(report.accuracy, expected)
    told = report.to_dict()["accuracy"]
    assert told == pytest.approx({"mean": np.mean(expected), "std": np.std(expected, ddof=1)})
    assert f"Pixel accuracy {np.mean(expected):.3f} ± {np.std(expected, ddof=1):.3f}" in report.table()


def test_a_class_that_an_image_lacks_does_not_count_in_the_mean():
    both = [*samples(1), *samples(1, highest=2)]
    report = evaluate(Rounded(), both)
    assert np.isnan(report.images[1].scores.dice[2])
    assert report.mean("dice")[2] == report.images[0].scores.dice[2]
    assert np.isnan(report.std("dice")[2])
    assert "n/a" in report.table()


def test_a_class_that_no_image_has_is_not_a_number_and_null_in_json():
    report = evaluate(Rounded(), samples(2, highest=2))
    assert np.isnan(report.mean("dice")[2])
    written = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert written["mean"]["dice"][2] is None
    assert written["images"][0]["group"] == "g0"
    assert written["classes"] == ["matrix", "pore", "fibre"]


def test_a_stack_is_compared_on_its_painted_slices_only():
    image = RNG.integers(1, 4, (6, 8, 9))
    labels = np.zeros(image.shape, int)
    labels[2], labels[5, :4] = image[2], image[5, :4] % 3 + 1
    model = Rounded()
    report = evaluate(model, [Sample(image, labels)])
    assert model.seen == ("ZYX",)
    assert report.images[0].confusion.sum() == 72 + 36
    assert report.images[0].scores.accuracy == pytest.approx(72 / 108)


def test_every_figure_can_be_asked_for_and_equals_its_function():
    chosen = samples(2)
    report = evaluate(Rounded(), chosen, metrics=ALL_METRICS, tolerance=1.5)
    first = chosen[0]
    for name, figure in (("boundary_f1", boundary_f1), ("surface_dice", surface_dice), ("boundary_iou", boundary_iou)):
        expected = figure(first.labels, first.image, 3, tolerance=1.5)
        np.testing.assert_array_equal(report.images[0].figure(name), expected)
    np.testing.assert_array_equal(report.images[0].figure("cl_dice"), cl_dice(first.labels, first.image, 3))
    table, written = report.table(), json.loads(json.dumps(report.to_dict(), allow_nan=False))
    for name in ALL_METRICS:
        assert name in table
        assert len(written["mean"][name]) == len(written["images"][1][name]) == 3
    assert "1.5 px" in table
    assert "Lower is better: rand_error" in table


def test_a_tolerance_in_micrometres_is_that_many_pixels():
    labels = np.ones((30, 30), np.uint8)
    labels[:, 15:] = 2
    shifted = np.roll(labels, 3, axis=1)
    shifted[:, :3] = 1
    sample = Sample(shifted, labels, spacing=(0.5, 0.5), name="a")
    for tolerance_um, expected in ((1.5, 1.0), (1.4, 0.0)):
        report = evaluate(Rounded(), [sample], tolerance_um=tolerance_um)
        assert report.mean("boundary_f1")[0] == expected
    with pytest.raises(InputError, match="image 1 has no pixel size"):
        evaluate(Rounded(), [Sample(shifted, labels)], tolerance_um=1.0)


class Sure(Rounded):
    """Nine tenths sure of what it says."""

    def segment(self, image, *, axes=None):
        labels = np.asarray(image).astype(np.uint8)
        chances = np.where(labels == np.arange(1, 4).reshape(3, 1, 1), 0.9, 0.05)
        return SimpleNamespace(labels=labels, probabilities=chances)


def test_calibration_is_told_where_there_are_probabilities():
    report = evaluate(Sure(), samples())
    accuracy = report.pooled.accuracy
    assert report.reliability.ece == pytest.approx(abs(0.9 - accuracy))
    assert "calibration error" in report.table()
    assert report.to_dict()["calibration"]["ece"] == report.reliability.ece
    assert evaluate(Rounded(), samples()).to_dict()["calibration"] is None


def test_csv_has_a_row_an_image_and_class_with_the_worst_image_first():
    good = samples(1)[0]
    good = Sample(good.image, np.where(good.labels > 0, good.image, 0), name="good")
    rows = list(csv.DictReader(io.StringIO(evaluate(Rounded(), [good, *samples(1, highest=2)]).to_csv())))
    assert [row["image"] for row in rows] == ["image0"] * 3 + ["good"] * 3
    assert [row["class"] for row in rows[:3]] == ["matrix", "pore", "fibre"]
    assert rows[2]["dice"] == ""
    assert float(rows[3]["dice"]) == 1


def test_an_interval_needs_five_specimens_and_one_split_is_called_so():
    few, many = evaluate(Rounded(), samples()), evaluate(Rounded(), [*samples(1), *map(renamed, range(6))])
    assert "No confidence interval" in few.table()
    assert "95 % interval of the mean Dice" in many.table()
    low, high = many.interval()[0]
    assert low < many.mean()[0] < high
    assert few.to_dict()["split"] == "one split, ± 5–10 points"


def renamed(number):
    return replace(samples(1)[0], group=f"specimen {number}")


def test_progress_counts_the_images():
    seen = []
    evaluate(Rounded(), samples(3), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_the_table_has_every_class_and_image_and_says_what_one_split_is_worth():
    table = evaluate(Rounded(), samples()).table()
    for word in ("matrix", "pore", "fibre", "image0", "image3", "±", "2 group(s)", "5–10 points"):
        assert word in table


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"metrics": ("dice", "beauty")}, "no figure called 'beauty'"),
        ({"tolerance": 0}, "tolerance of 0"),
        ({"tolerance_um": -1}, "tolerance of -1"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(options, reason):
    with pytest.raises(InputError, match=reason):
        evaluate(Rounded(), samples(), **options)


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ([], "no samples"),
        ([Sample(np.ones((4, 4)), name="blank")], "blank has no painted labels"),
        ([Sample(np.ones((4, 4)), np.zeros((4, 4), int), name="empty")], "empty has no painted labels"),
        ([Sample(np.ones((4, 4)), np.full((4, 4), 4), name="x")], r"x is painted with class 4, .* knows 3 classes"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_anything_is_segmented(chosen, reason):
    model = Rounded()
    with pytest.raises(InputError, match=reason):
        evaluate(model, [*samples(1), *chosen] if chosen else [])
    assert model.seen == ()
