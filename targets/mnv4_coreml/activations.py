"""Static int8 activations, written into the exported program before coremltools maps it.

The Neural Engine convolves in integers if a value is rounded before the convolution and again after
the convolution and its activation (coremltools, `insert_prefix_quantize_dequantize_pair` and
`insert_suffix_quantize_dequantize_pair`). Those passes need predictions, which require macOS, and
coremltools 9 is tested with torch 2.7 at most. In the exported program, layers still have names,
and one run of torch per image gives every range.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import fx
from torch.export import ExportedProgram

from mnv4_coreml.speedups import register_quantize_operators
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.program.observe import observe
from mnv4_mobile.quantize.assignment import rounded_values
from mnv4_mobile.quantize.ranges import Ranges
from mnv4_mobile.recipe import Activations
from mnv4_mobile.target import Images

_SMALLEST_SCALE = float(np.finfo(np.float16).tiny)
"""The smallest scale. Scales are float16 in the program: a smaller one may become zero."""


def quantize_activations(
    program: ExportedProgram,
    chosen: Iterable[fx.Node],
    spec: BuildSpec,
    activations: Activations,
    calibration: Images,
) -> None:
    """Rounds the inputs and outputs of some operations to int8.

    Args:
        program: The deploy form with a float input (N, 3, H, W). It is changed in place.
        chosen: Those of its convolutions and additions that run in integers.
        spec: What is built.
        activations: The static activations of the recipe.
        calibration: Images that give the ranges.
    """
    register_quantize_operators()
    readers = rounded_values(chosen, program.graph_signature.user_inputs)
    ranges = Ranges(activations)
    observe(
        program, readers, spec, calibration, lambda value, x: ranges.observe(value.name, x.numpy())
    )
    for value, nodes in readers.items():
        _round(program.graph, value, nodes, *ranges.of(value.name))
    program.graph_module.recompile()


def _round(
    graph: fx.Graph, value: fx.Node, readers: Iterable[fx.Node], low: float, high: float
) -> None:
    """Makes nodes read a value through quantize and dequantize.

    The zero point is 0, with which Core ML is fastest (coremltools,
    `nullify_redundant_quantization_zero_point`). Values that are never negative, as after ReLU,
    become unsigned bytes, which that pass also makes of them; others have a symmetric range. With
    int8 for both, trained networks lose 2.4 to 5.3 dB (docs/results/coreml-programs.md).
    """
    if low < 0:
        bound, limits, dtype = max(-low, high), (-128, 127), torch.int8
    else:
        bound, limits, dtype = high, (0, 255), torch.uint8
    scale = max(bound / limits[1], _SMALLEST_SCALE)
    grid = (scale, 0, *limits, dtype)
    operators = torch.ops.quantized_decomposed
    with graph.inserting_after(value):
        integer = graph.call_function(operators.quantize_per_tensor.default, (value, *grid))
    with graph.inserting_after(integer):
        rounded = graph.call_function(operators.dequantize_per_tensor.default, (integer, *grid))
    for node in readers:
        node.replace_input_with(value, rounded)
