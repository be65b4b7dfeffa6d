"""Changes to an exported program before Core AI's converter maps it."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec, TensorArgument
from torch.fx.node import map_aggregate

from mnv4_mobile.program.decompose import decomposed
from mnv4_mobile.program.export import rebuilt

aten = torch.ops.aten


def own_copy(program: ExportedProgram) -> ExportedProgram:
    """Returns a copy whose graph, signature and weights can be changed in place."""
    copied = decomposed(program, {})
    assert not program.constants, program.constants.keys()  # a deploy form keeps all in its state
    signature = copy.deepcopy(copied.graph_signature)
    return rebuilt(copied, signature=signature, state=dict(copied.state_dict))


def add_constant(program: ExportedProgram, name: str, value: Tensor) -> fx.Node:
    """Adds a constant to a program, and returns the node that holds it.

    Args:
        program: The program; it is changed in place.
        name: A name that it does not have. The converter looks for `indices` and `lut` in it.
        value: The constant.
    """
    graph, signature, mode = program.graph, program.graph_signature, fake_mode(program)
    first = next(iter(graph.nodes))
    with graph.inserting_before(first):
        node: fx.Node = graph.placeholder(name)
    with mode:
        node.meta["val"] = torch.empty(value.shape, dtype=value.dtype)
    signature.input_specs.insert(
        0,
        InputSpec(
            kind=InputKind.BUFFER,
            arg=TensorArgument(name=node.name),
            target=node.name,
            persistent=True,
        ),
    )
    program.state_dict[node.name] = value
    return node


def call(program: ExportedProgram, target: Any, *arguments: object) -> fx.Node:
    """Adds a call of an operator where the graph's insertion point is, with what it returns.

    Args:
        program: The program; it is changed in place.
        target: The operator.
        arguments: Its arguments; nodes for values of the graph.
    """
    node: fx.Node = program.graph.call_function(target, tuple(arguments))
    values = [a.meta["val"] if isinstance(a, fx.Node) else a for a in arguments]
    with fake_mode(program):
        node.meta["val"] = target(*values)
    return node


def add_biases_as_maps(program: ExportedProgram) -> None:
    """Replaces the biases of convolutions by additions of (1, C, 1, 1), which is what Core AI has.

    The converter would reshape the biases while it folds constants, and give the results random
    names.

    Args:
        program: The decomposed program; it is changed in place.
    """
    parameters = program.graph_signature.inputs_to_parameters
    for node in list(program.graph.nodes):
        if node.target is not aten.convolution.default or node.args[2] is None:
            continue
        bias = program.state_dict[parameters[node.args[2].name]].detach()
        value = add_constant(program, f"{node.name}_bias", bias.reshape(1, -1, 1, 1))
        node.args = (*node.args[:2], None, *node.args[3:])
        with program.graph.inserting_after(node):
            added = call(program, aten.add.Tensor, node, value)
        added.meta = {**node.meta, "val": added.meta["val"]}
        node.replace_all_uses_with(
            added, delete_user_cb=lambda user, added=added: user is not added
        )


def guard_products(program: ExportedProgram) -> None:
    """Keeps Core AI from multiplying a map instead of the matrix that it was reshaped to.

    If a map (1, C, H, W) is reshaped to a matrix with H rows, coreai-core 1.0.0b3 drops the
    reshape, multiplies C matrices of H rows instead of one, and reshapes the product, which is
    wrong. A product with 1 after the reshape prevents it.

    Args:
        program: The decomposed program; it is changed in place.
    """
    for node in list(program.graph.nodes):
        if node.target is not aten.bmm.default:
            continue
        matrix = node.args[1]
        source = matrix
        while source.target in (aten.view.default, aten.expand.default):
            source = source.args[0]
        shape, reshaped = source.meta["val"].shape, matrix.meta["val"].shape
        if shape[-2] != reshaped[-2] or shape[-1] == reshaped[-1]:
            continue
        with program.graph.inserting_before(node):
            node.replace_input_with(matrix, call(program, aten.mul.Tensor, matrix, 1.0))


def in_float16(program: ExportedProgram, wide: Collection[fx.Node] = ()) -> None:
    """Makes a program compute in float16; an input of bytes stays one, and outputs are float16.

    Args:
        program: The program; it is changed in place.
        wide: The nodes that stay float32, between casts.
    """
    graph, mode, signature = program.graph, fake_mode(program), program.graph_signature
    weights = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    casts: dict[tuple[fx.Node, torch.dtype], fx.Node] = {}

    def cast(value: fx.Node, dtype: torch.dtype) -> fx.Node:
        if not value.meta["val"].is_floating_point() or value.meta["val"].dtype == dtype:
            return value
        if (value, dtype) not in casts:
            made = graph.call_function(aten._to_copy.default, (value,), {"dtype": dtype})
            with mode:
                made.meta["val"] = value.meta["val"].to(dtype)
            casts[value, dtype] = made
        return casts[value, dtype]

    for node in list(graph.nodes):
        dtype = torch.float32 if node in wide else torch.float16
        if node.op == "placeholder":
            if node.meta["val"].dtype != torch.float32:
                continue
            if node.name in weights:
                if node.users and all(user in wide for user in node.users):
                    continue
                program.state_dict[weights[node.name]] = halved(
                    program.state_dict[weights[node.name]]
                )
            with mode:
                node.meta["val"] = node.meta["val"].half()
            continue
        with graph.inserting_before(node):
            for value in node.all_input_nodes:
                node.replace_input_with(value, cast(value, dtype))
        if node.op == "call_function":
            if node not in wide:
                node.args, node.kwargs = map_aggregate(
                    (node.args, node.kwargs), lambda a: torch.float16 if a is torch.float32 else a
                )
            given = (node.args, node.kwargs)
            args, kwargs = fx.map_arg(given, lambda argument: argument.meta["val"])
            with mode:
                node.meta["val"] = node.target(*args, **kwargs)


def halved(value: Tensor) -> Tensor:
    """Returns values as float16, those that are too large as the largest one."""
    most = torch.finfo(torch.float16).max
    found = value.detach().clamp(-most, most).half()
    return nn.Parameter(found, requires_grad=False) if isinstance(value, nn.Parameter) else found


def fake_mode(program: ExportedProgram) -> Any:
    """Returns the mode that a program's values belong to."""
    node = next(node for node in program.graph.nodes if node.op == "placeholder")
    return node.meta["val"].fake_mode
