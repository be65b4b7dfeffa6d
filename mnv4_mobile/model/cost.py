"""Computes shapes, parameters and multiply-accumulates of layers."""

from __future__ import annotations

from dataclasses import dataclass

Shape = tuple[int, int, int]
"""(channels, height, width) of one image's activation."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The output shape of one block, and its parameters and multiply-accumulates."""

    shape: Shape
    """Channels, height and width of the output."""
    params: int
    """Number of parameters."""
    macs: int
    """Number of multiply-accumulates."""


def conv_cost(shape: Shape, out: int, kernel: int, stride: int = 1, groups: int = 1) -> Cost:
    """Returns the cost of a bias-free convolution, padded by (k - 1) // 2, with batch norm."""
    channels, height, width = shape
    height, width = ((n + 2 * ((kernel - 1) // 2) - kernel) // stride + 1 for n in (height, width))
    weights = out * (channels // groups) * kernel * kernel
    return Cost(shape=(out, height, width), params=weights + 2 * out, macs=weights * height * width)


def chain_cost(first: Cost, *rest: Cost, extra_params: int = 0) -> Cost:
    """Returns the cost of layers that follow each other."""
    parts = (first, *rest)
    return Cost(
        shape=parts[-1].shape,
        params=sum(part.params for part in parts) + extra_params,
        macs=sum(part.macs for part in parts),
    )
