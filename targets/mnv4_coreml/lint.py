"""What makes an `.mlpackage` slow, and what keeps it off the Neural Engine.

The device decides which unit runs an operation, and Apple does not document how. The rules are
those that have a public source, which docs/reference/lint.md names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mnv4_coreml.mil.saved import Message, SavedModel
from mnv4_mobile import lint as rules
from mnv4_mobile.errors import damaged
from mnv4_mobile.layers import assign
from mnv4_mobile.lint import Convolution, Finding, Graph, Operator, Rule

_LEAVING = (
    *("gather", "gather_along_axis", "gather_nd", "scatter", "scatter_along_axis", "scatter_nd"),
    *("lstm", "gru", "rnn", "custom_layer", "topk", "tile", "non_maximum_suppression"),
)
_POOLS = ("avg_pool", "max_pool", "l2_pool")
_MOST_SIZES = 16
"""More than the axes of any tensor."""
_WIDEST_KERNEL = 13
_LONGEST_AXIS = 16384


def _beyond_limits(graph: Graph, operator: Operator) -> str:
    """Reports a kernel or axis too long for the Neural Engine, or a dilated convolution."""
    conv = operator.convolution
    kernel = conv.kernel if conv else operator.kernel
    if max(kernel, default=1) > _WIDEST_KERNEL:
        return f"{operator.kind} with a kernel of {' x '.join(map(str, kernel))}"
    if conv and conv.dilated:
        return f"dilated {operator.kind}"
    shape = graph.values[operator.outputs[0]].shape
    if max(shape[-2:], default=1) > _LONGEST_AXIS:
        return f"{operator.kind} to {' x '.join(map(str, shape))}"
    return ""


def _heads(graph: Graph, operator: Operator) -> str:
    """Reports a product that is made once for each head, rather than for each image of a batch."""
    if operator.kind not in ("matmul", "einsum"):
        return ""
    batches = [graph.values[name].shape[:-2] for name in operator.inputs]
    images = graph.values[graph.convolutions[0].outputs[0]].shape[0] if graph.convolutions else 1
    count = max(map(math.prod, batches), default=1)
    if count <= images:
        return ""
    broadcast = ", broadcast" if len({math.prod(batch) for batch in batches}) > 1 else ""
    return f"{operator.kind} in {count // images} parts{broadcast}"


RULES = (
    Rule(
        name="neural-engine",
        check=rules.kinds(*_LEAVING),
        advice="known not to run on the Neural Engine: use convolutions and products instead",
    ),
    Rule(
        name="neural-engine",
        check=_beyond_limits,
        advice="beyond the Neural Engine's limits: split it, or choose a smaller one",
    ),
    Rule(
        name="cast",
        check=rules.cast,
        advice="build with --io float16, so that inputs and outputs have the program's type",
    ),
    *rules.channels_first("Core ML"),
    Rule(
        name="rank",
        check=rules.kinds("expand_dims", "squeeze"),
        advice="keep tensors at four axes before export (mnv4 build does)",
    ),
    Rule(
        name="heads",
        check=_heads,
        advice="make one product of all heads: order the channels of queries by head last, in the "
        "weights (mnv4 build does)",
    ),
    Rule(
        name="linear",
        check=rules.kinds("linear"),
        advice="make it a 1 x 1 convolution before export (mnv4 build does)",
    ),
    Rule(
        name="pad",
        check=rules.kinds("pad"),
        advice="give the padding to the convolution after it before export",
    ),
    Rule(
        name="batch-norm",
        check=rules.kinds("batch_norm", "layer_norm", "instance_norm"),
        advice="fold it into a convolution before export (mnv4 build does)",
    ),
    Rule(
        name="batch-norm",
        check=rules.per_channel("mul", "add"),
        advice="fold it into a convolution before export (mnv4 build does)",
    ),
    *rules.NEURAL_ENGINE,
)


def lint(path: Path, layers: Sequence[str]) -> list[Finding]:
    """Finds what makes a package slow; see `Target.lint`.

    Raises:
        BundleError: A package that is incomplete or damaged.
        LoweringError: A package with flexible shapes.
    """
    model = SavedModel(path)
    with damaged(model.path, "program"):
        return rules.apply(RULES, graph_of(model, layers))


def graph_of(model: SavedModel, layers: Sequence[str]) -> Graph:
    """Returns the program without its constants, and reads only small ones."""
    values = {port.name: _value(model, port) for port in model.function.inputs}
    literals: dict[str, Message] = {}
    stored: dict[str, str] = {}
    """The operation that decompresses a weight while loading, by the weight's name."""
    operators: list[Operator] = []
    for op in model.block().operations:
        constant = op.type == "const" or op.type.startswith("constexpr_")
        values |= {output.name: _value(model, output, constant=constant) for output in op.outputs}
        if op.type == "const":
            literals[op.outputs[0].name] = op.attributes["val"]
        elif constant:
            stored[op.outputs[0].name] = op.type
        else:
            operators.append(_operator(model, op, values, literals, stored))
    found = assign([operator.convolution is not None for operator in operators], layers)
    return Graph(operators=operators, layers=found, values=values)


def _value(model: SavedModel, output: Message, *, constant: bool = False) -> rules.Value:
    if output.type.WhichOneof("type") != "tensorType":
        return rules.Value(dtype="", shape=(), constant=constant)
    dtype, shape = model.tensor_type(output.type)
    return rules.Value(dtype=dtype, shape=shape, constant=constant)


def _operator(
    model: SavedModel,
    op: Message,
    values: Mapping[str, rules.Value],
    literals: Mapping[str, Message],
    stored: Mapping[str, str],
) -> Operator:
    names = {key: [binding.name for binding in op.inputs[key].arguments] for key in op.inputs}

    def sizes(parameter: str) -> tuple[int, ...]:
        """Returns the integers of a constant parameter; empty if the operation has none."""
        (name,) = names.get(parameter, [""])
        if name not in literals:
            return ()
        _, shape = model.tensor_type(literals[name].type)
        if math.prod(shape) > _MOST_SIZES:
            raise ValueError(f"{op.type}: found {parameter} of shape {list(shape)}")
        return tuple(int(size) for size in np.ravel(model.value(literals[name])))

    # The data comes before the parameters.
    order = sorted(names, key=lambda key: (key not in ("x", "input", "data"), key))
    convolution = None
    if op.type == "conv":
        (weight,) = names["weight"]
        outputs, inputs, *kernel = values[weight].shape
        (groups,) = sizes("groups") or (1,)
        convolution = Convolution(
            inputs=inputs * groups,
            outputs=outputs,
            groups=groups,
            kernel=tuple(kernel),
            weights=stored.get(weight, values[weight].dtype),
            dilated=any(step > 1 for step in sizes("dilations")),
        )
    axes = sizes("perm") if op.type == "transpose" else ()
    rank = len(axes)
    return Operator(
        kind=op.type,
        inputs=tuple(name for key in order for name in names[key] if name in values),
        outputs=tuple(output.name for output in op.outputs),
        permutation=tuple(axis % rank for axis in axes),
        kernel=sizes("kernel_sizes") if op.type in _POOLS else (),
        convolution=convolution,
    )
