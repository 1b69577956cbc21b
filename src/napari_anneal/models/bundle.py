"""Model bundles: a folder or one zip that is safe to open, because nothing in it can run and everything is checked.

``model.safetensors`` · ``bundle.json`` · ``sample.npz`` · ``SHA256SUMS``. Opening goes from the outside in: file sizes,
hashes, the card, the names, shapes and types of the tensors, their finiteness, and last a replay of the stored sample.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import uuid
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError
from torch import nn

from napari_anneal.errors import AnnealError, BundleError, OutputError
from napari_anneal.models.architecture import build_network, empty_network
from napari_anneal.models.card import SCHEMA_VERSION, BundleCard
from napari_anneal.models.lineage import weights_file
from napari_anneal.samples.placing import put_in_place, remove, why_not_written

__all__ = [
    "bundle_hash",
    "example_input",
    "is_bundle",
    "load_bundle",
    "read_card",
    "read_example",
    "replace_card",
    "save_bundle",
]

WEIGHTS, CARD, SAMPLE, SUMS = "model.safetensors", "bundle.json", "sample.npz", "SHA256SUMS"
# Generous for every encoder timm has, small enough that a hostile file cannot fill the memory.
MAX_BYTES = {WEIGHTS: 2 << 30, CARD: 4 << 20, SAMPLE: 64 << 20, SUMS: 4096}
_NUMPY_OF: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "I64": np.dtype("<i8")}
# Softmax outputs on other processors differ in the last bits of float32; a wrong weight differs by far more.
REPLAY_TOLERANCE = 2e-3
SAMPLE_SIDE = 128


def is_bundle(path: str | os.PathLike[str]) -> bool:
    """Whether a path looks like a bundle: a folder or zip with a ``bundle.json`` (or that file itself)."""
    path = Path(path)
    if path.is_dir():
        return (path / CARD).is_file()
    if path.name == CARD:
        return True
    if path.suffix.lower() == ".zip" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(Path(name).name == CARD for name in archive.namelist())
    return False


def save_bundle(
    network: nn.Module,
    card: BundleCard,
    path: str | os.PathLike[str],
    *,
    example: npt.NDArray[np.float32] | None = None,
    half: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write a bundle: complete or not at all.

    Parameters
    ----------
    network, card
        The model; the network's weights are read, its mode and device are left as they are.
    path
        A folder to create, or a file name ending in ``.zip``.
    example
        ``(1, C, Y, X)`` standardised input to store with its output; ``None``: reproducible noise.
    half
        Store float16 weights: half the size; the stored sample is computed with the rounded weights.
    overwrite
        Replace an existing bundle (only once the new one is complete).

    Raises
    ------
    OutputError
        The path exists, cannot be written, or the disk is full; whatever stood there is untouched.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise OutputError(f"{path} already exists; choose another name or delete it first.")
    _write(_pack(network, card, example, half), path)
    return path


def replace_card(path: str | os.PathLike[str], card: BundleCard) -> None:
    """Give a bundle folder another card (what was measured after it was saved); everything else stays as it is.

    That goes for files beside those of the bundle, too, such as what is remembered of gold.

    Raises
    ------
    BundleError
        There is no bundle, or it is damaged.
    OutputError
        The new card cannot be written; the bundle is as it was.
    """
    path = Path(path)
    files = _read_checked(path, (WEIGHTS, CARD, SAMPLE))
    del files[SUMS]
    try:
        beside = {file.name: file.read_bytes() for file in path.iterdir() if file.name not in MAX_BYTES}
    except OSError as error:
        raise OutputError(f"{path} cannot be read ({why_not_written(error)}), so its card stays as it is.") from error
    _write(beside | _with_sums(files | {CARD: _card_text(card)}), path)


def _write(files: dict[str, bytes], path: Path) -> None:
    """Put the files of a bundle in their place, all or none."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
                for name, content in files.items():
                    archive.writestr(name, content)
        else:
            partial.mkdir()
            for name, content in files.items():
                with (partial / name).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
        put_in_place(partial, path)
    except OSError as error:
        remove(partial)
        raise OutputError(
            f"the model could not be saved to {path}: {why_not_written(error)}; nothing was lost, "
            "free space or choose another folder."
        ) from error


def _card_text(card: BundleCard) -> bytes:
    return (card.model_dump_json(indent=2) + "\n").encode()


def read_card(path: str | os.PathLike[str]) -> BundleCard:
    """Read a bundle's card without its weights (hashes of the card checked).

    Raises
    ------
    BundleError
        As ``load_bundle``, for what concerns the card.
    """
    return _parse_card(_read_checked(Path(path), (CARD,))[CARD], Path(path))


