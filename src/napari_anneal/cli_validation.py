"""``evaluate``, ``calibrate`` and ``grain-size``: figures that mean something, from a terminal."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_anneal.cli_training import split_plan
from napari_anneal.terminal import (
    Gold,
    GroupPattern,
    Json,
    Metrics,
    Seed,
    SplitFile,
    Tolerance,
    ToleranceUm,
    Who,
    answer,
    asked_figures,
    grouped_samples,
    person,
    progress_bar,
    refuse,
)

if TYPE_CHECKING:
    from napari_anneal.inference import GoldOpening
    from napari_anneal.samples import Sample
    from napari_anneal.validation import Report

__all__ = ["calibrate", "evaluate", "grain_size"]

# Networks leave gaps in boundaries, and each makes one grain of two.
PREDICTED_GAPS_PX = 12.0

ModelName = Annotated[str, typer.Argument(help="A bundle or the name of a shipped model.")]


def evaluate(
    model: ModelName,
    folder: Annotated[Path, typer.Argument(help="Folder with images/ and labels/.")],
    groups: Annotated[list[str] | None, typer.Option(help="Only this group (repeat for more).")] = None,
    metrics: Metrics = None,
    tolerance: Tolerance = 2.0,
    tolerance_um: ToleranceUm = None,
    controls: Annotated[
        bool | None,
        typer.Option(
            "--controls/--no-controls",
            help="Classical methods beside it, fitted on the groups not evaluated (default: in a report, "
            "if any; of gold only if asked).",
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the figures of every image and class here.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.html (worst images first), report.json and report.csv.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier report in --out.")] = False,
    gold: Annotated[
        list[str] | None,
        typer.Option(help="Open this gold group (repeat): with a final, saved model; it is written to the ledger."),
    ] = None,
    who: Who = None,
    ledger: Annotated[
        Path | None, typer.Option(help="Ledger of gold openings (default: gold-ledger.jsonl in the folder).")
    ] = None,
    json_: Json = False,
) -> None:
    """Score a model on painted images: per class, per image, mean, spread, interval; or, once, on gold."""
    from napari_anneal.inference import load_model, opened_before
    from napari_anneal.samples.gold_folder import LEDGER_FILE
    from napari_anneal.validation import evaluate as score
    from napari_anneal.validation.evaluation_page import write_evaluation

    book = ledger or folder / LEDGER_FILE
    painted = _painted(folder)
    figures: dict[str, Any] = {
        "metrics": asked_figures(metrics),
        "tolerance": tolerance,
        "tolerance_um": tolerance_um,
    }
    if gold:
        if groups:
            refuse("--gold scores the gold groups alone; leave out --groups.")
        figures |= {"out": out, "overwrite": overwrite}
        opening = _open(model, folder, painted, gold, person(who), book, controls, figures)
        found, text = opening.report.to_dict() | {"opening": opening.number}, opening.report.table()
        print(opening.sentence, file=sys.stderr)
        _hand_out(opening.report, found, text, csv, opening.page, json_)
        return
    free = [sample for sample in _not_gold(painted) if not sample.copy_of]
    chosen = [s for s in free if not groups or s.group in groups]
    if not chosen:
        refuse(f"no labelled images{' of these groups' if groups else ''} were found in {folder}; check its labels.")
    others = _to_fit_on([s for s in free if not any(s is one for one in chosen)], controls, out)
    if controls and not others:
        refuse("--controls needs images to fit the classical methods on; name the groups to evaluate with --groups.")
    loaded = load_model(model)
    mark = opened_before(chosen, book, model)
    with progress_bar("evaluating") as advance:
        report = score(loaded, chosen, **figures, controls_from=others, progress=advance)
    report = replace(report, mark=mark or report.mark)
    page = None
    if out is not None:
        about = {"Model": model, "Images": str(folder), **{f"with {k}": v for k, v in loaded.card.versions.items()}}
        title = f"Evaluation of {loaded.card.name or Path(model).name}"
        page = write_evaluation(
            report, loaded, chosen, out, colours=loaded.colours, title=title, about=about, overwrite=overwrite
        )
    _hand_out(report, report.to_dict(), report.table(), csv, page, json_)


def _open(
    model: str,
    folder: Path,
    samples: list[Sample],
    gold: list[str],
    who: str,
    ledger: Path,
    controls: bool | None,
    figures: dict[str, Any],
) -> GoldOpening:
    """Open gold deliberately; classical controls are fitted on what is not gold."""
    from napari_anneal.inference import open_gold
    from napari_anneal.samples import is_locked
    from napari_anneal.samples.gold_folder import refuse_changed
    from napari_anneal.validation import SplitPlan, SplitReport
    from napari_anneal.validation.splits import check_gold

    names = check_gold(gold, samples)
    chosen = tuple(i for i, sample in enumerate(samples) if sample.group.strip() in names)
    refuse_changed(folder, [samples[i] for i in chosen])
    others = [s for i, s in enumerate(samples) if i not in chosen and not is_locked(s)] if controls else None
    if others is not None and not others:
        refuse("--controls needs images to fit the classical methods on, and there are none but gold.")
    plan = SplitPlan((), chosen, SplitReport((), (), names, (), ()))
    with progress_bar("opening gold") as advance:
        return open_gold(
            model, samples, plan, who=who, ledger=ledger, controls_from=others, progress=advance, **figures
        )


def _hand_out(
    report: Report, found: dict[str, Any], text: str, csv: Path | None, page: Path | None, as_json: bool
) -> None:
    """The figures as files, and as the answer."""
    if csv is not None:
        _write(csv, report.to_csv())
    if page is not None:
        found, text = {**found, "report": str(page)}, f"{text}\n\nreport in {page}"
    answer(as_json, found, text)


def _to_fit_on(others: list[Sample], controls: bool | None, out: Path | None) -> list[Sample] | None:
    """Samples for classical methods: as asked for, and in a report wherever two classes are painted on others."""
    if controls is None:
        painted = (int(part.labels.max()) for sample in others for part in sample.painted_slices())
        controls = out is not None and max(painted, default=0) >= 2
    return others if controls else None


def _not_gold(samples: list[Sample]) -> list[Sample]:
    """The samples that are not locked; which ones are is said."""
    from napari_anneal.samples import is_locked

    closed = [sample.name for sample in samples if is_locked(sample)]
    if closed:
        shown = ", ".join(closed[:5]) + (f" and {len(closed) - 5} more" if len(closed) > 5 else "")
        print(f"left out, because it is gold: {shown}; --gold opens it.", file=sys.stderr)
    return [sample for sample in samples if not is_locked(sample)]


def calibrate(
    model: ModelName,
    folder: Annotated[Path, typer.Argument(help="Folder with images/, labels/ and groups.csv.")],
    out: Annotated[Path, typer.Option(help="Where the calibrated bundle goes.")],
    folds: Annotated[int, typer.Option(min=2, help="The split the model was trained with: its number of folds …")] = 5,
    fold: Annotated[int, typer.Option(min=1, help="… and the fold it was trained on.")] = 1,
    gold: Gold = None,
    split: SplitFile = None,
    group_pattern: GroupPattern = None,
    seed: Seed = 0,
    json_: Json = False,
) -> None:
    """Fit a temperature on the validation images of the model's fold, so that its probabilities mean what they say."""
    from napari_anneal.inference import load_model
    from napari_anneal.validation import calibrate as fit

    samples = grouped_samples(folder, group_pattern)
    plan = split_plan(samples, split, folds, gold, seed)
    loaded = load_model(model)
    with progress_bar("calibrating") as advance:
        found = fit(loaded, samples, plan, fold - 1, progress=advance)
    calibrated = loaded.calibrated(found.temperature, found.figures)
    path = calibrated.save(out)
    result = {**found.to_dict(), "model": str(path), "temperature": calibrated.card.temperature}
    answer(json_, result, f"{found}\ncalibrated model written to {path}")


