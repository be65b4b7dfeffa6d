"""What all verbs print with: tables and JSON to stdout, progress to stderr."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.progress import Progress
from mnv4_mobile.records import plain

if TYPE_CHECKING:
    from mnv4_mobile.bundle.parity import Parity
    from mnv4_mobile.units import Unit

    Parities = Mapping[Unit, Mapping[str, Parity]]

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Sets = Annotated[
    list[str],
    typer.Option(
        "--set",
        help="An option of one target (mnv4 targets NAME); repeat. One that takes a list takes A,B "
        "or all, and each value makes a bundle.",
        metavar="TARGET.OPTION=VALUE",
    ),
]
UnitNames = Annotated[
    list[str],
    typer.Option(
        "--unit",
        help="What artifacts run on: cpu, gpu or npu; repeat, or separate by commas.",
        metavar="UNIT",
    ),
]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show what the toolchains print.")]


def print_json(document: Mapping[str, object]) -> None:
    """Prints one JSON object with the version of its format.

    Args:
        document: Its other keys; records and dataclasses in the values become objects.
    """
    whole = {"schema": 1, **plain(document)}
    print(json.dumps(whole, indent=1, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Prints a table; columns whose name begins with `>` are right-aligned."""
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.lstrip(">"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    # Not cut to 80 columns where nobody looks: a pipe or a file.
    width = None if sys.stdout.isatty() else 200
    Console(width=width, markup=False, emoji=False).print(table)


def split(values: Sequence[str]) -> list[str]:
    """Values of an option that may be repeated or take commas."""
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def size_of(text: str) -> tuple[int, int]:
    """(height, width) of an `--input-size`.

    Raises:
        ConfigError: Saying what it must be.
    """
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isascii() and part.isdecimal() for part in parts):
        raise ConfigError(f"--input-size: found {text!r}, must be H or HxW, as in 224 or 256x320")
    return int(parts[0]), int(parts[-1])


class Steps(Progress):
    """Shows what is being done: running steps with a spinner, the ended ones with seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("")
        self._running: dict[str, tuple[str, float]] = {}
        self._lock = threading.RLock()
        self._interrupted = False

    def step(self, text: str, worker: str = "") -> None:
        """Ends the worker's running step, and begins the next one."""
        with self._lock:
            self.end(worker)
            self._running[worker] = text, time.monotonic()
            self._show()
        self.stop_if_interrupted()

    def update(self, text: str, worker: str = "") -> None:
        """Another text for the worker's running step."""
        with self._lock:
            _, begin = self._running[worker]
            self._running[worker] = text, begin
            self._show()
        self.stop_if_interrupted()

    def note(self, text: str) -> None:
        """Prints a line."""
        with self._lock:
            self._console.print(Text(f"note: {text}"), soft_wrap=True)

    def end(self, worker: str = "") -> None:
        """Ends the worker's running step."""
        with self._lock:
            if worker not in self._running:
                return
            text, begin = self._running.pop(worker)
            self._show()
            seconds = time.monotonic() - begin
            self._console.print(Text.assemble(text, (f" {seconds:.1f} s", "dim")))

    def _show(self) -> None:
        if self._running:
            # Never markup: `host:computer:` is no emoji, and a folder may have brackets.
            self._status.update(Text(" | ".join(text for text, _ in self._running.values())))
            self._status.start()
        else:
            self._status.stop()

    def interrupt(self, *_: object) -> None:
        """Handles Ctrl-C; remembers it, as there are toolchains that swallow the exception."""
        self._interrupted = True
        raise KeyboardInterrupt

    def stop_if_interrupted(self) -> None:
        """Raises KeyboardInterrupt (again) after Ctrl-C."""
        if self._interrupted:
            raise KeyboardInterrupt

    def drop(self) -> None:
        """Forgets the running steps, which failed."""
        with self._lock:
            self._status.stop()
            self._running.clear()


@contextmanager
def steps(verbose: bool) -> Iterator[Steps]:
    """Progress on stderr, with the toolchains' own chatter hidden unless asked for.

    The toolchains print from Python and from C++; hence file descriptors are redirected.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    stdout, stderr = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile() as log, os.fdopen(os.dup(stderr), "w") as terminal:
        shown = Steps(Console(file=terminal, stderr=False))
        if not verbose:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        handler = signal.signal(signal.SIGINT, shown.interrupt)
        try:
            yield shown
            shown.stop_if_interrupted()
            shown.end()
        except BaseException:
            shown.drop()
            shown.stop_if_interrupted()
            raise
        finally:
            signal.signal(signal.SIGINT, handler)
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(stdout, 1)
            os.dup2(stderr, 2)
            os.close(stdout)
            os.close(stderr)


def option_text(value: object) -> str:
    """An option's value, as `--set` takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def megabytes(size: int) -> str:
    """Bytes in MB of 10^6."""
    return f"{size / 1e6:.2f} MB"


def decibels(parity: Parities) -> str:
    """Returns the SQNR of every output, and where there are several units their names."""
    return _by_unit(parity, lambda p, name: f"{name} {p.sqnr_db:.1f}") or "not verified"


def agreement(parity: Parities) -> str:
    """Returns the top-1 agreement of the outputs that have classes."""
    found = _by_unit(
        parity, lambda p, _: None if p.top1_agreement is None else f"{p.top1_agreement:.1%}"
    )
    return found or "-"


def _by_unit(parity: Parities, shown: Callable[[Parity, str], str | None]) -> str:
    found = []
    for unit, outputs in parity.items():
        texts = [text for name, p in outputs.items() if (text := shown(p, name))]
        found.append((f"{unit}: " if len(parity) > 1 and texts else "") + ", ".join(texts))
    return "; ".join(filter(None, found))
