"""Checks that float16 holds every sum of a network, and scales channels down where it does not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.bundle.manifest import LEAST_MARGIN
from mnv4_mobile.model.blocks import ConvNorm
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.program.export import export
from mnv4_mobile.program.observe import observe
from mnv4_mobile.program.operations import operations
from mnv4_mobile.quantize.equalization import Channels, all_channels, float_channels

if TYPE_CHECKING:
    from torch.export import ExportedProgram

FLOAT16_MAX = 65504.0
IMAGES = 16
"""The most images to look at."""
_GOAL = 1024.0
"""What is scaled down gets sums of this size or half of it. With less, and the larger weights that
then read it, nothing is won; with more, these weights come close to float16's least number."""
_aten = torch.ops.aten
_TERMS: dict[Any, Callable[..., float]] = {
    _aten.conv2d.default: lambda *_: 1,
    _aten.bmm.default: lambda *_: 1,
    _aten.matmul.default: lambda *_: 1,
    _aten.add.Tensor: lambda *_: 1,
    _aten.mean.dim: lambda x, axes, *_: math.prod(x.shape[axis] for axis in axes),
    _aten.avg_pool2d.default: lambda _, kernel, *__: math.prod(kernel),
}
"""What an operator that adds terms divides the sum by, as a function of its arguments."""


def guard(net: MobileNetV4, spec: BuildSpec, pictures: Iterable[npt.NDArray[np.uint8]]) -> None:
    """Scales down channels whose sums come close to float16's limit; the network computes the same.

    The factors are powers of two, so that the network's float32 outputs do not even differ by
    rounding. What cannot be scaled stays as it is: channels before an activation that does not let
    factors pass, the products of queries and keys, and the network's outputs.

    Args:
        net: The network; it is changed in place.
        spec: What is built.
        pictures: The images, (H, W, 3) RGB after resizing each.
    """
    one = replace(spec, batch=1)
    sums = largest_sums(export(net, one, "nchw"), one, islice(pictures, IMAGES))
    names = {module: name for name, module in net.named_modules()}
    for group in (*all_channels(net), *float_channels(net)):
        found = [sums[name] for name in _operations(group, names) if name in sums]
        # In this form, the heads of a channel are neighbours.
        largest = torch.stack(found).amax(0).view(group.count, -1).amax(1)
        beyond = (largest > FLOAT16_MAX / LEAST_MARGIN) & largest.isfinite()
        factor = torch.exp2(-torch.log2(largest / _GOAL).ceil())
        group.scale(torch.where(beyond, factor, 1.0))


def _operations(group: Channels, names: Mapping[nn.Module, str]) -> Iterator[str]:
    """Yields the operations whose sums are channels of a group, if the deploy form has them."""
    for writer in group.written:
        yield f"{names[writer]}.conv" if isinstance(writer, ConvNorm) else names[writer]
    for module in group.seen:
        yield "mean" if names[module] == "final" else f"{names[module]}.add"
    for reader in group.read:  # queries of attention may be pooled
        yield f"{names[reader].removesuffix('.norm')}.avg_pool"


def largest_sums(
    program: ExportedProgram, spec: BuildSpec, pictures: Iterable[npt.NDArray[np.uint8]]
) -> dict[str, Tensor]:
    """Returns the largest magnitude that operations of a deploy form hold, by their names.

    It is that of values, weights and partial sums. A runtime may add the terms of a sum in any
    order, so a partial sum has some of the positive terms, P in total, and some of the negative
    ones, -N in total. None is larger than max(P, N) = (P + N + |P - N|) / 2. P - N is what the
    operator returns, and P + N what it returns for the magnitudes of its inputs. A mean counts as
    the sum that it divides.

    Args:
        program: The deploy form.
        spec: What is built.
        pictures: The images, (H, W, 3) RGB after resizing each.

    Returns:
        One number for each channel, (C,), or for all values of an operation without channels, (1,).
    """
    names = {operation.node: operation.name for operation in operations(program.graph)}
    found: dict[str, Tensor] = {}

    def see(node: fx.Node, value: Tensor, inputs: tuple[Any, ...]) -> None:
        sums = _partial_sums(node, value, inputs)
        largest = sums.amax((0, 2, 3)) if sums.dim() == 4 else sums.amax().view(1)
        if node.target is _aten.conv2d.default:
            largest = torch.maximum(largest, inputs[1].abs().amax((1, 2, 3)))
        largest = largest.nan_to_num(nan=math.inf, posinf=math.inf)
        name = names[node]
        found[name] = torch.maximum(found[name], largest) if name in found else largest

    observe(program, names, spec, pictures, see)
    return found


def _partial_sums(node: fx.Node, value: Tensor, inputs: tuple[Any, ...]) -> Tensor:
    """Returns the largest partial sum of every value that an operator returns."""
    operator: Any = node.target
    if operator not in _TERMS:
        return value.abs()
    magnitudes = (x.abs() if isinstance(x, Tensor) else x for x in inputs)
    both: Tensor = operator(*magnitudes) + value.abs()
    return both * (_TERMS[operator](*inputs) / 2)


def margins(sums: Mapping[str, Tensor]) -> dict[str, float]:
    """Returns how many times the largest sum of each operation fits into float16's range."""
    return {
        name: FLOAT16_MAX / min(max(float(found.max()), 1e-30), 1e38)
        for name, found in sums.items()
    }
