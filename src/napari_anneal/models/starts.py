"""Where the weights of a run start: scratch, ImageNet, a weights file, or a model that exists already.

Nothing here executes a file: safetensors, and ``torch.load`` restricted to tensors.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from napari_anneal.errors import StartError
from napari_anneal.models.architecture import ArchitectureSpec, build_network
from napari_anneal.models.lineage import Link

__all__ = [
    "Start",
    "continue_from",
    "start_from_file",
    "start_from_imagenet",
    "start_from_scratch",
    "weights_folder",
]

# The whole look for weights that are not on this computer takes at most this long.
NETWORK_PATIENCE_S = 4.0


@dataclass(frozen=True)
class Start:
    """A network ready for its first step, what to write about it in the card, and what the user should know."""

    network: nn.Module
    spec: ArchitectureSpec
    origin: dict[str, Any]
    lineage: tuple[Link, ...] = ()
    notices: tuple[str, ...] = field(default=())

    @property
    def pretrained(self) -> bool:
        """Whether the weights have learned anything before."""
        return bool(self.origin["kind"] != "scratch")


def start_from_scratch(spec: ArchitectureSpec, seed: int) -> Start:
    """Fresh weights, the same for the same seed (the global random state is left as it was)."""
    return Start(
        _seeded_network(spec, seed), spec, {"kind": "scratch", "seed": seed}, (Link(kind="scratch", seed=seed),)
    )


def start_from_imagenet(spec: ArchitectureSpec, seed: int) -> Start:
    """Encoder weights learned on ImageNet, from this computer or timm's hub.

    Looked for in this order: ``<weights folder>/<encoder>.safetensors`` (see ``weights_folder``), the hub's cache on
    this computer, the hub itself.

    Raises
    ------
    StartError
        None of them has the weights; within 5 seconds, naming the file to fetch and where to put it.
    """
    import timm

    local = weights_folder() / f"{spec.encoder}.safetensors"
    if local.is_file():
        return _as_imagenet(start_from_file(spec, local, seed), local.name)
    config = timm.get_pretrained_cfg(spec.encoder)
    repository = config.hf_hub_id if config is not None else None
    if not repository:
        raise StartError(
            f"timm has no ImageNet weights for {spec.encoder}; choose another encoder such as resnet34, or start from "
            "a model of your own."
        )
    file = _from_hub(repository, spec.encoder, local)
    return _as_imagenet(start_from_file(spec, file, seed, f"the ImageNet weights of {spec.encoder}"), repository)


def _as_imagenet(begun: Start, name: str) -> Start:
    """Note that the weights of a file are those of ImageNet, and what they are called."""
    (link,) = begun.lineage
    known = link.model_copy(update={"kind": "imagenet", "name": name})
    return replace(begun, origin={"kind": "imagenet", "weights": name}, lineage=(known,))


def start_from_file(
    spec: ArchitectureSpec, path: str | os.PathLike[str], seed: int, called: str | None = None
) -> Start:
    """Encoder weights from a file of the user's: ``.safetensors``, or ``.pth``/``.pt`` with tensors only.

    The file holds the encoder as timm (or torchvision, for ResNets) names its parameters; a classifier in it is
    ignored, and an RGB stem is summed over its channels for grey images, which gives the same network on grey input.
    Messages call it by its path, or as they are told.

    Raises
    ------
    StartError
        No such file, not a weights file, pickled code in it, or weights of another encoder.
    """
    path = Path(path)
    network = _with_encoder(spec, _read_state(path), seed, called or str(path))
    link = Link(kind="weights file", name=path.name, weights=hashlib.sha256(path.read_bytes()).hexdigest())
    return Start(network, spec, {"kind": "weights file", "file": path.name}, (link,))


def continue_from(
    network: nn.Module, old: ArchitectureSpec, new: ArchitectureSpec, same_classes: bool, seed: int
) -> Start:
    """Start from a trained network: keep encoder and decoder; replace the 1×1 head if the classes are others.

    Parameters
    ----------
    network, old
        The trained network (not changed) and its spec.
    new
        The spec of the network wanted; differs from ``old`` in classes and channels at most.
    same_classes
        Whether the class names are the same, in the same order: then the head is kept as well.
    seed
        Seeds the new head.

    Raises
    ------
    StartError
        The network takes another number of channels and its stem cannot be converted.
    """
    notices: list[str] = []
    state = dict(network.state_dict())
    fresh = _seeded_network(new, seed)
    wanted = fresh.state_dict()
    if old.in_channels != new.in_channels:
        _convert_stem(state, wanted, old.in_channels, new.in_channels)
        notices.append(f"The stem was converted from {old.in_channels} to {new.in_channels} channels.")
    if not same_classes:
        head = [name for name in wanted if name.startswith("segmentation_head.")]
        state.update({name: wanted[name] for name in head})
        notices.append("The classes differ from the start model's, so its head was replaced by a new one.")
    fresh.load_state_dict({name: tensor.detach().clone() for name, tensor in state.items()})
    return Start(fresh, new, {"kind": "model"}, notices=tuple(notices))


def weights_folder() -> Path:
    """Where ``<encoder>.safetensors`` is sought: ``$NAPARI_ANNEAL_WEIGHTS`` or ``~/.cache/napari-anneal/weights``."""
    given = os.environ.get("NAPARI_ANNEAL_WEIGHTS")
    return Path(given) if given else Path.home() / ".cache" / "napari-anneal" / "weights"


def _seeded_network(spec: ArchitectureSpec, seed: int) -> nn.Module:
    """Build a network whose fresh weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_network(spec)


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    """Read a dictionary of tensors without executing anything that is in the file."""
    import pickle

    if not path.is_file():
        raise StartError(f"there is no weights file {path}; check the path.")
    try:
        if path.suffix == ".safetensors":
            import safetensors.torch

            state: Any = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise StartError(
            f"{path} holds more than tensors (or is not a weights file) and was not opened, because it could run code; "
            "save it as .safetensors."
        ) from error
    except Exception as error:  # the two readers raise many types for a damaged file
        raise StartError(
            f"{path} is not a readable weights file ({type(error).__name__}); download it again."
        ) from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not any(isinstance(v, torch.Tensor) for v in state.values()):
        raise StartError(f"{path} holds no weights; use a .safetensors or .pth file of the encoder.")
    tensors = {k: v for k, v in state.items() if isinstance(v, torch.Tensor)}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise StartError(f"{path}: {name} holds NaN or infinite weights; download the file again.")
    return tensors


