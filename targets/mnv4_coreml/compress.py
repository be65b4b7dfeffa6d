"""Weights in fewer bits, by coremltools' own compression, each convolution on purpose.

coremltools skips what does not fit its configuration with a warning at most. So what stays float is
decided here first, with the reason, and the rest is named to coremltools one by one.
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
"""The smallest block of int4 weights: a scale has 16 bits, so that less saves nothing."""
_ITERATIONS = 100
"""The most iterations of k-means. All but very small clusters stop moving long before."""


def fitted(
    assigned: Iterable[Assignment], weights: Weights
) -> tuple[list[Assignment], list[Weights | None]]:
    """What becomes of the weights of convolutions.

    Args:
        assigned: How the operations are computed.
        weights: The recipe's.

    Returns:
        The plan with what does not fit, and how each convolution's weights are compressed, in the
        order in which they run; None is not at all.
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
    """What weights (outputs, inputs of a group, height, width) take of a compression, and why."""
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
    """Registers a pass that compresses the weights of convolutions.

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
            # By the names of weights: by those of convolutions, a bias that two share is refused.
            chosen = {
                convolution.weight.op.name: _options(weights)
                for convolution, weights in zip(convolutions, compressions, strict=True)
                if weights
            }
            compress(OptimizationConfig(op_name_configs=chosen)).apply(prog)

    return "mnv4::compress_weights"


def _options(weights: Weights) -> Any:
    """What coremltools calls a recipe's weights, without the size below which it skips any."""
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
    """The centres of `count` clusters, and the index of each value's, flat.

    Lloyd's algorithm over the distinct values: within 1 dB of the optimum that coremltools searches
    for, in a tenth to a hundredth of its time. It begins where the best quantizer of that density
    is dense itself, with its cube root (Panter and Dite, 1951).
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
