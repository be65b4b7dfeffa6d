"""Lowers programs to `.tflite`."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor as TorchTensor
from torch import fx, nn
from torch.export import ExportedProgram, ExportGraphSignature

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.files import write_bytes
from mnv4_mobile.layers import Layer
from mnv4_mobile.patches import stock
from mnv4_mobile.program.export import rebuilt
from mnv4_mobile.program.operations import image_of
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.records import replace
from mnv4_mobile.target import Images, Lowered
from mnv4_mobile.tensors import Io, Layout, TensorSpec, sizes_text
from mnv4_tflite.flatbuffer import (
    add_metadata,
    halve_weights,
    name_ports,
    name_tensors,
    order_outputs,
    raise_rank,
    read_model,
    write_model,
)
from mnv4_tflite.integer_io import grid
from mnv4_tflite.metadata import NAME, labelled, metadata, pack_labels
from mnv4_tflite.quantize import quantized
from mnv4_tflite.reader import SIZES
from mnv4_tflite.speedups import PATCHES, contiguous, exported_as

__all__ = ["DYNAMIC", "SIGNATURE", "lower", "with_labels"]

DYNAMIC = "int8-dynamic"
"""The scheme for weights whose activations stay in float. Not int8-weights: converting them to
float in every run takes 1/4 of conv-small's time."""
SIGNATURE = "serving_default"
"""The signature's name, as in every TensorFlow export; runtimes use it if none is named."""


def _example(spec: BuildSpec, layout: Layout) -> TorchTensor:
    height, width = spec.preprocess.size
    shape = (height, width, 3) if layout == "nhwc" else (3, height, width)
    dtype = torch.uint8 if spec.input == "pixels" else torch.float32
    return torch.zeros((spec.batch, *shape), dtype=dtype)


def _laid_out(program: ExportedProgram, layout: Layout, image: TorchTensor) -> ExportedProgram:
    """Returns a copy of a deploy form whose image (like `image`) and maps are in a layout."""
    graph = copy.deepcopy(program.graph)
    signature = copy.deepcopy(program.graph_signature)
    for node in graph.nodes:
        if stack := node.meta.get("nn_module_stack"):
            # The layer becomes the name of the tensor. With more than one level, the name would
            # list the classes of all modules around the layer.
            layer, _ = list(stack.values())[-1]
            node.meta["nn_module_stack"] = {"": ("", layer.removeprefix("net."))}
    if layout == "nhwc":
        _turn(graph, signature)
    state = {name: contiguous(tensor) for name, tensor in program.state_dict.items()}
    module = fx.GraphModule(program.graph_module, graph)
    found = rebuilt(program, graph=module, signature=signature, state=state)
    found.example_inputs = (image,), {}
    return found


def _turn(graph: fx.Graph, signature: ExportGraphSignature) -> None:
    """Makes the image and the feature maps of a graph channels-last."""
    permute = torch.ops.aten.permute.default
    image, output = image_of(graph, signature), graph.output_node()
    with graph.inserting_after(image):
        inside = graph.call_function(permute, (image, [0, 3, 1, 2]))
    image.replace_all_uses_with(inside, delete_user_cb=lambda user: user is not inside)
    inside.meta = {"val": image.meta["val"]}
    image.meta = {"val": image.meta["val"].permute(0, 2, 3, 1).contiguous()}
    for spec, value in zip(signature.output_specs, output.all_input_nodes, strict=True):
        if value.meta["val"].dim() == 4:
            with graph.inserting_before(output):
                outside = graph.call_function(permute, (value, [0, 2, 3, 1]))
            outside.meta = {"val": value.meta["val"].permute(0, 2, 3, 1)}
            output.replace_input_with(value, outside)
            spec.arg.name = outside.name


def _convert(program: ExportedProgram, image: TorchTensor) -> bytes:
    import litert_torch

    litert_torch.config.show_progress = False
    # The converter exports this module first; `exported_as` makes that return the program.
    module = nn.Identity().eval()
    converter = litert_torch.signature(SIGNATURE, module, sample_kwargs={"image": image})
    with exported_as(program):
        data: bytes = converter.convert().model_content()
    return data


# Converting takes nearly all the time, and every recipe begins with it.
_float_models: WeakKeyDictionary[ExportedProgram, dict[tuple[Layout, bool], bytes]]
_float_models = WeakKeyDictionary()


def _float_model(
    program: ExportedProgram, layout: Layout, image: TorchTensor, *, stock: bool
) -> bytes:
    """Returns what the converter makes of a program; converts it once for all recipes."""
    found = _float_models.setdefault(program, {})
    if (layout, stock) not in found:
        with torch.no_grad():
            found[layout, stock] = _convert(_laid_out(program, layout, image), image)
    return found[layout, stock]


def lower(
    program: ExportedProgram,
    spec: BuildSpec,
    recipe: Recipe,
    calibration: Images | None,
    out: Path,
    *,
    weights_alone: str = DYNAMIC,
) -> Lowered:
    """Lowers a deploy form to the file `out`; see `Target.lower`.

    Args:
        program: See `Target.lower`, as for the others.
        spec: What is built.
        recipe: The precision.
        calibration: Images, for a recipe with static activations.
        out: The path to write.
        weights_alone: The scheme for weights whose activations stay in float: `DYNAMIC` or `INT16`.
    """
    layout: Layout = spec.layout or "nhwc"
    image = _example(spec, layout)
    fed = TensorSpec(
        name="image",
        kind="image",
        shape=tuple(image.shape),
        dtype="uint8" if spec.input == "pixels" else "float32",
        layout=layout,
    )
    with PATCHES.applied(stock(spec)) as notes:
        model = read_model(_float_model(program, layout, image, stock=stock(spec)))
    raise_rank(model)
    name_tensors(model)
    order_outputs(model, spec.outputs)
    layers: tuple[Layer, ...] = ()
    if recipe.weights is not None:
        model, layers = quantized(
            model, program.graph, fed, spec, recipe, calibration, weights_alone
        )
        name_ports(model)
    if recipe.precision == "float16":
        halve_weights(model)
        # Lets XNNPACK compute in float16 if the processor can (ARMv8.2 and later).
        add_metadata(model, "reduced_precision_support", b"fp16accfp16")
    if spec.more_sizes:
        add_metadata(model, SIZES, sizes_text(spec.sizes).encode())
    add_metadata(model, NAME, metadata(spec))
    write_bytes(out, with_labels(write_model(model), spec))
    if spec.input == "float":
        fed = replace(fed, dtype=spec.io, quantization=grid(model, model.subgraphs[0].inputs[0]))
    outputs = tuple(_outputs(model, layout, spec.io))
    return Lowered(path=out, input=fed, outputs=outputs, layers=layers, notes=tuple(notes))


def with_labels(model: bytes, spec: BuildSpec) -> bytes:
    """Returns a model with the class names packed after it, if it has an output of classes."""
    return pack_labels(model, spec.labels) if spec.labels and labelled(spec) else model


def _outputs(model: Any, layout: Layout, io: Io) -> list[TensorSpec]:
    graph = model.subgraphs[0]
    outputs = []
    for index in graph.outputs:
        name = graph.tensors[index].name.decode()
        shape = tuple(int(n) for n in graph.tensors[index].shape)
        outputs.append(
            TensorSpec(
                name=name,
                kind=name,
                shape=shape,
                dtype=io,
                layout=layout if len(shape) == 4 else None,
                quantization=grid(model, index),
            )
        )
    return outputs
