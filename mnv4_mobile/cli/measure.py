"""`mnv4 measure`."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Literal

import typer

from mnv4_mobile.cli import complete
from mnv4_mobile.cli.measured import RunName, StorePath, perform_and_show
from mnv4_mobile.cli.show import Json, Quiet, UnitNames, Verbose, split

_Option = typer.Option


def measure(
    bundles: Annotated[
        list[str],
        typer.Argument(
            metavar="BUNDLE...",
            autocompletion=complete.bundles,
            help="Bundles: their folders, or the artifacts in them. A .pte, .tflite or .mlpackage "
            "from elsewhere is measured as a baseline.",
        ),
    ],
    device: Annotated[
        list[str],
        _Option(
            "-d",
            "--device",
            help="KIND or KIND:ADDRESS (see mnv4 devices). Repeat, or separate by commas.",
            metavar="D",
            autocompletion=complete.devices,
        ),
    ] = ["host"],  # noqa: B006 - typer makes a new list for every call
    plan: Annotated[
        Literal["quick", "paper", "mlperf"], _Option(help="Defaults for the options below.")
    ] = "quick",
    threads: Annotated[
        list[str],
        _Option(help="Number of runtime threads. Repeat, or separate by commas.", metavar="N"),
    ] = ["1"],  # noqa: B006
    warmup: Annotated[int | None, _Option(help="Number of runs before the timed ones.")] = None,
    runs: Annotated[int | None, _Option(help="Smallest number of timed runs.")] = None,
    seconds: Annotated[float | None, _Option(help="Shortest time of timed runs.")] = None,
    repeats: Annotated[
        int | None, _Option(help="Number of sessions, each in a new process.")
    ] = None,
    cooldown: Annotated[float | None, _Option(help="Seconds between sessions.")] = None,
    max_thermal: Annotated[
        str | None,
        _Option(
            help="Warmest status at which a session begins: nominal, fair, serious or critical."
        ),
    ] = None,
    affinity: Annotated[
        str | None, _Option(help="Cores to run on: none (any), fastest, or numbers as in 4,5.")
    ] = None,
    unit: UnitNames = [],  # noqa: B006
    tool: Annotated[
        str | None, _Option(help="Program that runs artifacts on the device.", metavar="PATH")
    ] = None,
    run: RunName = None,
    store: StorePath = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measures the latency of bundles on devices, after checking their output there."""
    from mnv4_mobile.errors import ConfigError
    from mnv4_mobile.measuring import perform
    from mnv4_mobile.measuring.plan import preset
    from mnv4_mobile.records import show
    from mnv4_mobile.units import read_units

    counts = split("--threads", threads)
    if not all(re.fullmatch("[0-9]{1,9}", count) for count in counts):
        raise ConfigError(f"--threads: found {show(', '.join(counts))}, must be whole numbers")
    given = {
        "warmup": warmup,
        "runs": runs,
        "seconds": seconds,
        "repeats": repeats,
        "cooldown_s": cooldown,
        "max_thermal": max_thermal,
        "affinity": affinity,
    }
    values = {name: value for name, value in given.items() if value is not None}
    work = partial(
        perform.measure,
        bundles,
        device=split("--device", device),
        plan=preset(plan).with_values(values),
        threads=[int(count) for count in counts],
        units=read_units(split("--unit", unit)),
        tool=tool,
    )
    perform_and_show(work, "measure", run, store, as_json, quiet, verbose)
