"""The interface through which long work reports its progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Receives progress from several threads; this class ignores it, subclasses show it."""

    def step(self, text: str, worker: str = "") -> None:
        """Begins a step that takes time, and ends the worker's previous one."""

    def update(self, text: str, worker: str = "") -> None:
        """Replaces the text of the worker's running step, to show how far it is."""

    def end(self, worker: str = "") -> None:
        """Ends the worker's running step."""

    @contextmanager
    def count(self, total: int, unit: str) -> Iterator[None]:
        """Counts finished units of work within the block: `total` "bundles", for example.

        Blocks nest; `advance` counts for the innermost one.
        """
        yield

    def advance(self, done: int = 1) -> None:
        """Counts units of work as finished, whether they succeeded or failed."""

    def note(self, text: str) -> None:
        """Shows a message for the user; equal notes are shown once."""

    def ask(self, text: str) -> None:
        """Shows what the user has to do now, even with --quiet."""


SILENT = Progress()
"""A progress that shows nothing."""
