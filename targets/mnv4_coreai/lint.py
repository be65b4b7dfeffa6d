"""What makes an `.aimodel` slow, and what is reported to be wrong on the Neural Engine.

docs/reference/lint.md names the source of each rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnv4_coreai.asset import Call, Program, describe
from mnv4_mobile import lint as rules
from mnv4_mobile.layers import assign
from mnv4_mobile.lint import Convolution, Finding, Graph, Operator, Rule

_EXPANDS = {"blockwise_shift_scale", "lut_to_dense", "dequantize"}
"""The operators that expand a weight."""
_PRODUCTS = ("batch_matmul", "broadcasting_batch_matmul", "matmul")
_SHAPES = ("get_shape", "gather_nd", "broadcast_shapes", "broadcast_in_dims")
_DECOMPOSED = ("erf", "exp", "maximum", "broadcasting_maximum", "minimum", "tanh", "clamp")


def _block(graph: Graph, operator: Operator) -> str:
    """Reports weights with a scale for each block of inputs."""
    conv = operator.convolution
    return f"{operator.kind} with {conv.weights}" if conv and "block" in conv.weights else ""


def _rank(graph: Graph, operator: Operator) -> str:
    """Reports matrix products of fewer than four axes."""
    if operator.kind not in _PRODUCTS:
        return ""
    axes = len(graph.values[operator.outputs[0]].shape)
    return f"{operator.kind} of {axes} axes" if axes < 4 else ""


RULES = (
    Rule(
        name="block-integers",
        check=_block,
        advice="reported to be wrong on the Neural Engine: use a palette (-r palettize-4)",
        whole=True,
    ),
    Rule(
        name="rank",
        check=_rank,
        advice="reported to be wrong on the Neural Engine: use four axes before export",
    ),
    Rule(
        name="neural-engine",
        check=rules.kinds("topk"),
        advice="reported to be slow: sort the scores in the app",
    ),
    Rule(
        name="decomposed",
        check=rules.kinds(*_DECOMPOSED),
        advice="part of an activation: export it as one operator",
    ),
    Rule(
        name="shapes",
        check=rules.kinds(*_SHAPES),
        advice="arithmetic on shapes: export with fixed sizes",
    ),
    Rule(
        name="cast",
        check=rules.cast,
        advice="give inputs and outputs the program's type",
    ),
    *rules.channels_first("Core AI"),
    *rules.NEURAL_ENGINE,
)


def lint(path: Path, layers: Sequence[str]) -> list[Finding]:
    """Finds what makes an asset slow or wrong; see `Target.lint`."""
    return rules.apply(RULES, graph_of(describe(path), layers))


def graph_of(program: Program, layers: Sequence[str]) -> Graph:
    """Returns the program without its weights' operators."""
    values = {
        str(at): rules.Value(dtype=value.dtype, shape=value.shape, constant=value.constant)
        for at, value in enumerate(program.values)
    }
    stored: dict[int, str] = {}
    """The types in which weights are stored, by the expanded weights."""
    operators: list[Operator] = []
    for call in program.calls:
        first = program.values[call.inputs[0]] if call.inputs else None
        if call.kind in _EXPANDS and first and first.constant:
            stored[call.outputs[0]] = _stored(program, call)
        else:
            operators.append(_operator(program, call, stored))
    found = assign([operator.convolution is not None for operator in operators], layers)
    return Graph(operators=operators, layers=found, values=values)


def _stored(program: Program, call: Call) -> str:
    values, scales = (program.values[at] for at in call.inputs[:2])
    if call.kind == "lut_to_dense":
        return f"palette of {scales.shape[-2]}"
    blocks = len(scales.shape) > 1 and scales.shape[1] > 1
    return f"{values.dtype}, a scale per block" if blocks else values.dtype


def _operator(program: Program, call: Call, stored: dict[int, str]) -> Operator:
    convolution = None
    if call.kind == "conv2d":
        _, weight, _, dilations, groups = call.inputs
        outputs, inputs, *kernel = program.values[weight].shape
        (group,) = program.values[groups].sizes
        convolution = Convolution(
            inputs=inputs * group,
            outputs=outputs,
            groups=group,
            kernel=tuple(kernel),
            weights=stored.get(weight, program.values[weight].dtype),
            dilated=any(step > 1 for step in program.values[dilations].sizes),
        )
    axes = program.values[call.inputs[1]].sizes if call.kind == "transpose" else ()
    return Operator(
        kind=call.kind,
        inputs=tuple(map(str, call.inputs)),
        outputs=tuple(map(str, call.outputs)),
        permutation=axes,
        convolution=convolution,
    )
