"""Removes transposes that ExecuTorch writes for XNNPACK and then undoes."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from typing import Any


def remove_pairs(graph: Any) -> None:
    """Removes pairs of transposes from an XNNPACK graph if the second undoes the first."""
    _move_ahead(graph)
    _remove_pairs(graph)


def _move_ahead(graph: Any) -> None:
    """Moves transposes ahead of conversions from floats.

    This brings together the pair around the quantization of attention's output. It also transposes
    the image before it is quantized, in a third of the time: XNNPACK transposes bytes 16 channels
    at a time, and an image has three.
    """
    from executorch.backends.xnnpack.serialization.xnnpack_graph_schema import (
        XNNConvert,
        XNNDatatype,
        XNNStaticTranspose,
        XValue,
    )

    floats = (XNNDatatype.xnn_datatype_fp32, XNNDatatype.xnn_datatype_fp16)
    nodes, uses = graph.xnodes, _uses(graph)
    made = {node.xnode_union.output_id: at for at, node in enumerate(nodes)}
    for behind in range(len(nodes)):
        transpose = nodes[behind].xnode_union
        if not isinstance(transpose, XNNStaticTranspose) or transpose.input_id not in made:
            continue
        ahead = made[transpose.input_id]
        convert = nodes[ahead].xnode_union
        if not isinstance(convert, XNNConvert) or uses[convert.output_id] > 1:
            continue
        source = _tensor(graph, convert.input_id)
        if source.datatype not in floats:
            continue
        between = replace(
            _tensor(graph, convert.output_id),
            datatype=source.datatype,
            dims=[source.dims[axis] for axis in transpose.perm],
        )
        graph.xvalues[between.id_out] = XValue(between)
        transpose.input_id, convert.output_id = source.id_out, transpose.output_id
        transpose.output_id = convert.input_id = between.id_out
        nodes[ahead], nodes[behind] = nodes[behind], nodes[ahead]


def _remove_pairs(graph: Any) -> None:
    """Makes operators that read a map permuted back and forth read the map itself."""
    from executorch.backends.xnnpack.serialization.xnnpack_graph_schema import XNNStaticTranspose

    nodes = [node.xnode_union for node in graph.xnodes]
    transposes = {n.output_id: n for n in nodes if isinstance(n, XNNStaticTranspose)}
    same: dict[int, int] = {}
    for second in transposes.values():
        first = transposes.get(second.input_id)
        if first and [first.perm[axis] for axis in second.perm] == sorted(first.perm):
            same[second.output_id] = first.input_id
    for node in nodes:
        for name in _input_fields(node):
            setattr(node, name, same.get(getattr(node, name), getattr(node, name)))
    # Twice: without the second transpose of a pair, the first may have no use either.
    for _ in range(2):
        uses = _uses(graph)
        graph.xnodes = [
            node
            for node in graph.xnodes
            if not isinstance(node.xnode_union, XNNStaticTranspose)
            or uses[node.xnode_union.output_id]
        ]


def _uses(graph: Any) -> Counter[int]:
    """Returns how often each tensor is used, by its number."""
    nodes = [node.xnode_union for node in graph.xnodes]
    taken = (getattr(node, name) for node in nodes for name in _input_fields(node))
    return Counter([*taken, *graph.output_ids])


def _input_fields(node: Any) -> list[str]:
    names = [field.name for field in fields(node)]
    return [name for name in names if name.endswith("_id") and not name.startswith("output")]


def _tensor(graph: Any, number: int) -> Any:
    from executorch.backends.xnnpack.operators.node_visitor import get_tensor_value

    return get_tensor_value(graph.xvalues[number])
