"""The steps of a run as a curve of bounded length: loss and learning rates, thinned as the run grows."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

from napari_anneal.samples.placing import write_whole
from napari_anneal.training.events import StepDone

__all__ = ["Point", "Trace", "read_trace"]

STEPS = "steps.csv"
# More points than a plot is wide show nothing more; memory, checkpoints and files stay small however long a run is.
MOST_POINTS = 1024

Point = dict[str, Any]


class Trace:
    """Points of ``stride`` steps each: their last step, mean loss, and the rates (``lr_GROUP``) at that step.

    The stride doubles whenever there are more than 1024 points.
    """

    def __init__(self, points: list[Point] | None = None, stride: int = 1) -> None:
        self.points, self.stride = points or [], stride

    def add(self, event: StepDone) -> None:
        """Take in a step; a step that is told again (the run fell back) replaces all from there on."""
        while self.points and self.points[-1]["step"] >= event.step:
            self.points.pop()
        rates = {f"lr_{group}": rate for group, rate in event.rates.items()}
        last = self.points[-1] if self.points else None
        if last is not None and last["steps"] < self.stride and {k for k in last if k.startswith("lr_")} == set(rates):
            count = last["steps"]
            loss = (last["loss"] * count + event.loss) / (count + 1)
            last.update({"step": event.step, "steps": count + 1, "loss": loss, **rates})
        else:
            self.points.append({"step": event.step, "steps": 1, "loss": event.loss, **rates})
        if len(self.points) > MOST_POINTS:
            self._thin()

    def to_json(self) -> dict[str, Any]:
        """Return all of it for a checkpoint."""
        return {"points": self.points, "stride": self.stride}

    def restore(self, kept: dict[str, Any]) -> None:
        """Take up what ``to_json`` returned."""
        self.points, self.stride = [dict(point) for point in kept["points"]], int(kept["stride"])

    def write(self, folder: Path) -> None:
        """Write ``steps.csv``: step, loss and the rate of every group (empty: frozen).

        Raises
        ------
        OSError
            It could not be written; an earlier one is as it was.
        """
        rates = list(dict.fromkeys(key for point in self.points for key in point if key.startswith("lr_")))
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, ["step", "loss", *rates], extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows(self.points)
        write_whole(folder / STEPS, text.getvalue())

    def _thin(self) -> None:
        """Join neighbouring points of one stage in pairs."""
        self.stride *= 2
        joined: list[Point] = []
        for point in self.points:
            last = joined[-1] if joined else None
            if last is not None and last["steps"] + point["steps"] <= self.stride and last.keys() == point.keys():
                count = last["steps"] + point["steps"]
                loss = (last["loss"] * last["steps"] + point["loss"] * point["steps"]) / count
                joined[-1] = point | {"steps": count, "loss": loss}
            else:
                joined.append(dict(point))
        self.points = joined


def read_trace(folder: Path) -> list[dict[str, float]]:
    """Read ``steps.csv``: one dictionary a point, without the groups that were frozen; empty if there is none."""
    path = folder / STEPS
    if not path.is_file():
        return []
    points = []
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            try:
                points.append({key: float(value) for key, value in row.items() if key and value})
            except ValueError:  # a line cut off by a full disk
                continue
    return [point for point in points if math.isfinite(point.get("step", math.nan))]
