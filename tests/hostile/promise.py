"""The one promise about hostile input, and the process that holds a call to it.

A call with hostile input succeeds or raises a `MobileError` (a server answers 4xx), takes at most
its kind's `cpu_s` of CPU time and `MEMORY_MB` more memory than before, and leaves nothing behind:
neither temporary files nor processes.

`Guard` starts one process that imports what the calls need, and forks it for every input. An input
that breaks the promise, or crashes Python, ends its own fork, and its figures do not depend on the
inputs before it. Linux only: memory is read from /proc.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import importlib
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from mnv4_mobile.cli.show import ESCAPED, print_text
from mnv4_mobile.errors import MobileError, disk_error

CPU_S = 2.0
"""CPU time of one call and of what it starts, for most kinds. Unlike wall time, it hardly depends
on the load."""
MEMORY_MB = 500
WALL_S = 30.0
"""When a call that computes nothing counts as hung."""
_ADDRESSES = 3 << 30
"""Bytes of address space that a call may add, so that a breach cannot take the machine's memory."""


@dataclass(frozen=True)
class Link:
    """A symbolic link among the files of an input."""

    target: str


@dataclass(frozen=True)
class Fifo:
    """A named pipe among the files of an input."""


Files = dict[str, "bytes | Link | Fifo"]
"""An input: the files of a folder by their paths in it."""


class BrokenError(Exception):
    """What a call did besides raising an error of another kind, and should not have done."""


@dataclass(frozen=True)
class Outcome:
    """What became of one input."""

    kept: bool
    """Whether the promise was kept."""
    what: str
    """`accepted`, the message of the refusal, or how the promise was broken."""


class Guard:
    """A process that tries inputs one after another.

    Args:
        module: The module with the table `KINDS`.
    """

    def __init__(self, module: str = "tests.hostile.kinds") -> None:
        self._warm: set[str] = set()
        self._folder = tempfile.TemporaryDirectory(prefix="mnv4-hostile-")
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, self._folder.name, module), daemon=True
        )
        self._process.start()
        theirs.close()

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.close()
        self._process.join(10)
        self._process.kill()
        self._folder.cleanup()

    def warm_up(self, kind: str) -> None:
        """Makes the call of a kind with good input in the process itself, once, for its imports."""
        if kind in self._warm:
            return
        self._ours.send((kind, None))
        if found := self._ours.recv():
            raise AssertionError(f"the good input of {kind} fails: {found}")
        self._warm.add(kind)

    def attempt(self, kind: str, files: Files) -> Outcome:
        """Makes the call of a kind with an input."""
        self.warm_up(kind)
        self._ours.send((kind, files))
        outcome: Outcome = self._ours.recv()
        return outcome


def write(files: Mapping[str, bytes | Link | Fifo], folder: Path) -> None:
    """Writes an input's files into a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Link):
            path.symlink_to(content.target)
        elif isinstance(content, Fifo):
            os.mkfifo(path)
        else:
            path.write_bytes(content)


def _serve(connection: Any, scratch: str, module: str) -> None:
    """Forks for every input that comes through the connection, until it is closed."""
    table = importlib.import_module(module).KINDS
    sys.stdin = open(os.devnull)  # noqa: SIM115
    sys.stdout.reconfigure(errors=ESCAPED)  # type: ignore[union-attr] # as the command does
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Orphans of a fork become children of this process, so that none goes unseen.
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    folder = Path(scratch)
    os.environ["TMPDIR"] = str(folder / "tmp")
    os.environ["MNV4_CACHE"] = str(folder / "cache")
    os.environ["MNV4_STORE"] = str(folder / "out" / "mnv4.sqlite")
    tempfile.tempdir = None
    while True:
        try:
            kind, files = connection.recv()
        except EOFError:
            return
        if files is None:
            connection.send(_warm(table[kind], folder))
        else:
            connection.send(_tried(table[kind].call, files, folder, table[kind].cpu_s))


def _warm(kind: Any, folder: Path) -> str:
    """Makes a call with good input; returns what went wrong."""
    _prepare(folder, kind.good())
    try:
        with _Quiet(folder):
            kind.call(folder / "in", folder / "out")
    except BaseException:  # noqa: BLE001 - the other process reports it
        return traceback.format_exc()
    gc.collect()
    gc.freeze()
    return ""


def _prepare(folder: Path, files: Files) -> None:
    for name in ("in", "tmp", "out", "cache"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()
    write(files, folder / "in")
    os.chdir(folder / "out")


class _Quiet:
    """Sends stdout to nowhere, and stderr into a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._kept = [os.dup(1), os.dup(2)]
        with open(self._folder / "said", "wb") as said, open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(said.fileno(), 2)

    def __exit__(self, *_: object) -> None:
        for number, kept in enumerate(self._kept, 1):
            os.dup2(kept, number)
            os.close(kept)


