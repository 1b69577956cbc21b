"""``run.json``: what a run was asked to do, with what, and what came of it, as validated JSON in its folder."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_anneal.errors import InputError
from napari_anneal.models.card import software_versions
from napari_anneal.samples.placing import write_whole

__all__ = [
    "FACTS",
    "ClassicalScore",
    "Finding",
    "JudgedBy",
    "JudgedImage",
    "RunFacts",
    "UsedImage",
    "now",
    "read_facts",
    "start_in_words",
    "write_facts",
]

FACTS = "run.json"
# A run's facts are a few kilobytes; a file far beyond that is not one.
MAX_BYTES = 16 << 20

JudgedBy = Literal["other groups", "held-out paint", "training paint", "synthetic stream"]


@dataclass(frozen=True)
class Finding:
    """Something about a run that its user should know, and what to do about it.

    ``kind`` is a short fixed name for programs, ``sentence`` is for people. ``severity``: "warning" where the result
    is worse or less certain than it looks, "advice" where the next run may be better.
    """

    kind: str
    sentence: str
    severity: Literal["warning", "advice"]


class _Record(BaseModel):
    # What a later version adds is passed over.
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")


class UsedImage(_Record):
    """One image that a run was given."""

    name: str
    group: str = ""
    mark: str = Field("", description="What reports on it must say, such as that it was opened as gold before.")


class JudgedImage(_Record):
    """What the kept weights do on one validation image: painted pixels by true (row) and predicted class."""

    name: str
    group: str = ""
    z: int | None = Field(None, description="Slice of a stack.")
    confusion: tuple[tuple[int, ...], ...]
    picture: int | None = Field(None, description="Number of its picture in pictures.npz.")


class ClassicalScore(_Record):
    """What a classical method, fitted on the training images, does on the validation images."""

    name: str
    method: str = Field("", description="The method with its best parameters, in words.")
    dice: tuple[float | None, ...] = Field(description="Of each class, mean over images; null: not painted there.")

    @property
    def mean(self) -> float:
        """Mean Dice over the classes that have one; 0 without any."""
        known = [value for value in self.dice if value is not None]
        return sum(known) / len(known) if known else 0.0


class RunFacts(_Record):
    """Everything about a run but its recipe, its history and its weights, which have files of their own."""

    schema_version: int = 1
    name: str = ""
    created: str = Field(description="When the run began, UTC.")
    resumed: tuple[str, ...] = Field((), description="When it was gone on with, UTC.")
    start: dict[str, Any] = Field(default_factory=dict, description="Where the weights came from, and those before.")
    lineage: tuple[str, ...] = Field((), description="The whole way of the weights in words, oldest first.")
    start_given: str = Field("", description="The start as it was asked for; empty: a model in memory.")
    architecture: dict[str, Any] = Field(default_factory=dict)
    classes: tuple[str, ...]
    colours: tuple[Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")], ...] = ()
    train: tuple[UsedImage, ...] = ()
    validation: tuple[UsedImage, ...] = ()
    gold: tuple[UsedImage, ...] = Field((), description="Set aside; nothing of this run has touched them.")
    judged_by: JudgedBy
    train_painted: tuple[int, ...] = Field((), description="Painted training pixels of each class.")
    validation_painted: tuple[int, ...] = Field((), description="Painted validation pixels of each class.")
    validation_patches: int = 0
    parameters: dict[str, int] = Field(default_factory=dict, description="Parameters of each layer group.")
    patch: int = Field(0, description="Side of a patch, px, as it was cut.")
    steps_per_epoch: int = 1
    device: str = ""
    fingerprints: dict[str, str] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=software_versions)

    reason: str = Field("running", description="Why it ended.")
    seconds: float = 0.0
    steps: int = 0
    epochs: int = 0
    best_epoch: int = 0
    best_val_loss: float | None = None
    best_dice: tuple[float | None, ...] = Field((), description="Of each class; null: not painted there.")
    noise_scale: float | None = Field(None, description="Median gradient noise scale of the second half, patches.")
    noise_hides_gradient: bool = Field(False, description="Whether that median is infinite: no gradient to be seen.")
    fell_back: bool = Field(False, description="Whether a loss that was no number took the run back an epoch.")
    notices: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    images: tuple[JudgedImage, ...] = Field((), description="Validation images, worst first.")
    classical: tuple[ClassicalScore, ...] = Field((), description="Classical methods on the same images, best first.")

    def changed(self, **values: Any) -> RunFacts:
        """Return a copy with some facts changed, checked like a new one."""
        return RunFacts.model_validate({**{name: getattr(self, name) for name in RunFacts.model_fields}, **values})


def start_in_words(start: Mapping[str, Any]) -> str:
    """Say where weights came from, as a bundle's card and ``run.json`` keep it."""
    kind = str(start.get("kind", "unknown"))
    named = {"imagenet": "weights", "weights file": "file", "model": "name"}.get(kind)
    name = str(start.get(named) or "") if named else ""
    words = {"scratch": "fresh weights", "imagenet": "ImageNet", "weights file": "weights file", "model": "model"}
    if kind == "model" and not name:
        return "a model in memory"
    return f"{words.get(kind, kind)} {name}".strip()


def now() -> str:
    """Return the time, UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def write_facts(folder: Path, facts: RunFacts) -> None:
    """Write ``run.json``: whole or not at all.

    Raises
    ------
    OSError
        It could not be written; an earlier one is as it was.
    """
    write_whole(folder / FACTS, facts.model_dump_json(indent=2) + "\n")


def read_facts(folder: Path) -> RunFacts:
    """Read ``run.json`` of a run's folder.

    Raises
    ------
    InputError
        There is none, it is damaged, or it is of a later version.
    """
    path = folder / FACTS
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is far too large to be the facts of a run; it was not written by this package.")
        facts = RunFacts.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{folder} is not the folder of a run: there is no {FACTS} in it; check the path.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
    except ValidationError:
        raise InputError(f"{path} is damaged or is not the facts of a run; its model may still be good.") from None
    if facts.schema_version > 1:
        raise InputError(f"{path} was written by a later version of napari-anneal; update to read it.")
    return facts
