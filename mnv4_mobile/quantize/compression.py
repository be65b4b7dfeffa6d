"""Weights in fewer bits: which compression fits each convolution, and palettes.

A toolchain skips what does not fit its format, with a warning at most. So targets decide here which
convolutions stay float, and why, and compress the others one by one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from mnv4_mobile.quantize.assignment import Assignment
from mnv4_mobile.recipe import Weights
from mnv4_mobile.records import replace

_SMALLEST_BLOCK = 8
"""The smallest block of int4 weights. A scale has 16 bits, so a smaller block saves nothing."""
_ITERATIONS = 100
"""The maximum number of k-means iterations. All but very small clusters stop moving long before."""


def fitted(
    assigned: Iterable[Assignment], weights: Weights
) -> tuple[list[Assignment], list[Weights | None]]:
    """Decides how the weights of each convolution are compressed.

    Args:
        assigned: How the operations are computed.
        weights: The weights that the recipe asks for.

    Returns:
        The assignments, with a reason for each convolution that the recipe does not fit, and the
        compression of each convolution in the order in which they run; None if it stays float.
    """
    found, compressions = [], []
    for one in assigned:
        if one.operation.kind == "conv":
            compression: Weights | None = None
            if one.scheme:
                _, weight, *_ = one.operation.node.all_input_nodes
                compression, why = _fit(tuple(weight.meta["val"].shape), weights)
                if why:
                    one = replace(one, scheme=one.scheme if compression else None, why=why)
            compressions.append(compression)
        found.append(one)
    return found, compressions


def _fit(shape: tuple[int, ...], weights: Weights) -> tuple[Weights | None, str | None]:
    """Returns the compression that fits a weight, and why it is not `weights`.

    The shape is (outputs, inputs of a group, height, width); the compression is None for float.
    """
    outputs, inputs, *_ = shape
    count, size = math.prod(shape), weights.size or 1
    if weights.per == "block" and inputs % size:
        block = math.gcd(inputs, size)
        if block < _SMALLEST_BLOCK:
            return None, f"{inputs} inputs: a block needs a multiple of {_SMALLEST_BLOCK}"
        why = f"in blocks of {block}: {inputs} inputs do not divide by {size}"
        return replace(weights, size=block), why
    if weights.per == "group" and outputs % size:
        return None, f"{outputs} outputs do not divide by {size}"
    if weights.form == "palette":
        palettes = outputs // size if weights.per == "group" else 1
        if 2 * palettes * 2**weights.bits + count * weights.bits / 8 >= 2 * count:
            return None, "a palette would take more than it saves"
    return weights, None


def k_means(
    values: npt.NDArray[np.floating[Any]], count: int
) -> tuple[npt.NDArray[np.floating[Any]], npt.NDArray[np.intp]]:
    """Returns the centres of `count` clusters, and the index of each value's centre, flat.

    Lloyd's algorithm over the distinct values comes within 1 dB of the optimum that coremltools
    searches for, in a tenth to a hundredth of the time. The initial centres are as dense as those
    of the best quantizer: as the cube root of the values' density (Panter and Dite, 1951).
    """
    points, indices, counts = np.unique(
        values.ravel().astype(np.float64), return_inverse=True, return_counts=True
    )
    if len(points) <= count:
        return np.resize(points, count).astype(values.dtype), indices
    density = np.cumsum(np.cbrt((counts[1:] + counts[:-1]) * np.diff(points) ** 2))
    centres = np.interp((np.arange(count) + 0.5) / count * density[-1], density, points[1:])
    numbers = np.concatenate([[0], np.cumsum(counts)])
    sums = np.concatenate([[0], np.cumsum(counts * points)])
    for _ in range(_ITERATIONS):
        limits = np.searchsorted(points, (centres[1:] + centres[:-1]) / 2)
        limits = np.concatenate([[0], limits, [len(points)]])
        sizes = np.diff(numbers[limits])
        moved = np.where(sizes > 0, np.diff(sums[limits]) / np.maximum(sizes, 1), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    found = np.searchsorted((centres[1:] + centres[:-1]) / 2, points)
    return centres.astype(values.dtype), found[indices]


def integers(
    values: npt.NDArray[np.floating[Any]], weights: Weights
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.floating[Any]]]:
    """Returns the integers of a weight, and its scales.

    Args:
        values: The weight (O, I, H, W).
        weights: Integers with one scale per tensor, channel or block, as `fitted` returned them.

    Returns:
        Integers (O, I, H, W) and scales of the weight's type: (1, 1, 1, 1) for a tensor, (O, 1, 1,
        1) for channels, (O, I / size, 1, 1) for blocks.
    """
    outputs, inputs, *kernel = values.shape
    parts = {"tensor": (1, 1), "channel": (outputs, 1), "block": (outputs, 0)}[weights.per]
    if weights.per == "block":
        assert weights.size is not None
        parts = (outputs, inputs // weights.size)
    split = values.reshape(parts[0], outputs // parts[0], parts[1], inputs // parts[1], *kernel)
    split = split.astype(np.float32)
    peak = np.abs(split).max(axis=(1, 3, 4, 5), keepdims=True)
    # In the type in which it is stored, so that the integers fit the scale that is used.
    scale = np.maximum(peak / weights.largest, np.finfo(np.float16).tiny).astype(values.dtype)
    found = np.rint(split / scale.astype(np.float32)).clip(-weights.largest, weights.largest)
    return found.astype(np.int8).reshape(values.shape), scale.reshape(*parts, 1, 1)


def palette(
    values: npt.NDArray[np.floating[Any]], weights: Weights
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.floating[Any]]]:
    """Returns the indices of a weight's values in its palettes, and the palettes.

    Args:
        values: The weight (O, I, H, W).
        weights: Palettes per tensor or group of outputs, as `fitted` returned them.

    Returns:
        Indices (O, I, H, W) and palettes (G, 2^bits) of the weight's type, one for each group.
    """
    count = 2**weights.bits
    groups = values.shape[0] // (weights.size or values.shape[0])
    indices, palettes = [], []
    for group in values.reshape(groups, -1):
        if weights.clustering == "uniform":
            colours = np.linspace(group.min(), group.max(), count).astype(values.dtype)
            found = np.searchsorted((colours[1:] + colours[:-1]) / 2, group)
        else:
            colours, found = k_means(group, count)
        indices.append(found.astype(np.uint8))
        palettes.append(colours)
    return np.stack(indices).reshape(values.shape), np.stack(palettes)
