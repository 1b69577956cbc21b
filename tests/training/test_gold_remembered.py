"""Models remember which images were gold while they learned, and where the ledger stood: deleting it all is noticed."""

import numpy as np
import pytest
import tifffile
from painted_halves import SMALL, specimen

from napari_anneal.errors import GoldError, LedgerError
from napari_anneal.inference import open_gold, opened_before
from napari_anneal.models.bundle import read_card
from napari_anneal.samples import Sample, read_samples
from napari_anneal.samples.gold_folder import GOLD_FILE, LEDGER_FILE, lock_folder, read_gold_file, release_folder
from napari_anneal.samples.ledger import read_ledger
from napari_anneal.training import FineTuneRecipe, fine_tune
from napari_anneal.training.run_facts import read_facts
from napari_anneal.validation import evaluate, group_split

RECIPE = FineTuneRecipe.from_preset("full", epochs=1, **SMALL)
FILES = (GOLD_FILE, LEDGER_FILE, f"{LEDGER_FILE}.head")


def write(folder, samples):
    for sub in ("images", "labels"):
        (folder / sub).mkdir(parents=True)
    rows = ["image,group"]
    for sample in samples:
        tifffile.imwrite(folder / "images" / f"{sample.name}.tif", sample.image)
        tifffile.imwrite(folder / "labels" / f"{sample.name}.tif", sample.labels)
        rows.append(f"{sample.name},{sample.group}")
    (folder / "groups.csv").write_text("\n".join(rows) + "\n")


@pytest.fixture
def folder(tmp_path):
    """Four specimens; g3 is locked."""
    write(tmp_path / "data", [specimen(seed) for seed in range(4)])
    lock_folder(tmp_path / "data", read_samples(tmp_path / "data"), [3], "A")
    return tmp_path / "data"


@pytest.fixture
def model(folder, tmp_path):
    """Trained while g3 was locked."""
    samples = read_samples(folder)
    fine_tune(samples, group_split(samples, 3), RECIPE, out=tmp_path / "run")
    return tmp_path / "run" / "model"


def opened(folder, model, **options):
    samples = read_samples(folder)
    return open_gold(model, samples, group_split(samples, 2, ["g3"]), who="A", ledger=folder / LEDGER_FILE, **options)


def test_the_card_tells_what_was_gold_and_where_the_ledger_stood(folder, model):
    link = read_card(model).lineage[-1]
    assert link.gold == read_gold_file(folder).samples
    assert link.gold_ledgers == (read_gold_file(folder).ledger,)
    assert [image.name for image in read_facts(model.parent).gold] == ["s3"]


def test_a_folder_cleaned_of_all_gold_files_contradicts_the_model_that_opens_or_is_evaluated(folder, model):
    for name in FILES:
        (folder / name).unlink()
    with pytest.raises(LedgerError, match=r"is gone, though the model model knows of 1 lines in gold-ledger\.jsonl"):
        opened(folder, model)
    with pytest.raises(LedgerError, match="the model model knows"):
        opened_before([read_samples(folder)[3]], folder / LEDGER_FILE, model)
    assert opened_before(read_samples(folder)[:3], folder / LEDGER_FILE, model) == ""
    lock_folder(folder, read_samples(folder), [3], "B")
    with pytest.raises(LedgerError, match="the model model remembers this gold from 1 lines"):
        opened(folder, model)


def test_a_ledger_cut_short_behind_the_models_back_is_noticed(folder, model, tmp_path):
    assert opened(folder, model).number == 1
    samples = read_samples(folder)
    fine_tune(samples, group_split(samples, 3), RECIPE, out=tmp_path / "later")
    assert read_card(tmp_path / "later" / "model").lineage[-1].gold_ledgers[0].count == 3
    first = (folder / LEDGER_FILE).read_bytes().split(b"\n")[0]
    (folder / LEDGER_FILE).write_bytes(first + b"\n")
    (folder / FILES[2]).unlink()
    lock = read_gold_file(folder)
    assert lock.ledger.count == 3
    (folder / GOLD_FILE).unlink()
    with pytest.raises(GoldError, match=r"gold\.json is gone"):
        read_samples(folder)
    with pytest.raises(LedgerError, match="has 1 lines, but the model model knows of 3"):
        opened_before([specimen(3)], folder / LEDGER_FILE, tmp_path / "later" / "model")


def test_training_on_what_was_gold_when_the_start_was_trained_is_said(folder, model, tmp_path):
    for name in FILES:
        (folder / name).unlink()
    run = fine_tune(read_samples(folder), None, RECIPE, start=model)
    assert any("s3 was set aside as gold when the start was trained" in text for text in run.notices)
    again = fine_tune(read_samples(folder)[:3], None, RECIPE, start=model)
    assert not any("gold" in text for text in again.notices)


def test_every_later_run_and_evaluation_of_opened_gold_says_that_it_is_none_any_more(folder, model, tmp_path):
    assert opened(folder, model).report.mark == ""
    samples = read_samples(folder)
    mark = samples[3].mark
    assert mark.startswith("Not gold any more: opened once before")
    run = fine_tune(samples, None, RECIPE, out=tmp_path / "later")
    assert f"About s3: {mark}" in run.notices
    assert mark in (tmp_path / "later" / "report.html").read_text()
    release_folder(folder, "B")
    free = read_samples(folder)
    assert free[3].mark == mark
    assert evaluate(run.model, [free[3]]).mark == mark
    assert evaluate(run.model, [free[0]]).mark == ""


def test_a_model_trained_on_a_copy_of_gold_does_not_open_it_and_the_pair_is_named(tmp_path):
    rng = np.random.default_rng(0)
    plain = [specimen(seed) for seed in range(3)]
    texture = [Sample(rng.integers(0, 255, (96, 96), dtype=np.uint8), None, s.group, None, s.name) for s in plain]
    labels = np.where(np.arange(96)[:, None] + np.zeros(96) > 48, 2, 1).astype(np.uint8)
    painted = [Sample(s.image, labels, s.group, None, s.name) for s in texture]
    changed = (255 - painted[2].image[:, ::-1] // 2).astype(np.uint8)
    copied = Sample(changed, labels, "g9", None, "tinted mirror")
    fine_tune([painted[0], painted[1], copied], None, RECIPE, out=tmp_path / "run")
    everything = [*painted, copied]
    by_hand = group_split(everything, 2, ["g2"], copies=())
    with pytest.raises(GoldError, match="trained or judged on a copy of gold: 'tinted mirror' is a copy of 's2'"):
        open_gold(tmp_path / "run" / "model", everything, by_hand, who="A", ledger=tmp_path / "l.jsonl")
    assert read_ledger(tmp_path / "l.jsonl") == ()


def test_opened_gold_that_comes_back_turned_or_tinted_is_known_again(folder, model):
    ledger = folder / LEDGER_FILE
    opened(folder, model)
    gold = specimen(3)
    turned = Sample(np.rot90(gold.image, 3).copy(), np.rot90(gold.labels, 3).copy(), "new", None, "turned")
    assert "opened once before" in opened_before([turned], ledger)
    assert opened_before([specimen(8)], ledger) == ""
    # Under other grey levels as long as the image that was opened is there to compare with.
    tinted = Sample((255 - gold.image // 2).astype(np.uint8), gold.labels, "new", None, "tinted")
    samples = [specimen(0), specimen(1), gold, tinted]
    plan = group_split(samples, 2, ["new"], copies=())
    assert open_gold(model, samples, plan, who="A", ledger=ledger).number == 2
