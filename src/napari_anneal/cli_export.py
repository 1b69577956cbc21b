"""``export``: a trained model for other programs, from a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_anneal.terminal import Json, answer, remark

__all__ = ["export"]


def export(
    model: Annotated[str, typer.Argument(help="A bundle or the name of a shipped model.")],
    out: Annotated[Path, typer.Argument(help="What to create: a file ending in .onnx, or a folder.")],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            help="onnx (one file for every ONNX runtime), bioimageio (a package for the BioImage Model Zoo; a folder "
            "or .zip) or folder (safetensors and a README that needs torch and segmentation-models-pytorch only).",
        ),
    ] = "onnx",
    raw: Annotated[
        bool,
        typer.Option("--raw", help="onnx: scale grey values in the graph; it then takes whole images as they are."),
    ] = False,
    logits: Annotated[bool, typer.Option("--logits", help="onnx: give logits, not probabilities.")] = False,
    author: Annotated[list[str] | None, typer.Option(help="bioimageio: name of an author (repeat for more).")] = None,
    license_: Annotated[
        str | None, typer.Option("--license", help="bioimageio: SPDX identifier, such as CC-BY-4.0.")
    ] = None,
    cite: Annotated[
        list[str] | None, typer.Option(help="bioimageio: what to cite, with its DOI or address (repeat for more).")
    ] = None,
    json_: Json = False,
) -> None:
    """Write a model for other programs: ONNX, a BioImage.IO package, or a plain folder for torch."""
    from napari_anneal.inference import load_model
    from napari_anneal.inference.export import PackageDetails

    told = bool(author or license_ or cite)
    about = PackageDetails(authors=tuple(author or ()), license=license_, cite=tuple(cite or ())) if told else None
    result = load_model(model).export(out, format, raw=raw, softmax=not logits, about=about)
    for notice in result.notices:
        remark(notice)
    answer(
        json_,
        {
            "path": str(result.path),
            "format": result.format,
            "files": result.files,
            "notices": list(result.notices),
        },
        f"{result.format} written to {result.path} ({sum(result.files.values()) / 1e6:.1f} MB)",
    )
