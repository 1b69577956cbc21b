"""A model package of the BioImage Model Zoo (specification 0.5), with ONNX weights, that its own test has passed.

The package scales grey values as this package does for one image of up to a million pixels, in the steps that the
specification has (percentiles, clip, linear), so that ImageJ, QuPath, ilastik and Python give the same probabilities.
"""

from __future__ import annotations

import contextlib
import logging
import re
import tempfile
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from napari_anneal.errors import InputError, OutputError
from napari_anneal.inference.export.exported import NORMALISATION_IN_WORDS, Exportable
from napari_anneal.inference.export.onnx_file import OPSET, TOLERANCE, OnnxGraph, make_onnx
from napari_anneal.inference.export.optional import need
from napari_anneal.inference.export.package_details import PackageDetails
from napari_anneal.inference.export.package_pages import cover, documentation
from napari_anneal.inference.predictor import Predictor
from napari_anneal.samples.normalisation import (
    CLIP,
    HIGH_PERCENTILE,
    IMAGENET_GREY_MEAN,
    IMAGENET_GREY_STD,
    LOW_PERCENTILE,
)

__all__ = ["write_package"]

# Programs that read packages cut images into tiles and crop this border (px) of each. A network's own reach can be
# larger; more than this would make the smallest tile larger than many images.
MOST_HALO = 64
# Stands where the specification adds a number to the range of grey values, which are not divided by 0 here anyway.
EPSILON = 1e-12
ZOO_NAME = re.compile(r"[^A-Za-z0-9_+\- ()]+")
DOI = re.compile(r"10\.\d{4,9}/\S*[^\s.,;)]")
ADDRESS = re.compile(r"https?://\S*[^\s.,;)]")


def write_package(leaving: Exportable, path: Path, about: PackageDetails) -> tuple[str, ...]:
    """Write a package, a folder or a ``.zip``, and let ``bioimageio.core`` test it.

    Returns
    -------
    tuple of str
        What the zoo would miss in it.

    Raises
    ------
    InputError
        Packages are missing, the network cannot be converted, or authors, licence or citations are not usable.
    OutputError
        The package cannot be described with the versions installed, or does not pass its test.
    """
    need("bioimageio.core", "onnxruntime", what="BioImage.IO")
    _check(about)
    graph = make_onnx(leaving, raw=False, softmax=True)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        from bioimageio.spec import save_bioimageio_package, save_bioimageio_package_as_folder
        from pydantic import ValidationError

        save = save_bioimageio_package if path.suffix.lower() == ".zip" else save_bioimageio_package_as_folder
        try:
            save(_described(leaving, graph, about, Path(folder)), output_path=path)
        except (ValidationError, TypeError) as error:  # as with versions of pydantic that came after it
            raise OutputError(
                f"bioimageio.spec {version('bioimageio.spec')} cannot describe the model with pydantic "
                f"{version('pydantic')}, so nothing was written; pip install 'napari-anneal[export]' brings versions "
                "that fit each other."
            ) from error
        _test(path)
    asked = {"authors": about.authors, "licence": about.license, "citation": about.cite}
    missing = [name for name, given in asked.items() if not given]
    if not missing:
        return ()
    return (f"The package names no {', no '.join(missing)}; the zoo asks for authors, a licence and a citation.",)


def _check(about: PackageDetails) -> None:
    from bioimageio.spec.generic.v0_3 import LicenseId
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter(LicenseId | None).validate_python(about.license)
    except ValidationError:
        raise InputError(
            f"{about.license!r} is not an SPDX licence; give one such as CC-BY-4.0 or BSD-3-Clause."
        ) from None
    for text in about.cite:
        if not (DOI.search(text) or ADDRESS.search(text)):
            raise InputError(f"the citation {text!r} has no DOI and no address; add one, as the zoo asks for it.")
    for name in about.authors:
        if not name.strip() or "/" in name or "\\" in name:
            raise InputError(f"{name!r} is not the name of an author; give one name for each author.")


