"""Quantizing a float LiteRT model with ai-edge-quantizer, by ranges of our own.

Its own calibration is a moving average over images, which cuts the peaks of most of them.
"""

from __future__ import annotations

import io
import re
import warnings
from contextlib import redirect_stderr
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import fx

from mnv4_mobile.calibration import Calibration
from mnv4_mobile.graph import Operation, operations
from mnv4_mobile.ranges import Ranges
from mnv4_mobile.recipe import Activations, Recipe
from mnv4_mobile.target import BuildSpec, Layer, Tensor, feed
from mnv4_tflite.flatbuffer import operator_names, read_model, write_model

_COSTS_ACCURACY = "int8 would cost accuracy and save no time"


def quantized(
    model: Any,
    graph: fx.Graph,
    image: Tensor,
    spec: BuildSpec,
    recipe: Recipe,
    calibration: Calibration | None,
) -> tuple[Any, tuple[Layer, ...]]:
    """The model (`ModelT`) with the recipe's integers, and the layers that differ from it.

    Args:
        model: In float.
        graph: What it was converted from: the names of its layers.
        image: The model's input.
        spec: What is built.
        recipe: With integer weights.
        calibration: Images, for static activations.
    """
    found = list(operations(graph))
    recipe.keep.check(operation.name for operation in found)
    static = recipe.activations if recipe.scheme == "int8" else None
    chosen, layers = [], []
    for operation in found:
        why = recipe.keep.why(operation.name)
        if operation.kind == "conv":
            quantize = why is None
        elif static is None:
            continue  # only convolutions have weights
        else:
            quantize = why is None and operation.kind == "addition"
            why = why if operation.kind == "addition" else _COSTS_ACCURACY
        if quantize:
            chosen.append(operation)
        if not quantize or operation.kind != "conv":
            precision = "int8" if quantize else recipe.precision
            layers.append(Layer(name=operation.name, precision=precision, why=why))
    operators = _operators(model, found, chosen)
    tensors = model.subgraphs[0].tensors
    data = write_model(model)
    ranges = {}
    if static is not None:
        assert calibration is not None
        operators += _paddings(model, operators)
        indices = {o.outputs[0] for o in operators} | {
            i for o in operators for i in o.inputs if not _is_constant(model, i)
        }
        found_ranges = _observed(data, indices, image, spec, static, calibration)
        ranges = {tensors[i].name.decode(): limits for i, limits in found_ranges.items()}
    names = [tensors[operator.outputs[0]].name.decode() for operator in operators]
    return read_model(_quantize(data, names, recipe, ranges)), tuple(layers)


def _is_constant(model: Any, index: int) -> bool:
    return model.buffers[model.subgraphs[0].tensors[index].buffer].data is not None


def _operators(model: Any, found: list[Operation], chosen: list[Operation]) -> list[Any]:
    """The model's operators for operations that were chosen from those found.

    Names of operators do not survive the conversion, but their order does.
    """
    convolutions, additions = [], []
    operators = model.subgraphs[0].operators
    for operator, name in zip(operators, operator_names(model), strict=True):
        if name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            convolutions.append(operator)
        elif name == "ADD" and not any(_is_constant(model, i) for i in operator.inputs):
            additions.append(operator)
    result = []
    for kind, of_kind in (("conv", convolutions), ("addition", additions)):
        those = [operation for operation in found if operation.kind == kind]
        result += [o for o, of in zip(of_kind, those, strict=True) if of in chosen]
    return result


def _paddings(model: Any, quantized_operators: list[Any]) -> list[Any]:
    """The PADs in front of operators; they take the range of what they pad."""
    inputs = {index for operator in quantized_operators for index in operator.inputs}
    operators = model.subgraphs[0].operators
    return [
        operator
        for operator, name in zip(operators, operator_names(model), strict=True)
        if name == "PAD" and operator.outputs[0] in inputs
    ]


def _observed(
    data: bytes,
    indices: set[int],
    image: Tensor,
    spec: BuildSpec,
    activations: Activations,
    calibration: Calibration,
) -> dict[int, tuple[float, float]]:
    """The ranges of tensors, which the float model is run for, a picture at a time."""
    from ai_edge_litert.interpreter import Interpreter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it takes memory to keep all tensors: an image's
        interpreter = Interpreter(
            model_content=data, num_threads=1, experimental_preserve_all_tensors=True
        )
    interpreter.allocate_tensors()
    (entry,) = interpreter.get_input_details()
    ranges = Ranges(activations)
    for picture in calibration:
        pixels = np.repeat(picture[None], spec.batch, axis=0)
        interpreter.set_tensor(entry["index"], feed(image, pixels, spec.preprocess)[image.name])
        interpreter.invoke()
        for index in indices:
            ranges.observe(str(index), interpreter.get_tensor(index))
    return {index: ranges.of(str(index)) for index in indices}


def _quantize(
    data: bytes, names: list[str], recipe: Recipe, ranges: dict[str, tuple[float, float]]
) -> bytes:
    """Has the operators whose outputs have these names quantized."""
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.quantizer import Quantizer

    assert recipe.weights is not None
    quantizer = Quantizer(data)
    scopes = f"^({'|'.join(map(re.escape, names))});$"
    everything, bits = TFLOperationName.ALL_SUPPORTED, recipe.weights.bits
    match recipe.scheme:
        case "int8":
            quantizer.add_static_config(scopes, everything, 8, bits)
        case "int8-dynamic":
            quantizer.add_dynamic_config(scopes, everything, bits)
        case _:
            quantizer.add_weight_only_config(scopes, everything, bits)
    calibrated = {name: {"min": _value(low), "max": _value(high)} for name, (low, high) in ranges.items()}
    with redirect_stderr(io.StringIO()):  # a progress bar that cannot be turned off
        result = quantizer.quantize(calibrated or None, enable_progress_report=False)
    return bytes(result.quantized_model)


def _value(bound: float) -> npt.NDArray[np.float32]:
    return np.array([bound], np.float32)
