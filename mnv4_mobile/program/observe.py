"""Runs an exported deploy form on images, one by one, and observes the values in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.program.operations import image_of
from mnv4_mobile.tensors import TensorSpec, feed

See = Callable[[fx.Node, Tensor, tuple[Any, ...]], Tensor | None]
"""Receives a node of a graph, its value, and the node's arguments. What it returns, unless None, is
what the nodes after it read instead of the value."""


def fed(picture: npt.NDArray[np.uint8], spec: BuildSpec) -> Tensor:
    """Returns an image (H, W, 3) as the deploy form takes it: (N, 3, H, W), repeated N times."""
    image = TensorSpec(
        name="image",
        kind="image",
        shape=(spec.batch, 3, *spec.preprocess.size),
        dtype="uint8" if spec.input == "pixels" else "float32",
        layout="nchw",
    )
    pixels = np.repeat(picture[None], spec.batch, axis=0)
    return torch.from_numpy(feed(image, pixels, spec.preprocess)["image"])


@torch.inference_mode()
def observe(
    program: ExportedProgram,
    values: Iterable[fx.Node],
    spec: BuildSpec,
    pictures: Iterable[npt.NDArray[np.uint8]],
    see: See,
) -> None:
    """Runs a deploy form on each image separately, so that each observed value is of one image.

    Args:
        program: The deploy form, or a copy that takes an image's bytes as floats.
        values: The nodes of its graph to observe.
        spec: What is built.
        pictures: The images, (H, W, 3) RGB after resizing each.
        see: Called for every value as soon as it is computed.
    """
    interpreter = SeeingInterpreter(program.graph_module, values, see)
    known = {**program.state_dict, **program.constants}
    inputs = program.graph_signature.input_specs
    image = image_of(program.graph, program.graph_signature)
    for picture in pictures:
        x = fed(picture, spec).to(image.meta["val"].dtype)
        interpreter.run(*(x if i.kind is InputKind.USER_INPUT else known[i.target] for i in inputs))


class SeeingInterpreter(fx.Interpreter):
    """Runs a graph and passes some of its values to a function."""

    def __init__(
        self,
        graph: fx.GraphModule,
        values: Iterable[fx.Node],
        see: See,
    ) -> None:
        super().__init__(graph)
        self.values, self.see = set(values), see

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n in self.values:
            inputs, _ = self.fetch_args_kwargs_from_env(n)
            instead = self.see(n, result, inputs)
            return result if instead is None else instead
        return result
