"""Static int8 activations, written into the exported program before coremltools maps it.

The Neural Engine convolves in integers if a value is rounded before the convolution and again after
the convolution and its activation (coremltools, `insert_prefix_quantize_dequantize_pair` and
`insert_suffix_quantize_dequantize_pair`). Those passes need predictions, which require macOS, and
coremltools 9 is tested with torch 2.7 at most.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import fx
from torch.export import ExportedProgram

from mnv4_coreml.speedups import register_quantize_operators
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.quantize.assignment import Assignment
from mnv4_mobile.quantize.neural_engine import Rounding, roundings
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.target import Images

_LIMITS = {"int8": (-128, 127), "uint8": (0, 255)}


def quantize_activations(
    program: ExportedProgram,
    assigned: Iterable[Assignment],
    spec: BuildSpec,
    recipe: Recipe,
    calibration: Images,
) -> list[Rounding]:
    """Rounds the inputs and outputs of some operations, and returns them; see `roundings`.

    The program, which has a float input (N, 3, H, W), is changed in place.
    """
    register_quantize_operators()
    rounded = roundings(program, assigned, spec, recipe, calibration)
    for one in rounded:
        _round(program.graph, one)
    program.graph_module.recompile()
    return rounded


def _round(graph: fx.Graph, one: Rounding) -> None:
    """Makes the readers of a value read it through quantize and dequantize.

    With a zero point of 0, Core ML is fastest; for values that are never negative, coremltools'
    `nullify_redundant_quantization_zero_point` also makes unsigned bytes.
    """
    grid = (one.scale, 0, *_LIMITS[one.dtype], getattr(torch, one.dtype))
    operators = torch.ops.quantized_decomposed
    with graph.inserting_after(one.value):
        integer = graph.call_function(operators.quantize_per_tensor.default, (one.value, *grid))
    with graph.inserting_after(integer):
        rounded = graph.call_function(operators.dequantize_per_tensor.default, (integer, *grid))
    for node in one.readers:
        node.replace_input_with(one.value, rounded)
