"""Static rules, which find what makes an artifact slow from its operators, without running it.

A target reads its artifact as a `Graph` and applies a table of rules. docs/reference/lint.md has
every rule with its reason and source.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that makes an artifact slow on its target, or lets it overflow."""

    rule: str
    """Name of the rule: `transpose`, `delegate-break`, ..."""
    layer: str
    """The layer, as the manifest names it; empty for the whole artifact."""
    what: str
    """What was found, in one line."""
    advice: str
    """What to do about it."""


@dataclass(frozen=True, kw_only=True)
class Value:
    """A tensor."""

    dtype: str
    """Type of the elements: `float32`, `float16`, `int8`, ..."""
    shape: tuple[int, ...]
    constant: bool = False


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """The properties of a convolution that rules use."""

    inputs: int
    """Number of input channels."""
    outputs: int
    groups: int
    kernel: tuple[int, ...]
    """(height, width)"""
    weights: str
    """The type in which the weights are stored."""
    dilated: bool = False


@dataclass(frozen=True, kw_only=True)
class Operator:
    """A step of an artifact."""

    kind: str
    """The runtime's name for the operator."""
    inputs: tuple[str, ...] = ()
    """Names of the values that the operator reads."""
    outputs: tuple[str, ...] = ()
    permutation: tuple[int, ...] = ()
    """The axes of a transpose, if they are constant."""
    kernel: tuple[int, ...] = ()
    """(height, width) of a pooling."""
    convolution: Convolution | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """The operators of an artifact in the order in which they run, and their values by name."""

    operators: Sequence[Operator]
    layers: Sequence[str]
    """The layer of every operator."""
    values: Mapping[str, Value]

    # Rules ask these three for every operator, and an artifact may have very many.

    @cached_property
    def _users(self) -> dict[str, dict[int, Operator]]:
        users: dict[str, dict[int, Operator]] = {}
        for operator in self.operators:
            for name in operator.inputs:
                users.setdefault(name, {})[id(operator)] = operator
        return users

    @cached_property
    def _producers(self) -> dict[str, Operator]:
        return {name: operator for operator in self.operators for name in operator.outputs}

    @cached_property
    def _positions(self) -> dict[int, int]:
        return {id(operator): i for i, operator in reversed([*enumerate(self.operators)])}

    def producer(self, name: str) -> Operator | None:
        """Returns the operator whose result a value is; None for inputs and constants."""
        return self._producers.get(name)

    def users(self, operator: Operator) -> list[Operator]:
        """Returns the operators that read the results of an operator."""
        names = [name for name in operator.outputs if self.producer(name) is operator]
        return [user for name in names for user in self._users.get(name, {}).values()]

    def sources(self, operator: Operator) -> list[Operator]:
        """Returns the operators whose results an operator reads."""
        found = (self.producer(name) for name in operator.inputs)
        return [source for source in found if source]

    def position(self, operator: Operator) -> int:
        """Returns how many operators run before one."""
        return self._positions[id(operator)]

    def types(self, operator: Operator) -> tuple[str, str]:
        """Returns the types of an operator's first input and of its output."""
        return self.values[operator.inputs[0]].dtype, self.values[operator.outputs[0]].dtype

    @cached_property
    def convolutions(self) -> list[Operator]:
        """All convolutions."""
        return [operator for operator in self.operators if operator.convolution]

    @cached_property
    def weights(self) -> set[str]:
        """The types in which the weights of convolutions are stored."""
        return {c.convolution.weights for c in self.convolutions if c.convolution}


Check = Callable[[Graph, Operator], str]
"""Returns what is wrong with an operator, in a few words, or an empty text."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A row of a target's table."""

    name: str
    check: Check
    advice: str
    whole: bool = False
    """Whether the rule is about the whole artifact, not about single layers."""


def apply(rules: Sequence[Rule], graph: Graph) -> list[Finding]:
    """Returns one finding for each layer and problem.

    If an operator breaks several rules for layers, only the first counts; those for the whole
    artifact all count.
    """
    found: Counter[tuple[str, str, str, str]] = Counter()
    ordered = sorted(rules, key=lambda rule: not rule.whole)
    for operator, layer in zip(graph.operators, graph.layers, strict=True):
        for rule in ordered:
            if what := rule.check(graph, operator):
                found[rule.name, "" if rule.whole else layer, what, rule.advice] += 1
                if not rule.whole:
                    break
    return [
        Finding(
            rule=rule, layer=layer, what=f"{count} x {what}" if count > 1 else what, advice=advice
        )
        for (rule, layer, what, advice), count in found.items()
    ]


def kinds(*names: str) -> Check:
    """Finds operators that are slow wherever they occur."""
    return lambda graph, operator: operator.kind if operator.kind in names else ""


def transpose(*names: str, of_input: bool = False) -> Check:
    """Finds transposes that move axes longer than 1: of the artifact's input, or all others."""

    def check(graph: Graph, operator: Operator) -> str:
        if operator.kind not in names or of_input == bool(graph.sources(operator)):
            return ""
        shape, axes = graph.values[operator.inputs[0]].shape, operator.permutation
        moved = [axis for axis in axes if shape[axis] > 1]
        return "" if axes and moved == sorted(moved) else operator.kind

    return check


