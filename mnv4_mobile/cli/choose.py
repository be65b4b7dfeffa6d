"""`mnv4 choose`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnv4_mobile.cli.measured import StorePath
from mnv4_mobile.cli.show import Json, megabytes, print_json, print_table
from mnv4_mobile.errors import BoundError

if TYPE_CHECKING:
    from mnv4_mobile.measure.results.choose import Candidate


def choose(
    device: Annotated[
        str,
        typer.Option(help="The device's id, or its kind if there is only one.", metavar="DEVICE"),
    ],
    max_ms: Annotated[float, typer.Option(help="Latency at most.", metavar="MS", min=0)],
    min_top1: Annotated[
        float, typer.Option(help="Top-1 accuracy at least.", metavar="PERCENT", min=0, max=100)
    ],
    max_mb: Annotated[
        float | None, typer.Option(help="Size at most, MB of 10^6 bytes.", metavar="MB", min=0)
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="The dataset whose accuracy counts, if there are several.")
    ] = None,
    store: StorePath = None,
    as_json: Json = False,
) -> None:
    """Chooses the most accurate bundle that is fast and small enough on a device."""
    from mnv4_mobile.measure.results.choose import Bounds, one_device
    from mnv4_mobile.measure.results.choose import choose as run
    from mnv4_mobile.measure.results.store import Store, store_path

    with Store(store_path(store), must_exist=True) as opened:
        measurements, evaluations = opened.measurements(), opened.evaluations()
    device = one_device(device, measurements)
    bounds = Bounds(max_ms=max_ms, min_top1=min_top1 / 100, max_mb=max_mb)
    found = run(measurements, evaluations, device, bounds, dataset)
    candidates = [*found.fitting, *found.undecided, *found.rejected]
    if as_json:
        print_json(
            {
                "ship": found.fitting[0].name if found.fitting else None,
                "fitting": [_json(one) for one in found.fitting],
                "undecided": [_json(one) for one in found.undecided],
                "rejected": [_json(one) for one in found.rejected],
            }
        )
    else:
        print_table(
            ["bundle", ">ms", ">top-1", ">size", "threads", "why", "doubts"],
            [_row(one, "ship this" if one in found.fitting[:1] else "") for one in candidates],
        )
        if found.fitting:
            best, *others = found.fitting
            why = f"the most accurate of {len(found.fitting)} that fit" if others else "alone fits"
            print(f"\n{best.name}: {why}" + (f"; next: {others[0].name}" if others else ""))
        for one in found.undecided:
            print(f"to decide on {one.name}: {' and '.join(_commands(one, device))}")
    if not found.fitting:
        left = f"; {len(found.undecided)} undecided" if found.undecided else ""
        raise BoundError(f"none of {len(candidates)} bundles is known to fit on {device}{left}")


def _commands(one: Candidate, device: str) -> list[str]:
    """What finds out what is missing."""
    # Computers and browsers have a name of their own behind the kind, which is no address.
    kind, *rest = device.split(":")
    address = device if kind not in ("host", "browser") else ":".join([kind, *rest[1:]])
    measure = [f"mnv4 measure {one.name} --device {address}"] if not one.group else []
    return measure + ([f"mnv4 evaluate {one.name} DATASET"] if one.top1 is None else [])


def _row(one: Candidate, why: str) -> list[str]:
    said = [*one.misses, *one.missing] or [why or "fits"]
    return [
        one.name,
        "-" if one.latency_ms is None else f"{one.latency_ms:.2f}",
        "-" if one.top1 is None else f"{one.top1:.2%}",
        "-" if one.bytes is None else megabytes(one.bytes),
        str(one.group.first.plan.threads) if one.group else "-",
        "; ".join(said),
        "; ".join(one.doubts),
    ]


def _json(one: Candidate) -> dict[str, Any]:
    return {
        "name": one.name,
        "artifact_sha256": one.sha256,
        "bytes": one.bytes,
        "latency_ms": one.latency_ms,
        "statistic": one.group.statistic if one.group else None,
        "plan": one.group.first.plan if one.group else None,
        "top1": one.top1,
        "dataset": one.evaluation.dataset if one.evaluation else None,
        "misses": one.misses,
        "missing": one.missing,
        "doubts": one.doubts,
    }
