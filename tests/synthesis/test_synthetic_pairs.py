"""Pairs on disk, and the recipe in words: what is written makes the same bytes again, and nothing finished is lost."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import shlex
import shutil
import threading

import numpy as np
import pytest
import tifffile

from napari_anneal import cli
from napari_anneal.errors import InputError, OutputError
from napari_anneal.samples import read_samples
from napari_anneal.synthesis import (
    Appearance,
    MicrostructureRecipe,
    RecipeRanges,
    Span,
    SyntheticStream,
    as_command,
    as_python,
    save_pairs,
    synthesize,
)
from napari_anneal.synthesis.recipe_file import RecipeFile, read_recipe, recipe_from_words

SMALL = MicrostructureRecipe(shape=(48, 56), n_seeds=12)
RECIPES = [
    MicrostructureRecipe(shape=(32, 40), n_seeds=9),
    MicrostructureRecipe(
        shape=(40, 48), n_seeds=14, placement="clustered", aspect_ratio=1.7, second_phase=0.3, spacing=(0.5, 0.25),
        appearance=Appearance(rung=5, dose=50.0, relief=-0.1, scan_axis="y"),
    ),
    MicrostructureRecipe(shape=(6, 20, 24), n_seeds=9, waviness=0.4, appearance={"rung": 3}),
    MicrostructureRecipe(shape=(32, 32), placement="points", points=((3.25, 4.0), (20.0, 21.5), (1 / 3, 30.0))),
    MicrostructureRecipe(shape=(64, 64), kind="objects", objects={"diameter": 14, "rim": 0.2}),
]  # fmt: skip
RANGES = RecipeRanges(shape=(32, 32), grain_diameter=(8, 12), placement="random", appearance={"dose": (50, 90)})


def terminal(line: str) -> None:
    """Run a command line as a POSIX shell would split it."""
    words = shlex.split(line)
    assert words[0] == "napari-anneal"
    err = io.StringIO()
    quiet = contextlib.redirect_stdout(io.StringIO())
    with quiet, contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        cli.main(words[1:])
    assert ended.value.code == 0, err.getvalue()


def as_stored(image):
    return np.round(image * 65535).astype(np.uint16)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: f"{r.kind}{r.shape}")
def test_the_command_of_a_recipe_writes_the_same_bytes(recipe, tmp_path):
    out = tmp_path / "a b"
    terminal(as_command(recipe, 5, out))
    made = synthesize(recipe, 5)
    assert (tifffile.imread(out / "images" / "synthetic_00005.tif") == as_stored(made.image)).all()
    assert (tifffile.imread(out / "grains" / "synthetic_00005.tif") == made.grains).all()
    assert read_recipe(out / "recipe.json").recipe == recipe


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: f"{r.kind}{r.shape}")
def test_the_python_of_a_recipe_makes_the_same_bytes(recipe):
    space: dict = {}
    exec(as_python(recipe, 5), space)
    assert space["recipe"] == recipe
    assert space["made"].image.tobytes() == synthesize(recipe, 5).image.tobytes()


def test_the_words_of_ranges_make_the_same_stream(tmp_path):
    space: dict = {}
    exec(as_python(RANGES, 3), space)
    assert space["ranges"] == RANGES
    assert space["stream"][1].image.tobytes() == SyntheticStream(RANGES, 3)[1].image.tobytes()
    terminal(as_command(RANGES, 3, tmp_path / "made", count=2))
    stored = tifffile.imread(tmp_path / "made" / "images" / "synthetic_00001.tif")
    assert (stored == as_stored(SyntheticStream(RANGES, 3)[1].image)).all()


def test_words_leave_out_what_is_at_its_default():
    assert as_command(MicrostructureRecipe(), 0) == "napari-anneal synthesize synthetic --seed 0"
    text = as_python(MicrostructureRecipe(n_seeds=20), 1)
    assert "recipe = MicrostructureRecipe(n_seeds=20)\n" in text


@pytest.mark.parametrize("recipe", [SMALL, RANGES], ids=["recipe", "ranges"])
def test_the_recipe_beside_the_data_makes_it_again(recipe, tmp_path):
    save_pairs(recipe, 7, 3, tmp_path / "first")
    terminal(f"napari-anneal synthesize {tmp_path}/again --recipe {tmp_path}/first/recipe.json")
    first, again = (sorted(p for p in (tmp_path / n).rglob("*") if p.is_file()) for n in ("first", "again"))
    assert len(first) == 3 * 3 + 2
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in again]


def test_pairs_read_back_as_samples(tmp_path):
    seen = []
    saved = save_pairs(SMALL, 2, 3, tmp_path / "out", progress=lambda done, total: seen.append((done, total)))
    assert (saved.count, saved.folder) == (3, tmp_path / "out")
    assert seen == [(1, 3), (2, 3), (3, 3)]
    samples = read_samples(tmp_path / "out")
    assert len({s.group for s in samples}) == 3
    for number, sample in enumerate(samples):
        assert (sample.labels == synthesize(SMALL, 2 + number).labels).all()
    said = json.loads((tmp_path / "out" / "recipe.json").read_text())
    assert said["count"] == 3
    assert said["seed"] == 2
    assert said["versions"]["napari-anneal"]


def test_a_cancel_keeps_what_is_finished(tmp_path):
    stop = threading.Event()
    saved = save_pairs(SMALL, 0, 9, tmp_path / "out", progress=lambda done, _: done == 2 and stop.set(), cancel=stop)
    assert saved.count == len(read_samples(saved.folder)) == 2
    assert read_recipe(saved.folder / "recipe.json").count == 2
    assert save_pairs(SMALL, 0, 9, tmp_path / "none", cancel=stop).folder is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_a_full_disk_keeps_what_is_finished_and_says_so(tmp_path, monkeypatch):
    real, calls = tifffile.imwrite, []

    def full(path, *args, **options):
        calls.append(path)
        if len(calls) == 3 * 2 + 2:  # the labels of the third pair
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, *args, **options)

    monkeypatch.setattr(tifffile, "imwrite", full)
    with pytest.raises(OutputError, match=r"disk is full.*2 pairs finished before are in .*out") as caught:
        save_pairs(SMALL, 0, 4, tmp_path / "out")
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert len(read_samples(tmp_path / "out")) == 2
    assert read_recipe(tmp_path / "out" / "recipe.json").count == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_too_little_disk_is_said_before_anything_is_made(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    with pytest.raises(OutputError, match=r"100000 pairs would need about [\d.]+ MiB.*1 MiB are free"):
        save_pairs(SMALL, 0, 100_000, tmp_path / "deep" / "out")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("recipe", [*RECIPES, MicrostructureRecipe(shape=(256, 256), n_seeds=3000, boundary_width=1)])
def test_the_disk_that_is_asked_for_is_the_disk_that_is_used(recipe, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "napari_anneal.samples.placing.refuse_full_disk", lambda path, needed, what: asked.append(needed)
    )
    save_pairs(recipe, 0, 2, tmp_path / "out")
    used = sum(p.stat().st_size for p in (tmp_path / "out").rglob("*.tif"))
    assert used < asked[0] < 3 * used + 50_000


def test_only_earlier_pairs_are_overwritten(tmp_path):
    out = tmp_path / "out"
    save_pairs(SMALL, 0, 2, out)
    with pytest.raises(OutputError, match="already exists"):
        save_pairs(SMALL, 1, 1, out)
    stop = threading.Event()
    cancelled = save_pairs(SMALL, 5, 2, out, overwrite=True, cancel=stop, progress=lambda *_: stop.set())
    assert cancelled.folder == tmp_path / "out.partial"
    assert len(read_samples(out)) == 2
    save_pairs(SMALL, 1, 1, out, overwrite=True)
    assert [s.name for s in read_samples(out)] == ["synthetic_00001"]
    (out / "my_notes.txt").write_text("dear")
    with pytest.raises(OutputError, match="other things"):
        save_pairs(SMALL, 1, 1, out, overwrite=True)


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "3"])
def test_a_count_is_a_whole_number(count, tmp_path):
    with pytest.raises(InputError, match="count"):
        save_pairs(SMALL, 0, count, tmp_path / "out")


def test_a_recipe_file_may_be_bare_json(tmp_path):
    path = tmp_path / "r.json"
    for recipe in (SMALL, RANGES):
        path.write_text(recipe.model_dump_json())
        assert read_recipe(path) == RecipeFile(recipe)
        path.write_text(RecipeFile(recipe, 4, 2).to_json())
        assert read_recipe(path) == RecipeFile(recipe, 4, 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read"),
        ("{not json", "no JSON"),
        ("[1, 2]", "list"),
        ('{"n_seeds": 0}', "n_seeds"),
        ('{"recipe": {"n_seeds": 5, "sharpness": 1}, "seed": 0}', "sharpness"),
        ('{"recipe": {}, "seed": -1}', "seed"),
        ('{"recipe": {}, "count": 1.5}', "count"),
    ],
)
def test_a_wrong_recipe_file_is_one_sentence_that_names_it(text, says, tmp_path):
    path = tmp_path / "r.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        read_recipe(path)
    assert "\n" not in str(caught.value)
    assert "r.json" in str(caught.value)


def test_words_reach_every_setting():
    recipe = recipe_from_words(["appearance.dose=50", "shape=[64,96]", "placement=blue_noise", "waviness_length=null"])
    assert recipe.recipe == MicrostructureRecipe(
        shape=(64, 96), placement="blue_noise", appearance=Appearance(dose=50.0)
    )
    ranges = recipe_from_words(["appearance.dose=[50,60]", "kind=objects"], ranges=True).recipe
    assert ranges.appearance.dose == Span(low=50, high=60)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("dose", "field=value"),
        ("=3", "field=value"),
        ("appearance..dose=3", "field=value"),
        ("n_seeds.more=3", "n_seeds"),
        ("shape.x=3", "shape"),
        ("appearance.doze=3", "doze"),
        ("n_seeds=many", "n_seeds"),
    ],
)
def test_a_wrong_word_is_one_sentence(word, says):
    with pytest.raises(InputError, match=says) as caught:
        recipe_from_words(["n_seeds=5", word])
    assert "\n" not in str(caught.value)
