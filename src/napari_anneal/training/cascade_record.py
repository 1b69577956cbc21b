"""``cascade.json``: how far a cascade has come and what was scored, for a reader and to go on from."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_anneal.errors import InputError, OutputError
from napari_anneal.inference import Model
from napari_anneal.models.lineage import weights_digest
from napari_anneal.samples.placing import remove, why_not_written
from napari_anneal.training.arrows import Arrow, Cascade, Start
from napari_anneal.training.forgetting import TaskScore
from napari_anneal.training.report_tables import CASCADE

__all__ = ["CascadeRecord"]

VERSION = 1


@dataclass
class CascadeRecord:
    """What is known of a cascade: its start, its arrows, the scores after them and those during them."""

    start: str
    names: tuple[str, ...]
    scores: list[TaskScore] = field(default_factory=list)
    during: dict[tuple[str, str, int], TaskScore] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(arrows: tuple[Arrow, ...], start: Start) -> CascadeRecord:
        """The record of a cascade that begins."""
        if start is None:
            called = "scratch"
        else:
            called = weights_digest(start.network) if isinstance(start, Model) else os.fspath(start)
        return CascadeRecord(called, tuple(arrow.name for arrow in arrows))

    def go_on(self, folder: Path) -> None:
        """Take over the scores of an interrupted cascade.

        Raises
        ------
        InputError
            There is none in this folder, or it is one of other arrows or another start.
        """
        try:
            told = json.loads((folder / CASCADE).read_text(encoding="utf-8"))
            if told["version"] > VERSION:
                raise InputError(f"the cascade in {folder} was begun by a newer napari-anneal; go on with that one.")
            names, start = tuple(told["names"]), told["start"]
            self.scores = [TaskScore.from_dict(score) for score in told["scores"]]
            during = [TaskScore.from_dict(score) for score in told["during"]]
        except OSError as error:
            raise InputError(f"there is no cascade in {folder} to go on with; start it without resuming.") from error
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{folder / CASCADE} is damaged ({error}); start in another folder.") from error
        for what, mine, theirs in (("start", self.start, start), ("arrows", self.names, names)):
            if mine != theirs:
                raise InputError(
                    f"the cascade in {folder} began with another {what} ({_text(theirs)}, not {_text(mine)}); resume "
                    "it with that, or choose another folder."
                )
        for score in during:
            self.add_during(score)

    def add_during(self, score: TaskScore) -> None:
        """Note a score from within a run; one of the same epoch (of a run that went back) is replaced."""
        self.during[score.task, score.after, score.epoch or 0] = score

    def after(self, name: str) -> list[TaskScore]:
        """The scores at the end of an arrow, as far as they are known."""
        return [score for score in self.scores if score.after == name]

    def write(self, folder: Path | None, cascade: Cascade | None = None) -> None:
        """Write the file, whole or not at all.

        Raises
        ------
        OutputError
            It cannot be written; the older one is as it was.
        """
        if folder is None:
            return
        if cascade is not None:
            self.summary = cascade.to_dict()
        scores = {"scores": [score.to_dict() for score in self.scores]}
        told = {"version": VERSION, "start": self.start, "names": list(self.names)} | self.summary | scores
        told["during"] = [score.to_dict() for score in self.during.values()]
        partial = folder / f".{CASCADE}.partial"
        try:
            with partial.open("w", encoding="utf-8") as file:
                file.write(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
            partial.replace(folder / CASCADE)
        except OSError as error:
            remove(partial)
            raise OutputError(
                f"{folder / CASCADE} cannot be written: {why_not_written(error)}; the models of the finished arrows "
                "are in their folders, and the cascade can go on from there."
            ) from error


def _text(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else ", ".join(value)
