"""``run_demo``: paint, fine-tune, segment unseen specimens and a CT stack, compare, write a report."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_anneal.demo.report import write_report
from napari_anneal.demo.stack import StackResult, segment_stack
from napari_anneal.demo.superalloy import HELD_OUT, START, Comparison, compare
from napari_anneal.errors import OutputError
from napari_anneal.training.events import EpochDone, Event
from napari_anneal.validation import Report

__all__ = ["DemoResult", "run_demo"]

# A folder with this file was written by the demo, so that --overwrite never deletes anything else.
MARKER = "napari-anneal-demo"


@dataclass(frozen=True, eq=False)
class DemoResult:
    """What the demo did, where it lies, and how long it took."""

    folder: Path
    comparison: Comparison
    stack: StackResult
    report: Path
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Figures and paths, ready for JSON."""
        reports = self.comparison.reports
        return {
            "folder": str(self.folder),
            "report": str(self.report),
            "model": str(self.folder / "run" / "model"),
            "seconds": round(self.seconds, 1),
            "held_out": list(HELD_OUT),
            "painted_share": self.comparison.painted_share,
            "classes": list(self.comparison.run.model.classes),
            "dice": {name: [round(float(v), 4) for v in report.mean("dice")] for name, report in reports.items()},
            "iou": {name: [round(float(v), 4) for v in report.mean("iou")] for name, report in reports.items()},
            "stack": {
                "labels": str(self.stack.segmentation.path),
                "shape": list(self.stack.segmentation.labels.shape),
                "painted_slices": self.stack.painted_slices,
            },
        }

    def summary(self) -> str:
        """Return the table of the held-out specimens, and where the files are."""
        return "\n".join(
            [
                "",
                f"Held-out specimens ({', '.join(HELD_OUT)}), Dice / IoU, mean over "
                f"{len(self.comparison.held_out)} images; {self.comparison.painted_share:.1%} of the training pixels "
                "painted:",
                table(self.comparison.reports),
                "",
                f"CT stack {tuple(self.stack.segmentation.labels.shape)} painted on slices "
                f"{', '.join(map(str, self.stack.painted_slices))}: labels in {self.stack.segmentation.path}",
                f"Model bundle: {self.folder / 'run' / 'model'}",
                f"Report: {self.report}",
                f"{self.seconds:.0f} s in all.",
            ]
        )


def run_demo(out: Path, *, overwrite: bool = False, say: Callable[[str], None] = print, seed: int = 0) -> DemoResult:
    """Run the demo.

    Parameters
    ----------
    out
        Folder to create.
    overwrite
        Replace the results of an earlier demo (a folder that something else wrote is never touched).
    say
        Told what happens, a line at a time.
    seed
        Of everything random.

    Raises
    ------
    OutputError
        The folder is in use or cannot be written.
    """
    _prepare(out, overwrite)
    began = time.monotonic()

    def on_event(name: str, event: Event) -> None:
        if isinstance(event, EpochDone):
            mark = " *" if event.best else ""
            say(f"  {name}: epoch {event.epoch}/{event.total_epochs}, validation loss {event.val_loss:.3f}{mark}")

    say(f"Fine-tuning '{START}' on strokes painted on SEM images of a superalloy, beside the same net from scratch …")
    comparison = compare(out, on_event, seed)
    say("Fine-tuning that model on two painted slices of a cement CT stack, then segmenting the whole stack …")
    stack = segment_stack(comparison.run.model, out, on_event, seed)
    report = write_report(out, comparison, stack)
    return DemoResult(out, comparison, stack, report, time.monotonic() - began)


def table(reports: dict[str, Report]) -> str:
    """One row a method: Dice / IoU of each class."""
    classes = next(iter(reports.values())).classes
    width = max(len(name) for name in reports) + 2
    lines = [" " * width + "".join(f"{name:>22}" for name in classes)]
    for name, report in reports.items():
        cells = (f"{d:.3f} / {i:.3f}" for d, i in zip(report.mean("dice"), report.mean("iou"), strict=True))
        lines.append(f"{name:<{width}}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)


def _prepare(out: Path, overwrite: bool) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        ours = out.is_dir() and (out / MARKER).is_file()
        if not (overwrite and ours):
            how = "pass --overwrite or choose another folder" if ours else "choose another folder"
            raise OutputError(f"{out} already exists; {how} with --out.")
        shutil.rmtree(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / MARKER).write_text("Written by 'napari-anneal demo'.\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"the folder {out} cannot be written ({error.strerror}); choose another with --out."
        ) from error
