"""The demo's report: one HTML page with the table, the pictures and the curves, and the labels as files beside it."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import numpy as np

from napari_anneal.demo.overlay import overlay, side_by_side
from napari_anneal.demo.stack import StackResult
from napari_anneal.demo.superalloy import HELD_OUT, Comparison
from napari_anneal.models.card import software_versions

__all__ = ["write_report"]

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse } td, th { padding: .3rem .9rem; border-bottom: 1px solid #ddd; text-align: right }
td:first-child, th:first-child { text-align: left } tr.ours { font-weight: 600 }
img { max-width: 100%; image-rendering: auto } figure { margin: 1rem 0 } figcaption { color: #555; font-size: 13px }
.key span { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 1em; border-radius: 2px }
small { color: #555 }
"""


def write_report(out: Path, comparison: Comparison, stack: StackResult) -> Path:
    """Write ``report.html``, ``overlays/*.png`` and ``labels/*.tif``; return the page's path."""
    figures = _specimens(out, comparison) + _slices(out, stack)
    rows = "".join(_row(name, report, number == 0) for number, (name, report) in enumerate(comparison.reports.items()))
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in comparison.run.model.classes)
    versions = ", ".join(f"{name} {version}" for name, version in software_versions().items())
    page = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>napari-anneal demo</title><style>{STYLE}</style>
<h1>napari-anneal demo</h1>
<p>Strokes on {comparison.painted_share:.1%} of the pixels of {len(comparison.plan.folds[0].train)} SEM images of a
nickel superalloy (drawn inside the hand labels by a seeded program that imitates a person painting); scored against
the full hand labels of {len(comparison.held_out)} images of specimens {", ".join(HELD_OUT)}, which nothing was
trained, stopped or tuned on. One split: another one may differ by 5–10 points.</p>
<table><tr><th>Dice / IoU (mean ± std of Dice over images)</th>{heads}</tr>{rows}</table>
{_curve(comparison)}
{_key(comparison.run.model.classes, comparison.run.model.colours)}
{"".join(figures)}
<p><small>{html.escape(" ".join(comparison.run.notices))} {html.escape(versions)}</small></p></html>
"""
    path = out / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _row(name: str, report: Any, ours: bool) -> str:
    cells = "".join(
        f"<td>{d:.3f} / {i:.3f} <small>± {s:.3f}</small></td>"
        for d, i, s in zip(report.mean("dice"), report.mean("iou"), report.std("dice"), strict=True)
    )
    return f"<tr{' class=ours' if ours else ''}><td>{html.escape(name)}</td>{cells}</tr>"


def _specimens(out: Path, comparison: Comparison) -> list[str]:
    """One row of pictures a held-out image, worst first; the labels as TIFF."""
    import tifffile

    model, strongest = comparison.run.model, list(comparison.controls.values())[-1]
    (out / "labels").mkdir(exist_ok=True)
    scores = {image.name: float(np.nanmean(image.scores.dice)) for image in comparison.reports["fine-tuned"].images}
    figures = []
    for sample in sorted(comparison.held_out, key=lambda s: scores[s.name]):
        ours = model.segment(sample.image, axes=sample.axes).labels
        tifffile.imwrite(out / "labels" / f"{sample.name}.tif", ours, compression="zlib")
        image = np.asarray(sample.image)
        control = strongest.segment(sample.image, axes=sample.axes).labels
        maps = (None, np.asarray(sample.labels), ours, control)
        side_by_side([overlay(image, m, model.colours) for m in maps], out / "overlays" / f"{sample.name}.png")
        score = f"{sample.name} ({sample.group}), mean Dice {scores[sample.name]:.3f}"
        caption = f"{score}: image, hand labels, fine-tuned, classical"
        figures.append(_figure(f"overlays/{sample.name}.png", caption))
    return figures


def _slices(out: Path, stack: StackResult) -> list[str]:
    """Slices of the stack: the painted ones with their strokes, and some that nobody painted."""
    colours, depth = stack.run.model.colours, stack.sample.spatial_shape[0]
    figures = []
    for z in sorted({*stack.painted_slices, depth // 8, depth // 2, depth - depth // 8}):
        image, strokes = np.asarray(stack.sample.image[z]), np.asarray(stack.sample.labels[z])
        maps = (None, strokes, np.asarray(stack.segmentation.labels[z]))
        pictures = [np.kron(overlay(image, m, colours), np.ones((2, 2, 1), np.uint8)) for m in maps]
        side_by_side(pictures, out / "overlays" / f"cement_{z:03d}.png")
        painted = "painted" if strokes.any() else "never painted"
        figures.append(_figure(f"overlays/cement_{z:03d}.png", _caption(z, painted)))
    return [_key(stack.run.model.classes, colours), *figures]


def _caption(z: int, painted: str) -> str:
    return f"cement CT, slice {z} ({painted}): image, strokes, labels"


def _figure(source: str, caption: str) -> str:
    text = html.escape(caption)
    return f'<figure><img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def _key(classes: tuple[str, ...], colours: tuple[str, ...]) -> str:
    items = (f'<span style="background:{c}"></span>{html.escape(n)}' for n, c in zip(classes, colours, strict=True))
    return f'<p class="key">{"".join(items)}</p>'


def _curve(comparison: Comparison) -> str:
    """Validation loss of the two trainings, as inline SVG."""
    runs = {"fine-tuned": (comparison.run, "#0072b2"), "from scratch": (comparison.scratch, "#d55e00")}
    top = max(row["val_loss"] for run, _ in runs.values() for row in run.history)
    last = max(len(run.history) for run, _ in runs.values())
    lines = []
    for number, (name, (run, colour)) in enumerate(runs.items()):
        points = " ".join(
            f"{40 + 400 * (row['epoch'] - 1) / max(1, last - 1):.1f},{150 - 140 * row['val_loss'] / top:.1f}"
            for row in run.history
        )
        lines.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines.append(f'<text x="330" y="{20 + 16 * number}" fill="{colour}" font-size="12">{name}</text>')
    axis = '<path d="M40 10V150H440" fill="none" stroke="#888"/><text x="40" y="168" font-size="11">epoch 1</text>'
    end = f'<text x="410" y="168" font-size="11">{last}</text><text x="4" y="14" font-size="11">{top:.2f}</text>'
    frame = '<svg viewBox="0 0 460 175" width="460" role="img" aria-label="validation loss">'
    return f"{frame}{axis}{end}{''.join(lines)}</svg>"
