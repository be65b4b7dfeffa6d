"""What long work tells about itself."""

from __future__ import annotations


class Progress:
    """Is told how a build goes; this one says nothing."""

    def step(self, text: str) -> None:
        """Something begins that takes time."""

    def note(self, text: str) -> None:
        """Something that the user should know."""
