"""Trains a network from scratch on a small machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset, Subset

WEIGHT_DECAY, SMOOTHING, EMA_DECAY = 0.05, 0.05, 0.998
WARM_UP = 1 / 30
"""Share of the steps in which the rate rises."""
EVERY = 100
"""Steps between two checkpoints."""


def normalise(images: Tensor) -> Tensor:
    """Returns (N, 3, H, W) uint8 images scaled to -1 to 1, as by a mean and a std of 0.5."""
    return (images / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def _ema(average: Tensor, value: Tensor, updates: Tensor | int) -> Tensor:
    """Returns a moving average that soon forgets the first, random weights."""
    return average + (value - average) * max(1 - EMA_DECAY, 10 / (int(updates) + 10))


def fit(
    model: nn.Module,
    batches: Dataset[tuple[Tensor, Tensor]],
    steps: int,
    rate: float,
    *,
    device: str = "cpu",
    state: Path | None = None,
) -> Iterator[tuple[int, nn.Module]]:
    """Trains on batch after batch, and yields the result every EVERY steps and at the end.

    Args:
        model: A network that returns `logits`.
        batches: Item i is the batch of step i, (N, 3, H, W) uint8 and (N,) labels.
        steps: The number of batches to train on.
        rate: The highest learning rate of AdamW.
        device: The device to train on.
        state: A file that is written before each yield; if it exists, training resumes from it.

    Yields:
        The steps done and the moving average of the weights and statistics.
    """
    model.to(device).train()
    for parameter in model.parameters():
        if parameter.ndim == 4:  # on a CPU, a step takes half the time of channels first
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    average = AveragedModel(model, avg_fn=_ema, use_buffers=True)
    kernels = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    groups: list[dict[str, Any]] = [{"params": kernels}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps, pct_start=WARM_UP, cycle_momentum=False
    )
    parts: dict[str, Any] = {
        "model": model,
        "average": average,
        "optimizer": optimizer,
        "schedule": schedule,
    }
    first = 0
    if state and state.exists():
        saved = torch.load(state, map_location=device, weights_only=True)
        first = saved["step"]
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    started, seen, right, total = time.monotonic(), 0, 0, 0.0
    rest = Subset(batches, range(first, steps))
    for step, (images, labels) in enumerate(
        DataLoader(rest, batch_size=None, num_workers=1), first + 1
    ):
        labels = labels.to(device)
        logits = model(normalise(images.to(device)))["logits"]
        loss = F.cross_entropy(logits, labels, label_smoothing=SMOOTHING)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
        seen, total = seen + len(labels), total + loss.item() * len(labels)
        right += int((logits.argmax(1) == labels).sum())
        if step % EVERY == 0 or step == steps:
            clock = time.monotonic() - started
            print(
                f"{step}/{steps}  loss {total / seen:.3f}  {right / seen:.2%}  {clock:.0f} s",
                flush=True,
            )
            seen, right, total = 0, 0, 0.0
            if state:
                saved = {name: part.state_dict() for name, part in parts.items()}
                torch.save(saved | {"step": step}, state)
            yield step, average.module.eval()
            average.train()


@torch.inference_mode()
def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """Returns the logits, (N, classes), of (N, 3, H, W) uint8 images."""
    device = next(model.parameters()).device
    parts = (model(normalise(part.to(device)))["logits"] for part in torch.split(images, 100))
    return torch.cat(list(parts)).cpu()


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Returns the share of images whose highest logit is that of the label."""
    return float((logits_of(model, images).argmax(1) == labels).double().mean())


def tensors(model: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """Returns the state dict for a file, with its floating-point tensors in `dtype`."""
    return {
        key: (tensor.to(dtype) if tensor.is_floating_point() else tensor).cpu().contiguous()
        for key, tensor in model.state_dict().items()
    }
