"""Several processes of one command: their numbers, their end, and that none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from napari_anneal import launching
from napari_anneal.errors import InputError
from napari_anneal.launching import is_first, is_launched, launch

NUMBERS = ("LOCAL_RANK", "NODE_RANK", "RANK", "SLURM_PROCID", "SLURM_NTASKS", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(autouse=True)
def not_launched(monkeypatch):
    for name in NUMBERS:
        monkeypatch.delenv(name, raising=False)


def python(source):
    return [sys.executable, "-c", f"import os, sys, time\n{source}"]


def test_every_process_knows_its_number_and_where_to_meet(tmp_path):
    names = "('LOCAL_RANK', 'NODE_RANK', 'MASTER_ADDR', 'MASTER_PORT', 'WORLD_SIZE')"
    source = (
        f"open({str(tmp_path)!r} + '/' + os.environ['LOCAL_RANK'], 'w').write(' '.join(os.environ[n] for n in {names}))"
    )
    assert launch(3, 1, python(source)) == 0
    said = [(tmp_path / str(rank)).read_text().split() for rank in range(3)]
    assert [words[0] for words in said] == ["0", "1", "2"]
    assert {tuple(words[1:]) for words in said} == {("0", "127.0.0.1", said[0][3], "3")}
    assert int(said[0][3]) > 0


def test_where_one_fails_the_others_have_time_to_save_and_are_then_ended(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(launching, "PATIENCE_S", 1.0)
    slow = (
        f"sys.exit(3) if os.environ['LOCAL_RANK'] == '1' else (time.sleep(0.5), open({str(tmp_path / 'saved')!r}, 'w'))"
    )
    assert launch(2, 1, python(slow)) == 3
    assert (tmp_path / "saved").exists()
    began = time.monotonic()
    assert launch(2, 1, python("sys.exit(3) if os.environ['LOCAL_RANK'] == '1' else time.sleep(60)")) != 0
    assert time.monotonic() - began < 20
    assert launch(2, 1, python("os.kill(os.getpid(), 9) if os.environ['LOCAL_RANK'] == '1' else None")) == 1
    assert "process 1 of this run was ended by SIGKILL" in capfd.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
def test_a_launcher_that_is_ended_leaves_no_process_behind(tmp_path):
    child = f"open({str(tmp_path)!r} + '/' + os.environ['LOCAL_RANK'], 'w').write(str(os.getpid())); time.sleep(60)"
    source = f"from napari_anneal.launching import launch\nsys.exit(launch(2, 1, {python(child)!r}))"
    launcher = subprocess.Popen(python(source))
    places = [tmp_path / str(rank) for rank in range(2)]
    deadline = time.monotonic() + 30
    while not all(place.exists() and place.read_text() for place in places) and time.monotonic() < deadline:
        time.sleep(0.05)
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(20) == 1
    for place in places:
        with pytest.raises(ProcessLookupError):
            os.kill(int(place.read_text()), 0)


def test_several_machines_must_be_told_where_to_meet(monkeypatch):
    with pytest.raises(InputError, match="missing: MASTER_ADDR, MASTER_PORT, NODE_RANK"):
        launch(1, 2, python(""))
    for name, value in (("MASTER_ADDR", "10.0.0.1"), ("MASTER_PORT", "29500"), ("NODE_RANK", "1")):
        monkeypatch.setenv(name, value)
    source = "sys.exit([os.environ[n] for n in ('MASTER_ADDR', 'NODE_RANK', 'WORLD_SIZE')] != ['10.0.0.1', '1', '2'])"
    assert launch(1, 2, python(source)) == 0


@pytest.mark.parametrize(
    ("environment", "launched", "first"),
    [
        ({}, False, True),
        ({"LOCAL_RANK": "0", "NODE_RANK": "0"}, True, True),
        ({"LOCAL_RANK": "1", "NODE_RANK": "0"}, True, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, True, False),
        ({"LOCAL_RANK": "0", "RANK": "2"}, True, False),
        ({"LOCAL_RANK": "0", "RANK": "0"}, True, True),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "3", "SLURM_JOB_NAME": "train"}, True, False),
        ({"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "bash"}, False, True),
    ],
)
def test_who_was_launched_and_who_speaks(monkeypatch, environment, launched, first):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (is_launched(), is_first()) == (launched, first)
