"""What `mnv4 measure` and `mnv4 sweep` have in common: a run, and the table of what it found."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnv4_mobile.cli.show import print_json, print_table
from mnv4_mobile.cli.steps import steps

if TYPE_CHECKING:
    from mnv4_mobile.measure.measurement import Measurement
    from mnv4_mobile.measure.perform import Failure
    from mnv4_mobile.measure.sweep import Sweep

RunName = Annotated[
    str | None,
    typer.Option(help="Name of the run; one that is in the store is resumed.", metavar="NAME"),
]
StorePath = Annotated[
    Path | None,
    typer.Option("--store", help="Default: $MNV4_STORE, or mnv4.sqlite.", metavar="FILE"),
]


def perform_and_show(
    sweep: Sweep,
    out: Path,
    run: str | None,
    store: Path | None,
    as_json: bool,
    verbose: bool,
    *,
    force: bool = False,
) -> None:
    """Performs a sweep, prints its table and what failed.

    Raises:
        ConfigError: A kind of device that there is not; see `perform` for the rest.
        Exit: 5 where something failed, 3 where the only failures are wrong outputs.
    """
    from mnv4_mobile.measure.device import load_kind
    from mnv4_mobile.measure.perform import new_run, perform
    from mnv4_mobile.measure.results.store import store_path

    for one in sweep.devices:  # a wrong flag is told before a wrong file
        load_kind(one.device.partition(":")[0])
    name, path = run or new_run(sweep.name), store_path(store)
    resume = f"mnv4 {shlex.join(sys.argv[1:])}" + ("" if run else f" --run {name}")
    try:
        with steps(verbose) as progress:
            found, failures = perform(
                sweep, run=name, store=path, out=out, force=force, progress=progress
            )
    except KeyboardInterrupt:
        print(f"resume with: {resume}", file=sys.stderr)
        raise
    if as_json:
        print_json(
            {
                "run": name,
                "measurements": found,
                "failures": failures,
            }
        )
    else:
        show_groups(found)
    if failures:
        _tell(failures)
        print(f"what is missing is measured by: {resume}", file=sys.stderr)
        raise typer.Exit(max(failure.exit_code for failure in failures))


def _tell(failures: Sequence[Failure]) -> None:
    for failure in failures:
        print(f"error: {failure.what}: {failure.error}", file=sys.stderr)


def show_groups(
    measurements: Sequence[Measurement], newest: Mapping[str, str] | None = None
) -> None:
    """A row for each group of sessions: their medians, and what looks unsound.

    Args:
        measurements: What was measured.
        newest: See `doubts.os_builds`.
    """
    from mnv4_mobile.measure.results.doubts import doubts_of_group
    from mnv4_mobile.measure.results.statistics import groups, typical

    columns = ["measured", "device", ">threads", ">n", ">p50 ms", ">p90 ms", ">mean ms", ">CV"]
    columns += [">first ms", ">load ms", ">peak MiB", ">golden dB", "doubts"]
    rows = []
    for group in groups(measurements):
        first = group.first
        unit = f", {first.plan.unit}" if first.plan.unit else ""
        samples, sessions = group.samples, group.sessions
        cv = typical(s.cv for s in sessions)
        rows.append(
            [
                first.artifact.name,
                first.device.id,
                f"{first.plan.threads}{unit}",
                f"{len(sessions)}",
                _number(typical(s.p50 for s in sessions), 3),
                _number(typical(s.p90 for s in sessions), 3),
                _number(typical(s.mean for s in sessions), 3),
                "-" if cv is None else f"{cv:.1%}",
                _number(typical(s.first_ms for s in samples), 2),
                _number(typical(s.load_cold_ms for s in samples), 1),
                _number(typical(s.peak_rss_mb for s in samples), 0),
                _number(typical(s.golden_sqnr_db for s in samples), 1),
                "; ".join(doubts_of_group(group.measurements, newest)),
            ]
        )
    print_table(columns, rows)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
