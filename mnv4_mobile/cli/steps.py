"""Progress on stderr: a live display on a terminal, one line for each finished step elsewhere."""

from __future__ import annotations

import math
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from mnv4_mobile.cli.show import ESCAPED
from mnv4_mobile.progress import Progress
from mnv4_mobile.text import printable, printable_message


@dataclass(eq=False)
class Count:
    """Units of work: how many are finished, and how long the others will take."""

    total: int
    unit: str
    begin: float = field(default_factory=time.monotonic)
    done: int = 0
    last: float = 0.0
    """When the last finished unit ended."""

    def advance(self, done: int, now: float) -> None:
        """Counts finished units."""
        self.done = min(self.done + done, self.total)
        self.last = now

    def seconds_left(self, now: float) -> float | None:
        """Returns an estimate from the finished units, or None if they allow none.

        It counts down to the next unit's end and waits there if that unit takes longer.
        """
        if not self.done:
            return None
        each = (self.last - self.begin) / self.done
        rest = self.total - self.done
        left = max(each * rest - (now - self.last), each * (rest - 1))
        return left if left > 0 else None

    def text(self, now: float) -> str:
        """Returns "7 of 18 bundles, about 2 min left"."""
        text = f"{self.done} of {self.total} {self.unit}"
        left = self.seconds_left(now)
        return text if left is None else f"{text}, about {_duration(left)} left"


def _duration(seconds: float) -> str:
    if seconds <= 59:
        return f"{math.ceil(seconds)} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


class Steps(Progress):
    """Shows running steps and counts while they change, and finished steps as lines.

    Args:
        console: Where to print.
        quiet: Whether only `ask` is shown.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console, self._quiet = console, quiet
        self._running: dict[str, tuple[str, float]] = {}
        self._counts: list[Count] = []
        self._printed: tuple[Count, int] | None = None
        self._notes: set[str] = set()
        self._spinner = Spinner("dots")
        self._lock = threading.RLock()
        self._interrupted = False
        moving = console.is_terminal and not quiet
        self._live = Live(
            console=console,
            get_renderable=self._render,
            transient=True,
            auto_refresh=moving,
            redirect_stdout=moving,
            redirect_stderr=moving,
        )

    def __enter__(self) -> Steps:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Steps that still run have failed.
        self._running.clear()
        self._counts.clear()
        self._live.stop()

    def step(self, text: str, worker: str = "") -> None:
        """See `Progress.step`."""
        with self._lock:
            self.end(worker)
            self._running[worker] = text, time.monotonic()
        self.stop_if_interrupted()

    def update(self, text: str, worker: str = "") -> None:
        """See `Progress.update`."""
        with self._lock:
            _, begin = self._running[worker]
            self._running[worker] = text, begin
        self.stop_if_interrupted()

    def end(self, worker: str = "") -> None:
        """See `Progress.end`."""
        with self._lock:
            if worker not in self._running:
                return
            text, begin = self._running.pop(worker)
            now = time.monotonic()
            self._print(
                Text.assemble(printable(text), (f" {now - begin:.1f} s{self._news(now)}", "dim"))
            )

    @contextmanager
    def count(self, total: int, unit: str) -> Iterator[None]:
        """See `Progress.count`; a count of one is not shown."""
        count = Count(total, unit)
        self._counts.append(count)
        try:
            yield
        finally:
            if count in self._counts:
                self._counts.remove(count)

    def advance(self, done: int = 1) -> None:
        """See `Progress.advance`."""
        with self._lock:
            if self._counts:
                self._counts[-1].advance(done, time.monotonic())

    def note(self, text: str) -> None:
        """See `Progress.note`."""
        with self._lock:
            if text not in self._notes:
                self._notes.add(text)
                self._print(Text(printable_message(f"note: {text}")))

    def ask(self, text: str) -> None:
        """See `Progress.ask`."""
        with self._lock:
            self._console.print(Text(text), soft_wrap=True)

    def interrupt(self, *_: object) -> None:
        """Handles Ctrl-C or SIGTERM and remembers it: some toolchains swallow the exception."""
        self._interrupted = True
        raise KeyboardInterrupt

    def stop_if_interrupted(self) -> None:
        """Raises KeyboardInterrupt (again) after Ctrl-C or SIGTERM."""
        if self._interrupted:
            raise KeyboardInterrupt

    def _print(self, line: Text) -> None:
        if not self._quiet:
            self._console.print(line, soft_wrap=True)

    def _news(self, now: float) -> str:
        """Returns the outermost count, if it has changed since it was last printed."""
        if not self._counts or self._counts[0].total == 1:
            return ""
        outermost = self._counts[0]
        state = outermost, outermost.done
        if not outermost.done or state == self._printed:
            return ""
        self._printed = state
        return f" ({outermost.text(now)})"

    def _render(self) -> Group:
        """Renders what runs; takes no lock, as the display's thread holds one of its own."""
        # Not as markup: `host:computer:` is not an emoji, and a folder may have brackets.
        running = " | ".join(text for text, _ in list(self._running.values()))
        if not running or self._quiet:
            return Group()
        now = time.monotonic()
        self._spinner.update(text=Text(printable(running)))
        counts = [count for count in list(self._counts) if count.total > 1]
        return Group(self._spinner, *(Text(f"  {count.text(now)}", "dim") for count in counts))


@contextmanager
def steps(verbose: bool, quiet: bool = False) -> Iterator[Steps]:
    """Shows progress on stderr, and hides the toolchains' own output unless it is asked for.

    The toolchains print from Python and from C++; hence file descriptors are redirected.

    Args:
        verbose: Whether to show what toolchains print.
        quiet: Whether to hide progress and notes.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    stdout, stderr = os.dup(1), os.dup(2)
    with (
        tempfile.TemporaryFile() as log,
        os.fdopen(os.dup(stderr), "w", errors=ESCAPED) as terminal,
    ):
        shown = Steps(Console(file=terminal, stderr=False), quiet=quiet)
        if not verbose:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        handlers = {n: signal.signal(n, shown.interrupt) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            with shown:
                yield shown
                shown.stop_if_interrupted()
                shown.end()
        except BaseException:
            shown.stop_if_interrupted()
            raise
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(stdout, 1)
            os.dup2(stderr, 2)
            os.close(stdout)
            os.close(stderr)
