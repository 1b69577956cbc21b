"""What is said after a run, and what there is to open."""

from __future__ import annotations

from pathlib import Path

from napari_anneal.widgets._ending import Ending
from napari_anneal.widgets._outcome import HIGHEST, Outcome


def test_warnings_come_first_nothing_twice_and_many_words_scroll(qtbot) -> None:
    outcome = Outcome()
    qtbot.addWidget(outcome)
    assert outcome.isHidden()
    others = ("one", "a < b", "two", "three", "four", "one")
    outcome.show_outcome(Ending("Done", "good", Path("runs/a"), None, ("a < b",), others))
    assert outcome.text.splitlines() == ["• a < b", "• one", "• two", "• three", "• four"]
    outcome.resize(380, 200)
    outcome.show()
    short = outcome._scroll.height()
    outcome.show_outcome(Ending("Done", "good", Path("runs/a"), None, (), tuple(f"{k} long " * 30 for k in range(9))))
    assert short < outcome._scroll.height() == HIGHEST
    assert not outcome.isHidden()
    assert outcome.open_report.isHidden()
    assert not outcome.open_folder.isHidden()
    outcome.clear()
    assert outcome.isHidden()


def test_the_folder_and_the_report_are_opened(qtbot, monkeypatch, tmp_path) -> None:
    opened = []
    monkeypatch.setattr("napari_anneal.widgets._outcome.QDesktopServices.openUrl", opened.append)
    outcome = Outcome()
    qtbot.addWidget(outcome)
    report = tmp_path / "a run" / "report.html"
    outcome.show_outcome(Ending("Done", "good", tmp_path / "a run", report))
    outcome.open_report.click()
    outcome.open_folder.click()
    assert [Path(url.toLocalFile()) for url in opened] == [report, tmp_path / "a run"]
