"""Quantizes a float LiteRT model with litert-quantizer, by our own ranges.

The quantizer's own calibration is a moving average over images, which cuts the peaks of most of
them.
"""

from __future__ import annotations

import io
import re
import warnings
from contextlib import redirect_stderr
from typing import Any

import numpy as np
from torch import fx

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.layers import Layer
from mnv4_mobile.quantize.assignment import Assignment, assignments, layers
from mnv4_mobile.quantize.ranges import Ranges
from mnv4_mobile.recipe import INT16, Activations, Recipe
from mnv4_mobile.records import replace
from mnv4_mobile.target import Images
from mnv4_mobile.tensors import TensorSpec, feed
from mnv4_tflite.flatbuffer import kinds, read_model, write_model
from mnv4_tflite.integer_io import make_integer


def quantized(
    model: Any,
    graph: fx.Graph,
    image: TensorSpec,
    spec: BuildSpec,
    recipe: Recipe,
    calibration: Images | None,
    weights_alone: str,
) -> tuple[Any, tuple[Layer, ...]]:
    """Returns the quantized model (`ModelT`), and the layers that differ from the recipe.

    Args:
        model: The float model.
        graph: The graph that it was converted from, which has the names of its layers.
        image: The model's input.
        spec: The build spec.
        recipe: A recipe with integer weights.
        calibration: Images, for static activations.
        weights_alone: See `assignments`.
    """
    assigned = assignments(graph, recipe, weights_alone=weights_alone)
    operators = _operators(model, assigned)
    data = write_model(model)
    ranges: dict[str, tuple[float, float]] = {}
    if recipe.activations is not None and recipe.activations.mode == "static":
        assert calibration is not None
        for scheme in {"int8", INT16} & {*operators}:
            operators[scheme] += _paddings(model, operators[scheme])
        ranges = _observed(model, data, operators, image, spec, recipe.activations, calibration)
    result = read_model(_quantize(model, data, operators, ranges))
    _mend_outputs(result)
    if spec.io in ("int8", "uint8"):
        outputs = [ranges[_name(model, index)] for index in model.subgraphs[0].outputs]
        make_integer(result, spec.io, ranges.get(image.name), outputs)
    return result, layers(assigned, recipe)


def _mend_outputs(model: Any) -> None:
    """Restores float outputs that the quantizer made integer, as operators read them too.

    Their float values are on the other side of a QUANTIZE or DEQUANTIZE.
    """
    graph, (signature,) = model.subgraphs[0], model.signatureDefs
    floats = {}
    for operator, name in zip(graph.operators, kinds(model), strict=True):
        if name == "QUANTIZE":
            floats[operator.outputs[0]] = operator.inputs[0]
        elif name == "DEQUANTIZE":
            floats[operator.inputs[0]] = operator.outputs[0]
    graph.outputs = np.array([floats.get(index, index) for index in graph.outputs], np.int32)
    for entry, index in zip(signature.outputs, graph.outputs, strict=True):
        entry.tensorIndex = index


def _is_constant(model: Any, index: int) -> bool:
    return model.buffers[model.subgraphs[0].tensors[index].buffer].data is not None


def _operators(model: Any, assigned: list[Assignment]) -> dict[str, list[Any]]:
    """Returns the model's operators that are quantized, by scheme.

    Names of operators do not survive the conversion, but their order does.
    """
    by_kind: dict[str, list[Any]] = {"conv": [], "addition": []}
    operators = model.subgraphs[0].operators
    for operator, name in zip(operators, kinds(model), strict=True):
        if name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            by_kind["conv"].append(operator)
        elif name == "ADD" and not any(_is_constant(model, i) for i in operator.inputs):
            by_kind["addition"].append(operator)
    found: dict[str, list[Any]] = {}
    for kind, of_kind in by_kind.items():
        those = [one for one in assigned if one.operation.kind == kind]
        for operator, one in zip(of_kind, those, strict=True):
            if one.scheme:
                found.setdefault(one.scheme, []).append(operator)
    return found


