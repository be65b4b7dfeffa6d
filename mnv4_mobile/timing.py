"""What all runtimes' profilers share: from the events of some runs to the times of operators."""

from __future__ import annotations

from collections.abc import Sequence

from mnv4_mobile.errors import DeviceError
from mnv4_mobile.layers import assign
from mnv4_mobile.target import OperatorTime

WARM_UP = 3
"""Runs before those that are timed: the first one packs weights and touches fresh memory."""

_CONVOLUTIONS = ("convolution", "conv_2d", "depthwise_conv_2d", "fully connected")


def is_convolution(kind: str) -> bool:
    """Whether an operator, as a runtime calls it, is one of the network's convolutions.

    XNNPACK runs 1 x 1 convolutions as "Fully Connected"; Core ML says "conv".
    """
    return kind == "conv" or kind.lower().startswith(_CONVOLUTIONS)


def operator_times(
    runs: Sequence[Sequence[tuple[str, float]]], layers: Sequence[str]
) -> list[OperatorTime]:
    """The times of the operators of a network, each the shortest of all runs.

    Whatever else the machine does only ever adds, and to long operators more than to short ones:
    the scheduler's slices (3 ms on Linux) end inside of them. A median blames the longest ones.

    Args:
        runs: Of every run, what each operator is called and the milliseconds that it took, in
            the order in which they ran.
        layers: Names of the network's convolutions in the order in which they run.

    Raises:
        DeviceError: Runs with different operators, or operators that are not this network's.
    """
    kinds = [kind for kind, _ in runs[0]]
    if any([kind for kind, _ in run] != kinds for run in runs):
        raise DeviceError("the runtime's profiler lost operators: not all runs have the same ones")
    convolutions = [is_convolution(kind) for kind in kinds]
    # Fewer is fine: what comes after the last output that was asked for does not run.
    if not 0 < sum(convolutions) <= len(layers):
        raise DeviceError(
            f"the runtime ran {sum(convolutions)} convolutions, the network has {len(layers)}"
        )
    times = zip(*([ms for _, ms in run] for run in runs), strict=True)
    return [
        OperatorTime(kind=kind, layer=layer, ms=min(ms))
        for kind, layer, ms in zip(kinds, assign(convolutions, layers), times, strict=True)
    ]
