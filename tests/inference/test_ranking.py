"""Ranking real images with a real network: what is looked at, what is left out, and that gold is out of reach."""

import csv
import threading

import numpy as np
import pytest
import tifffile

from napari_anneal.errors import GoldError, InputError
from napari_anneal.inference import RankRecipe, rank
from napari_anneal.inference.rank_input import as_samples
from napari_anneal.inference.ranking import _Survey
from napari_anneal.inference.uncertainty import Looker, Uncertainty
from napari_anneal.samples import Sample, lock
from napari_anneal.samples.gold_folder import lock_folder


def picture(seed, shape=(48, 48)):
    return np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)


def samples(count=3, **options):
    return [Sample(picture(i), name=f"s{i}", group=f"g{i}", **options) for i in range(count)]


@pytest.fixture
def staged(monkeypatch):
    """Replaces what the network says: entropies and labels as given, by plane in the order they are looked at."""

    def stage(*said):
        left = iter(said)

        def look(self, plane, tile="auto", cancel=None):
            unsure, labels = next(left)
            chances = np.zeros((3, *plane.shape[1:]), np.float32)
            np.put_along_axis(chances, np.asarray(labels)[None], 1, axis=0)
            unsure = np.asarray(unsure, np.float32)
            return Uncertainty(chances, unsure, unsure / 2, unsure / 4, 1)

        monkeypatch.setattr(Looker, "look", look)

    return stage


def test_the_place_the_network_is_least_sure_of_comes_first(model, staged):
    unsure = np.zeros((48, 48))
    unsure[24:, :24] = 0.8
    unsure[:24, 24:] = 0.3
    staged((unsure, np.ones((48, 48), int)))
    order = rank(model, picture(0), tile=24, diversity=0, foreground=("class 2",))
    assert [place.box for place in order][:2] == [(24, 0, 48, 24), (0, 24, 24, 48)]
    assert order[0].uncertainty == pytest.approx(0.8)
    assert order[0].rank == 1
    assert order[0].score == 1
    assert order.candidates == 4
    assert order[1].score == pytest.approx(0.3 / 0.8)
    assert "least sure" in order[0].why


def test_uncertainty_far_from_foreground_counts_less_and_near_it_in_full(model, staged):
    """Oracle by hand: one column of foreground, ground 3 px to either side of it counts in full."""
    labels = np.zeros((32, 32), int)
    labels[:, 16] = 1
    staged((np.full((32, 32), 0.5), labels))
    order = rank(model, picture(0, (32, 32)), band_px=3, elsewhere=0.1)
    assert order.foreground == ("class 2", "class 3")  # class 1 covers most
    assert order[0].uncertainty == pytest.approx(0.5 * (7 + 0.1 * 25) / 32)
    assert order[0].foreground == pytest.approx(1 / 32)


def test_the_ground_is_what_covers_most_over_all_images(model, staged):
    """The first image is nearly all of class 2, but class 1 covers more altogether."""
    first, second = np.ones((32, 32), int), np.zeros((64, 64), int)
    staged((np.full(first.shape, 0.5), first), (np.full(second.shape, 0.5), second))
    order = rank(model, [picture(0, (32, 32)), picture(1, (64, 64))])
    assert order.foreground == ("class 2", "class 3")
    found = {place.name: place.uncertainty for place in order}
    assert found == {"image 1": pytest.approx(0.5), "image 2": pytest.approx(0.05)}


@pytest.mark.parametrize(("measure", "share"), [("entropy", 1), ("mutual_information", 0.5), ("variance", 0.25)])
def test_the_measure_asked_for_is_averaged(model, staged, measure, share):
    staged((np.full((48, 48), 0.8), np.zeros((48, 48), int)))
    assert rank(model, picture(0), measure=measure, elsewhere=1)[0].uncertainty == pytest.approx(0.8 * share)


def test_slices_of_a_stack_are_ranked_apart_from_each_other(model, staged):
    flat = np.ones((32, 32), int)
    levels = [0.5, 0.9, 0.88, 0.86, 0.84, 0.5, 0.5, 0.5, 0.6, 0.5]
    staged(*((np.full((32, 32), level), flat) for level in levels))
    stack = np.broadcast_to(picture(0, (32, 32)), (10, 32, 32))
    order = rank(model, stack, top=2, foreground=("class 2",), slice_distance=3)
    assert order[0].z == 1
    assert abs(order[1].z - order[0].z) >= 4  # not the runner-up next to it


def test_every_nth_slice_and_the_painted_ones_are_looked_at(model):
    stack = picture(0, (7, 32, 32))
    labels = np.zeros(stack.shape, np.uint8)
    labels[1, :4, :4] = 1
    order = rank(model, Sample(stack, labels, name="ct"), every=3, estimator="entropy")
    assert {place.z for place in order} == {0, 3, 6}
    assert "1 of 4 places are painted" in order.notices[0]
    assert all(place.before >= 1 for place in order)


