"""`mnv4 sweep`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from mnv4_mobile.cli.measured import RunName, StorePath, perform_and_show
from mnv4_mobile.cli.show import Json, Quiet, Verbose, split


def sweep(
    file: Annotated[
        str, typer.Argument(metavar="SWEEP", help="A shipped sweep (quick, paper) or a YAML file.")
    ],
    device: Annotated[
        list[str],
        typer.Option("-d", "--device", help="Instead of the sweep's devices.", metavar="D"),
    ] = [],  # noqa: B006 - typer makes a new list for every call
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for bundles that are built.")
    ] = Path("out"),
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace bundles in --out made of other ingredients."),
    ] = False,
    run: RunName = None,
    store: StorePath = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measures bundles x devices x threads x units; resumes a run by its name."""
    from mnv4_mobile.measuring.perform import perform
    from mnv4_mobile.measuring.sweep import SweepDevice, load_sweep
    from mnv4_mobile.records import replace

    found = load_sweep(file)
    if device:
        found = replace(found, devices=tuple(SweepDevice(device=name) for name in split(device)))
    work = partial(perform, found, out=out, force=force)
    perform_and_show(work, found.name, run, store, as_json, quiet, verbose)
