"""MIL's operators on feature maps (N, C, H, W), in numpy, with the conventions of `operators`."""

# numpy's arithmetic on arrays of any type is Any:
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mnv4_coreml.mil.operators import Operator, check_size, matmul
from mnv4_coreml.mil.saved import Array


def _padding(
    pad_type: str,
    pad: Sequence[int],
    sizes: Sequence[int],
    kernels: Sequence[int],
    strides: Sequence[int],
) -> list[tuple[int, int]]:
    """Returns the padding (before, after) per axis; `kernels` are the dilated sizes."""
    match pad_type:
        case "valid":
            return [(0, 0)] * len(sizes)
        case "custom":
            return list(zip(pad[::2], pad[1::2], strict=True))
    totals = [
        max(0, (-(-size // stride) - 1) * stride + kernel - size)
        for size, kernel, stride in zip(sizes, kernels, strides, strict=True)
    ]
    match pad_type:
        case "same":
            return [(total // 2, total - total // 2) for total in totals]
        case "same_lower":
            return [(total - total // 2, total // 2) for total in totals]
    raise ValueError(f"pad_type {pad_type!r}")


def _taps(
    x: Array,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[tuple[int, int]],
) -> list[Array]:
    """Returns what each tap of a kernel reads: views (N, C, H', W') of the padded (N, C, H, W)."""
    if any(map(any, pads)):
        sides = (n + sum(map(int, pad)) for n, pad in zip(x.shape[2:], pads, strict=True))
        check_size((*x.shape[:2], *sides))
        x = np.pad(x, ((0, 0), (0, 0), *pads))
    spans = [
        (size - dilation * (width - 1) - 1) // stride * stride + 1
        for size, width, stride, dilation in zip(
            x.shape[2:], kernel, strides, dilations, strict=True
        )
    ]
    rows, columns = (
        [slice(d * tap, d * tap + span, s) for tap in range(width)]
        for width, span, s, d in zip(kernel, spans, strides, dilations, strict=True)
    )
    return [x[:, :, row, column] for row in rows for column in columns]


def conv(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    strides: Sequence[int] = (1, 1),
    pad_type: str = "valid",
    pad: Sequence[int] = (0, 0, 0, 0),
    dilations: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Array:
    outputs, per_group, *kernel = weight.shape
    dilated = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    pads = _padding(pad_type, pad, x.shape[2:], dilated, strides)
    taps = _taps(x, kernel, strides, dilations, pads)
    n, _, height, width = taps[0].shape
    if per_group == 1 and outputs == groups:  # depthwise: nothing to reduce but the taps
        flat = weight.astype(np.float64).reshape(outputs, -1, 1, 1)
        y = taps[0] * flat[:, 0]
        term = np.empty_like(y)
        for index, tap in enumerate(taps[1:], start=1):
            y += np.multiply(tap, flat[:, index], out=term)
    else:
        columns = np.stack(taps, axis=2) if len(taps) > 1 else taps[0]
        rows = weight.reshape(groups, outputs // groups, -1)
        y = matmul(rows, columns.reshape(n, groups, -1, height * width))
        y = y.reshape(n, outputs, height, width)
    return y if bias is None else y + bias.reshape(-1, 1, 1)


def avg_pool(
    x: Array,
    kernel_sizes: Sequence[int],
    strides: Sequence[int] = (1, 1),
    pad_type: str = "valid",
    pad: Sequence[int] = (0, 0, 0, 0),
    exclude_padding_from_average: bool = False,
    ceil_mode: bool = False,
) -> Array:
    if ceil_mode:
        raise ValueError("ceil_mode is not supported")
    pads = _padding(pad_type, pad, x.shape[2:], kernel_sizes, strides)

    def window_sums(x: Array) -> Array:
        taps = _taps(x, kernel_sizes, strides, (1, 1), pads)
        return np.stack(taps).sum(axis=0, dtype=np.float64)

    if exclude_padding_from_average:
        return window_sums(x) / window_sums(np.ones_like(x[:1, :1]))
    return window_sums(x) / math.prod(kernel_sizes)


def batch_norm(
    x: Array,
    mean: Array,
    variance: Array,
    gamma: Array | float = 1.0,
    beta: Array | float = 0.0,
    epsilon: float = 1e-5,
) -> Array:
    scale = gamma / np.sqrt(variance + epsilon)
    channels = (-1, *[1] * (x.ndim - 2))
    return x * scale.reshape(channels) + (beta - mean * scale).reshape(channels)


def _grid(size: int, out: int, sampling: str) -> Array:
    """Returns the positions of `out` samples among `size` samples."""
    index = np.arange(out)
    match sampling:
        case "UNALIGN_CORNERS":
            return np.clip((index + 0.5) * size / out - 0.5, 0, size - 1)
        case "STRICT_ALIGN_CORNERS":
            return index * (size - 1) / max(out - 1, 1)
    raise ValueError(f"sampling_mode {sampling!r} is not supported")


def _interpolation(size: int, out: int, sampling: str) -> Array:
    """Returns the matrix (out, size) of a linear interpolation."""
    distance = np.abs(_grid(size, out, sampling)[:, None] - np.arange(size))
    return np.maximum(0, 1 - distance)


def _resize(x: Array, height: int, width: int, sampling: str) -> Array:
    check_size((*x.shape[:-2], height, width))
    check_size((x.shape[-2], height))
    check_size((x.shape[-1], width))
    rows = _interpolation(x.shape[-2], height, sampling)
    columns = _interpolation(x.shape[-1], width, sampling)
    return matmul(rows, matmul(x, columns, transpose_y=True))


def upsample_bilinear(
    x: Array,
    scale_factor_height: float = 1,
    scale_factor_width: float = 1,
    align_corners: bool = True,
) -> Array:
    height = math.floor(x.shape[-2] * scale_factor_height)
    width = math.floor(x.shape[-1] * scale_factor_width)
    return _resize(x, height, width, "STRICT_ALIGN_CORNERS" if align_corners else "UNALIGN_CORNERS")


def resize_bilinear(
    x: Array,
    target_size_height: int = 1,
    target_size_width: int = 1,
    sampling_mode: str = "DEFAULT",
) -> Array:
    return _resize(x, target_size_height, target_size_width, sampling_mode)


def resize(
    x: Array,
    shape: Sequence[int],
    resized_dims: int,
    interpolation_mode: str = "LINEAR",
    sampling_mode: str = "DEFAULT",
) -> Array:
    if interpolation_mode != "LINEAR" or resized_dims != 2:
        raise ValueError(f"{interpolation_mode} over {resized_dims} dimensions is not supported")
    height, width = (n or x.shape[i] for i, n in zip((-2, -1), shape[-2:], strict=True))
    return _resize(x, height, width, sampling_mode)


TABLE: dict[str, Operator] = {
    function.__name__: function
    for function in (
        conv,
        avg_pool,
        batch_norm,
        upsample_bilinear,
        resize_bilinear,
        resize,
    )
}
