"""One of the processes of a shared run, started by the tests: goes through runs one by one and writes what came out."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

import torch
from painted_halves import SMALL, specimen

from napari_anneal.errors import AnnealError
from napari_anneal.training import FineTuneRecipe, RunControl, fine_tune, keeper, step
from napari_anneal.training.events import EpochDone, NoiseScaleRead, StepDone

RANK = int(os.environ.get("LOCAL_RANK", 0))
# Gradient descent does not amplify rounding; Adam's first steps do, where a gradient is 0 but for rounding.
SGD = {"optimizer": "sgd", "epochs": 4, "batch_size": 4, "precision": "float32"}


def shared(out=None, resume=False, samples=None, on_event=None, **changes):
    """Run and return everything that can be compared."""
    told = {"losses": [], "val_losses": [], "noise": 0, "steps": 0}
    control, cancel = RunControl(), threading.Event()

    def listen(event):
        if isinstance(event, StepDone):
            told["losses"].append(event.loss)
            told["patches_per_s"] = event.patches_per_s
        if isinstance(event, EpochDone):
            told["val_losses"].append(event.val_loss)
        told["noise"] += isinstance(event, NoiseScaleRead)
        if on_event is not None:
            on_event(event, control, cancel)

    settings = SMALL | SGD | changes
    recipe = FineTuneRecipe.from_preset("full", **settings)
    samples = samples or [specimen(seed) for seed in range(3)]
    run = fine_tune(samples, recipe=recipe, out=out, on_event=listen, resume=resume, cancel=cancel, control=control)
    weights = {name: t.double().flatten().tolist() for name, t in run.model.network.state_dict().items()}
    return told | {"reason": run.reason, "weights": weights, "notices": run.notices, "out": str(run.out)}


def sentence_of(**settings):
    try:
        shared(**settings)
    except AnnealError as error:
        return str(error)
    return "no error"


def when(step, act):
    """Do something on the first process after a step; on the other one nothing is told."""

    def on_event(event, control, cancel):
        if isinstance(event, StepDone) and event.step == step:
            act(control, cancel)

    return on_event


def little_memory_on_the_second(devices):
    real = step.backward

    def backward(forward, network, loss_of, images, labels, micro_batch, *rest):
        if RANK == 1 and (micro_batch or len(images)) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(forward, network, loss_of, images, labels, micro_batch, *rest)

    step.backward = backward
    try:
        return shared(devices=devices, batch_norm="frozen")
    finally:
        step.backward = real


def with_a_nan(step_number, **changes):
    """A run whose loss is NaN in one step."""
    real, calls = step.Stepper.__call__, []

    def spoiled(self, *given):
        stepped = real(self, *given)
        calls.append(1)
        return step.Stepped(float("nan"), stepped.told, True) if len(calls) == step_number else stepped

    step.Stepper.__call__ = spoiled
    try:
        return shared(**changes)
    finally:
        step.Stepper.__call__ = real


def death_of_the_second(out):
    """The second process ends without a word in the fifth step."""
    real, calls = step.Stepper.__call__, []

    def dies(self, *given):
        calls.append(1)
        if RANK == 1 and len(calls) == 5:
            os._exit(3)
        return real(self, *given)

    step.Stepper.__call__ = dies
    keeper.SAVE_EVERY_S, keeper.LEAST_WORK_PER_WRITE = -1e9, 0.0
    return sentence_of(devices=2, out=out)


def main(folder):
    out = Path(folder)
    other = [specimen(RANK + 7), specimen(1), specimen(2)]
    runs = {
        "plain": lambda: shared(devices=2, noise_scale_every=3, out=out / "plain"),
        "pieces": lambda: shared(devices=2, micro_batch=1, batch_norm="frozen", ema_decay=0.5),
        "memory": lambda: little_memory_on_the_second(2),
        "early": lambda: shared(devices=2, patience=1),
        "nan": lambda: with_a_nan(5, devices=2, epochs=2),
        "finish": lambda: shared(devices=2, on_event=when(4, lambda control, cancel: control.finish())),
        "pause": lambda: shared(devices=2, epochs=1, on_event=when(1, pause)),
        "cancel": lambda: shared(devices=2, out=out / "cut", on_event=when(5, lambda control, cancel: cancel.set())),
        "resume": lambda: shared(devices=2, out=out / "cut", resume=True),
        "fault": lambda: sentence_of(devices=2, out=out / "plain"),
        "files": lambda: sentence_of(devices=2, samples=other),
        "death": lambda: death_of_the_second(out / "death"),
    }
    for name, run in runs.items():
        (out / f"{name}-{RANK}.json").write_text(json.dumps(run()))
        print(name, flush=True)


def pause(control, cancel):
    control.pause()
    threading.Timer(0.5, control.go_on).start()


if __name__ == "__main__":
    main(sys.argv[1])
