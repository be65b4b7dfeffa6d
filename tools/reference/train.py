"""Trains a network on the reference images.

    python -m tools.reference.train conv-small -o conv-small.safetensors

The model is a shipped configuration or a YAML file, as for `mnv4 build`, which takes the checkpoint
with `--weights`. The checkpoint is written every 100 steps; if training was stopped, the same
command resumes from the .state file beside it. A checkpoint given with `--init` is trained further
on images of full size and difficulty.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import Dataset

from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.records import plain
from tools.reference.draw import PREPROCESS, SIDE, TASKS, pictures
from tools.reference.training import accuracy, fit, tensors

SEED, BATCH, RATE = 20, 32, 2e-3
STEPS, EVALUATED = 2000, 960
EASY = 0.4
"""The share of the steps in which images grow from plain figures to their final form; without that
the network stays at chance for long."""
SMALL = (0.7, 64)
"""The first share of the steps uses images of this side, which cost less than half."""


class Batches(Dataset[tuple[Tensor, Tensor]]):
    """Item i is the batch of step i, whichever process draws it."""

    def __init__(self, task: str, steps: int, first: int) -> None:
        self.task, self.steps, self.first = TASKS[task], steps, first

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        seed = SEED * 1_000_000 + self.first + step
        share = 1.0 if self.first else step / self.steps
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(len(self.task.labels), (BATCH,), generator=generator)
        side = SMALL[1] if share < SMALL[0] else SIDE
        return self.task.compose("training", labels, seed, side, min(1, share / EASY)), labels


def main() -> None:
    """Trains a network and writes its checkpoints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--task", choices=TASKS, default="figures")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--init", type=Path, help="train this checkpoint further, at half the rate")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--half", action="store_true", help="write float16")
    options = parser.parse_args()

    names = TASKS[options.task].labels
    images, labels = pictures("evaluation", EVALUATED, options.task)
    torch.manual_seed(SEED)
    spec = load_model(options.model).with_head(len(names))
    model = MobileNetV4(spec)
    first = 0
    if options.init:
        with safe_open(options.init, "pt") as file:
            first = int(file.metadata()["steps"])
        model.load_state_dict(load_file(options.init))
    state = options.out.with_suffix(".state")
    started = time.monotonic()
    for step, trained in fit(
        model,
        Batches(options.task, options.steps, first),
        options.steps,
        RATE / 2 if first else RATE,
        device=options.device,
        state=state,
    ):
        top1 = accuracy(trained, images, labels)
        clock = time.monotonic() - started
        print(f"  evaluation: {top1:.2%} of {len(labels)}, {clock:.0f} s", flush=True)
        dtype = torch.float16 if options.half else torch.float32
        metadata = {
            "format": "mnv4-mobile",
            "model": spec.name,
            "num_classes": str(len(names)),
            "labels": json.dumps(names),
            "preprocess": json.dumps(plain(PREPROCESS)),
            "licence": "Apache-2.0",
            "top1_heldout": f"{top1:.4f}",
            "n_heldout": str(len(labels)),
            "seed": str(SEED),
            "steps": str(first + step),
        }
        save_file(tensors(trained, dtype), options.out, metadata)
    state.unlink()


if __name__ == "__main__":
    main()
