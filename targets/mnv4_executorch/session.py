"""Runs a `.pte` through the Python runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnv4_executorch.pte import port_names
from mnv4_executorch.speedups import extension, load_program, set_threads
from mnv4_mobile.errors import BundleError
from mnv4_mobile.target import Session
from mnv4_mobile.tensors import Tensors


def open_session(path: Path, threads: int) -> Session:
    """Loads a program; inputs and outputs have the names that its constant methods give.

    A program without such methods, from elsewhere, has `input_0`, `output_0` and so on.

    Raises:
        BundleError: The file is not an ExecuTorch program, or has no method `forward`.
    """
    _, run = load(path, threads)
    return run


def load(path: Path, threads: int, *, profiled: bool = False) -> tuple[Any, Session]:
    """Returns the program and its session; `profiled` records the times of all that runs."""
    import torch

    runtime = extension()
    try:
        program = load_program(runtime, str(path), profiled=profiled)
        names = {program.get_method_name(i) for i in range(program.num_methods())}
    except RuntimeError as error:
        raise BundleError(f"{path}: not a readable ExecuTorch program: {error}") from None
    if "forward" not in names:
        raise BundleError(f"{path}: methods: found {', '.join(sorted(names))}, must have forward")
    meta = program.method_meta("forward")
    inputs, outputs = (
        port_names(kind, count, program.load_method(method).call([]) if method in names else [])
        for kind, count, method in (
            ("input", meta.num_inputs(), "get_input_names"),
            ("output", meta.num_outputs(), "get_output_names"),
        )
    )
    # The runtime takes all cores unless this is set before a method is loaded.
    set_threads(runtime, threads)
    forward = program.load_method("forward")

    def run(tensors: Tensors) -> dict[str, npt.NDArray[Any]]:
        arguments = [torch.from_numpy(np.ascontiguousarray(tensors[name])) for name in inputs]
        # Copied here alone: the runtime hands out its own buffers, or by default slower copies.
        values = forward.call(arguments, clone_outputs=False)
        return {name: value.numpy().copy() for name, value in zip(outputs, values, strict=True)}

    return program, run
