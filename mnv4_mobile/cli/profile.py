"""`mnv4 profile`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnv4_mobile.cli.measured import StorePath
from mnv4_mobile.cli.show import Json, Verbose, print_json, print_table, steps

if TYPE_CHECKING:
    from mnv4_mobile.bundle.manifest import Bundle
    from mnv4_mobile.measure.profile import PartTime, Profile


def profile(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder.")],
    threads: Annotated[int, typer.Option(help="Of the runtime.", min=1)] = 1,
    runs: Annotated[int, typer.Option(help="How often it is run, after a warm-up.", min=1)] = 50,
    operators: Annotated[
        bool, typer.Option("--operators", help="List every operator with its layer.")
    ] = False,
    store: StorePath = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Times every operator of an artifact on this machine, by block and by kind.

    What was found is recorded in the store, where `mnv4 report` finds it.
    """
    from mnv4_mobile.bundle.manifest import open_bundle
    from mnv4_mobile.measure.device import connect
    from mnv4_mobile.measure.profile import profile_bundle
    from mnv4_mobile.measure.results.store import Store, store_path

    opened = open_bundle(bundle)
    (host,) = connect("host")
    with steps(verbose) as progress, Store(store_path(store)) as kept:
        progress.step(f"profile {opened.manifest['id']}")
        found = profile_bundle(opened, threads=threads, runs=runs)
        record = _record(found, opened, threads=threads, runs=runs)
        kept.add_profile(opened.manifest["artifact"]["sha256"], host.describe().id, record)
        progress.note(f"recorded in {kept.path}")
    total = found.total
    if as_json:
        print_json(record)
        return

    def share(ms: float) -> str:
        return f"{ms / total.ms:.1%}"

    def row(part: PartTime, indent: str = "") -> list[str]:
        gflops = "-" if part.gflops is None else f"{part.gflops:.1f}"
        return [indent + part.name, part.role or "", f"{part.ms:.3f}", share(part.ms), gflops]

    rows = []
    for stage, blocks in found.stages():
        rows.append(row(stage))
        if [stage.name] != [block.name for block in blocks]:
            rows += [row(block, "  ") for block in blocks]
    print(f"{opened.manifest['id']}: shortest times of {runs} runs, threads: {threads}\n")
    print_table(["block", "role", ">ms", ">share", ">GFLOP/s"], [*rows, row(total)])
    print()
    kinds = [[k.kind, f"{k.count}", f"{k.ms:.3f}", share(k.ms)] for k in found.kinds()]
    print_table(["kind of operator", ">count", ">ms", ">share"], kinds)
    print()
    if operators:
        lines = [[o.layer, o.kind, f"{o.ms:.3f}", share(o.ms)] for o in found.operators]
        print_table(["layer", "operator", ">ms", ">share"], lines)
        print()
    print(
        f"{share(found.convolutions_ms)} in convolutions; a run without the profiler: "
        f"{found.fastest_ms:.3f} ms at best, {found.latency_ms:.3f} ms median"
    )


def _record(found: Profile, bundle: Bundle, *, threads: int, runs: int) -> dict[str, Any]:
    return {
        "bundle": bundle.manifest["id"],
        "threads": threads,
        "runs": runs,
        "latency_ms": found.latency_ms,
        "fastest_ms": found.fastest_ms,
        "total": _part(found.total),
        "convolutions_ms": found.convolutions_ms,
        "stages": [_part(stage) for stage, _ in found.stages()],
        "blocks": [_part(block) for block in found.blocks],
        "kinds": [asdict(kind) for kind in found.kinds()],
        "operators": [asdict(operator) for operator in found.operators],
    }


def _part(part: PartTime) -> dict[str, Any]:
    return asdict(part) | {"gflops": part.gflops}
