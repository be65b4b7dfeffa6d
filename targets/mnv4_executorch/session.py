"""Running a `.pte` through the Python runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnv4_mobile.errors import BundleError
from mnv4_mobile.target import Session, Tensors


def open_session(path: Path, threads: int) -> Session:
    """Loads a program; inputs and outputs have the names that its constant methods give.

    Raises:
        BundleError: Not a program, or not one of ours.
    """
    _, run = load(path, threads)
    return run


def load(path: Path, threads: int, *, profiled: bool = False) -> tuple[Any, Session]:
    """The program with its session; `profiled` records the times of all that runs."""
    import torch

    # The extension module itself: the public `portable_lib` and `runtime` import all of exir,
    # which takes longer than everything else here together.
    from executorch.extension.pybindings import _C

    try:
        program = _C._load_program(str(path), enable_etdump=profiled)
        names = {program.get_method_name(i) for i in range(program.num_methods())}
    except RuntimeError as error:
        raise BundleError(f"{path}: not a readable ExecuTorch program: {error}") from None
    if not {"forward", "get_input_names", "get_output_names"} <= names:
        raise BundleError(f"{path}: does not name its inputs and outputs: not made by mnv4-mobile")
    inputs, outputs = (
        program.load_method(f"get_{kind}_names").call([]) for kind in ("input", "output")
    )
    # The runtime takes all cores unless told otherwise, before a method is loaded.
    _C._unsafe_reset_threadpool(threads)
    forward = program.load_method("forward")

    def run(tensors: Tensors) -> dict[str, npt.NDArray[Any]]:
        arguments = [torch.from_numpy(np.ascontiguousarray(tensors[name])) for name in inputs]
        values = forward.call(arguments)
        # Copied: the runtime hands out its own buffers.
        return {name: value.numpy().copy() for name, value in zip(outputs, values, strict=True)}

    return program, run
