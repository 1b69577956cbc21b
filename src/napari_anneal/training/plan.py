"""Plans of runs on the same samples, again and again: what was read, built and measured once is not done twice.

A form asks for a new plan at every change of a setting. The samples are read at the first; after that a plan with other
stages costs milliseconds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, MutableMapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from napari_anneal.cancelling import CancelSignal
from napari_anneal.devices import free_bytes, pick_device
from napari_anneal.errors import InputError
from napari_anneal.inference import Model
from napari_anneal.models import BundleCard
from napari_anneal.models.starts import Start
from napari_anneal.samples.gold import is_locked
from napari_anneal.samples.patches import prepare_slices
from napari_anneal.samples.placing import readable_bytes
from napari_anneal.samples.sample import Sample
from napari_anneal.synthesis import SyntheticStream
from napari_anneal.training.batches import batches
from napari_anneal.training.losses import loss_of_recipe
from napari_anneal.training.recipe import FineTuneRecipe
from napari_anneal.training.rehearsal import StepTimes, rehearse
from napari_anneal.training.run_plan import RunPlan, describe_groups, describe_stages
from napari_anneal.training.run_setup import run_warnings
from napari_anneal.training.setup import Prepared, prepare_run, resolve_start
from napari_anneal.training.step_memory import StepMemory, activation_bytes, step_memory, widest_stage
from napari_anneal.validation import SplitPlan

__all__ = ["Planner", "plan_run"]

# Settings that change neither how long a step takes nor what it keeps in memory.
FREE = {
    "preset", "stages", "classes", "colours", "seed", "patience", "steps_per_epoch", "rates_for_batch",
    "validation_patches", "noise_scale_every", "max_gradient", "balance_classes",
}  # fmt: skip
# Settings that the data need not be prepared again for.
ABOUT_STEPS = {"preset", "stages", "rates_for_batch", "noise_scale_every", "max_gradient", "patience", "colours"}


class Planner:
    """Plans runs on the same samples.

    Parameters
    ----------
    samples
        As in `fine_tune`. Each is read at most once, at the first plan that needs it; gold samples never.
    times
        Where measured times are kept, by what they depend on; one dictionary may serve many planners.
    """

    def __init__(
        self, samples: Sequence[Sample] | SyntheticStream, times: MutableMapping[Hashable, StepTimes] | None = None
    ) -> None:
        self._given = samples
        self._times: MutableMapping[Hashable, StepTimes] = {} if times is None else times
        self._condensed: dict[int, Sample] = {}
        # The last of each: a person changes one setting at a time.
        self._prepared: tuple[Hashable, Prepared] | None = None
        self._begun: tuple[Hashable, Start] | None = None
        self._activations: tuple[Hashable, tuple[int, int]] | None = None

    @property
    def painted(self) -> int:
        """Number of painted images or slices; 0 for a stream."""
        if isinstance(self._given, SyntheticStream):
            return 0
        return sum(1 for sample in self._free() for _ in sample.painted_slices())

    def plan(
        self,
        plan: SplitPlan | None,
        recipe: FineTuneRecipe,
        start: str | os.PathLike[str] | Model | None,
        measure: bool = False,
        progress: Callable[[int, int], None] | None = None,
        cancel: CancelSignal | None = None,
    ) -> RunPlan:
        """As `plan_run`."""
        prepared = self._prepare(plan, recipe)
        begun = self._begin(recipe, start, prepared)
        device = pick_device(recipe.device)
        times = self._timed(begun, prepared, recipe, device, measure, progress, cancel)
        steps, judged = prepared.data.steps_per_epoch, len(prepared.data.validation)
        memory = self._memory(begun, prepared, recipe, device)
        warnings = run_warnings(recipe, device)
        return RunPlan(
            prepared.classes,
            {name: sum(parts.values()) for name, parts in describe_groups(begun.network).items()},
            describe_stages(begun.network, recipe, steps),
            steps,
            self._names(prepared.train),
            self._names(prepared.validation),
            (*prepared.notices, *begun.notices, *warnings, *_shortage(memory, device)),
            None if times is None else times.seconds(recipe, steps, judged) / 60,
            memory,
            str(device),
            describe_groups(begun.network),
        )

    def untrained(
        self,
        plan: SplitPlan | None,
        recipe: FineTuneRecipe,
        start: str | os.PathLike[str] | Model | None,
        name: str,
    ) -> Model:
        """The model that the run would leave, but with the weights it begins with: what a run after it can start from.

        It shares its network with this planner.
        """
        prepared = self._prepare(plan, recipe)
        begun = self._begin(recipe, start, prepared)
        return Model(begun.network, BundleCard(name=name, architecture=begun.spec, classes=prepared.classes))

    def _free(self) -> Iterator[Sample]:
        """The samples that are not locked gold."""
        for index, given in enumerate(() if isinstance(self._given, SyntheticStream) else self._given):
            if not is_locked(given):
                yield self._sample(index)

    def _sample(self, index: int) -> Sample:
        """The sample with its painted slices alone; as given where it cannot be read: the run's own checks say why."""
        assert not isinstance(self._given, SyntheticStream)
        if is_locked(self._given[index]):
            return self._given[index]
        if index not in self._condensed:
            given = self._given[index]
            try:
                self._condensed[index] = _painted_part(given)
            except InputError:
                return given
        return self._condensed[index]

    def _prepare(self, plan: SplitPlan | None, recipe: FineTuneRecipe) -> Prepared:
        # How much is validated depends on how long the stages are and which groups they train.
        lengths = tuple((stage.epochs, stage.steps, frozenset(stage.rates)) for stage in recipe.stages)
        key = (_split_key(plan), lengths, recipe.model_dump_json(exclude=ABOUT_STEPS))
        if self._prepared is None or self._prepared[0] != key:
            if isinstance(self._given, SyntheticStream):
                self._prepared = key, prepare_run(self._given, plan, recipe)
            else:
                gold = set() if plan is None else set(plan.gold)
                samples = [s if i in gold else self._sample(i) for i, s in enumerate(self._given)]
                self._prepared = key, prepare_run(samples, plan, recipe)
        return self._prepared[1]

    def _begin(self, recipe: FineTuneRecipe, start: str | os.PathLike[str] | Model | None, prepared: Prepared) -> Start:
        own = recipe.model_dump_json(include={"decoder", "encoder", "encoder_depth", "decoder_channels", "seed"})
        key = (id(start) if isinstance(start, Model) else str(start), own, prepared.classes, prepared.channels)
        if self._begun is None or self._begun[0] != key:
            self._begun = key, resolve_start(start, recipe, prepared.classes, prepared.channels)
        return self._begun[1]

    def _timed(
        self,
        begun: Start,
        prepared: Prepared,
        recipe: FineTuneRecipe,
        device: torch.device,
        measure: bool,
        progress: Callable[[int, int], None] | None,
        cancel: CancelSignal | None,
    ) -> StepTimes | None:
        widths = {len(stage.rates) for stage in recipe.stages}
        optimizers = tuple(sorted({stage.optimizer for stage in recipe.stages}))
        key = (_step_key(begun, recipe, device), min(widths), max(widths), optimizers)
        if measure and key not in self._times:
            loss_of = loss_of_recipe(recipe, prepared.painted, len(prepared.classes)).to(device)
            times = rehearse(begun, prepared.data, recipe, loss_of, device, progress, cancel)
            if times is not None:
                self._times[key] = times
        return self._times.get(key)

    def _memory(self, begun: Start, prepared: Prepared, recipe: FineTuneRecipe, device: torch.device) -> StepMemory:
        stage = widest_stage(begun.network, recipe)
        key = (_step_key(begun, recipe.model_copy(update={"batch_size": 1}), device), frozenset(stage.rates))
        if self._activations is None or self._activations[0] != key:
            loss_of = loss_of_recipe(recipe, prepared.painted, len(prepared.classes)).to(device)
            network = begun.network.to(device)
            (images, labels), *_ = batches(prepared.data.source, None, 2, range(1), recipe.seed, device)
            self._activations = key, activation_bytes(network, recipe, loss_of, images, labels)
        return step_memory(begun.network, recipe, device, self._activations[1])

    def _names(self, indices: tuple[int, ...]) -> tuple[str, ...]:
        if isinstance(self._given, SyntheticStream):
            return ()
        return tuple(self._given[i].name or f"sample {i}" for i in indices)


