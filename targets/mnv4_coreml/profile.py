"""Times of the operators of an `.mlpackage`: Core ML's own estimates, on macOS."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from mnv4_mobile.errors import DeviceError
from mnv4_mobile.layers import OperatorTime, operator_times
from mnv4_mobile.tensors import Tensors


def profile(
    path: Path, inputs: Tensors, layers: Sequence[str], *, threads: int, runs: int
) -> list[OperatorTime]:
    """Splits the times of runs by the shares that Core ML estimates; see `Target.profile`.

    Core ML does not time operators. coremltools' `MLModelBenchmarker` times whole runs, and its
    `MLComputePlan` estimates each operator's share of the work, and the unit that runs it.
    """
    if sys.platform != "darwin":
        raise DeviceError("coreml: cannot profile here: Core ML's compute plan needs macOS")
    from mnv4_coreml.mlmodel import CoreMLModel, copied

    with copied(path) as package:
        opened = CoreMLModel(package, None, load=False)
        benchmarker = opened.benchmarker()
        told = asyncio.run(
            benchmarker.benchmark_operation_execution(
                inputs=opened.feed(inputs), iterations=runs, warmup=True
            )
        )
    # coremltools lists the slowest operator first, and constants without times.
    told = [operator for operator in told if operator.measurement.samples]
    told.sort(key=lambda operator: opened.operations.index(operator.spec.outputs[0].name))
    kinds = [f"{o.spec.type} ({_unit(o.compute_device_usage)})" for o in told]
    times = zip(*(operator.measurement.samples for operator in told), strict=True)
    return operator_times([list(zip(kinds, ms, strict=True)) for ms in times], layers)


def _unit(usage: object) -> str:
    """Returns `CPU`, `GPU` or `NeuralEngine`, from the name of coremltools' class."""
    device = getattr(usage, "preferred_compute_device", None)
    if device is None:
        return "unit unknown"
    return type(device).__name__.removeprefix("ML").removesuffix("ComputeDevice")
