"""Rounds weights so that the outputs of convolutions, not each weight, stay closest to float.

GPTQ (Frantar et al., arXiv 2210.17323): the weights of an output channel are rounded one after the
other, and those not yet rounded compensate for the error, weighted by how the inputs that they
multiply correlate on calibration images. The grids are those that every target's own quantizer
finds for the rounded weights, so that it finds exactly these integers.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.nn import functional as F

from mnv4_mobile.program.export import rebuilt
from mnv4_mobile.program.observe import observe
from mnv4_mobile.quantize.assignment import assignments
from mnv4_mobile.quantize.simulate import weight_grid

if TYPE_CHECKING:
    from mnv4_mobile.build_spec import BuildSpec
    from mnv4_mobile.quantize.calibration import Calibration
    from mnv4_mobile.recipe import Recipe, Weights

_IMAGES = 16  # 32 round no better
_SAMPLES = 4
"""Outputs of a convolution to sample, over all images, for each weight of an output."""
_DAMPING = 0.01
"""Share of the mean of the squared inputs that is added to each (GPTQ, section 3.3)."""
_BLOCK = 64
"""Number of weights whose errors are passed on to all others at once (GPTQ, section 3.3)."""
_TINY = 1e-10  # for inputs that are all zero

_Floats = npt.NDArray[np.floating]


def rounded(
    program: ExportedProgram, spec: BuildSpec, recipe: Recipe, calibration: Calibration
) -> ExportedProgram:
    """Returns a deploy form whose weights are on the grids of a recipe.

    Args:
        program: The exported deploy form; it is not changed.
        spec: What is built.
        recipe: A recipe with integer weights and one scale per tensor or channel.
        calibration: Images that show the inputs of convolutions.
    """
    assert recipe.weights is not None
    convolutions = [
        one.operation.node
        for one in assignments(program.graph, recipe, weights_alone=recipe.scheme)
        if one.scheme and one.operation.kind == "conv"
    ]
    inputs = _Inputs(convolutions)
    observe(program, inputs.readers, spec, islice(calibration, _IMAGES), inputs.add)
    state = dict(program.state_dict)
    parameters = program.graph_signature.inputs_to_parameters
    for node in convolutions:
        name = parameters[node.all_input_nodes[1].name]
        found = _rounded(state[name], inputs.products.pop(node), recipe.weights)
        state[name] = nn.Parameter(found, requires_grad=False)
    return rebuilt(program, state=state)


class _Inputs:
    """How the inputs of convolutions correlate on images.

    `products` has an array (G, D, D) for each convolution: the products of the D values that a
    weight vector of each of its G groups multiplies, summed over images and positions.
    """

    def __init__(self, convolutions: Iterable[fx.Node]) -> None:
        self.readers: dict[fx.Node, list[fx.Node]] = {}
        for node in convolutions:
            self.readers.setdefault(node.all_input_nodes[0], []).append(node)
        self.products: dict[fx.Node, Tensor] = {}
        self._random = torch.Generator().manual_seed(0)

    def add(self, value: fx.Node, x: Tensor, _inputs: tuple[Any, ...]) -> None:
        """Adds the value (N, C, H, W) that convolutions read, for one image repeated N times."""
        for node in self.readers[value]:
            patches = self._patches(node, x[0])
            if node not in self.products:
                groups, size, _ = patches.shape
                self.products[node] = torch.zeros(groups, size, size)
            self.products[node].baddbmm_(patches, patches.mT)

    def _patches(self, node: fx.Node, x: Tensor) -> Tensor:
        """Returns the values (G, D, P) that a convolution reads at P positions of x (C, H, W)."""
        (height, width), (down, right), (above, beside), groups = _geometry(node)
        padded = F.pad(x, (beside, beside, above, above))
        rows, columns = node.meta["val"].shape[2:]
        wanted = -(-_SAMPLES * width * height * len(x) // groups // _IMAGES)
        chosen = torch.randperm(rows * columns, generator=self._random)[:wanted]
        line = padded.shape[2]
        corners = chosen // columns * down * line + chosen % columns * right
        window = torch.arange(height)[:, None] * line + torch.arange(width)
        places = (window.view(-1, 1) + corners).flatten()
        return padded.flatten(1).index_select(1, places).view(groups, -1, len(chosen))


_DEFAULTS: tuple[Any, ...] = (None, None, None, [1, 1], [0, 0], [1, 1], 1)
"""Defaults of `aten.conv2d`; an export leaves out trailing ones."""


def _geometry(node: fx.Node) -> tuple[list[int], list[int], list[int], int]:
    """Returns kernel, stride, padding and groups of an `aten.conv2d`."""
    args: list[Any] = [*node.args]
    _, weight, _, stride, padding, _, groups = [*args, *_DEFAULTS[len(args) :]]
    return list(weight.meta["val"].shape[2:]), stride, padding, groups


def _rounded(weight: Tensor, products: Tensor, weights: Weights) -> Tensor:
    """Returns weights (O, I, H, W) on their grid, rounded for the products (G, D, D) of inputs."""
    peak, scale = weight_grid(weight, weights)
    ordered = products.numpy()
    groups, size, _ = ordered.shape
    # The inputs that matter most come last and are rounded first, while the most others are left
    # to compensate for them.
    order = ordered.diagonal(axis1=1, axis2=2).argsort(1)
    each = np.arange(groups)[:, None]
    for _ in range(2):  # rows, then columns: twice as fast as both at once
        ordered = ordered[each, order].swapaxes(1, 2)

    def columns(values: Tensor) -> _Floats:
        found: _Floats = values.view(groups, -1, size).mT.numpy()[each, order]
        return found

    # The largest weight keeps its value, because the scale follows from it.
    free = columns((weight.abs() != peak).float())
    feedback = _feedback(ordered).astype(np.float32)
    found = _fed_back(columns(weight / scale), free, feedback, weights.largest)
    integers = np.empty_like(found)
    integers[each, order] = found
    # Contiguous, or every convolution copies its weights for every image.
    return (torch.from_numpy(integers).mT.reshape_as(weight) * scale).contiguous()


def _feedback(products: _Floats) -> _Floats:
    """Returns (G, D, D), lower triangular: how much of a row's error a column compensates for.

    It comes from the Cholesky factor of the products in double precision (QuIP, arXiv 2307.13304,
    section 3.1: the same as GPTQ, without an inverse).
    """
    diagonal = products.diagonal(axis1=1, axis2=2)
    damped = products.astype(np.float64)
    every = np.arange(products.shape[1])
    damped[:, every, every] += _DAMPING * diagonal.mean(1, keepdims=True).clip(_TINY)
    factor = np.linalg.cholesky(damped)
    feedback: _Floats = factor / factor.diagonal(axis1=1, axis2=2)[:, None]
    return feedback


def _fed_back(steps: _Floats, free: _Floats, feedback: _Floats, largest: int) -> _Floats:
    """Rounds weights (G, D, O) to integers, the last of the D first.

    Args:
        steps: The weights in steps of their grid.
        free: 1 for the weights that compensate for errors of others, 0 for the rest.
        feedback: The result of `_feedback`, (G, D, D).
        largest: The largest integer of the grid.
    """
    found, errors = np.empty_like(steps), np.empty_like(steps)
    size = steps.shape[1]
    for end in range(size, 0, -_BLOCK):
        start = max(end - _BLOCK, 0)
        back = feedback[:, start:, start:end].swapaxes(1, 2)
        later = back[:, :, end - start :] @ errors[:, end:]
        for i in reversed(range(start, end)):
            within = back[:, i - start, None, i + 1 - start : end - start] @ errors[:, i + 1 : end]
            wanted = steps[:, i] + free[:, i] * (later[:, i - start] + within[:, 0])
            found[:, i] = wanted.round().clip(-largest, largest)
            errors[:, i] = steps[:, i] - found[:, i]
    return found
