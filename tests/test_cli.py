"""The terminal: the same jobs, one JSON object at the end, and a sentence with status 2 on bad input."""

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_anneal import cli


def anneal(*words):
    """Run a command in this process; what the shell sees of it comes back."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        cli.main([str(word) for word in words])
    return subprocess.CompletedProcess(words, ended.value.code or 0, out.getvalue(), err.getvalue())


def last_json(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def refused(done, *words):
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in lines[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four specimens of bright squares on a dark ground, sparsely painted."""
    root = tmp_path_factory.mktemp("data")
    for sub in ("images", "labels"):
        (root / sub).mkdir()
    rng = np.random.default_rng(0)
    rows = ["image,group"]
    for i in range(4):
        truth = np.ones((96, 96), np.uint8)
        for y, x in rng.integers(0, 70, (5, 2)):
            truth[y : y + 18, x : x + 18] = 2
        image = (60 + 80 * (truth == 2) + rng.normal(0, 10, truth.shape)).clip(0, 255).astype(np.uint8)
        tifffile.imwrite(root / "images" / f"s{i}.tif", image)
        tifffile.imwrite(
            root / "labels" / f"s{i}.tif", np.where(rng.random(truth.shape) < 0.2, truth, 0).astype(np.uint8)
        )
        rows.append(f"s{i},specimen{i}")
    (root / "groups.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="module")
def model(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "a"
    done = anneal(
        *("train", folder, "--out", out, "--start", "scratch", "--preset", "scratch", "--encoder", "resnet10t"),
        *("--epochs", 3, "--steps", 6, "--patch", 64, "--batch", 4, "--classes", "ground,square", "--json"),
    )
    result = last_json(done)
    assert result["classes"] == ["ground", "square"]
    return result["model"]


def test_the_installed_command_sets_its_exit_status(tmp_path):
    command = [sys.executable, "-m", "napari_anneal.cli", "split", str(tmp_path / "nothing")]
    refused(subprocess.run(command, capture_output=True, text=True, timeout=240), "nothing")


def test_help_and_version():
    assert anneal("--version").stdout.strip()
    assert "segment" in anneal("--help").stdout


def test_synthesize_writes_a_folder_that_reads_back(tmp_path):
    out = tmp_path / "made"
    result = last_json(anneal("synthesize", out, "--count", 2, "--shape", "96x80", "--seeds", 30, "--json"))
    assert result["count"] == 2
    split = anneal("split", out, "--folds", 2, "--json")
    assert last_json(split)["folds"][0]["train"]
    image = tifffile.imread(out / "images" / "synthetic_00000.tif")
    assert (image.shape, image.dtype) == ((96, 80), np.uint16)
    assert set(np.unique(tifffile.imread(out / "labels" / "synthetic_00000.tif"))) == {1, 2}


def test_split_keeps_groups_apart_and_gold_aside(folder):
    result = last_json(anneal("split", folder, "--folds", 3, "--gold", "specimen2", "--json"))
    assert result["gold"] == ["s2"]
    for fold in result["folds"]:
        assert not set(fold["train"]) & set(fold["val"])
        assert "s2" not in fold["train"] + fold["val"]


def test_check_lists_copies_and_what_is_wrong_with_status_0(folder, tmp_path):
    found = last_json(anneal("check", folder, "--json"))
    assert (found["images"], found["painted"], found["copies"], found["problems"]) == (4, 4, [], [])
    shutil.copytree(folder, tmp_path / "data")
    image = tifffile.imread(folder / "images" / "s1.tif")
    tifffile.imwrite(tmp_path / "data" / "images" / "s9.tif", image[::-1])
    (tmp_path / "data" / "groups.csv").open("a").write("s9,specimen9\n")
    found = last_json(anneal("check", tmp_path / "data", "--json"))
    assert found["copies"] == found["leaks"] == [["s1", "s9", "symmetric"]]
    assert [p["kind"] for p in found["problems"]] == ["copy across groups"]
    assert "1 thing is wrong" in anneal("check", tmp_path / "data").stdout


def test_a_split_file_and_a_pattern_decide_who_trains(folder, tmp_path):
    made = tmp_path / "plan.json"
    words = ("--group-pattern", r"s[01]|s(?=2)|s(?=3)", "--gold", "s1", "--method", "hold_out", "--share", "0.4")
    split = last_json(anneal("split", folder, *words, "--out", made, "--json"))
    assert split["gold"] == ["s1"]
    assert split["groups"] == {"s0": "s0", "s1": "s1", "s2": "s", "s3": "s"}
    refused(anneal("split", folder, "--folds", 2, "--out", made), "already exists")
    words = ("--start", "scratch", "--encoder", "resnet10t", "--epochs", 1, "--steps", 1, "--patch", 64, "--dry-run")
    plan = last_json(anneal("train", folder, *words, "--split", made, "--json"))
    assert plan["train"] == split["folds"][0]["train"]
    assert plan["validation"] == split["folds"][0]["val"]
    refused(anneal("train", folder, *words, "--split", made, "--gold", "s"), "--split and --gold")
    refused(anneal("train", folder, *words, "--split", tmp_path / "none.json"), "none.json")
    refused(anneal("cross-validate", folder, "--split", tmp_path / "none.json"), "none.json")
    refused(anneal("check", folder, "--group-pattern", "("), "regular expression")
    refused(anneal("split", folder, "--method", "magic"), "magic", "hold_out")


def test_dry_run_prints_every_stage_group_and_rate_and_writes_nothing(folder, tmp_path):
    words = ("--start", "scratch", "--encoder", "resnet10t", "--epochs", 6, "--steps", 2, "--patch", 64)
    done = anneal("train", folder, "--out", tmp_path / "x", *words, "--dry-run", "--json")
    plan = last_json(done)
    assert [s["name"] for s in plan["stages"]] == ["head", "all layers", "SGD"]
    assert [s["steps"] for s in plan["stages"]] == [2, 8, 2]
    assert set(plan["stages"][1]["rates"]) == set(plan["groups"])
    assert all(len(r) == s["steps"] for s in plan["stages"] for r in s["rates"].values())
    assert plan["minutes"] > 0
    assert plan["memory_bytes"] == sum(plan["memory"].values())
    assert not (tmp_path / "x").exists()


def test_what_the_sample_is_decides_what_training_may_do_to_it(folder, tmp_path):
    words = ("--start", "scratch", "--preset", "scratch", "--encoder", "resnet10t", "--epochs", 1, "--steps", 1)
    words += ("--patch", 64, "--batch", 2, "--device", "cpu", "--out", tmp_path / "x")
    done = anneal("train", folder, *words, "--sample", "rolled", "--sample", "shadow", "--direction", 0)
    assert "augmentation without rot90" in done.stderr
    used = json.loads((tmp_path / "x" / "recipe.json").read_text())["augmentation"]
    assert (used["sample"], used["also"], used["direction_deg"]) == ("textured", ["shadowed"], 0)
    assert used["hflip"] > 0
    assert used["vflip"] == used["rot90"] == used["rot180"] == used["rotate"] == 0
    refused(anneal("train", folder, *words, "--sample", "wood"), "wood", "isotropic")


def test_the_rate_that_a_sweep_suggests_can_be_taken_over(folder, tmp_path):
    words = ("--start", "scratch", "--encoder", "resnet10t", "--preset", "scratch", "--epochs", 1, "--steps", 1)
    words += ("--patch", 64, "--batch", 2, "--device", "cpu", "--out", tmp_path / "x", "--json")
    found = last_json(anneal("train", folder, *words, "--find-rate"))
    assert found["suggestion"] in found["rates"]
    assert f"{found['suggestion']:.1e}" in found["sentence"]
    (stage,) = last_json(anneal("train", folder, *words, "--head-rate", 3e-4, "--dry-run"))["stages"]
    assert max(stage["rates"]["head"]) == pytest.approx(3e-4)
    assert not (tmp_path / "x").exists()
    refused(anneal("train", folder, *words, "--head-rate", 0, "--dry-run"), "learning rate")


def test_auto_takes_the_preset_for_the_number_of_labels_and_says_why(folder, tmp_path):
    words = ("--encoder", "resnet10t", "--epochs", 2, "--steps", 1, "--patch", 64, "--optimizer", "lion", "--dry-run")
    done = anneal("train", folder, "--out", tmp_path / "x", "--preset", "auto", *words, "--json")
    (stage,) = last_json(done)["stages"]
    assert (stage["name"], stage["optimizer"]) == ("head", "lion")
    assert "labelled image" in done.stderr


def test_cross_validation_scores_every_fold_on_groups_it_never_saw(folder, tmp_path):
    words = ("--start", "scratch", "--encoder", "resnet10t", "--preset", "scratch", "--epochs", 1, "--steps", 1)
    words += ("--patch", 64, "--batch", 2, "--folds", 2, "--gold", "specimen2", "--device", "cpu")
    words += ("--sample", "columnar", "--direction", 45)
    found = last_json(anneal("cross-validate", folder, "--out", tmp_path / "x", *words, "--json"))
    assert len(found["folds"]) == 2
    groups = [set(fold["groups"]) for fold in found["folds"]]
    assert not groups[0] & groups[1]
    assert "specimen2" not in groups[0] | groups[1]
    assert len(found["mean"]["dice"]) == len(found["classes"])
    assert (tmp_path / "x" / "fold-2" / "model" / "bundle.json").is_file()
    used = json.loads((tmp_path / "x" / "fold-1" / "recipe.json").read_text())["augmentation"]
    assert (used["sample"], used["direction_deg"], used["hflip"], used["rot90"]) == ("columnar", 45, 0, 0)


def test_a_trained_model_segments_a_stack_to_ome_zarr_and_is_scored(folder, model, tmp_path):
    stack = np.random.default_rng(1).integers(0, 255, (3, 50, 61), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", stack, metadata={"axes": "ZYX"})
    out = tmp_path / "labels.ome.zarr"
    result = last_json(anneal("segment", model, tmp_path / "stack.tif", "--out", out, "--json"))
    assert result["shape"] == [3, 50, 61]
    refused(anneal("segment", model, tmp_path / "stack.tif", "--out", out), "exists")
    report = last_json(anneal("evaluate", model, folder, "--json"))
    assert len(report["images"]) == 4


TINY = ("--encoder", "resnet10t", "--epochs", 1, "--steps", 1, "--patch", 64, "--batch", 2, "--device", "cpu")


def test_a_cascade_runs_its_arrows_goes_on_and_says_what_was_kept(folder, tmp_path):
    words = ("--start", "scratch", "--synthetic-epochs", 1, "--synthetic-steps", 1, "--set", "waviness=0")
    words += ("--classes", "grain,boundary", "--gold", "specimen2", "--folds", 2, "--then", folder, *TINY)
    words += ("--sample", "chiral")
    done = anneal("cascade", folder, "--out", tmp_path / "c", *words, "--score-every", 1, "--json")
    found = last_json(done)
    names = ["synthetic", "real", folder.name]
    assert [arrow["name"] for arrow in found["arrows"]] == names
    assert [link["kind"] for link in found["lineage"]] == ["scratch", "synthetic", "real", "real"]
    assert found["lineage"][1]["stream"]["ranges"]["waviness"]["high"] == 0
    assert "specimen2" not in json.dumps(found["lineage"])
    assert [one["task"] for one in found["kept"]] == names[:2]
    assert "arrow 2 of 3, real, begins" in done.stderr
    assert "Kept" in done.stderr
    assert "augmentation without" in done.stderr
    recipes = list((tmp_path / "c").glob("*/recipe.json"))
    assert len(recipes) == 3
    for path in recipes:
        used = json.loads(path.read_text())["augmentation"]
        assert (used["sample"], used["hflip"], used["vflip"]) == ("chiral", 0, 0)
        assert used["rot90"] > 0
    again = anneal("cascade", folder, "--out", tmp_path / "c", *words, "--resume")
    assert again.returncode == 0, again.stderr
    assert "arrow 3 of 3" in again.stderr
    assert "is finished" in again.stderr
    assert found["kept"][0]["sentence"] in again.stdout


def test_the_plan_of_a_cascade_has_every_arrow_and_writes_nothing(folder, tmp_path):
    grouped = ("--group-pattern", r"s[01]|s(?=2)|s(?=3)")
    made = tmp_path / "plan.json"
    split = last_json(anneal("split", folder, *grouped, "--folds", 3, "--seed", 1, "--out", made, "--json"))
    words = ("--start", "scratch", "--synthetic-epochs", 2, "--synthetic-steps", 3, *TINY, *grouped)
    words += ("--split", made, "--fold", 2)
    found = last_json(anneal("cascade", folder, "--out", tmp_path / "c", *words, "--dry-run", "--json"))
    assert found["arrows"][1]["train"] == split["folds"][1]["train"]
    assert found["arrows"][1]["validation"] == split["folds"][1]["val"]
    assert [plan["arrow"] for plan in found["arrows"]] == ["synthetic", "real"]
    assert [sum(stage["steps"] for stage in plan["stages"]) for plan in found["arrows"]] == [6, 3]
    assert not (tmp_path / "c").exists()


def test_controls_are_trained_beside_the_run_and_compared(folder, model, tmp_path):
    words = ("--start", model, "--controls", "--classes", "ground,square", *TINY)
    found = last_json(anneal("train", folder, "--out", tmp_path / "a", *words, "--json"))
    assert list(found["controls"]["runs"]) == ["main", "scratch", "feature_extraction"]
    assert {run["steps"] for run in found["controls"]["runs"].values()} == {3}
    assert found["controls"]["sentence"]
    assert (tmp_path / "a" / "controls" / "scratch" / "model").is_dir()


def test_locked_gold_is_left_out_everywhere_and_opened_once_by_name(folder, model, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(folder, data)
    refused(anneal("split", data, "--folds", 2, "--lock"), "no image is named as gold")
    last_json(anneal("split", data, "--folds", 2, "--gold", "specimen2", "--lock", "--json"))
    assert last_json(anneal("split", data, "--folds", 2, "--json"))["gold"] == ["s2"]
    words = ("--start", "scratch", "--encoder", "resnet10t", "--epochs", 1, "--steps", 1, "--patch", 64, "--dry-run")
    plan = last_json(anneal("train", data, *words, "--preset", "auto", "--json"))
    assert {*plan["train"], *plan["validation"]} == {"s0", "s1", "s3"}
    done = anneal("evaluate", model, data, "--json")
    assert [image["name"] for image in last_json(done)["images"]] == ["s0", "s1", "s3"]
    assert "left out, because it is gold: s2" in done.stderr
    refused(anneal("evaluate", model, data, "--gold", "nobody"), "gold group 'nobody'")
    refused(anneal("evaluate", "voronoi", data, "--gold", "specimen2"), "saved bundle")
    # The model of these tests was trained on all four specimens, this one too.
    refused(anneal("evaluate", model, data, "--gold", "specimen2"), "trained or judged on s2")
    clean = last_json(
        anneal(
            *("train", data, "--out", tmp_path / "run", "--start", "scratch", "--preset", "scratch"),
            *("--encoder", "resnet10t", "--epochs", 1, "--steps", 1, "--patch", 64, "--batch", 2, "--json"),
        )
    )["model"]
    page = tmp_path / "page"
    words = ("evaluate", clean, data, "--gold", "specimen2", "--who", "A. Person", "--out", page, "--json")
    first = last_json(anneal(*words, "--controls"))
    assert ([image["name"] for image in first["images"]], first["opening"], first["mark"]) == (["s2"], 1, None)
    assert "Otsu" in first["controls"]
    line = json.loads((data / "gold-ledger.jsonl").read_text().splitlines()[1])
    assert line["record"]["event"] == "opened"
    assert (first["gold"]["line"], first["gold"]["hash"], first["gold"]["who"]) == (2, line["hash"], "A. Person")
    html = (page / "report.html").read_text()
    assert "First opening of this gold: by A. Person on 20" in html
    assert {"found", "false alarm", "missed"} <= set(re.findall(r"found|false alarm|missed", html))
    assert first["report"] == str(page / "report.html")
    assert json.loads((page / "report.json").read_text())["gold"] == first["gold"]
    assert (page / "report.csv").read_text().splitlines()[1].startswith("s2,specimen2,class 1,")
    before = (data / "gold-ledger.jsonl").read_bytes()
    refused(anneal(*words), "already exists")
    refused(anneal(*words, "--groups", "specimen1"), "leave out --groups")
    assert (data / "gold-ledger.jsonl").read_bytes() == before  # refused before anything was looked at
    second = last_json(anneal(*words, "--overwrite"))
    assert (second["opening"], second["gold"]["opening"]) == (2, 2)
    assert second["mark"].startswith("Not gold any more: opened once before")
    html = (page / "report.html").read_text()
    assert second["mark"] in html
    assert "First opening" not in html
    book = (data / "gold-ledger.jsonl").read_bytes()
    (data / "gold-ledger.jsonl").unlink()
    refused(anneal(*words, "--overwrite"), "is gone")
    (data / "gold-ledger.jsonl").write_bytes(book)
    image = tifffile.imread(data / "images" / "s2.tif")
    tifffile.imwrite(data / "images" / "s2.tif", np.where(image > 200, 200, image + 1).astype(np.uint8))
    refused(anneal(*words, "--overwrite"), "s2", "not the image that was locked")
    tifffile.imwrite(data / "images" / "s2.tif", image)
    refused(anneal("split", data, "--release", "--lock"), "leave out --lock")
    assert last_json(anneal("split", data, "--release", "--who", "B", "--json")) == {"released": ["s2"]}
    found = last_json(anneal("evaluate", clean, data, "--groups", "specimen2", "--json"))
    assert found["mark"].startswith("Not gold any more: opened 2 times before")


@pytest.mark.nightly
def test_two_processes_train_one_model_and_one_of_them_speaks(folder, tmp_path):
    words = ["--start", "scratch", "--preset", "scratch", "--encoder", "resnet10t", "--epochs", "1", "--steps", "2"]
    words += ["--patch", "64", "--batch", "2", "--device", "cpu", "--devices", "2", "--json"]
    words += ["--out", str(tmp_path / "a")]
    command = [sys.executable, "-m", "napari_anneal.cli", "train", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert last_json(done)["model"] == str(tmp_path / "a" / "model")
    assert len(done.stdout.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr
    again = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    refused(again, "already exists")


def test_models_lists_what_is_shipped():
    assert "voronoi" in last_json(anneal("models", "--json"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("synthesize", "OUT", "--shape", "12by12"), ("12by12", "512x512")),
        (("synthesize", "OUT", "--seeds", "30", "--placement", "nonsense"), ("placement",)),
        (("synthesize", "OUT", "--seeds", "many"), ("--seeds",)),
        (("synthesize", "OUT", "--count", "0"), ("count",)),
        (("synthesize", "OUT", "--seed", "-1"), ("seed",)),
        (("synthesize", "OUT", "--set", "appearance.dose=0"), ("appearance", "dose = 0")),
        (("synthesize", "OUT", "--set", "dose"), ("field=value",)),
        (("synthesize", "OUT", "--recipe", "no-such-file.json"), ("no-such-file.json",)),
        (("synthesize", "OUT", "--recipe", "x.json", "--randomize"), ("--randomize",)),
        (("synthesize", "FOLDER"), ("already exists",)),
        (("synthesize",), ("out",)),
        (("synthesise", "OUT"), ("synthesise",)),
        (("split", "no-such-folder"), ("no-such-folder",)),
        (("check", "no-such-folder"), ("no-such-folder",)),
        (("train", "no-such-folder"), ("no-such-folder",)),
        (("cross-validate", "no-such-folder"), ("no-such-folder",)),
        (("cross-validate", "FOLDER", "--folds", "50"), ("folds",)),
        (("train", "FOLDER", "--preset", "magic", "--out", "OUT"), ("magic", "canonical")),
        (("train", "FOLDER", "--start", "no-such-model", "--out", "OUT"), ("no-such-model",)),
        (("train", "FOLDER", "--optimizer", "magic", "--out", "OUT"), ("magic", "lion")),
        (("train", "FOLDER", "--start", "scratch", "--resume", "--out", "OUT"), ("no checkpoint",)),
        (("train", "FOLDER", "--start", "scratch", "--patch", "50", "--out", "OUT"), ("patch",)),
        (("train", "FOLDER", "--start", "scratch", "--out", "FOLDER"), ("already exists",)),
        (("train", "FOLDER", "--precision", "float8", "--out", "OUT"), ("precision", "float16")),
        (("train", "FOLDER", "--nodes", "2", "--out", "OUT"), ("MASTER_ADDR", "torchrun")),
        (("train", "FOLDER", "--controls", "--devices", "2", "--out", "OUT"), ("--controls", "one device")),
        (("train", "FOLDER", "--start", "scratch", "--controls", "--out", "OUT"), ("a control itself",)),
        (("cascade", "no-such-folder"), ("no-such-folder",)),
        (("cascade", "FOLDER", "--start", "scratch", "--then", "FOLDER", "--then", "FOLDER"), ("the same name",)),
        (("cascade", "FOLDER", "--start", "scratch", "--set", "magic=1", "--out", "OUT"), ("magic",)),
        (("cascade", "FOLDER", "--start", "scratch", "--gold", "nobody", "--out", "OUT"), ("nobody",)),
        (("cascade", "FOLDER", "--start", "scratch", "--split", "none.json", "--out", "OUT"), ("none.json",)),
        (("cascade", "FOLDER", "--start", "scratch", "--resume", "--out", "OUT"), ("no cascade in",)),
        (("cascade", "FOLDER", "--start", "scratch", "--synthetic", "x.json", "--out", "OUT"), ("x.json",)),
        (("segment", "no-such-model", "x.tif", "--out", "OUT.tif"), ("no-such-model",)),
        (("evaluate", "voronoi", "FOLDER", "--groups", "nobody"), ("no labelled images",)),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(folder, tmp_path, words, says):
    places = {"FOLDER": folder, "OUT": tmp_path / "out", "OUT.tif": tmp_path / "out.tif"}
    refused(anneal(*(places.get(word, word) for word in words)), *says)


def test_runs_are_listed_compared_and_reported(model, folder, tmp_path):
    home = Path(model).parent
    (listed,) = last_json(anneal("runs", home.parent, "--json"))["runs"]
    assert (listed["name"], listed["reason"], listed["epochs"]) == ("a", "complete", 3)
    text = anneal("runs", home.parent).stdout
    assert f"{listed['best_val_loss']:.4f}" in text
    page = last_json(anneal("report", home, "--json"))["report"]
    assert Path(page).read_text(encoding="utf-8").startswith("<!doctype html>")
    refused(anneal("report", tmp_path), "holds no run")
    refused(anneal("runs", tmp_path / "nothing"), "there is no folder")
    refused(anneal("runs", home.parent, "--compare", "nothing"), "there is no run 'nothing'")
    assert anneal("runs", tmp_path).stdout.startswith("no runs")


def test_a_run_is_run_again_from_its_recipe_with_the_same_bytes(model, folder, tmp_path):
    home, again, other = Path(model).parent, tmp_path / "again", tmp_path / "other"
    last_json(anneal("train", folder, "--recipe", home / "recipe.json", "--out", again, "--json"))
    weights = [(run / "model" / "model.safetensors").read_bytes() for run in (home, again)]
    assert weights[0] == weights[1]
    last_json(anneal("train", folder, "--recipe", home, "--seed", 5, "--out", other, "--json"))
    differing = last_json(anneal("runs", tmp_path, "--compare", "again", "--compare", "other", "--json"))["differences"]
    assert differing == {"seed": [0, 5]}
    assert "seed" in anneal("runs", tmp_path, "--compare", "again", "--compare", "other").stdout


def test_a_recipe_and_an_option_it_decides_contradict_each_other(model, folder, tmp_path):
    refused(anneal("train", folder, "--recipe", Path(model).parent, "--epochs", 3), "--epochs", "contradict")
    refused(anneal("train", folder, "--recipe", tmp_path / "no.json"), "there is no recipe")
    (tmp_path / "recipe.json").write_text('{"stages": 3}')
    refused(anneal("train", folder, "--recipe", tmp_path / "recipe.json"), "stages")
