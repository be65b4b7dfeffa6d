"""`mnv4 choose`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnv4_mobile.cli.measured import (
    MaxMb,
    MaxMs,
    MinAgreement,
    MinTop1,
    StorePath,
    bounds_of,
    print_doubted,
    ship_next,
)
from mnv4_mobile.cli.show import Json, Quiet, megabytes, print_json, print_text
from mnv4_mobile.errors import BoundError, ConfigError

if TYPE_CHECKING:
    from mnv4_mobile.measuring.results.choose import Candidate, Choice


def choose(
    device: Annotated[
        str | None,
        typer.Option(
            help="The device's id, or its kind if there is only one. Default: the only device that "
            "was measured.",
            metavar="DEVICE",
        ),
    ] = None,
    max_ms: MaxMs = None,
    max_mb: MaxMb = None,
    min_top1: MinTop1 = None,
    min_agreement: MinAgreement = None,
    dataset: Annotated[
        str | None, typer.Option(help="The dataset whose accuracy counts, if there are several.")
    ] = None,
    store: StorePath = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Names the bundle to ship to a device, given at least one bound.

    Of the bundles that keep all bounds, it is the fastest whose accuracy lies in the 95 % interval
    of the most accurate one. If only accuracy is bounded, it is the fastest.
    """
    from mnv4_mobile.measuring.results.choose import choose as run
    from mnv4_mobile.measuring.results.choose import on_dataset, one_device
    from mnv4_mobile.measuring.results.store import Store, store_path

    bounds = bounds_of(max_ms, max_mb, min_top1, min_agreement)
    if not bounds.any:
        raise ConfigError(
            "choose: found no bound; give one or more of --max-ms, --max-mb, --min-top1 and "
            "--min-agreement"
        )
    with Store(store_path(store), "read") as opened:
        measurements, evaluations = opened.measurements(), opened.evaluations()
    device = one_device(device, measurements)
    found = run(measurements, on_dataset(evaluations, dataset), device, bounds)
    if as_json:
        print_json(_json(found))
    else:
        _show(found)
    if not found.ship:
        raise BoundError(f"{device}: {found.verdict}")
    ship_next(found, hidden=as_json or quiet)


def _show(found: Choice) -> None:
    candidates = [*found.fitting, *found.undecided, *found.rejected]
    print_doubted(
        ["bundle", ">ms", ">accuracy", ">95% interval", ">size", ">threads", "why"],
        [_row(one, found) for one in candidates],
        [one.doubts for one in candidates],
    )
    if found.ship:
        print_text()
        print_text(found.verdict)
    for one in found.undecided:
        print_text(f"to decide on {one.name}: {' and '.join(found.commands(one))}")


def _row(one: Candidate, found: Choice) -> list[str]:
    fits = "ship this" if one is found.ship else "fits"
    return [
        one.name,
        "-" if one.latency_ms is None else f"{one.latency_ms:.2f}",
        "-" if one.accuracy is None else f"{one.accuracy:.1%}",
        "-" if one.interval is None else " to ".join(f"{100 * end:.1f}" for end in one.interval),
        "-" if one.bytes is None else megabytes(one.bytes),
        str(one.group.first.plan.threads) if one.group else "-",
        "; ".join([*one.misses, *one.missing]) or fits,
    ]


def _json(found: Choice) -> dict[str, Any]:
    return {
        "device": found.device,
        "ship": found.ship.name if found.ship else None,
        "verdict": found.verdict,
        "next": found.next_commands,
        "fitting": [_candidate(one) for one in found.fitting],
        "undecided": [_candidate(one) for one in found.undecided],
        "rejected": [_candidate(one) for one in found.rejected],
    }


def _candidate(one: Candidate) -> dict[str, Any]:
    return {
        "name": one.name,
        "artifact_sha256": one.sha256,
        "bytes": one.bytes,
        "latency_ms": one.latency_ms,
        "statistic": one.group.statistic if one.group else None,
        "plan": one.group.first.plan if one.group else None,
        "top1": one.top1,
        "agreement": one.agreement,
        "interval": one.interval,
        "images": one.evaluation.n if one.evaluation else None,
        "dataset": one.evaluation.dataset if one.evaluation else None,
        "misses": one.misses,
        "missing": one.missing,
        "doubts": one.doubts,
    }