def _tried(call: Callable[[Path, Path], None], files: Files, folder: Path, cpu_s: float) -> Outcome:
    """Returns what becomes of a call in a fork of this process."""
    _prepare(folder, files)
    before = _names(folder / "in")
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        _attempt(call, folder, theirs)
    os.close(theirs)
    usage, status, slow = _wait(child, cpu_s)
    left = _left(folder, before)  # first, as what is left may hold the pipe
    with os.fdopen(ours, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    cpu = usage.ru_utime + usage.ru_stime
    if slow:
        return Outcome(False, f"{slow}: {_last(folder)}")
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return Outcome(False, f"died of {name}: {_last(folder)}")
    verdict, _, what = said.partition("\n")
    if verdict == "broken":
        return Outcome(False, what)
    if cpu > cpu_s:
        return Outcome(False, f"took {cpu:.1f} s of CPU time, then: {what}")
    if left:
        return Outcome(False, f"left {left}; {what}")
    if verdict != "kept":
        return Outcome(False, f"ended the process with {status}: {_last(folder)}")
    return Outcome(True, what)


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def _wait(child: int, cpu_s: float) -> tuple[resource.struct_rusage, int, str]:
    """Waits for a fork; ends it if it takes too long, and says so."""
    import psutil

    began, pause, slow = time.monotonic(), 0.001, ""
    while True:
        found, status, usage = os.wait4(child, os.WNOHANG)
        if found:
            return usage, status, slow
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
        if slow or pause < 0.1:
            continue
        used = psutil.Process(child).cpu_times()
        if used.user + used.system > cpu_s:
            slow = f"takes more than {cpu_s:g} s of CPU time"
        elif time.monotonic() - began > WALL_S:
            slow = f"takes more than {WALL_S:g} s"
        if slow:
            os.kill(child, signal.SIGABRT)  # faulthandler writes where it is


def _left(folder: Path, before: set[str]) -> str:
    """Returns what a call has left behind, and removes it."""
    left = [f"tmp/{name}" for name in sorted(_names(folder / "tmp"))]
    left += [f"in/{name}" for name in sorted(_names(folder / "in") - before)]
    left += [f"out/{name}" for name in sorted(_names(folder / "out")) if name.startswith(".")]
    processes = 0
    while True:
        try:
            found, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if not found:
            import psutil

            for child in psutil.Process().children(recursive=True):
                child.kill()
                processes += 1
            os.waitpid(-1, 0)
    if processes:
        left.append(f"{processes} processes")
    return ", ".join(left)


def _last(folder: Path) -> str:
    """Returns the place in the code that a fork's last words name."""
    lines = (folder / "said").read_text(errors="replace").splitlines()
    places = [line.strip() for line in lines if line.strip().startswith("File")]
    ours = [place for place in places if "mnv4_" in place]
    return " <- ".join([*places[:1], *ours[:2]]) or " ".join(lines[-1:])


def _attempt(call: Callable[[Path, Path], None], folder: Path, pipe: int) -> None:
    """Makes a call, writes what became of it into a pipe, and ends this process."""
    verdict = "broken"
    try:
        os.setpgid(0, 0)
        _Quiet(folder).__enter__()
        faulthandler.enable(2)
        resident = _memory("VmRSS")
        limit = _memory("VmSize") + _ADDRESSES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
        verdict, what = _judged(call, folder)
        took = (_memory("VmHWM") - resident) >> 20
        if verdict == "kept" and took > MEMORY_MB:
            verdict, what = "broken", f"took {took} MB, then: {what}"
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 - the other process reports it
        verdict, what = "broken", traceback.format_exc()
    try:
        os.write(pipe, f"{verdict}\n{what}"[:60_000].encode(errors="replace"))
    finally:
        os._exit(0)


def _judged(call: Callable[[Path, Path], None], folder: Path) -> tuple[str, str]:
    try:
        call(folder / "in", folder / "out")
    except Exception as error:  # noqa: BLE001 - the question is which one
        if _of_memory(error):
            return "broken", f"memory ran out: {_told(error)}"
        refusal = isinstance(error, MobileError | typer.TyperException)
        if refusal or (isinstance(error, OSError) and disk_error(error)):
            print_text(f"error: {error}", err=True)  # as the command does
            return "kept", f"refused: {error}"
        return "broken", _told(error)
    return "kept", "accepted"


def _of_memory(error: BaseException | None) -> bool:
    """Returns whether an error, or one that led to it, is that memory ran out."""
    while error is not None:
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _told(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "mnv4_" in f.filename]
    places = [f"{Path(f.filename).name}:{f.lineno}" for f in (*ours[-3:], *frames[-1:])]
    return f"{type(error).__name__}: {str(error)[:300]} ({' > '.join(places)})"


def _memory(field: str) -> int:
    """Returns a field of this process's memory, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) << 10
    raise AssertionError(field)
