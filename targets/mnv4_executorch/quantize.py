"""Quantizes an exported graph for XNNPACK by torchao's PT2E flow, with our own ranges."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, cast

import torch
from torch import Tensor as TorchTensor
from torch import fx
from torchao.quantization.pt2e import (
    PerChannelMinMaxObserver,
    PlaceholderObserver,
    UniformQuantizationObserverBase,
)
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec, Quantizer
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.layers import Layer
from mnv4_mobile.program.observe import fed
from mnv4_mobile.program.operations import with_clamp
from mnv4_mobile.quantize.assignment import Assignment, assignments, layers
from mnv4_mobile.quantize.ranges import Ranges
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.records import replace
from mnv4_mobile.target import Images
from mnv4_mobile.tensors import Quantization

aten = torch.ops.aten
Ports = list[Quantization | None]
"""Quantization of the input and of every output, in order; None for floats and pixels."""

_POOLED_OUTPUT = "XNNPACK cannot pool integers that are an output too"
_SMALLEST_SCALE = 1e-10  # torchao's default, 1.2e-7, is too large for weights with a layer scale


class _Observer(UniformQuantizationObserverBase):  # type: ignore[misc]
    """Passes a graph's activations to `Ranges`, and quantizes by the ranges that it returns."""

    def __init__(self, ranges: Ranges, names: Iterator[int], **kwargs: Any) -> None:
        super().__init__(eps=_SMALLEST_SCALE, **kwargs)
        self.ranges = ranges
        self.name = str(next(names))

    def forward(self, x: TorchTensor) -> TorchTensor:
        self.ranges.observe(self.name, x.detach().numpy())
        return x

    def calculate_qparams(self) -> tuple[TorchTensor, TorchTensor]:
        low, high = (torch.tensor(bound) for bound in self.ranges.of(self.name))
        found: tuple[TorchTensor, TorchTensor] = self._calculate_qparams(low, high)
        return found


class _WeightObserver(PerChannelMinMaxObserver):  # type: ignore[misc]
    """Observes weights once, not once per image: they are constant."""

    def forward(self, x: TorchTensor) -> TorchTensor:
        return x if self.min_val.numel() else super().forward(x)


_ACTIVATION = {
    "dtype": torch.int8,
    "quant_min": -128,
    "quant_max": 127,
    "qscheme": torch.per_tensor_affine,
}
_DYNAMIC = QuantizationSpec(
    **_ACTIVATION,
    is_dynamic=True,
    observer_or_fake_quant_ctr=PlaceholderObserver.with_args(eps=_SMALLEST_SCALE),
)
_WEIGHT = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-127,
    quant_max=127,
    qscheme=torch.per_channel_symmetric,
    ch_axis=0,
    observer_or_fake_quant_ctr=_WeightObserver.with_args(eps=_SMALLEST_SCALE),
)


class _Quantizer(Quantizer):  # type: ignore[misc]
    """Tells torchao what to quantize.

    Args:
        assigned: The scheme of every operation.
        ranges: Finds the ranges of static activations.
        ports: Finds the ranges of the outputs, if inputs and outputs are integers too.
    """

    def __init__(self, assigned: list[Assignment], ranges: Ranges, ports: Ranges | None) -> None:
        super().__init__()
        self.assigned = assigned
        self.output = self._static(ports) if ports else None
        self.static = self._static(ranges)

    @staticmethod
    def _static(ranges: Ranges) -> QuantizationSpec:
        return QuantizationSpec(
            **_ACTIVATION,
            observer_or_fake_quant_ctr=_Observer.with_args(ranges=ranges, names=count()),
        )

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        for one in self.assigned:
            node = one.operation.node
            if one.scheme is None:
                continue
            activation = self.static if one.scheme == "int8" else _DYNAMIC
            inputs = dict.fromkeys(node.all_input_nodes, activation)
            if one.operation.kind == "conv":
                image, weight, *_ = node.all_input_nodes
                inputs = {image: activation, weight: _WEIGHT}
            node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(input_qspec_map=inputs)
            if one.scheme == "int8":
                last = with_clamp(node)
                last.meta.setdefault(Q_ANNOTATION_KEY, QuantizationAnnotation())
                last.meta[Q_ANNOTATION_KEY].output_qspec = activation
        if self.output is not None:
            self._annotate_ports(model.graph)
        return model

    def _annotate_ports(self, graph: fx.Graph) -> None:
        """Marks the outputs and a float input as quantized, whatever reads them."""
        (image,) = graph.find_nodes(op="placeholder")
        for node, how in (
            *((node, self.output) for node in graph.output_node().all_input_nodes),
            *([(image, self.static)] if image.meta["val"].is_floating_point() else []),
        ):
            annotation = node.meta.setdefault(Q_ANNOTATION_KEY, QuantizationAnnotation())
            annotation.output_qspec = annotation.output_qspec or how

    def validate(self, model: fx.GraphModule) -> None:
        """Checks nothing: what `annotate` does cannot be wrong."""


