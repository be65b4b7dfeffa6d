"""`python -m mnv4_executorch.runner`: compiles the runner for this machine or a board."""

from __future__ import annotations

import argparse
import platform
import sys
from pathlib import Path

from mnv4_executorch.runner import ARCHITECTURES, PROGRAM, build
from mnv4_mobile.cli.steps import steps
from mnv4_mobile.errors import MobileError, disk_error

_ABOUT = "Compiles the C++ runner for .pte, for this machine or a Linux board."


def main() -> None:
    """Runs the command."""
    here = platform.machine()
    parser = argparse.ArgumentParser(prog="python -m mnv4_executorch.runner", description=_ABOUT)
    parser.add_argument(
        "--arch",
        choices=ARCHITECTURES,
        default=here if here in ARCHITECTURES else "aarch64",
        help="architecture of the device; default: %(default)s",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path(PROGRAM),
        help="folder to create; default: ./%(default)s",
    )
    arguments = parser.parse_args()
    try:
        with steps(verbose=False) as progress:
            program = build(arguments.arch, arguments.out, progress)
    except (MobileError, OSError) as error:
        told = error if isinstance(error, MobileError) else disk_error(error)
        if told is None:
            raise
        print(f"error: {told}", file=sys.stderr)
        sys.exit(told.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    print(f"{program}\nCopy the whole folder to the device: the runner needs its libraries.")


main()
