"""Claims about the ledger: whatever is done to its lines, its end or the file itself is noticed and said."""

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_anneal.errors import LedgerError, OutputError
from napari_anneal.samples.ledger import append_entry, read_ledger


@pytest.fixture
def book(tmp_path):
    for n in range(4):
        append_entry(tmp_path / "gold.jsonl", {"event": "opened", "n": n}, [tmp_path / "model.json"], {"x"})
    return tmp_path / "gold.jsonl"


def lines(book):
    return book.read_bytes().split(b"\n")[:-1]


def rewrite(book, changed):
    book.write_bytes(b"".join(line + b"\n" for line in changed))


def test_lines_are_numbered_chained_and_read_back(book):
    entries = read_ledger(book)
    assert [e.number for e in entries] == [1, 2, 3, 4]
    assert [e.record["n"] for e in entries] == [0, 1, 2, 3]
    assert [e.previous for e in entries[1:]] == [e.hash for e in entries[:-1]]
    assert read_ledger(book, [book.parent / "model.json"], {"x"}) == entries


def test_no_ledger_is_an_empty_one(tmp_path):
    assert read_ledger(tmp_path / "none.jsonl", [tmp_path / "none.json"], {"x"}) == ()


@given(data=st.data())
@settings(max_examples=60)
def test_any_changed_byte_is_noticed(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ledger")
    for n in range(3):
        append_entry(folder / "l", {"n": n})
    content = bytearray((folder / "l").read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255).filter(lambda b: b != content[at]))
    (folder / "l").write_bytes(content)
    with pytest.raises(LedgerError):
        read_ledger(folder / "l")


@pytest.mark.parametrize("taken", [0, 1, 2, 3])
def test_a_line_taken_out_anywhere_is_noticed(book, taken):
    rewrite(book, [line for n, line in enumerate(lines(book)) if n != taken])
    with pytest.raises(LedgerError, match=r"does not follow|taken off its end"):
        read_ledger(book)


def test_lines_put_in_or_exchanged_are_noticed(book):
    first, second, *rest = lines(book)
    for changed in ([second, first, *rest], [first, first, second, *rest], [first, second, b"", *rest]):
        rewrite(book, changed)
        with pytest.raises(LedgerError, match=r"does not follow|cannot be read"):
            read_ledger(book)


def test_a_shorter_or_missing_file_is_noticed_by_the_head_beside_it(book):
    rewrite(book, lines(book)[:2])
    with pytest.raises(LedgerError, match=r"has 2 lines, but .* knows of 4"):
        read_ledger(book)
    book.unlink()
    with pytest.raises(LedgerError, match=r"is gone, though .* knows of 4 lines"):
        read_ledger(book)
    with pytest.raises(LedgerError, match="is gone"):
        append_entry(book, {"n": 5})


def test_a_ledger_gone_with_its_head_is_noticed_by_the_model_that_opened_this_gold(book):
    anchor = book.parent / "model.json"
    for file in (book, book.with_name("gold.jsonl.head")):
        file.unlink()
    with pytest.raises(LedgerError, match=r"model.json knows of 4 lines in gold.jsonl"):
        read_ledger(book, [anchor], {"x"})
    assert read_ledger(book, [anchor], {"other gold"}) == ()
    append_entry(book, {"n": "anew"}, (), {"x"})
    with pytest.raises(LedgerError, match=r"remembers this gold from 4 lines in gold\.jsonl"):
        read_ledger(book, [anchor], {"x"})


def test_a_ledger_written_anew_is_noticed(book):
    head = book.with_name("gold.jsonl.head").read_bytes()
    book.unlink()
    book.with_name("gold.jsonl.head").unlink()
    for n in range(6):
        append_entry(book, {"n": n, "forged": True})
    book.with_name("gold.jsonl.head").write_bytes(head)
    with pytest.raises(LedgerError, match="replaced or written anew"):
        read_ledger(book)


def test_what_is_said_not_to_be_shown_is_not_shown(book):
    """With ledger and every anchor gone, nothing is left that could tell: the docstring says so."""
    for file in book.parent.iterdir():
        file.unlink()
    assert read_ledger(book, [book.parent / "model.json"], {"x"}) == ()


def test_a_line_cut_off_by_a_power_failure_gives_way_to_the_next(book):
    whole = book.read_bytes()
    book.write_bytes(whole + b'{"number": 5, "rec')
    assert len(read_ledger(book)) == 4
    append_entry(book, {"event": "next"})
    assert [e.record.get("event") for e in read_ledger(book)][-1] == "next"
    assert book.read_bytes().startswith(whole)


def test_a_line_that_the_head_does_not_know_yet_is_kept(book):
    head = book.with_name("gold.jsonl.head")
    before = head.read_bytes()
    append_entry(book, {"n": 4})
    head.write_bytes(before)
    assert len(read_ledger(book)) == 5
    append_entry(book, {"n": 5})
    assert len(read_ledger(book)) == 6


def test_a_damaged_anchor_is_said(book):
    book.with_name("gold.jsonl.head").write_text("{")
    with pytest.raises(LedgerError, match="head cannot be read"):
        read_ledger(book)


def test_one_writer_at_a_time(book):
    code = (
        "import sys, time; from pathlib import Path; from napari_anneal.samples.lock_file import lock_file\n"
        "with lock_file(Path(sys.argv[1]), 'busy'):\n    print('held', flush=True); time.sleep(60)"
    )
    path = book.with_name(".gold.jsonl.lock")
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match="another process is writing to the ledger"):
            append_entry(book, {"n": 4})
        holder.kill()
    append_entry(book, {"n": 4})
    assert len(read_ledger(book)) == 5


def test_numbers_that_json_cannot_hold_are_refused_before_anything_is_written(book):
    with pytest.raises(ValueError, match="JSON"):
        append_entry(book, {"score": float("nan")})
    assert len(read_ledger(book)) == 4
    assert json.loads(lines(book)[-1])["number"] == 4