def test_places_with_paint_are_not_ranked_again(model):
    labels = np.zeros((48, 48), np.uint8)
    labels[2, 2] = 1
    order = rank(model, Sample(picture(0), labels, name="a"), tile=24, estimator="entropy")
    assert len(order) == 3
    assert (0, 0, 24, 24) not in {place.box for place in order}
    with pytest.raises(InputError, match="nothing left"):
        rank(model, Sample(picture(0), labels, name="a"))


def test_twice_the_same_order_and_the_recipe_tells_what_made_it(model):
    first, second = (rank(model, samples(), tile=24, estimator="entropy") for _ in range(2))
    assert first.to_dict() == second.to_dict()
    again = rank(model, samples(), RankRecipe.model_validate(first.to_dict()["recipe"]))
    assert again.to_dict() == first.to_dict()


def test_an_image_turned_by_a_quarter_has_the_same_worth(model):
    """Only where all looks are legal: the score is a mean over the group."""
    image = picture(0)
    turned = np.ascontiguousarray(np.rot90(image))
    assert rank(model, image)[0].uncertainty == pytest.approx(rank(model, turned)[0].uncertainty, abs=1e-5)


def test_gold_is_never_read_and_never_ranked(model):
    """By trying: a locked sample raises as soon as a pixel is asked for, and the ranking does not trip over it."""
    several = samples(4)
    several[1] = lock(several[1])
    with pytest.raises(GoldError):
        np.asarray(several[1].image)
    order = rank(model, several, estimator="entropy")
    assert {place.name for place in order} == {"s0", "s2", "s3"}
    assert "s1" in order.notices[0]


def test_a_survey_that_skips_the_guard_is_stopped_by_the_lock(model):
    from napari_anneal.inference.candidates import places_in

    several = [lock(sample) for sample in samples(1)]
    survey = _Survey(model, RankRecipe(estimator="entropy"))
    with pytest.raises(GoldError, match="s0"):
        survey.go(several, places_in(several, [0], None, 1), None, None)


def test_what_shares_a_specimen_or_an_image_with_gold_is_left_out(model):
    several = samples(4)
    same_specimen = Sample(picture(9), name="s9", group="g1")
    mirrored = Sample(np.ascontiguousarray(np.fliplr(picture(1))), name="copy", group="elsewhere")
    several[1] = lock(several[1])
    order = rank(model, [*several, same_specimen, mirrored], estimator="entropy")
    assert {place.name for place in order} == {"s0", "s2", "s3"}
    with pytest.raises(InputError, match="everything that was to be ranked is gold"):
        rank(model, [several[1], same_specimen])


def write_folder(folder, groups=("a", "b", "b")):
    (folder / "images").mkdir(parents=True)
    for i in range(len(groups)):
        tifffile.imwrite(folder / "images" / f"im{i}.tif", picture(i))
    with (folder / "groups.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "group"), *((f"im{i}", g) for i, g in enumerate(groups))])
    return folder


def test_a_folder_without_any_labels_is_ranked_and_its_gold_left_out(model, tmp_path):
    folder = write_folder(tmp_path / "set")
    assert {p.name for p in rank(model, folder, estimator="entropy")} == {"im0", "im1", "im2"}
    lock_folder(folder, as_samples(folder), [0])
    order = rank(model, folder, estimator="entropy")
    assert {p.name for p in order} == {"im1", "im2"}
    assert order[0].group == "b"
    with pytest.raises(InputError, match="gold"):  # nor by naming its file
        rank(model, folder / "images" / "im0.tif")
    assert len(rank(model, folder / "images" / "im1.tif", estimator="entropy")) == 1


def test_a_stop_ranks_what_has_been_looked_at(model):
    stop = threading.Event()
    order = rank(model, samples(4), estimator="entropy", cancel=stop, progress=lambda done, _: done == 2 and stop.set())
    assert not order.complete
    assert {place.name for place in order} == {"s0", "s1"}
    order = rank(model, samples(2), cancel=stop)
    assert len(order) == 0
    assert not order.complete


@pytest.mark.parametrize(
    ("given", "settings", "says"),
    [
        ([], {}, "nothing to rank"),
        (3, {}, "type int"),
        ("no/such/file.tif", {}, "no image or folder"),
        ([Sample(picture(0), name="a"), Sample(picture(1), name="a")], {}, "called 'a'"),
        (picture(0), {"foreground": ("pore",)}, "no class 'pore'"),
        (picture(0), {"tile": 3}, "tile"),
        (picture(0), {"estimator": "ensemble"}, "several models"),
        (picture(0), {"hardness": 3}, "no setting called 'hardness'"),
        (np.zeros((32, 32), np.uint8), {}, "constant"),
        (np.full((32, 32), np.nan, np.float32), {}, "NaN"),
    ],
)
def test_what_cannot_be_ranked_ends_in_one_sentence(model, given, settings, says):
    with pytest.raises(InputError, match=says) as caught:
        rank(model, given, **settings)
    assert "\n" not in str(caught.value)


def test_a_network_without_an_encoder_is_described_by_its_grey_levels(model):
    from torch import nn

    from napari_anneal.inference import Model

    plain = Model(nn.Conv2d(1, 3, 3, padding=1), model.card, device="cpu")
    order = rank(plain, samples(3), tile=24, top=4)
    assert len({(place.name, place.box) for place in order}) == 4
