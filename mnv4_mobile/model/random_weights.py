"""Makes random weights for benchmarks and tests of structure, which need no trained ones.

The outputs of a freshly initialised network are near 1e-16 and prove nothing. These weights
keep every activation near unit scale and give logits of order 1 that differ between images.
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
_IMAGES = 32
_SIZE = 64  # pixels
_PIXELS = _IMAGES * 512**2  # of all images together


def random_state(spec: ModelSpec, seed: int) -> dict[str, Tensor]:
    """Returns a complete state dict of `MobileNetV4(spec)`, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    output = "logits" if spec.head else "embedding"
    with torch.device("meta"):
        net = MobileNetV4(spec, outputs=(output,))
    net.to_empty(device="cpu").eval()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the last bits of a sum depend on the number of threads
    try:
        with torch.no_grad():
            for module in net.modules():
                _initialise(module, generator)
            found = net(_images(_calibration_size(spec), generator))[output]
            if net.head is not None:
                _scale_logits(net.head.classifier, found)
    finally:
        torch.set_num_threads(threads)
    return net.state_dict()


def _initialise(module: nn.Module, generator: torch.Generator) -> None:
    if isinstance(module, nn.Conv2d):
        weight = torch.randn(module.weight.shape, generator=generator)
        weight *= module.weight[0].numel() ** -0.5
        # Filters ignore what all channels have in common, and depthwise ones mostly copy. Otherwise
        # the zero padding around a map has a large effect, and the statistics of small images do
        # not hold for larger ones.
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
        # Most values pass the activation. If half of them were cut off at every layer, outputs
        # would all be alike or chaotic: a change of 1e-7 in the input would grow a thousandfold.
        nn.init.normal_(module.bias, mean=0.5, std=0.2, generator=generator)
        module.reset_running_stats()
        module.momentum = None  # averages the statistics of all batches
        module.train()
    elif isinstance(module, LayerScale):
        nn.init.constant_(module.gamma, _LAYER_SCALE)


def _scale_logits(classifier: nn.Conv2d, logits: Tensor) -> None:
    """Scales the logits and removes their mean; otherwise all images would rank alike."""
    mean = logits.mean(0)
    scale = _LOGITS_STD / (logits - mean).std()
    classifier.weight.mul_(scale)
    if classifier.bias is not None:
        classifier.bias.copy_(-mean * scale)


def _calibration_size(spec: ModelSpec) -> tuple[int, int]:
    """Returns a small size, which is enough for statistics, if the network takes it."""
    try:
        spec.table((_SIZE, _SIZE))
    except ConfigError:
        return spec.input_size
    return (_SIZE, _SIZE)


def _images(size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Returns images (N, 3, H, W) of colour, blotches, texture and grain in random shares."""
    count = max(1, min(_IMAGES, _PIXELS // (size[0] * size[1])))
    images = torch.zeros(count, 3, *size)
    for share in (1, 4, 16, 64):
        cells = [max(side * share // 64, 1) for side in size]
        noise = torch.randn((count, 3, *cells), generator=generator)
        amount = 1.5 * torch.rand((count, 1, 1, 1), generator=generator)
        images += amount * F.interpolate(noise, size=size, mode="bilinear", align_corners=False)
    return images
