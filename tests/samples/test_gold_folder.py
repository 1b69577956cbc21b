"""Claims about a folder with gold: gold.json and the ledger watch one another, and giving gold up leaves a trace."""

import json
import shutil

import numpy as np
import pytest
import tifffile

from napari_anneal.errors import GoldError, InputError, LedgerError
from napari_anneal.samples import is_locked, read_samples
from napari_anneal.samples.gold import gold_fingerprint, seal_of
from napari_anneal.samples.gold_folder import (
    GOLD_FILE,
    LEDGER_FILE,
    lock_folder,
    locked_as,
    read_gold_file,
    release_folder,
)
from napari_anneal.samples.ledger import append_entry, read_ledger

HEAD = f"{LEDGER_FILE}.head"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for sub in ("images", "labels"):
        (folder / sub).mkdir()
    rows = ["image,group"]
    for i in range(4):
        pixels = np.random.default_rng(i).integers(0, 255, (32, 32), dtype=np.uint8)
        tifffile.imwrite(folder / "images" / f"s{i}.tif", pixels)
        tifffile.imwrite(folder / "labels" / f"s{i}.tif", np.full((32, 32), 1, np.uint8))
        rows.append(f"s{i},g{i // 2}")
    (folder / "groups.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """Four images of two specimens; the second specimen is locked."""
    shutil.copytree(made, tmp_path / "data")
    lock_folder(tmp_path / "data", read_samples(tmp_path / "data"), [2, 3], "A. Person")
    return tmp_path / "data"


def test_locking_is_in_the_ledger_and_each_file_remembers_the_other(folder):
    (entry,) = read_ledger(folder / LEDGER_FILE)
    assert (entry.record["event"], entry.record["who"]) == ("locked", "A. Person")
    assert entry.record["images"] == read_gold_file(folder).samples
    state = read_gold_file(folder).ledger
    assert (state.first, state.count, state.head, state.ledger) == (entry.hash, 1, entry.hash, LEDGER_FILE)
    closed = read_samples(folder)[2]
    assert seal_of(closed).ledger == state
    assert seal_of(closed).fingerprint == gold_fingerprint(closed) == read_gold_file(folder).samples["s2"]


FAULTS = {
    "gold.json deleted": ([GOLD_FILE], GoldError, "gold.json is gone, though line 1"),
    "the ledger deleted": ([LEDGER_FILE], LedgerError, "is gone, though"),
    "the ledger and its anchor deleted": ([LEDGER_FILE, HEAD], LedgerError, r"gold\.json knows of 1 lines"),
    "gold.json and the ledger deleted": ([GOLD_FILE, LEDGER_FILE], LedgerError, r"\.head knows of 1 lines"),
    "gold.json and the anchor deleted": ([GOLD_FILE, HEAD], GoldError, "restore the file from a copy"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whichever_file_is_deleted_the_rest_says_it(folder, fault):
    files, kind, says = FAULTS[fault]
    for name in files:
        (folder / name).unlink()
    with pytest.raises(kind, match=says):
        read_samples(folder)


def test_all_three_files_deleted_is_not_seen_by_the_folder_alone(folder):
    for name in (GOLD_FILE, LEDGER_FILE, HEAD):
        (folder / name).unlink()
    assert not any(is_locked(s) for s in read_samples(folder))


def test_an_image_taken_out_of_gold_json_is_named(folder):
    told = json.loads((folder / GOLD_FILE).read_text())
    told["groups"], told["samples"] = [], {"s2": told["samples"]["s2"]}
    (folder / GOLD_FILE).write_text(json.dumps(told))
    with pytest.raises(GoldError, match="does not name 's3', though line 1"):
        read_samples(folder)


def test_a_ledger_begun_anew_is_not_the_one_that_gold_json_remembers(folder):
    for name in (LEDGER_FILE, HEAD):
        (folder / name).unlink()
    append_entry(folder / LEDGER_FILE, {"event": "opened", "images": {}, "when": "2020-01-01", "who": "B"})
    with pytest.raises(LedgerError, match=r"gold\.json remembers this gold from 1 lines"):
        read_samples(folder)


def test_released_gold_is_read_like_any_other_and_marked_for_every_report(folder):
    with pytest.raises(InputError, match="name of who"):
        release_folder(folder, " ")
    assert set(release_folder(folder, "B. Person")) == {"s2", "s3"}
    samples = read_samples(folder)
    assert not any(is_locked(s) for s in samples)
    assert [s.mark for s in samples[:2]] == ["", ""]
    assert samples[2].mark.startswith("Not gold any more: released on 20")
    assert samples[2].mark.endswith("by B. Person.")
    with pytest.raises(InputError, match="nothing is locked"):
        release_folder(folder, "B. Person")
    lock_folder(folder, samples, [2, 3], "C")
    assert [is_locked(s) for s in read_samples(folder)] == [False, False, True, True]
    assert read_samples(folder)[3].mark == samples[3].mark


def test_gold_whose_gold_json_was_lost_can_still_be_released(folder):
    (folder / GOLD_FILE).unlink()
    assert set(release_folder(folder, "B")) == {"s2", "s3"}
    assert len(read_samples(folder)) == 4


def test_a_group_locked_for_one_command_is_sealed_with_its_pixels(folder):
    sample = locked_as(read_samples(folder)[0], folder)
    assert is_locked(sample)
    assert len(seal_of(sample).fingerprint) == 64
    assert seal_of(sample).ledger.count == 1
    assert locked_as(sample, folder) is sample


def test_a_gold_file_of_before_the_ledger_told_of_locking_still_locks(folder):
    told = json.loads((folder / GOLD_FILE).read_text())
    del told["ledger"]
    for name in (LEDGER_FILE, HEAD):
        (folder / name).unlink()
    (folder / GOLD_FILE).write_text(json.dumps(told))
    assert [is_locked(s) for s in read_samples(folder)] == [False, False, True, True]


def test_a_gold_image_under_another_name_and_group_is_still_locked(folder):
    for kind in ("images", "labels"):
        (folder / kind / "s2.tif").rename(folder / kind / "harmless.tif")
    (folder / "groups.csv").write_text("image,group\ns0,g0\ns1,g0\nharmless,g7\ns3,g1\n")
    assert {s.name for s in read_samples(folder) if is_locked(s)} == {"harmless", "s3"}
    (folder / "images" / "harmless.tif").unlink()
    (folder / "labels" / "harmless.tif").unlink()
    (folder / "groups.csv").write_text("image,group\ns0,g0\ns1,g0\ns3,g1\n")
    assert {s.name for s in read_samples(folder) if is_locked(s)} == {"s3"}


def test_no_pixel_is_hashed_while_nothing_was_opened_renamed_or_released(folder, monkeypatch):
    def never(sample):
        raise AssertionError("hashed")

    monkeypatch.setattr("napari_anneal.samples.gold_folder.image_fingerprint", never)
    assert [is_locked(s) for s in read_samples(folder)] == [False, False, True, True]
