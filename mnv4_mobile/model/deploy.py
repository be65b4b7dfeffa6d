"""Rewrites a network into its deploy form, which computes the same but suits the runtimes better.

Everything here is exact up to rounding. Norms, layer scale, query scale and input normalisation are
folded into the neighbouring convolutions before export, because converters do only part of this,
and slowly. What does not fold is added as a constant (see `_fold_key_value`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnv4_mobile.images import Preprocess
from mnv4_mobile.model.blocks import MMQA, UIR, AntiAlias, ConvNorm, KeyValue, LayerScale
from mnv4_mobile.model.cost import AA_KERNELS
from mnv4_mobile.model.form import Form
from mnv4_mobile.model.net import MobileNetV4

Flatten = Callable[[Tensor], Tensor]
"""Turns a map of keys or values (N, d, H', W'), or its offset, into the operand of a product."""
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries (N, heads * d, H, W), flat keys and flat values -> (N, heads * d, H, W)."""


class Products(NamedTuple):
    """How a form computes the two products of attention."""

    order: Tensor
    """The index in the trained network of each channel that `attend` takes and returns. There, the
    channels of a head are neighbours. The convolutions around it are permuted to match."""
    flatten: Flatten
    attend: Attend


def _nchw(heads: int, dim: int) -> Products:
    """Returns the products for channels first: all heads in one, without a batch of heads.

    With the heads of a channel as neighbours, (heads * d, H, W) and (d, heads * H * W) are the same
    values in the same order, so that heads become columns without moving anything.
    """

    def flatten(x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], 1, x.shape[1], -1)  # without an expand_dims

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        columns = q.reshape(q.shape[0], 1, dim, -1)
        weights = torch.softmax(k.transpose(2, 3) @ columns, dim=2)  # (N, 1, M, heads * HW)
        return (v @ weights).reshape(q.shape)

    return Products(torch.arange(heads * dim).view(heads, dim).T.flatten(), flatten, attend)


def _nhwc(heads: int, dim: int) -> Products:
    """Returns the products for channels last: heads become rows of one product of rank 3."""

    def flatten(x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).flatten(1, 2)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        n, _, height, width = q.shape
        q = q.permute(0, 2, 3, 1).reshape(n, -1, dim)
        weights = torch.softmax(torch.bmm(q, k.transpose(1, 2)), dim=2)  # (N, HW * heads, M)
        return torch.bmm(weights, v).reshape(n, height, width, -1).permute(0, 3, 1, 2)

    return Products(torch.arange(heads * dim), flatten, attend)


FORMS: dict[Form, Callable[[int, int], Products]] = {"nchw": _nchw, "nhwc": _nhwc}
"""Functions of (heads, channels of a head) that return the products of a form."""


def _scale_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Returns scale and shift of a batch norm in inference: x * scale + shift."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def _scale_output(conv: nn.Conv2d, scale: Tensor, shift: Tensor) -> None:
    """Changes conv(x) into conv(x) * scale + shift."""
    bias = shift if conv.bias is None else conv.bias * scale + shift
    conv.weight = nn.Parameter(conv.weight * scale.view(-1, 1, 1, 1))
    conv.bias = nn.Parameter(bias)


def _scale_input(conv: nn.Conv2d, scale: Tensor, shift: Tensor) -> None:
    """Changes conv(x) into conv(x * scale + shift), for an unpadded 1 x 1 convolution."""
    shift = torch.einsum("oi,i->o", conv.weight[:, :, 0, 0], shift)
    conv.weight = nn.Parameter(conv.weight * scale.view(1, -1, 1, 1))
    conv.bias = nn.Parameter(shift if conv.bias is None else conv.bias + shift)


def _fold_conv_norm(block: ConvNorm) -> None:
    if block.norm is not None:
        _scale_output(block.conv, *_scale_shift(block.norm))
        block.norm = None


def _filter(layer: AntiAlias) -> nn.Conv2d:
    """Returns anti-aliasing as a depthwise convolution.

    Every runtime has a fast kernel for one, in integers too. ExecuTorch gives XNNPACK poolings in
    float32 alone, and none with a border of zeros.
    """
    kernel = AA_KERNELS[layer.kind]
    side = torch.tensor([1.0, 1.0] if layer.kind == "avg" else [1.0, 2.0, 1.0])
    side /= side.sum()
    found = nn.Conv2d(
        layer.channels, layer.channels, kernel, 2, (kernel - 1) // 2, groups=layer.channels
    )
    found.weight = nn.Parameter(torch.outer(side, side).expand_as(found.weight).contiguous())
    found.bias = nn.Parameter(torch.zeros(layer.channels))  # as all others have one
    return found


def _fold_layer_scale(conv: nn.Conv2d, layer_scale: LayerScale | None) -> None:
    if layer_scale is not None:
        _scale_output(conv, layer_scale.gamma, torch.zeros_like(layer_scale.gamma))


