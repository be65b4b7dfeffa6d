"""Finds what makes a `.tflite` slow on the CPU, where XNNPACK runs it, and on the GPU."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from mnv4_mobile.errors import damaged
from mnv4_mobile.layers import assign
from mnv4_mobile.lint import (
    Convolution,
    Finding,
    Graph,
    Operator,
    Rule,
    Value,
    apply,
    channels,
    integer_rules,
    per_channel,
    transpose,
    transpose_pair,
)
from mnv4_tflite.reader import KIND, Model, Step

# The operators of the XNNPACK delegate's `VisitNode` and their types (LiteRT,
# tflite/delegates/xnnpack/xnnpack_delegate.cc and README.md).
_QUANTIZED = frozenset(
    (
        *("ADD", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE", "DEQUANTIZE"),
        *("ELU", "EXPAND_DIMS", "FULLY_CONNECTED", "LEAKY_RELU", "LOGISTIC", "MAX_POOL_2D", "MEAN"),
        *("MUL", "PAD", "QUANTIZE", "RESHAPE", "RESIZE_BILINEAR", "SLICE", "SPACE_TO_DEPTH"),
        *("SPLIT", "STRIDED_SLICE", "SUB", "TANH", "TRANSPOSE", "TRANSPOSE_CONV"),
    )
)
_FLOAT = _QUANTIZED | {
    *("ABS", "AVERAGE_POOL_2D", "BATCH_MATMUL", "CEIL", "COS", "DIV", "EXP", "FLOOR", "GELU"),
    *("HARD_SWISH", "MAXIMUM", "MINIMUM", "NEG", "PRELU", "REDUCE_MAX", "REDUCE_MIN", "RELU"),
    *("RELU6", "RELU_N1_TO_1", "ROUND", "RSQRT", "SIN", "SOFTMAX", "SQRT", "SQUARE"),
    *("SQUARED_DIFFERENCE", "SUM"),
}
_TAKEN = {
    **dict.fromkeys(("float32", "float16"), _FLOAT),
    **dict.fromkeys(("int8", "uint8"), _QUANTIZED),
}
_STATIC = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
"""Operators that XNNPACK takes with constant weights only."""

_GPU = frozenset(
    (
        *("ABS", "ADD", "AVERAGE_POOL_2D", "BATCH_MATMUL", "CAST", "CONCATENATION", "CONV_2D"),
        *("COS", "CUMSUM", "DEPTHWISE_CONV_2D", "DEQUANTIZE", "DIV", "EXP", "FLOOR", "FLOOR_MOD"),
        *("FULLY_CONNECTED", "GELU", "GREATER", "GREATER_EQUAL", "HARD_SWISH", "LEAKY_RELU"),
        *("LOG", "LOGICAL_AND", "LOGISTIC", "MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MUL"),
        *("NOT_EQUAL", "PAD", "QUANTIZE", "REDUCE_MAX", "REDUCE_MIN", "RELU", "RESHAPE"),
        *("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "ROUND", "RSQRT", "SELECT", "SIGN"),
        *("SIN", "SLICE", "SOFTMAX", "SQRT", "SUB", "SUM", "TANH", "TRANSPOSE", "TRANSPOSE_CONV"),
    )
)
"""Operators that LiteRT's GPU accelerator was seen to take. Its own list is not published."""
_GPU_RANK = 4


def _taken(graph: Graph, operator: Operator) -> bool:
    dtype = graph.values[operator.outputs[0]].dtype
    if operator.kind not in _TAKEN.get(dtype, ()):
        return False
    if operator.kind not in _STATIC:
        return True
    computed = graph.producer(operator.inputs[1])
    return computed is None or _unpacks(graph, computed)


def _unpacks(graph: Graph, operator: Operator) -> bool:
    """Returns whether an operator only converts constants, which is done while loading."""
    return operator.kind == "DEQUANTIZE" and graph.values[operator.inputs[0]].constant


def _cast(graph: Graph, operator: Operator) -> str:
    if operator.kind != "CAST":
        return ""
    before, after = graph.types(operator)
    return f"CAST from {before} to {after}, outside XNNPACK"


def _outside(graph: Graph, operator: Operator) -> str:
    if _taken(graph, operator):
        return ""
    dtype = graph.values[operator.outputs[0]].dtype
    return f"{operator.kind} in {dtype}, outside XNNPACK"


def _delegate_break(graph: Graph, operator: Operator) -> str:
    """Finds an operator that the delegate does not take, between others that it takes."""
    what, (first, last) = _outside(graph, operator), _delegated(graph)
    cut = what and first < graph.position(operator) < last
    return f"{what}: it cuts the graph in two" if cut else ""


def _outside_gpu(graph: Graph, operator: Operator) -> str:
    """Finds an operator that stays on the CPU when the GPU runs the model."""
    if operator.kind not in _GPU:
        return f"{operator.kind}, which LiteRT's GPU accelerator is not known to take"
    ranks = [len(graph.values[name].shape) for name in (*operator.inputs, *operator.outputs)]
    if max(ranks) > _GPU_RANK:
        return f"{operator.kind} of a tensor with {max(ranks)} axes; a GPU takes 4 or fewer"
    return ""


@lru_cache(maxsize=1)
def _delegated(graph: Graph) -> tuple[int, int]:
    """Returns the positions of the first and the last operator that the delegate runs."""
    taken = [op for op in graph.operators if _taken(graph, op)]
    runs = [graph.position(op) for op in taken if not _unpacks(graph, op)]
    return (runs[0], runs[-1]) if runs else (0, 0)


