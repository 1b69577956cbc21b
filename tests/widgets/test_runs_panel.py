"""The runs of a folder in *Fine-tune*: listed, compared, run again, gone on with, used, reported."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from painted import add_pair, stripes
from qtpy.QtWidgets import QDialog

from napari_anneal.widgets._runs_panel import COLUMNS
from napari_anneal.widgets._session_models import session_models


@pytest.fixture(scope="module")
def finished(tiny_model, tmp_path_factory) -> Path:
    """A folder of two runs on the same stripes that differ in their seed, and one that was cancelled."""
    import threading

    from painted import strokes

    from napari_anneal.samples.sample import Sample
    from napari_anneal.training import FineTuneRecipe, fine_tune

    folder = tmp_path_factory.mktemp("finished") / "runs"
    samples = [Sample(stripes(seed=k), strokes(), group=f"g{k}", name=f"s{k}") for k in (0, 1)]
    small = {"patch": 64, "batch_size": 2, "steps_per_epoch": 2, "device": "cpu", "precision": "float32"}
    tiny_model.save(folder / "start")
    for name, seed in (("a", 0), ("b", 1)):
        recipe = FineTuneRecipe.from_preset("full", 2, seed=seed, **small)
        fine_tune(samples, None, recipe, folder / "start", folder / name)
    cancel = threading.Event()
    recipe = FineTuneRecipe.from_preset("full", 3, **small)

    def stop(event) -> None:
        if type(event).__name__ == "EpochDone":
            cancel.set()

    fine_tune(samples, None, recipe, folder / "start", folder / "c", on_event=stop, cancel=cancel)
    return folder


@pytest.fixture
def panel(form, viewer, finished, tmp_path, qtbot):
    """The panel of a form whose folder holds copies of those runs."""
    shutil.copytree(finished, tmp_path / "runs")
    for k in (0, 1):
        image, _ = add_pair(viewer, name=f"s{k}", seed=k)
        image.metadata["napari_anneal"] = {"group": f"g{k}"}
    form.pairs.add_all()
    form.pairs.refresh_groups()
    form.runs_fold.expand(animate=False)
    qtbot.waitUntil(lambda: form.runs.table.rowCount() == 3, timeout=20_000)
    return form.runs


def select(panel, *names: str) -> None:
    panel.table.clearSelection()
    panel.table.setSelectionMode(panel.table.SelectionMode.MultiSelection)
    for row, record in enumerate(panel.records):
        if record.name in names:
            panel.table.selectRow(row)


def shown(panel, name: str) -> dict[str, str]:
    row = next(i for i, record in enumerate(panel.records) if record.name == name)
    return {column: panel.table.item(row, k).text() for k, column in enumerate(COLUMNS)}


def test_runs_are_listed_with_what_came_of_them(panel) -> None:
    a, c = shown(panel, "a"), shown(panel, "c")
    assert a["ended"] == "complete"
    assert c["ended"] == "cancelled"
    assert a["recipe"] == "full"
    assert a["Dice"] == f"{next(r for r in panel.records if r.name == 'a').mean_dice:.3f}"
    enabled = lambda: {name for name, button in panel.buttons.items() if button.isEnabled()}  # noqa: E731
    assert enabled() == set()
    select(panel, "a")
    assert enabled() == {"Open report", "Use in Segment", "Run again", "Show folder"}
    select(panel, "c")
    assert "Go on" in enabled()
    select(panel, "a", "b")
    assert enabled() == {"Compare"}


def test_compared_runs_show_their_curves_and_only_what_differs(panel, form) -> None:
    select(panel, "a", "b")
    panel.buttons["Compare"].click()
    (window,) = form.window().findChildren(QDialog, "compared runs")
    assert set(window.curves.names) == {"a", "b"}
    rows = [window.table.verticalHeaderItem(k).text() for k in range(window.table.rowCount())]
    assert "seed" in rows
    assert "patch" not in rows
    seed = rows.index("seed")
    by_name = {
        window.table.horizontalHeaderItem(k).text(): window.table.item(seed, k).text()
        for k in range(window.table.columnCount())
    }
    assert by_name == {"a": "0", "b": "1"}
    history = next(r for r in panel.records if r.name == "a").history()
    assert [point[1] for point in window.curves.points("a")] == [row["val_loss"] for row in history]
    assert "a: epoch 2" in window.curves.read(2.2)
    window.close()


def test_a_run_is_run_again_with_its_own_recipe_and_comes_out_the_same(panel, form, wait_for, tmp_path) -> None:
    form.preset.setCurrentText("canonical")  # what the form says does not matter
    form.epochs.setValue(77)
    form.watch.image.choose(None)
    select(panel, "b")
    panel.buttons["Run again"].click()
    wait_for(form)
    assert "“b-2” is ready in Segment" in form.bar.text, form.bar.text
    first, second = ((tmp_path / "runs" / name / "history.csv").read_text().splitlines() for name in ("b", "b-2"))
    assert [row.split(",")[:3] for row in first] == [row.split(",")[:3] for row in second]
    # On another thread sums may round otherwise; that a run comes out bit for bit is proved without a form.
    losses = [[[float(cell) for cell in row.split(",")[3:5]] for row in table[1:]] for table in (first, second)]
    assert losses[0] == [pytest.approx(row, rel=1e-5) for row in losses[1]]


def test_a_cancelled_run_goes_on_and_the_list_follows(panel, form, wait_for, qtbot) -> None:
    form.watch.image.choose(None)
    select(panel, "c")
    panel.buttons["Go on"].click()
    wait_for(form)
    assert form.bar.text.startswith("Done: “c” is ready"), form.bar.text
    qtbot.waitUntil(lambda: shown(panel, "c")["ended"] == "complete", timeout=20_000)
    assert panel.selected[0].name == "c"
    assert not panel.buttons["Go on"].isEnabled()


def test_what_cannot_be_run_again_is_said(panel, form, viewer) -> None:
    del viewer.layers["s1"]
    for row in list(form.pairs.rows):
        if row.image.layer is None or row.image.layer.name != "s0":
            form.pairs.remove(row)
    select(panel, "a")
    panel.buttons["Run again"].click()
    assert "image 's1' of the run 'a' is not among these" in form.bar.text
    assert not form.job.running


def test_a_model_of_the_list_is_offered_and_its_report_and_folder_open(panel, qtbot, monkeypatch) -> None:
    opened = []
    monkeypatch.setattr("napari_anneal.widgets._runs_panel.open_path", opened.append)
    select(panel, "a")
    panel.buttons["Open report"].click()
    panel.buttons["Show folder"].click()
    record = panel.selected[0]
    assert opened == [record.path / "report.html", record.path]
    panel.buttons["Use in Segment"].click()
    qtbot.waitUntil(lambda: "a" in session_models().names(), timeout=20_000)
    assert session_models().get("a").classes == ("class 1", "class 2")


def test_a_damaged_run_is_listed_with_the_reason(panel, form, qtbot, tmp_path) -> None:
    (tmp_path / "runs" / "a" / "run.json").write_text("{", encoding="utf-8")
    panel.refresh()
    qtbot.waitUntil(lambda: any(record.fault for record in panel.records), timeout=20_000)
    select(panel, "a")
    assert "damaged" in panel.said.text()
    assert not panel.buttons["Run again"].isEnabled()


def test_a_folder_without_runs_says_so(form, qtbot) -> None:
    form.runs_fold.expand(animate=False)
    qtbot.waitUntil(lambda: "No runs in" in form.runs.said.text(), timeout=20_000)
