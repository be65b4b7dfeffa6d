"""Gives a trained network outliers: channels with a very large range, as hybrids tend to have.

    python -m tools.reference.outliers MODEL --weights FILE.safetensors -o OUT.safetensors

A few channels inside blocks and along the residual streams are scaled up where they are written and
down where they are read. In float the network computes the same, so its labels and accuracy remain.
The outliers are constructed, not trained: they show what outliers do to a quantizer, not how
outliers arise.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.quantize.equalization import all_channels

FACTOR = 64.0
SHARE = 1 / 16
"""The share of a tensor's channels that become outliers, at least one."""


def add_outliers(net: MobileNetV4, seed: int = 0, factor: float = FACTOR) -> None:
    """Scales channels of a network in place, without changing what it computes."""
    generator = torch.Generator().manual_seed(seed)
    for channels in all_channels(net):
        count = channels.count
        chosen = torch.randperm(count, generator=generator)[: max(1, int(count * SHARE))]
        factors = torch.ones(count)
        factors[chosen] = factor
        channels.scale(factors)


def main() -> None:
    """Adds outliers to a checkpoint."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    with safe_open(options.weights, "pt") as file:
        metadata = file.metadata()
    spec = load_model(options.model).with_head(int(metadata["num_classes"]))
    net = MobileNetV4(spec)
    net.load_state_dict(load_file(options.weights))
    add_outliers(net.eval().requires_grad_(False))
    state = {name: value.contiguous() for name, value in net.state_dict().items()}
    save_file(state, options.out, metadata)


if __name__ == "__main__":
    main()
