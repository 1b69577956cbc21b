"""Claims about opening gold: a frozen model only, written down before the look, and never twice as if it were once."""

import json
import shutil

import numpy as np
import pytest

from napari_anneal.errors import BundleError, GoldError, InputError, LedgerError
from napari_anneal.inference import load_model, open_gold, opened_before
from napari_anneal.inference.gold import ANCHOR
from napari_anneal.models.bundle import bundle_hash
from napari_anneal.samples import Sample, lock
from napari_anneal.samples.fingerprints import painted_fingerprint
from napari_anneal.samples.ledger import read_ledger
from napari_anneal.validation import evaluate, group_split


def specimen(seed, group):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 255, (64, 64), dtype=np.uint8)
    return Sample(image, np.where(image > 128, 2, 1).astype(np.uint8), group, None, f"{group}-{seed}")


@pytest.fixture(scope="module")
def samples():
    return [specimen(seed, group) for seed, group in enumerate("aabbcc")]


@pytest.fixture
def plan(samples):
    return group_split(samples, 2, gold=["c"], copies=())


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The shipped model, saved where a ledger may be remembered."""
    path = tmp_path_factory.mktemp("models") / "model"
    load_model("voronoi").save(path)
    return path


@pytest.fixture
def model(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def ledger(tmp_path):
    return tmp_path / "gold.jsonl"


def records(ledger):
    return [entry.record for entry in read_ledger(ledger)]


def test_the_first_opening_is_scored_written_down_and_unmarked(samples, plan, model, ledger):
    closed = [lock(s) if i in plan.gold else s for i, s in enumerate(samples)]
    done = open_gold(model, closed, plan, who="A. Person", ledger=ledger)
    expected = evaluate(load_model(model), [samples[i] for i in plan.gold])
    assert np.allclose(done.report.mean("dice"), expected.mean("dice"), equal_nan=True)
    assert (done.number, done.report.mark) == (1, "")
    opened, scored = records(ledger)
    assert (opened["event"], scored["event"]) == ("opened", "scored")
    assert opened["who"] == "A. Person"
    assert opened["model"] == bundle_hash(model)
    assert set(opened["images"]) == {"c-4", "c-5"}
    assert scored["score"]["dice"] == pytest.approx(done.report.mean("dice").tolist(), nan_ok=True)


def test_a_second_opening_is_allowed_counted_and_marked_in_every_report(samples, plan, model, ledger):
    open_gold(model, samples, plan, who="A", ledger=ledger)
    again = open_gold(model, samples, plan, who="B", ledger=ledger)
    assert again.number == 2
    assert again.report.mark.startswith("Not gold any more: opened once before, first on 20")
    assert again.report.mark.endswith("by A.")
    assert again.report.table().startswith(again.report.mark)
    assert again.report.to_dict()["mark"] == again.report.mark
    third = open_gold(model, [lock(s) for s in samples], plan, who="C", ledger=ledger)
    assert "opened 2 times before" in third.report.mark
    # Painted anew or under another name it is still the same picture.
    renamed = [Sample(s.image, s.labels[::-1].copy(), s.group, None, f"new {i}") for i, s in enumerate(samples)]
    assert "opened 3 times" in opened_before([renamed[4]], ledger)
    assert opened_before(samples[:4], ledger) == ""


def test_it_is_in_the_ledger_before_the_first_look_even_if_the_process_dies_at_it(
    samples, plan, model, ledger, monkeypatch
):
    class Died(BaseException):
        pass

    def die(*args, **kwargs):
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr("napari_anneal.inference.gold.evaluate", die)
        with pytest.raises(Died):
            open_gold(model, samples, plan, who="A", ledger=ledger)
    assert [r["event"] for r in records(ledger)] == ["opened"]
    assert open_gold(model, samples, plan, who="A", ledger=ledger).number == 2


def test_gold_that_could_not_be_scored_was_not_opened(samples, plan, model, ledger):
    many = [Sample(s.image, s.labels + 5, s.group, None, s.name) for s in samples]
    with pytest.raises(InputError, match="painted with class 7"):
        open_gold(model, many, plan, who="A", ledger=ledger)
    assert [r["event"] for r in records(ledger)] == ["opened", "not scored"]
    assert open_gold(model, samples, plan, who="A", ledger=ledger).number == 1


def test_only_a_saved_and_undamaged_model_opens_gold(samples, plan, model, ledger):
    with pytest.raises(InputError, match="save it first"):
        open_gold(load_model(model), samples, plan, who="A", ledger=ledger)
    with pytest.raises(InputError, match="no model bundle"):
        open_gold("voronoi", samples, plan, who="A", ledger=ledger)
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match="checksum"):
        open_gold(model, samples, plan, who="A", ledger=ledger)
    assert not ledger.exists()


def test_no_name_no_gold_and_gold_in_a_fold_are_refused(samples, plan, model, ledger):
    with pytest.raises(InputError, match="name of who"):
        open_gold(model, samples, plan, who=" ", ledger=ledger)
    with pytest.raises(InputError, match="no gold samples"):
        open_gold(model, samples, group_split(samples, 2, copies=()), who="A", ledger=ledger)
    mixed = type(plan)(plan.folds, (*plan.gold, plan.folds[0].train[0]), plan.report)
    with pytest.raises(GoldError, match="in a fold at once"):
        open_gold(model, samples, mixed, who="A", ledger=ledger)
    assert not ledger.exists()


@pytest.mark.parametrize("where", ["fingerprints", "lineage"])
def test_a_model_that_ever_learned_from_a_gold_image_does_not_open_it(samples, plan, tmp_path, ledger, where):
    from napari_anneal.models.bundle import save_bundle
    from napari_anneal.models.lineage import Link

    loaded = load_model("voronoi")
    prints = {"under another name": painted_fingerprint(samples[5])}
    changed = {"fingerprints": prints} if where == "fingerprints" else {"lineage": (Link(kind="real", train=prints),)}
    save_bundle(loaded.network, loaded.card.model_copy(update=changed), tmp_path / "leaky")
    with pytest.raises(GoldError, match="trained or judged on c-5"):
        open_gold(tmp_path / "leaky", samples, plan, who="A", ledger=ledger)
    assert not ledger.exists()


def test_the_model_remembers_a_ledger_that_was_deleted_or_exchanged(samples, plan, model, ledger):
    open_gold(model, samples, plan, who="A", ledger=ledger)
    assert (model / ANCHOR).is_file()
    load_model(model)  # the file beside it is no damage
    for file in (ledger, ledger.with_name(f"{ledger.name}.head")):
        file.unlink()
    with pytest.raises(LedgerError, match=r"gold-openings.json knows of 2 lines in gold.jsonl"):
        open_gold(model, samples, plan, who="A", ledger=ledger)
    with pytest.raises(LedgerError, match="is gone"):
        open_gold(model, samples, plan, who="A", ledger=ledger.with_name("other.jsonl"))


def test_an_edited_score_is_noticed_at_the_next_opening(samples, plan, model, ledger):
    open_gold(model, samples, plan, who="A", ledger=ledger)
    lines = ledger.read_text().splitlines()
    scored = json.loads(lines[1])
    scored["record"]["score"]["dice"][0] = 0.99
    ledger.write_text("\n".join([lines[0], json.dumps(scored, sort_keys=True, separators=(",", ":"))]) + "\n")
    with pytest.raises(LedgerError, match=r"line 2 .* does not match its hash"):
        open_gold(model, samples, plan, who="A", ledger=ledger)
