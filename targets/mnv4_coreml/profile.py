"""Times of the operators of an `.mlpackage`: Core ML's own estimates, on macOS."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from mnv4_mobile.errors import DeviceError
from mnv4_mobile.target import OperatorTime, Tensors
from mnv4_mobile.timing import operator_times, timed


def profile(
    path: Path, inputs: Tensors, layers: Sequence[str], *, threads: int, runs: int
) -> list[OperatorTime]:
    """Splits measured runs by the shares that Core ML estimates; see `Target.profile`.

    Core ML times no operators; its compute plan says which part of the work each is expected to be
    (`MLComputePlanCost.weight`). Written after coremltools' documentation; it was not run.
    """
    if sys.platform != "darwin":
        raise DeviceError("coreml: cannot profile here: Core ML's compute plan is only on macOS")
    from mnv4_coreml.session import load_core_ml

    model, run = load_core_ml(path)
    from coremltools.models.compute_plan import MLComputePlan  # after mnv4_coreml.toolchain

    plan = MLComputePlan.load_from_path(model.get_compiled_model_path(), model.compute_unit)
    shares = []
    for operation in plan.model_structure.program.functions["main"].block.operations:
        cost = plan.get_estimated_cost_for_mlprogram_operation(operation)
        if cost is not None:  # constants have none
            shares.append((operation.operator_name.rpartition(".")[2], cost.weight))
    latencies = timed(lambda: run(inputs), runs=runs).latencies_ms
    found = [[(kind, share * ms) for kind, share in shares] for ms in latencies]
    return operator_times(found, layers)
