"""Models for other programs: ONNX, a BioImage.IO package, or a plain folder for torch without this package."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_anneal.errors import InputError, OutputError
from napari_anneal.inference.export.exported import Exportable
from napari_anneal.inference.export.package_details import PackageDetails
from napari_anneal.samples.placing import put_in_place, remove, why_not_written

if TYPE_CHECKING:
    from napari_anneal.inference.model import Model

__all__ = ["FORMATS", "Export", "PackageDetails", "export_model"]

FORMATS = ("onnx", "bioimageio", "folder")


@dataclass(frozen=True)
class Export:
    """What was written.

    Attributes
    ----------
    path, format
        The file or folder, and which of ``FORMATS`` it is.
    files
        Names of the files in it with their sizes in bytes (of the one file, where it is one).
    notices
        What the user should know.
    """

    path: Path
    format: str
    files: dict[str, int]
    notices: tuple[str, ...] = ()


def export_model(
    model: Model,
    path: str | os.PathLike[str],
    format: str = "onnx",
    *,
    raw: bool = False,
    softmax: bool = True,
    about: PackageDetails | None = None,
) -> Export:
    """Write a model for other programs; it appears under its name when it is complete and was tried.

    Parameters
    ----------
    model
        The model, with its card.
    path
        What to create: a name ending in ``.onnx`` for ``"onnx"``; a folder, or for ``"bioimageio"`` also a ``.zip``.
    format
        ``"onnx"``: one file for every ONNX runtime, batch and image size free, its outputs the model's to 1e-4.
        ``"bioimageio"``: a model package (specification 0.5) for the BioImage Model Zoo and the programs that read
        it, tested by ``bioimageio.core``. ``"folder"``: safetensors, the constructor as JSON and a README whose lines
        load and run it with torch and segmentation-models-pytorch alone.
    raw
        ONNX only: put the normalisation into the graph, so that it takes grey values; the limits are those of the image
        it is given, so give it whole images and no tiles.
    softmax
        ONNX only: give probabilities (at the model's temperature); else logits.
    about
        BioImage.IO only: authors, licence and citations.

    Raises
    ------
    InputError
        An unknown format, an option of another one, missing packages, an ensemble, or a network that cannot be
        converted.
    OutputError
        The path exists or cannot be written, or what was written failed its test; nothing is left behind then.
    """
    path = Path(path)
    if format not in FORMATS:
        raise InputError(f"there is no format {format!r}; choose {', '.join(FORMATS[:-1])} or {FORMATS[-1]}.")
    if format != "onnx" and (raw or not softmax):
        raise InputError("raw grey values and logits are options of the onnx format; leave them out.")
    if format != "bioimageio" and about is not None:
        raise InputError("authors, licence and citations are kept by the bioimageio format only; leave them out.")
    suffix = path.suffix.lower()
    if format == "onnx" and suffix != ".onnx":
        raise OutputError(f"{path}: an ONNX model is one file; end its name in .onnx.")
    if format != "onnx" and (suffix == ".onnx" or (format == "folder" and suffix == ".zip")):
        raise OutputError(f"{path}: the {format} format is a folder; give a name without {path.suffix}.")
    if path.exists():
        raise OutputError(f"{path} already exists; choose another name or delete it first.")
    leaving = Exportable(model.network, model.card, model.bundle)
    leaving.check()
    partial = path.with_name(f".{uuid.uuid4().hex[:8]}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        notices = _write(leaving, partial, format, raw, softmax, about)
        if path.exists():  # it may have appeared meanwhile
            raise OutputError(f"{path} appeared while the model was exported; choose another name.")
        put_in_place(partial, path)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"the model could not be exported to {path}: {why_not_written(error)}; free space or choose another folder."
        ) from error
    finally:
        remove(partial)
    return Export(path, format, _sizes(path), notices)


def _write(
    leaving: Exportable, partial: Path, format: str, raw: bool, softmax: bool, about: PackageDetails | None
) -> tuple[str, ...]:
    """Write one format; what the user should know comes back."""
    if format == "onnx":
        from napari_anneal.inference.export.onnx_file import make_onnx

        graph = make_onnx(leaving, raw, softmax)
        partial.write_bytes(graph.content)
        return ()
    if format == "folder":
        from napari_anneal.inference.export.plain_folder import write_folder

        write_folder(leaving, partial)
        return ()
    from napari_anneal.inference.export.bioimageio_package import write_package

    return write_package(leaving, partial, about or PackageDetails())


def _sizes(path: Path) -> dict[str, int]:
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return {file.relative_to(path).as_posix() if path.is_dir() else file.name: file.stat().st_size for file in files}
