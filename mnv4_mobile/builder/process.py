"""A task of builds in a process of its own.

Toolchains leak, swallow Ctrl-C, crash and run out of memory; a process can be killed and gives its
memory back. Parent and builder talk through two pipes in `multiprocessing`'s framing: a task in;
steps, notes and what became of each cell out.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from multiprocessing.connection import Connection

from mnv4_mobile.builder.pipeline import Built, Task, run
from mnv4_mobile.bundle.worker import start
from mnv4_mobile.errors import CrashError, MobileError, told
from mnv4_mobile.progress import Progress

_running: set[subprocess.Popen[bytes]] = set()


def build_apart(task: Task, progress: Progress | None = None) -> list[Built]:
    """Runs a task in a process of its own, with one thread: sums then have the same last bits.

    Args:
        task: What to build.
        progress: Is told how it goes.

    Returns:
        What became of every cell, in order. A process that dies fails the cells that it had not
        finished.
    """
    progress = progress or Progress()
    code = "from mnv4_mobile.builder.process import serve; serve()"
    process, requests, answers = start(code, threads=1)
    _running.add(process)
    worker = str(process.pid)
    built: list[Built] = []
    error: MobileError | None = None
    with requests, answers:
        try:
            requests.send(task)
            while len(built) < len(task.cells) and error is None:
                match answers.recv():
                    case ("step", text):
                        progress.step(text, worker)
                    case ("update", text):
                        progress.update(text, worker)
                    case ("note", text):
                        progress.note(text)
                    case Built() as one:
                        built.append(one)
                    case MobileError() as failed:
                        error = failed
        except (EOFError, OSError):
            error = CrashError(f"its process ended with {_ending(process.wait())}")
        finally:
            process.kill()
            process.wait()
            _running.discard(process)
            progress.end(worker)
    rest = task.cells[len(built) :]
    return built + [Built(cell=cell, path=None, error=error) for cell in rest]


def end_all() -> None:
    """Ends all builders of this process, which fails what they were building."""
    for process in list(_running):
        process.kill()


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
    task: Task = requests.recv()
    threading.Thread(target=_end_with_parent, args=(requests,), daemon=True).start()
    # Nearly all that imports and conversions make stays; to look for what does not, again and
    # again, takes 6 to 10 % of the time. Between cells is often enough.
    gc.disable()
    try:
        for built in run(task, _Teller(answers)):
            answers.send(built)
            gc.collect()
    except Exception as error:  # noqa: BLE001 - whatever a toolchain raises, the parent shows it
        answers.send(told(error))


def _end_with_parent(requests: Connection) -> None:
    """Ends this process when the pipe from the parent closes, as nobody waits for it any more."""
    try:
        requests.recv()
    except EOFError:
        os._exit(1)
