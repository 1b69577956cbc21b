"""The report of a run: one page that needs no network, says what happened, and never costs a model."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import threading
from html.parser import HTMLParser

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from painted_halves import SMALL, specimen

from napari_anneal.errors import InputError
from napari_anneal.inference import load_model
from napari_anneal.samples.normalisation import standardise
from napari_anneal.samples.patches import PreparedSlice
from napari_anneal.samples.sample import Sample
from napari_anneal.training import FineTuneRecipe, cross_validate, fine_tune, fine_tune_with_controls, record
from napari_anneal.training.events import StepDone
from napari_anneal.training.report import write_report
from napari_anneal.training.run_facts import Finding, UsedImage, read_facts, write_facts
from napari_anneal.training.worst_images import judge, read_pictures
from napari_anneal.validation import evaluate, group_split

NASTY = "<img src=x onerror=alert(1)> & co"


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.text, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        found = dict(attributes)
        self.addresses += [found[key] for key in ("src", "href") if key in found]
        assert not any(key.startswith("on") for key in found)

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self):
        return re.sub(r"\s+", " ", " ".join(self.text))


def read(path):
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def samples():
    named = [specimen(seed) for seed in range(4)]
    return [Sample(s.image, s.labels, group=f"{NASTY} {s.group}", name=f"{NASTY} {s.name}") for s in named]


def recipe(preset="canonical", epochs=4, **changes):
    return FineTuneRecipe.from_preset(preset, epochs=epochs, **(SMALL | {"validation_patches": 8} | changes))


@pytest.fixture(scope="module")
def done(samples, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "a"
    plan = group_split(samples, folds=3, gold=[samples[3].group])
    run = fine_tune(samples, plan, recipe(classes=("dark", NASTY)), out=out)
    return run, plan, out


def test_a_run_leaves_a_page_that_needs_nothing_else(done):
    page = read(done[2] / "report.html")
    assert page.addresses
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert (done[2] / "report.html").stat().st_size < 2_000_000


def test_names_with_html_in_them_are_only_text(done):
    page = read(done[2] / "report.html")
    assert NASTY in page.words
    assert page.tags.count("img") == len(page.addresses)


def test_figures_are_those_of_the_model_on_the_validation_patches(done, samples):
    run, plan, out = done
    facts = read_facts(out)
    table = np.sum([image.confusion for image in facts.images], axis=0)
    assert table.sum() == sum(facts.validation_painted)
    dice = 2 * np.diag(table) / (table.sum(0) + table.sum(1))
    assert dice == pytest.approx([run.best["val_dice_1"], run.best["val_dice_2"]], abs=1e-6)
    page = read(out / "report.html").words
    assert all(f"{value:.3f}" in page for value in dice)
    assert "One split, ± 5–10 points" in page
    assert f"epoch {run.best['epoch']}" in page
    whole = evaluate(load_model(out / "model"), [samples[i] for i in plan.folds[0].val]).pooled.dice
    assert dice == pytest.approx(whole, abs=0.1)  # patches against whole images


def test_gold_start_versions_and_every_setting_are_told(done, samples):
    page = read(done[2] / "report.html").words
    for text in (samples[3].name, "untouched by this run", "scratch", "torch", "noise_scale_every", "all layers"):
        assert text in page


def test_pictures_show_image_labels_prediction_and_what_is_wrong(done):
    _, _, out = done
    facts, (picture, *_) = read_facts(out), read_pictures(out)
    wrong = int(((picture.labels != picture.prediction) & (picture.labels > 0)).sum())
    assert 0 <= wrong <= sum(facts.validation_painted) - np.trace(np.sum([i.confusion for i in facts.images], axis=0))
    page = read(out / "report.html")
    views = [iio.imread(io.BytesIO(base64.b64decode(a.partition(",")[2]))) for a in page.addresses[:4]]
    assert all(view.shape == (*picture.labels.shape, 3) for view in views)
    assert np.array_equal(views[0][..., 0], picture.image)


class Threshold(torch.nn.Module):
    """Class 2 where the standardised image is above 0."""

    def forward(self, images):
        return torch.cat([-images, images], dim=1)


def test_the_worst_image_comes_first_and_pictures_are_bounded():
    rng = np.random.default_rng(0)
    tiles, wrong = [], {}
    for sample in range(8):
        for patch in range(2):
            image = rng.random((1, 640, 640)).astype(np.float32)
            labels = np.where(standardise(image[0]) > 0, 2, 1)
            flipped = rng.random(labels.shape) < 0.05 * (sample + patch)
            tiles.append(PreparedSlice(image, np.where(flipped, 3 - labels, labels), sample, None))
            wrong[sample, patch] = int(flipped.sum())
    names = [UsedImage(name=f"s{i}", group="g") for i in range(8)]
    judged, pictures = judge(Threshold(), tiles, recipe(precision="float32"), torch.device("cpu"), names)
    assert [image.name for image in judged] == [f"s{i}" for i in reversed(range(8))]
    for image in judged:
        table, sample = np.array(image.confusion), int(image.name[1:])
        assert table.sum() == 2 * 640**2
        assert table.sum() - np.trace(table) == wrong[sample, 0] + wrong[sample, 1]
    assert len(pictures) == 6
    for picture in pictures:
        assert picture.labels.shape == picture.prediction.shape == picture.image.shape == (320, 320)
    # Of the worst image, its worse patch.
    assert np.array_equal(pictures[0].labels, tiles[15].labels[::2, ::2])


def test_it_can_be_written_again_from_the_folder_alone(done, tmp_path):
    shutil.copytree(done[2], tmp_path / "moved")
    before = (tmp_path / "moved" / "report.html").read_text()
    (tmp_path / "moved" / "report.html").unlink()
    assert write_report(tmp_path / "moved").read_text() == before


def test_findings_stand_before_the_figures(done, tmp_path):
    shutil.copytree(done[2], tmp_path / "a")
    finding = Finding("overfitting", "Learned <by> heart.", "advice")
    write_facts(tmp_path / "a", read_facts(tmp_path / "a").changed(findings=(finding,)))
    words = read(write_report(tmp_path / "a")).words
    assert words.index("Learned <by> heart.") < words.index("Figures on the validation images")


@pytest.mark.parametrize("missing", ["pictures.npz", "steps.csv", "history.csv", "recipe.json", "model"])
def test_a_missing_file_costs_no_more_than_what_it_held(done, tmp_path, missing):
    shutil.copytree(done[2], tmp_path / "a")
    path = tmp_path / "a" / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert "Figures on the validation images" in read(write_report(tmp_path / "a")).words


def test_damaged_pictures_cost_no_more_than_themselves(done, tmp_path):
    shutil.copytree(done[2], tmp_path / "a")
    (tmp_path / "a" / "pictures.npz").write_bytes(b"PK\x03\x04 nonsense")
    assert "img" not in read(write_report(tmp_path / "a")).tags


def test_no_run_no_report(tmp_path):
    with pytest.raises(InputError, match="holds no run"):
        write_report(tmp_path)


def test_a_report_that_fails_is_a_notice_and_the_model_is_there(samples, tmp_path, monkeypatch):
    def broken(folder):
        raise RuntimeError("no fonts")

    monkeypatch.setattr(record, "write_report", broken)
    run = fine_tune(samples, recipe=recipe("scratch", 1), out=tmp_path / "a")
    assert "no fonts" in run.notices[-1]
    assert run.reason == "complete"
    assert load_model(run.out / "model").classes == run.model.classes
    assert read_facts(tmp_path / "a").reason == "complete"


def test_a_cancelled_run_has_a_page_too(samples, tmp_path):
    cancel = threading.Event()

    def listen(event):
        if isinstance(event, StepDone) and event.step == 1:
            cancel.set()

    fine_tune(samples, recipe=recipe("scratch", 1), out=tmp_path / "a", on_event=listen, cancel=cancel)
    words = read(tmp_path / "a" / "report.html").words
    assert "was cancelled" in words
    assert "never validated" in words


def test_a_run_without_a_folder_writes_nothing_and_still_says_what_it_found(samples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = fine_tune(samples[:1], recipe=recipe("scratch", 1))
    assert list(tmp_path.iterdir()) == []
    assert any("validation images hold" in text for text in run.notices)


# Several runs


def test_a_cross_validation_has_a_page_with_every_fold_and_its_folds_name_it(samples, tmp_path):
    plan = group_split(samples, folds=2)
    result = cross_validate(samples, plan, recipe("scratch", 1), out=tmp_path / "cv")
    page = read(tmp_path / "cv" / "report.html")
    assert {"fold-1/report.html", "fold-2/report.html"} <= set(page.addresses)
    told = json.loads((tmp_path / "cv" / "cross-validation.json").read_text())
    assert told["mean"]["dice"] == pytest.approx(list(result.mean()))
    expected = f"{result.mean()[0]:.3f} ± {result.std()[0]:.3f}"
    assert expected in page.words
    fold = read(tmp_path / "cv" / "fold-1" / "report.html")
    assert "../report.html" in fold.addresses
    assert expected in fold.words
    assert "95 % interval" not in page.words  # four specimens say too little
    more = {
        "interval_95": told["interval_95"] | {"dice": [[0.412, 0.634], [None, None]]},
        "std_of_seeds": told["std_of_seeds"] | {"dice": [0.017, 0.023]},
        "controls": {"main": [0.5, 0.7], "feature_extraction": [0.25, None]},
        "finding": "The features mislead.",
    }
    assert set(more) <= set(told)
    (tmp_path / "cv" / "cross-validation.json").write_text(json.dumps(told | more))
    words = read(write_report(tmp_path / "cv")).words
    for text in ("0.412 – 0.634 n/a", "± 0.023", "main 0.600 ± 0.141", "feature extraction 0.250.", "mislead."):
        assert text in words


def test_a_run_beside_its_controls_has_three_curves(samples, tmp_path):
    start = fine_tune(samples, recipe=recipe("scratch", 1)).model
    result = fine_tune_with_controls(samples, recipe=recipe("canonical", 3), start=start, out=tmp_path / "a")
    page = read(tmp_path / "a" / "report.html")
    assert {"controls/scratch/report.html", "controls/feature_extraction/report.html"} <= set(page.addresses)
    for name in ("this run", "scratch", "feature extraction"):
        assert name in page.words
    assert "Beside its controls" in page.words
    assert result.sentence
    assert page.words.count(result.sentence) == 1  # as a finding, or where it is none
