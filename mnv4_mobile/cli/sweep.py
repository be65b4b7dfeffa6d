"""`mnv4 sweep`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from mnv4_mobile import limits
from mnv4_mobile.cli import complete
from mnv4_mobile.cli.measured import RunName, StorePath, perform_and_show
from mnv4_mobile.cli.show import Json, NoSizeLimits, Quiet, Verbose, split


def sweep(
    file: Annotated[
        str,
        typer.Argument(
            metavar="SWEEP",
            help="A shipped sweep (quick, paper) or a YAML file.",
            autocompletion=complete.sweeps,
        ),
    ],
    device: Annotated[
        list[str],
        typer.Option(
            "-d",
            "--device",
            help="Measure on this device, not on those of the sweep. Repeat, or separate by "
            "commas.",
            metavar="D",
            autocompletion=complete.devices,
        ),
    ] = [],  # noqa: B006 - typer makes a new list for every call
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for the bundles that the sweep builds.")
    ] = Path("out"),
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Replace bundles in --out that are made of other ingredients."
        ),
    ] = False,
    run: RunName = None,
    store: StorePath = None,
    no_size_limits: NoSizeLimits = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Builds and measures what a sweep lists; resumes a run by its name."""
    limits.lift(no_size_limits)
    from mnv4_mobile.measuring.perform import perform
    from mnv4_mobile.measuring.sweep import SweepDevice, load_sweep
    from mnv4_mobile.records import replace

    found = load_sweep(file)
    if device:
        found = replace(
            found, devices=tuple(SweepDevice(device=name) for name in split("--device", device))
        )
    work = partial(perform, found, out=out, force=force)
    perform_and_show(work, found.name, run, store, as_json, quiet, verbose)
