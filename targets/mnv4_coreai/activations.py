"""Static int8 activations, written into the exported program before the converter maps it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.export import ExportedProgram

from mnv4_coreai.rewrite import add_constant, call
from mnv4_coreai.speedups import compression_operators
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.quantize.assignment import Assignment
from mnv4_mobile.quantize.neural_engine import Rounding, roundings
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.target import Images


def quantize_activations(
    program: ExportedProgram,
    assigned: Iterable[Assignment],
    spec: BuildSpec,
    recipe: Recipe,
    calibration: Images,
) -> None:
    """Rounds the inputs and outputs of some operations; see `roundings`.

    The program is changed in place.
    """
    for number, one in enumerate(roundings(program, assigned, spec, recipe, calibration)):
        _round(program, number, one)
    program.graph_module.recompile()


def _round(program: ExportedProgram, number: int, one: Rounding) -> None:
    """Makes the readers of a value read it through quantize and dequantize."""
    scale = add_constant(program, f"scale_{number}", torch.tensor(one.scale))
    operators = compression_operators()
    graph, value = program.graph, one.value
    # An input stands before the constants that were added after it.
    place = next(node for node in graph.nodes if node.op != "placeholder")
    with (
        graph.inserting_after(value) if value.op != "placeholder" else graph.inserting_before(place)
    ):
        dtype = getattr(torch, one.dtype)
        integer = call(program, operators.quantize.default, value, scale, dtype)
    with graph.inserting_after(integer):
        rounded = call(program, operators.dequantize.default, integer, scale)
    for node in one.readers:
        node.replace_input_with(value, rounded)
