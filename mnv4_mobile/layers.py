"""Layers of the network: their precision and times, and which operator belongs to which layer."""

from __future__ import annotations

from collections.abc import Sequence

from mnv4_mobile.errors import DeviceError
from mnv4_mobile.records import Milliseconds, Record

OWN_HEAD = "own_head."
"""What the names of the layers of a head of the caller's own begin with (`model/deploy.py`)."""


class Layer(Record, frozen=True, kw_only=True):
    """The precision of one layer of an artifact."""

    name: str
    """A module of the network, or a module and an operation in it: `stages.1.2.add`."""
    precision: str
    """The layer's precision: `float32`, `float16`, `int8`, ..."""
    why: str | None
    """Why the precision is not the recipe's; null if it is."""


class OperatorTime(Record, frozen=True, kw_only=True):
    """How long one operator takes."""

    kind: str
    """The runtime's name for the operator."""
    layer: str
    """The layer that the operator belongs to, as the manifest names it."""
    ms: Milliseconds
    """The shortest time of all runs."""


def block_of(layer: str) -> str:
    """Returns the block of the YAML that a layer is in, as the stage table names it."""
    parts = layer.split(".")
    return ".".join(parts[:3]) if parts[0] == "stages" else parts[0]


def assign(convolutions: Sequence[bool], names: Sequence[str]) -> list[str]:
    """Returns the layer of every operator, for runtimes that do not keep names.

    Runtimes fuse and rename operators, but keep the order of convolutions. Any other operator
    belongs to the layer of the convolution before it, or else of the first one.

    Args:
        convolutions: Whether each operator is a convolution, in the order in which they run.
        names: Names of the network's convolutions in the same order, as in the manifest.
    """
    found, index = [], -1
    for is_convolution in convolutions:
        index = min(index + is_convolution, len(names) - 1)
        found.append(names[max(index, 0)])
    return found


_CONVOLUTIONS = ("convolution", "conv_2d", "depthwise_conv_2d", "fully connected")


def is_convolution(kind: str) -> bool:
    """Returns whether an operator, as a runtime calls it, is one of the network's convolutions.

    XNNPACK runs 1 x 1 convolutions as "Fully Connected"; Core ML reports "conv" and the unit.
    """
    return kind.partition(" (")[0] == "conv" or kind.lower().startswith(_CONVOLUTIONS)


def operator_times(
    runs: Sequence[Sequence[tuple[str, float]]], layers: Sequence[str]
) -> list[OperatorTime]:
    """Returns the times of the operators of a network, each the shortest of all runs.

    Other work on the machine only adds time, and more to long operators than to short ones, because
    the scheduler's slices (3 ms on Linux) end inside them. A median would overstate long operators.

    Args:
        runs: For every run, the name of each operator and the milliseconds that it took, in the
            order in which they ran.
        layers: Names of the network's convolutions in the order in which they run.

    Raises:
        DeviceError: Runs have different operators, or the operators are not this network's.
    """
    kinds = [kind for kind, _ in runs[0]]
    if any([kind for kind, _ in run] != kinds for run in runs):
        raise DeviceError("the runtime's profiler lost operators: not all runs have the same ones")
    convolutions = [is_convolution(kind) for kind in kinds]
    # Fewer is fine: convolutions after the last requested output do not run.
    if not 0 < sum(convolutions) <= len(layers):
        raise DeviceError(
            f"the runtime ran {sum(convolutions)} convolutions, the network has {len(layers)}"
        )
    times = zip(*([ms for _, ms in run] for run in runs), strict=True)
    return [
        OperatorTime(kind=kind, layer=layer, ms=min(ms))
        for kind, layer, ms in zip(kinds, assign(convolutions, layers), times, strict=True)
    ]
