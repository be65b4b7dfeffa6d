"""Runs the command `mnv4`, which Ctrl-C and SIGTERM end with 130 from its first moment on.

This module imports nothing that takes time: the command's own imports take most of a second.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

_INTERRUPTED = "error: interrupted\n"
_EXIT_CODE = 130


def main() -> None:
    """Runs the command and exits."""
    # Imports swallow exceptions in some of their callbacks, and have nothing to clean up.
    _handle(_leave)
    from mnv4_mobile.cli import main as run

    try:
        _handle(signal.default_int_handler)
        run()
    except KeyboardInterrupt:  # outside of the command's own work
        sys.stderr.write(_INTERRUPTED)
        sys.exit(_EXIT_CODE)
    finally:
        _handle(signal.SIG_IGN)  # the exit code is known, and Python takes a while to end


def _handle(handler: Callable[..., Any] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _leave(*_: object) -> NoReturn:
    os.write(2, _INTERRUPTED.encode())
    os._exit(_EXIT_CODE)


if __name__ == "__main__":
    main()
