"""The page of an evaluation: the worst first, hits and errors in colour, the same figures as JSON and CSV beside it."""

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import imageio.v3 as iio
import numpy as np
import pytest

from napari_anneal.errors import InputError, OutputError
from napari_anneal.samples import Sample
from napari_anneal.validation import evaluate
from napari_anneal.validation.evaluation_page import verdict_map, write_evaluation

COLOURS = ("#0072b2", "#e69f00")


class Threshold:
    """Bright is class 2; sure of it by the grey level."""

    classes = ("matrix <dark>", "pore")

    def segment(self, image, *, axes=None):
        grey = np.asarray(image) / 255
        return SimpleNamespace(labels=(grey > 0.5).astype(np.uint8) + 1, probabilities=np.stack([1 - grey, grey]))


def samples(n=3):
    """Image k has k tenths of its class wrong."""
    rng = np.random.default_rng(0)
    found = []
    for k in range(n):
        labels = (rng.random((40, 30)) < 0.4).astype(np.uint8) + 1
        shown = np.where(rng.random(labels.shape) < k / 10, 3 - labels, labels)
        labels[:5] = 0
        found.append(Sample((shown == 2) * np.uint8(180) + np.uint8(40), labels, group=f"g{k}", name=f"image & {k}"))
    return found


class Parts(HTMLParser):
    def __init__(self):
        super().__init__()
        self.pictures, self.text = [], ""

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.pictures.append((dict(attributes)["alt"], dict(attributes)["src"]))

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def written(tmp_path):
    model, chosen = Threshold(), samples()
    train = [Sample(s.image, s.labels, group="training", name="t") for s in samples(2)]
    report = evaluate(model, chosen, metrics=("dice", "iou", "boundary_f1"), controls_from=train)
    page = write_evaluation(
        report, model, chosen, tmp_path / "out", colours=COLOURS, title="Evaluation of <b>x</b>", pictures=2
    )
    return report, page


def test_the_page_shows_the_worst_images_first_and_escapes_names(written):
    report, page = written
    html = page.read_text(encoding="utf-8")
    parts = Parts()
    parts.feed(html)
    of = [alt.rpartition(" of ")[2] for alt, _ in parts.pictures]
    assert list(dict.fromkeys(of)) == ["image & 2", "image & 1"]
    assert "<b>x</b>" not in html
    assert "matrix <dark>" in parts.text
    for mean in report.mean("boundary_f1"):
        assert f"{mean:.3f}" in parts.text
    for word in ("One split, ± 5–10 points", "Sauvola", "Expected calibration error", "takes five groups"):
        assert word in parts.text
    # Nothing is fetched from anywhere.
    assert not re.search(r'(src|href)="(?!data:|#)', html)


def test_hits_false_alarms_and_misses_have_their_colours(written):
    _, page = written
    parts = Parts()
    parts.feed(page.read_text(encoding="utf-8"))
    source = next(source for alt, source in parts.pictures if alt.startswith("pore of image & 2"))
    picture = iio.imread(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    sample = samples()[2]
    verdict = verdict_map(np.asarray(sample.labels), Threshold().segment(sample.image).labels, 2)
    assert set(np.unique(verdict)) == {0, 1, 2, 3}
    colours = [{tuple(c) for c in picture[(verdict == v) & (sample.labels > 0)]} for v in (1, 2, 3)]
    assert not colours[0] & colours[2]
    assert not colours[1] & colours[2]
    # Unpainted rows stay grey.
    assert (picture[:5].max(axis=-1) == picture[:5].min(axis=-1)).all()


def test_verdicts_are_those_of_the_confusion_matrix():
    sample = samples()[1]
    report = evaluate(Threshold(), [sample])
    verdict = verdict_map(np.asarray(sample.labels), Threshold().segment(sample.image).labels, 2)
    confusion = report.images[0].confusion
    assert [(verdict == v).sum() for v in (1, 2, 3)] == [confusion[1, 1], confusion[0, 1], confusion[1, 0]]


def test_json_and_csv_lie_beside_the_page(written):
    report, page = written
    assert json.loads((page.parent / "report.json").read_text()) == json.loads(json.dumps(report.to_dict()))
    assert (page.parent / "report.csv").read_text() == report.to_csv()


def test_a_stack_is_shown_at_its_worst_painted_slice(tmp_path):
    flat = samples()
    stack = Sample(np.stack([s.image for s in flat]), np.stack([s.labels for s in flat]), name="stack")
    page = write_evaluation(evaluate(Threshold(), [stack]), Threshold(), [stack], tmp_path, colours=COLOURS)
    assert "stack, slice 2" in page.read_text(encoding="utf-8")


def test_an_earlier_report_is_kept_unless_it_may_be_replaced(written, tmp_path):
    report, page = written
    before = page.read_bytes()
    with pytest.raises(OutputError, match="already exists"):
        write_evaluation(report, Threshold(), samples(), page.parent, colours=COLOURS)
    assert page.read_bytes() == before
    marked = replace(report, mark="opened before")
    again = write_evaluation(marked, Threshold(), samples(), page.parent, colours=COLOURS, overwrite=True)
    assert "opened before" in again.read_text(encoding="utf-8")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="could not be written"):
        write_evaluation(report, Threshold(), samples(), tmp_path / "file" / "x", colours=COLOURS)
    with pytest.raises(InputError, match="2 samples do not fit a report on 3 images"):
        write_evaluation(report, Threshold(), samples(2), tmp_path / "x", colours=COLOURS)
