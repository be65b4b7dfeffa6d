"""Programs on a device that run artifacts of a target.

A target's package names its tools by an entry point of the group `mnv4_mobile.device_programs`
with the target's name: a tuple of `Tool`s, the best one first. A `Runner` follows this package's
contract: it returns samples, and outputs to check against the golden pair. A `Foreign` tool only
prints a summary, and nothing verifies what it computed.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnv4_mobile import records
from mnv4_mobile.errors import DeviceError
from mnv4_mobile.measuring.devices.app import Result
from mnv4_mobile.measuring.measurement import Samples
from mnv4_mobile.plugins import Group
from mnv4_mobile.tensors import TensorSpec
from mnv4_mobile.units import Unit

RESULT = "result.json"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a tool. All paths are on the device."""

    program: tuple[str, ...]
    """The command: the tool's path, or an interpreter and a script."""
    model: str
    out: str
    """Folder for the results, which does not exist yet."""
    threads: int
    cores: tuple[int, ...] | None
    """Cores to pin the process to; None for all."""
    inputs: tuple[str, ...] = ()
    """Files with one input tensor each, for the golden check."""
    warmup: int = 0
    runs: int = 0
    """Number of timed runs; 0 only loads the model and runs it once."""
    seconds: float = 0.0
    unit: Unit = "cpu"
    """One of the tool's `units`."""


class Tool(ABC):
    """A program that runs artifacts of one target.

    Args:
        name: The tool's name in messages and records.
        files: Regular expression for the names that its file may have.
        script: A script of this package that the tool runs; it is copied to the device too.
        default: The program on the device that is used if the user names none.
    """

    units: tuple[Unit, ...] = ("cpu",)
    """What it can be asked to run artifacts on, the default first."""

    def __init__(
        self, name: str, files: str, *, script: Path | None = None, default: str | None = None
    ) -> None:
        self.name, self.files, self.script, self.default = name, files, script, default

    def recognises(self, file_name: str) -> bool:
        """Returns whether a file of that name is this tool."""
        return re.fullmatch(self.files, file_name) is not None

    @abstractmethod
    def argv(self, run: Run) -> list[str]:
        """Returns the command for a run."""

    @abstractmethod
    def memory_argv(self, run: Run) -> list[str] | None:
        """Returns the command of a run that measures peak memory; None if the tool cannot."""

    @abstractmethod
    def read(self, printed: str, file: Callable[[str], bytes]) -> Samples:
        """Reads the samples of a run.

        Args:
            printed: The run's output and errors.
            file: Reads a file of the run's folder.

        Raises:
            DeviceError: The output cannot be understood.
        """


class Runner(Tool):
    """A tool of this package.

    PROGRAM --model M --threads N [--cores 4,5] [--warmup W] [--runs R] [--seconds S]
            [--input FILE]... --out FOLDER

    It loads the model twice and runs it once; then once with each input, writing
    `<input>.<output>.bin`; then W times without timing it; then at least R times and for at least
    S seconds, timing each run. It writes a `Result` with the job "" to `result.json`, which is
    never partial. Tensors are raw little-endian bytes in C order.

    Args:
        name: See `Tool`.
        files: See `Tool`.
        script: See `Tool`.
        default: See `Tool`.
        named: Whether output files have the outputs' names instead of their numbers.
    """

    def __init__(
        self,
        name: str,
        files: str,
        *,
        script: Path | None = None,
        default: str | None = None,
        named: bool = False,
    ) -> None:
        super().__init__(name, files, script=script, default=default)
        self.named = named

    def argv(self, run: Run) -> list[str]:
        """See `Tool.argv`."""
        command = [*run.program, "--model", run.model, "--threads", str(run.threads)]
        if run.cores:
            command += ["--cores", ",".join(map(str, run.cores))]
        command += ["--warmup", str(run.warmup), "--runs", str(run.runs)]
        command += ["--seconds", f"{run.seconds:g}"]
        for path in run.inputs:
            command += ["--input", path]
        return [*command, "--out", run.out]

    def memory_argv(self, run: Run) -> list[str]:
        """Returns the command that loads and runs once, nothing else."""
        return self.argv(replace(run, inputs=(), warmup=0, runs=0, seconds=0.0))

    def read(self, printed: str, file: Callable[[str], bytes]) -> Samples:
        """Reads `result.json`."""
        result = records.decode(file(RESULT), Result, f"{self.name}: {RESULT}", DeviceError)
        if result.samples is None:
            raise DeviceError(f"{self.name}: {result.error}")
        return result.samples

    def outputs(
        self, file: Callable[[str], bytes], inputs: int, tensors: Sequence[TensorSpec]
    ) -> list[dict[str, npt.NDArray[Any]]]:
        """Returns what the tool computed for each input, as arrays by output name.

        Args:
            file: Reads a file of the run's folder.
            inputs: Number of inputs.
            tensors: The artifact's outputs, in the artifact's order.

        Raises:
            DeviceError: An output has the wrong size.
        """
        names = [tensor.name if self.named else str(j) for j, tensor in enumerate(tensors)]
        return [
            {
                tensor.name: self._array(file(f"{i}.{name}.bin"), tensor)
                for name, tensor in zip(names, tensors, strict=True)
            }
            for i in range(inputs)
        ]

    def _array(self, data: bytes, tensor: TensorSpec) -> npt.NDArray[Any]:
        dtype = np.dtype(tensor.dtype).newbyteorder("<")
        size = math.prod(tensor.shape) * dtype.itemsize
        if len(data) != size:
            raise DeviceError(
                f"{self.name}: output {tensor.name}: found {len(data)} bytes, must be {size}"
            )
        return np.frombuffer(data, dtype).reshape(tensor.shape).astype(tensor.dtype)


class Foreign(Tool):
    """A tool from elsewhere, which prints a summary."""

    def pinned(self, run: Run) -> list[str]:
        """Returns the command that pins the tool: `taskset` of util-linux and Android."""
        if not run.cores:
            return [*run.program]
        return ["taskset", f"{sum(1 << core for core in run.cores):x}", *run.program]


_PROGRAMS = Group(name="mnv4_mobile.device_programs", what="device programs", option="target")


def tools_of(target: str) -> tuple[Tool, ...]:
    """Returns the programs that run a target's artifacts on a device, the best one first.

    A target without programs is run by an app.
    """
    if target not in _PROGRAMS.names():
        return ()
    tools: tuple[Tool, ...] = _PROGRAMS.load(target, tuple)
    return tools


def tool_for(tools: Sequence[Tool], file_name: str) -> Tool | None:
    """Returns the tool that a file of this name is, or None."""
    return next((tool for tool in tools if tool.recognises(file_name)), None)
