"""What long work tells about itself."""

from __future__ import annotations


class Progress:
    """Is told how a build goes, from several threads; this one says nothing."""

    def step(self, text: str, worker: str = "") -> None:
        """Something begins that takes time, and ends what the worker did before."""

    def update(self, text: str, worker: str = "") -> None:
        """How far the worker's running step is: another text for it."""

    def end(self, worker: str = "") -> None:
        """The worker is done."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


SILENT = Progress()
"""For callers that want to hear nothing."""
