"""Volumes streamed to disk: the same voxels as in memory, however they are cut, and never half there."""

from __future__ import annotations

import errno
import json
import shutil
import threading

import numpy as np
import pytest
import zarr

from napari_anneal import cli
from napari_anneal.errors import InputError, OutputError
from napari_anneal.samples import missing_chunks, read_image
from napari_anneal.synthesis import MicrostructureRecipe, memory, synthesize, synthesize_volume
from napari_anneal.synthesis.recipe_file import read_recipe

RECIPE = MicrostructureRecipe(
    shape=(45, 50, 60), n_seeds=120, aspect_ratio=1.5, direction_deg=30, second_phase=0.3, spacing=(2.0, 0.5, 0.5),
    appearance={"twins": 0.3, "relief": 0.2, "texture_length": 5.0},
)  # fmt: skip


def at_rung(rung, **appearance):
    return RECIPE.model_copy(update={"appearance": RECIPE.appearance.model_copy(update={"rung": rung, **appearance})})


def arrays(path):
    group = zarr.open_group(path, mode="r")
    return {name: group[name][:] for name in ("0", "labels/grains/0", "labels/boundary/0", "distance/0")}


@pytest.mark.parametrize(
    "recipe",
    [
        at_rung(1),
        at_rung(2),
        at_rung(3, psf_sigma=1.3, astigmatism=0.3),
        at_rung(3, defocus_variation=1.5),
        at_rung(3, gaps=0.3, groove_islands=0.2, junction_rounding=1.0, astigmatism=0.4, astigmatism_deg=30.0),
        RECIPE.model_copy(
            update={"size_cv": 0.5, "placement": "blue_noise", "lloyd_rounds": 2, "appearance": {"rung": 1}}
        ),
        RECIPE.model_copy(update={"n_seeds": 1, "appearance": {"rung": 2}}),
        RECIPE.model_copy(update={"n_seeds": 30_000, "boundary_width": 1.0, "appearance": {"rung": 2}}),
    ],
    ids=["clean", "specimen", "optics", "defocus", "all of it", "sizes", "one grain", "tiny grains"],
)
def test_a_streamed_volume_is_the_one_in_memory_however_it_is_cut(recipe, tmp_path):
    made = synthesize(recipe, 3)
    for thickness in (4, 16, 45):
        out = tmp_path / f"{thickness}.ome.zarr"
        assert synthesize_volume(recipe, 3, out, chunks=(thickness, 32, 32), distance=True) == out
        found = arrays(out)
        np.testing.assert_array_equal(found["labels/grains/0"], made.grains)
        np.testing.assert_array_equal(found["labels/boundary/0"], made.labels)
        np.testing.assert_array_equal(found["distance/0"], made.distance)
        np.testing.assert_array_equal(found["0"], np.round(made.image * 255))


def test_noise_does_not_depend_on_the_cuts_and_has_the_statistics_of_the_detector(tmp_path):
    recipe = at_rung(4, dose=60.0, hot_pixels=0.01)
    streamed = [
        arrays(synthesize_volume(recipe, 5, tmp_path / f"{c}.zarr", chunks=(c, 64, 64), distance=True))["0"]
        for c in (7, 32)
    ]
    np.testing.assert_array_equal(*streamed)
    whole, clean = synthesize(recipe, 5).image, synthesize(at_rung(3, dose=60.0), 5).image
    residual = (streamed[0] / 255 - clean), (whole - clean)
    assert residual[0].std() == pytest.approx(residual[1].std(), rel=0.02)
    assert abs(residual[0].mean() - residual[1].mean()) < 0.003
    # No plane repeats the noise of another one.
    planes = residual[0].reshape(45, -1)
    between = np.corrcoef(planes)[np.triu_indices(45, 1)]
    assert np.abs(between).max() < 0.15


