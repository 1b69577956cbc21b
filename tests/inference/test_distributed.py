from __future__ import annotations

import errno
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import zarr

from napari_anneal.errors import InputError, OutputError

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as running:
        yield running


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("stack") / "stack.zarr"
    data = np.random.default_rng(0).integers(0, 200, (40, 72, 68), dtype=np.uint8)
    array = zarr.create_array(place, shape=data.shape, chunks=(4, 72, 68), dtype=data.dtype)
    array[:] = data
    return place


def content(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def local(model, stack, tmp_path_factory) -> dict[str, bytes]:
    place = tmp_path_factory.mktemp("local") / "seg.ome.zarr"
    return content(model.segment(stack, axes="ZYX", tile=32, out=place).path)


def test_a_killed_worker_is_replaced_and_the_bytes_are_those_of_a_local_run(model, stack, local, tmp_path):
    this, killed, seen = psutil.Process(), [], []
    before = set(this.children(recursive=True))

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        if not killed:
            # Its only worker: all that is left is computed by the one that comes in its place.
            new = [
                p for p in this.children(recursive=True) if p not in before and "spawn_main" in " ".join(p.cmdline())
            ]
            killed.extend(new)
            for process in new:
                process.kill()

    out = tmp_path / "seg.ome.zarr"
    result = model.segment(stack, axes="ZYX", tile=32, out=out, workers=1, progress=progress)
    assert len(killed) == 1
    assert not killed[0].is_running()
    assert result.complete
    assert seen[0][0] < seen[0][1]
    assert seen[-1][0] == seen[-1][1]
    assert content(out) == local
    assert [p.name for p in tmp_path.iterdir()] == ["seg.ome.zarr"]


def test_a_stopped_driver_goes_on_and_only_with_what_is_missing(model, stack, local, cluster, tmp_path):
    out, cancel = tmp_path / "seg.ome.zarr", threading.Event()
    given = {"axes": "ZYX", "tile": 32, "out": out, "scheduler": cluster.scheduler_address}
    first = model.segment(stack, **given, cancel=cancel, progress=lambda done, total: cancel.set())
    assert 0 < first.done < 40
    seen: list[int] = []
    # Begun on a cluster, gone on with at home: the journal and the bytes are the same.
    del given["scheduler"]
    second = model.segment(stack, **given, resume=True, progress=lambda done, total: seen.append(done))
    assert second.complete
    assert seen[0] >= first.done
    assert content(out) == local


def test_steps_of_a_mode_wait_for_each_other(model, stack, cluster, tmp_path):
    small = tmp_path / "small.zarr"
    zarr.create_array(small, shape=(10, 40, 36), chunks=(4, 40, 36), dtype="u1")[:] = zarr.open_array(stack)[
        :10, :40, :36
    ]
    given = {"axes": "ZYX", "mode": "triplanar"}
    whole = model.segment(small, **given, out=tmp_path / "a" / "seg.ome.zarr").path
    out = tmp_path / "b" / "seg.ome.zarr"
    model.segment(small, **given, out=out, scheduler=cluster.scheduler_address)
    assert content(out) == content(whole)


def test_what_a_cluster_cannot_do_is_refused(model, stack, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_anneal.inference.distributed.CONNECT", 1)
    given = {"scheduler": "tcp://127.0.0.1:9", "axes": "ZYX"}
    out = tmp_path / "seg.ome.zarr"
    with pytest.raises(OutputError, match=r"\.ome\.zarr"):
        model.segment(stack, out=tmp_path / "seg.tif", **given)
    with pytest.raises(InputError, match="save it and pass its path"):
        model.segment(np.zeros((2, 40, 40), np.uint8), out=out, **given)
    with pytest.raises(InputError, match="labels only"):
        model.segment(stack, out=out, uncertainty=True, **given)
    with pytest.raises(InputError, match="exclude each other"):
        model.segment(stack, out=out, workers=2, **given)
    began = time.monotonic()
    with pytest.raises(InputError, match="no scheduler answers at"):
        model.segment(stack, out=out, **given)
    assert time.monotonic() - began < 15
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_a_worker_cannot_read_gives_one_sentence(model, stack, cluster, tmp_path, monkeypatch):
    import napari_anneal.inference.distributed as driver

    real = driver.save_bundle

    def elsewhere(network, card, path, **options):
        return real(network, card, path.with_name("elsewhere"), **options)

    monkeypatch.setattr(driver, "save_bundle", elsewhere)
    with pytest.raises(InputError, match=r"the worker on .* reports: .*model cannot be reached from it"):
        model.segment(stack, axes="ZYX", out=tmp_path / "seg.ome.zarr", scheduler=cluster.scheduler_address)


def test_a_disk_that_is_full_on_a_worker_gets_its_space_back(model, stack, tmp_path, monkeypatch):
    from napari_anneal.inference.ome_zarr_labels import OmeZarrWriter

    real, planes = OmeZarrWriter.write, []

    def full(self, *plane):
        planes.append(plane)
        if len(planes) > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, *plane)

    monkeypatch.setattr(OmeZarrWriter, "write", full)
    with (
        distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as threads,
        pytest.raises(OutputError, match=r"the worker on .* reports: the disk is full .* was removed"),
    ):
        model.segment(stack, axes="ZYX", tile=32, out=tmp_path / "seg.ome.zarr", scheduler=threads.scheduler_address)
    assert len(planes) > 4
    assert list(tmp_path.iterdir()) == []
