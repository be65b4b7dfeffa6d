"""Decomposes the operators of an exported program in place.

This module imports private names of torch, so its import may fail; that of `decompose` does not.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from operator import getitem
from types import FunctionType
from typing import Any

from torch import Tensor, fx
from torch._dispatch.python import enable_python_dispatcher
from torch._export.utils import _is_cia_op, _is_preservable_cia_op
from torch._ops import OpOverload
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.export import ExportedProgram
from torch.export.exported_program import (
    _override_composite_implicit_decomp,
    _split_decomp_table_to_cia_and_python_decomp,
)
from torch.export.graph_signature import TensorArgument
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.passes.shape_prop import _extract_tensor_metadata
from torch.utils._pytree import tree_map_only

from mnv4_mobile.program.export import rebuilt

Table = Mapping[Any, Callable[..., Any]]


def decomposed(program: ExportedProgram, table: Table) -> ExportedProgram:
    """Returns what `ExportedProgram.run_decompositions` returns, in a fraction of the time.

    That method traces a whole program twice, through three layers of dispatch. This function traces
    only the operators that change, each kind once, and copies all others.

    Args:
        program: A program without symbolic sizes, whose operators change nothing in place and
            decompose without constants; it is not changed.
        table: Decompositions by operator. Composed views (`aten.reshape`), and plain Python
            functions in the graph, are always decomposed.
    """
    composed, others = _split_decomp_table_to_cia_and_python_decomp(dict(table))
    traced = _Traced(others)
    graph, found = fx.Graph(), dict[fx.Node, Any]()
    # Composed operators that are not in the table are kept; others make tensors of their own.
    with (
        _override_composite_implicit_decomp(composed),
        enable_python_dispatcher(),
        _fake_mode(program),
    ):
        for node in program.graph.nodes:
            if node.target is getitem and isinstance(found[node.args[0]], Sequence):
                found[node] = found[node.args[0]][node.args[1]]
            elif node.op == "call_function" and _decomposes(node.target, table):
                found[node] = _in_place_of(node, traced.of(node, found), graph, found)
            else:
                found[node] = same = graph.node_copy(node, found.__getitem__)
                if node.op == "call_function":
                    known = _as_before(node, found)
                    same.meta = _with_value(same, node.meta["val"] if known else _value(same))
    graph.eliminate_dead_code()
    return _with_graph(program, graph, found)


def _fake_mode(program: ExportedProgram) -> FakeTensorMode:
    values = (node.meta.get("val") for node in program.graph.nodes)
    return next(value.fake_mode for value in values if isinstance(value, FakeTensor))


def _decomposes(target: Any, table: Table) -> bool:
    if target in table:
        return True
    if isinstance(target, OpOverload):
        return _is_cia_op(target) and not _is_preservable_cia_op(target)
    return target is not getitem


def _as_before(node: fx.Node, found: Mapping[fx.Node, fx.Node]) -> bool:
    """Returns whether a node's value is known, and its inputs kept their shape, order and type."""
    inputs = node.all_input_nodes
    return "val" in node.meta and all(
        _kind(n.meta.get("val")) == _kind(found[n].meta["val"]) for n in inputs
    )


def _kind(value: Any) -> Any:
    if isinstance(value, FakeTensor):
        return value.dtype, tuple(value.shape), value.stride()
    return type(value), value


def _value(node: fx.Node) -> Any:
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: n.meta["val"])
    assert callable(node.target)
    return node.target(*args, **kwargs)


def _with_value(node: fx.Node, value: Any) -> dict[str, Any]:
    """Returns a node's metadata with another value."""
    described = tree_map_only(Tensor, _extract_tensor_metadata, value)
    return {**node.meta, "val": value, "tensor_meta": described}


def _code(target: Any) -> Any:
    """Returns what identifies a function; litert-torch makes a new one for every convolution."""
    if not isinstance(target, FunctionType):
        return target
    return target.__code__, *(cell.cell_contents for cell in target.__closure__ or ())


class _Traced:
    """The graphs that operators decompose to, each traced once."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._known: dict[Any, fx.Graph] = {}

    def of(self, node: fx.Node, found: Mapping[fx.Node, fx.Node]) -> fx.Graph:
        """Returns a graph with a placeholder for each node that an operator reads."""
        inputs = node.all_input_nodes
        values = [found[n].meta["val"] for n in inputs]
        places = {n: f"input {i}" for i, n in enumerate(inputs)}
        given = fx.map_arg((node.args, node.kwargs), places.__getitem__)
        key = _code(node.target), repr(given), *map(_kind, values)
        if key not in self._known:
            self._known[key] = self._trace(node, values)
        return self._known[key]

    def _trace(self, node: fx.Node, values: list[Any]) -> fx.Graph:
        target: Any = node.target

        def call(*inputs: Any) -> Any:
            of = dict(zip(node.all_input_nodes, inputs, strict=True))
            args, kwargs = fx.map_arg((node.args, node.kwargs), of.__getitem__)
            return target(*args, **kwargs)

        trace = make_fx(functionalize(call), decomposition_table=dict(self._table))
        graph: fx.Graph = trace(*values).graph
        assert not graph.find_nodes(op="get_attr")
        return graph


def _in_place_of(
    node: fx.Node, part: fx.Graph, graph: fx.Graph, found: Mapping[fx.Node, fx.Node]
) -> Any:
    """Copies what a node decomposes to into a graph, and returns its result or results in it."""
    within = dict(zip(part.find_nodes(op="placeholder"), node.all_input_nodes, strict=True))
    within = {inner: found[outer] for inner, outer in within.items()}
    known = set(within)
    result = graph.graph_copy(part, within)
    for inner in part.nodes:
        if inner not in known and inner.op != "output":
            within[inner].meta = _with_value(node, inner.meta["val"])
    return result


def _with_graph(
    program: ExportedProgram, graph: fx.Graph, found: Mapping[fx.Node, fx.Node]
) -> ExportedProgram:
    """Returns a program with another graph that has the same inputs and outputs."""
    names = {
        before.name: after.name for before, after in found.items() if isinstance(after, fx.Node)
    }
    signature = copy.deepcopy(program.graph_signature)
    for spec in (*signature.input_specs, *signature.output_specs):
        if isinstance(spec.arg, TensorArgument):
            spec.arg.name = names[spec.arg.name]
    module = fx.GraphModule(program.graph_module, graph)
    return rebuilt(program, graph=module, signature=signature)
