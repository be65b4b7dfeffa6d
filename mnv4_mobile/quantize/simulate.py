"""Simulates in PyTorch what a recipe's integers do to a network.

Values and weights are rounded where the assignment that all targets share has integers: the inputs
and outputs of quantized operations with one scale per tensor, weights with one scale per channel.
Activations of 16 bits stay in float: their errors are 256 times as small as those of 8 bits. A
simulation takes seconds, while lowering takes a minute, and gradients flow through it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.images import normalise
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.program.export import export
from mnv4_mobile.program.observe import SeeingInterpreter
from mnv4_mobile.program.operations import Operation, layer_nodes, with_clamp
from mnv4_mobile.quantize.assignment import assignments
from mnv4_mobile.quantize.ranges import Ranges
from mnv4_mobile.recipe import Recipe, Weights

_TINY = 1e-10  # the least scale; some weights with a folded layer scale come close to it


class Simulation(nn.Module):
    """The folded network of a recipe: in float at first, in integers once it has ranges.

    `forward` takes normalised images (`batch`, 3, H, W) and returns the outputs by name. The
    parameters are the folded weights, under the names that they have in the exported program.

    Args:
        net: A network in inference mode, prepared as the recipe says; it is not changed.
        spec: What is built.
        recipe: A recipe with integer weights.
        batch: Number of images per run.

    Raises:
        ConfigError: The weights cannot be simulated, or a pattern matches no module.
    """

    def __init__(
        self, net: MobileNetV4, spec: BuildSpec, recipe: Recipe, *, batch: int = 16
    ) -> None:
        super().__init__()
        weights = recipe.weights
        if weights is None or weights.form != "integer" or weights.per not in ("tensor", "channel"):
            raise ConfigError(
                f"recipe {recipe.name}: cannot be simulated; only integer weights with one scale "
                "per tensor or channel are"
            )
        self._spec, self._batch = replace(spec, batch=batch, input="float", io="float32"), batch
        self._recipe = recipe
        module = export(net, self._spec, "nchw").module(check_guards=False)
        assert isinstance(module, fx.GraphModule)
        self._values = {node.name: layer for node, layer in layer_nodes(module.graph).items()}
        self._roundings: list[_Values | _Weights] = []
        for node, reader, rounding in _places(module.graph, recipe, weights):
            name = f"rounding_{len(self._roundings)}"
            module.add_submodule(name, rounding)
            with module.graph.inserting_before(reader):
                rounded = module.graph.call_module(name, (node,))
            reader.replace_input_with(node, rounded)
            self._roundings.append(rounding)
        # A new module, because the one from `ExportedProgram.module` refuses train() and eval().
        self.body = fx.GraphModule(module, module.graph)
        self.quantize(())

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Returns the outputs by name for normalised images (`batch`, 3, H, W)."""
        outputs: dict[str, Tensor] = self.body(x)
        return outputs

    @property
    def layers(self) -> tuple[str, ...]:
        """The operations that the recipe quantizes, in the order in which they run."""
        names = (rounding.layer for rounding in self._roundings)
        return tuple(dict.fromkeys(name for name in names if name))

    def quantize(self, layers: Container[str] | None = None) -> None:
        """Rounds the inputs, outputs and weights of these operations; None means all operations."""
        for rounding in self._roundings:
            rounding.on = layers is None or any(name in layers for name in rounding.layers)

    def observe(self, pictures: Iterable[npt.NDArray[np.uint8]]) -> Ranges:
        """Returns the observed ranges, in float, of all values that are rounded.

        Args:
            pictures: The images, (H, W, 3) RGB after resizing each.
        """
        assert self._recipe.activations is not None
        ranges = Ranges(self._recipe.activations)
        first = {r.value: r for r in reversed(self._roundings) if isinstance(r, _Values)}
        states = [rounding.on for rounding in self._roundings]
        self.quantize(())
        with torch.inference_mode():
            pictures = iter(pictures)
            while some := list(islice(pictures, self._batch)):
                hooks = [
                    rounding.register_forward_pre_hook(partial(_observe, ranges, value, len(some)))
                    for value, rounding in first.items()
                ]
                self.body(self._fed(np.stack(some)))
                for hook in hooks:
                    hook.remove()
        for rounding, state in zip(self._roundings, states, strict=True):
            rounding.on = state
        return ranges

    def adopt(self, ranges: Ranges) -> None:
        """Sets the ranges of values with static scales, and rounds everything."""
        for rounding in self._roundings:
            if isinstance(rounding, _Values) and not rounding.dynamic:
                rounding.set(*ranges.of(rounding.value))
        self.quantize()

    def follow(self) -> None:
        """Rounds everything, with ranges that follow every batch and pass gradients.

        A range is the recipe's percentile over the images of the batch, for any range rule.
        """
        assert self._recipe.activations is not None
        for rounding in self._roundings:
            if isinstance(rounding, _Values) and not rounding.dynamic:
                rounding.follow(self._recipe.activations.percentile / 100)
        self.quantize()

    @torch.inference_mode()
    def run(self, pictures: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        """Returns the outputs by name, N rows each, for (N, H, W, 3) RGB pixels after resizing."""
        parts: dict[str, list[npt.NDArray[np.float32]]] = {}
        for start in range(0, len(pictures), self._batch):
            some = pictures[start : start + self._batch]
            for name, value in self.body(self._fed(some)).items():
                parts.setdefault(name, []).append(value[: len(some)].numpy())
        return {name: np.concatenate(values) for name, values in parts.items()}

    @torch.inference_mode()
    def watch(
        self,
        pictures: npt.NDArray[np.uint8],
        see: Callable[[str, Tensor], Tensor | None],
    ) -> None:
        """Runs as many images as fit into a batch, and shows the values of the layers.

        Args:
            pictures: (`batch`, H, W, 3) RGB pixels after resizing.
            see: Called with the name of each layer and its value before the next layer rounds it.
                What it returns, unless None, is what the operations after it read.
        """
        nodes = {
            node: self._values[node.name]
            for node in self.body.graph.nodes
            if node.name in self._values
        }

        def seen(node: fx.Node, value: Tensor, _: tuple[Any, ...]) -> Tensor | None:
            return see(nodes[node], value)

        SeeingInterpreter(self.body, nodes, seen).run(self._fed(pictures))

    def _fed(self, pictures: npt.NDArray[np.uint8]) -> Tensor:
        """Normalises images and fills up the batch with the last one."""
        missing = self._batch - len(pictures)
        filled = np.concatenate([pictures, np.repeat(pictures[-1:], missing, axis=0)])
        return torch.from_numpy(normalise(filled, self._spec.preprocess))


def _observe(
    ranges: Ranges, value: str, count: int, _: nn.Module, inputs: tuple[Tensor, ...]
) -> None:
    for one in inputs[0][:count].numpy():
        ranges.observe(value, one)


def _round(x: Tensor) -> Tensor:
    """Rounds, but passes gradients unchanged (Bengio et al., arXiv 1308.3432)."""
    return x + (x.round() - x).detach()


class _Values(nn.Module):
    """Rounds activations to 8 bits, with one scale; values out of its range have no gradient.

    Args:
        value: The name of the value that is rounded.
        layers: The operations whose integers these are.
        layer: The operation that computes in integers because of it; empty if none does.
        dynamic: Whether every image has its own range.
        symmetric: Whether zero is in the middle of the range.
    """

    def __init__(
        self, value: str, layers: tuple[str, ...], layer: str, *, dynamic: bool, symmetric: bool
    ) -> None:
        super().__init__()
        self.value, self.layers, self.layer = value, layers, layer
        self.dynamic, self.symmetric = dynamic, symmetric
        self.on = False
        self.share: float | None = None
        self.start, self.scale = torch.tensor(0.0), torch.tensor(1.0)

    def set(self, low: float, high: float) -> None:
        """Sets a range that holds zero; it is shifted so that zero is one of its steps."""
        self.share = None
        self.start, self.scale = self._grid(torch.tensor(low), torch.tensor(high))

    def follow(self, share: float) -> None:
        """Makes the range follow each batch: this quantile over its images."""
        self.share = share

    def _grid(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the first of 256 integers and their scale, for a range widened to hold zero."""
        low, high = low.clamp(max=0), high.clamp(min=0)
        if self.symmetric:
            scale = (torch.maximum(-low, high) / 127).clamp(min=_TINY)
            return torch.full_like(scale, -128), scale
        scale = ((high - low) / 255).clamp(min=_TINY)
        return _round(low / scale), scale

    def forward(self, x: Tensor) -> Tensor:
        if not self.on:
            return x
        start, scale = self.start, self.scale
        axes = tuple(range(1, x.dim()))
        if self.dynamic:
            start, scale = self._grid(x.amin(axes, keepdim=True), x.amax(axes, keepdim=True))
        elif self.share is not None:
            low, high = x.amin(axes), x.amax(axes)
            start, scale = self._grid(low.quantile(1 - self.share), high.quantile(self.share))
        steps = _round(x / scale)
        rounded: Tensor = torch.maximum(torch.minimum(steps, start + 255), start) * scale
        return rounded


class _Weights(nn.Module):
    """Rounds weights (O, I, H, W) symmetrically, by their own largest values.

    Args:
        layer: The convolution.
        weights: The recipe's settings.
    """

    def __init__(self, layer: str, weights: Weights) -> None:
        super().__init__()
        self.layer, self.layers = layer, (layer,)
        self.weights = weights
        self.on = False

    def forward(self, weight: Tensor) -> Tensor:
        if not self.on:
            return weight
        _, scale = weight_grid(weight, self.weights)
        rounded: Tensor = _round(weight / scale) * scale
        return rounded


def weight_grid(weight: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
    """Returns the largest weight per scale, and the scales, (O or 1, 1, 1, 1) each.

    Args:
        weight: The weights, (O, I, H, W).
        weights: The recipe's settings: integers with one scale per tensor or channel.
    """
    axes = (1, 2, 3) if weights.per == "channel" else (0, 1, 2, 3)
    peak = weight.abs().amax(axes, keepdim=True)
    return peak, (peak / weights.largest).clamp(_TINY)


def _places(
    graph: fx.Graph, recipe: Recipe, weights: Weights
) -> Iterator[tuple[fx.Node, fx.Node, _Values | _Weights]]:
    """Yields what is rounded: a value, the node that reads it rounded, and the rounding."""
    assigned = assignments(graph, recipe, weights_alone="int8-dynamic")
    symmetric = recipe.activations is not None and recipe.activations.symmetric
    named = {one.operation.node: one.operation.name for one in assigned}
    quantized = [one for one in assigned if one.scheme]
    integers = {s.operation.node: s.operation for s in quantized if s.scheme == "int8"}
    written = {with_clamp(node): op for node, op in integers.items()} if recipe.static else {}
    readers: dict[fx.Node, dict[fx.Node, list[str]]] = {}
    for value, producer in written.items():
        for reader in value.users:
            if reader.op != "output":
                readers.setdefault(value, {})[reader] = [producer.name]
    for one in quantized:
        operation, dynamic = one.operation, str(one.scheme).endswith("-dynamic")
        for value in _inputs(operation):
            if dynamic:
                yield (
                    value,
                    operation.node,
                    _Values(value.name, (operation.name,), "", dynamic=True, symmetric=symmetric),
                )
            elif one.scheme == "int8":
                readers.setdefault(value, {}).setdefault(operation.node, []).append(operation.name)
        if operation.kind == "conv":
            weight = operation.node.args[1]
            assert isinstance(weight, fx.Node)
            yield weight, operation.node, _Weights(operation.name, weights)
    for value, of_value in readers.items():
        for reader, names in of_value.items():
            layer = named[reader] if reader in integers else ""
            rounding = _Values(value.name, tuple(names), layer, dynamic=False, symmetric=symmetric)
            yield value, reader, rounding


def _inputs(operation: Operation) -> list[fx.Node]:
    """Returns the activations that an operation reads."""
    node = operation.node
    if operation.kind != "conv":
        return list(dict.fromkeys(node.all_input_nodes))
    image: Any = node.args[0]
    return [image]