def _pad(graph: Graph, operator: Operator) -> str:
    """Finds a padding that XNNPACK does not fuse.

    It fuses a PAD whose only user is a convolution (XNNPACK, subgraph.c).
    """
    if operator.kind not in ("PAD", "PADV2", "MIRROR_PAD"):
        return ""
    users = graph.users(operator)
    if operator.kind == "PAD" and len(users) == 1 and users[0].convolution:
        return ""
    takers = ", ".join(user.kind for user in users) or "an output"
    return f"{operator.kind} for {takers}"


RULES = (
    Rule(
        name="cast",
        check=_cast,
        advice="one pass over the input: build with --input float if the app has floats anyway",
    ),
    Rule(
        name="delegate-break",
        check=_delegate_break,
        advice="XNNPACK starts again after it: rewrite it with other operators before conversion",
    ),
    Rule(
        name="outside-delegate",
        check=_outside,
        advice="it runs in one of the interpreter's own kernels: rewrite it before conversion",
    ),
    Rule(
        name="outside-gpu",
        check=_outside_gpu,
        advice="the GPU hands over to the CPU and back: rewrite it before conversion",
    ),
    Rule(
        name="transpose-pair",
        check=transpose_pair("TRANSPOSE"),
        advice="the runtime runs both: rewrite what is between them before conversion",
    ),
    Rule(
        name="transpose",
        check=transpose("TRANSPOSE", of_input=True),
        advice="the runtime keeps channels last: build with --layout nhwc, the default",
    ),
    Rule(
        name="transpose",
        check=transpose("TRANSPOSE"),
        advice="the runtime keeps channels last: write the model in that order before conversion",
    ),
    Rule(
        name="pad",
        check=_pad,
        advice="give every convolution its own PAD, which XNNPACK fuses into it",
    ),
    Rule(
        name="batch-norm",
        check=per_channel("MUL", "ADD"),
        advice="fold it into a convolution before export (mnv4 build does)",
    ),
    *integer_rules("QUANTIZE", "DEQUANTIZE"),
    Rule(
        name="channels",
        check=channels(8),
        advice="choose multiples of 8 in the configuration: kernels work on 8 or 16 at a time",
    ),
)


def lint(path: Path, layers: Sequence[str]) -> list[Finding]:
    """Finds what makes a model slow; see `Target.lint`.

    Raises:
        BundleError: The file is not a LiteRT model, or is damaged.
    """
    model = Model(path)
    with damaged(path, KIND):
        return apply(RULES, graph_of(model, layers))


def graph_of(model: Model, layers: Sequence[str]) -> Graph:
    """Returns the operators of a model as rules read them."""
    values = {
        f"{number}": Value(dtype=tensor.dtype, shape=tensor.shape, constant=tensor.data is not None)
        for number, tensor in enumerate(model.tensors)
    }
    operators: list[Operator] = []
    stored: dict[str, str] = {}
    """Types of the constants that a DEQUANTIZE takes, by its output."""
    for step in model.steps:
        inputs = tuple(f"{number}" for number in step.inputs if number >= 0)
        outputs = tuple(f"{number}" for number in step.outputs)
        if step.kind == "DEQUANTIZE" and values[inputs[0]].constant:
            stored[outputs[0]] = values[inputs[0]].dtype
        convolution = None
        if step.kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            convolution = _convolution(step.kind, inputs, values, stored)
        operators.append(
            Operator(
                kind=step.kind,
                inputs=inputs,
                outputs=outputs,
                permutation=_permutation(model, step),
                convolution=convolution,
            )
        )
    names = [tensor.name.partition(";")[0] for tensor in model.tensors]
    return Graph(operators=operators, layers=_layers(operators, names, layers), values=values)


def _permutation(model: Model, step: Step) -> tuple[int, ...]:
    """Returns the axes of a TRANSPOSE, if they are constant."""
    if step.kind != "TRANSPOSE":
        return ()
    moved, axes = (model.tensors[number] for number in step.inputs)
    if axes.data is None:
        return ()
    return tuple(map(int, np.frombuffer(axes.data, np.int32, len(moved.shape))))


def _convolution(
    kind: str, inputs: tuple[str, ...], values: dict[str, Value], stored: dict[str, str]
) -> Convolution:
    taken = values[inputs[0]].shape[-1]
    outputs, *kernel, depth = values[inputs[1]].shape
    depthwise = kind == "DEPTHWISE_CONV_2D"
    return Convolution(
        inputs=taken,
        outputs=depth if depthwise else outputs,
        groups=taken if depthwise else taken // depth,
        kernel=tuple(kernel),
        weights=stored.get(inputs[1], values[inputs[1]].dtype),
    )


def _layers(
    operators: Sequence[Operator], names: Sequence[str], layers: Sequence[str]
) -> list[str]:
    """Returns the layer of each operator: the name of its filter or result if mnv4 gave it."""
    known = {layer.partition(".")[0] for layer in layers}
    counted = assign([operator.convolution is not None for operator in operators], layers)
    found = []
    for operator, layer in zip(operators, counted, strict=True):
        index = operator.inputs[1] if operator.convolution else operator.outputs[0]
        name = names[int(index)]
        found.append(name if name.partition(".")[0] in known else layer)
    return found
