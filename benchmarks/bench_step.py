"""How much faster a training step of the product is than the plain float32 NCHW step, in one run.

    python benchmarks/bench_step.py

Both steps see the same network, batch and loss; rounds alternate, and the ratio of each pair is reported, in the
processor's time on one core, so that a busy machine does not count.
"""

from __future__ import annotations

import os
import statistics
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from napari_anneal.devices import autocast, has_bfloat16, pick_device
from napari_anneal.models import ArchitectureSpec, build_network
from napari_anneal.training.losses import PaintedLoss

ROUNDS, STEPS = 3, 2


def step_seconds(memory_format: torch.memory_format, precision: str, encoder: str, depth: int) -> float:
    """Mean processor time of one step over a few steps, after one that warms up."""
    device = pick_device("cpu")
    network = build_network(ArchitectureSpec(encoder=encoder, encoder_depth=depth, n_classes=3))
    network = network.to(memory_format=memory_format).train()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 1, 256, 256, generator=generator).contiguous(memory_format=memory_format)
    labels = torch.randint(0, 4, (8, 256, 256), generator=generator)
    loss_of, seconds = PaintedLoss(), []
    for _ in range(STEPS + 1):
        began = time.process_time()
        with autocast(device, precision):  # type: ignore[arg-type]
            logits = network(images)
        optimizer.zero_grad(set_to_none=True)
        loss_of(logits, labels).backward()
        optimizer.step()
        seconds.append(time.process_time() - began)
    return statistics.mean(seconds[1:])


def main() -> None:
    """Print the ratio of paired rounds for two networks."""
    print(f"{torch.get_num_threads()} threads, bfloat16 in hardware: {has_bfloat16(pick_device('cpu'))}")
    for encoder, depth in (("resnet18", 4), ("resnet34", 5)):
        ratios = []
        for _ in range(ROUNDS):
            plain = step_seconds(torch.contiguous_format, "float32", encoder, depth)
            ours = step_seconds(torch.channels_last, "auto", encoder, depth)
            ratios.append(plain / ours)
        spread = f"{min(ratios):.2f} – {max(ratios):.2f}"
        print(f"{encoder}, depth {depth}: {statistics.median(ratios):.2f} times the plain step ({spread})")


if __name__ == "__main__":
    main()
