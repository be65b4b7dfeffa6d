"""`mnv4 report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mnv4_mobile.cli.measured import (
    MaxMb,
    MaxMs,
    MinAgreement,
    MinTop1,
    StorePath,
    bounds_of,
    ship_next,
)
from mnv4_mobile.cli.show import Json, Quiet, megabytes, print_json, print_text
from mnv4_mobile.cli.steps import steps


def report(
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="The file, whose suffix chooses the format.", metavar="FILE"
        ),
    ] = None,
    run: Annotated[
        list[str] | None, typer.Option(help="Only this run; may be repeated.", metavar="NAME")
    ] = None,
    kind: Annotated[
        Literal["html", "md", "csv", "parquet"] | None,
        typer.Option("--format", help="A page, Markdown, or a table for notebooks."),
    ] = None,
    max_ms: MaxMs = None,
    max_mb: MaxMb = None,
    min_top1: MinTop1 = None,
    min_agreement: MinAgreement = None,
    store: StorePath = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Writes what was measured as one self-contained page, or as a table.

    A page and Markdown open with a verdict: the bundle to ship to each device within the bounds,
    as mnv4 choose finds it. Without bounds, all bundles whose latency and accuracy are known are
    compared.
    """
    from mnv4_mobile.errors import ConfigError, unknown
    from mnv4_mobile.measuring.report import write
    from mnv4_mobile.measuring.report.data import accuracies, choices
    from mnv4_mobile.measuring.results.store import Store, store_path

    path = out or Path(f"report.{kind or 'html'}")
    if kind and path.suffix != f".{kind}":
        raise ConfigError(unknown(f"-o {path}", path.suffix, [f".{kind}"]))
    bounds = bounds_of(max_ms, max_mb, min_top1, min_agreement)
    with steps(False, quiet) as progress:
        progress.step(f"report from {store_path(store)}")
        measurements = write.report(path, store=store, runs=run or [], bounds=bounds)
        with Store(store_path(store), "read") as opened:
            found = choices(measurements, accuracies(opened.evaluations()), bounds)
    size = path.stat().st_size
    if as_json:
        verdicts = [
            {
                "device": choice.device,
                "dataset": evaluation.dataset if evaluation else None,
                "ship": choice.ship.name if choice.ship else None,
                "verdict": choice.verdict,
                "next": choice.next_commands,
            }
            for choice, evaluation in found
        ]
        document = {"path": str(path), "bytes": size, "measurements": len(measurements)}
        print_json({**document, "verdicts": verdicts})
        return
    count = f"{len(measurements)} measurement{'s' if len(measurements) != 1 else ''}"
    print_text(f"{path}: {count}, {megabytes(size)}")
    for choice, _ in found:
        print_text(f"{choice.device}: {choice.verdict}")
    ship_next(next((one for one, _ in found if one.ship), found[0][0]), hidden=quiet)