def bundle_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a bundle: of its ``SHA256SUMS``, which fixes every other file of it.

    Raises
    ------
    BundleError
        As ``load_bundle``: the files are checked against that list.
    """
    return hashlib.sha256(_read_checked(Path(path), (CARD, WEIGHTS, SAMPLE))[SUMS]).hexdigest()


def read_example(path: str | os.PathLike[str]) -> npt.NDArray[np.float32]:
    """Input of a bundle's stored sample: standardised float32 ``(1, C, Y, X)``.

    Raises
    ------
    BundleError
        As ``load_bundle``, for what concerns the sample.
    """
    path = Path(path)
    return _parse_sample(_read_checked(path, (SAMPLE,))[SAMPLE], path)[0].astype(np.float32)


def example_input(in_channels: int) -> npt.NDArray[np.float32]:
    """Reproducible noise, float32 ``(1, C, Y, X)``: the sample of a bundle that is given none."""
    noise = np.random.default_rng(0).standard_normal((1, in_channels, SAMPLE_SIDE, SAMPLE_SIDE))
    return noise.astype(np.float32)


def load_bundle(path: str | os.PathLike[str]) -> tuple[nn.Module, BundleCard]:
    """Open a bundle and check all of it.

    Returns
    -------
    network, card
        The network in eval mode with float32 weights on the CPU, and its card.

    Raises
    ------
    BundleError
        Missing or surplus parts, wrong hash, too large, newer schema, tensors that do not fit the architecture, NaN
        weights, or a sample that does not replay. Nothing of the file is executed in any case.
    """
    path = Path(path)
    files = _read_checked(path, (CARD, WEIGHTS, SAMPLE))
    card = _parse_card(files[CARD], path)
    try:
        expected = {k: tuple(v.shape) for k, v in empty_network(card.architecture).state_dict().items()}
    except AnnealError as error:
        raise BundleError(f"{path}: {error}") from error
    tensors = _parse_tensors(files[WEIGHTS], expected, path)
    network = build_network(card.architecture)
    network.load_state_dict(tensors, strict=True)
    network.eval()
    _replay(network, files[SAMPLE], card, path)
    return network, card


def _pack(
    network: nn.Module, card: BundleCard, example: npt.NDArray[np.float32] | None, half: bool
) -> dict[str, bytes]:
    """Serialise the four files in memory."""
    import safetensors.torch

    weights = weights_file(network, half)
    state = safetensors.torch.load(weights)
    twin = build_network(card.architecture)
    twin.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    if example is None:
        example = example_input(card.architecture.in_channels)
    # The input is stored as float16 to stay small, so the output must be that of the rounded input.
    rounded = example.astype(np.float16)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, input=rounded, output=_forward(twin, rounded).astype(np.float16))
    files = {
        WEIGHTS: weights,
        CARD: _card_text(card),
        SAMPLE: buffer.getvalue(),
    }
    return _with_sums(files)


def _with_sums(files: dict[str, bytes]) -> dict[str, bytes]:
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    return {**files, SUMS: sums.encode()}


def _forward(network: nn.Module, image: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Probabilities of a network in eval mode, in float32 on the CPU."""
    network.eval()
    with torch.inference_mode():
        logits = network(torch.from_numpy(image.astype(np.float32)))
        return np.asarray(torch.softmax(logits, dim=1).numpy(), dtype=np.float32)


def _read_checked(path: Path, wanted: tuple[str, ...]) -> dict[str, bytes]:
    """Read the named parts within their size caps and compare each with ``SHA256SUMS``."""
    if path.name == CARD:
        path = path.parent
    if not path.exists():
        raise BundleError(f"there is no model bundle at {path}; check the path.")
    try:
        if path.is_dir():
            parts = {name: _read_capped(path / name, name, path) for name in (SUMS, *wanted)}
        else:
            parts = _read_zip(path, (SUMS, *wanted))
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror or error}); copy the bundle again.") from error
    lines = parts[SUMS].decode("ascii", errors="replace").splitlines()
    sums = {name.strip(): digest for digest, _, name in (line.partition("  ") for line in lines)}
    for name in wanted:
        if sums.get(name) != hashlib.sha256(parts[name]).hexdigest():
            raise BundleError(
                f"{path}: {name} does not match its checksum, so the bundle is damaged or was edited; copy it again "
                "from where it came."
            )
    return parts


def _read_capped(file: Path, name: str, bundle: Path) -> bytes:
    if not file.is_file():
        raise BundleError(f"{bundle} is not a complete model bundle: {name} is missing; copy the whole folder.")
    _check_size(file.stat().st_size, name, bundle)
    return file.read_bytes()


