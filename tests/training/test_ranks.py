"""Two processes that share every batch make the run that one process makes; and what happens when one of them fails."""

from __future__ import annotations

import copy
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import two_processes
from painted_halves import specimen
from timm.layers import BatchNormAct2d
from torch import nn

from napari_anneal.errors import InputError
from napari_anneal.inference import load_model
from napari_anneal.training import FineTuneRecipe, fine_tune
from napari_anneal.training.checkpoint import has_checkpoint, read_checkpoint
from napari_anneal.training.ranks import ALONE
from napari_anneal.training.shared_statistics import SharedStatistics

# Starting Python and torch twice takes long on a busy machine.
pytestmark = pytest.mark.timeout(600)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What both processes have to say about every run: name → (first, second)."""
    folder = tmp_path_factory.mktemp("ranks")
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    script = str(Path(two_processes.__file__))
    children = [
        subprocess.Popen([sys.executable, script, str(folder)], env=os.environ | place | {"LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]
    try:
        assert [child.wait(500) for child in children] == [0, 3]
    finally:
        for child in children:
            child.kill()

    def of(name):
        found = [folder / f"{name}-{rank}.json" for rank in range(2)]
        return [json.loads(path.read_text()) for path in found if path.exists()]

    return folder, of


@pytest.fixture(scope="module")
def alone():
    return {
        "plain": two_processes.shared(),
        "pieces": two_processes.shared(batch_norm="frozen", ema_decay=0.5),
        "memory": two_processes.shared(batch_norm="frozen"),
        "early": two_processes.shared(patience=1),
        "nan": two_processes.with_a_nan(5, epochs=2),
    }


@pytest.mark.parametrize("name", ["plain", "pieces", "memory"])
def test_losses_and_weights_are_those_of_a_single_process(outcomes, alone, name):
    """Training loss of each of 12 steps to 1e-5 relative: batch statistics; frozen, in pieces, averaged; and halved."""
    first, second = outcomes[1](name)
    one = alone[name]
    assert len(one["losses"]) == 12
    np.testing.assert_allclose(first["losses"], one["losses"], rtol=1e-5)
    np.testing.assert_allclose(first["val_losses"], one["val_losses"], rtol=1e-4)
    for weight, values in one["weights"].items():
        np.testing.assert_allclose(first["weights"][weight], values, rtol=1e-3, atol=1e-4, err_msg=weight)
    assert first["weights"] == second["weights"]


def test_early_stops_and_fall_backs_are_those_of_a_single_process(outcomes, alone):
    for name in ("early", "nan"):
        (first, second), one = outcomes[1](name), alone[name]
        np.testing.assert_allclose(first["losses"], one["losses"], rtol=1e-4)
        assert (first["reason"], second["reason"]) == (one["reason"], one["reason"])
        assert second["notices"] == first["notices"] == list(one["notices"])
    assert alone["early"]["reason"] == "stopped early"
    assert any("half the learning rates" in text for text in alone["nan"]["notices"])


def test_the_first_process_alone_tells_and_writes(outcomes):
    folder, of = outcomes
    first, second = of("plain")
    assert first["noise"] == 4
    assert (second["losses"], second["val_losses"], second["noise"], second["out"]) == ([], [], 0, "None")
    assert load_model(folder / "plain" / "model").segment(specimen(0).image).labels.min() >= 1


def test_memory_short_on_one_process_halves_the_pieces_of_both(outcomes):
    first, second = outcomes[1]("memory")
    assert sum("computed at a time" in text for text in first["notices"]) == 1
    assert second["notices"] == first["notices"]


def test_finish_pause_and_cancel_reach_both(outcomes):
    for name, reason, steps in (("finish", "finished", 5), ("pause", "complete", 3), ("cancel", "cancelled", 5)):
        first, second = outcomes[1](name)
        assert (first["reason"], second["reason"]) == (reason, reason)
        assert len(first["losses"]) == steps


def test_a_cancelled_run_of_two_is_resumed_by_two_bit_for_bit(outcomes):
    cut, resumed, whole = (outcomes[1](name)[0] for name in ("cancel", "resume", "plain"))
    assert cut["losses"] + resumed["losses"] == whole["losses"]
    assert resumed["weights"] == whole["weights"]


def test_a_fault_of_one_is_a_sentence_of_both(outcomes):
    assert all("already exists and is not empty" in text for text in outcomes[1]("fault"))
    assert all("process 1 of this run found other images" in text for text in outcomes[1]("files"))


def test_a_process_that_dies_leaves_a_sentence_and_a_checkpoint(outcomes):
    folder, of = outcomes
    (text,) = of("death")
    assert "another process of this run has ended or does not answer" in text
    assert has_checkpoint(folder / "death")
    assert read_checkpoint(folder / "death").captured.numbers["progress"]["step"] == 4


SILENT = """
import datetime, os, sys, time
import torch
from napari_anneal.errors import AnnealError
from napari_anneal.training.ranks import JoinedRanks
rank, port = int(sys.argv[1]), int(sys.argv[2])
# Both are there before the short patience begins.
long, short = datetime.timedelta(seconds=180), datetime.timedelta(seconds=5)
store = torch.distributed.TCPStore("127.0.0.1", port, 2, rank == 0, long)
store.set(f"process {rank}", "is there")
store.wait([f"process {1 - rank}"], long)
torch.distributed.init_process_group("gloo", store=store, timeout=short, world_size=2, rank=rank)
ranks = JoinedRanks(rank, 2, torch.device("cpu"))
assert ranks.agree(rank == 0)
if rank == 1:
    time.sleep(60)
