"""Claims about reports: scikit-learn's figures, spread over images, n/a where nothing is painted."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import f1_score, jaccard_score

from napari_anneal.errors import InputError
from napari_anneal.samples import Sample
from napari_anneal.validation import evaluate

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


def test_progress_counts_the_images():
    seen = []
    evaluate(Rounded(), samples(3), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_the_table_has_every_class_and_image_and_says_what_one_split_is_worth():
    table = evaluate(Rounded(), samples()).table()
    for word in ("matrix", "pore", "fibre", "image0", "image3", "±", "2 group(s)", "5–10 points"):
        assert word in table


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