def _paddings(model: Any, quantized_operators: list[Any]) -> list[Any]:
    """Returns the PADs before operators; a PAD has the range of what it pads."""
    inputs = {index for operator in quantized_operators for index in operator.inputs}
    operators = model.subgraphs[0].operators
    return [
        operator
        for operator, name in zip(operators, kinds(model), strict=True)
        if name == "PAD" and operator.outputs[0] in inputs
    ]


def _observed(
    model: Any,
    data: bytes,
    operators: dict[str, list[Any]],
    image: TensorSpec,
    spec: BuildSpec,
    activations: Activations,
    calibration: Images,
) -> dict[str, tuple[float, float]]:
    """Returns the ranges of the inputs and outputs of operators, by the tensors' names.

    The ranges of the model's inputs and outputs are included if these become integers. Those of
    its outputs are not clipped, as that could give several classes the same largest score. Nor are
    those of 16 bits, which have room for all values.

    The float model is run on one image at a time: ranges are per image, not per batch.
    """
    from ai_edge_litert.interpreter import Interpreter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the memory of all tensors, here of one image
        interpreter = Interpreter(
            model_content=data, num_threads=1, experimental_preserve_all_tensors=True
        )
    interpreter.allocate_tensors()
    (entry,) = interpreter.get_input_details()
    indices = _computed(model, operators.get("int8", []))
    whole = Ranges(replace(activations, range="minmax"))
    wide = _computed(model, operators.get(INT16, []))
    if spec.io != "float32":
        graph = model.subgraphs[0]
        wide |= {int(index) for index in graph.outputs}
        indices |= set() if spec.input == "pixels" else set(graph.inputs)
    unclipped = {index: _name(model, index) for index in sorted(wide)}
    names = {index: _name(model, index) for index in sorted(indices)}
    ranges = Ranges(activations)
    for picture in calibration:
        pixels = np.repeat(picture[None], spec.batch, axis=0)
        interpreter.set_tensor(entry["index"], feed(image, pixels, spec.preprocess)[image.name])
        interpreter.invoke()
        for index, name in names.items():  # read in place: they take 50 MB
            ranges.observe(name, interpreter.tensor(index)())
        for index, name in unclipped.items():
            whole.observe(name, interpreter.tensor(index)())
    return whole.all() | ranges.all()


def _computed(model: Any, operators: list[Any]) -> set[int]:
    """Returns the tensors that operators read and write, without constants."""
    taken = (index for operator in operators for index in (*operator.inputs, *operator.outputs))
    return {int(index) for index in taken if not _is_constant(model, index)}


def _quantize(
    model: Any,
    data: bytes,
    operators: dict[str, list[Any]],
    ranges: dict[str, tuple[float, float]],
) -> bytes:
    """Quantizes operators by their schemes and returns the model's bytes."""
    from litert_quantizer.qtyping import TFLOperationName
    from litert_quantizer.quantizer import Quantizer

    quantizer = Quantizer(data)
    everything = TFLOperationName.ALL_SUPPORTED
    for scheme, those in operators.items():
        names = "|".join(re.escape(_name(model, operator.outputs[0])) for operator in those)
        scope = f"^({names});$"  # the quantizer looks operators up by the names of their outputs
        match scheme:
            case "int8":
                quantizer.add_static_config(scope, everything, 8, 8)
            case _ if scheme == INT16:
                quantizer.add_static_config(scope, everything, 16, 8)
            case "int8-dynamic":
                quantizer.add_dynamic_config(scope, everything, 8)
            case "int8-weights":
                quantizer.add_weight_only_config(scope, everything, 8)
    calibrated = {
        name: {"min": np.array([low], np.float32), "max": np.array([high], np.float32)}
        for name, (low, high) in ranges.items()
    }
    with redirect_stderr(io.StringIO()):  # its progress bar cannot be turned off
        result = quantizer.quantize(calibrated or None, enable_progress_report=False)
    return bytes(result.quantized_model)


def _name(model: Any, index: int) -> str:
    name: str = model.subgraphs[0].tensors[index].name.decode()
    return name
