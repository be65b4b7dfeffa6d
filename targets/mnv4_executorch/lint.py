"""Finds what makes a `.pte` slow: operators outside XNNPACK, and needless ones inside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnv4_executorch import xnnpack_graph
from mnv4_executorch.pte import KIND, Program
from mnv4_mobile.errors import damaged
from mnv4_mobile.layers import assign
from mnv4_mobile.lint import (
    Finding,
    Graph,
    Operator,
    Rule,
    Value,
    apply,
    channels,
    integer_rules,
    kinds,
    per_channel,
    transpose,
    transpose_pair,
)

_DELEGATE = "delegate"
_TRANSPOSES = ("StaticTranspose", "aten::permute_copy.out", "aten::transpose_copy.int_out")
_PADS = ("aten::constant_pad_nd.out", "StaticConstantPad")
_NORMS = (
    "aten::_native_batch_norm_legit_no_training.out",
    "aten::native_batch_norm.out",
    "aten::native_layer_norm.out",
)


def _delegate_break(graph: Graph, operator: Operator) -> str:
    """Finds each delegate call but the first, and what runs between it and the one before."""
    if operator.kind != _DELEGATE:
        return ""
    between: list[str] = []
    for index in range(graph.position(operator) - 1, -1, -1):
        before = graph.operators[index]
        if before.kind == _DELEGATE or "::" not in before.kind:
            between = between or ["nothing"]
            return f"another delegate call; between the two: {', '.join(sorted(set(between)))}"
        between.append(before.kind)
    return ""  # the first


def _outside(graph: Graph, operator: Operator) -> str:
    return f"{operator.kind} outside the delegate" if "::" in operator.kind else ""


RULES = (
    Rule(
        name="delegate-break",
        check=_delegate_break,
        advice="every call copies its inputs and outputs: fold or rewrite the operators between "
        "the calls before export (mnv4 build does)",
    ),
    Rule(
        name="transpose-pair",
        check=transpose_pair(*_TRANSPOSES),
        advice="the runtime runs both: rewrite the permutation between them before export",
    ),
    Rule(
        name="transpose",
        check=transpose(*_TRANSPOSES, of_input=True),
        advice="XNNPACK keeps channels last: build with --layout nhwc",
    ),
    Rule(
        name="transpose",
        check=transpose(*_TRANSPOSES),
        advice="XNNPACK keeps channels last: write the model in that order before export",
    ),
    Rule(
        name="pad",
        check=kinds(*_PADS),
        advice="move the padding into the convolution after it, before export",
    ),
    Rule(
        name="batch-norm",
        check=kinds(*_NORMS),
        advice="fold it into a convolution before export (mnv4 build does)",
    ),
    Rule(
        name="batch-norm",
        check=per_channel("Multiply", "Add"),
        advice="fold it into a convolution before export (mnv4 build does)",
    ),
    Rule(
        name="outside-delegate",
        check=_outside,
        advice="it runs in a portable kernel, in one thread and without vectors: rewrite it before "
        "export",
    ),
    *integer_rules("Quantize", "Dequantize"),
    Rule(
        name="channels",
        check=channels(8),
        advice="choose multiples of 8 in the configuration: kernels work on 8 or 16 at a time",
    ),
)


def lint(path: Path, layers: Sequence[str]) -> list[Finding]:
    """Finds what makes a program slow; see `Target.lint`.

    Raises:
        BundleError: The file is not an ExecuTorch program, or is damaged.
    """
    program = Program(path)
    with damaged(path, KIND):
        return apply(RULES, graph_of(program, layers))


def graph_of(program: Program, layers: Sequence[str]) -> Graph:
    """Returns the graph of all operators; those of a delegate follow its call."""
    operators: list[Operator] = []
    values = {
        f"{number}": Value(dtype=tensor.dtype, shape=tensor.shape)
        for number, tensor in program.tensors.items()
    }
    for index, call in enumerate(program.calls):
        names = tuple(f"{number}" for number in call.arguments if number in program.tensors)
        if call.delegate is None:
            operators.append(Operator(kind=call.name, inputs=names[:-1], outputs=names[-1:]))
            continue
        operators.append(Operator(kind=_DELEGATE))
        inside, tensors = xnnpack_graph.read(call.delegate, f"{index}.")
        operators += inside
        values |= tensors
    found = assign([operator.convolution is not None for operator in operators], layers)
    return Graph(operators=operators, layers=found, values=values)
