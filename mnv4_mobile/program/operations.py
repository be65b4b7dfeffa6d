"""Lists what an exported deploy form computes, by the names of the manifest's layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import fx
    from torch.export import ExportGraphSignature

OperationKind = Literal["conv", "activation", "addition", "other"]


NAMELESS = (".add", ".offset", ".bmm", ".matmul", ".softmax", ".mean", ".avg_pool", ".resize")
"""Suffixes of the names of operations that are not modules."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One computation of a graph."""

    name: str
    """A module of the network (`stages.1.2.project.conv`), or an operation in one
    (`stages.1.2.add`)."""
    kind: OperationKind
    """`addition` adds a block's input to its output; `other` is attention, pooling and resizing."""
    node: fx.Node


def image_of(graph: fx.Graph, signature: ExportGraphSignature) -> fx.Node:
    """Returns the only input of an exported deploy form."""
    (name,) = signature.user_inputs
    image: fx.Node = next(node for node in graph.nodes if node.name == name)
    return image


def layer_name(node: fx.Node) -> str:
    """Returns the module of the network that a node comes from, as the manifest names it."""
    *_, (path, _) = node.meta["nn_module_stack"].values()
    name: str = path
    return name.removeprefix("net.")


def operations(graph: fx.Graph) -> Iterator[Operation]:
    """Yields the computations of a graph in their order.

    Operations that only reorder values are left out, and so are clamps after a convolution, which
    are part of it.
    """
    import torch

    aten = torch.ops.aten
    activations = {
        aten.gelu.default,
        aten.silu.default,
        aten.hardswish.default,
        aten.leaky_relu.default,
    }
    others: dict[Any, str] = {
        aten.bmm.default: "bmm",
        aten.matmul.default: "matmul",
        aten.softmax.int: "softmax",
        aten.mean.dim: "mean",
        aten.avg_pool2d.default: "avg_pool",
        aten.upsample_bilinear2d.vec: "resize",
    }
    for node in graph.nodes:
        layer = layer_name(node) if "nn_module_stack" in node.meta else ""
        if node.target is aten.conv2d.default:
            yield Operation(name=layer, kind="conv", node=node)
        elif node.target in activations:
            yield Operation(name=layer, kind="activation", node=node)
        elif node.target is aten.add.Tensor:
            if all(value.op == "call_function" for value in node.all_input_nodes):
                yield Operation(name=f"{layer}.add", kind="addition", node=node)
            else:  # the constant of a folded key or value
                yield Operation(name=f"{layer}.offset", kind="other", node=node)
        elif node.target in others:
            name = others[node.target]
            # The pooling before the head belongs to the network itself, not to a module in it.
            yield Operation(
                name=name if layer == "net" else f"{layer}.{name}", kind="other", node=node
            )


def with_clamp(node: fx.Node) -> fx.Node:
    """Returns the clamp that every runtime fuses with an operation, or the operation itself."""
    import torch

    aten = torch.ops.aten
    user, *others = node.users
    fused = not others and user.target in (aten.relu.default, aten.hardtanh.default)
    return user if fused else node


def layer_nodes(graph: fx.Graph) -> dict[fx.Node, str]:
    """Returns the layers of a graph by the nodes that have their values.

    They are those that `watch.layer_values` finds in an artifact.
    """
    found = {}
    for operation in operations(graph):
        if operation.kind == "conv":
            found[with_clamp(operation.node)] = operation.name
        elif operation.kind == "addition" or operation.name == "mean":
            found[operation.node] = operation.name
    return found
