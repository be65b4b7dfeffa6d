"""`mnv4 compare`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnv4_mobile.cli.measured import StorePath
from mnv4_mobile.cli.show import Json, print_json, print_table
from mnv4_mobile.errors import ConfigError, RegressionError

if TYPE_CHECKING:
    from mnv4_mobile.measure.results.compare import Comparison
    from mnv4_mobile.measure.results.statistics import SessionGroup


def compare(
    before: Annotated[
        str, typer.Argument(help="A run of the store, or an exported file.", metavar="A")
    ],
    after: Annotated[
        str,
        typer.Argument(
            help="A run of the store, or an exported file, to compare with A.", metavar="B"
        ),
    ],
    max_regression: Annotated[
        float | None,
        typer.Option(
            help="Fail (exit code 4) where B is slower by more, with confidence.",
            metavar="PERCENT",
            min=0,
        ),
    ] = None,
    store: StorePath = None,
    as_json: Json = False,
) -> None:
    """Compares what two runs have both measured, with a confidence interval over their sessions."""
    from mnv4_mobile.measure.results.compare import SESSIONS, side
    from mnv4_mobile.measure.results.compare import compare as run
    from mnv4_mobile.measure.results.store import store_path

    path = store_path(store)
    found = run(side(before, path), side(after, path))
    if not found.differences:
        raise ConfigError(
            f"{before} and {after}: nothing to compare: no model, size, recipe, target, device and "
            "plan that both have measured"
        )
    if as_json:
        print_json(_json(found))
    else:
        _show(found)
    if max_regression is None:
        return
    if not any(one.interval for one in found.differences):
        raise ConfigError(
            f"--max-regression: nothing to judge: no artifact has {SESSIONS} timed sessions in "
            f"both runs; measure with --repeats {SESSIONS} or more"
        )
    for one in found.differences:
        if not one.interval:
            print(f"not judged: {_name(one.after)}: {one.verdict}", file=sys.stderr)
    for group in found.only_before:
        print(f"not judged: {_name(group)}: only in {before}", file=sys.stderr)
    slower = found.regressions(max_regression / 100)
    if slower:
        names = "; ".join(f"{_name(one.after)} by {_percent(one.change)}" for one in slower)
        raise RegressionError(f"slower by more than {max_regression:g} %, with confidence: {names}")


def _show(found: Comparison) -> None:
    from mnv4_mobile.measure.results.compare import CONFIDENCE

    columns = ["measured", "device", ">threads", ">n", ">A ms", ">B ms", ">change"]
    columns += [f">{CONFIDENCE:.0%} interval", "verdict", "doubts"]
    print_table(
        columns,
        [
            [
                one.artifact.name,
                one.after.first.device.id,
                str(one.plan.threads),
                f"{len(one.before.sessions)}/{len(one.after.sessions)}",
                _ms(one.before_ms),
                _ms(one.after_ms),
                _percent(one.change),
                " to ".join(map(_percent, one.interval)) if one.interval else "-",
                one.verdict,
                "; ".join(one.doubts),
            ]
            for one in found.differences
        ],
    )
    for name, groups in (("A", found.only_before), ("B", found.only_after)):
        for group in groups:
            print(f"only in {name}: {_name(group)}")


def _name(group: SessionGroup) -> str:
    return f"{group.first.artifact.name} on {group.first.device.id}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:+.1%}"


def _json(found: Comparison) -> dict[str, Any]:
    return {
        "differences": [
            {
                "before": [m.id for m in one.before.measurements],
                "after": [m.id for m in one.after.measurements],
                "artifact": one.artifact,
                "device": one.after.first.device,
                "plan": one.plan,
                "statistic": one.statistic,
                "before_ms": one.before_ms,
                "after_ms": one.after_ms,
                "change": one.change,
                "interval": one.interval,
                "verdict": one.verdict,
                "doubts": one.doubts,
            }
            for one in found.differences
        ],
        "only_before": [[m.id for m in group.measurements] for group in found.only_before],
        "only_after": [[m.id for m in group.measurements] for group in found.only_after],
    }
