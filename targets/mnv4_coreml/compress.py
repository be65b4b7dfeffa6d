"""Weights in fewer bits, by coremltools' own compression, chosen for each convolution."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from mnv4_coreml.speedups import weight_compressor
from mnv4_mobile.quantize.compression import k_means
from mnv4_mobile.recipe import Form, Weights


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
