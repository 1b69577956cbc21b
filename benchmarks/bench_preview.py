"""How long *Augmentation preview* takes for nine cells of 256², from an edit to the layers, and what it is spent on.

Run ``python benchmarks/bench_preview.py`` (``xvfb-run -a`` before it without a display): a real viewer with an image of
1024² and its paint, edits of one slider, and for each the time from the edit to the moment when the layers hold the new
grid. Beside it, in the same run: the bare pipeline of albumentations on the same pairs, the drawing without the viewer,
and how long the viewer stood still while a slider was dragged.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_anneal.augmentation import Augmenter
from napari_anneal.widgets._augmented_grid import GridOrder
from napari_anneal.widgets.augmentation import AugmentationWidget

TARGET_MS, SIDE, COLUMNS = 200, 256, 3


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--edits", type=int, default=25)
    edits = parser.parse_args().edits
    rng = np.random.default_rng(0)
    viewer = napari.Viewer(show=True)
    viewer.add_image(rng.integers(0, 255, (1024, 1024), dtype=np.uint8), name="sem")
    labels = viewer.add_labels(rng.integers(0, 3, (1024, 1024), dtype=np.uint8), name="paint")
    form = AugmentationWidget(viewer)
    viewer.window.add_dock_widget(form)
    form.side.setValue(SIDE)
    form.columns.setValue(COLUMNS)
    form.labels.choose(labels)
    wait(form)
    form.bar.start.click()
    wait(form)
    cold = timed(lambda: (form.bar.start.click(), wait(form)), 5)
    slider = form.transforms.rows["gaussian_noise"].strengths["gaussian_noise_std"]
    values = iter(np.linspace(0.02, 0.2, 4 * edits))
    edited = timed(lambda: (slider.setValue((0.01, float(next(values)))), wait(form)), edits)
    everything = dict.fromkeys(form.transforms.rows, 1.0)
    result = {
        "cells": f"{COLUMNS**2} of {SIDE} px",
        "target_ms": TARGET_MS,
        "edit_to_layers_ms": spread(edited),
        "preview_pressed_ms": spread(cold),
        **parts(form, edits),
        "viewer_stands_still_ms": standing_still(form, slider),
    }
    form.transforms.set_values(everything)
    wait(form)
    result["every_transform_in_every_cell_ms"] = spread(
        timed(lambda: (slider.setValue((0.01, float(next(values)))), wait(form)), 7)
    )
    print(json.dumps(result))
    viewer.close()


def wait(form: Any) -> None:
    """Let the viewer go on until everything that was asked for is in the layers."""
    while not form.drawing.idle:
        QApplication.processEvents()
        time.sleep(0.0005)


def timed(action: Callable[[], Any], count: int) -> list[float]:
    """Milliseconds of every call."""
    found = []
    for _ in range(count):
        begin = time.perf_counter()
        action()
        found.append(1000 * (time.perf_counter() - begin))
    return found


def spread(times: list[float]) -> dict[str, float]:
    """Median and worst."""
    return {"median": round(statistics.median(times), 1), "worst": round(max(times), 1)}


def parts(form: Any, count: int) -> dict[str, Any]:
    """The bare pipeline and the whole drawing on the worker's thread, on the same pairs."""
    recipe = form.recipe_now()
    _, place, tiles, columns = form._order()
    cell = place.cut()
    pipeline = Augmenter(recipe)
    pipeline(cell.image, cell.labels, 0)
    composed = pipeline._pipeline(cell.image.shape[1:], False)
    image, mask = np.ascontiguousarray(np.moveaxis(cell.image, 0, -1)), cell.labels.astype(np.uint8)

    def bare() -> None:
        for tile in tiles[1:]:
            composed.set_random_state(np.random.default_rng(tile.seed), random.Random(tile.seed))
            composed(image=image, mask=mask)

    def drawing() -> None:
        GridOrder(cell, tiles, columns).carry_out(lambda event: None, threading.Event())

    in_turn = [(timed(bare, 1)[0], timed(drawing, 1)[0]) for _ in range(count)]
    alone, drawn = (statistics.median(column) for column in zip(*in_turn, strict=True))
    return {"albumentations_alone_ms": round(alone, 1), "drawing_ms": round(drawn, 1)}


def standing_still(form: Any, slider: Any) -> dict[str, float]:
    """The longest time between two beats of a timer of 5 ms while a slider is dragged for three seconds."""
    beats: list[float] = []
    timer = QTimer()
    timer.timeout.connect(lambda: beats.append(time.perf_counter()))
    timer.start(5)
    shown: list[float] = []
    form.drawing.shown.connect(lambda grid, seconds: shown.append(seconds))
    begin = time.perf_counter()
    while time.perf_counter() - begin < 3:
        slider.setValue((0.01, 0.02 + 0.18 * ((time.perf_counter() - begin) % 1)))
        for _ in range(8):
            QApplication.processEvents()
            time.sleep(0.002)
    timer.stop()
    wait(form)
    gaps = [1000 * (b - a) for a, b in itertools.pairwise(beats)]
    return {
        "median": round(statistics.median(gaps), 1),
        "worst": round(max(gaps), 1),
        "grids_a_second": round(len(shown) / 3, 1),
    }


if __name__ == "__main__":
    main()
    # Qt and OpenGL libraries of some systems crash while the interpreter is torn down.
    os._exit(0)
