"""Brings the ranges of channels closer together, without changing what a network computes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mnv4_mobile.images import normalise
from mnv4_mobile.model.blocks import MMQA, UIR, ConvNorm, FusedIB, KeyValue
from mnv4_mobile.model.net import MobileNetV4

if TYPE_CHECKING:
    from mnv4_mobile.quantize.calibration import Calibration

_IMAGES = 16  # 32 equalize no better
_PERCENTILE = 0.9  # percentile over images of a channel's range
_EXPONENT = 0.5
"""1 would give all channels the same range, but spread the weights that read them as far apart."""
_EXPONENT_DEPTHWISE = 0.75  # higher, as depthwise weights have one scale for each of these channels
_OUTLIER = 2.0
"""Ranges of channels above this multiple of the median range are first reduced to it."""
_LARGEST_FACTOR = 32.0  # the limit for channels that hardly ever differ from zero


@dataclass(frozen=True, kw_only=True)
class Channels:
    """Channels that can be scaled where they are written if that is undone where they are read."""

    written: list[ConvNorm | nn.Conv2d]
    read: list[nn.Conv2d | nn.BatchNorm2d]
    seen: list[nn.Module]
    """Modules whose outputs have these channels."""
    multiplied: list[nn.Conv2d] = field(default_factory=list)
    """Convolutions by whose outputs these channels are multiplied: queries by keys."""

    @property
    def count(self) -> int:
        """Number of channels; heads of attention share them."""
        convs = [w.conv if isinstance(w, ConvNorm) else w for w in self.written]
        return min(conv.out_channels for conv in (*convs, *self.multiplied))

    @property
    def depthwise(self) -> bool:
        """Whether only depthwise convolutions read the channels."""
        return all(isinstance(r, nn.Conv2d) and r.groups > 1 for r in self.read)

    def scale(self, factor: Tensor) -> None:
        """Multiplies the channels by positive factors (C,), and undoes it where they are read."""
        with torch.no_grad():
            for writer in self.written:
                _scale_written(writer, factor)
            for reader in self.read:
                _scale_read(reader, 1 / factor)
            for other in self.multiplied:
                _scale_written(other, 1 / factor)


def equalize(net: MobileNetV4, calibration: Calibration) -> None:
    """Brings the ranges of a tensor's channels closer together (Nagel et al., arXiv 1906.04721).

    A tensor has one scale, so channels with a small range get few of its 256 steps.
    """
    groups = list(all_channels(net))
    ranges: dict[nn.Module, list[Tensor]] = {}
    handles = [
        module.register_forward_hook(partial(_add_ranges, ranges))
        for module in {module: None for group in groups for module in group.seen}
    ]
    with torch.inference_mode():
        for picture in islice(calibration, _IMAGES):
            net(torch.from_numpy(normalise(picture[None], calibration.preprocess)))
    for handle in handles:
        handle.remove()
    for group in groups:
        found = [torch.stack(ranges[m]).quantile(_PERCENTILE, dim=0) for m in group.seen]
        seen = torch.stack(found).amax(0)
        usual = seen.clamp(max=_OUTLIER * float(seen.median()))
        exponent = _EXPONENT_DEPTHWISE if group.depthwise else _EXPONENT
        factor = usual / seen * (usual / usual.max()) ** -exponent
        group.scale(factor.nan_to_num(nan=1.0).clamp(max=_LARGEST_FACTOR).clone())


def _add_ranges(
    ranges: dict[nn.Module, list[Tensor]], module: nn.Module, _: tuple[Tensor, ...], x: Tensor
) -> None:
    """Adds the range of every channel for one image."""
    found = x.amax((0, 2, 3)).clamp(min=0) - x.amin((0, 2, 3)).clamp(max=0)
    ranges.setdefault(module, []).append(found)


def _scale_written(module: ConvNorm | nn.Conv2d, factor: Tensor) -> None:
    norm = module.norm if isinstance(module, ConvNorm) else None
    if norm is not None:
        norm.weight.mul_(factor)
        norm.bias.mul_(factor)
        return
    conv = module.conv if isinstance(module, ConvNorm) else module
    factor = factor.repeat(conv.out_channels // len(factor))  # once for each head
    conv.weight.mul_(factor.view(-1, 1, 1, 1))
    if conv.bias is not None:
        conv.bias.mul_(factor)


def _scale_read(module: nn.Conv2d | nn.BatchNorm2d, factor: Tensor) -> None:
    """Changes f(x) into f(x * factor)."""
    if isinstance(module, nn.BatchNorm2d):
        assert module.running_mean is not None
        module.running_mean.div_(factor)
        module.weight.mul_(factor)
    elif module.groups > 1:
        module.weight.mul_(factor.view(-1, 1, 1, 1))
    else:
        factor = factor.repeat(module.in_channels // len(factor))  # once for each head
        module.weight.mul_(factor.view(1, -1, 1, 1))


def all_channels(net: MobileNetV4) -> Iterator[Channels]:
    """Yields all channels of a network that can be scaled, except those of `float_channels`."""
    for block in net.modules():
        match block:
            case UIR():
                parts = (block.extra, block.expand, block.middle, block.project)
                yield from _chain([part for part in parts if part is not None])
            case FusedIB():
                yield from _chain([block.expand, block.project])
            case KeyValue() if block.down is not None:
                yield Channels(written=[block.down], read=[block.project], seen=[block.down])
    yield from _streams(net)


def float_channels(net: MobileNetV4) -> Iterator[Channels]:
    """Yields the channels that can be scaled, but that recipes for integers leave in float.

    They are queries, keys and values of attention, which is linear in each of them, and the hidden
    features of the head.
    """
    for block in net.modules():
        if isinstance(block, MMQA):
            query, key, value = block.query, block.key.project, block.value.project
            yield Channels(written=[value], read=[block.output], seen=[])
            yield Channels(written=[key], read=[], seen=[], multiplied=[query])
            yield Channels(written=[query], read=[], seen=[], multiplied=[key])
    if net.head is not None and net.head.conv is not None and _passes_factors(net.head.conv):
        yield Channels(written=[net.head.conv], read=[net.head.classifier], seen=[])


def _chain(parts: list[ConvNorm]) -> Iterator[Channels]:
    """Yields the channels between consecutive convolutions."""
    for first, second in pairwise(parts):
        if _passes_factors(first):
            yield Channels(written=[first], read=[second.conv], seen=[first])


def _passes_factors(block: nn.Module) -> bool:
    """Returns whether f(c x) = c f(x) for c > 0, where f follows a block's last convolution."""
    act = block.act if isinstance(block, ConvNorm) else None
    return act is None or isinstance(act, nn.ReLU | nn.LeakyReLU)


