"""`mnv4 compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnv4_mobile.cli.measured import StorePath, print_doubted
from mnv4_mobile.cli.next_step import in_store
from mnv4_mobile.cli.show import Json, Quiet, print_json, print_text, show_next
from mnv4_mobile.errors import ConfigError, InconclusiveError, RegressionError

if TYPE_CHECKING:
    from mnv4_mobile.measuring.results.compare import Comparison
    from mnv4_mobile.measuring.results.statistics import SessionGroup

_ARGUMENT = "A run of the store, or an exported file"


def compare(
    base: Annotated[str, typer.Argument(help=f"{_ARGUMENT}.", metavar="BASE")],
    new: Annotated[str, typer.Argument(help=f"{_ARGUMENT}, to compare with BASE.", metavar="NEW")],
    max_regression: Annotated[
        float | None,
        typer.Option(
            help="How many percent slower NEW may be. Without it, any difference is shown.",
            metavar="PERCENT",
            min=0,
        ),
    ] = None,
    store: StorePath = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compares what both of two runs have measured, by a 95 % interval over their sessions.

    With --max-regression the verdict is "regression" if the whole interval is above the bound,
    "no regression" if none of it is, else "inconclusive". Without it: "slower" or "faster" if the
    interval excludes 0, "no difference shown" if it holds 0 and stays within 5 %, else
    "inconclusive". Fewer than 3 sessions of a run are inconclusive.

    A regression (exit code 4) outranks an inconclusive comparison (6).
    """
    from mnv4_mobile.measuring.results.compare import compare as run
    from mnv4_mobile.measuring.results.compare import side
    from mnv4_mobile.measuring.results.exchange import IMPORTED
    from mnv4_mobile.measuring.results.store import store_path

    path = store_path(store)
    bound = None if max_regression is None else max_regression / 100
    found = run(side(base, path), side(new, path))
    if not found.differences:
        raise ConfigError(
            f"{base} and {new}: nothing to compare: they share no combination of model, size, "
            "recipe, target, device and plan"
        )
    if as_json:
        print_json(_json(found, bound))
    else:
        _show(found, bound)
    for run_name, groups in ((base, found.only_in_base), (new, found.only_in_new)):
        for group in groups:
            print_text(f"not compared: {_name(group)}: only in {run_name}", err=True)
    undecided = found.with_verdict("inconclusive", bound)
    for one in undecided:
        print_text(f"inconclusive: {_name(one.new)}: {one.advice(bound)}", err=True)
    if slower := found.with_verdict("regression", bound):
        names = "; ".join(f"{_name(one.new)} by {_percent(one.change)}" for one in slower)
        raise RegressionError(f"slower by more than {max_regression:g} %, with confidence: {names}")
    if undecided:
        raise InconclusiveError(
            f"{len(undecided)} of {len(found.differences)} comparisons inconclusive; "
            "measure both runs with more --repeats, in turns"
        )
    runs = [run for run in (base, new) if Path(run).suffix not in IMPORTED]
    words = ["report", *(word for run in runs for word in ("--run", run)), *in_store(store)]
    show_next(words, hidden=as_json or quiet)


def _show(found: Comparison, bound: float | None) -> None:
    from mnv4_mobile.measuring.results.compare import CONFIDENCE

    columns = ["measured", "device", ">threads", ">n", "statistic", ">base ms", ">new ms"]
    columns += [">change", f">{CONFIDENCE:.0%} interval", "verdict"]
    rows = [
        [
            one.artifact.name,
            one.new.first.device.id,
            str(one.plan.threads),
            f"{len(one.base.sessions)}/{len(one.new.sessions)}",
            one.statistic,
            _ms(one.base_ms),
            _ms(one.new_ms),
            _percent(one.change),
            " to ".join(map(_percent, one.interval)) if one.interval else "-",
            one.verdict(bound),
        ]
        for one in found.differences
    ]
    print_doubted(columns, rows, [one.doubts for one in found.differences])


def _name(group: SessionGroup) -> str:
    return f"{group.first.artifact.name} on {group.first.device.id}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:+.1%}"


def _json(found: Comparison, bound: float | None) -> dict[str, Any]:
    return {
        "differences": [
            {
                "base": [m.id for m in one.base.measurements],
                "new": [m.id for m in one.new.measurements],
                "artifact": one.artifact,
                "device": one.new.first.device,
                "plan": one.plan,
                "statistic": one.statistic,
                "base_ms": one.base_ms,
                "new_ms": one.new_ms,
                "change": one.change,
                "interval": one.interval,
                "verdict": (verdict := one.verdict(bound)),
                "advice": one.advice(bound) if verdict == "inconclusive" else None,
                "doubts": one.doubts,
            }
            for one in found.differences
        ],
        "only_in_base": [[m.id for m in group.measurements] for group in found.only_in_base],
        "only_in_new": [[m.id for m in group.measurements] for group in found.only_in_new],
    }