def test_the_store_is_ome_zarr_that_reads_back(tmp_path):
    out = synthesize_volume(RECIPE, 1, tmp_path / "v.ome.zarr")
    image, axes, spacing = read_image(out)
    assert (tuple(image.shape), axes, spacing) == ((45, 50, 60), "ZYX", (2.0, 0.5, 0.5))
    assert read_image(out / "labels" / "grains", as_labels=True)[0].shape == (45, 50, 60)
    group = zarr.open_group(out, mode="r")
    assert group["labels"].attrs["ome"]["labels"] == ["grains", "boundary"]
    assert "image-label" in group["labels/grains"].attrs["ome"]
    assert "distance" not in group
    assert not any(missing_chunks(group[name]) for name in ("0", "labels/grains/0", "labels/boundary/0"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["v.ome.zarr"]


def test_coarser_levels_are_every_second_voxel(tmp_path):
    recipe = MicrostructureRecipe(shape=(9, 270, 530), n_seeds=100, appearance={"rung": 1})
    group = zarr.open_group(synthesize_volume(recipe, 0, tmp_path / "v.zarr", chunks=(4, 64, 64)), mode="r")
    for name in ("", "labels/grains/"):
        fine = group[f"{name}0"][:]
        np.testing.assert_array_equal(group[f"{name}1"][:], fine[:, ::2, ::2])
        np.testing.assert_array_equal(group[f"{name}2"][:], fine[:, ::2, ::4])


def test_the_store_makes_itself_again(tmp_path):
    synthesize_volume(RECIPE, 8, tmp_path / "v.ome.zarr", distance=True)
    said = read_recipe(tmp_path / "v.ome.zarr")
    assert (said.recipe, said.seed) == (RECIPE, 8)
    with pytest.raises(SystemExit) as ended:
        cli.main(["synthesize", str(tmp_path / "w.ome.zarr"), "--recipe", str(tmp_path / "v.ome.zarr"), "--json"])
    assert ended.value.code == 0
    first, again = (zarr.open_group(tmp_path / name, mode="r") for name in ("v.ome.zarr", "w.ome.zarr"))
    np.testing.assert_array_equal(first["0"][:], again["0"][:])
    zarr.open_group(tmp_path / "other.zarr", mode="w")
    with pytest.raises(InputError, match="zarr"):
        read_recipe(tmp_path / "other.zarr")


def test_a_cancel_leaves_nothing(tmp_path):
    stop = threading.Event()
    seen = []

    def progress(done, total):
        seen.append((done, total))
        stop.set()

    assert synthesize_volume(RECIPE, 0, tmp_path / "v.zarr", chunks=(8, 64, 64), progress=progress, cancel=stop) is None
    assert seen == [(8, 45)]
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_nothing_and_what_was_there_stays(fault, tmp_path, monkeypatch):
    out = synthesize_volume(RECIPE, 0, tmp_path / "v.zarr", distance=True)
    before = arrays(out)
    calls = []

    def failing(array, selection, value, **options):
        calls.append(array)
        if len(calls) == 5:
            raise fault
        return real(array, selection, value, **options)

    real = zarr.Array.__setitem__
    monkeypatch.setattr(zarr.Array, "__setitem__", failing)
    with pytest.raises((OutputError, KeyboardInterrupt)) as caught:
        synthesize_volume(RECIPE, 1, out, chunks=(8, 64, 64), overwrite=True)
    monkeypatch.undo()
    if isinstance(fault, OSError):
        assert "disk is full" in str(caught.value)
    after = arrays(out)
    assert all((before[name] == after[name]).all() for name in before)
    assert [entry.name for entry in tmp_path.iterdir()] == ["v.zarr"]


def test_an_earlier_volume_is_replaced_only_when_asked(tmp_path):
    out = synthesize_volume(RECIPE, 0, tmp_path / "v.zarr")
    with pytest.raises(OutputError, match="already exists"):
        synthesize_volume(RECIPE, 1, out)
    synthesize_volume(RECIPE, 1, out, overwrite=True)
    assert read_recipe(out).seed == 1
    (tmp_path / "notes.zarr").mkdir()
    (tmp_path / "notes.zarr" / "dear.txt").write_text("x")
    with pytest.raises(OutputError, match="no volume"):
        synthesize_volume(RECIPE, 1, tmp_path / "notes.zarr", overwrite=True)
    with pytest.raises(OutputError, match=r"\.ome\.zarr"):
        synthesize_volume(RECIPE, 1, tmp_path / "volume.tif")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"shape": (64, 64), "spacing": None}, "not a volume"),
        ({"kind": "objects"}, "objects"),
        ({"growth": {"method": "potts"}}, "grow"),
        ({"waviness": 0.3}, "curved"),
        ({"smoothing": 1.0}, "curved"),
        ({"appearance": {"rung": 5}}, "rung 5"),
    ],
)
def test_what_cannot_be_streamed_is_one_sentence(changes, says, tmp_path):
    with pytest.raises(InputError, match=says) as caught:
        synthesize_volume(RECIPE.model_copy(update=changes), 0, tmp_path / "v.zarr")
    assert "\n" not in str(caught.value)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("chunks", [(0, 8, 8), (8, 8), (8.0, 8, 8)])
def test_wrong_chunks_are_refused(chunks, tmp_path):
    with pytest.raises(InputError, match="chunks"):
        synthesize_volume(RECIPE, 0, tmp_path / "v.zarr", chunks=chunks)


def test_too_little_memory_or_disk_is_said_before_anything_is_made(tmp_path, monkeypatch):
    huge = MicrostructureRecipe(shape=(4096, 4096, 4096), n_seeds=1_000_000)
    monkeypatch.setattr(memory, "free_memory", lambda: 1 << 30)
    with pytest.raises(InputError, match=r"needs about [\d.]+ GiB of memory and 1.0 GiB are free; use thinner chunks"):
        synthesize_volume(huge, 0, tmp_path / "v.zarr")
    monkeypatch.setattr(memory, "free_memory", lambda: None)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 30))
    with pytest.raises(OutputError, match=r"would need about [\d.]+ GiB on the disk"):
        synthesize_volume(huge, 0, tmp_path / "v.zarr")
    assert not any(tmp_path.iterdir())


def test_the_terminal_makes_one_volume(tmp_path, capsys):
    words = ["synthesize", str(tmp_path / "v.ome.zarr"), "--shape", "12x20x24", "--seeds", "9", "--json"]
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["shape"] == [12, 20, 24]
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--overwrite", "--count", "2"])
    assert ended.value.code == 2
    assert "one volume" in capsys.readouterr().err
