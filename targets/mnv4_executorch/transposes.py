"""Leaves out the transposes that ExecuTorch writes for XNNPACK and undoes at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any


@contextmanager
def without_pairs() -> Iterator[None]:
    """Lowers without pairs of transposes in which the second undoes the first.

    Maps are channels last in XNNPACK already: where a graph permutes one to channels last, the
    backend brings it back to channels first and permutes it again
    (executorch/backends/xnnpack/_passes/channels_last_tagged_reshape_pass.py). There is no pass
    behind that one, so the graph is changed where it is serialized.
    """
    from executorch.backends.xnnpack import xnnpack_preprocess

    original = xnnpack_preprocess.serialize_xnnpack_binary

    def serialize(graph: Any, constants: Any) -> Any:
        _remove_pairs(graph)
        return original(graph, constants)

    xnnpack_preprocess.serialize_xnnpack_binary = serialize
    try:
        yield
    finally:
        xnnpack_preprocess.serialize_xnnpack_binary = original


def _remove_pairs(graph: Any) -> None:
    """Has what takes a map that was permuted there and back take the map itself."""
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
    # Behind each other: without the second transpose of a pair, the first may have no use either.
    for _ in range(2):
        used = {
            getattr(n.xnode_union, f) for n in graph.xnodes for f in _input_fields(n.xnode_union)
        }
        used.update(graph.output_ids)
        graph.xnodes = [
            node
            for node in graph.xnodes
            if not isinstance(node.xnode_union, XNNStaticTranspose)
            or node.xnode_union.output_id in used
        ]


def _input_fields(node: Any) -> list[str]:
    names = [field.name for field in fields(node)]
    return [name for name in names if name.endswith("_id") and not name.startswith("output")]
