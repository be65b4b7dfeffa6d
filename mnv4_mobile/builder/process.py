"""Tasks of builds in processes of their own.

Toolchains leak, swallow Ctrl-C, crash and run out of memory; a process can be killed and gives its
memory back. Parent and builder talk through two pipes in `multiprocessing`'s framing: tasks in;
steps, updates, notes and what became of each cell out.

A builder takes seconds to import its toolchains, so within `kept_warm` it waits for another task.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from queue import SimpleQueue

import psutil

from mnv4_mobile.builder.pipeline import Built, Task, run
from mnv4_mobile.bundle.worker import start
from mnv4_mobile.errors import CrashError, MobileError, user_error
from mnv4_mobile.progress import Progress

_MAX_IDLE_BYTES = 2 * 10**9  # all toolchains take 1.2 GB together; the rest has leaked


class _Builder:
    """The parent's side of a builder."""

    def __init__(self) -> None:
        code = "from mnv4_mobile.builder.process import serve; serve()"
        self._process, self._requests, self._answers = start(code, threads=1)
        self.name = str(self._process.pid)
        self.targets: set[str] = set()
        """The targets whose toolchains it has imported."""

    def run(self, task: Task, built: list[Built], progress: Progress) -> MobileError | None:
        """Runs a task.

        Args:
            task: What to build.
            built: Gets what became of each cell, as soon as it is known.
            progress: Receives steps, counts and notes.

        Returns:
            What all cells need and failed, if so.

        Raises:
            CrashError: The process ended.
        """
        self.targets |= {cell.target for cell in task.cells}
        try:
            self._requests.send((os.getcwd(), task))
            while len(built) < len(task.cells):
                match self._answers.recv():
                    case ("step", text):
                        progress.step(text, self.name)
                    case ("update", text):
                        progress.update(text, self.name)
                    case ("note", text):
                        progress.note(text)
                    case Built() as one:
                        built.append(one)
                        progress.advance()
                    case MobileError() as failed:
                        return failed
        except (EOFError, OSError):
            ending = _ending(self._process.wait())
            raise CrashError(f"its process ended with {ending}") from None
        return None

    def can_go_on(self) -> bool:
        """Whether it lives and has not grown too much."""
        if self._process.poll() is not None:
            return False
        size: int = psutil.Process(self._process.pid).memory_info().rss
        return size < _MAX_IDLE_BYTES

    def kill(self) -> None:
        """Ends it, which fails what it was building."""
        self._process.kill()

    def close(self) -> None:
        """Ends it, and gives its memory back."""
        with self._requests, self._answers:
            self._process.kill()
            self._process.wait()


_lock = threading.Lock()
_running: set[_Builder] = set()
_idle: list[_Builder] = []
_keeping = 0


@contextmanager
def kept_warm() -> Iterator[None]:
    """Within it, builders that have run a task wait for the next one; they end with it."""
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


def build_apart(task: Task, progress: Progress | None = None) -> list[Built]:
    """Runs a task in a process of its own, with one thread: sums then have the same last bits.

    Args:
        task: What to build.
        progress: Receives steps, counts and notes.

    Returns:
        What became of every cell, in order. A process that dies fails the cells that it had not
        finished.
    """
    progress = progress or Progress()
    builder = _take(task)
    built: list[Built] = []
    whole = False
    try:
        error = builder.run(task, built, progress)
        whole = True
    except CrashError as crash:
        error = crash
    finally:
        _give_back(builder, keep=whole)
        progress.end(builder.name)
    rest = task.cells[len(built) :]
    progress.advance(len(rest))
    return built + [Built(cell=cell, path=None, error=error) for cell in rest]


def _take(task: Task) -> _Builder:
    """A builder that waits, best one that has imported what the task needs, or a new one."""
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
    """Ends all builders of this process, and fails what they were building."""
    for builder in [*_running, *_idle]:
        builder.kill()


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return f"signal {-code} ({signal.Signals(-code).name}; out of memory?)"


class _Teller(Progress):
    """Tells the parent."""

    def __init__(self, answers: Connection) -> None:
        self._answers = answers

    def step(self, text: str, worker: str = "") -> None:
        self._answers.send(("step", text))

    def update(self, text: str, worker: str = "") -> None:
        self._answers.send(("update", text))

    def note(self, text: str) -> None:
        self._answers.send(("note", text))


def serve() -> None:
    """The builder's side."""
    requests, answers = (Connection(int(argument)) for argument in sys.argv[1:])
    # The parent cleans up: what is half-written lies in a folder of the parent's.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    tasks: SimpleQueue[tuple[str, Task]] = SimpleQueue()
    threading.Thread(target=_receive, args=(requests, tasks), daemon=True).start()
    # Nearly all that imports and conversions make stays; to look for what does not, again and
    # again, takes 6 to 10 % of the time. Between cells is often enough.
    gc.disable()
    while True:
        folder, task = tasks.get()
        os.chdir(folder)
        try:
            for built in run(task, _Teller(answers)):
                answers.send(built)
                gc.collect()
        except Exception as error:  # noqa: BLE001 - whatever a toolchain raises, the parent shows it
            answers.send(user_error(error))


def _receive(requests: Connection, tasks: SimpleQueue[tuple[str, Task]]) -> None:
    """Takes tasks, and ends this process when the parent closes the pipe: nobody waits any more."""
    try:
        while True:
            tasks.put(requests.recv())
    except EOFError:
        os._exit(1)