def _streams(net: MobileNetV4) -> Iterator[Channels]:
    """Yields the channels between blocks; residual blocks share those of their input.

    Channels that are outputs of the network are left out.
    """
    blocks: list[tuple[nn.Module, str]] = [(net.stem, "")]
    last = len(net.stages) - 1
    for index, stage in enumerate(net.stages):
        assert isinstance(stage, nn.Sequential)
        # The last stage's output comes after the final convolution.
        names = [""] * (len(stage) - 1) + [f"stage_{index}" if index < last else ""]
        blocks += zip(stage, names, strict=True)
    blocks.append((net.final, f"stage_{last}"))
    stream, fixed = Channels(written=[], read=[], seen=[]), True
    for block, name in blocks:
        stream.read.append(_reader(block))
        if not _is_residual(block):
            if not fixed:
                yield stream
            stream, fixed = Channels(written=[], read=[], seen=[]), not _passes_factors(block)
        stream.written.append(_writer(block))
        stream.seen.append(block)
        fixed = fixed or name in net.outputs
    if net.head is not None and not fixed and "embedding" not in net.outputs:
        stream.read.append(_reader(net.head.conv or net.head.classifier))
        yield stream


def _is_residual(block: nn.Module) -> bool:
    return isinstance(block, MMQA) or (isinstance(block, UIR) and block.residual)


def _reader(block: nn.Module) -> nn.Conv2d | nn.BatchNorm2d:
    """Returns the part of a block that reads its input."""
    match block:
        case nn.Conv2d():
            return block
        case ConvNorm():
            return block.conv
        case FusedIB():
            return block.expand.conv
        case UIR():
            return (block.extra or block.expand or block.middle or block.project).conv
        case MMQA():
            return block.norm
    raise TypeError(block)


def _writer(block: nn.Module) -> ConvNorm | nn.Conv2d:
    """Returns the part of a block that computes its output, or what is added to its input."""
    match block:
        case ConvNorm():
            return block
        case FusedIB() | UIR():
            return block.project
        case MMQA():
            return block.output
    raise TypeError(block)
