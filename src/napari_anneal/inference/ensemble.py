"""``ensemble``: models of several seeds or folds that vote with their mean probability, used as one model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from napari_anneal.errors import InputError
from napari_anneal.inference.members import MeanOfLooks
from napari_anneal.inference.model import Model, load_model
from napari_anneal.inference.views import AS_IT_IS

__all__ = ["Ensemble", "ensemble"]


class Ensemble(Model):
    """Models with the same classes as one: probabilities are the mean of theirs, each with its own temperature.

    Attributes
    ----------
    members
        The models, as they were given.
    """

    def __init__(self, members: Sequence[Model], temperature: float = 1.0) -> None:
        first = members[0]
        widest = max(members, key=lambda model: model.card.architecture.stride)
        named = [model.card.name for model in members if model.card.name]
        card = widest.card.model_copy(
            update={
                "name": f"ensemble of {len(members)}" + (f" ({', '.join(named)})"[:150] if named else ""),
                "colours": first.colours,
                "temperature": float(temperature),
                "recipe": first.card.recipe,
            }
        )
        network = MeanOfLooks(
            [model.network for model in members], [model.card.temperature for model in members], [AS_IT_IS]
        )
        super().__init__(network, card, device=first._device, precision=first._precision)
        self.members = tuple(members)

    def _estimating(self, uncertainty: bool | str) -> Model:
        """The mean over members is what an ensemble does anyway."""
        return super()._estimating("entropy" if uncertainty == "ensemble" else uncertainty)

    def calibrated(self, temperature: float, figures: Mapping[str, Any] | None = None) -> Ensemble:
        """The same members with a temperature on their mean; see `Model.calibrated`. Nothing is kept of ``figures``."""
        return Ensemble(self.members, super().calibrated(temperature).card.temperature)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> NoReturn:
        """Refuse: a bundle holds one network.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError("an ensemble is not one network and cannot be saved as a bundle; save its members one by one.")


def ensemble(models: Sequence[Model | str | os.PathLike[str]]) -> Ensemble:
    """Use the models of several seeds or folds as one.

    Parameters
    ----------
    models
        Two or more models, bundles or shipped names, with the same classes in the same order and the same channels.
        Device and precision are those of the first.

    Raises
    ------
    InputError
        Fewer than two, one given twice, or models that do not belong together.
    BundleError
        A bundle is damaged.
    """
    if isinstance(models, str | os.PathLike | Model):
        raise InputError("an ensemble needs a list of two models or more, such as the folds of a cross-validation.")
    named = [str(Path(model)) for model in models if not isinstance(model, Model)]
    for name in named:
        if named.count(name) > 1:
            raise InputError(f"{name!r} is in the ensemble twice; give each model once.")
    members = [model if isinstance(model, Model) else load_model(model) for model in models]
    if len(members) < 2:
        raise InputError(f"an ensemble needs two models or more, not {len(members)}; give one a fold or a seed.")
    first = members[0]
    for number, model in enumerate(members[1:], start=2):
        if any(model.network is other.network for other in members[: number - 1]):
            raise InputError(f"model {number} of the ensemble is in it twice; give each model once.")
        if model.classes != first.classes:
            raise InputError(
                f"model {number} of the ensemble has the classes {', '.join(model.classes)} and the first one "
                f"{', '.join(first.classes)}; only models with the same classes in the same order can vote together."
            )
        if model.card.context != first.card.context:
            raise InputError(
                f"model {number} of the ensemble takes {model.card.context} neighbouring slice(s) and the first one "
                f"{first.card.context}; only models that see the same can vote together."
            )
        channels, others = first.card.architecture.in_channels, model.card.architecture.in_channels
        if channels != others:
            raise InputError(
                f"model {number} of the ensemble takes {others} channel(s) and the first one {channels}; put grey and "
                "colour models into ensembles of their own."
            )
    return Ensemble(members)