try:
    ranks.agree(True)
except AnnealError as error:
    # What gloo still waits for ends the interpreter's own exit by a signal now and then.
    os._exit("does not answer" not in str(error))
"""


def test_a_process_that_hangs_is_given_up_after_a_while():
    port = free_port()
    children = [subprocess.Popen([sys.executable, "-c", SILENT, str(rank), port]) for rank in range(2)]
    assert children[0].wait(200) == 0
    children[1].kill()
    children[1].wait()


# Shared statistics


@pytest.mark.parametrize("layer", [nn.BatchNorm2d, BatchNormAct2d])
def test_shared_statistics_of_one_process_are_torchs_own(layer):
    torch.manual_seed(0)
    ours = layer(3).train()
    theirs = copy.deepcopy(ours)
    given = (torch.randn(4, 3, 5, 5) * 3 + 50).requires_grad_()
    same = given.detach().clone().requires_grad_()
    with SharedStatistics(ALONE):
        found = ours(given)
    expected = theirs(same)
    found.pow(3).sum().backward()
    expected.pow(3).sum().backward()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(given.grad, same.grad, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    assert ours.num_batches_tracked == 1
    ours.load_state_dict(theirs.state_dict())
    with SharedStatistics(ALONE):
        assert torch.equal(ours.eval()(given), theirs.eval()(given))


# Bad input


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"devices": 2}, "need a process each: start the run with 'napari-anneal train --devices"),
        ({"devices": 2, "device": "cuda:1"}, "'cuda:1' is not shared by 2 processes"),
        ({"devices": 2, "device": "mps"}, "'mps' is not shared by 2 processes"),
        ({"devices": 3}, "a batch of 4 patches cannot be shared evenly by 3 devices; take 3 or 6"),
        ({"devices": 4, "nodes": 2}, "shared evenly by 8 devices; take 8"),
    ],
)
def test_devices_that_cannot_be_had_are_one_sentence(settings, sentence, monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    settings = {"epochs": 1, "batch_size": 4, "device": "cpu"} | settings
    with pytest.raises(InputError, match=sentence):
        fine_tune([specimen(0)], recipe=FineTuneRecipe.from_preset("full", **settings))