def _described(leaving: Exportable, graph: OnnxGraph, about: PackageDetails, folder: Path) -> Any:
    """The description, with its files in ``folder``."""
    from bioimageio.spec.model import v0_5 as spec

    card = leaving.card
    halo = _halo(leaving)
    # A tile must have something left when its border is cropped.
    smallest = -(-max(graph.smallest, 2 * halo + graph.stride) // graph.stride) * graph.stride
    image = leaving.raw_sample(smallest)
    probabilities = leaving.probabilities(image)
    (folder / "weights.onnx").write_bytes(graph.content)
    np.save(folder / "test_input.npy", image[np.newaxis].astype(np.float32))
    np.save(folder / "test_output.npy", probabilities[np.newaxis])
    cover(image, probabilities, card.colours).save(folder / "cover.png")
    (folder / "README.md").write_text(documentation(leaving.card), encoding="utf-8")
    scale = dict(zip("yx", card.spacing or (1.0, 1.0), strict=True))
    size = spec.ParameterizedSize(min=smallest, step=graph.stride)
    given = spec.InputTensorDescr(
        id=spec.TensorId("image"),
        description="Grey values as they are in the file",
        axes=[
            spec.BatchAxis(),
            spec.ChannelAxis(channel_names=leaving.channels),
            *(spec.SpaceInputAxis(id=spec.AxisId(axis), size=size, scale=scale[axis]) for axis in "yx"),
        ],
        data=spec.IntervalOrRatioDataDescr(type="float32"),
        preprocessing=_preprocessing(spec),
        test_tensor=spec.FileDescr(source=folder / "test_input.npy"),
    )
    gives = spec.OutputTensorDescr(
        id=spec.TensorId(graph.output),
        description="Probabilities of the classes; label k is the k-th, counted from 1",
        axes=[
            spec.BatchAxis(),
            spec.ChannelAxis(channel_names=list(card.classes)),
            *(_output_axis(spec, axis, halo, scale[axis]) for axis in "yx"),
        ],
        data=spec.IntervalOrRatioDataDescr(type="float32", range=(0.0, 1.0)),
        test_tensor=spec.FileDescr(source=folder / "test_output.npy"),
    )
    return spec.ModelDescr(
        name=_zoo_name(card.name),
        description=card.description[:1024] or "Semantic segmentation of micrographs",
        authors=[spec.Author(name=name) for name in about.authors],
        cite=[_citation(spec, text) for text in about.cite],
        license=about.license,
        documentation=spec.FileDescr(source=folder / "README.md"),
        covers=[spec.FileDescr(source=folder / "cover.png")],
        tags=["2d", "semantic-segmentation", "materials-science", "microscopy", card.architecture.decoder, "onnx"],
        inputs=[given],
        outputs=[gives],
        weights=spec.WeightsDescr(onnx=spec.OnnxWeightsDescr(source=folder / "weights.onnx", opset_version=OPSET)),
        config=spec.Config(
            bioimageio=spec.BioimageioConfig(
                reproducibility_tolerance=[
                    spec.ReproducibilityTolerance(absolute_tolerance=TOLERANCE, relative_tolerance=1e-3)
                ]
            ),
            napari_anneal={
                "classes": list(card.classes),
                "colours": list(card.colours),
                "spacing": None if card.spacing is None else list(card.spacing),
                "temperature": card.temperature,
                "normalisation": NORMALISATION_IN_WORDS,
                "architecture": card.architecture.model_dump(mode="json"),
                "weights_sha256": leaving.weights_sha256,
                "bundle_sha256": leaving.bundle_sha256,
                "versions": dict(card.versions),
            },
        ),
    )


def _preprocessing(spec: Any) -> list[Any]:
    """`intensity_range` and `standardise` in the steps of the specification; every image of a batch for itself."""
    axes = [spec.AxisId(name) for name in ("channel", "y", "x")]
    return [
        spec.ScaleRangeDescr(
            kwargs=spec.ScaleRangeKwargs(
                axes=axes, min_percentile=LOW_PERCENTILE, max_percentile=HIGH_PERCENTILE, eps=EPSILON
            )
        ),
        spec.ClipDescr(kwargs=spec.ClipKwargs(min=CLIP[0], max=CLIP[1])),
        spec.ScaleLinearDescr(
            kwargs=spec.ScaleLinearKwargs(gain=1 / IMAGENET_GREY_STD, offset=-IMAGENET_GREY_MEAN / IMAGENET_GREY_STD)
        ),
        spec.EnsureDtypeDescr(kwargs=spec.EnsureDtypeKwargs(dtype="float32")),
    ]


def _halo(leaving: Exportable) -> int:
    """Border (px) of a tile that its neighbours must give: the reach of the network, as far as tiles can afford it."""
    spec = leaving.card.architecture
    field = Predictor(leaving.copy(), spec.in_channels, spec.n_classes, spec.stride, device="cpu").receptive_field
    reach = MOST_HALO if field is None else max(field.before, field.after)
    return min(reach, MOST_HALO)


def _output_axis(spec: Any, axis: str, halo: int, scale: float) -> Any:
    size = spec.SizeReference(tensor_id=spec.TensorId("image"), axis_id=spec.AxisId(axis))
    if not halo:
        return spec.SpaceOutputAxis(id=spec.AxisId(axis), size=size, scale=scale)
    return spec.SpaceOutputAxisWithHalo(id=spec.AxisId(axis), size=size, halo=halo, scale=scale)


def _citation(spec: Any, text: str) -> Any:
    doi, address = DOI.search(text), ADDRESS.search(text)
    if doi:
        return spec.CiteEntry(text=text, doi=spec.Doi(doi[0]))
    assert address is not None
    return spec.CiteEntry(text=text, url=spec.HttpUrl(address[0]))


def _zoo_name(name: str) -> str:
    """A name in the characters and the length that the specification allows."""
    plain = ZOO_NAME.sub(" ", name).strip()[:64]
    return plain if len(plain) >= 5 else f"napari-anneal {plain}".strip()


def _test(path: Path) -> None:
    from bioimageio.core import test_model

    summary = test_model(path)
    if summary.status != "passed":
        errors = [error.msg for detail in summary.details for error in detail.errors]
        said = (errors or [f"status {summary.status}"])[0].strip().splitlines()[0][:200].rstrip(".")
        raise OutputError(f"the package did not pass the test of bioimageio.core ({said}), so nothing was written.")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the log of the validator: what matters of it ends as an error."""
    from loguru import logger

    logger.disable("bioimageio")
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        logger.enable("bioimageio")
