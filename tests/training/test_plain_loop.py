"""The product's loop against a plain PyTorch loop written here, and accumulated gradients against whole ones."""

from __future__ import annotations

import math

import pytest
import torch
from painted_halves import specimen
from torch import nn
from torch.nn import functional

from napari_anneal.augmentation import AugmentationRecipe
from napari_anneal.models.architecture import ArchitectureSpec, build_network
from napari_anneal.samples.patches import PatchSampler, painted_tiles, prepare_slices
from napari_anneal.training import FineTuneRecipe
from napari_anneal.training.batches import batches
from napari_anneal.training.events import StepDone
from napari_anneal.training.gradients import backward, is_out_of_memory
from napari_anneal.training.loop import TrainingSet, train
from napari_anneal.training.losses import PaintedLoss
from napari_anneal.training.state import RunState

SPEC = ArchitectureSpec(encoder="resnet10t", encoder_depth=3, decoder_channels=(8, 8, 8))
STEPS = 50


def fresh(spec=SPEC):
    torch.manual_seed(3)
    return build_network(spec).to(memory_format=torch.channels_last)


def training_set():
    slices = prepare_slices([specimen(s) for s in range(3)], [0, 1, 2])
    return TrainingSet(PatchSampler(slices, 32, 2, 0), painted_tiles(slices, 32, 2), steps_per_epoch=25)


def plain_loop(network, data):
    """AdamW at one rate with linear warm-up and cosine: what a person would write."""
    device = torch.device("cpu")
    decayed = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}])
    warm, losses = math.ceil(0.05 * STEPS), []
    stream = batches(data.source, None, 2, range(STEPS), 0, device)
    for step, (images, labels) in enumerate(stream):
        if step < warm:
            factor = (step + 1) / warm
        else:
            factor = 0.5 * (1 + math.cos(math.pi * (step - warm + 1) / (STEPS - warm + 1)))
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * factor
        network.train()
        logits = network(images).float()
        target = labels - 1
        cross_entropy = functional.cross_entropy(logits, target, ignore_index=-1)
        painted = target >= 0
        probability = torch.softmax(logits, dim=1).movedim(1, -1)[painted]
        truth = functional.one_hot(target[painted], 2).to(probability.dtype)
        present = truth.sum(0) > 0
        dice = 2 * (probability * truth).sum(0)[present] / (probability + truth).sum(0)[present]
        loss = cross_entropy + (1 - dice.mean())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % 25 == 0:
            network.eval()
    return losses


def test_fifty_steps_equal_a_plain_loop_bit_for_bit():
    data = training_set()
    theirs = fresh()
    expected = plain_loop(theirs, data)
    recipe = FineTuneRecipe.from_preset(
        "scratch", epochs=2, batch_size=2, patch=32, augmentation=AugmentationRecipe.none(), precision="float32",
        balance_classes=False, encoder="resnet10t", encoder_depth=3, decoder_channels=(8, 8, 8), patience=100,
    )  # fmt: skip
    state = RunState(fresh())
    weights = {}
    losses = []
    for event in train(state, data, recipe, PaintedLoss(1.0, 1.0, None), torch.device("cpu"), lambda: False):
        if isinstance(event, StepDone):
            losses.append(event.loss)
            if event.step == STEPS:
                weights = {name: t.clone() for name, t in state.network.state_dict().items()}
    assert losses == expected
    assert all(torch.equal(weights[name], tensor) for name, tensor in theirs.state_dict().items())


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 5])
def test_accumulated_gradients_are_those_of_the_whole_batch(micro_batch):
    network = fresh()
    network.eval()  # frozen statistics: batch statistics of a piece are not those of the batch
    generator = torch.Generator().manual_seed(0)
    images = torch.randn((5, 1, 32, 32), generator=generator)
    # The pieces hold very different amounts of paint, and one holds none.
    labels = torch.randint(0, 3, (5, 32, 32), generator=generator)
    labels[0] = 0
    labels[1, 4:] = 0
    loss_of = PaintedLoss(1.0, 1.0, torch.tensor([0.7, 1.8]))

    def gradients(size):
        network.zero_grad()
        loss = backward(network, network, loss_of, images, labels, size)
        return loss, [p.grad.clone() for p in network.parameters()]

    whole, expected = gradients(None)
    pieces, found = gradients(micro_batch)
    assert pieces == pytest.approx(whole, rel=1e-6)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_accumulating_moves_running_statistics_once_a_piece_and_drops_out_alike():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 2, 1))
    network.train()
    images, labels = torch.randn(4, 1, 8, 8), torch.randint(1, 3, (4, 8, 8))
    backward(network, network, PaintedLoss(), images, labels, 2)
    assert network[1].num_batches_tracked == 2
    # One gradient a parameter, from the dropout masks of the first pass: the loss and its slope agree.
    torch.manual_seed(5)
    network.zero_grad()
    loss = backward(network, network, PaintedLoss(), images, labels, 2)
    slope = network[3].bias.grad.clone()
    with torch.no_grad():
        network[3].bias += 1e-3
    torch.manual_seed(5)
    moved = backward(network, network, PaintedLoss(), images, labels, 2)
    assert (moved - loss) / 1e-3 == pytest.approx(float(slope.sum()), abs=2e-2)


def test_what_counts_as_out_of_memory():
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes"))
    assert not is_out_of_memory(RuntimeError("size mismatch"))
    assert not is_out_of_memory(ValueError("not enough memory"))
