"""Decomposes the operators of an exported program, quickly if this version of torch allows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch.export import ExportedProgram

# Kept here, because targets replace it by `decomposed` while a toolchain runs.
_run_decompositions: Callable[..., ExportedProgram] = ExportedProgram.run_decompositions


def decomposed(
    program: ExportedProgram, table: Mapping[Any, Callable[..., Any]]
) -> ExportedProgram:
    """Returns what `ExportedProgram.run_decompositions` does, in a fraction of the time.

    The fast way needs private names of torch, and a program of one input size. If one of these is
    missing, this calls `run_decompositions`.

    Args:
        program: `decompose_in_place.decomposed` says what it must be; it is not changed.
        table: Decompositions by operator.
    """
    if program.range_constraints:
        return _run_decompositions(program, dict(table))
    try:
        from mnv4_mobile.program.decompose_in_place import decomposed as in_place
    except ImportError:
        return _run_decompositions(program, dict(table))
    return in_place(program, table)
