"""Runs artifacts on a device with programs, which are copied to it if necessary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, TypeGuard

import numpy.typing as npt

from mnv4_mobile.errors import ConfigError, DeviceError
from mnv4_mobile.files import sha256
from mnv4_mobile.measuring.devices.shell import Ended, Shell
from mnv4_mobile.measuring.devices.tool import Run, Runner, Tool, tool_for, tools_of
from mnv4_mobile.measuring.measurement import Samples
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.subject import Subject
from mnv4_mobile.records import replace
from mnv4_mobile.units import Unit

ON_DEVICE = "device:"
"""Prefix of the path of a tool that the device already has."""
_MEMORY_S = 300.0
_MACHINES = {
    0x03: ("x86", ("i386", "i686", "x86_64")),
    0x28: ("32-bit ARM", ("armv6l", "armv7l", "armv8l", "aarch64")),
    0x3E: ("x86-64", ("x86_64",)),
    0xB7: ("arm64", ("aarch64",)),
}
"""ELF machine numbers: a name, and the `uname -m` of machines that run such a program."""


@dataclass(frozen=True, kw_only=True)
class _Program:
    """A tool, and the command that starts it on the device."""

    tool: Tool
    argv: tuple[str, ...]
    version: str
    """The tool's name; if it was copied, with the beginning of its hash, because third-party
    programs do not report their version."""
    libraries: str | None = None
    """A folder on the device with shared libraries that came with the tool."""


@dataclass(frozen=True, kw_only=True)
class _Pushed:
    """Paths on the device."""

    model: str
    inputs: tuple[str, ...]


class Programs:
    """A `Way` to run artifacts: the tools of their targets.

    Args:
        shell: The device's shell.
        machine: The device's processor, as `uname -m` prints it.
        tool: `--tool`: a program of this machine, a folder of programs with what they need, or
            `device:PATH` for one that the device already has. Artifacts that it cannot run are run
            by their target's default program, if the device has it.
    """

    def __init__(self, shell: Shell, machine: str, tool: str | None) -> None:
        self._shell, self._machine, self._tool = shell, machine, tool
        self._chosen: dict[str, tuple[Tool, str]] = {}
        self._programs: dict[str, _Program] = {}
        self._pushed: dict[str, _Pushed] = {}

    def check(self, subject: Subject) -> None:
        """Refuses an artifact that no tool runs.

        Raises:
            ConfigError: Naming the tools that would run it.
        """
        _, file = self._choose(subject.artifact.target)
        if not file.startswith(ON_DEVICE):
            self._check_machine(Path(file))

    def units(self, subject: Subject) -> tuple[Unit, ...]:
        """See `Way.units`."""
        return self._choose(subject.artifact.target)[0].units

    def copy(self, subject: Subject) -> None:
        """Copies the tool, the artifact and its golden inputs, each once."""
        self._program(subject.artifact.target)
        self._push(subject)

    def measure(
        self, subject: Subject, plan: Plan, cores: tuple[int, ...] | None, timeout_s: float
    ) -> Samples:
        """Measures one session, and the memory in a separate run."""
        program, pushed = self._program(subject.artifact.target), self._push(subject)
        run = Run(
            program=program.argv,
            model=pushed.model,
            out=f"{self._shell.folder}/out",
            threads=plan.threads,
            cores=cores,
            inputs=pushed.inputs,
            warmup=plan.warmup,
            runs=plan.runs,
            seconds=plan.seconds,
            unit=plan.unit or program.tool.units[0],
        )
        samples, outputs = self._session(program, run, subject, timeout_s)
        # One process did everything, so outputs are checked afterwards; if they are wrong, nothing
        # is recorded.
        golden = subject.check(outputs) if outputs else None
        peak = None
        if argv := program.tool.memory_argv(run):
            ended = self._start(program, argv, run, _MEMORY_S)
            peak = program.tool.read(ended.text, self._reader(run)).peak_rss_mb
        pinned = {"affinity": ",".join(map(str, cores))} if cores else {}
        return replace(
            samples,
            golden_sqnr_db=golden,
            peak_rss_mb=peak,
            versions={"tool": program.version, **samples.versions},
            conditions={**pinned, **samples.conditions},
        )

    def close(self) -> None:
        """Does nothing: all files are in the shell's folder."""

    def _session(
        self, program: _Program, run: Run, subject: Subject, timeout_s: float
    ) -> tuple[Samples, list[dict[str, npt.NDArray[Any]]]]:
        """Returns a run's samples, and its outputs for the golden pair."""
        ended = self._start(program, program.tool.argv(run), run, timeout_s)
        samples = program.tool.read(ended.text, self._reader(run))
        if not (isinstance(program.tool, Runner) and subject.bundle):
            return samples, []
        read, count = self._reader(run), len(run.inputs)
        return samples, program.tool.outputs(read, count, subject.bundle.outputs)

    def _start(self, program: _Program, argv: list[str], run: Run, timeout_s: float) -> Ended:
        self._shell.remove(run.out)
        ended = self._shell.run(argv, timeout_s=timeout_s, libraries=program.libraries)
        if ended.code in (126, 127):
            raise DeviceError(
                f"{self._shell.name}: {program.tool.name}: cannot be started: {ended.last_line}; "
                "does it exist, and is it built for this device?"
            )
        if ended.code:
            raise DeviceError(
                f"{self._shell.name}: {program.tool.name}: exit code {ended.code}: "
                f"{ended.last_line}"
            )
        return ended

    def _reader(self, run: Run) -> Callable[[str], bytes]:
        return lambda name: self._shell.pull(f"{run.out}/{name}")

    def _push(self, subject: Subject) -> _Pushed:
        """Copies an artifact and its golden inputs, once."""
        key, target = subject.artifact.sha256, subject.artifact.target
        if key not in self._pushed:
            model = self._shell.push(subject.path, f"{key[:16]}{subject.path.suffix}")
            # Third-party tools generate their own inputs.
            feeds = subject.feeds() if isinstance(self._choose(target)[0], Runner) else []
            if any(len(feed) != 1 for feed in feeds):
                raise ConfigError(
                    f"{subject.path}: found inputs {', '.join(feeds[0])}, must be one input"
                )
            inputs = [
                self._shell.push(little_endian(tensor), f"{key[:16]}.{i}.bin")
                for i, feed in enumerate(feeds)
                for tensor in feed.values()
            ]
            self._pushed[key] = _Pushed(model=model, inputs=tuple(inputs))
        return self._pushed[key]

    def _choose(self, target: str) -> tuple[Tool, str]:
        """Returns the tool for a target and its file: `--tool`, or else the target's default.

        Raises:
            ConfigError: Neither exists; naming the tools that would run the target.
        """
        if target in self._chosen:
            return self._chosen[target]
        tools = tools_of(target)
        files = _files(self._tool)
        found = [(tool, file) for file in files if (tool := tool_for(tools, PurePath(file).name))]
        found += [(tool, ON_DEVICE + tool.default) for tool in tools if self._has(tool.default)]
        if not found:
            allowed = ", ".join(f"{tool.name} ({tool.files})" for tool in tools) or "none"
            given = f"--tool {self._tool}" if self._tool else "without --tool"
            raise ConfigError(
                f"{self._shell.name}: {given}: no program for {target}; allowed, by the names of "
                f"their files: {allowed}"
            )
        self._chosen[target] = found[0]
        return found[0]

    def _has(self, program: str | None) -> TypeGuard[str]:
        return bool(program and self._shell.ask({"": f"command -v {program}"})[""])

    def _program(self, target: str) -> _Program:
        """Copies the tool for a target, once."""
        if target in self._programs:
            return self._programs[target]
        tool, file = self._choose(target)
        libraries, version = None, tool.name
        if file.startswith(ON_DEVICE):
            argv = [file.removeprefix(ON_DEVICE)]
        else:
            folder = f"tool-{target}"
            beside = Path(str(self._tool))
            files = [Path(file)] if beside.is_file() else sorted(beside.rglob("*"))
            for path in files:
                if path.is_file():
                    name = path.relative_to(Path(file).parent).as_posix()
                    self._shell.push(path, f"{folder}/{name}", executable=True)
            libraries = f"{self._shell.folder}/{folder}"
            argv = [f"{libraries}/{Path(file).name}"]
            version += f" {sha256(Path(file))[:12]}"
        if tool.script:
            argv.append(self._shell.push(tool.script, tool.script.name))
        self._programs[target] = _Program(
            tool=tool, argv=tuple(argv), version=version, libraries=libraries
        )
        return self._programs[target]

    def _check_machine(self, file: Path) -> None:
        """Refuses a program for another processor.

        Raises:
            ConfigError: Naming both.
        """
        with file.open("rb") as opened:
            head = opened.read(20)
        machine = int.from_bytes(head[18:20], "little")
        if head[:4] != b"\x7fELF" or machine not in _MACHINES:
            return
        name, machines = _MACHINES[machine]
        if self._machine and self._machine not in machines:
            raise ConfigError(
                f"--tool: {file}: is for {name}, but {self._shell.name} is {self._machine}"
            )


def _files(tool: str | None) -> list[str]:
    """Returns the files that `--tool` names.

    Raises:
        ConfigError: It does not exist.
    """
    if tool is None or tool.startswith(ON_DEVICE):
        return [tool] if tool else []
    path = Path(tool)
    if path.is_dir():
        return sorted(str(file) for file in path.iterdir() if file.is_file())
    if not path.is_file():
        raise ConfigError(f"--tool: {tool}: does not exist; on the device it is {ON_DEVICE}PATH")
    return [tool]


def little_endian(tensor: npt.NDArray[Any]) -> bytes:
    """Returns a tensor's bytes as golden files have them, in C order."""
    return tensor.astype(tensor.dtype.newbyteorder("<"), copy=False).tobytes()