def quantized(
    graph: fx.GraphModule, spec: BuildSpec, recipe: Recipe, calibration: Images | None
) -> tuple[fx.GraphModule, tuple[Layer, ...], Ports]:
    """Returns a graph with int8 convolutions, layers that differ from the recipe, and its ports.

    Args:
        graph: The graph of the deploy form, which takes (N, 3, H, W).
        spec: The build spec.
        recipe: A recipe with 8-bit weights and quantized activations.
        calibration: Images, for static activations.
    """
    assert recipe.activations is not None
    assigned = [
        _possible(s) for s in assignments(graph.graph, recipe, weights_alone="int8-dynamic")
    ]
    ranges = Ranges(recipe.activations)
    # Outputs are not clipped, as that could give several classes the same largest score.
    ports = Ranges(replace(recipe.activations, range="minmax")) if spec.io == "int8" else None
    prepared = prepare_pt2e(graph, _Quantizer(assigned, ranges, ports))
    if calibration is not None:
        _calibrate(prepared, spec, calibration)
    converted = convert_pt2e(prepared)
    grids: Ports = [None] * (1 + len(spec.outputs))
    if ports:
        grids = _integer_ports(converted)
    return converted, layers(assigned, recipe), grids


def _integer_ports(graph: fx.GraphModule) -> Ports:
    """Removes the quantization of the input and the dequantization of outputs from a graph.

    Returns:
        The quantization of the input, None for pixels, and of every output.
    """
    grids: list[Quantization | None] = [None]
    (image,) = graph.graph.find_nodes(op="placeholder")
    for node in list(image.users):
        if node.target is torch.ops.quantized_decomposed.quantize_per_tensor.default:
            grids = [_grid(node)]
            node.replace_all_uses_with(image)
    output = graph.graph.output_node()
    for node in cast(list[fx.Node], output.args[0]):
        grids.append(_grid(node))
        output.replace_input_with(node, cast(fx.Node, node.args[0]))
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return grids


def _grid(node: fx.Node) -> Quantization:
    """Returns the scale and zero point of a quantize or dequantize node."""
    _, scale, zero_point, *_ = cast(tuple[Any, ...], node.args)
    return Quantization(scale=float(scale), zero_point=int(zero_point))


def _possible(one: Assignment) -> Assignment:
    """Returns the assignment with a scheme that XNNPACK has for it."""
    node = one.operation.node
    if one.scheme == "int8" and one.operation.kind == "conv":
        readers = {user.target for user in with_clamp(node).users}
        if {"output", aten.mean.dim} <= readers:
            # The delegate is built, but fails with xnn_status_invalid_parameter when it runs.
            one = replace(one, scheme="int8-dynamic", why=_POOLED_OUTPUT)
    return one


def _calibrate(prepared: fx.GraphModule, spec: BuildSpec, calibration: Images) -> None:
    """Runs the observers on one image at a time: ranges are per image, not per batch."""
    for picture in calibration:
        prepared(fed(picture, spec))
