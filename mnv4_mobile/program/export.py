"""The deploy form as an exported program."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.model.form import Form
from mnv4_mobile.tensors import TensorSpec

if TYPE_CHECKING:
    from torch import Tensor, fx, nn
    from torch.export import ExportedProgram, ExportGraphSignature

    from mnv4_mobile.model.net import MobileNetV4


def export(
    net: MobileNetV4, spec: BuildSpec, form: Form, head: nn.Module | None = None
) -> ExportedProgram:
    """Returns the deploy form as one graph, which all targets with this form share.

    Args:
        net: A network in inference mode.
        spec: What is built.
        form: How attention computes its products.
        head: A head of the caller's own, which takes the network's outputs by name.
    """
    import torch

    from mnv4_mobile.model.deploy import DeployNet

    inside = spec.preprocess if spec.input == "pixels" else None
    size, several = spec.preprocess.size, bool(spec.more_sizes)
    module = DeployNet(net, size, form, inside, head, several=several)
    dtype = torch.uint8 if inside else torch.float32
    example = torch.zeros(spec.batch, 3, *spec.preprocess.size, dtype=dtype)
    with torch.no_grad():
        return torch.export.export(module, (example,))


def outputs_of(program: ExportedProgram, spec: BuildSpec) -> tuple[TensorSpec, ...]:
    """Returns the outputs of a deploy form, which keeps channels first, as an artifact has them."""
    (nodes,) = program.graph.output_node().args
    shapes = [tuple(node.meta["val"].shape) for node in nodes]
    return tuple(
        TensorSpec(
            name=name,
            kind=name,
            shape=shape,
            dtype=spec.io,
            layout="nchw" if len(shape) == 4 else None,
        )
        for name, shape in zip(spec.outputs, shapes, strict=True)
    )


def rebuilt(
    program: ExportedProgram,
    *,
    graph: fx.GraphModule | None = None,
    signature: ExportGraphSignature | None = None,
    state: dict[str, Tensor] | None = None,
) -> ExportedProgram:
    """Returns a program with some parts replaced; it shares the others with the first.

    Args:
        program: The first program; it is not changed.
        graph: The new graph.
        signature: The names of inputs and outputs in that graph.
        state: The new weights.
    """
    from torch.export import ExportedProgram

    graph = program.graph_module if graph is None else graph
    return ExportedProgram(
        root=graph,
        graph=graph.graph,
        graph_signature=program.graph_signature if signature is None else signature,
        state_dict=program.state_dict if state is None else state,
        range_constraints=copy.deepcopy(program.range_constraints),
        module_call_graph=copy.deepcopy(program.module_call_graph),
        example_inputs=program.example_inputs,
        constants=program.constants,
    )