def _read_zip(path: Path, wanted: tuple[str, ...]) -> dict[str, bytes]:
    """Read parts of a zipped bundle into memory (nothing is ever unpacked to disk)."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {Path(info.filename).name: info for info in archive.infolist() if not info.is_dir()}
            parts = {}
            for name in wanted:
                if name not in entries:
                    raise BundleError(f"{path} is not a complete model bundle: {name} is missing; copy it again.")
                # The declared size is the archive's own claim: read one byte more than it may have, and no further.
                with archive.open(entries[name]) as file:
                    parts[name] = file.read(MAX_BYTES[name] + 1)
                _check_size(len(parts[name]), name, path)
            return parts
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise BundleError(f"{path} is not a readable model bundle ({error}); copy it again.") from error


def _check_size(size: int, name: str, bundle: Path) -> None:
    if size > MAX_BYTES[name]:
        raise BundleError(
            f"{bundle}: {name} has {size / 2**20:.0f} MiB, more than the {MAX_BYTES[name] / 2**20:g} MiB a bundle may "
            "have; it was not opened."
        )


def _parse_card(content: bytes, path: Path) -> BundleCard:
    try:
        raw = json.loads(content)
        version = raw["schema_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{path}: {CARD} is not a model card ({error}); copy the bundle again.") from error
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise BundleError(
            f"{path} was written by a newer napari-anneal (bundle version {version}, this one reads up to "
            f"{SCHEMA_VERSION}); run 'pip install -U napari-anneal'."
        )
    try:
        return BundleCard.model_validate(raw | {"schema_version": SCHEMA_VERSION})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or CARD
        raise BundleError(f"{path}: {where} in {CARD} is not valid: {first['msg']}; copy the bundle again.") from error


def _parse_tensors(content: bytes, expected: dict[str, tuple[int, ...]], path: Path) -> dict[str, torch.Tensor]:
    """Check a safetensors file against the architecture, then build its tensors (floats become float32)."""
    damaged = f"{path}: {WEIGHTS} is not a valid safetensors file; copy the bundle again."
    try:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        header.pop("__metadata__", None)
        found = {name: tuple(entry["shape"]) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(damaged) from error
    for name in sorted(expected.keys() ^ found.keys()):
        raise BundleError(
            f"{path}: tensor {name!r} is {'missing' if name in expected else 'unknown'}, so the weights do not belong "
            "to the architecture that the card names."
        )
    data, tensors = memoryview(content)[8 + length :], {}
    for name, entry in header.items():
        if found[name] != expected[name]:
            raise BundleError(
                f"{path}: tensor {name!r} has shape {found[name]}, the architecture needs {expected[name]}."
            )
        dtype = _NUMPY_OF.get(entry.get("dtype"))
        begin, end = entry.get("data_offsets", (0, -1))
        size = int(np.prod(found[name], dtype=np.int64))
        if dtype is None:
            raise BundleError(f"{path}: tensor {name!r} has type {entry.get('dtype')}; only F32, F16 and I64 are read.")
        if not (0 <= begin <= end <= len(data) and end - begin == size * dtype.itemsize):
            raise BundleError(damaged)
        array = np.frombuffer(data[begin:end], dtype=dtype).reshape(found[name])
        if dtype.kind == "f" and not np.isfinite(array).all():
            raise BundleError(f"{path}: tensor {name!r} holds NaN or infinite weights; the model cannot be used.")
        tensors[name] = torch.from_numpy(array.astype(np.float32 if dtype.kind == "f" else np.int64))
    return tensors


def _replay(network: nn.Module, content: bytes, card: BundleCard, path: Path) -> None:
    """Run the stored sample and compare."""
    image, output = _parse_sample(content, path)
    spec = card.architecture
    if (
        image.ndim != 4
        or image.shape[1] != spec.in_channels
        or any(n % spec.stride or n > 1024 for n in image.shape[2:])
    ):
        raise BundleError(f"{path}: the stored sample of shape {image.shape} does not fit the network.")
    given = _forward(network, image)
    worst = float(np.abs(given - output.astype(np.float32)).max()) if given.shape == output.shape else np.inf
    if not worst <= REPLAY_TOLERANCE:
        raise BundleError(
            f"{path}: the network does not give the stored output of its sample (largest difference {worst:.2g}); "
            "the installed torch or timm builds another network than the one that was saved."
        )


def _parse_sample(content: bytes, path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Input and output of the stored sample, as stored."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as sample:
            return sample["input"], sample["output"]
    except (ValueError, KeyError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise BundleError(f"{path}: {SAMPLE} cannot be read ({error}); copy the bundle again.") from error
