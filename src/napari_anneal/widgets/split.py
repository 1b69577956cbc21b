"""*Grouped split*: say which image comes from which specimen, and see who trains and who judges in every fold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QComboBox, QFileDialog, QSpinBox, QWidget

from napari_anneal.errors import InputError
from napari_anneal.samples.gold import is_locked, lock
from napari_anneal.samples.sample import Sample
from napari_anneal.widgets._class_balance import ClassBalance
from napari_anneal.widgets._copies_found import CopiesFound, copy_pictures
from napari_anneal.widgets._fold_matrix import FoldMatrix
from napari_anneal.widgets._form import Form, fold, form_layout
from napari_anneal.widgets._group_pattern import GroupPattern
from napari_anneal.widgets._group_table import GroupButtons, GroupTable
from napari_anneal.widgets._layer_choice import follow_layers
from napari_anneal.widgets._layers import remember, sample_from_layers
from napari_anneal.widgets._pairs import painted_pairs
from napari_anneal.widgets._path_field import PathField
from napari_anneal.widgets._split_entries import Entry, opened, place_in, shown_groups
from napari_anneal.widgets._split_warnings import SplitWarnings, row_sentences
from napari_anneal.widgets._to_finetune import MOST_OPENED, FoldButtons, set_up_finetune

if TYPE_CHECKING:
    import napari.viewer

    from napari_anneal.validation import NameGroups, SplitPlan

__all__ = ["SplitWidget", "guess_group"]

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
        self.table = GroupTable()
        self.table.edited.connect(self._remember)
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
        self.buttons = GroupButtons()
        self.guess, self.save, self.lock = self.buttons.guess, self.buttons.save, self.buttons.lock
        for button, action in (
            (self.guess, self._guess),
            (self.buttons.from_csv, self._browse_csv),
            (self.save, self._save),
            (self.lock, self._lock_gold),
        ):
            button.clicked.connect(lambda _=False, action=action: self.guarded(action))
        for button in (self.save, self.lock):
            button.setEnabled(False)
        self.fields.addRow(self.buttons)
        self.folds = QSpinBox()
        self.folds.setRange(2, 50)
        self.folds.setValue(5)
        self.row(
            "Folds", self.folds, "Number of folds K; every group validates in one of them and trains in the others."
        )
        self._build_folded()
        self.matrix, self.balance, self.copies = FoldMatrix(), ClassBalance(), CopiesFound()
        self.matrix.setVisible(False)
        self.warnings, self.to_finetune = SplitWarnings(), FoldButtons()
        for part in (self.matrix, self.to_finetune, self.warnings, self.balance, self.copies):
            self.body.addWidget(part)
        self.body.addStretch(1)
        self.entries: list[Entry] = []
        self.plan: SplitPlan | None = None
        self.to_finetune.pressed.connect(lambda number: self.guarded(lambda: self._fine_tune(number)))
        self.folder.changed.connect(lambda _: self.guarded(self._read_folder))
        self.bar.started.connect(lambda: self.guarded(self._run))
        self.job.events.connect(lambda events: self.bar.advance(*events[-1]))
        follow_layers(viewer, self, self.refresh)
        self.refresh()

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
        if self.folder.text():
            return
        entries = [Entry(pair.image.name, pair.image, pair.labels) for pair in painted_pairs(self.viewer)]
        if entries != self.entries:
            self._fill(entries)

    def _fill(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.table.fill([entry.row() for entry in entries])
        for button in (self.save, self.lock):
            button.setEnabled(any(entry.sample is not None for entry in entries))
        self.pattern.set_names([entry.name for entry in entries])
        self._forget()

    def _forget(self) -> None:
        """What was shown is of other groups."""
        self.plan = None
        self.to_finetune.show_folds(0)

    def group(self, row: int) -> str:
        """The group of a row."""
        return self.table.group(row)

    def gold(self, row: int) -> bool:
        """Whether a row is ticked as gold."""
        return self.table.gold(row)

    def _remember(self) -> None:
        """Let the layers remember their groups; folds that were shown before are of other ones."""
        for row, entry in enumerate(self.entries):
            for layer in (entry.image, entry.labels):
                if layer is not None:
                    remember(layer, group=self.group(row), gold=self.gold(row), fold=None)
        self._forget()

    def _preview(self, found: NameGroups | None) -> None:
        """Show what a pattern finds, or again what was typed."""
        self.table.preview(None if found is None else found.groups)

    def _take(self, found: NameGroups) -> None:
        """Take the groups of a pattern over; a name that it does not match keeps its group."""
        groups = [group or self.group(row) for row, group in enumerate(found.groups)]
        self.table.set_groups(groups)
        self.pattern.line.clear()
        self.bar.say(f"Groups taken from the names: {found.sentence}")

    def _guess(self) -> None:
        self.pattern.line.clear()
        self.table.set_groups([guess_group(entry.name) for entry in self.entries])
        count = len({self.group(row) for row in range(len(self.entries))})
        self.bar.say(f"{count} groups guessed from the names; correct them where they are wrong.")

    def _browse_csv(self) -> None:
        path = QFileDialog.getOpenFileName(self, "Groups of the images", self.folder.text(), "Tables (*.csv)")[0]
        if path:
            self.take_csv(path)

    def take_csv(self, path: str | Path) -> None:
        """Take the groups from a table.

        Raises
        ------
        InputError
            It does not fit the images here; the sentence names the line.
        """
        from napari_anneal.samples.groups_csv import read_groups
        from napari_anneal.samples.image_files import stem

        names = [stem(entry.name) for entry in self.entries]
        groups = read_groups(path, names)
        self.pattern.line.clear()
        self.table.set_groups([groups[name] for name in names])
        self.bar.say(f"{len(set(groups.values()))} groups read from {Path(path).name}.", "good")

    def _read_folder(self) -> None:
        self.refresh()
        path = self.folder.text()
        if not path:
            return
        # Groups of the images that were listed must not be saved into this folder, should it not be read.
        self._fill([])

        def work(report: Any, cancel: Any) -> list[Sample]:
            from napari_anneal.samples.reading import read_samples

            return list(read_samples(Path(path).expanduser()))

        def show(samples: list[Sample]) -> None:
            self._fill([Entry(s.name, sample=s) for s in samples])
            self.bar.say(f"{len(samples)} images read from {path}.")

        self.launch(work, show, f"Reading {path} …")

    def _save(self) -> None:
        from napari_anneal.samples.groups_csv import write_groups

        path = Path(self.folder.text()).expanduser() / "groups.csv"
        write_groups(path, {entry.name: self.group(row) for row, entry in enumerate(self.entries)})
        self.bar.say(f"{path} is written.", "good")

    def _lock_gold(self) -> None:
        """Lock what is ticked, as ``split --lock`` does."""
        import getpass

        from napari_anneal.samples.gold_folder import lock_folder

        samples, gold = self._samples(), self._gold_groups()
        chosen = [i for i, sample in enumerate(samples) if sample.group in gold and not is_locked(sample)]
        path = Path(self.folder.text()).expanduser()

        def work(report: Any, cancel: Any) -> None:
            lock_folder(path, samples, chosen, getpass.getuser())

        def show(_: None) -> None:
            count = len(chosen)
            kept = [lock(sample) if i in chosen else sample for i, sample in enumerate(samples)]
            self._fill([Entry(sample.name, sample=sample) for sample in kept])
            self.bar.say(f"{count} image{'s' * (count != 1)} locked as gold; the folder's ledger tells of it.", "good")

        self.launch(work, show, "Locking gold …")

    def _samples(self) -> list[Sample]:
        if not self.entries:
            raise InputError(
                "There is nothing to split: open images and paint on Labels layers of the same shape, or choose a "
                "folder with images/ and labels/."
            )
        return [
            entry.sample.changed(group=self.group(row))
            if entry.sample is not None
            else sample_from_layers(entry.image, entry.labels, self.group(row), copy_image=False)
            for row, entry in enumerate(self.entries)
        ]

    def _gold_groups(self) -> list[str]:
        rows = range(len(self.entries))
        alone = [self.entries[row].name for row in rows if self.gold(row) and not self.group(row)]
        if alone:
            raise InputError(f"Gold image {alone[0]!r} has no group; give it one, since whole groups are put aside.")
        return sorted({self.group(row) for row in rows if self.gold(row)})

    def _run(self) -> None:
        samples, gold = self._samples(), self._gold_groups()
        folds, seed, method = self.folds.value(), self.seed.value(), METHODS[self.method.currentText()]

        def work(report: Any, cancel: Any) -> Any:
            from napari_anneal.validation import find_copies, group_split
            from napari_anneal.validation.leakage import merge_copies

            copies = find_copies(samples, progress=lambda done, total: report((done, total)), cancel=cancel)
            if cancel.is_set():
                return None
            plan = group_split(samples, folds, gold, seed, method=method, copies=copies)
            groups = shown_groups(samples, merge_copies(samples, copies))
            return plan, copy_pictures(samples, copies), row_sentences(samples, copies, plan.report), groups

        self.launch(work, lambda found: self._show(found, samples), "Looking for copies and splitting …")

    def _show(self, found: Any, samples: list[Sample]) -> None:
        if found is None:
            self.bar.say("Cancelled; nothing was split.")
            return
        plan, pictures, marks, groups = found
        self.table.tick(plan.gold)  # copies of gold are gold
        self._remember()
        self.plan = plan
        self.table.mark(marks)
        self.warnings.show_sentences(plan.report.warnings)
        self.balance.show_report(plan.report)
        self.copies.show_copies(pictures)
        for index, entry in enumerate(self.entries):
            if entry.image is not None:
                remember(entry.image, fold=place_in(plan, index))
        self.matrix.show_plan(plan, [s.name for s in samples], groups)
        self.matrix.setVisible(True)
        self.to_finetune.show_folds(len(plan.folds))
        count, gold, warnings = len(set(groups)), len(plan.gold), len(plan.report.warnings)
        put_aside = f"; gold: {gold} image{'s' * (gold != 1)}" if gold else ""
        below = f" {warnings} warning{'s' * (warnings != 1)} above." if warnings else ""
        said = f"{len(samples)} images of {count} groups in {len(plan.folds)} folds{put_aside}.{below}"
        self.bar.say(said, "bad" if warnings else "good")

    def _fine_tune(self, number: int) -> None:
        """Hand the images over to *Fine-tune*, judged by a fold (0: by each in turn); those of a folder are opened."""
        if self.plan is None:
            raise InputError("The groups were changed since; press “Show the split” again.")
        used = sorted({i for part in self.plan.folds for i in (*part.train, *part.val)})
        new = [i for i in used if self.entries[i].image is None]
        if len(new) > MOST_OPENED:
            raise InputError(
                f"{len(new)} images are too many layers for a viewer; train on them with 'napari-anneal cross-validate "
                f"{self.folder.text()}', which reads the folder."
            )
        pairs = [opened(self.viewer, self.entries[i], self.group(i), place_in(self.plan, i)) for i in used]
        set_up_finetune(self.viewer, pairs, number)
        which = f"fold {number} judges" if number else "each fold judges in turn"
        self.bar.say(f"Fine-tune has these {len(pairs)} images, and {which}.", "good")
