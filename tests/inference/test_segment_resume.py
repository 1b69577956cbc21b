from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_anneal.errors import InputError, OutputError
from napari_anneal.inference.one_slice import OneSlice
from napari_anneal.inference.planes import open_planes

FORMATS = ["seg.ome.zarr", "seg.tif"]
MODES = ["slices", "triplanar"]


@pytest.fixture
def stack() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, (6, 40, 36), dtype=np.uint8)


def read(path: Path) -> np.ndarray:
    return zarr.open_group(path, mode="r")["0"][...] if path.suffix == ".zarr" else tifffile.imread(path)


def content(path: Path) -> dict[str, bytes]:
    """Every byte on disk."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {str(p.relative_to(path)): p.read_bytes() for p in files}


class Counted:
    """How many planes went through the network."""

    def __init__(self, model, monkeypatch) -> None:
        self.planes = 0
        real = model.network.forward

        def forward(batch):
            self.planes += len(batch)
            return real(batch)

        model.predictor.plan((64, 64))
        monkeypatch.setattr(model.network, "forward", forward)


def stop_after(tiles: int):
    cancel = threading.Event()
    return {"cancel": cancel, "progress": lambda done, total: cancel.set() if done >= tiles else None}


@pytest.mark.parametrize("name", FORMATS)
def test_going_on_computes_what_is_missing_and_gives_the_same_bytes(model, stack, tmp_path, name, monkeypatch):
    whole = model.segment(stack, out=tmp_path / f"whole-{name}").path
    (tmp_path / "new").mkdir()
    out = tmp_path / "new" / name
    first = model.segment(stack, out=out, **stop_after(4))
    assert (first.done, first.complete) == (4, False)
    counted = Counted(model, monkeypatch)
    seen: list[tuple[int, int]] = []
    second = model.segment(stack, out=out, resume=True, progress=lambda *step: seen.append(step))
    assert counted.planes == 2
    assert seen[0] == (4, 6)
    assert seen[-1] == (6, 6)
    assert second.complete
    assert list(content(out).values()) == list(content(whole).values()) or name == "seg.ome.zarr"
    assert np.array_equal(read(out), read(whole))
    assert [p.name for p in out.parent.iterdir()] == [name]


@pytest.mark.parametrize("mode", ["triplanar", "twelve"])
def test_going_on_in_a_mode_of_several_steps_computes_only_the_rest(model, stack, tmp_path, mode, monkeypatch):
    whole = read(model.segment(stack, mode=mode, out=tmp_path / "whole.ome.zarr").path)
    counted = Counted(model, monkeypatch)
    model.segment(stack, mode=mode, out=tmp_path / "plain.ome.zarr")
    all_planes, counted.planes = counted.planes, 0
    stopped = model.segment(stack, mode=mode, out=tmp_path / "seg.ome.zarr", **stop_after(all_planes // 2))
    before, counted.planes = counted.planes, 0
    assert not stopped.complete
    assert 0 < before < all_planes
    result = model.segment(stack, mode=mode, out=tmp_path / "seg.ome.zarr", resume=True)
    assert counted.planes < all_planes
    assert np.array_equal(read(result.path), whole)
    assert not list(tmp_path.glob("*.partial*"))


def test_where_nothing_was_begun_a_run_begins(model, stack, tmp_path):
    result = model.segment(stack, out=tmp_path / "seg.ome.zarr", resume=True)
    assert np.array_equal(read(result.path), model.segment(stack).labels)


def test_a_chunk_that_was_lost_or_spoiled_is_computed_again(model, stack, tmp_path, monkeypatch):
    expected = model.segment(stack).labels
    out, partial = tmp_path / "seg.ome.zarr", tmp_path / "seg.partial.ome.zarr"
    model.segment(stack, out=out, **stop_after(5))
    (partial / "0" / "c" / "1" / "0" / "0").unlink()
    (partial / "0" / "c" / "3" / "0" / "0").write_bytes(b"not a chunk")
    counted = Counted(model, monkeypatch)
    model.segment(stack, out=out, resume=True)
    assert counted.planes == 3
    assert np.array_equal(read(out), expected)


def test_a_spoiled_byte_of_a_tiff_is_noticed(model, stack, tmp_path):
    expected = model.segment(stack).labels
    out, partial = tmp_path / "seg.tif", tmp_path / "seg.partial.tif"
    model.segment(stack, out=out, **stop_after(5))
    offset = tifffile.TiffFile(partial).series[0].dataoffset
    with partial.open("r+b") as file:
        file.seek(offset + stack[0].size * 2 + 7)
        file.write(b"\xff")
    model.segment(stack, out=out, resume=True)
    assert np.array_equal(read(out), expected)


def test_a_lost_chunk_of_a_coarser_level_is_written_again(model, tmp_path):
    stack = np.random.default_rng(0).integers(0, 200, (3, 300, 20), dtype=np.uint8)
    out, partial = tmp_path / "seg.ome.zarr", tmp_path / "seg.partial.ome.zarr"
    model.segment(stack, out=out, **stop_after(2))
    shutil.rmtree(partial / "1" / "c" / "0")
    model.segment(stack, out=out, resume=True)
    group = zarr.open_group(out, mode="r")
    assert np.array_equal(group["1"][...], group["0"][:, ::2, :])


@pytest.mark.parametrize("lost", ["0.zarr", "1.zarr", "2.zarr", "*"])
def test_a_lost_chunk_of_the_scratch_data_is_computed_again(model, tmp_path, lost):
    stack = np.random.default_rng(0).integers(0, 200, (20, 40, 36), dtype=np.uint8)
    zarr.create_array(tmp_path / "raw.zarr", data=stack, chunks=(5, 40, 36))
    expected = model.segment(stack, mode="triplanar").labels
    out = tmp_path / "seg.ome.zarr"
    model.segment(tmp_path / "raw.zarr", axes="ZYX", mode="triplanar", out=out, **stop_after(36 + 40 + 10))
    scratch = tmp_path / "seg.partial.ome.zarr.scratch"
    chunks = [p for p in scratch.glob(f"{lost}/**/*") if p.is_file() and p.name != "zarr.json"]
    assert chunks
    for chunk in chunks:
        chunk.unlink()
    model.segment(tmp_path / "raw.zarr", axes="ZYX", mode="triplanar", out=out, resume=True)
    assert np.array_equal(read(out), expected)


def test_half_a_line_in_the_journal_does_not_count(model, stack, tmp_path):
    out = tmp_path / "seg.ome.zarr"
    model.segment(stack, out=out, **stop_after(3))
    journal = tmp_path / "seg.partial.ome.zarr.journal"
    journal.write_bytes(journal.read_bytes()[:-9])
    model.segment(stack, out=out, resume=True)
    assert np.array_equal(read(out), model.segment(stack).labels)


@pytest.mark.parametrize("lost", ["journal", "partial", "garbage"])
def test_where_the_journal_or_the_file_is_gone_a_run_begins_anew(model, stack, tmp_path, lost):
    out = tmp_path / "seg.ome.zarr"
    model.segment(stack, out=out, **stop_after(3))
    journal = tmp_path / "seg.partial.ome.zarr.journal"
    if lost == "partial":
        shutil.rmtree(tmp_path / "seg.partial.ome.zarr")
    elif lost == "journal":
        journal.unlink()
    else:
        journal.write_bytes(b"\x00\xff\xfe")
    model.segment(stack, out=out, resume=True)
    assert np.array_equal(read(out), model.segment(stack).labels)


def test_a_run_of_something_else_is_not_gone_on_with(model, make_model, stack, tmp_path):
    out = tmp_path / "seg.ome.zarr"
    model.segment(stack, out=out, **stop_after(3))
    other = make_model()
    other.network.segmentation_head[0].bias.data[0] += 1
    changed = stack.copy()
    changed[0, 0, 0] ^= 1
    for run, said in (
        (lambda: other.segment(stack, out=out, resume=True), "another model"),
        (lambda: model.segment(changed, out=out, resume=True), "another image, or the image has changed"),
        (lambda: model.segment(stack, out=out, resume=True, tile=16), "other settings"),
        (lambda: model.segment(stack, out=out, resume=True, mode="triplanar"), "other settings"),
        (lambda: make_model(precision="bfloat16").segment(stack, out=out, resume=True), "another precision"),
    ):
        with pytest.raises(OutputError, match=f"was begun with {said}.*cannot be gone on with"):
            run()
    assert model.segment(stack, out=out, resume=True).complete


def test_a_file_that_changes_while_it_is_read_gives_no_result(model, stack, tmp_path):
    source = tmp_path / "raw.tif"
    tifffile.imwrite(source, stack, photometric="minisblack")

    def touch(done: int, total: int) -> None:
        if done == 3:
            os.utime(source, (1, 1))

    with pytest.raises(InputError, match="the image changed while it was being segmented"):
        model.segment(source, axes="ZYX", out=tmp_path / "seg.ome.zarr", progress=touch)
    assert not (tmp_path / "seg.ome.zarr").exists()


@pytest.mark.parametrize("only", [None, 3])
def test_an_array_that_changes_while_it_is_read_gives_no_result(model, stack, tmp_path, only):
    def paint(done: int, total: int) -> None:
        stack[3, 5, 5] = 255

    with pytest.raises(InputError, match="the image changed while it was being segmented"):
        model.segment(stack, progress=paint, only=only, tile=None)


def killed(folder: Path, name: str, mode: str, kills: int, seed: int) -> list[int]:
    stack = np.random.default_rng(0).integers(0, 200, (6, 40, 36), dtype=np.uint8)
    np.save(folder / "stack.npy", stack)
    script = Path(__file__).with_name("killed_runs.py")
    ran = subprocess.run(
        [sys.executable, str(script), str(folder), name, mode, str(kills), str(seed)],
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    whole = content(folder / f"whole-{name}")
    runs = [path for path in folder.iterdir() if path.name[0].isdigit()]
    assert len(runs) >= kills / 3
    for path in runs:
        found = content(path)
        assert {k: v for k, v in found.items() if k != "zarr.json"} == {
            k: v for k, v in whole.items() if k != "zarr.json"
        }
    # Killed in the last moment, a run leaves its journal beside the complete result, and nothing else.
    assert not [path for path in folder.glob("*.partial*") if path.suffix != ".journal"]
    return json.loads(ran.stdout)


@pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL")
@pytest.mark.parametrize(("name", "mode"), [("seg.ome.zarr", "slices"), ("seg.tif", "triplanar")])
def test_killed_at_any_moment_and_gone_on_with_gives_the_same_bytes(tmp_path, name, mode):
    assert max(killed(tmp_path, name, mode, kills=3, seed=1)) > 0


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL")
@pytest.mark.parametrize(("name", "mode"), [(name, mode) for name in FORMATS for mode in MODES])
def test_killed_at_fifty_moments_and_gone_on_with_gives_the_same_bytes(tmp_path, name, mode):
    done = killed(tmp_path, name, mode, kills=13, seed=2)  # by four formats and modes
    assert len(set(done)) > 1


def test_a_slice_is_not_gone_on_with_as_another_slice_of_the_same_file(stack, tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, stack)
    codes = [OneSlice(open_planes(path, "ZYX", None, 1)[0], z).fingerprint for z in (3, 4, 3)]
    assert codes[0] == codes[2] != codes[1]
    assert all(codes)
