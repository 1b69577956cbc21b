"""``segment``: images and volumes of any size, from a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_anneal.terminal import Json, answer, progress_bar, refuse

__all__ = ["segment"]


def segment(
    model: Annotated[str, typer.Argument(help="A bundle or the name of a shipped model.")],
    image: Annotated[Path, typer.Argument(help="Image, TIFF stack, folder of slices, HDF5 or OME-Zarr.")],
    out: Annotated[Path, typer.Option(help="Where the labels go: .ome.zarr, .tif or .tiff.")],
    axes: Annotated[
        str | None, typer.Option(help="Axes of the image, e.g. ZYX or YXC (default: from the file).")
    ] = None,
    tile: Annotated[str, typer.Option(help="auto, none (whole image) or a size in pixels.")] = "auto",
    mode: Annotated[
        str, typer.Option(help="slices, triplanar, twelve (12 directions) or context (neighbouring slices).")
    ] = "slices",
    axis: Annotated[str, typer.Option(help="Z, Y or X: along which a volume is sliced.")] = "Z",
    combine: Annotated[str, typer.Option(help="mean or max of the probabilities of several directions.")] = "mean",
    spacing: Annotated[
        str | None, typer.Option(help="Voxel size along the axes, e.g. 2,0.5,0.5 (default: from the file).")
    ] = None,
    resample: Annotated[
        bool, typer.Option("--resample", help="Bring slices to the pixel size the model was trained at, and back.")
    ] = False,
    level: Annotated[int, typer.Option(help="Level of an OME-Zarr pyramid; 0 is the finest.")] = 0,
    channel: Annotated[int | None, typer.Option(help="One of several channels, counted from 0.")] = None,
    dataset: Annotated[str, typer.Option(help="Path of the image in an HDF5 file.")] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run to this place that was stopped or killed.")
    ] = False,
    unit: Annotated[str | None, typer.Option(help="Unit of --spacing, such as µm; kept in the files.")] = None,
    probabilities: Annotated[
        Path | None, typer.Option(help="Where the probabilities go, a channel for each class: .ome.zarr.")
    ] = None,
    uncertainty: Annotated[Path | None, typer.Option(help="Where the uncertainty (0 to 1) goes: .ome.zarr.")] = None,
    estimator: Annotated[
        str,
        typer.Option(
            help="Of --uncertainty: tta (mean of every flip and turn that is legal for the sample, up to 8 times the "
            "work; the labels are then of that mean) or entropy (of the probabilities as they are)."
        ),
    ] = "tta",
    half: Annotated[bool, typer.Option("--half", help="Keep these two in float16.")] = False,
    precision: Annotated[str, typer.Option(help="float32, bfloat16, float16 or auto.")] = "float32",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")] = False,
    scheduler: Annotated[
        str | None, typer.Option(help="Compute on the dask cluster of this scheduler, e.g. tcp://host:8786.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Compute in so many processes of this machine.", min=1)] = None,
    json_: Json = False,
) -> None:
    """Segment an image or a volume of any size; a run that was killed is gone on with by --resume."""
    from napari_anneal.inference import load_model

    size: int | str | None = {"auto": "auto", "none": None}.get(tile.lower(), tile)
    if isinstance(size, str) and size != "auto":
        if not size.isdigit():
            refuse(f"--tile {tile} is not a size; give auto, none or a number of pixels.")
        size = int(size)
    with progress_bar("segmenting") as advance:
        result = load_model(model, precision=precision).segment(
            image,
            axes=axes,
            tile=size,
            out=out,
            mode=mode,
            probabilities=False,
            progress=advance,
            spacing=None if spacing is None else _numbers(spacing),
            overwrite=overwrite,
            axis=axis.upper(),
            combine=combine,
            resample=resample,
            resume=resume,
            level=level,
            channel=channel,
            dataset=dataset,
            unit=unit,
            uncertainty=False if uncertainty is None else estimator,
            probabilities_out=probabilities,
            uncertainty_out=uncertainty,
            half=half,
            scheduler=scheduler,
            workers=workers,
        )
    maps = {"probabilities": probabilities, "uncertainty": uncertainty}
    answer(
        json_,
        {"labels": str(result.path), "classes": list(result.classes), "shape": list(result.labels.shape)}
        | {name: str(place) for name, place in maps.items() if place is not None},
        f"labels {tuple(result.labels.shape)} written to {result.path}",
    )


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        refuse(f"--spacing {text} is not a list of numbers; give one for each axis, e.g. 2,0.5,0.5.")
