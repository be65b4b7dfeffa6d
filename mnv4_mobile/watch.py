"""The values of an artifact's layers, and how a target finds them by the manifest's names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from mnv4_mobile.errors import LoweringError
from mnv4_mobile.layers import block_of
from mnv4_mobile.lint import Graph, Operator
from mnv4_mobile.tensors import Layout, Quantization, Tensors
from mnv4_mobile.units import Unit

if TYPE_CHECKING:
    from pathlib import Path

    from mnv4_mobile.target import Target

_CLAMPS = frozenset(("relu", "relu6", "relu_n1_to_1", "clip", "clamp"))
_ADDITIONS = frozenset(("add", "broadcasting_add"))
_MEANS = frozenset(("mean", "reduce_mean", "globalavgpooling2d"))


class Watch(Protocol):
    """Runs an artifact and returns the values of its layers."""

    def __call__(self, inputs: Tensors, given: Tensors) -> dict[str, npt.NDArray[Any]]:
        """Returns the value of every layer by its name, in the order in which they run.

        A value has axes (N, C, H, W) and is float32, whatever the artifact keeps.

        Args:
            inputs: Arrays by input name.
            given: Values by layer. What reads one of these layers reads the given value instead of
                the layer's own, so that each layer can compute from another artifact's values.
        """


@runtime_checkable
class Watchable(Protocol):
    """A target whose artifacts show the values of their layers."""

    def watch(self, path: Path, layers: Sequence[str], *, threads: int, unit: Unit | None) -> Watch:
        """Loads an artifact in this process so that it returns the values of its layers.

        Args:
            path: The artifact.
            layers: Names of the network's convolutions in the order in which they run.
            threads: Number of runtime threads.
            unit: See `Target.open`.

        Raises:
            BundleError: The file is not an artifact of this target, or damaged.
            LoweringError: The artifact is not of this network, or it hides its layers.
        """


def check_watchable(target: Target) -> Watchable:
    """Returns a target if its artifacts show the values of their layers.

    Raises:
        LoweringError: Naming the target.
    """
    if not isinstance(target, Watchable):
        raise LoweringError(f"{target.name}: its runtime does not show the values of layers")
    return target


def layer_values(graph: Graph, convolutions: Sequence[str]) -> dict[str, str]:
    """Returns which value of a graph is that of each layer, in the order in which they run.

    The layers are convolutions, each with the clamp after it, additions of a block's input to its
    output (`stages.1.2.add`), and the pooling before the head (`mean`). Other activations and the
    products of attention are left out, because the forms of the network arrange them differently.

    Args:
        graph: The operators of an artifact.
        convolutions: Names of the network's convolutions in the order in which they run.

    Raises:
        LoweringError: The graph has more convolutions than the network, or none.
    """
    count = len(graph.convolutions)
    # Fewer is fine: convolutions after the last requested output are not in an artifact.
    if not 0 < count <= len(convolutions):
        raise LoweringError(
            f"found {count} convolutions in the artifact, the network has {len(convolutions)}: "
            "they cannot be told apart"
        )
    found: dict[str, str] = {}
    index = -1
    for operator in graph.operators:
        kind = operator.kind.lower()
        if operator.convolution:
            index += 1
            found[convolutions[index]] = _with_clamp(graph, operator).outputs[0]
        elif index >= 0 and kind in _ADDITIONS and _adds_values(graph, operator):
            name = f"{block_of(convolutions[index])}.add"
            found[name] = operator.outputs[0]
        elif kind in _MEANS:
            found["mean"] = operator.outputs[0]
    return found


def _adds_values(graph: Graph, operator: Operator) -> bool:
    return len(operator.inputs) > 1 and all(graph.producer(name) for name in operator.inputs[:2])


def _with_clamp(graph: Graph, operator: Operator) -> Operator:
    """Returns the last operator of a layer: after its bias, if that is apart, and its clamp."""
    users = graph.users(operator)
    while len(users) == 1:
        (user,) = users
        kind = user.kind.lower()
        bias = kind in _ADDITIONS and not _adds_values(graph, user)
        if not bias and kind not in _CLAMPS:
            break
        operator, users = user, graph.users(user)
    return operator


def as_nchw(
    value: npt.NDArray[Any], layout: Layout, quantization: Quantization | None = None
) -> npt.NDArray[np.float32]:
    """Returns a layer's value as `Watch` does.

    Args:
        value: The value, as the artifact keeps it.
        layout: Its layout.
        quantization: What its integers stand for; None for floats.
    """
    real = value.astype(np.float32)
    if quantization is not None:
        real = (real - quantization.zero_point) * np.float32(quantization.scale)
    return np.ascontiguousarray(np.moveaxis(real, -1, 1) if layout == "nhwc" else real)


def from_nchw(
    value: npt.NDArray[Any], layout: Layout, dtype: str, quantization: Quantization | None = None
) -> npt.NDArray[Any]:
    """Returns a given value (N, C, H, W) as an artifact keeps it.

    Args:
        value: The value, in floats.
        layout: The artifact's layout.
        dtype: The artifact's type of the value, int8 with `quantization`.
        quantization: What its integers stand for; None for floats.
    """
    laid = np.moveaxis(value, 1, -1) if layout == "nhwc" else value
    if quantization is not None:
        limits = np.iinfo(dtype)
        integers = np.round(laid / quantization.scale) + quantization.zero_point
        laid = integers.clip(limits.min, limits.max)
    return np.ascontiguousarray(laid, dtype=dtype)
