"""The blocks of MobileNetV4 as trainable modules: one class for each kind in the grammar."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnv4_mobile.model.cost import AntiAliasing
from mnv4_mobile.model.spec import ConvSpec, FusedIBSpec, MMQASpec, UIRSpec

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "hard_swish": nn.Hardswish,
    "leaky_relu": nn.LeakyReLU,
}


def activation(name: str) -> nn.Module:
    """Returns the activation with this name in the grammar."""
    return _ACTIVATIONS[name]()


class AntiAlias(nn.Module):
    """Halves a map with a low-pass filter (Zhang, arXiv 1904.11486), without any weights.

    `avg` is the average of 2 x 2 values. `blurpc` is [1, 2, 1] / 4 in both directions, with a
    border of zeros: the average of each 2 x 2 values, and of 2 x 2 of these averages.
    """

    def __init__(self, channels: int, kind: AntiAliasing) -> None:
        super().__init__()
        self.channels = channels
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H / 2, W / 2)."""
        if self.kind == "blurpc":
            x = F.avg_pool2d(x, 2, stride=1, padding=1)
        return F.avg_pool2d(x, 2)


class ConvNorm(nn.Module):
    """Convolution with padding (k - 1) // 2, batch norm, and an activation if one is named.

    With `aa`, a convolution with a stride has stride 1, and a filter after the activation halves
    the map (timm: models/_efficientnet_blocks.py). The deploy form folds the norm into the
    convolution, leaves `norm` None, and has a convolution as filter.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        *,
        groups: int = 1,
        act: str | None = None,
        aa: AntiAliasing | None = None,
    ) -> None:
        super().__init__()
        padding = (kernel_size - 1) // 2
        self.aa: nn.Module | None = None
        if aa and stride != 1:
            self.aa, stride = AntiAlias(out_channels, aa), 1
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False
        )
        self.norm: nn.BatchNorm2d | None = nn.BatchNorm2d(out_channels)
        self.act = activation(act) if act else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H', W')."""
        for part in (self.conv, self.norm, self.act, self.aa):
            if part is not None:
                x = part(x)
        return x


def conv_block(
    in_channels: int, spec: ConvSpec, act: str, aa: AntiAliasing | None = None
) -> ConvNorm:
    """Returns the block `conv`: a convolution with norm and activation."""
    return ConvNorm(in_channels, spec.out_channels, spec.kernel_size, spec.stride, act=act, aa=aa)


class LayerScale(nn.Module):
    """A learned factor for each channel."""

    def __init__(self, channels: int, init: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), init))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        return x * self.gamma.view(1, -1, 1, 1)


class FusedIB(nn.Module):
    """The block `fi`. It has no residual, as in the project that the grammar is from."""

    def __init__(
        self, in_channels: int, spec: FusedIBSpec, act: str, aa: AntiAliasing | None = None
    ) -> None:
        super().__init__()
        self.expand = ConvNorm(
            in_channels, spec.hidden_channels, spec.kernel_size, spec.stride, act=act, aa=aa
        )
        self.project = ConvNorm(spec.hidden_channels, spec.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H', W')."""
        y: Tensor = self.project(self.expand(x))
        return y


class UIR(nn.Module):
    """The block `uir`: [extra depthwise] [expand] [middle depthwise] project [scale] [+ input].

    Only the expansion and the middle depthwise convolution have an activation.
    """

    def __init__(
        self,
        in_channels: int,
        spec: UIRSpec,
        act: str,
        layer_scale: float | None,
        aa: AntiAliasing | None = None,
    ) -> None:
        super().__init__()
        hidden = spec.hidden_channels
        extra, middle = spec.extra_kernel_size, spec.middle_kernel_size
        self.extra = (
            ConvNorm(
                in_channels,
                in_channels,
                extra,
                1 if middle else spec.stride,
                groups=in_channels,
                aa=aa,
            )
            if extra
            else None
        )
        self.expand = ConvNorm(in_channels, hidden, act=act) if hidden != in_channels else None
        self.middle = (
            ConvNorm(hidden, hidden, middle, spec.stride, groups=hidden, act=act, aa=aa)
            if middle
            else None
        )
        self.project = ConvNorm(hidden, spec.out_channels)
        self.layer_scale = (
            LayerScale(spec.out_channels, layer_scale) if layer_scale is not None else None
        )
        self.residual = spec.has_residual(in_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H', W')."""
        y = x
        for part in (self.extra, self.expand, self.middle, self.project, self.layer_scale):
            if part is not None:
                y = part(y)
        return x + y if self.residual else y


class KeyValue(nn.Module):
    """The projection to the shared key or value: [depthwise conv, norm] 1 x 1 conv."""

    def __init__(self, spec: MMQASpec) -> None:
        super().__init__()
        channels = spec.out_channels
        self.down = (
            ConvNorm(channels, channels, spec.kv_kernel_size, spec.kv_stride, groups=channels)
            if spec.kv_kernel_size and spec.kv_stride
            else None
        )
        self.project = nn.Conv2d(channels, spec.head_dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, head_dim, H', W')."""
        y: Tensor = self.project(self.down(x) if self.down is not None else x)
        return y


class MMQA(nn.Module):
    """The block `mmqa`: norm, multi-query attention, layer scale, + input (paper, section 3.2)."""

    def __init__(self, spec: MMQASpec, layer_scale: float | None) -> None:
        super().__init__()
        channels = spec.out_channels
        self.num_heads, self.head_dim = spec.num_heads, spec.head_dim
        self.pool_stride = spec.query_pooling_stride
        self.norm = nn.BatchNorm2d(channels)
        self.query_norm = nn.BatchNorm2d(channels) if self.pool_stride else None
        self.query = nn.Conv2d(channels, spec.attention_channels, 1, bias=False)
        self.key = KeyValue(spec)
        self.value = KeyValue(spec)
        self.output = nn.Conv2d(spec.attention_channels, channels, 1, bias=False)
        self.layer_scale = LayerScale(channels, layer_scale) if layer_scale is not None else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        height, width = x.shape[-2:]
        y: Tensor = self.norm(x)
        queries = y
        if self.pool_stride and self.query_norm is not None:
            queries = self.query_norm(F.avg_pool2d(y, self.pool_stride))
        q = self.query(queries)
        pooled = q.shape[-2:]
        q = q.reshape(x.shape[0], self.num_heads, self.head_dim, -1).transpose(2, 3)
        k = self.key(y).flatten(2).unsqueeze(1)  # (N, 1, d, M)
        v = self.value(y).flatten(2).unsqueeze(1)
        attention = torch.softmax(q @ k * self.head_dim**-0.5, dim=-1)
        o: Tensor = (attention @ v.transpose(2, 3)).transpose(2, 3)  # (N, heads, d, HW)
        o = o.reshape(x.shape[0], -1, *pooled)
        if self.pool_stride:
            o = F.interpolate(o, size=(height, width), mode="bilinear", align_corners=False)
        o = self.output(o)
        if self.layer_scale is not None:
            o = self.layer_scale(o)
        return x + o
