"""Weights in fewer bits, which Core AI expands while loading or computing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

from mnv4_coreai.rewrite import add_constant, call
from mnv4_mobile.quantize.compression import integers, palette
from mnv4_mobile.recipe import Weights

_BITS: dict[int, Any] = {8: torch.int8, 4: getattr(torch, "int4", None)}  # torch's stubs lack it


def compress(
    program: ExportedProgram,
    convolutions: Sequence[fx.Node],
    compressions: Sequence[Weights | None],
) -> None:
    """Replaces weights by operators that expand them.

    Args:
        program: The program; it is changed in place.
        convolutions: Its convolutions, in order.
        compressions: The compression of each, from `fitted`; None keeps the weight.
    """
    from mnv4_coreai.speedups import compression_operators

    operators = compression_operators()
    parameters = program.graph_signature.inputs_to_parameters
    for number, (node, weights) in enumerate(zip(convolutions, compressions, strict=True)):
        if weights is None:
            continue
        weight = node.all_input_nodes[1]
        values = program.state_dict[parameters[weight.name]].detach().half().numpy()
        if weights.form == "integer":
            stored, scale = (torch.from_numpy(part) for part in integers(values, weights))
            arguments: tuple[Any, ...] = (
                add_constant(program, f"weight_{number}_integers", stored),
                add_constant(program, f"weight_{number}_scale", scale.float()),
                None,
                None,
                # Without it, the converter takes the fewest bits that hold the integers.
                _BITS[weights.bits],
            )
            operator = operators.constexpr_blockwise_shift_scale.default
        else:
            indices, colours = (torch.from_numpy(part) for part in palette(values, weights))
            arguments = (
                add_constant(program, f"weight_{number}_indices", indices),
                add_constant(
                    program,
                    f"weight_{number}_lut",
                    colours.float().reshape(len(colours), 1, 1, 1, 2**weights.bits, 1),
                ),
                0,
            )
            operator = operators.lut_to_dense.default
        with program.graph.inserting_before(node):
            node.replace_input_with(weight, call(program, operator, *arguments))
