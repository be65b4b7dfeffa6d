"""Lowering with ExecuTorch in less than half the time, to the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from torch.export import ExportedProgram
from torch.fx.passes.infra.pass_base import PassResult
from torch.fx.traceback import NodeSource


@contextmanager
def quick_lowering() -> Iterator[None]:
    """Leaves out what costs ExecuTorch time and gives our graphs nothing; each pass traces anew."""
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
    decompose = ExportedProgram.run_decompositions

    def chosen(program: Any, passes: None) -> Any:
        return _passes.XNNPACKPassManager(program, needed)

    def unchanged(self: Any, graph: Any) -> PassResult:
        return PassResult(graph, modified=False)

    def where_needed(self: ExportedProgram, table: Any = None, **options: Any) -> Any:
        # Three times; upstream leaves out one only (`_gen_edge_manager_for_partitioners`).
        if table is not None and not any(node.target in table for node in self.graph.nodes):
            return self
        return decompose(self, table, **options)

    patches: list[AbstractContextManager[Any]] = [
        patch.object(xnnpack_preprocess, "XNNPACKPassManager", chosen),
        *(patch.object(one, "call", unchanged) for one in needless),
        patch.object(ExportedProgram, "run_decompositions", where_needed),
        # Every trace copies each node's whole history, which nobody changes.
        patch.object(NodeSource, "__deepcopy__", lambda self, _: self, create=True),
    ]
    with ExitStack() as entered:
        for one in patches:
            entered.enter_context(one)
        yield
