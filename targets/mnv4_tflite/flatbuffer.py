"""Edits a `.tflite` after conversion, as objects of its flatbuffer schema.

Files that may come from elsewhere are read by `reader.py`.
"""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

_DATA_ALIGNMENT = 16  # bytes; `force_align` in the schema, which Python's packer ignores


def read_model(data: bytes) -> Any:
    """Returns the model (`ModelT`), with all constants in its buffers."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    for buffer in model.buffers:
        if buffer.offset > 1:  # it lies after the flatbuffer
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def write_model(model: Any) -> bytes:
    """Returns the model's bytes."""
    import flatbuffers

    constants = [buffer for buffer in model.buffers if buffer.data is not None]
    for buffer in constants:
        buffer.Pack = partial(_pack_aligned, np.asarray(buffer.data, np.uint8))
    builder = flatbuffers.Builder(sum(len(buffer.data) for buffer in constants))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _pack_aligned(values: npt.NDArray[np.uint8], builder: Any) -> int:
    """Packs a constant with the alignment that kernels need to read it in a mapped file."""
    from ai_edge_litert import schema_py_generated as schema

    length = len(values)
    builder.StartVector(1, length, _DATA_ALIGNMENT)
    builder.head -= length
    builder.Bytes[builder.head : builder.head + length] = values.tobytes()
    data = builder.EndVector()
    schema.BufferStart(builder)
    schema.BufferAddData(builder, data)
    return int(schema.BufferEnd(builder))


def pack(model: bytes, name: str, content: bytes) -> bytes:
    """Packs a file into the zip after a model, which is appended if there is none."""
    buffer = io.BytesIO(model)
    with zipfile.ZipFile(buffer, "a") as archive:
        # An explicit ZipInfo has a fixed date, so that the same content gives the same bytes.
        archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def kinds(model: Any) -> list[str]:
    """Returns the kind of each operator of a model, in order: `CONV_2D`, ..."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    names = {code: name for name, code in vars(BuiltinOperator).items() if name.isupper()}
    return [names[_code(model, operator)] for operator in model.subgraphs[0].operators]


def _code(model: Any, operator: Any) -> int:
    code = model.operatorCodes[operator.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def name_tensors(model: Any) -> None:
    """Gives tensors the names of their layers, and inputs and outputs those of the signature.

    The converter lists all layers that it fused into one; the first one listed produces the tensor.
    """
    graph = model.subgraphs[0]
    seen: Counter[bytes] = Counter()
    for tensor in graph.tensors:
        layer = tensor.name.partition(b";")[0]
        tensor.name = b"%s;%d" % (layer, seen[layer]) if seen[layer] else layer
        seen[layer] += 1
    name_ports(model)


def name_ports(model: Any) -> None:
    """Gives inputs and outputs the names of the signature."""
    graph, (signature,) = model.subgraphs[0], model.signatureDefs
    for entry in (*signature.inputs, *signature.outputs):
        graph.tensors[entry.tensorIndex].name = entry.name


def order_outputs(model: Any, names: tuple[str, ...]) -> None:
    """Puts the outputs in the order of `names`."""
    graph, (signature,) = model.subgraphs[0], model.signatureDefs
    signature.outputs.sort(key=lambda entry: names.index(entry.name.decode()))
    graph.outputs = np.array([entry.tensorIndex for entry in signature.outputs], np.int32)


_LAST_AXES = frozenset(("RESHAPE", "BATCH_MATMUL", "SOFTMAX", "ADD"))
"""Operators of attention, which work on the last axes, or on each value."""


def raise_rank(model: Any) -> None:
    """Gives the tensors of attention a fourth axis, of length 1: (N, R, C) -> (N, 1, R, C).

    Some GPUs compute products of rank 3 wrongly, and of rank 4 correctly (LiteRT, issue 8619).
    No operator is added, and no value moves.
    """
    graph = model.subgraphs[0]
    raised = {i for i, tensor in enumerate(graph.tensors) if len(tensor.shape) == 3}
    steps = [
        (kind, operator)
        for kind, operator in zip(kinds(model), graph.operators, strict=True)
        if not raised.isdisjoint((*operator.inputs, *operator.outputs))
    ]
    if {kind for kind, _ in steps} - _LAST_AXES:
        return  # without our patch of the converter, products are FULLY_CONNECTED
    for index in raised:
        graph.tensors[index].shape = np.insert(np.asarray(graph.tensors[index].shape), 1, 1)
    for kind, operator in steps:
        if kind == "RESHAPE" and operator.outputs[0] in raised:
            shape = _constant(model, graph.tensors[operator.outputs[0]].shape)
            operator.inputs = np.array([operator.inputs[0], shape], np.int32)


def _constant(model: Any, values: npt.NDArray[Any]) -> int:
    """Adds a constant (K,) of int32, and returns its number among the tensors."""
    from ai_edge_litert import schema_py_generated as schema

    tensor, buffer = schema.TensorT(), schema.BufferT()
    buffer.data = np.asarray(values, np.int32).view(np.uint8)
    tensor.name, tensor.type = b"shape", schema.TensorType.INT32
    tensor.shape, tensor.buffer = np.array([len(values)], np.int32), len(model.buffers)
    model.buffers.append(buffer)
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1


def add_metadata(model: Any, name: str, data: bytes) -> None:
    """Adds a named buffer of metadata."""
    from ai_edge_litert import schema_py_generated as schema

    entry, buffer = schema.MetadataT(), schema.BufferT()
    buffer.data = np.frombuffer(data, np.uint8)
    entry.name, entry.buffer = name, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata.append(entry)


def halve_weights(model: Any) -> None:
    """Stores the filters of convolutions as float16, each with a DEQUANTIZE after it.

    This is how a `.tflite` holds float16 weights: delegates take the float16 values themselves,
    kernels the float32 that DEQUANTIZE makes of them once. Other constants are too small to matter.
    """
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    convolutions = (
        schema.BuiltinOperator.CONV_2D,
        schema.BuiltinOperator.DEPTHWISE_CONV_2D,
    )
    dequantize = schema.OperatorCodeT()
    dequantize.builtinCode = dequantize.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    dequantize.version = 3  # the first with float16
    steps = []
    weights = [op.inputs[1] for op in graph.operators if _code(model, op) in convolutions]
    for index in dict.fromkeys(weights):  # equal weights are one tensor
        weight, half = graph.tensors[index], schema.TensorT()
        buffer = model.buffers[weight.buffer]
        buffer.data = buffer.data.view(np.float32).astype(np.float16).view(np.uint8)
        half.name, half.shape = weight.name + b";float16", weight.shape
        half.type, half.buffer = schema.TensorType.FLOAT16, weight.buffer
        weight.buffer = 0
        step = schema.OperatorT()
        step.opcodeIndex = len(model.operatorCodes)
        step.inputs, step.outputs = [len(graph.tensors)], [index]
        graph.tensors.append(half)
        steps.append(step)
    model.operatorCodes.append(dequantize)
    graph.operators = steps + graph.operators