def _with_encoder(spec: ArchitectureSpec, state: dict[str, torch.Tensor], seed: int, source: str) -> nn.Module:
    """Build a network and let timm fit the weights into its encoder (names, RGB stem, dropped classifier)."""
    import timm

    network = _seeded_network(spec, seed)
    encoder: Any = network.get_submodule("encoder.model")
    own = {k.removeprefix("encoder.model."): v for k, v in state.items() if k.startswith("encoder.model.")}
    if own:  # weights of one of our own networks
        state = own
        wanted = encoder.state_dict()
    else:
        try:
            donor = timm.create_model(
                spec.encoder,
                features_only=True,
                out_indices=tuple(encoder.feature_info.out_indices),
                in_chans=spec.in_channels,
                pretrained=True,
                pretrained_cfg_overlay={"state_dict": dict(state), "num_classes": _classifier_size(state)},
            )
        except Exception as error:
            raise StartError(_misfit(source, spec.encoder)) from error
        state, wanted = donor.state_dict(), encoder.state_dict()
    fits = {k: v for k, v in state.items() if k in wanted and v.shape == wanted[k].shape}
    if set(fits) != set(wanted):
        raise StartError(_misfit(source, spec.encoder))
    before = {k: v.clone() for k, v in wanted.items() if v.is_floating_point()}
    encoder.load_state_dict(fits)
    # timm is lenient about names it does not find; an encoder that has not changed was not loaded.
    if all(torch.equal(before[k], fits[k]) for k in before if k.endswith("weight") and before[k].ndim == 4):
        raise StartError(_misfit(source, spec.encoder))
    return network


def _classifier_size(state: dict[str, torch.Tensor]) -> int:
    sizes = [
        len(v)
        for k, v in state.items()
        if v.ndim == 2 and k.endswith(("fc.weight", "classifier.weight", "head.weight"))
    ]
    return sizes[0] if sizes else 1000


def _misfit(source: str, encoder: str) -> str:
    return f"{source} does not hold the weights of a {encoder}; choose the encoder that the file was saved from."


def _convert_stem(state: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], old: int, new: int) -> None:
    """Convert the one convolution that sees the image between grey and colour, in place."""
    from timm.models._manipulate import adapt_input_conv

    for name, tensor in state.items():
        if name in wanted and tensor.shape != wanted[name].shape and tensor.ndim == 4 and tensor.shape[1] == old:
            if old == 3 and new == 1:
                state[name] = adapt_input_conv(1, tensor)
                return
            if old == 1 and new == 3:
                state[name] = tensor.repeat(1, 3, 1, 1) / 3
                return
    raise StartError(
        f"the start model takes {old}-channel images and these have {new}; start from one trained on {new} channels."
    )


def _from_hub(repository: str, encoder: str, local: Path) -> Path:
    """The weights file of a hub repository: from the cache if it is there, else downloaded; quick to give up."""
    import huggingface_hub

    cached = huggingface_hub.try_to_load_from_cache(repository, "model.safetensors")
    if isinstance(cached, str):
        return Path(cached)
    endpoint = huggingface_hub.constants.ENDPOINT
    address = f"{endpoint}/{repository}/resolve/main/model.safetensors"
    if huggingface_hub.constants.HF_HUB_OFFLINE or not _within(NETWORK_PATIENCE_S, lambda: _answers(address)):
        raise StartError(
            f"the ImageNet weights of {encoder} are not on this computer and {endpoint} does not answer; download "
            f"{address} on a computer with network and put it at {local}, or start from a shipped model."
        )
    try:
        return Path(huggingface_hub.hf_hub_download(repository, "model.safetensors"))
    except Exception as error:
        raise StartError(
            f"the download of the ImageNet weights of {encoder} failed ({type(error).__name__}); download {address} by "
            f"hand and put it at {local}."
        ) from error


def _answers(address: str) -> bool:
    import urllib.request

    request = urllib.request.Request(address, method="HEAD")
    with urllib.request.urlopen(request, timeout=NETWORK_PATIENCE_S) as reply:
        return bool(reply.status < 400)


def _within(seconds: float, question: Callable[[], bool]) -> bool:
    """Ask in a thread of its own: a name lookup has no time limit, and the user must not wait for it."""
    answers: list[bool] = []

    def ask() -> None:
        try:
            answers.append(question())
        except Exception:
            answers.append(False)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(answers and answers[0])
