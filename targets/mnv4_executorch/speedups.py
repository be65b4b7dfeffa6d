"""Lowering with ExecuTorch in less than half the time, to the same bytes but for debug handles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module
from typing import Any
from unittest.mock import patch

import torch
from torch import fx
from torch._subclasses import FakeTensor, FakeTensorMode
from torch._subclasses.fake_tensor import in_kernel_invocation_manager
from torch.export import ExportedProgram
from torch.fx.passes.infra.pass_base import PassResult
from torch.fx.traceback import NodeSource

from mnv4_mobile.program.decompose import decomposed


@contextmanager
def quick_lowering() -> Iterator[None]:
    """Leaves out what costs ExecuTorch time and gives our graphs nothing; each pass traces anew."""
    patches: list[AbstractContextManager[Any]] = [
        *_needed_passes(),
        *_shapes_once(),
        *_code_when_called(),
        # Every trace copies each node's whole history, which nobody changes.
        patch.object(NodeSource, "__deepcopy__", lambda self, _: self, create=True),
    ]
    with ExitStack() as entered:
        for one in patches:
            entered.enter_context(one)
        yield


def _needed_passes() -> Iterable[AbstractContextManager[Any]]:
    """Leaves out passes and decompositions that find nothing."""
    from executorch.backends.xnnpack import _passes, xnnpack_preprocess
    from executorch.exir.passes import (
        NormalizeTransposePass,
        ReplaceBrokenOpsWithFunctionalOpsPass,
        SymToTensorPass,
    )
    from executorch.exir.passes.remove_mixed_type_operators import RemoveMixedTypeOperators

    # Of XNNPACK's 17 passes, those that find something in ours
    # (executorch/backends/xnnpack/_passes/__init__.py has all).
    needed = [
        _passes.XNNPACKRemoveCloneOpsTransform,
        _passes.DimOrderOpsRevertPass,
        _passes.ConstPropPass,
        _passes.FuseActivationPass,
        _passes.ChannelsLastTaggedReshapePass,
        _passes.RemoveRedundantCopyPass,
    ]
    # Of those before it (executorch/exir/passes/__init__.py), the ones for `aten.t`, for views that
    # are left, for symbolic sizes and for operands of different types.
    needless = (
        NormalizeTransposePass,
        ReplaceBrokenOpsWithFunctionalOpsPass,
        SymToTensorPass,
        RemoveMixedTypeOperators,
    )

    def chosen(program: Any, passes: None) -> Any:
        return _passes.XNNPACKPassManager(program, needed)

    def unchanged(self: Any, graph: Any) -> PassResult:
        return PassResult(graph, modified=False)

    def where_needed(self: ExportedProgram, table: Any) -> ExportedProgram:
        # Three times; upstream leaves out one only (`_gen_edge_manager_for_partitioners`).
        if not any(node.target in table for node in self.graph.nodes):
            return self
        return decomposed(self, table)

    yield patch.object(xnnpack_preprocess, "XNNPACKPassManager", chosen)
    for one in needless:
        yield patch.object(one, "call", unchanged)
    yield patch.object(ExportedProgram, "run_decompositions", where_needed)


def _shapes_once() -> Iterable[AbstractContextManager[Any]]:
    """Finds the shape of an operator's output once, not in each of a dozen passes."""
    from executorch.exir.dialects.edge._ops import EdgeOpOverload

    # By its path: the package has a function of the same name.
    delegates = import_module("torch._higher_order_ops.executorch_call_delegate")
    known: dict[Any, FakeTensor] = {}
    call = fx.Interpreter.call_function

    def call_function(self: fx.Interpreter, target: Any, args: Any, kwargs: Any) -> Any:
        key = None
        if isinstance(target, EdgeOpOverload):
            key = _described((target, args, tuple(kwargs.items())))
        if key is None:
            return call(self, target, args, kwargs)
        if key in known:
            return _alike(known[key])
        found = call(self, target, args, kwargs)
        if type(found) is FakeTensor and found.constant is None:
            known[key] = found
        return found

    def of_delegate(lowered: Any, *args: Any) -> Any:
        # Upstream runs all of the graph that was lowered.
        program = lowered.original_module
        outputs = program.graph.output_node().args[0]
        return [_alike(node.meta["val"], args[0].fake_mode) for node in outputs]

    yield patch.object(fx.Interpreter, "call_function", call_function)
    yield patch.object(delegates, "call_delegate_cpu", of_delegate)


def _described(value: Any) -> Any:
    """What of an argument decides the shape and type of a result; None where that is unknown."""
    if type(value) is FakeTensor:
        if value.constant is not None or value._has_symbolic_sizes_strides:
            return None
        return value.fake_mode, value.dtype, tuple(value.shape), value.stride()
    if isinstance(value, tuple | list):
        found = tuple(_described(one) for one in value)
        return None if None in found else found
    if isinstance(value, torch.Tensor):
        return None
    return type(value), value  # 1 and 1.0 are equal


def _alike(tensor: FakeTensor, mode: FakeTensorMode | None = None) -> FakeTensor:
    """Another tensor of this shape and type, in the same mode if none is given."""
    mode, device = mode or tensor.fake_mode, tensor.device
    shape, strides, dtype = tensor.shape, tensor.stride(), tensor.dtype
    with in_kernel_invocation_manager(mode):
        empty = torch.empty_strided(shape, strides, dtype=dtype, device="meta")
        return FakeTensor(mode, empty, device)


def _code_when_called() -> Iterable[AbstractContextManager[Any]]:
    """Generates the code of a graph when it is called; most are not."""
    compile_code = fx.GraphModule.recompile

    def first(self: fx.GraphModule, *args: Any, **kwargs: Any) -> Any:
        compile_code(self)
        return type(self).forward(self, *args, **kwargs)

    def later(self: fx.GraphModule) -> None:
        if isinstance(self.graph._codegen, fx.graph._PyTreeCodeGen):
            self._in_spec = self.graph._codegen.pytree_info.in_spec
            self._out_spec = self.graph._codegen.pytree_info.out_spec
        type(self).forward = first

    yield patch.object(fx.GraphModule, "recompile", later)
    # Put into messages that are not shown.
    yield patch.object(fx.GraphModule, "__str__", lambda self: type(self).__name__)
    yield patch.object(fx.Node, "format_node", lambda self, *_: self.name)
