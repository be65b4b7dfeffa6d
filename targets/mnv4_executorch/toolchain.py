"""Lowering with ExecuTorch in half the time, to the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from torch.fx.traceback import NodeSource


@contextmanager
def quick_lowering() -> Iterator[None]:
    """Leaves out what costs ExecuTorch time and gives our graphs nothing."""
    from executorch.backends.xnnpack import _passes, xnnpack_preprocess

    # Of 17 passes, each of which traces the graph again, those that find something in ours
    # (executorch/backends/xnnpack/_passes/__init__.py has all).
    needed = [
        _passes.XNNPACKRemoveCloneOpsTransform,
        _passes.DimOrderOpsRevertPass,
        _passes.ConstPropPass,
        _passes.FuseActivationPass,
        _passes.ChannelsLastTaggedReshapePass,
        _passes.RemoveRedundantCopyPass,
    ]

    def passes(program: Any, passes: None) -> Any:
        return _passes.XNNPACKPassManager(program, needed)

    # Every trace copies each node's whole history, which nobody changes.
    history = patch.object(NodeSource, "__deepcopy__", lambda self, _: self, create=True)
    with patch.object(xnnpack_preprocess, "XNNPACKPassManager", passes), history:
        yield
