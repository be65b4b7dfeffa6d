"""Runs the tasks of builds in separate processes, the builders.

Toolchains leak, swallow Ctrl-C, crash and run out of memory; a process can be killed and frees its
memory when it ends. Parent and builder talk through two pipes in `multiprocessing`'s framing: one
carries tasks to the builder, the other its steps, updates, notes and the result of each cell.

A builder takes seconds to import its toolchains, so within `kept_warm` it waits for another task.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from queue import SimpleQueue

import psutil

from mnv4_mobile import limits
from mnv4_mobile.builder.pipeline import Built, Task, run
from mnv4_mobile.errors import CrashError, MobileError, user_error
from mnv4_mobile.processes import start
from mnv4_mobile.progress import Progress

_MAX_IDLE_BYTES = 2 * 10**9  # all toolchains together take 1.2 GB; anything more has leaked


class _Builder:
    """The parent's side of a builder."""

    def __init__(self) -> None:
        code = "from mnv4_mobile.builder.process import serve; serve()"
        self._process, self._requests, self._answers = start(code, threads=1)
        self.name = str(self._process.pid)
        self.targets: set[str] = set()
        """The targets whose toolchains the builder has imported."""

    def run(
        self, task: Task, tell: Callable[[Built], None], progress: Progress
    ) -> MobileError | None:
        """Runs a task.

        Args:
            task: What to build.
            tell: Receives the result of each cell as soon as it is known.
            progress: Receives steps, counts and notes.

        Returns:
            The error of something that all cells need, or None.

        Raises:
            CrashError: The process ended.
        """
        self.targets |= {cell.target for cell in task.cells}
        try:
            self._requests.send((os.getcwd(), task))
            left = len(task.cells)
            while left:
                match self._answers.recv():
                    case ("step", text):
                        progress.step(text, self.name)
                    case ("update", text):
                        progress.update(text, self.name)
                    case ("note", text):
                        progress.note(text)
                    case Built() as one:
                        left -= 1
                        tell(one)
                        progress.advance()
                    case MobileError() as failed:
                        return failed
        except (EOFError, OSError):
            ending = _ending(self._process.wait())
            raise CrashError(f"its process ended with {ending}") from None
        return None

    def can_go_on(self) -> bool:
        """Returns whether the process is alive and has not grown too much."""
        if self._process.poll() is not None:
            return False
        size: int = psutil.Process(self._process.pid).memory_info().rss
        return size < _MAX_IDLE_BYTES

    def kill(self) -> None:
        """Ends the process, which fails what it was building."""
        self._process.kill()

    def close(self) -> None:
        """Ends the process and frees its memory."""
        with self._requests, self._answers:
            self._process.kill()
            self._process.wait()


_lock = threading.Lock()
_running: set[_Builder] = set()
_idle: list[_Builder] = []
_keeping = 0


@contextmanager
def kept_warm() -> Iterator[None]:
    """Lets builders that have run a task wait for the next one, until the context ends."""
    global _keeping
    with _lock:
        _keeping += 1
    try:
        yield
    finally:
        with _lock:
            _keeping -= 1
            ended = [] if _keeping else _idle.copy()
            _idle[:] = _idle[: len(_idle) - len(ended)]
        for builder in ended:
            builder.close()


def build_apart(
    task: Task, progress: Progress | None = None, tell: Callable[[Built], object] | None = None
) -> list[Built]:
    """Runs a task in a separate process with one thread, so that sums have the same last bits.

    Args:
        task: What to build.
        progress: Receives steps, counts and notes.
        tell: Receives the result of each cell as soon as it is known.

    Returns:
        The result of every cell, in order. If the process dies, the cells that it had not finished
        fail.
    """
    progress = progress or Progress()
    builder = _take(task)
    built: list[Built] = []

    def take(one: Built) -> None:
        built.append(one)
        if tell:
            tell(one)

    whole = False
    try:
        error = builder.run(task, take, progress)
        whole = True
    except CrashError as crash:
        error = crash
    finally:
        _give_back(builder, keep=whole)
        progress.end(builder.name)
    rest = task.cells[len(built) :]
    progress.advance(len(rest))
    for cell in rest:
        take(Built(cell=cell, path=None, error=error))
    return built


def _take(task: Task) -> _Builder:
    """Returns a waiting builder, preferably with the task's toolchains imported, or a new one."""
    targets = {cell.target for cell in task.cells}
    with _lock:
        _idle.sort(key=lambda builder: len(builder.targets & targets))
        builder = _idle.pop() if _idle else None
    if builder and not builder.can_go_on():
        builder.close()
        builder = None
    builder = builder or _Builder()
    _running.add(builder)
    return builder


def _give_back(builder: _Builder, *, keep: bool) -> None:
    keep = keep and builder.can_go_on()
    with _lock:
        _running.discard(builder)
        keep = keep and _keeping > 0
        if keep:
            _idle.append(builder)
    if not keep:
        builder.close()


def end_all() -> None:
    """Ends all builders of this process, which fails what they were building."""
    for builder in [*_running, *_idle]:
        builder.kill()


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return f"signal {-code} ({signal.Signals(-code).name}; out of memory?)"


class _Teller(Progress):
    """Sends progress to the parent."""

    def __init__(self, answers: Connection) -> None:
        self._answers = answers

    def step(self, text: str, worker: str = "") -> None:
        self._answers.send(("step", text))

    def update(self, text: str, worker: str = "") -> None:
        self._answers.send(("update", text))

    def note(self, text: str) -> None:
        self._answers.send(("note", text))


def serve() -> None:
    """Runs in the builder: builds tasks until the parent closes the pipe."""
    requests, answers = (Connection(int(argument)) for argument in sys.argv[1:])
    # The parent cleans up: half-written files are in a folder that it owns.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    tasks: SimpleQueue[tuple[str, Task]] = SimpleQueue()
    threading.Thread(target=_receive, args=(requests, tasks), daemon=True).start()
    # Nearly every object that imports and conversions make stays alive, and looking for garbage
    # among them takes 6 to 10 % of the time. Collecting between cells is enough.
    gc.disable()
    while True:
        folder, task = tasks.get()
        os.chdir(folder)
        limits.lift(not task.size_limits)
        try:
            for built in run(task, _Teller(answers)):
                answers.send(built)
                gc.collect()
        except Exception as error:  # noqa: BLE001 - the parent shows any error of a toolchain
            answers.send(user_error(error))


def _receive(requests: Connection, tasks: SimpleQueue[tuple[str, Task]]) -> None:
    """Receives tasks, and ends this process when the parent closes the pipe."""
    try:
        while True:
            tasks.put(requests.recv())
    except EOFError:
        os._exit(1)
