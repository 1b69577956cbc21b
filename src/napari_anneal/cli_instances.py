"""``instances``: grains and objects one by one, and a table of them, from a terminal.

A command of its own and not an option of ``segment``: label maps of any origin can be divided, and dividing is tried
with several settings on one segmentation. With ``--model`` it segments first.
"""

from __future__ import annotations

import tempfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_anneal.terminal import Json, answer, known, progress_bar, refuse, remark

__all__ = ["instances"]

KINDS = ("boundaries", "objects")


def instances(
    image: Annotated[
        Path, typer.Argument(help="Labels, a mask or probabilities (float); with --model an image. TIFF, OME-Zarr …")
    ],
    out: Annotated[Path, typer.Argument(help="Where the instances go: .ome.zarr, .zarr, .tif or .tiff.")],
    model: Annotated[str | None, typer.Option(help="Segment the image with this model first.")] = None,
    of: Annotated[
        str | None,
        typer.Option(
            "--class", help="The boundary, or the objects: the number of the label; with --model the name of the class."
        ),
    ] = None,
    mode: Annotated[
        str, typer.Option(help="How the model sees a volume: slices, triplanar, twelve or context.")
    ] = "slices",
    kind: Annotated[
        str, typer.Option(help="boundaries (grains between them) or objects (on a ground).")
    ] = "boundaries",
    min_size: Annotated[int | None, typer.Option(min=1, help="Smallest instance, pixels.")] = None,
    min_size_um: Annotated[float | None, typer.Option(help="The same in µm² (volumes: µm³).")] = None,
    depth: Annotated[float | None, typer.Option(help="Seed depth, pixels: higher cuts less.")] = None,
    lines: Annotated[bool, typer.Option("--lines", help="Keep 0 on the boundaries between grains.")] = False,
    slices: Annotated[bool, typer.Option("--slices", help="Divide slice by slice and link the slices.")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting: field=value, e.g. split=false (repeat).")
    ] = None,
    table: Annotated[Path | None, typer.Option(help="Write size, place and shape of each: .csv or .json.")] = None,
    intensity: Annotated[
        Path | None, typer.Option(help="Image whose grey values the table tells (with --model: the image).")
    ] = None,
    spacing_um: Annotated[
        float | None, typer.Option("--spacing-um", help="Size of a pixel, µm (default: from the file, if it says).")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")] = False,
    json_: Json = False,
) -> None:
    """Divide a segmentation into grains or objects, numbered from 1, with a table of them."""
    from napari_anneal.inference.instances import InstanceRecipe, instances_to_file
    from napari_anneal.inference.output import check_place
    from napari_anneal.samples.reading import read_image
    from napari_anneal.synthesis.recipe_file import change_settings

    short = {"min_size": min_size, "min_size_um": min_size_um, "depth": depth, "lines": lines, "slices": slices}
    asked = {"kind": known(kind, KINDS, "kind")} | {name: value for name, value in short.items() if value is not None}
    recipe = InstanceRecipe(**change_settings(asked, settings or []))
    if table is not None and table.suffix.lower() not in (".csv", ".json"):
        refuse(f"--table {table} must end in .csv or .json.")
    # Before the image is segmented, which may take hours.
    check_place(out, overwrite, image)
    options: dict[str, Any] = {}
    with _scratch(out, model is not None) as scratch:
        if model is None:
            source, axes, spacing = read_image(image, as_labels=True)
            if "C" in axes:
                refuse(f"{image} is a colour image, not labels or probabilities; segment it first, with --model.")
            if of is not None:
                if not of.isdigit():
                    refuse(f"--class {of} is no label; give its number, or a model with --model.")
                options["value"] = int(of)
        else:
            source, axes, spacing, options = _segmented(model, image, mode, kind, of, Path(scratch))
        if spacing_um is not None:
            spacing = (spacing_um,) * len(axes)
        grey = intensity or (image if model is not None else None)
        if grey is not None:
            values, grey_axes, _ = read_image(grey)
            if "C" not in grey_axes:
                options["intensity"] = values
            elif intensity is not None:
                refuse(f"--intensity {grey} is a colour image; give a grey one.")
        if spacing is None:
            remark("no pixel size is known, so nothing is told in µm; give --spacing-um.")
        with progress_bar("dividing") as advance:
            options |= {"spacing": spacing, "progress": advance}
            found = instances_to_file(source, out, recipe, overwrite=overwrite, source_path=image, **options)
    assert found is not None
    result: dict[str, Any] = {"labels": str(found.path), "instances": found.count, "shape": list(found.labels.shape)}
    text = f"{found.count} instances written to {found.path}"
    if table is not None:
        result["table"] = str(found.table.write(table))
        text += f", their table to {table}"
    answer(json_, result, text)


def _scratch(out: Path, needed: bool) -> AbstractContextManager[str]:
    """A folder beside the result, which has the room that probabilities of a volume need."""
    if not needed:
        return nullcontext("")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent, ignore_cleanup_errors=True)
    except OSError as error:
        refuse(f"{out} cannot be written ({error.strerror}); check the folder and its permissions.")


def _segmented(
    model: str, image: Path, mode: str, kind: str, of: str | None, scratch: Path
) -> tuple[Any, str, tuple[float, ...] | None, dict[str, Any]]:
    """Probabilities of the class to divide, on the disk, their axes and spacing, and what the instances are."""
    from napari_anneal.inference import load_model
    from napari_anneal.inference.instances.channel import Channel
    from napari_anneal.inference.segmentation import class_of_instances, class_to_divide

    loaded = load_model(model)
    k = class_to_divide(loaded.classes, kind, of)
    with progress_bar("segmenting") as advance:
        result = loaded.segment(
            image,
            out=scratch / "labels.zarr",
            mode=mode,
            progress=advance,
            probabilities_out=scratch / "probabilities.zarr",
        )
    source = Channel(result.probabilities, k)
    about = {"class_name": class_of_instances(loaded.classes, kind, k)}
    return source, "ZYX"[-len(source.shape) :], result.spacing, about
