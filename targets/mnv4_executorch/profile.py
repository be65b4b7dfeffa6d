"""Times the operators of a `.pte`, by ExecuTorch's event dump (ETDump).

ExecuTorch's own reader, `executorch.devtools.Inspector`, imports all of exir and calls flatc, so
the few tables with times are read here (field numbers: executorch/devtools/etdump/
etdump_schema_flatcc.fbs).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from mnv4_executorch.session import load
from mnv4_mobile.bundle.timing import WARM_UP
from mnv4_mobile.flatbuffer import Buffer, Table
from mnv4_mobile.layers import OperatorTime, operator_times
from mnv4_mobile.tensors import Tensors

_DUMP_RUNS = 1
_RUN_NAME, _RUN_EVENTS = 0, 3
_EVENT_PROFILE = 0
_PROFILE_NAME, _PROFILE_DELEGATED, _PROFILE_START, _PROFILE_END = 0, 4, 6, 7
_KERNEL = "native_call_"  # the runtime's prefix for the names of its own kernels


def profile(
    path: Path, inputs: Tensors, layers: Sequence[str], *, threads: int, runs: int
) -> list[OperatorTime]:
    """Times every operator, inside and outside the delegate; see `Target.profile`.

    Raises:
        BundleError: The file is not an ExecuTorch program, or has no method `forward`.
    """
    program, run = load(path, threads, profiled=True)
    for _ in range(WARM_UP + runs):
        run(inputs)
    with tempfile.TemporaryDirectory() as folder:
        dump = Path(folder, "etdump")
        program.write_etdump_result_to_file(str(dump))
        found = _runs(dump.read_bytes())
    return operator_times(found[-runs:], layers)


def _runs(data: bytes) -> list[list[tuple[str, float]]]:
    """Returns each run's operators: name and milliseconds. The dump begins with its own size."""
    # The longer the runs, the longer the dump, which the runtime writes: there is no limit.
    dump = Buffer(data, limit=sys.maxsize).part(4).root()
    return [
        list(_operators(run)) for run in dump.tables(_DUMP_RUNS) if run.text(_RUN_NAME) == "Execute"
    ]


def _operators(run: Table) -> Iterator[tuple[str, float]]:
    for event in run.tables(_RUN_EVENTS):
        if not event.has(_EVENT_PROFILE):
            continue
        entry = event.table(_EVENT_PROFILE)
        # In the delegate, "Add (ND) #3". Outside it, kernels are mixed with the calls around them.
        kind = entry.text(_PROFILE_DELEGATED).rpartition(" #")[0]
        name = entry.text(_PROFILE_NAME)
        if name.startswith(_KERNEL):
            kind = name.removeprefix(_KERNEL)
        if kind:
            elapsed = entry.integer(_PROFILE_END, 64) - entry.integer(_PROFILE_START, 64)
            yield kind, elapsed / 1e6
