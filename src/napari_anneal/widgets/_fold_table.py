"""What a cross-validation came to: Dice of every class, mean ± standard deviation over the folds, and fold by fold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHeaderView, QTableWidgetItem

from napari_anneal.widgets._shown_table import ShownTable

if TYPE_CHECKING:
    from napari_anneal.training import CrossValidation

__all__ = ["FoldTable"]


class FoldTable(ShownTable):
    """One row a class; hidden until there is something to show."""

    def __init__(self) -> None:
        super().__init__(
            "Dice of each class on images of groups that the model never trained on: mean ± standard deviation over "
            "the folds, then every fold. n/a: the class is not painted there."
        )
        self.setVisible(False)

    def show_result(self, done: CrossValidation) -> None:
        """Show the figures of all folds that were run."""
        folds, mean, std = done.folds(), done.mean(), done.std()
        self.clear()
        self.setRowCount(len(done.classes))
        self.setColumnCount(2 + len(done))
        self.setHorizontalHeaderLabels(["class", "Dice", *(f"fold {k}" for k in range(1, len(done) + 1))])
        for row, name in enumerate(done.classes):
            spread = f" ± {std[row]:.2f}" if std[row] == std[row] else ""
            texts = [name, _figure(mean[row]) + spread, *(_figure(value) for value in folds[:, row])]
            for column, text in enumerate(texts):
                self.setItem(row, column, QTableWidgetItem(text))
        for column, groups in enumerate(done.groups, start=2):
            self.horizontalHeaderItem(column).setToolTip(f"validated on {', '.join(groups)}")
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        height = header.sizeHint().height() + len(done.classes) * self.verticalHeader().defaultSectionSize() + 4
        self.setFixedHeight(min(200, height))
        self.setVisible(True)


def _figure(value: float) -> str:
    return f"{value:.2f}" if value == value else "n/a"
