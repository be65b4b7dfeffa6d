"""Lowering to a `.tflite`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch
from weakref import WeakKeyDictionary

import torch
import torch.fx.traceback
from torch import Tensor as TorchTensor
from torch import fx, nn
from torch.export import ExportedProgram

from mnv4_mobile.calibration import Calibration
from mnv4_mobile.decompose import decomposed
from mnv4_mobile.files import write_bytes
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.target import BuildSpec, Io, Layer, Layout, Lowered, Tensor
from mnv4_tflite.flatbuffer import (
    add_metadata,
    halve_weights,
    name_ports,
    name_tensors,
    order_outputs,
    read_model,
    write_model,
)
from mnv4_tflite.metadata import NAME, labelled, metadata, pack_labels
from mnv4_tflite.ports import grid
from mnv4_tflite.quantize import quantized

SIGNATURE = "serving_default"
"""What every TensorFlow export calls it; runtimes take it where no signature is named."""


class _Io(nn.Module):
    """Puts the input's layout, and the feature maps', around a graph.

    The graph is interpreted rather than called, so that its nodes keep the names of their layers,
    which become the names of the tensors.
    """

    def __init__(self, graph: fx.GraphModule, layout: Layout) -> None:
        super().__init__()
        self.body = graph
        self.nhwc = layout == "nhwc"
        self.training = False
        for node in graph.graph.nodes:
            if stack := node.meta.get("nn_module_stack"):
                layer, _ = list(stack.values())[-1]
                # One level, or the name would list the classes of all modules around the layer.
                level = ("", layer.removeprefix("net."))
                node.meta = {**node.meta, "nn_module_stack": {"": level}}

    def forward(self, image: TorchTensor) -> dict[str, TorchTensor]:
        if self.nhwc:
            image = image.permute(0, 3, 1, 2)
        with torch.fx.traceback.preserve_node_meta():
            outputs = fx.Interpreter(self.body).run(image)
        if self.nhwc:
            return {n: y.permute(0, 2, 3, 1) if y.dim() == 4 else y for n, y in outputs.items()}
        return dict(outputs)


def _example(spec: BuildSpec, layout: Layout) -> TorchTensor:
    height, width = spec.preprocess.size
    shape = (height, width, 3) if layout == "nhwc" else (3, height, width)
    dtype = torch.uint8 if spec.input == "pixels" else torch.float32
    return torch.zeros((spec.batch, *shape), dtype=dtype)


def _make_contiguous(graph: nn.Module) -> None:
    """Replaces constants that are views of another order.

    The converter tells constants apart by their address, and by that of a short-lived copy where
    they are not contiguous: different ones become one (litert-torch, pull request 1063).
    """
    for name, tensor in (*graph.named_parameters(), *graph.named_buffers()):
        if not tensor.is_contiguous():
            path, _, attribute = name.rpartition(".")
            owner = graph.get_submodule(path)
            delattr(owner, attribute)
            owner.register_buffer(attribute, tensor.detach().contiguous())


def _convert(module: nn.Module, image: TorchTensor) -> bytes:
    import litert_torch
    from litert_torch import fx_infra
    from litert_torch.backend import lowerings
    from litert_torch.backend.experimental import torch_tfl

    litert_torch.config.show_progress = False
    # Without it, attention with a batch of 1 becomes a FULLY_CONNECTED with computed weights,
    # which XNNPACK does not take: the delegate is cut in two at every attention block.
    bmm = torch.ops.aten.bmm.default
    fx_infra.decomp.add_pre_lower_decomp(bmm, torch_tfl.decomps[bmm])
    # The converter has its own for these two, but then others by way of JAX, which traces and
    # parses them once for every shape: a second and a half of hybrid-medium.
    lowerings.lower(torch.ops.aten.clone)(lowerings._basic._aten_clone)
    lowerings.lower(torch.ops.aten.permute)(lowerings._basic._aten_permute)
    converter = litert_torch.signature(SIGNATURE, module, sample_kwargs={"image": image})
    with patch.object(ExportedProgram, "run_decompositions", decomposed):
        data: bytes = converter.convert().model_content()
    return data


# Converting takes nearly all the time, and every recipe begins with it.
_float_models: WeakKeyDictionary[ExportedProgram, dict[Layout, bytes]] = WeakKeyDictionary()


def _float_model(program: ExportedProgram, layout: Layout, image: TorchTensor) -> bytes:
    """What the converter makes of a program, once for all recipes."""
    found = _float_models.setdefault(program, {})
    if layout not in found:
        graph = program.module(check_guards=False)
        assert isinstance(graph, fx.GraphModule)
        _make_contiguous(graph)
        with torch.no_grad():
            found[layout] = _convert(_Io(graph, layout), image)
    return found[layout]


def lower(
    program: ExportedProgram,
    spec: BuildSpec,
    recipe: Recipe,
    calibration: Calibration | None,
    out: Path,
) -> Lowered:
    """Lowers a deploy form to the file `out`; see `Target.lower`."""
    layout: Layout = spec.layout or "nhwc"
    image = _example(spec, layout)
    fed = Tensor(
        name="image",
        kind="image",
        shape=tuple(image.shape),
        dtype="uint8" if spec.input == "pixels" else "float32",
        layout=layout,
    )
    model = read_model(_float_model(program, layout, image))
    name_tensors(model)
    order_outputs(model, spec.outputs)
    layers: tuple[Layer, ...] = ()
    if recipe.weights is not None:
        model, layers = quantized(model, program.graph, fed, spec, recipe, calibration)
        name_ports(model)
    if recipe.precision == "float16":
        halve_weights(model)
        # Lets XNNPACK compute in float16 where the processor can (ARMv8.2 and later).
        add_metadata(model, "reduced_precision_support", b"fp16accfp16")
    add_metadata(model, NAME, metadata(spec))
    data = write_model(model)
    if spec.labels and labelled(spec):
        data = pack_labels(data, spec.labels)
    write_bytes(out, data)
    if spec.input == "float":
        fed = replace(fed, dtype=spec.io, quantization=grid(model, model.subgraphs[0].inputs[0]))
    outputs = tuple(_outputs(model, layout, spec.io))
    return Lowered(path=out, input=fed, outputs=outputs, layers=layers)


def _outputs(model: Any, layout: Layout, io: Io) -> list[Tensor]:
    graph = model.subgraphs[0]
    outputs = []
    for index in graph.outputs:
        name = graph.tensors[index].name.decode()
        shape = tuple(int(n) for n in graph.tensors[index].shape)
        outputs.append(
            Tensor(
                name=name,
                kind=name,
                shape=shape,
                dtype=io,
                layout=layout if len(shape) == 4 else None,
                quantization=grid(model, index),
            )
        )
    return outputs
