"""Python processes that talk to this one through two pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

from mnv4_mobile.errors import MobileError

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_SERVE = "from mnv4_mobile.processes import serve; serve()"


def start(
    code: str, *arguments: str, threads: int, log: IO[bytes] | None = None
) -> tuple[subprocess.Popen[bytes], Connection, Connection]:
    """Starts a Python process that communicates through two pipes.

    Args:
        code: The code it runs; its last two arguments are the pipes to read from and to write to.
        arguments: The arguments before the pipes.
        threads: Number of threads of the numerical libraries in it.
        log: Receives what it prints; None prints it where this process prints.

    Returns:
        The process, the pipe to it and the pipe from it.
    """
    child_in, parent_out = os.pipe()
    parent_in, child_out = os.pipe()
    process = subprocess.Popen(
        # -P: don't import from the current folder
        [sys.executable, "-P", "-c", code, *arguments, str(child_in), str(child_out)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=(child_in, child_out),
        env=os.environ | dict.fromkeys(_THREADS, str(threads)),
    )
    os.close(child_in)
    os.close(child_out)
    return process, Connection(parent_out), Connection(parent_in)


def read_isolated(reader: str, path: Path, kind: str, error: type[MobileError]) -> Any:
    """Returns what a function reads from a file, in a process of its own.

    Libraries in native code may end their process at a damaged file.

    Args:
        reader: The function's module and name: `package.module:function`. It takes the path, and
            returns what can be pickled.
        path: The file or folder.
        kind: What it should be, with an article: `a Core AI asset`.
        error: The type of error to raise if the process ends without an answer.

    Raises:
        MobileError: The one that the function raised, or one of the type `error`.
    """
    with Path(os.devnull).open("wb") as nowhere:  # what a library prints while it crashes
        process, out, answers = start(_SERVE, reader, str(path), threads=1, log=nowhere)
        with out, answers:
            try:
                found = answers.recv()
            except EOFError:
                code = process.wait()
                found = error(f"{path}: not {kind}: the process that reads it ended with {code}")
            finally:
                process.kill()
                process.wait()
    if isinstance(found, MobileError):
        raise found
    return found


def serve() -> None:
    """Runs in the process that reads: sends what the function returns, or its error."""
    reader, path, _, write = sys.argv[1:]
    module, _, name = reader.partition(":")
    with Connection(int(write)) as answers:
        try:
            answers.send(getattr(import_module(module), name)(Path(path)))
        except MobileError as error:
            answers.send(error)
