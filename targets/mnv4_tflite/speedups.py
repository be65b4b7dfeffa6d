"""What the LiteRT target patches in its toolchain.

All code that needs more than the public interfaces of torch and litert-torch is here, and `PATCHES`
lists it. Nothing is imported before it is needed.

The seconds that a speedup saves are CPU time: how much longer it takes to lower the trained hybrid
of the tests (tests/data/hybrid-narrow.yaml, 96 x 96, int8) without it. With all speedups, that
takes 3.0 s.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from mnv4_mobile.patches import Patch, Patches

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram


def exported_as(program: ExportedProgram) -> AbstractContextManager[Any]:
    """Makes the converter take a program; see "exported programs" in `PATCHES`."""
    import torch

    return patch.object(torch.export, "export", return_value=program)


def contiguous(tensor: Tensor) -> Tensor:
    """Returns a contiguous constant; see "constants by address" in `PATCHES`."""
    from torch import nn

    found = tensor.contiguous()
    return nn.Parameter(found, requires_grad=False) if isinstance(tensor, nn.Parameter) else found


@contextmanager
def _products_of_batches() -> Iterator[None]:
    import torch
    from litert_torch import fx_infra
    from litert_torch.backend.experimental import torch_tfl

    bmm = torch.ops.aten.bmm.default
    table = fx_infra.decomp._pre_lower_decomp
    with patch.dict(table, {bmm: torch_tfl.decomps[bmm]}):
        yield


@contextmanager
def _own_lowerings() -> Iterator[None]:
    import torch
    from litert_torch.backend.lowerings import _basic, registry

    aten: Any = torch.ops.aten
    own = {
        getattr(packet, overload): lowering
        for packet, lowering in (
            (aten.clone, _basic._aten_clone),
            (aten.permute, _basic._aten_permute),
        )
        for overload in packet.overloads()
    }
    with patch.dict(registry.global_registry.registered_ops, own):
        yield


@contextmanager
def _decompositions_in_place() -> Iterator[None]:
    from torch.export import ExportedProgram

    from mnv4_mobile.program.decompose import decomposed

    with patch.object(ExportedProgram, "run_decompositions", decomposed):
        yield


PATCHES = Patches(
    tested={
        "litert-torch": "==0.10.*",
        "litert-converter": "==0.5.*",
        "torch": "==2.13.*",
    },
    table=(
        Patch(
            name="constants by address",
            kind="workaround",
            reason="Constants are identified by their address, and by that of a short-lived copy "
            "if they are not contiguous.",
            upstream="litert-torch, pull request 1063",
            saves="Without it, two different weights become one.",
        ),
        Patch(
            name="exported programs",
            kind="workaround",
            reason="The converter takes modules and exports them, which loses the names of layers.",
            upstream="litert_torch/_convert/core.py, export_torch_signature",
            saves="An export, and the names of tensors, by which layers are found again.",
        ),
        Patch(
            name="products of batches",
            kind="artifact",
            reason="Attention with a batch of 1 becomes a FULLY_CONNECTED with computed weights, "
            "which XNNPACK does not take: the delegate is cut in two at every attention block.",
            upstream="litert_torch/fx_infra/decomp.py, litert_torch/backend/experimental/torch_tfl",
            saves="Two delegates and a slow product for each attention block.",
            apply=_products_of_batches,
        ),
        Patch(
            name="own lowerings",
            kind="speedup",
            reason="The converter has lowerings of its own for `clone` and `permute`, but then "
            "registers others by way of JAX, which traces and parses them once for every shape.",
            upstream="litert_torch/backend/lowerings/__init__.py",
            saves="0.9 s; 1.5 s with hybrid-medium.",
            apply=_own_lowerings,
        ),
        Patch(
            name="decompositions in place",
            kind="speedup",
            reason="The whole program is traced twice for each of three decomposition tables.",
            upstream="torch/export/exported_program.py, ExportedProgram.run_decompositions",
            saves="4.3 s.",
            apply=_decompositions_in_place,
        ),
    ),
)
