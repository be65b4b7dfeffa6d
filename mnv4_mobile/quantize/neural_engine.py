"""What Apple's Neural Engine asks of a program: float16, and values rounded to eight bits.

Values are rounded in the exported program, before a target's converter maps it. There layers still
have names, and one run of torch for each image gives every range.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.quantize.assignment import Assignment
from mnv4_mobile.quantize.ranges import Ranges
from mnv4_mobile.recipe import Recipe

if TYPE_CHECKING:
    from torch import fx
    from torch.export import ExportedProgram

    from mnv4_mobile.target import Images

SMALLEST_SCALE = float(np.finfo(np.float16).tiny)
"""The smallest scale. Scales are float16 in the program: a smaller one may become zero."""


def arithmetic(recipe: Recipe) -> Literal["float32", "float16"]:
    """Returns the type in which everything that is not quantized is computed.

    The Neural Engine does not support float32, so an artifact with quantized weights, which is made
    for it and the GPU, is float16 even with a recipe that other targets need in float32.
    """
    return "float16" if recipe.weights else recipe.precision


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """A value that some nodes read rounded to eight bits, with a zero point of 0."""

    value: fx.Node
    readers: Collection[fx.Node]
    dtype: Literal["int8", "uint8"]
    """Values that are never negative, as after ReLU, become unsigned bytes; others have a symmetric
    range. With int8 for both, trained networks lose 2.4 to 5.3 dB
    (docs/results/coreml-programs.md)."""
    scale: float
    """The step between two neighbouring integers."""


def roundings(
    program: ExportedProgram,
    assigned: Iterable[Assignment],
    spec: BuildSpec,
    recipe: Recipe,
    calibration: Images,
) -> list[Rounding]:
    """Returns the values to round, so that operations with the recipe's scheme run in integers.

    Args:
        program: The deploy form.
        assigned: How its operations are computed.
        spec: What is built.
        recipe: A recipe with static activations.
        calibration: Images that give the ranges.
    """
    from mnv4_mobile.program.observe import observe

    assert recipe.activations is not None
    chosen = [one.operation.node for one in assigned if one.scheme == recipe.scheme]
    readers = rounded_values(chosen, program.graph_signature.user_inputs)
    ranges = Ranges(recipe.activations)
    observe(
        program,
        readers,
        spec,
        calibration,
        lambda value, x, _: ranges.observe(value.name, x.float().numpy()),
    )
    return [_rounding(value, nodes, *ranges.of(value.name)) for value, nodes in readers.items()]


def _rounding(value: fx.Node, readers: Collection[fx.Node], low: float, high: float) -> Rounding:
    dtype: Literal["int8", "uint8"] = "int8" if low < 0 else "uint8"
    scale = max(-low, high) / int(np.iinfo(dtype).max)
    return Rounding(value=value, readers=readers, dtype=dtype, scale=max(scale, SMALLEST_SCALE))


def rounded_values(
    chosen: Iterable[fx.Node], inputs: Collection[Any]
) -> dict[fx.Node, dict[fx.Node, None]]:
    """Returns the values to round to integers, each with the nodes that read its rounded form.

    A convolution or addition runs in integers on Apple's Neural Engine if its inputs are rounded,
    and its output after an activation that the engine runs together with it. These are clamps and
    leaky ReLU (coremltools, `insert_suffix_quantize_dequantize_pair`); before any other activation,
    the output is rounded too, and the activation is computed in float.

    Args:
        chosen: The operations that run in integers.
        inputs: The names of the graph's inputs.
    """
    import torch

    aten = torch.ops.aten
    fused = {aten.relu.default, aten.hardtanh.default, aten.leaky_relu.default}
    readers: dict[fx.Node, dict[fx.Node, None]] = {}
    for node in chosen:
        for value in node.all_input_nodes:
            if value.op != "placeholder" or value.name in inputs:
                readers.setdefault(value, {})[node] = None
        (user, *others) = node.users
        last = user if not others and user.target in fused else node
        after = [user for user in last.users if user.op != "output"]
        if after:
            readers.setdefault(last, {}).update(dict.fromkeys(after))
    return readers
