"""The demo's report: one HTML page with the table, the pictures and the curves, and the labels as files beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from napari_anneal.demo.stack import StackResult
from napari_anneal.demo.superalloy import HELD_OUT, Comparison
from napari_anneal.models.card import software_versions
from napari_anneal.pages import Curve, chart, overlay, render, shown, side_by_side, swatches

__all__ = ["write_report"]

Figures = list[tuple[str, str]]


def write_report(out: Path, comparison: Comparison, stack: StackResult) -> Path:
    """Write ``report.html``, ``overlays/*.png`` and ``labels/*.tif``; return the page's path."""
    model, stack_model = comparison.run.model, stack.run.model
    parts = (
        ("Specimens never seen, worst first", swatches(model.classes, model.colours), _specimens(out, comparison)),
        ("A CT stack", swatches(stack_model.classes, stack_model.colours), _slices(out, stack)),
    )
    page = render(
        "demo/report.html.jinja",
        title="napari-anneal demo",
        painted_share=comparison.painted_share,
        trained=len(comparison.plan.folds[0].train),
        held_out=len(comparison.held_out),
        groups=HELD_OUT,
        classes=model.classes,
        rows=[(name, _cells(report)) for name, report in comparison.reports.items()],
        curve=_curve(comparison),
        parts=parts,
        notices=comparison.run.notices,
        versions=", ".join(f"{name} {version}" for name, version in software_versions().items()),
    )
    path = out / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _cells(report: Any) -> list[tuple[float, float, float]]:
    """Dice, IoU and the spread of Dice of each class."""
    return list(zip(report.mean("dice"), report.mean("iou"), report.std("dice"), strict=True))


def _specimens(out: Path, comparison: Comparison) -> Figures:
    """One row of pictures a held-out image, worst first; the labels as TIFF."""
    import tifffile

    model, strongest = comparison.run.model, list(comparison.controls.values())[-1]
    (out / "labels").mkdir(exist_ok=True)
    scores = {image.name: float(np.nanmean(image.scores.dice)) for image in comparison.reports["fine-tuned"].images}
    figures = []
    for sample in sorted(comparison.held_out, key=lambda s: scores[s.name]):
        ours = model.segment(sample.image, axes=sample.axes).labels
        tifffile.imwrite(out / "labels" / f"{sample.name}.tif", ours, compression="zlib")
        image = shown(np.asarray(sample.image))
        control = strongest.segment(sample.image, axes=sample.axes).labels
        maps = (None, np.asarray(sample.labels), ours, control)
        side_by_side([overlay(image, m, model.colours) for m in maps], out / "overlays" / f"{sample.name}.png")
        score = f"{sample.name} ({sample.group}), mean Dice {scores[sample.name]:.3f}"
        figures.append((f"overlays/{sample.name}.png", f"{score}: image, hand labels, fine-tuned, classical"))
    return figures


def _slices(out: Path, stack: StackResult) -> Figures:
    """Slices of the stack: the painted ones with their strokes, and some that nobody painted."""
    colours, depth = stack.run.model.colours, stack.sample.spatial_shape[0]
    figures = []
    for z in sorted({*stack.painted_slices, depth // 8, depth // 2, depth - depth // 8}):
        image, strokes = shown(np.asarray(stack.sample.image[z])), np.asarray(stack.sample.labels[z])
        maps = (None, strokes, np.asarray(stack.segmentation.labels[z]))
        pictures = [np.kron(overlay(image, m, colours), np.ones((2, 2, 1), np.uint8)) for m in maps]
        side_by_side(pictures, out / "overlays" / f"cement_{z:03d}.png")
        painted = "painted" if strokes.any() else "never painted"
        figures.append((f"overlays/cement_{z:03d}.png", f"cement CT, slice {z} ({painted}): image, strokes, labels"))
    return figures


def _curve(comparison: Comparison) -> Markup:
    """Validation loss of the two trainings."""
    runs = (("fine-tuned", comparison.run, "#0072b2"), ("from scratch", comparison.scratch, "#d55e00"))
    curves = [
        Curve(name, [(row["epoch"], row["val_loss"]) for row in run.history], colour, dots=True)
        for name, run, colour in runs
    ]
    return chart(curves, title="Validation loss", x_label="epoch")
