"""A kind of hostile input, and what several kinds use."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from mnv4_mobile.errors import MobileError
from tests.hostile.promise import CPU_S, Files

ROOT = Path(__file__).parents[3]
BUNDLES = "MNV4_HOSTILE_BUNDLES"
"""The environment variable with the folder of the demo bundles, one for each target."""


@dataclass(frozen=True)
class Kind:
    """A kind of input."""

    good: Callable[[], Files]
    """Returns an input that is accepted."""
    make: Callable[[Random], Files]
    """Returns a hostile input."""
    call: Callable[[Path, Path], None]
    """Reads the input in a folder; what it writes goes to a second folder."""
    target: str | None = None
    """The target whose demo bundle and toolchain the kind needs."""
    cpu_s: float = CPU_S
    """The CPU time that the call may take."""


def command(*words: object) -> None:
    """Runs the command in this process.

    Raises:
        MobileError: As the command.
    """
    from mnv4_mobile.cli.show import end_json

    try:
        click_app().main(list(map(str, words)), "mnv4", standalone_mode=False)
    except MobileError as error:
        end_json(error)
        raise
    end_json(None)


@functools.cache
def click_app() -> Any:
    from typer.main import get_command

    from mnv4_mobile.cli import app

    return get_command(app)


def each(*calls: Callable[[], object]) -> None:
    """Makes all calls, and raises the error of the first one that was refused."""
    refused = None
    for call in calls:
        try:
            call()
        except MobileError as error:
            print(f"error: {error}")
            refused = refused or error
    if refused is not None:
        raise refused