def _fold_key_value(branch: KeyValue, norm: nn.BatchNorm2d, size: tuple[int, int]) -> Tensor | None:
    """Folds the norm before a key or value branch, and returns an offset (1, d, H', W') or None.

    Before a zero-padded convolution, a shift does not fold into a bias, since the padding is not
    shifted. But the input size is fixed, so the effect of the shift on the branch's output is a
    constant. It is small, because the branch ends in the channels of a single head.
    """
    scale, shift = _scale_shift(norm)
    if branch.down is None:
        _scale_input(branch.project, scale, shift)
        return None
    _fold_conv_norm(branch.down)
    constant = shift.view(1, -1, 1, 1).expand(1, -1, *size)
    down = branch.down.conv
    shifted = F.conv2d(constant, down.weight, None, down.stride, down.padding, groups=down.groups)
    offset: Tensor = branch.project(shifted)
    down.weight = nn.Parameter(down.weight * scale.view(-1, 1, 1, 1))
    return offset.detach()


def _permute(first: nn.Conv2d, last: nn.Conv2d, order: Tensor) -> None:
    """Permutes the output channels of a convolution, and the inputs of the one that reads them."""
    assert first.bias is not None
    first.weight = nn.Parameter(first.weight[order])
    first.bias = nn.Parameter(first.bias[order])
    last.weight = nn.Parameter(last.weight[:, order])


class DeployAttention(nn.Module):
    """`MMQA` with all norms and scales folded, for one input size.

    Args:
        block: The trained block, whose parts are reused.
        size: (height, width) of the input map.
        form: How products are computed.
    """

    def __init__(self, block: MMQA, size: tuple[int, int], form: Form) -> None:
        super().__init__()
        self.pool_stride = block.pool_stride
        self.size = size
        order, self._flatten, self._attend = FORMS[form](block.num_heads, block.head_dim)
        self.query, self.key, self.value = block.query, block.key, block.value
        self.output = block.output
        if block.query_norm is not None:
            _scale_input(self.query, *_scale_shift(block.query_norm))
        _scale_input(self.query, *_scale_shift(block.norm))
        one = torch.full((block.query.out_channels,), block.head_dim**-0.5)
        _scale_output(self.query, one, torch.zeros_like(one))
        _permute(self.query, self.output, order)
        self.key_offset: Tensor | None
        self.value_offset: Tensor | None
        for name, branch in (("key", self.key), ("value", self.value)):
            offset = _fold_key_value(branch, block.norm, size)
            if offset is not None:
                offset = self._flatten(offset)
            self.register_buffer(f"{name}_offset", offset)
        _fold_layer_scale(self.output, block.layer_scale)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        q = self.query(F.avg_pool2d(x, self.pool_stride) if self.pool_stride else x)
        k, v = self._flatten(self.key(x)), self._flatten(self.value(x))
        if self.key_offset is not None and self.value_offset is not None:
            k, v = k + self.key_offset, v + self.value_offset
        o: Tensor = self.output(self._attend(q, k, v))
        if self.pool_stride:
            # Resizing and a 1 x 1 convolution commute; this order has fewer pixels to convolve.
            o = F.interpolate(o, size=self.size, mode="bilinear", align_corners=False)
        return x + o


class DeployNet(nn.Module):
    """A network in deploy form, for one input size and one kind of input.

    Args:
        net: The trained network; it is not changed.
        size: (height, width) of the input.
        form: How attention computes its products.
        pixels: The normalisation to do inside the graph; None if it is done outside.
        own_head: Takes the network's outputs by name and returns others; None returns the
            network's.
        several: Whether the exported program is to compute other sizes too.
    """

    def __init__(
        self,
        net: MobileNetV4,
        size: tuple[int, int],
        form: Form,
        pixels: Preprocess | None = None,
        own_head: nn.Module | None = None,
        *,
        several: bool = False,
    ) -> None:
        super().__init__()
        offset: Tensor | None = None
        self.offset: Tensor | None
        net = copy.deepcopy(net).eval().requires_grad_(False)
        shapes = {row.name: row.cost.shape for row in net.spec.table(size)}
        with torch.no_grad():
            for block in net.modules():
                if isinstance(block, UIR):
                    _fold_conv_norm(block.project)
                    _fold_layer_scale(block.project.conv, block.layer_scale)
                    block.layer_scale = None
            for name, block in list(net.named_modules()):
                if isinstance(block, MMQA):
                    _, height, width = shapes[name]
                    net.set_submodule(name, DeployAttention(block, (height, width), form))
            for block in net.modules():
                if isinstance(block, ConvNorm):
                    _fold_conv_norm(block)
                    if isinstance(block.aa, AntiAlias):
                        block.aa = _filter(block.aa)
            if pixels is not None:
                scale = 1 / (255 * torch.tensor(pixels.std))
                stem = net.stem.conv
                stem.weight = nn.Parameter(stem.weight * scale.view(1, -1, 1, 1))
                # A row, because LiteRT broadcasts slowly over an innermost axis of three channels.
                mean = (255 * torch.tensor(pixels.mean)).view(1, 3, 1, 1)
                offset = mean if several else mean.expand(1, 3, 1, size[1]).contiguous()
        self.register_buffer("offset", offset)
        self.net = net.requires_grad_(False)
        self.own_head = own_head

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, H, W), normalised floats or RGB pixels of 0 to 255 -> the outputs by name.

        Zero padding is zero in normalised values, so only the factor of the normalisation folds
        into the stem; the mean is subtracted here.
        """
        if self.offset is not None:
            x = x.to(self.offset.dtype) - self.offset
        outputs: dict[str, Tensor] = self.net(x)
        return outputs if self.own_head is None else self.own_head(outputs)
