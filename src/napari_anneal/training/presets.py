"""The presets of the method, each a list of stages; and which one to take for how many labels, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from napari_anneal.errors import InputError
from napari_anneal.models.layer_groups import GROUPS
from napari_anneal.training.stages import ADAMW_RATES, SGD_RATES, OptimizerName, Stage, with_lion

__all__ = ["PRESETS", "Preset", "preset_stages", "recommend"]

Preset = Literal["canonical", "full", "feature_extraction", "linear_probe", "gradual", "gradual_canonical", "scratch"]
PRESETS: dict[Preset, str] = {
    "canonical": "Head first, then all layers at their own rates, then SGD for the last fifth.",
    "full": "All layers at their own rates from the first step (100 labelled images and more).",
    "feature_extraction": "Head alone; the backbone stays as it is (fewer than 100 labelled images).",
    "linear_probe": "Head alone until it has converged, then all layers: keeps the pretrained features undistorted.",
    "gradual": "Head first, then one block after the other from the last to the first.",
    "gradual_canonical": "Gradual unfreezing, then all layers with warm-up and cosine, then SGD.",
    "scratch": "All layers at one rate from fresh weights: the control, not the method.",
}
# Below this many labelled images the backbone is better left as it is.
FEW_LABELS = 100
HEAD_RATE = ADAMW_RATES["head"]


def preset_stages(preset: Preset, epochs: int, optimizer: OptimizerName = "adamw") -> tuple[Stage, ...]:
    """Stages of a preset, stretched to a number of epochs (a preset of n stages takes n epochs at least).

    ``optimizer`` takes the place of AdamW: Adam and SGD with the rates that the method gives them, Lion with rates
    divided and decay multiplied by 5. Stages that are SGD by design stay SGD.
    """
    return tuple(_with(stage, optimizer) for stage in _BUILD[preset](epochs))


def recommend(n_images: int, pretrained: bool = True) -> tuple[Preset, str]:
    """Preset for a number of labelled images, and one sentence that says why.

    Raises
    ------
    InputError
        No images.
    """
    if n_images < 1:
        raise InputError("there are no labelled images to choose a preset for; paint at least one.")
    images = f"{n_images} labelled image{'s' if n_images > 1 else ''}"
    if not pretrained:
        return "scratch", "Fresh weights hold nothing worth keeping, so all layers learn at one rate from the start."
    if n_images < FEW_LABELS:
        return (
            "feature_extraction",
            f"With {images} (fewer than {FEW_LABELS}) the backbone would learn the images by heart, so it stays as it "
            "is and only the head learns.",
        )
    return (
        "full",
        f"With {images} ({FEW_LABELS} or more) there is enough to adapt every layer, each at its own rate.",
    )


def _with(stage: Stage, optimizer: OptimizerName) -> Stage:
    if stage.optimizer != "adamw" or optimizer == "adamw":
        return stage
    if optimizer == "lion":
        return with_lion(stage)
    # SGD wants ten times AdamW's rates, in every row of the method's two tables.
    scale = SGD_RATES["head"] / ADAMW_RATES["head"] if optimizer == "sgd" else 1.0
    rates = {group: min(rate * scale, 1.0) for group, rate in stage.rates.items()}
    return stage.model_copy(update={"optimizer": optimizer, "rates": rates})


def _head(epochs: int) -> Stage:
    return Stage(name="head", epochs=epochs, rates={"head": HEAD_RATE})


def _all(epochs: int) -> Stage:
    return Stage(name="all layers", epochs=epochs, rates=ADAMW_RATES)


def _sgd(epochs: int) -> Stage:
    """The end of the recipe: SGD at a small constant rate, without decay."""
    return Stage(name="SGD", epochs=epochs, optimizer="sgd", rates=SGD_RATES, schedule="constant", weight_decay=0.0)


def _canonical(epochs: int) -> tuple[Stage, ...]:
    """A sixth of the epochs for the head alone, the last fifth for SGD, the rest for all groups."""
    epochs = max(3, epochs)
    head, last = max(1, round(epochs / 6)), max(1, round(epochs / 5))
    return (_head(head), _all(epochs - head - last), _sgd(last))


def _linear_probe(epochs: int) -> tuple[Stage, ...]:
    """Half the epochs for the head, so that it has converged before the features may move (Kumar et al. 2022)."""
    epochs = max(2, epochs)
    return (_head(epochs // 2), _all(epochs - epochs // 2))


def _gradual(epochs: int) -> tuple[Stage, ...]:
    """Unfreeze from the head down, one group a stage, at equal lengths (ULMFiT: Howard and Ruder 2018)."""
    down = GROUPS[::-1]
    epochs = max(len(down), epochs)
    stages = []
    for number, newest in enumerate(down, start=1):
        length = epochs * number // len(down) - epochs * (number - 1) // len(down)
        rates = {group: ADAMW_RATES[group] for group in down[:number]}
        stages.append(Stage(name="head" if newest == "head" else f"+ {newest}", epochs=length, rates=rates))
    return tuple(stages)


def _gradual_canonical(epochs: int) -> tuple[Stage, ...]:
    """Half the epochs to unfreeze; then the recipe, whose head has been trained by then."""
    epochs = max(len(GROUPS) + 2, epochs)
    first = max(len(GROUPS), epochs // 2)
    rest = epochs - first
    last = max(1, round(epochs / 5)) if rest > 1 else 1
    last = min(last, rest - 1)
    return (*_gradual(first), _all(rest - last), _sgd(last))


_BUILD: dict[Preset, Callable[[int], tuple[Stage, ...]]] = {
    "canonical": _canonical,
    "full": lambda epochs: (_all(max(1, epochs)),),
    "feature_extraction": lambda epochs: (_head(max(1, epochs)),),
    "linear_probe": _linear_probe,
    "gradual": _gradual,
    "gradual_canonical": _gradual_canonical,
    "scratch": lambda epochs: (
        Stage(name="all layers", epochs=max(1, epochs), rates=dict.fromkeys(GROUPS, HEAD_RATE)),
    ),
}
