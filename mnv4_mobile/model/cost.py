"""Computes shapes, parameters and multiply-accumulates of layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from mnv4_mobile.errors import ConfigError

Shape = tuple[int, int, int]
"""(channels, height, width) of one image's activation."""
AntiAliasing = Literal["avg", "blurpc"]
"""What halves a map, by timm's names (layers/blur_pool.py): the average of 2 x 2 values, or a
binomial filter of 3 x 3 with a border of zeros."""

AA_KERNELS: dict[AntiAliasing, int] = {"avg": 2, "blurpc": 3}
"""Sides of the filters."""

MAX_VALUES = 2**28
"""The most values of a map or of attention: 1 GB in float32, a hundred times hybrid-large's."""
MAX_PARAMETERS = 500_000_000
"""The most parameters of a network, more than ten times hybrid-large's."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The output shape of one block, and its parameters and multiply-accumulates."""

    shape: Shape
    """Channels, height and width of the output."""
    params: int
    """Number of parameters."""
    macs: int
    """Number of multiply-accumulates."""


def conv_cost(
    shape: Shape,
    out: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    aa: AntiAliasing | None = None,
) -> Cost:
    """Returns the cost of a bias-free convolution, padded by (k - 1) // 2, with batch norm.

    With `aa`, a filter after the convolution has the stride (see `blocks.ConvNorm`).
    """
    if aa and stride != 1:
        full = conv_cost(shape, out, kernel, groups=groups)
        filtered = conv_cost(full.shape, out, AA_KERNELS[aa], stride, groups=out)
        return Cost(shape=filtered.shape, params=full.params, macs=full.macs + filtered.macs)
    channels, height, width = shape
    height, width = ((n + 2 * ((kernel - 1) // 2) - kernel) // stride + 1 for n in (height, width))
    check_values("a map", out, height, width)
    weights = out * (channels // groups) * kernel * kernel
    return Cost(shape=(out, height, width), params=weights + 2 * out, macs=weights * height * width)


def check_values(what: str, *sides: int) -> None:
    """Refuses a map or a matrix that would take gigabytes.

    Raises:
        ConfigError: Naming its sides.
    """
    if math.prod(sides) > MAX_VALUES:
        size = " x ".join(map(str, sides))
        raise ConfigError(f"found {what} of {size}, at most {MAX_VALUES} values are allowed")


def chain_cost(first: Cost, *rest: Cost, extra_params: int = 0) -> Cost:
    """Returns the cost of layers that follow each other."""
    parts = (first, *rest)
    return Cost(
        shape=parts[-1].shape,
        params=sum(part.params for part in parts) + extra_params,
        macs=sum(part.macs for part in parts),
    )
