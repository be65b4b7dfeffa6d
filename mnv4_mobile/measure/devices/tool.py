"""Programs on a device that run artifacts of a target.

A target's package names its tools by an entry point of the group `mnv4_mobile.device_programs`
that has the target's name: a tuple of `Tool`s, the best one first. The best of them follow this
package's own contract, `Runner`: they give samples, and outputs to check against the golden pair.
Those from elsewhere, `Foreign`, print a summary only, and nothing verifies what they computed.
"""

from __future__ import annotations

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnv4_mobile.errors import DeviceError
from mnv4_mobile.measure.measurement import Samples
from mnv4_mobile.plugins import Group
from mnv4_mobile.tensors import TensorSpec

RESULT = "result.json"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a tool; all paths are the device's."""

    program: tuple[str, ...]
    """What starts it: its path, or an interpreter and a script."""
    model: str
    out: str
    """Folder for its results; it does not exist yet."""
    threads: int
    cores: tuple[int, ...] | None
    """To pin it to."""
    inputs: tuple[str, ...] = ()
    """Files with an input tensor each, for the golden check."""
    warmup: int = 0
    runs: int = 0
    """0 only loads the model and runs it once."""
    seconds: float = 0.0


class Tool(ABC):
    """A program that runs artifacts of one target.

    Args:
        name: What it is called in messages and records.
        files: Regular expression of the names that its file may have.
        script: A script of this package that it runs, which is copied to the device with it.
        default: The program on the device if the user names none; None is no tool then.
    """

    def __init__(
        self, name: str, files: str, *, script: Path | None = None, default: str | None = None
    ) -> None:
        self.name, self.files, self.script, self.default = name, files, script, default

    def recognises(self, file_name: str) -> bool:
        """Whether a file of that name is this tool."""
        return re.fullmatch(self.files, file_name) is not None

    @abstractmethod
    def argv(self, run: Run) -> list[str]:
        """The command for a run."""

    @abstractmethod
    def memory_argv(self, run: Run) -> list[str] | None:
        """The command of a pass that tells the peak memory; None for a tool that cannot."""

    @abstractmethod
    def read(self, printed: str, file: Callable[[str], bytes]) -> Samples:
        """What a run told.

        Args:
            printed: Its output and errors.
            file: Reads a file of the run's folder.

        Raises:
            DeviceError: Nothing that can be understood.
        """


class Runner(Tool):
    """A tool of this package.

    PROGRAM --model M --threads N [--cores 4,5] [--warmup W] [--runs R] [--seconds S]
            [--input FILE]... --out FOLDER

    It loads the model twice, runs it once, then once with each input, writing
    `<input>.<output>.bin`, then W times untimed, then R times and S seconds at least timed, and
    writes `result.json` whole. Tensors are raw little-endian bytes in C order.
    """

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
        """Loads and runs once, nothing else."""
        return self.argv(replace(run, inputs=(), warmup=0, runs=0, seconds=0.0))

    def read(self, printed: str, file: Callable[[str], bytes]) -> Samples:
        """Reads `result.json`."""
        try:
            entries = json.loads(file(RESULT))
            return Samples(
                golden_sqnr_db=None,
                load_cold_ms=_number(entries["load_cold_ms"]),
                load_warm_ms=_number(entries["load_warm_ms"]),
                first_ms=_number(entries["first_ms"]),
                latencies_ms=tuple(map(_number, entries["latencies_ms"])),
                t_ms=tuple(map(_number, entries["t_ms"])),
                peak_rss_mb=_number(entries["peak_rss_mb"]),
                versions={str(k): str(v) for k, v in entries["versions"].items()},
                conditions={"affinity": _cores(entries["cores"])} if entries["cores"] else {},
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DeviceError(f"{self.name}: {RESULT}: cannot be read: {error!r}") from None

    def outputs(
        self, file: Callable[[str], bytes], inputs: int, tensors: Sequence[TensorSpec]
    ) -> list[dict[str, npt.NDArray[Any]]]:
        """What it computed of each input, arrays by output name.

        Args:
            file: Reads a file of the run's folder.
            inputs: How many there were.
            tensors: The artifact's outputs. They are in this order unless `result.json` names
                others in `outputs`.

        Raises:
            DeviceError: Outputs of another size.
        """
        named = {tensor.name: tensor for tensor in tensors}
        order = json.loads(file(RESULT)).get("outputs") or list(named)
        if sorted(order) != sorted(named):
            raise DeviceError(f"{self.name}: outputs: found {order}, must be {sorted(named)}")
        return [
            {name: self._array(file(f"{i}.{j}.bin"), named[name]) for j, name in enumerate(order)}
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
        """What starts it on the cores that are asked for: `taskset` of util-linux and Android."""
        if not run.cores:
            return [*run.program]
        return ["taskset", f"{sum(1 << core for core in run.cores):x}", *run.program]


_PROGRAMS = Group(name="mnv4_mobile.device_programs", what="device programs", option="target")


def tools_of(target: str) -> tuple[Tool, ...]:
    """Returns the programs that run a target's artifacts on a device, the best one first.

    A target that names none has none there: an app runs its artifacts.
    """
    if target not in _PROGRAMS.names():
        return ()
    tools: tuple[Tool, ...] = _PROGRAMS.load(target, tuple)
    return tools


def tool_for(tools: Sequence[Tool], file_name: str) -> Tool | None:
    """The tool that a file is."""
    return next((tool for tool in tools if tool.recognises(file_name)), None)


def _number(found: Any) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ValueError(f"found {found!r}, must be a number")
    if not (math.isfinite(found) and found >= 0):
        raise ValueError(f"found {found!r}, must be 0 or more")
    return float(found)


def _cores(found: Any) -> str:
    if not all(isinstance(core, int) for core in found):
        raise ValueError(f"cores: found {found!r}")
    return ",".join(map(str, found))
