"""Lowers programs to `.pte` for XNNPACK."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor as TorchTensor
from torch import fx, nn
from torch.export import Dim, ExportedProgram

from mnv4_executorch.casts import CAST, cast, partitioner
from mnv4_executorch.quantize import Ports, quantized
from mnv4_executorch.speedups import PATCHES, compile_config
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.files import write_bytes
from mnv4_mobile.layers import Layer
from mnv4_mobile.patches import stock
from mnv4_mobile.program.export import outputs_of
from mnv4_mobile.program.operations import layer_name
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.records import replace
from mnv4_mobile.target import Images, Lowered
from mnv4_mobile.tensors import Layout, TensorSpec

aten = torch.ops.aten

_OFFSET = "offset"
"""The name of a deploy form's buffer with the mean that it subtracts from pixels."""


class _Recast(fx.Transformer):
    """Rewrites a graph for the input that `_Io` prepares: cast, and with the mean subtracted.

    With `half`, the graph computes in float16, except for GELU.
    """

    def __init__(self, graph: fx.GraphModule, *, half: bool) -> None:
        super().__init__(graph)
        self.half = half

    def get_attr(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # Left out, or the program would store the mean twice.
        return None if target == _OFFSET else super().get_attr(target, args, kwargs)

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if target is aten._assert_tensor_metadata.default:
            return None  # it belongs to the cast from bytes
        if target is aten.sub.Tensor and args[1] is None:
            return args[0]
        if self.half:
            if target is aten.gelu.default:
                x = super().call_function(CAST, (args[0], torch.float32), {})
                x = super().call_function(target, (x,), kwargs)
                return super().call_function(CAST, (x, torch.float16), {})
            args = tuple(torch.float16 if a is torch.float32 else a for a in args)
        return super().call_function(target, args, kwargs)


class _Io(nn.Module):
    """Wraps a graph so that its input and outputs have the artifact's layouts and types.

    The mean of pixels is subtracted here, before the permutation and in float32: if it were
    subtracted after the permutation, XNNPACK would permute the image twice, and float16 would
    round the mean to sixteenths.
    """

    offset: TorchTensor | None

    def __init__(
        self, graph: nn.Module, offset: TorchTensor | None, compute: torch.dtype, spec: BuildSpec
    ) -> None:
        super().__init__()
        self.body = graph
        self.compute = compute
        self.io = None if spec.io == "int8" else getattr(torch, spec.io)  # integers already
        self.nhwc = input_layout(spec) == "nhwc"
        if offset is not None and self.nhwc:
            offset = offset.permute(0, 2, 3, 1).contiguous()
        self.register_buffer(_OFFSET, offset)

    def forward(self, x: TorchTensor) -> dict[str, TorchTensor]:
        if self.offset is not None:
            x = cast(x, torch.float32) - self.offset
        if x.dtype != torch.int8:
            x = cast(x, self.compute)
        if self.nhwc:
            x = x.permute(0, 3, 1, 2)
        outputs = self.body(x)
        if self.io is not None:
            outputs = {name: cast(y, self.io) for name, y in outputs.items()}
        if self.nhwc:
            return {n: y.permute(0, 2, 3, 1) if y.dim() == 4 else y for n, y in outputs.items()}
        return dict(outputs)


def input_layout(spec: BuildSpec) -> Layout:
    """Returns the input's layout.

    By default bytes come as cameras and decoders give them (NHWC), and floats as ExecuTorch's own
    tools do (NCHW).
    """
    return spec.layout or ("nhwc" if spec.input == "pixels" else "nchw")


def _example(spec: BuildSpec) -> tuple[TorchTensor]:
    """Returns an input with the artifact's layout and type."""
    height, width = spec.preprocess.size
    shape = (spec.batch, 3, height, width)
    if input_layout(spec) == "nhwc":
        shape = (spec.batch, height, width, 3)
    dtype = torch.uint8 if spec.input == "pixels" else getattr(torch, spec.io)
    return (torch.zeros(shape, dtype=dtype),)


def _adapted(
    program: ExportedProgram, spec: BuildSpec, recipe: Recipe, calibration: Images | None
) -> tuple[ExportedProgram, tuple[Layer, ...], Ports]:
    """Returns the program in the recipe's precision, with the artifact's input and outputs.

    Also returns the layers that do not have that precision, and the quantization of the ports.
    """
    half = recipe.precision == "float16"
    nhwc = input_layout(spec) == "nhwc"
    ports: Ports = [None] * (1 + len(spec.outputs))
    fixed = spec.input == "float" and not nhwc and not spec.more_sizes
    if fixed and recipe.weights is None and not half:
        return program, (), ports
    graph = program.module(check_guards=False)
    assert isinstance(graph, fx.GraphModule)
    layers: tuple[Layer, ...] = ()
    if recipe.weights is not None:
        graph, layers, ports = quantized(graph, spec, recipe, calibration)
    if half:
        layers = tuple(_gelus(program))
    compute = torch.float16 if half else torch.float32
    # A copy: the graph shares its weights with the program, which other recipes lower too.
    body = copy.deepcopy(_Recast(graph, half=half).transform()).to(compute)
    io = _Io(body, dict(graph.named_buffers()).get(_OFFSET), compute, spec)
    return torch.export.export(io, _example(spec), dynamic_shapes=_sides(spec)), layers, ports


def _sides(spec: BuildSpec) -> tuple[dict[int, Any]] | None:
    """Returns the bounds of the input's sides, by axis, as an export takes them.

    They are None for a single size, and the program then has that size only.
    """
    if not spec.more_sizes:
        return None
    first = 1 if input_layout(spec) == "nhwc" else 2
    return (
        {
            axis: Dim(name, min=min(sides), max=max(sides)) if len({*sides}) > 1 else Dim.STATIC
            for axis, (name, sides) in enumerate(
                zip(("height", "width"), zip(*spec.sizes, strict=True), strict=True), first
            )
        },
    )


def _constants(spec: BuildSpec) -> dict[str, list[str] | list[float] | str]:
    """Returns the constant methods and their values: what an app must know about the program."""
    constants: dict[str, list[str] | list[float] | str] = {
        "get_input_names": ["image"],
        "get_output_names": list(spec.outputs),
        "get_input_layout": input_layout(spec),
    }
    if spec.input == "float":
        constants["get_mean"] = list(spec.preprocess.mean)
        constants["get_std"] = list(spec.preprocess.std)
    if spec.labels:
        constants["get_labels"] = list(spec.labels)
    return constants


def _gelus(program: ExportedProgram) -> list[Layer]:
    """Returns the layers whose activation is not in the recipe's precision."""
    return [
        Layer(name=layer_name(node), precision="float32", why="XNNPACK has no float16 GELU")
        for node in program.graph.nodes
        if node.target is aten.gelu.default
    ]


def _outputs(program: ExportedProgram, spec: BuildSpec, grids: Ports) -> Iterator[TensorSpec]:
    """Yields the artifact's outputs at the first input size.

    Args:
        program: The deploy form.
        spec: What is built.
        grids: The quantization of every output.
    """
    layout = input_layout(spec)
    for output, grid in zip(outputs_of(program, spec), grids, strict=True):
        found = replace(output, quantization=grid)
        if found.layout and layout == "nhwc":
            batch, channels, *sides = found.shape
            found = replace(found, shape=(batch, *sides, channels), layout=layout)
        yield found


def lower(
    program: ExportedProgram,
    spec: BuildSpec,
    recipe: Recipe,
    calibration: Images | None,
    out: Path,
) -> Lowered:
    """Lowers a deploy form to the file `out`, as one XNNPACK delegate; see `Target.lower`."""
    from executorch.exir import to_edge_transform_and_lower

    with torch.no_grad(), PATCHES.applied(stock(spec)) as notes:
        adapted, layers, ports = _adapted(program, spec, recipe, calibration)
        edge = to_edge_transform_and_lower(
            adapted,
            partitioner=[partitioner()],
            constant_methods=_constants(spec),
            compile_config=compile_config(stock(spec)),
        )
        write_bytes(out, edge.to_executorch().buffer)
    (image,) = _example(spec)
    return Lowered(
        path=out,
        input=TensorSpec(
            name="image",
            kind="image",
            shape=tuple(image.shape),
            dtype="uint8" if spec.input == "pixels" else spec.io,
            layout=input_layout(spec),
            quantization=ports[0],
        ),
        outputs=tuple(_outputs(program, spec, ports[1:])),
        layers=layers,
        notes=tuple(notes),
    )
