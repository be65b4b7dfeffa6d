"""Weights in fewer bits, by coremltools' own compression, chosen for each convolution.

coremltools skips what does not fit its configuration, with a warning at most. So this module first
decides which convolutions stay float, and why, and passes the others to coremltools by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from mnv4_coreml.speedups import weight_compressor
from mnv4_mobile.quantize.assignment import Assignment
from mnv4_mobile.recipe import Form, Weights
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


def compression_pass(compressions: Sequence[Weights | None], form: Form) -> str:
    """Registers a pass that compresses the weights of convolutions, and returns its name.

    Args:
        compressions: The compression of every convolution, from `fitted`.
        form: Whether the compressed weights are integers or palettes.
    """
    from coremltools.converters.mil.mil.passes.graph_pass import AbstractGraphPass
    from coremltools.converters.mil.mil.passes.pass_registry import register_pass
    from coremltools.optimize.coreml import OptimizationConfig

    compress = weight_compressor(form)

    @register_pass(namespace="mnv4", name="compress_weights", override=True)
    class CompressWeights(AbstractGraphPass):  # type: ignore[misc]
        def apply(self, prog: Any) -> None:
            convolutions = [o for o in prog.functions["main"].operations if o.op_type == "conv"]
            # Keyed by weight: with convolutions' names, coremltools refuses a bias that two share.
            chosen = {
                convolution.weight.op.name: _options(weights)
                for convolution, weights in zip(convolutions, compressions, strict=True)
                if weights
            }
            compress(OptimizationConfig(op_name_configs=chosen)).apply(prog)

    return "mnv4::compress_weights"


def _options(weights: Weights) -> Any:
    """Returns coremltools' configuration for a recipe's weights, without its minimum size."""
    from coremltools.optimize.coreml import OpLinearQuantizerConfig, OpPalettizerConfig

    options: dict[str, Any] = {"weight_threshold": 0}
    if weights.form == "integer":
        if weights.per == "block":
            options["block_size"] = weights.size
        return OpLinearQuantizerConfig(
            mode="linear_symmetric",
            dtype=f"int{weights.bits}",
            granularity=f"per_{weights.per}",
            **options,
        )
    if weights.per == "group":
        options |= {"granularity": "per_grouped_channel", "group_size": weights.size}
    if weights.clustering == "uniform":
        return OpPalettizerConfig(mode="uniform", nbits=weights.bits, **options)
    clusters = partial(k_means, count=2**weights.bits)
    return OpPalettizerConfig(mode="custom", lut_function=clusters, **options)


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
