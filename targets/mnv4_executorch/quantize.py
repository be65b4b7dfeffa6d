"""Quantizing an exported graph for XNNPACK, through torchao's PT2E flow with our own ranges."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor as TorchTensor
from torch import fx
from torchao.quantization.pt2e import PerChannelMinMaxObserver, UniformQuantizationObserverBase
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
)
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

from mnv4_mobile.calibration import Calibration
from mnv4_mobile.graph import Operation, operations
from mnv4_mobile.ranges import Ranges
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.target import BuildSpec, Layer, Tensor, feed

aten = torch.ops.aten

_CLAMPS = (aten.relu.default, aten.hardtanh.default)
"""What XNNPACK fuses into a quantized convolution."""
_NO_KERNEL = "XNNPACK has no int8 kernel"
_SMALLEST_SCALE = 1e-10  # torchao's default, 1.2e-7, is not small for weights with a layer scale


class _Observer(UniformQuantizationObserverBase):  # type: ignore[misc]
    """Shows what flows through a graph to `Ranges`, and quantizes by what it answers."""

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


class _Quantizer(Quantizer):  # type: ignore[misc]
    """Says what is quantized: convolutions with their clamps, and additions to a block's input.

    Args:
        chosen: What is quantized.
        activation: Of inputs and outputs.
    """

    def __init__(self, chosen: list[Operation], activation: QuantizationSpec) -> None:
        super().__init__()
        self.chosen = chosen
        self.activation = activation
        self.weight = QuantizationSpec(
            dtype=torch.int8,
            quant_min=-127,
            quant_max=127,
            qscheme=torch.per_channel_symmetric,
            ch_axis=0,
            observer_or_fake_quant_ctr=PerChannelMinMaxObserver.with_args(eps=_SMALLEST_SCALE),
        )

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        for operation in self.chosen:
            node = operation.node
            last = node
            if operation.kind == "conv":
                image, weight = node.all_input_nodes[:2]
                inputs = {image: self.activation, weight: self.weight}
                (user, *others) = node.users
                if not others and user.target in _CLAMPS:
                    last = user
            else:
                inputs = dict.fromkeys(node.all_input_nodes, self.activation)
            node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(input_qspec_map=inputs)
            last.meta.setdefault(Q_ANNOTATION_KEY, QuantizationAnnotation())
            last.meta[Q_ANNOTATION_KEY].output_qspec = self.activation
        return model

    def validate(self, model: fx.GraphModule) -> None:
        """Nothing can be wrong that `annotate` does."""


def quantized(
    graph: fx.GraphModule, spec: BuildSpec, recipe: Recipe, calibration: Calibration | None
) -> tuple[fx.GraphModule, tuple[Layer, ...]]:
    """A graph with static int8 convolutions, and the layers that are not.

    Args:
        graph: Of the deploy form, (N, 3, H, W); it is changed.
        spec: What is built.
        recipe: With static activations.
        calibration: Images for their ranges.
    """
    assert recipe.activations is not None
    assert calibration is not None
    found = list(operations(graph.graph))
    recipe.keep.check(operation.name for operation in found)
    chosen, layers = [], []
    for operation in found:
        if operation.kind in ("conv", "addition"):
            why = recipe.keep.why(operation.name)
        else:
            why = _NO_KERNEL
        if why is None:
            chosen.append(operation)
        if why is not None or operation.kind != "conv":
            precision = "int8" if why is None else recipe.precision
            layers.append(Layer(name=operation.name, precision=precision, why=why))
    ranges, names = Ranges(recipe.activations), count()
    activation = QuantizationSpec(
        dtype=torch.int8,
        quant_min=-128,
        quant_max=127,
        qscheme=torch.per_tensor_affine,
        observer_or_fake_quant_ctr=_Observer.with_args(ranges=ranges, names=names),
    )
    prepared = prepare_pt2e(graph, _Quantizer(chosen, activation))
    image = Tensor(
        name="image",
        kind="image",
        shape=(spec.batch, 3, *spec.preprocess.size),
        dtype="uint8" if spec.input == "pixels" else "float32",
        layout="nchw",
    )
    for picture in calibration:
        # One picture at a time, so that ranges are of pictures and not of batches.
        pixels = np.repeat(picture[None], spec.batch, axis=0)
        prepared(torch.from_numpy(feed(image, pixels, spec.preprocess)["image"]))
    return convert_pt2e(prepared), tuple(layers)
