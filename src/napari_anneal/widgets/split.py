"""*Grouped split*: say which image comes from which specimen, and see who trains and who judges in every fold."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)  # fmt: skip

from napari_anneal.errors import InputError, OutputError
from napari_anneal.samples.sample import Sample
from napari_anneal.widgets._class_balance import ClassBalance
from napari_anneal.widgets._copies_found import CopiesFound, copy_pictures
from napari_anneal.widgets._fold_matrix import FoldMatrix
from napari_anneal.widgets._form import Form, fold, form_layout
from napari_anneal.widgets._group_pattern import GroupPattern
from napari_anneal.widgets._layer_choice import follow_layers
from napari_anneal.widgets._layers import group_of, is_gold, is_made, remember, sample_from_layers
from napari_anneal.widgets._pairs import matching_image
from napari_anneal.widgets._path_field import PathField

if TYPE_CHECKING:
    import napari.viewer

    from napari_anneal.validation import NameGroups

__all__ = ["SplitWidget", "guess_group"]

NAME, GROUP, GOLD = 0, 1, 2
METHODS = {
    "balance images": "group",
    "balance rare classes": "stratified",
    "leave one group out": "leave_one_group_out",
    "hold a fifth out": "hold_out",
}


def guess_group(name: str) -> str:
    """A first guess from a file's name: everything before the last number (``steel-A_03`` → ``steel-A``)."""
    stem = re.sub(r"\.(ome\.)?(tiff?|png|jpe?g|zarr|npy)$", "", name, flags=re.IGNORECASE)
    match = re.match(r"(.*?\D)[-_ .]*\d+\D*$", stem)
    return (match.group(1) if match else stem).strip(" -_.")


@dataclass(frozen=True)
class Entry:
    """One row: a pair of layers, or a sample read from a folder."""

    name: str
    image: Any = None
    labels: Any = None
    sample: Sample | None = None


