"""Decides what a recipe quantizes in a graph; all targets share these decisions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mnv4_mobile.layers import Layer
from mnv4_mobile.program.operations import Operation, operations
from mnv4_mobile.recipe import INT16, Recipe
from mnv4_mobile.records import replace

if TYPE_CHECKING:
    from torch import fx

OVERFLOWS = "guard: float16 may overflow"
"""Why a layer that `BuildSpec.overflowing` names is computed in float32."""
_NO_GAIN = "only convolutions and residual additions gain from integers"


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """How one operation is computed."""

    operation: Operation
    scheme: str | None
    """The scheme, as in `Recipe.scheme`; None for float."""
    why: str | None
    """Why the scheme is not the recipe's; None if it is."""


def assignments(graph: fx.Graph, recipe: Recipe, *, weights_alone: str) -> list[Assignment]:
    """Returns how each operation of a graph is computed.

    Args:
        graph: The graph of an exported deploy form.
        recipe: A recipe with quantized weights.
        weights_alone: The target's scheme for weights whose activations stay in float.

    Raises:
        ConfigError: A pattern of the recipe matches no module.
    """
    found = list(operations(graph))
    keep = recipe.keep
    keep.check(operation.name for operation in found)
    assigned = []
    for operation in found:
        scheme, why = None, keep.why(operation.name)
        if why is None and keep.depthwise and _is_depthwise(operation):
            why = "keep.depthwise"
        if why is None:
            if operation.kind == "conv":
                scheme = recipe.scheme
                if recipe.static and keep.only_activations(operation.name):
                    scheme, why = weights_alone, "keep.after_pooling"
            elif recipe.static and operation.kind == "addition":
                scheme = recipe.scheme
            elif recipe.static:
                why = _NO_GAIN
            if scheme == "int8" and (wide := keep.why_int16(operation.name)):
                scheme, why = INT16, wide
        assigned.append(Assignment(operation=operation, scheme=scheme, why=why))
    return assigned


@dataclass(frozen=True, kw_only=True)
class Wide:
    """What a float16 artifact computes in float32."""

    nodes: Collection[fx.Node]
    """The nodes of the graph that are computed in float32."""
    layers: tuple[Layer, ...]
    """The layers that are, with the reason."""

    def kept(self, recipe: Recipe) -> Recipe:
        """Returns a recipe that quantizes none of these layers."""
        modules = (*recipe.keep.modules, *(layer.name for layer in self.layers))
        return replace(recipe, keep=replace(recipe.keep, modules=modules))


def wide(graph: fx.Graph, overflowing: Collection[str]) -> Wide:
    """Returns what has to be computed in float32, so that nothing overflows.

    These are the layers that float16 may not hold and those that read them, because a large value
    is as large for its reader, with all that reorders or clamps values between them.

    Args:
        graph: The graph of an exported deploy form.
        overflowing: The layers that float16 may not hold (`BuildSpec.overflowing`).
    """
    names = {operation.node: operation.name for operation in operations(graph)}
    large: dict[fx.Node, str] = {}  # the layer that the node's large values come from
    nodes: dict[fx.Node, None] = {}
    why: dict[str, str] = {}
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        name = names.get(node, "")
        source = next((large[value] for value in node.all_input_nodes if value in large), "")
        if name in overflowing:
            large[node] = name
            why[name] = OVERFLOWS
        elif not source:
            continue
        elif name:
            why.setdefault(name, f"guard: reads {source}")
        else:
            large[node] = source
        nodes[node] = None
    layers = tuple(Layer(name=name, precision="float32", why=text) for name, text in why.items())
    return Wide(nodes=nodes, layers=layers)


def _is_depthwise(operation: Operation) -> bool:
    if operation.kind != "conv":
        return False
    _, weight, *_ = operation.node.all_input_nodes
    outputs, inputs_of_a_group, *_ = weight.meta["val"].shape
    return bool(outputs > 1 and inputs_of_a_group == 1)


def layers(assigned: list[Assignment], recipe: Recipe) -> tuple[Layer, ...]:
    """Returns the layers that differ from the recipe, and the quantized ones other than convs."""
    found = [
        Layer(name=one.operation.name, precision=one.scheme or recipe.precision, why=one.why)
        for one in assigned
        if one.why is not None or (one.scheme and one.operation.kind != "conv")
    ]
    return tuple(dict.fromkeys(found))  # attention has two products
