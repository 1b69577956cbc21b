"""``train`` and ``cross-validate``: fine-tuning from a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_anneal.cli_runs import order_from_file, typed
from napari_anneal.launching import is_first
from napari_anneal.terminal import (
    Classes,
    Device,
    Devices,
    Gold,
    GroupPattern,
    Json,
    Metrics,
    Nodes,
    Seed,
    SplitFile,
    Tolerance,
    ToleranceUm,
    answer,
    asked_figures,
    grouped_samples,
    known,
    name_list,
    progress_bar,
    refuse,
    remark,
    reporter,
    shared_by,
)

if TYPE_CHECKING:
    from napari_anneal.augmentation import AugmentationRecipe
    from napari_anneal.samples import Sample
    from napari_anneal.training import FineTuneRecipe
    from napari_anneal.training.events import Event
    from napari_anneal.validation import SplitPlan

__all__ = ["cross_validate", "fold_plan", "recipe_of_options", "split_plan", "train"]

Folder = Annotated[Path, typer.Argument(help="Folder with images/, labels/ (0 = not painted) and groups.csv.")]
Start = Annotated[str, typer.Option(help="scratch, imagenet, a shipped model, a bundle or a weights file.")]
PresetName = Annotated[
    str,
    typer.Option(
        help="canonical, full, feature_extraction, linear_probe, gradual, gradual_canonical or scratch; auto: by the "
        "number of labelled images."
    ),
]
Optimizer = Annotated[
    str, typer.Option(help="adamw, adam, sgd or lion, in place of AdamW; Lion's rates are divided by 5.")
]
Epochs = Annotated[int, typer.Option(min=1, help="Epochs over all stages.")]
Patch = Annotated[int, typer.Option(help="Side of a training patch, pixels.")]
Batch = Annotated[int, typer.Option(min=1, help="Patches a step.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Optimizer steps an epoch (default: by painted area).")]
Precision = Annotated[str, typer.Option(help="auto, float32, bfloat16, or float16 with a gradient scaler (GPUs).")]
Ema = Annotated[
    float | None, typer.Option(help="Validate and keep a moving average of the weights with this decay, such as 0.999.")
]
Compile = Annotated[bool, typer.Option("--compile", help="Compile the network first: minutes, then faster steps.")]
Encoder = Annotated[str, typer.Option(help="timm encoder for scratch and ImageNet.")]
SampleIs = Annotated[
    list[str] | None,
    typer.Option(
        "--sample",
        help="What the sample is, so that no impossible image is made: isotropic, rolled, drawn, "
        "columnar, shadowed, orientation_map, chiral, polarised, tint_plate or vortex; and directed_classes or "
        "sized_classes where the labels say a direction or a size (repeat for more).",
    ),
]
Direction = Annotated[
    float, typer.Option(min=-360, max=360, help="Rolling or growth direction, degrees anticlockwise from right.")
]
Light = Annotated[
    float, typer.Option(min=-360, max=360, help="Where the detector of a shadowed image stands, the same way.")
]
Folds = Annotated[int, typer.Option(min=2, help="Split into this many folds …")]
Fold = Annotated[int | None, typer.Option(min=1, help="… and train this one (default: hold a fifth out).")]
Controls = Annotated[
    bool, typer.Option("--controls", help="Train from scratch and with a frozen backbone beside it, and compare.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with what was interrupted in --out; give the options it began with.")
]


def train(
    context: typer.Context,
    folder: Folder,
    out: Annotated[Path, typer.Option(help="Folder to create for the model and its history.")] = Path("runs/a"),
    start: Start = "voronoi",
    preset: PresetName = "canonical",
    optimizer: Optimizer = "adamw",
    epochs: Epochs = 30,
    patch: Patch = 256,
    batch: Batch = 8,
    steps: Steps = None,
    classes: Classes = "",
    encoder: Encoder = "resnet34",
    precision: Precision = "auto",
    ema: Ema = None,
    compile_: Compile = False,
    sample: SampleIs = None,
    direction: Direction = 90.0,
    light: Light = 90.0,
    folds: Folds = 5,
    fold: Fold = None,
    gold: Gold = None,
    split: SplitFile = None,
    group_pattern: GroupPattern = None,
    seed: Seed = 0,
    device: Device = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    recipe_file: Annotated[
        Path | None,
        typer.Option("--recipe", help="A recipe.json; that of a run, or its folder, brings its start and split along."),
    ] = None,
    controls: Controls = False,
    resume: Resume = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan of the run and stop.")] = False,
    sweep: Annotated[
        bool, typer.Option("--find-rate", help="Try learning rates on a network that is thrown away, and stop.")
    ] = False,
    head_rate: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Peak learning rate of the head; the other groups keep their ratio to it."),
    ] = None,
    json_: Json = False,
) -> None:
    """Fine-tune on painted images and write a model bundle."""
    from napari_anneal.training import ControlledRun, find_rate, fine_tune, fine_tune_with_controls, with_head_rate
    from napari_anneal.training.plan import plan_run
    from napari_anneal.training.runs import start_named

    one_device(controls, devices, nodes)
    if not (dry_run or sweep):
        shared_by(devices, nodes)
    samples = grouped_samples(folder, group_pattern, gold)
    plan = fold_plan(samples, folds, fold, gold, seed, split)
    begin = start_named(start)
    if recipe_file is not None:
        order = order_from_file(recipe_file, samples, {n: v for n, v in context.params.items() if typed(context, n)})
        recipe, begin = order.recipe, order.start
        plan = order.plan if plan is None else plan
    else:
        recipe = recipe_of_options(context.params, samples)
    if head_rate is not None:
        recipe = with_head_rate(recipe, head_rate)
    if sweep:
        with progress_bar("trying learning rates") as advance:
            curve = find_rate(samples, plan, recipe, begin, progress=advance)
        how = "" if curve.suggestion is None else f"\nTake it over with --head-rate {curve.suggestion:.1e}."
        answer(json_, asdict(curve) | {"sentence": curve.sentence}, curve.sentence + how)
        return
    if dry_run:
        planned = plan_run(samples, plan, recipe, begin, measure=True)
        answer(json_, planned.to_dict(), str(planned))
        return
    with progress_bar("training") as advance:
        train_it = fine_tune_with_controls if controls else fine_tune
        done = train_it(samples, plan, recipe, begin, out, on_event=reporter(advance), resume=resume)
    compared = done if isinstance(done, ControlledRun) else None
    run = done.run if isinstance(done, ControlledRun) else done
    if not is_first():
        return
    for text in run.notices:
        remark(text)
    if run.out is None:
        refuse("the model could not be written.")
    best = {k: v for k, v in run.best.items() if k != "best"}
    found = {"model": str(run.out / "model"), "reason": run.reason, "best": best, "classes": list(run.model.classes)}
    text = (
        f"{run.reason}; best epoch {best.get('epoch')}, validation loss {best.get('val_loss', float('nan')):.4f}; "
        f"model in {run.out / 'model'}"
    )
    if compared is not None:
        found["controls"] = compared.to_dict()
        text = f"{compared.table()}\n{text}"
    answer(json_, found, text)


def cross_validate(
    context: typer.Context,
    folder: Folder,
    out: Annotated[Path | None, typer.Option(help="Folder to create for one run a fold (default: no files).")] = None,
    start: Start = "voronoi",
    preset: PresetName = "canonical",
    optimizer: Optimizer = "adamw",
    epochs: Epochs = 30,
    patch: Patch = 256,
    batch: Batch = 8,
    steps: Steps = None,
    classes: Classes = "",
    encoder: Encoder = "resnet34",
    precision: Precision = "auto",
    ema: Ema = None,
    compile_: Compile = False,
    sample: SampleIs = None,
    direction: Direction = 90.0,
    light: Light = 90.0,
    folds: Annotated[int, typer.Option(min=2, help="Number of folds; groups never end up on both sides.")] = 5,
    gold: Gold = None,
    split: SplitFile = None,
    group_pattern: GroupPattern = None,
    seed: Seed = 0,
    repeat: Annotated[
        int, typer.Option(min=1, help="Run every fold this many times, with the seeds --seed, --seed + 1, …")
    ] = 1,
    metrics: Metrics = None,
    tolerance: Tolerance = 2.0,
    tolerance_um: ToleranceUm = None,
    controls: Controls = False,
    device: Device = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    json_: Json = False,
) -> None:
    """Fine-tune once a fold and score every model on groups it never saw: mean and spread over folds and seeds."""
    from napari_anneal.training import cross_validate as run_folds
    from napari_anneal.training.runs import start_named

    one_device(controls, devices, nodes)
    shared_by(devices, nodes)
    samples = grouped_samples(folder, group_pattern, gold)
    recipe = recipe_of_options(context.params, samples)
    plan = split_plan(samples, split, folds, gold, seed)
    with progress_bar("cross-validating") as advance:

        def tell(run: int, event: Event) -> None:
            reporter(lambda step, total: advance((run - 1) * total + step, repeat * len(plan.folds) * total))(event)

        seeds = range(seed, seed + repeat)
        done = run_folds(
            samples, plan, recipe, start_named(start), out, on_event=tell, seeds=seeds, controls=controls,
            metrics=asked_figures(metrics), tolerance=tolerance, tolerance_um=tolerance_um,
        )  # fmt: skip
    if is_first():
        answer(json_, done.to_dict(), done.table())


def one_device(controls: bool, devices: int, nodes: int) -> None:
    """Refuse controls on several devices."""
    if controls and devices * nodes > 1:
        refuse("--controls trains on one device; leave out --devices and --nodes, or --controls.")


def split_plan(
    samples: Sequence[Sample], file: Path | None, folds: int, gold: list[str] | None, seed: int
) -> SplitPlan:
    """The split of a file, or one by groups; what it warns of is said."""
    from napari_anneal.validation import group_split, read_plan

    if file is not None and gold:
        refuse("--split and --gold contradict each other; the file says what is gold.")
    plan = group_split(samples, folds, tuple(gold or ()), seed) if file is None else read_plan(file, samples)
    for text in plan.report.warnings:
        remark(text)
    return plan


def fold_plan(
    samples: Sequence[Sample],
    folds: int,
    fold: int | None,
    gold: list[str] | None,
    seed: int,
    file: Path | None = None,
) -> SplitPlan | None:
    """The plan with one fold, or ``None`` where neither a fold nor a file was asked for; gold is locked already."""
    from napari_anneal.validation import SplitPlan
    from napari_anneal.validation.splits import check_gold

    if fold is None and file is None:
        check_gold(gold or (), samples)
        return None
    whole = split_plan(samples, file, folds, gold, seed)
    if (fold or 1) > len(whole.folds):
        refuse(f"there is no fold {fold}; the split has {len(whole.folds)}.")
    return SplitPlan((whole.folds[(fold or 1) - 1],), whole.gold, whole.report)


def legal_augmentation(kinds: list[str] | None, direction: float, light: float) -> AugmentationRecipe:
    """The default augmentation without what the sample forbids, which is said."""
    from napari_anneal.augmentation import AugmentationRecipe

    recipe = AugmentationRecipe.for_sample(kinds or "isotropic", direction_deg=direction, light_deg=light)
    by_reason: dict[str, list[str]] = {}
    for name, reason in recipe.switched_off.items():
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        remark(f"augmentation without {', '.join(names)}: {reason}.")
    return recipe


# Options of a command by the fields of the recipe that they set.
RECIPE_OPTIONS = {
    "optimizer": "optimizer", "epochs": "epochs", "patch": "patch", "batch_size": "batch", "steps_per_epoch": "steps",
    "encoder": "encoder", "seed": "seed", "device": "device", "precision": "precision", "ema_decay": "ema",
    "compile": "compile_", "devices": "devices", "nodes": "nodes",
}  # fmt: skip


def recipe_of_options(options: Mapping[str, Any], samples: Sequence[Sample]) -> FineTuneRecipe:
    """Recipe of a preset, or of the one that fits the number of labelled images, which is then said.

    Parameters
    ----------
    options
        What a command was given, by parameter name; it need not have all of ``RECIPE_OPTIONS``.
    samples
        The images.
    """
    from napari_anneal.samples import is_locked
    from napari_anneal.training import PRESETS, FineTuneRecipe, recommend

    chosen = known(options["preset"], (*PRESETS, "auto"), "preset")
    known(options["optimizer"], ("adamw", "adam", "sgd", "lion"), "optimizer")
    if chosen == "auto":
        painted = sum(1 for sample in samples if not is_locked(sample) for _ in sample.painted_slices())
        chosen, why = recommend(painted, pretrained=options["start"] != "scratch")
        remark(f"preset {chosen}: {why}")
    settings = {field: options[option] for field, option in RECIPE_OPTIONS.items() if option in options}
    augmentation = legal_augmentation(options["sample"], options["direction"], options["light"])
    classes = name_list(options["classes"])
    return FineTuneRecipe.from_preset(chosen, **settings, classes=classes, augmentation=augmentation)
