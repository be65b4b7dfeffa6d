"""Static int8 activations, written into the exported program before the converter maps it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import fx
from torch.export import ExportedProgram

from mnv4_coreai.rewrite import add_constant, call
from mnv4_coreai.speedups import compression_operators
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
    """Rounds the inputs and outputs of some operations to eight bits.

    Args:
        program: The deploy form. It is changed in place.
        chosen: Those of its convolutions and additions that run in integers.
        spec: What is built.
        activations: The static activations of the recipe.
        calibration: Images that give the ranges.
    """
    readers = rounded_values(chosen, program.graph_signature.user_inputs)
    ranges = Ranges(activations)
    observe(
        program,
        readers,
        spec,
        calibration,
        lambda value, x: ranges.observe(value.name, x.float().numpy()),
    )
    for number, (value, nodes) in enumerate(readers.items()):
        _round(program, number, value, nodes, *ranges.of(value.name))
    program.graph_module.recompile()


def _round(
    program: ExportedProgram,
    number: int,
    value: fx.Node,
    readers: Iterable[fx.Node],
    low: float,
    high: float,
) -> None:
    """Makes nodes read a value through quantize and dequantize, with a zero point of 0.

    Values that are never negative, as after ReLU, become unsigned bytes; others have a symmetric
    range.
    """
    dtype = torch.int8 if low < 0 else torch.uint8
    bound = max(-low, high) / torch.iinfo(dtype).max
    scale = add_constant(program, f"scale_{number}", torch.tensor(max(bound, _SMALLEST_SCALE)))
    operators = compression_operators()
    graph = program.graph
    # An input stands before the constants that were added after it.
    place = next(node for node in graph.nodes if node.op != "placeholder")
    with (
        graph.inserting_after(value) if value.op != "placeholder" else graph.inserting_before(place)
    ):
        integer = call(program, operators.quantize.default, value, scale, dtype)
    with graph.inserting_after(integer):
        rounded = call(program, operators.dequantize.default, integer, scale)
    for node in readers:
        node.replace_input_with(value, rounded)
