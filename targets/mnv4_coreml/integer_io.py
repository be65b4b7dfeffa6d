"""int8 inputs and outputs that stand for floats, which Core ML has from iOS 26 on.

coremltools takes and gives integers without a scale: it casts them. Here the program is made with
float inputs and outputs, and a pass puts a dequantize after the input and a quantize before each
output, which the interpreter runs. Core ML has not run them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch.export import ExportedProgram

from mnv4_coreml import is_classifier
from mnv4_coreml.speedups import retype_int8
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.program.observe import observe
from mnv4_mobile.program.operations import image_of
from mnv4_mobile.quantize.neural_engine import SMALLEST_SCALE, Rounding
from mnv4_mobile.quantize.ranges import Ranges
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.records import replace
from mnv4_mobile.target import Images
from mnv4_mobile.tensors import Quantization

IMAGE = "image"
NOTE = (
    "int8 inputs and outputs: coremltools expects its own test of them on Core ML to fail "
    "(test_torch_conversion_api.py, rdar://155895085); check the artifact on a device"
)


def port_ranges(
    program: ExportedProgram, spec: BuildSpec, recipe: Recipe, calibration: Images
) -> dict[str, tuple[float, float]]:
    """Returns the ranges of the inputs and outputs that become integers, by name.

    They hold all values that the calibration images give: classes that share a clipped score could
    not be told apart.

    Args:
        program: The deploy form with a float input, before activations are rounded.
        spec: What is built.
        recipe: A recipe with static activations.
        calibration: Images that give the ranges.
    """
    assert recipe.activations is not None
    (nodes,) = program.graph.output_node().args
    names = dict(zip(nodes, spec.outputs, strict=True))
    if is_classifier(spec):  # Core ML gives probabilities as a dictionary.
        names = {node: name for node, name in names.items() if name != "probabilities"}
    if spec.input != "pixels":
        names[image_of(program.graph, program.graph_signature)] = IMAGE
    ranges = Ranges(replace(recipe.activations, range="minmax", symmetric=False))
    observe(
        program,
        names,
        spec,
        calibration,
        lambda node, x, _: ranges.observe(names[node], x.float().numpy()),
    )
    return {name: ranges.of(name) for name in names.values()}


def port_grids(
    program: ExportedProgram,
    ranges: Mapping[str, tuple[float, float]],
    rounded: Sequence[Rounding],
) -> dict[str, Quantization]:
    """Returns what the integers of inputs and outputs stand for, by name.

    An image that the first convolution reads rounded to int8 comes in these integers.

    Args:
        program: The deploy form with a float input.
        ranges: The result of `port_ranges`.
        rounded: The activations that were rounded.
    """
    image = image_of(program.graph, program.graph_signature)
    grids = {name: _grid((high - low) / 255, low) for name, (low, high) in ranges.items()}
    for one in rounded:
        if one.value is image and one.dtype == "int8" and IMAGE in grids:
            grids[IMAGE] = _grid(one.scale)
    return grids


def _grid(step: float, low: float | None = None) -> Quantization:
    """Returns the grid for a step, with a zero point of 0 unless it has to hold a lowest value."""
    scale = float(np.float16(max(step, SMALLEST_SCALE)))  # as the program holds it
    zero_point = 0 if low is None else int(np.clip(round(-128 - low / scale), -128, 127))
    return Quantization(scale=scale, zero_point=zero_point)


def integer_pass(grids: Mapping[str, Quantization]) -> str:
    """Registers a pass that makes inputs and outputs int8, and returns its name.

    Args:
        grids: What the integers stand for, by the names of inputs and outputs.
    """
    from coremltools.converters.mil.mil.passes.graph_pass import AbstractGraphPass
    from coremltools.converters.mil.mil.passes.pass_registry import register_pass

    @register_pass(namespace="mnv4", name="integer_io", override=True)
    class IntegerIo(AbstractGraphPass):  # type: ignore[misc]
        def apply(self, prog: Any) -> None:
            main = prog.functions["main"]
            with main:
                if IMAGE in grids:
                    _integer_input(main, grids[IMAGE])
                for found in list(main.outputs):
                    if found.name in grids:
                        _integer_output(main, found, grids[found.name])

    return "mnv4::integer_io"


def _parameters(grid: Quantization) -> dict[str, Any]:
    scale = np.float16(grid.scale)
    if grid.zero_point == 0:  # as coremltools has it, if it makes the operation
        return {"scale": scale}
    return {"scale": scale, "zero_point": np.int8(grid.zero_point)}


def _integer_input(main: Any, grid: Quantization) -> None:
    from coremltools.converters.mil import Builder

    image = main.inputs[IMAGE]
    readers = list(image.child_ops)
    retype_int8(image)
    floats = Builder.dequantize(
        input=image, **_parameters(grid), name=f"{IMAGE}_floats", before_op=main.operations[0]
    )
    main.replace_uses_of_var_after_op(
        anchor_op=floats.op,
        old_var=image,
        new_var=floats,
        force_replace=True,
        no_check_var_types=True,
    )
    for op in readers:
        if op.op_type == "quantize" and _same(op, grid):
            main.replace_uses_of_var_after_op(
                anchor_op=op, old_var=op.outputs[0], new_var=image, force_replace=True
            )
            main.remove_ops([op])
    if not floats.child_ops:
        main.remove_ops([floats.op])


def _same(quantize: Any, grid: Quantization) -> bool:
    """Returns whether an operation gives the integers of a grid."""
    zero_point = 0 if quantize.zero_point is None else int(quantize.zero_point.val)
    same = np.float16(quantize.scale.val) == np.float16(grid.scale)
    return bool(same) and quantize.output_dtype.val == "int8" and zero_point == grid.zero_point


def _integer_output(main: Any, found: Any, grid: Quantization) -> None:
    from coremltools.converters.mil import Builder

    name = found.name
    integers = Builder.quantize(
        input=found, **_parameters(grid), output_dtype="int8", name=f"{name}_integers"
    )
    main.replace_uses_of_var_after_op(
        anchor_op=integers.op,
        old_var=found,
        new_var=integers,
        force_replace=True,
        no_check_var_types=True,
    )
    found.set_name(f"{name}_floats")
    integers.set_name(name)
