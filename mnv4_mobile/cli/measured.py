"""Options and tables of the commands that measure, show measurements and decide on them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnv4_mobile.cli import next_step
from mnv4_mobile.cli.show import error_document, print_json, print_table, print_text, show_next
from mnv4_mobile.cli.steps import steps
from mnv4_mobile.errors import MobileError, StoppedError

if TYPE_CHECKING:
    from mnv4_mobile.measuring.measurement import Measurement
    from mnv4_mobile.measuring.perform import Measured
    from mnv4_mobile.measuring.results.choose import Bounds, Choice
    from mnv4_mobile.measuring.results.doubts import Doubt
    from mnv4_mobile.measuring.results.nearest import Nearest
    from mnv4_mobile.measuring.results.record import Kept
    from mnv4_mobile.progress import Progress

RunName = Annotated[
    str | None,
    typer.Option(help="Name of the run. A run in the store is resumed.", metavar="NAME"),
]
StorePath = Annotated[
    Path | None,
    typer.Option(
        "--store",
        help="File that holds the measurements. Default: $MNV4_STORE, or mnv4.sqlite.",
        metavar="FILE",
    ),
]
MaxMs = Annotated[float | None, typer.Option(help="Highest latency.", metavar="MS", min=0)]
MaxMb = Annotated[
    float | None,
    typer.Option(help="Largest file, in MB of 10^6 bytes.", metavar="MB", min=0),
]
MinTop1 = Annotated[
    float | None,
    typer.Option(help="Lowest top-1 accuracy.", metavar="PERCENT", min=0, max=100),
]
MinAgreement = Annotated[
    float | None,
    typer.Option(
        help="Lowest share of images for which the bundle and its float parent agree.",
        metavar="PERCENT",
        min=0,
        max=100,
    ),
]


def bounds_of(
    max_ms: float | None, max_mb: float | None, min_top1: float | None, min_agreement: float | None
) -> Bounds:
    """Returns the bounds of these options, with percentages as shares of 1."""
    from mnv4_mobile.measuring.results.choose import Bounds

    def share(percent: float | None) -> float | None:
        return None if percent is None else percent / 100

    return Bounds(
        max_ms=max_ms,
        max_mb=max_mb,
        min_top1=share(min_top1),
        min_agreement=share(min_agreement),
    )


def ship_next(choice: Choice, *, hidden: bool) -> None:
    """Prints the command that ships a choice's bundle, which a store holds only by its name."""
    if choice.ship:
        name = choice.ship.name
        places = [str(place / name) for place in (Path(), Path("out")) if (place / name).is_dir()]
        show_next(choice.ship_words(next(iter(places), name)), hidden=hidden)


def recorded(path: Path, record: Kept, progress: Progress) -> MobileError | None:
    """Adds a record to a store.

    Returns:
        What to raise once the record's figures are printed, if the store does not take it.
    """
    from mnv4_mobile.measuring.results.store import Store

    try:
        with Store(path) as store:
            store.add(record)
    except MobileError as error:
        return type(error)(f"not recorded: {error}")
    progress.note(f"recorded in {path}")
    return None


def perform_and_show(
    work: Callable[..., Measured],
    name: str,
    run: str | None,
    store: Path | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Measures, and prints a table and what failed.

    Args:
        work: `measure` or `perform`, without the run, the store and the progress.
        name: What a new run is named after.
        run: The run, if the user names one.
        store: The store, if the user names one.
        as_json: Whether to print JSON instead of tables.
        quiet: Whether to hide progress, notes and the next command.
        verbose: Whether to show what the toolchains print.

    Raises:
        MobileError: Something failed; exit code 3 if only outputs were wrong, otherwise 5.
    """
    from mnv4_mobile.measuring.perform import new_run
    from mnv4_mobile.measuring.results.store import store_path

    name = new_run(name) if run is None else run
    resume = f"mnv4 {shlex.join([*sys.argv[1:], *([] if run == name else ['--run', name])])}"
    try:
        with steps(verbose, quiet) as progress:
            found = work(run=name, store=store_path(store), progress=progress)
    except KeyboardInterrupt:
        raise StoppedError(f"interrupted; resume with: {resume}") from None
    if as_json:
        print_json(
            {
                "run": name,
                "measurements": found.measurements,
                "failures": [
                    {"what": one.what, "error": error_document(one.error)} for one in found.failures
                ],
            }
        )
    else:
        show_groups(found.measurements)
    if failures := found.failures:
        for failure in failures:
            print_text(f"error: {failure.what}: {failure.error}", err=True)
        worst = max((failure.error for failure in failures), key=lambda error: error.exit_code)
        raise type(worst)(f"not all was measured; measure the rest with: {resume}")
    words = ["report", "--run", name, *next_step.in_store(store)]
    show_next(words, hidden=as_json or quiet)


def show_groups(
    measurements: Sequence[Measurement], newest: Mapping[str, str] | None = None
) -> None:
    """Prints a row for each group of sessions: their medians, and what looks unsound.

    Beside them is the nearest published latency, if there is one; below the table is its source.

    Args:
        measurements: What was measured.
        newest: See `doubts.os_builds`.
    """
    from mnv4_mobile.measuring.results.doubts import doubts_of_group
    from mnv4_mobile.measuring.results.nearest import nearest
    from mnv4_mobile.measuring.results.statistics import groups, typical

    found = groups(measurements)
    published = [nearest(group.first) for group in found]
    columns = ["measured", "device", ">threads", ">n", ">p50 ms", ">p90 ms", ">mean ms", ">CV"]
    columns += [">first ms", ">load ms", ">peak MiB", ">golden dB"]
    columns += [">published ms"] if any(published) else []
    rows, doubts = [], []
    for group, near in zip(found, published, strict=True):
        first = group.first
        unit = f", {first.plan.unit}" if first.plan.unit else ""
        samples, sessions = group.samples, group.sessions
        cv = typical(s.cv for s in sessions)
        doubts.append(doubts_of_group(group.measurements, newest))
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
                *([_published(near)] if any(published) else []),
            ]
        )
    print_doubted(columns, rows, doubts)
    if any(published):
        print_text()
        print_text("published, not measured here:")
        for text, ms in {str(near): near.latency.ms for near in published if near}.items():
            print_text(f"  {_number(ms, 3)} ms  {text}")


def _published(near: Nearest | None) -> str:
    return f"{near.latency.ms:.3f} {near.unit}" if near else "-"


def print_doubted(
    columns: Sequence[str], rows: Sequence[Sequence[str]], doubts: Sequence[Sequence[Doubt]]
) -> None:
    """Prints a table whose last column has the codes of doubts, and below it what they mean.

    Doubts that all rows have are printed once, above the table.
    """
    from mnv4_mobile.measuring.results.doubts import MEANINGS, common

    everywhere = common(doubts)
    for code in everywhere:
        print_text(f"all {len(rows)} rows: {MEANINGS[code]}")
    own = [[doubt for doubt in row if doubt.code not in everywhere] for row in doubts]
    codes = {doubt.code for row in own for doubt in row}
    if codes:
        columns = [*columns, "doubts"]
        rows = [[*row, ", ".join(map(str, its))] for row, its in zip(rows, own, strict=True)]
    print_table(columns, rows)
    if codes:
        print_text()
        print_text("doubts:")
        for code, meaning in MEANINGS.items():
            if code in codes:
                print_text(f"  {code:10} {meaning}")


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
