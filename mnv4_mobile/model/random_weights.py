"""Weights for benchmarks and tests of structure, where no trained ones are at hand.

A network as it is initialised is dead: its outputs are near 1e-16 and prove nothing. These
weights keep every activation near unit scale and give logits of order 1 that differ between
pictures.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.model.blocks import LayerScale
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.spec import ModelSpec

_LAYER_SCALE = 0.5
_LOGITS_STD = 1.0
_PICTURES = 32
_SIZE = 64  # pixels


def random_state(spec: ModelSpec, seed: int) -> dict[str, Tensor]:
    """A complete state dict of `MobileNetV4(spec)`, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    output = "logits" if spec.head else "embedding"
    with torch.device("meta"):
        net = MobileNetV4(spec, outputs=(output,))
    net.to_empty(device="cpu").eval()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the last bits of a sum depend on how it was shared out
    try:
        with torch.no_grad():
            for module in net.modules():
                _initialise(module, generator)
            found = net(_pictures(_calibration_size(spec), generator))[output]
            if net.head is not None:
                _scale_logits(net.head.classifier, found)
    finally:
        torch.set_num_threads(threads)
    return net.state_dict()


def _initialise(module: nn.Module, generator: torch.Generator) -> None:
    if isinstance(module, nn.Conv2d):
        weight = torch.randn(module.weight.shape, generator=generator)
        weight *= module.weight[0].numel() ** -0.5
        # Filters that ignore what all channels have in common, and depthwise ones that mostly
        # copy: otherwise the zeros around a map count for much, and the statistics of small
        # pictures do not hold for larger ones.
        if module.groups == 1:
            weight -= weight.mean((1, 2, 3), keepdim=True)
        else:
            weight *= 0.5
            weight[:, :, module.kernel_size[0] // 2, module.kernel_size[1] // 2] += 1
        module.weight.copy_(weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
        # Most values pass the activation. With half of them cut off at every layer, pictures
        # become either all alike or chaotic: a change of 1e-7 of the input grows a thousandfold.
        nn.init.normal_(module.bias, mean=0.5, std=0.2, generator=generator)
        module.reset_running_stats()
        module.momentum = None  # takes the statistics of the batches that it sees as they are
        module.train()
    elif isinstance(module, LayerScale):
        nn.init.constant_(module.gamma, _LAYER_SCALE)


def _scale_logits(classifier: nn.Conv2d, logits: Tensor) -> None:
    """Takes the mean away, as otherwise every picture would have nearly the same ranking."""
    mean = logits.mean(0)
    scale = _LOGITS_STD / (logits - mean).std()
    classifier.weight.mul_(scale)
    if classifier.bias is not None:
        classifier.bias.copy_(-mean * scale)


def _calibration_size(spec: ModelSpec) -> tuple[int, int]:
    """Small pictures are enough for statistics, where the network takes them."""
    try:
        spec.table((_SIZE, _SIZE))
    except ConfigError:
        return spec.input_size
    return (_SIZE, _SIZE)


def _pictures(size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """(N, 3, H, W): colour, blotches, texture and grain, of each more or less."""
    pictures = torch.zeros(_PICTURES, 3, *size)
    for share in (1, 4, 16, 64):
        cells = [max(side * share // 64, 1) for side in size]
        noise = torch.randn((_PICTURES, 3, *cells), generator=generator)
        amount = 1.5 * torch.rand((_PICTURES, 1, 1, 1), generator=generator)
        pictures += amount * F.interpolate(noise, size=size, mode="bilinear", align_corners=False)
    return pictures