class SplitWidget(Form):
    """Assign groups to layers or files; the layers remember them, and *Fine-tune* uses them."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(
            viewer, "Show the split", "Split by group and show who trains and who validates in every fold."
        )
        self.folder = PathField("", "folder", placeholder="empty: the layers of the viewer")
        self.row(
            "Folder", self.folder, "A folder with images/ and labels/ (or masks/); empty: the pairs of layers here."
        )
        self.table = self._build_table()
        self.fields.addRow(self.table)
        self.pattern = GroupPattern()
        self.row(
            "Pattern",
            self.pattern,
            "A regular expression: what its (…), or the whole match, takes from a name is the group. ^(.+?)_ makes "
            "steelA of steelA_03. The table shows what it finds while you type; Use takes it over.",
        )
        self.pattern.previewed.connect(lambda found: self.guarded(lambda: self._preview(found)))
        self.pattern.accepted.connect(lambda found: self.guarded(lambda: self._take(found)))
        buttons = QHBoxLayout()
        self.guess = QPushButton("Guess groups from names")
        self.guess.setToolTip("Everything before the last number of a name: steel-A_01 and steel-A_02 → steel-A.")
        self.guess.clicked.connect(lambda: self.guarded(self._guess))
        self.save = QPushButton("Save groups.csv")
        self.save.setToolTip("Write the groups into the folder; it is read again next time, and by the terminal.")
        self.save.clicked.connect(lambda: self.guarded(self._save))
        buttons.addWidget(self.guess)
        buttons.addWidget(self.save)
        self.fields.addRow(buttons)
        self.folds = QSpinBox()
        self.folds.setRange(2, 50)
        self.folds.setValue(5)
        self.row(
            "Folds", self.folds, "Number of folds K; every group validates in one of them and trains in the others."
        )
        self._build_folded()
        self.matrix = FoldMatrix()
        self.matrix.setVisible(False)
        self.body.addWidget(self.matrix)
        self.balance = ClassBalance()
        self.body.addWidget(self.balance)
        self.copies = CopiesFound()
        self.body.addWidget(self.copies)
        self.body.addStretch(1)
        self.entries: list[Entry] = []
        self._typed: list[str] | None = None
        self.folder.changed.connect(lambda _: self.guarded(self._read_folder))
        self.bar.started.connect(lambda: self.guarded(self._run))
        self.job.events.connect(lambda events: self.bar.advance(*events[-1]))
        follow_layers(viewer, self, self.refresh)
        self.refresh()

    def _build_table(self) -> QTableWidget:
        table = QTableWidget(0, 3)
        table.setHorizontalHeaderLabels(["image", "group (double-click)", "gold"])
        header = table.horizontalHeader()
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(GROUP, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(GOLD, QHeaderView.ResizeMode.ResizeToContents)
        table.verticalHeader().setVisible(False)
        table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        # napari's style leaves the ticks of tables dark on dark.
        table.setStyleSheet(
            "QTableWidget::indicator { width: 13px; height: 13px; border: 1px solid #9a9da3; }"
            "QTableWidget::indicator:checked { background: #ffd54f; }"
        )
        table.setToolTip(
            "The specimen, microscope day or batch of every image. Edit one of several selected rows to set them all. "
            "Gold: put the whole group aside; no run sees it."
        )
        table.itemChanged.connect(self._edited)
        return table

    def _build_folded(self) -> None:
        box = QWidget()
        layout = form_layout(box)
        self.method, self.seed = QComboBox(), QSpinBox()
        self.method.addItems(list(METHODS))
        self.seed.setRange(0, 999_999)
        for label, widget, tip in (
            ("balance", self.method, "What to balance over the folds; rare classes need a group in every fold."),
            ("seed", self.seed, "Decides between splits that are equally balanced."),
        ):
            widget.setToolTip(tip)
            layout.addRow(label, widget)
        self.body.addWidget(fold("How to split", box, "What to balance, seed"))

    def refresh(self) -> None:
        """List the pairs of layers (unless a folder is shown)."""
        self.save.setEnabled(bool(self.folder.text()))
        if self.folder.text():
            return
        from napari.layers import Labels

        painted = [a for a in self.viewer.layers if isinstance(a, Labels) and not is_made(a)]
        pairs = [(matching_image(self.viewer, labels), labels) for labels in painted]
        self._fill([Entry(image.name, image, labels) for image, labels in pairs if image is not None])

    def _fill(self, entries: list[Entry]) -> None:
        self.entries, self._typed = entries, None
        self.table.blockSignals(True)
        self.table.setRowCount(len(entries))
        for row, entry in enumerate(entries):
            group = entry.sample.group if entry.sample is not None else group_of(entry.image)
            name = QTableWidgetItem(entry.name)
            name.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
            name.setToolTip(entry.name)
            gold = QTableWidgetItem()
            gold.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
            marked = entry.image is not None and is_gold(entry.image)
            gold.setCheckState(Qt.CheckState.Checked if marked else Qt.CheckState.Unchecked)
            for column, item in ((NAME, name), (GROUP, QTableWidgetItem(group)), (GOLD, gold)):
                self.table.setItem(row, column, item)
        self.table.blockSignals(False)
        rows = min(9, max(3, len(entries)))
        header = self.table.horizontalHeader().sizeHint().height()
        self.table.setFixedHeight(header + rows * self.table.verticalHeader().defaultSectionSize() + 6)
        self.pattern.set_names([entry.name for entry in entries])

    def group(self, row: int) -> str:
        """The group of a row; what a pattern only shows does not count before it is taken over."""
        if self._typed is not None:
            return self._typed[row]
        return str(self.table.item(row, GROUP).text()).strip()

    def gold(self, row: int) -> bool:
        """Whether a row is ticked as gold."""
        return bool(self.table.item(row, GOLD).checkState() == Qt.CheckState.Checked)

    def _edited(self, item: QTableWidgetItem) -> None:
        """Spread an edit to what belongs together, and let the layers remember it."""
        self.table.blockSignals(True)
        row, column = item.row(), item.column()
        if column == GROUP and item.isSelected():
            for other in self.table.selectedItems():
                if other.column() == GROUP:
                    other.setText(item.text())
        if column == GOLD and self.group(row):
            for other in range(self.table.rowCount()):
                if self.group(other) == self.group(row):
                    self.table.item(other, GOLD).setCheckState(item.checkState())
        self.table.blockSignals(False)
        self._remember()

    def _remember(self) -> None:
        for row, entry in enumerate(self.entries):
            for layer in (entry.image, entry.labels):
                if layer is not None:  # folds that were shown before are of other groups
                    remember(layer, group=self.group(row), gold=self.gold(row), fold=None)

    def _write_groups(self, groups: Sequence[str], preview: bool = False) -> None:
        """Write the group column; a preview is in italics."""
        self.table.blockSignals(True)
        for row, group in enumerate(groups):
            item = self.table.item(row, GROUP)
            font = item.font()
            font.setItalic(preview)
            item.setFont(font)
            item.setText(group)
        self.table.blockSignals(False)

    def _preview(self, found: NameGroups | None) -> None:
        """Show what a pattern finds, or again what was typed."""
        if found is None:
            if self._typed is not None:
                typed, self._typed = self._typed, None
                self._write_groups(typed)
            return
        if self._typed is None:
            self._typed = [self.group(row) for row in range(len(self.entries))]
        self._write_groups([group or "–" for group in found.groups], preview=True)

    def _take(self, found: NameGroups) -> None:
        """Take the groups of a pattern over; a name that it does not match keeps its group."""
        typed = [self.group(row) for row in range(len(self.entries))]
        self._typed = None
        self._write_groups([group or old for group, old in zip(found.groups, typed, strict=True)])
        self._remember()
        self.pattern.line.clear()
        self.bar.say(f"Groups taken from the names: {found.sentence}")

    def _guess(self) -> None:
        self.pattern.line.clear()
        self._write_groups([guess_group(entry.name) for entry in self.entries])
        self._remember()
        count = len({self.group(row) for row in range(len(self.entries))})
        self.bar.say(f"{count} groups guessed from the names; correct them where they are wrong.")

    def _read_folder(self) -> None:
        self.refresh()
        path = self.folder.text()
        if not path:
            return

        def work(report: Any, cancel: Any) -> list[Sample]:
            from napari_anneal.samples.reading import read_samples

            return list(read_samples(Path(path).expanduser()))

        def show(samples: list[Sample]) -> None:
            self._fill([Entry(s.name, sample=s) for s in samples])
            self.bar.say(f"{len(samples)} images read from {path}.")

        self.launch(work, show, f"Reading {path} …")

    def _save(self) -> None:
        path = Path(self.folder.text()).expanduser() / "groups.csv"
        try:
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(["image", "group"])
                writer.writerows((entry.name, self.group(row)) for row, entry in enumerate(self.entries))
        except OSError as error:
            raise OutputError(f"{path} cannot be written ({error.strerror}); check the folder.") from error
        self.bar.say(f"{path} is written.", "good")

    def _run(self) -> None:
        if not self.entries:
            raise InputError(
                "There is nothing to split: open images and paint on Labels layers of the same shape, or choose a "
                "folder with images/ and labels/."
            )
        samples = [
            replace(entry.sample, group=self.group(row))
            if entry.sample is not None
            else sample_from_layers(entry.image, entry.labels, self.group(row), copy_image=False)
            for row, entry in enumerate(self.entries)
        ]
        alone = [self.entries[row].name for row in range(len(samples)) if self.gold(row) and not self.group(row)]
        if alone:
            raise InputError(f"Gold image {alone[0]!r} has no group; give it one, since whole groups are put aside.")
        gold = sorted({self.group(row) for row in range(len(samples)) if self.gold(row)})
        folds, seed, method = self.folds.value(), self.seed.value(), METHODS[self.method.currentText()]

        def work(report: Any, cancel: Any) -> Any:
            from napari_anneal.validation import find_copies, group_split

            copies = find_copies(samples, progress=lambda done, total: report((done, total)), cancel=cancel)
            if cancel.is_set():
                return None
            return group_split(samples, folds, gold, seed, method=method, copies=copies), copy_pictures(samples, copies)

        self.launch(work, lambda found: self._show(found, samples), "Looking for copies and splitting …")

    def _show(self, found: Any, samples: list[Sample]) -> None:
        if found is None:
            self.bar.say("Cancelled; nothing was split.")
            return
        plan, pictures = found
        self.table.blockSignals(True)
        for index in plan.gold:  # copies of gold are gold
            self.table.item(index, GOLD).setCheckState(Qt.CheckState.Checked)
        self.table.blockSignals(False)
        self._remember()
        self.balance.show_report(plan.report)
        self.copies.show_copies(pictures)
        for index, entry in enumerate(self.entries):
            if entry.image is not None:
                place = next((k for k, fold in enumerate(plan.folds, start=1) if index in fold.val), None)
                remember(entry.image, fold=None if place is None else (place, len(plan.folds)))
        self.matrix.show_plan(plan, [s.name for s in samples], [s.group for s in samples])
        self.matrix.setVisible(True)
        groups = len({s.group or f"\0{i}" for i, s in enumerate(samples)})
        count = len(plan.gold)
        put_aside = f"; gold: {count} image{'s' if count > 1 else ''}" if count else ""
        said = f"{len(samples)} images of {groups} groups in {len(plan.folds)} folds{put_aside}."
        warnings = [f"{text[:1].upper()}{text[1:]}" for text in plan.report.warnings]
        self.bar.say("\n".join([said, *warnings]), "bad" if warnings else "good")