def transpose_pair(*names: str) -> Check:
    """Finds transposes that the next one undoes, and those that undo the one before."""

    def check(graph: Graph, operator: Operator) -> str:
        axes = operator.permutation
        if operator.kind not in names or not axes:
            return ""
        inverse = tuple(axes.index(axis) for axis in range(len(axes)))
        neighbours = (*graph.sources(operator), *graph.users(operator))
        undone = any(n.kind in names and n.permutation == inverse for n in neighbours)
        return f"{operator.kind}, undone by its neighbour" if undone else ""

    return check


def per_channel(*names: str) -> Check:
    """Finds products and sums with one value per channel, which norms and scales leave."""

    def check(graph: Graph, operator: Operator) -> str:
        conv = operator.convolution
        if conv and conv.groups == conv.inputs > 1 and math.prod(conv.kernel) == 1:
            return f"{operator.kind}, depthwise with a 1 x 1 kernel"
        constants = [v for n in operator.inputs if (v := graph.values[n]).constant]
        if operator.kind not in names or len(constants) != 1:
            return ""
        sizes = [size for size in constants[0].shape if size > 1]
        return f"{operator.kind} by one constant per channel" if len(sizes) == 1 else ""

    return check


def channels(multiple: int) -> Check:
    """Finds channels that do not fill vectors, except the classes of the last convolution."""

    def check(graph: Graph, operator: Operator) -> str:
        conv = operator.convolution
        if conv is None or conv.outputs % multiple == 0 or operator is graph.convolutions[-1]:
            return ""
        return f"{conv.outputs} channels"

    return check


def float32_convolution(graph: Graph, operator: Operator) -> str:
    """Finds convolutions that compute in float32."""
    if operator.convolution is None or graph.values[operator.outputs[0]].dtype != "float32":
        return ""
    return f"{operator.kind} in float32"


def cast(graph: Graph, operator: Operator) -> str:
    """Finds conversions between types, as Apple's runtimes name them."""
    if operator.kind != "cast":
        return ""
    before, after = graph.types(operator)
    return f"cast from {before} to {after}"


def float_layer(graph: Graph, operator: Operator) -> str:
    """Finds convolutions that keep float weights in a quantized artifact."""
    conv = operator.convolution
    if conv is None or not conv.weights.startswith("float"):
        return ""
    others = sorted(dtype for dtype in graph.weights if not dtype.startswith("float"))
    return f"{operator.kind} in {conv.weights}, others in {', '.join(others)}" if others else ""


def float_island(to_float: Collection[str], to_integer: Collection[str]) -> Check:
    """Finds operators that run in float between conversions from integers and back."""

    def check(graph: Graph, operator: Operator) -> str:
        sources, users = graph.sources(operator), graph.users(operator)
        if not sources or not users or operator.kind in {*to_float, *to_integer}:
            return ""
        inside = all(s.kind in to_float for s in sources) and all(
            u.kind in to_integer for u in users
        )
        return f"{operator.kind} in float between integers" if inside else ""

    return check


def back_to_back(first: Collection[str], second: Collection[str]) -> Check:
    """Finds conversions that undo the one before."""

    def check(graph: Graph, operator: Operator) -> str:
        if operator.kind not in second:
            return ""
        before = [source.kind for source in graph.sources(operator) if source.kind in first]
        return f"{operator.kind} after {before[0]}" if before else ""

    return check


_SAME_SCALE = "give both sides the same scale, or leave both in float"
_KEEP = "take it out of the recipe's `keep`, if accuracy allows"


def integer_rules(quantize: str, dequantize: str) -> tuple[Rule, ...]:
    """Returns the rules for integers on XNNPACK, given the runtime's names of the conversions."""
    conversions = (quantize, dequantize)
    return (
        Rule(
            name="conversion-pair",
            check=back_to_back(conversions, conversions),
            advice=_SAME_SCALE,
        ),
        Rule(name="float-layer", check=float_layer, advice=_KEEP),
        Rule(name="float-layer", check=float_island((dequantize,), (quantize,)), advice=_KEEP),
    )


def channels_first(runtime: str) -> tuple[Rule, ...]:
    """Returns the rules about transposes for a runtime that keeps channels first."""
    return (
        Rule(
            name="transpose-pair",
            check=transpose_pair("transpose"),
            advice="rewrite the operators between them before export",
        ),
        Rule(
            name="transpose",
            check=transpose("transpose"),
            advice=f"{runtime} keeps channels first: use that order before export",
        ),
    )


NEURAL_ENGINE = (
    Rule(
        name="float32",
        check=float32_convolution,
        advice="the Neural Engine computes in float16 only: build with -r fp16",
        whole=True,
    ),
    Rule(
        name="conversion-pair",
        check=back_to_back(("dequantize",), ("quantize",)),
        advice=_SAME_SCALE,
    ),
    Rule(name="float-layer", check=float_layer, advice=_KEEP),
    Rule(
        name="channels",
        check=channels(16),
        advice="choose multiples of 16 in the configuration: others are padded",
    ),
)
"""The rules for artifacts that Apple's Neural Engine runs. They come after a target's own."""
