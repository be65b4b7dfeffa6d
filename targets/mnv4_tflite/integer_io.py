"""Gives a `.tflite` integer inputs and outputs that stand for floats."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from mnv4_mobile.tensors import Quantization
from mnv4_tflite.flatbuffer import kinds

Range = tuple[float, float]


def make_integer(
    model: Any, dtype: Literal["int8", "uint8"], image: Range | None, outputs: list[Range]
) -> None:
    """Makes a quantized model (`ModelT`) take and return integers.

    Args:
        model: A model with float inputs and outputs; it is changed.
        dtype: Type of the integers.
        image: The range of the input; None if it stays as it is.
        outputs: The ranges of the outputs, in order.
    """
    if image is not None:
        _integer_input(model, dtype, image)
    graph, (signature,) = model.subgraphs[0], model.signatureDefs
    for place, port in enumerate(outputs):
        given = graph.outputs[place]
        index = _add_tensor(model, given, dtype, _grid(dtype, port))
        graph.operators.append(_operator(model, "QUANTIZE", given, index))
        graph.outputs[place] = index
        for entry in signature.outputs:
            if entry.tensorIndex == given:
                entry.tensorIndex = index


def grid(model: Any, index: int) -> Quantization | None:
    """Returns the quantization of a tensor; None for floats and pixels."""
    found = model.subgraphs[0].tensors[index].quantization
    if found is None or found.scale is None or not len(found.scale):
        return None
    return Quantization(scale=float(found.scale[0]), zero_point=int(found.zeroPoint[0]))


def _integer_input(model: Any, dtype: Literal["int8", "uint8"], port: Range) -> None:
    graph, (signature,) = model.subgraphs[0], model.signatureDefs
    (given,) = graph.inputs
    operators = list(zip(graph.operators, kinds(model), strict=True))
    readers = [(operator, kind) for operator, kind in operators if given in operator.inputs]
    (reader, kind), *others = readers
    if not others and kind == "QUANTIZE" and _has_8_bits(model, reader.outputs[0]):
        # From integers, it does nothing or changes the sign.
        index = reader.outputs[0]
        known = grid(model, index)
        assert known is not None
        if dtype == "int8":
            graph.operators.remove(reader)
        else:
            known = Quantization(scale=known.scale, zero_point=known.zero_point + 128)
            index = _add_tensor(model, given, dtype, known)
            reader.inputs = np.array([index], np.int32)
            _version_of(model, reader, 2)  # the first version from integers to integers
    else:
        index = _add_tensor(model, given, dtype, _grid(dtype, port))
        graph.operators.insert(0, _operator(model, "DEQUANTIZE", index, given))
    graph.inputs = np.array([index], np.int32)
    signature.inputs[0].tensorIndex = index


def _has_8_bits(model: Any, index: int) -> bool:
    from ai_edge_litert import schema_py_generated as schema

    return bool(model.subgraphs[0].tensors[index].type == schema.TensorType.INT8)


def _grid(dtype: str, port: Range) -> Quantization:
    low, high = port
    scale = float(np.float32((high - low) / 255))
    return Quantization(scale=scale, zero_point=round(np.iinfo(dtype).min - low / scale))


def _add_tensor(model: Any, like: int, dtype: str, quantization: Quantization) -> int:
    """Adds a tensor with the shape of another one and returns its index."""
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    tensor, parameters = schema.TensorT(), schema.QuantizationParametersT()
    tensor.name = graph.tensors[like].name + b";" + dtype.encode()
    tensor.shape = graph.tensors[like].shape
    tensor.type = getattr(schema.TensorType, dtype.upper())
    parameters.scale = np.array([quantization.scale], np.float32)
    parameters.zeroPoint = np.array([quantization.zero_point], np.int64)
    tensor.quantization = parameters
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _operator(model: Any, kind: str, given: int, made: int) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    code, operator = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
    code.version = 2  # the first version with int8
    operator.opcodeIndex = len(model.operatorCodes)
    model.operatorCodes.append(code)
    operator.inputs, operator.outputs = np.array([given], np.int32), np.array([made], np.int32)
    return operator


def _version_of(model: Any, operator: Any, version: int) -> None:
    code = model.operatorCodes[operator.opcodeIndex]
    code.version = max(code.version, version)