def plan_run(
    samples: Sequence[Sample] | SyntheticStream,
    plan: SplitPlan | None,
    recipe: FineTuneRecipe,
    start: str | os.PathLike[str] | Model | None,
    measure: bool = False,
) -> RunPlan:
    """Plan a run with the very functions that carry it out; same arguments and errors as ``fine_tune``.

    With ``measure`` a few real steps are timed, on a copy of the network, for ``RunPlan.minutes``.
    """
    return Planner(samples).plan(plan, recipe, start, measure)


def _painted_part(sample: Sample) -> Sample:
    """A sample whose image holds nothing but the painted slices, in unit range."""
    found = prepare_slices([sample], [0])
    if not found:
        return sample
    images, labels = np.stack([part.image for part in found]), np.stack([part.labels for part in found])
    stack = np.moveaxis(images, 1, -1) if "C" in sample.axes else images[:, 0]
    if not sample.is_stack:
        stack, labels = stack[0], labels[0]
    return replace(sample, image=stack, labels=labels)


def _shortage(memory: StepMemory, device: torch.device) -> tuple[str, ...]:
    """A sentence if the run wants more memory than is free."""
    free = free_bytes(device)
    if free is None or memory.total <= free:
        return ()
    return (
        f"The run is expected to take {readable_bytes(memory.total)} and {readable_bytes(free)} are free; take a "
        "smaller patch, a smaller batch, or fewer patches at once (micro batch).",
    )


def _split_key(plan: SplitPlan | None) -> Hashable:
    return None if plan is None else (plan.folds[0].train, plan.folds[0].val, plan.gold)


def _step_key(begun: Start, recipe: FineTuneRecipe, device: torch.device) -> Hashable:
    """What the time and the memory of a step depend on, beside the groups that learn."""
    settings: dict[str, Any] = recipe.model_dump(mode="json", exclude=FREE)
    return begun.spec.model_dump_json(), str(sorted(settings.items())), str(device)