def grain_size(
    files: Annotated[list[Path], typer.Argument(help="Label maps of one material (or images, with --model).")],
    spacing_um: Annotated[
        float | None, typer.Option("--spacing-um", help="Size of a pixel, µm (default: from the file, if it says).")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Segment the images with this model first.")] = None,
    boundary: Annotated[
        str, typer.Option(help="The boundary class: its number, with --model its name; none: a number a grain; auto.")
    ] = "auto",
    zero: Annotated[str, typer.Option(help="What 0 is: boundary or ignore.")] = "boundary",
    ignore: Annotated[
        list[Path] | None, typer.Option(help="Mask, not 0 where there is no micrograph (scale bar); one a file.")
    ] = None,
    circles: Annotated[bool, typer.Option("--circles", help="Abrams' three circles in place of lines (2D).")] = False,
    close_gaps: Annotated[
        float | None,
        typer.Option(min=0, help="Bridge gaps in boundaries up to this wide, pixels (default: 0; with --model 12)."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write a report here (name.html), its figures and grains beside it (.json, .csv)."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier report.")] = False,
    json_: Json = False,
) -> None:
    """Measure grain size after ASTM E112: mean intercept, count of grains, G with its 95 % interval, anisotropy."""
    import numpy as np

    from napari_anneal.samples.reading import read_image
    from napari_anneal.validation import grain_size as measure
    from napari_anneal.validation.grains import write_grain_size

    maps: list[Any] = []
    spacings: list[Any] = []
    line: Any = {"auto": "auto", "none": None}.get(boundary, boundary)
    if model is not None:
        maps, spacings, line = _segmented(model, files, line)
    else:
        for file in files:
            labels, axes, spacing = read_image(file, as_labels=True)
            if "C" in axes:
                refuse(f"{file} is a colour image, not a label map; give labels, or a model with --model.")
            maps.append(np.asarray(labels))
            spacings.append(spacing)
    if isinstance(line, str) and line != "auto":
        if not line.isdigit():
            refuse(f"--boundary {boundary} is no class of these labels; give its number, none or auto.")
        line = int(line)
    size = measure(
        maps,
        spacings[0] if spacing_um is None else spacing_um,
        boundary=line,
        zero=zero,  # type: ignore[arg-type]
        ignore=[np.asarray(read_image(mask, as_labels=True)[0]) != 0 for mask in ignore] if ignore else None,
        test_lines="circles" if circles else "lines",
        close_gaps=(0.0 if model is None else PREDICTED_GAPS_PX) if close_gaps is None else close_gaps,
    )
    if spacing_um is None:
        if any(spacing != spacings[0] for spacing in spacings):
            refuse("these files have different pixel sizes; measure them apart, or give one with --spacing-um.")
        if spacings[0] is None:
            print("no pixel size is known, so there is no G and nothing in µm; give --spacing-um.", file=sys.stderr)
    found, text = size.to_dict(), str(size)
    if out is not None:
        about = {"Measured": ", ".join(map(str, files)), **({"Model": model} if model is not None else {})}
        page = write_grain_size(size, out, title=f"Grain size of {files[0].name}", about=about, overwrite=overwrite)
        found, text = {**found, "report": str(page)}, f"{text}\nreport in {page}"
    answer(json_, found, text)


def _segmented(model: str, files: list[Path], line: Any) -> tuple[list[Any], list[Any], Any]:
    """Labels and spacings of images, and the number of the boundary class."""
    import numpy as np

    from napari_anneal.inference import load_model

    loaded = load_model(model)
    names = [name.lower() for name in loaded.classes]
    wanted = next((n for n in names if "boundar" in n), None) if line == "auto" else line
    if isinstance(wanted, str) and wanted.lower() in names:
        line = names.index(wanted.lower()) + 1
    elif line == "auto":
        line = 0
    with progress_bar("segmenting") as advance:
        results = []
        for done, file in enumerate(files, start=1):
            results.append(loaded.segment(file, probabilities=False))
            advance(done, len(files))
    return [np.asarray(result.labels) for result in results], [result.spacing for result in results], line


def _painted(folder: Path) -> list[Sample]:
    from napari_anneal.samples import read_samples

    return [sample for sample in read_samples(folder) if sample.labels is not None]


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        refuse(f"{path} cannot be written ({error.strerror}); choose another name with --csv.")
