"""Reads the graph that the XNNPACK delegate of a `.pte` runs.

Field numbers: executorch/backends/xnnpack/serialization/runtime_schema.fbs; header: `XNNHeader` in
xnnpack_graph_serialize.py in the same folder.
"""

from __future__ import annotations

from mnv4_mobile.flatbuffer import Buffer, Table
from mnv4_mobile.lint import Convolution, Operator, Value

_MAGIC = b"XH00"
_GRAPH_OFFSET = slice(10, 14)
_NODES, _VALUES = 1, 2
_TYPE, _TABLE = 0, 1  # of a union
_QUANTIZED = 2
_DTYPE, _SHAPE, _CONSTANT, _ID = 0, 2, 3, 6
_PERMUTATION = 1
_CHANNELS_IN, _CHANNELS_OUT, _GROUPS, _FILTER = 10, 11, 12, 16
_KERNEL, _DILATION = (4, 5), (8, 9)

_DTYPES = {
    **{1: "float32", 2: "float16", 3: "int8", 4: "uint8", 5: "int32", 6: "int8", 7: "int32"},
    **{8: "int4", 9: "int8", 10: "int4", 11: "int8", 12: "int32", 13: "float32", 14: "bfloat16"},
}

_KINDS = (
    *("NONE", "Add", "FullyConnected", "Softmax", "Sigmoid", "StaticTranspose", "Clamp", "Conv2d"),
    *("Div", "StaticResizeBilinear2D", "StaticConstantPad", "AvgPooling2d", "Minimum"),
    *("DepthwiseConv2d", "MaxPooling2d", "Multiply", "Subtract", "Floor", "Convert"),
    *("GlobalAvgPooling2d", "StaticReshape", "ArgMaxPooling2d", "SquareRoot", "Ceiling"),
    *("Hardswish", "LeakyReLU", "Maximum", "Negate", "Square", "ELU", "Abs", "PReLU"),
    *("Concatenate2", "Concatenate3", "Concatenate4", "StaticSlice", "ScaledDotProductAttention"),
    *("BatchMatrixMultiply", "Concatenate5", "ConvTranspose2d", "ReciprocalSquareRoot", "Log"),
    *("Gelu", "Tanh", "Exp", "Sin", "Copy", "Cos"),
)
"""The members of the union of nodes, in the schema's order: a member's index is its number."""

_CONVOLUTIONS = ("Conv2d", "DepthwiseConv2d", "ConvTranspose2d")
_TWO = ((0, 1), 2)
_POOLING = ((10,), 11)
_PORTS = {
    **dict.fromkeys(("Add", "Div", "Minimum", "Multiply", "Subtract", "Maximum", "PReLU"), _TWO),
    "BatchMatrixMultiply": _TWO,
    **dict.fromkeys(_CONVOLUTIONS, ((15, 16, 17), 18)),
    **dict.fromkeys(("AvgPooling2d", "MaxPooling2d"), _POOLING),
    **dict.fromkeys(("StaticTranspose", "StaticResizeBilinear2D", "StaticReshape"), ((2,), 3)),
    **dict.fromkeys(("StaticConstantPad", "StaticSlice"), ((3,), 4)),
    **dict.fromkeys(("LeakyReLU", "ELU"), ((1,), 2)),
    "FullyConnected": ((0, 1, 2), 3),
    "Concatenate2": ((1, 2), 5),
    "Concatenate3": ((1, 2, 3), 5),
    "Concatenate4": ((1, 2, 3, 4), 5),
    "Concatenate5": ((1, 2, 3, 4, 7), 5),
    "ScaledDotProductAttention": ((0, 1, 2, 3, 4), 5),
    "ArgMaxPooling2d": ((6,), 7),
}
"""Fields with the numbers of inputs and output, by kind; in other kinds, fields 0 and 1."""

_CONVERSIONS = {(False, True): "Quantize", (True, False): "Dequantize"}


def read(delegate: Buffer, prefix: str) -> tuple[list[Operator], dict[str, Value]]:
    """Returns the nodes of a delegate's graph in order, and its values.

    Args:
        delegate: The delegate's data in the program.
        prefix: Prefix of the names of values, as each delegate numbers them from 0.

    Raises:
        ValueError: The data is damaged, as are LookupErrors.
    """
    data = delegate.data
    start = int.from_bytes(data[_GRAPH_OFFSET], "little") if data[4:8] == _MAGIC else 0
    graph = delegate.part(start).root()
    values = dict(_value(entry, prefix) for entry in graph.tables(_VALUES))
    return [_operator(node, values, prefix) for node in graph.tables(_NODES)], values


def _value(entry: Table, prefix: str) -> tuple[str, Value]:
    tensor = entry.table(_TABLE)
    if entry.integer(_TYPE, 8) == _QUANTIZED:
        tensor = tensor.table(0)
    return f"{prefix}{tensor.integer(_ID, 32)}", Value(
        dtype=_DTYPES[tensor.integer(_DTYPE, 16)],
        shape=tensor.shape(_SHAPE),
        constant=tensor.integer(_CONSTANT, 32) > 0,
    )


def _operator(node: Table, values: dict[str, Value], prefix: str) -> Operator:
    kind, table = _KINDS[node.integer(_TYPE, 8)], node.table(_TABLE)
    fields, output = _PORTS.get(kind, ((0,), 1))
    names = (f"{prefix}{table.integer(field, 32)}" for field in fields)
    inputs = tuple(name for name in names if name in values)  # a bias may be missing
    result = f"{prefix}{table.integer(output, 32)}"
    convolution = None
    if kind in _CONVOLUTIONS:
        groups = table.integer(_GROUPS, 32)
        convolution = Convolution(
            inputs=groups * table.integer(_CHANNELS_IN, 32),
            outputs=groups * table.integer(_CHANNELS_OUT, 32),
            groups=groups,
            kernel=tuple(table.integer(field, 32) for field in _KERNEL),
            weights=values[f"{prefix}{table.integer(_FILTER, 32)}"].dtype,
            dilated=any(table.integer(field, 32) > 1 for field in _DILATION),
        )
    if kind == "Convert":
        # Unsigned bytes are an image's pixels, not integers of a recipe.
        before, after = (values[name].dtype.startswith("int") for name in (inputs[0], result))
        kind = _CONVERSIONS.get((before, after), kind)
    return Operator(
        kind=kind,
        inputs=inputs,
        outputs=(result,),
        permutation=table.shape(_PERMUTATION) if kind == "StaticTranspose" else (),
        convolution=convolution,
    )
