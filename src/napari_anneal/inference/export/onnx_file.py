"""A model as one ONNX file: batch and image size free, told about itself, and compared with torch before it is kept."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_anneal.errors import InputError, OutputError
from napari_anneal.inference.export.exported import NORMALISATION_IN_WORDS, Exportable
from napari_anneal.inference.export.graph import ExportedNetwork
from napari_anneal.inference.export.optional import need

__all__ = ["OnnxGraph", "make_onnx"]

# Read by every runtime of the last years; the exporter writes it without converting.
OPSET = 18
TOLERANCE = 1e-4
# Sides in strides (or smallest sides) of what is traced, and of what the file must give the same output for.
TRACED, TRIED = (2, 4, 6), ((1, 1, 1), (2, 3, 5))
# What the tracer calls a free size.
SYMBOL = re.compile(r"\bs\d+\b")
# The largest factor the exporter is told that a side may have; it must be told one.
MOST = 4096


@dataclass(frozen=True)
class OnnxGraph:
    """An ONNX model in memory.

    Attributes
    ----------
    content
        The bytes of the file.
    input, output
        Names of its one input and its one output.
    smallest, stride
        Sides of an image are multiples of ``stride`` and at least ``smallest`` (px).
    difference
        Largest difference from torch that was found.
    """

    content: bytes
    input: str
    output: str
    smallest: int
    stride: int
    difference: float


def make_onnx(model: Exportable, raw: bool, softmax: bool) -> OnnxGraph:
    """Convert a model, and compare the result with torch on the sample of its bundle and on other sizes and batches.

    Parameters
    ----------
    model
        What is exported.
    raw, softmax
        As for `ExportedNetwork`.

    Raises
    ------
    InputError
        The packages for it are not installed, or the network has an operation that ONNX lacks.
    OutputError
        The converted network does not give what the original gives.
    """
    need("onnx", "onnxscript", "onnxruntime", what="ONNX")
    spec = model.card.architecture
    network = ExportedNetwork(model.copy(), model.card, raw, softmax).eval()
    smallest = model.smallest
    output = "probabilities" if softmax else "logits"
    converted = _converted(network, spec.in_channels, spec.stride, smallest, output, model)
    for key, value in _about(model, raw, softmax, smallest).items():
        entry = converted.metadata_props.add()
        entry.key, entry.value = key, value
    content = converted.SerializeToString()
    sample = model.raw_sample(smallest).astype(np.float32)[np.newaxis] if raw else model.sample(smallest)
    difference = _largest_difference(content, network, sample, smallest, output)
    if not difference <= TOLERANCE:
        raise OutputError(
            f"the converted network differs from the original by {difference:.2g} (allowed: {TOLERANCE:g}), so nothing "
            "was written; export it with --format folder instead."
        )
    return OnnxGraph(content, "image", output, smallest, spec.stride, difference)


def _converted(
    network: ExportedNetwork, channels: int, stride: int, smallest: int, output: str, model: Exportable
) -> Any:
    """The ONNX model, without a word about the computer it was made on."""
    batch, rows, columns = TRACED
    image = torch.randn(
        batch, channels, rows * smallest, columns * smallest, generator=torch.Generator().manual_seed(0)
    )
    height, width = (torch.export.Dim(name, min=smallest // stride, max=MOST) for name in ("height", "width"))
    shapes = ({0: torch.export.Dim("batch", min=1, max=MOST), 2: stride * height, 3: stride * width},)
    try:
        with _quiet():
            # Traced first and not by the exporter: networks that are told of ONNX swap layers for what worked in the
            # exporter before this one, at fixed sizes.
            traced = torch.export.export(network, (image,), dynamic_shapes=shapes)
            program = torch.onnx.export(
                traced,
                input_names=["image"],
                output_names=[output],
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # the exporter raises dozens of types, with pages of text
        spec = model.card.architecture
        raise InputError(
            f"a {spec.decoder} decoder on encoder {spec.encoder!r} cannot be converted to ONNX "
            f"({_short(error)}); export it with --format folder instead."
        ) from error
    assert program is not None
    converted = program.model_proto
    _forget_the_machine(converted)
    _name_axes(converted.graph)
    return converted


def _name_axes(graph: Any) -> None:
    """Give the free sizes, which the tracer numbers, the names that a person understands: ``8*height``."""
    sizes = graph.input[0].type.tensor_type.shape.dim
    names = {}
    for size, name in zip((sizes[0], sizes[2], sizes[3]), ("batch", "height", "width"), strict=True):
        symbol = SYMBOL.search(size.dim_param)
        if symbol:
            names[symbol[0]] = name
    for value in (*graph.input, *graph.output, *graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = SYMBOL.sub(lambda symbol: names.get(symbol[0], symbol[0]), size.dim_param)


def _forget_the_machine(converted: Any) -> None:
    """Take out the lines of source code (with the paths of this computer) that the exporter notes at every node."""
    graph = converted.graph
    parts = [*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer, graph]
    parts += [node for function in converted.functions for node in (function, *function.node)]
    for part in parts:
        if hasattr(part, "doc_string"):
            part.doc_string = ""
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
    del converted.metadata_props[:]


def _about(model: Exportable, raw: bool, softmax: bool, smallest: int) -> dict[str, str]:
    """What a person or a program needs to use the file: every value is text, lists and numbers as JSON."""
    card, spec = model.card, model.card.architecture
    given = (
        "grey values as they are in the file, a whole image at a time (limits are found in it)"
        if raw
        else ("standardised as told under 'normalisation'")
    )
    gives = (
        f"at temperature {card.temperature:g}"
        if softmax
        else f"divide them by the temperature {card.temperature:g} and take the softmax for probabilities"
    )
    return {
        "name": card.name,
        "description": card.description,
        "author_package": f"napari-anneal {card.versions.get('napari-anneal', '')}".strip(),
        "classes": json.dumps(card.classes),
        "colours": json.dumps(card.colours),
        "spacing": json.dumps(card.spacing),
        "temperature": json.dumps(card.temperature),
        "channels": json.dumps(model.channels),
        "normalisation": NORMALISATION_IN_WORDS,
        "normalisation_in_graph": json.dumps(raw),
        "softmax_in_graph": json.dumps(softmax),
        "stride": json.dumps(spec.stride),
        "smallest_side": json.dumps(smallest),
        "input": f"image: float32 (batch, {spec.in_channels}, Y, X), {given}; Y and X multiples of {spec.stride} and "
        f"at least {smallest} (reflect the image at its lower and right border up to that)",
        "output": f"{'probabilities' if softmax else 'logits'}: float32 (batch, {spec.n_classes}, Y, X), {gives}; the "
        "label of class k is k, counted from 1",
        "architecture": spec.model_dump_json(),
        "weights_sha256": model.weights_sha256,
        **({"bundle_sha256": model.bundle_sha256} if model.bundle_sha256 else {}),
    }


def _largest_difference(
    content: bytes, network: ExportedNetwork, sample: npt.NDArray[np.float32], smallest: int, output: str
) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    images = [sample]
    for batch, rows, columns in TRIED:
        height, width = rows * smallest, columns * smallest
        more = ((0, max(0, n - have)) for n, have in zip((height, width), sample.shape[2:], strict=True))
        other = np.pad(sample, [(0, 0), (0, 0), *more], mode="symmetric")[:, :, :height, :width]
        images.append(np.concatenate([other, other[:, :, ::-1]])[:batch])
    worst = 0.0
    for image in images:
        try:
            (given,) = session.run([output], {"image": np.ascontiguousarray(image)})
        except Exception:  # what an operation that does not hold for this size raises is the runtime's own
            return float("inf")
        with torch.inference_mode():
            expected = network(torch.from_numpy(np.ascontiguousarray(image))).numpy()
        if given.shape != expected.shape:
            return float("inf")
        worst = max(worst, float(np.abs(given - expected).max()) / max(1.0, float(np.abs(expected).max())))
    return worst


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what the exporter prints, warns and logs: it speaks to developers of exporters."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _short(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160].rstrip(".")
