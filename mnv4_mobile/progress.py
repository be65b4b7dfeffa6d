"""The interface through which long work reports how it goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Hears how work goes, from several threads; this class ignores it, subclasses show it."""

    def step(self, text: str, worker: str = "") -> None:
        """Begins a step that takes time, and ends the worker's previous one."""

    def update(self, text: str, worker: str = "") -> None:
        """Replaces the text of the worker's running step, to say how far it is."""

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
        """Says something that the user should know; equal notes are shown once."""

    def ask(self, text: str) -> None:
        """Says what the user has to do now; shown even with --quiet."""


SILENT = Progress()
"""Shows nothing."""
