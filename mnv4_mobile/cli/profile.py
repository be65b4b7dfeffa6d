"""`mnv4 profile`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mnv4_mobile.cli import next_step
from mnv4_mobile.cli.measured import StorePath, recorded
from mnv4_mobile.cli.show import (
    BundlePath,
    Json,
    Quiet,
    Threads,
    Verbose,
    print_json,
    print_table,
    print_text,
    show_next,
)
from mnv4_mobile.cli.steps import steps

if TYPE_CHECKING:
    from mnv4_mobile.measuring.profile import PartTime, Profile


def profile(
    bundle: BundlePath,
    threads: Threads = 1,
    runs: Annotated[int, typer.Option(help="Number of runs, after a warm-up.", min=1)] = 50,
    operators: Annotated[
        bool, typer.Option("--operators", help="List every operator with its layer.")
    ] = False,
    store: StorePath = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Times every operator of an artifact on this machine, by block and by kind.

    The profile is recorded in the store, where `mnv4 report` finds it.
    """
    from mnv4_mobile.bundle.folder import open_bundle
    from mnv4_mobile.measuring.device import connect
    from mnv4_mobile.measuring.profile import StoredProfile, profile_bundle
    from mnv4_mobile.measuring.results.store import check_store, store_path

    opened = open_bundle(bundle)
    (host,) = connect("host")
    path = store_path(store)
    check_store(path)
    with steps(verbose, quiet) as progress:
        progress.step(f"profile {opened.manifest.id}")
        found = profile_bundle(opened, threads=threads, runs=runs)
        sha256 = opened.manifest.artifact.sha256
        device = host.describe().id
        record = StoredProfile(artifact_sha256=sha256, device_id=device, profile=found)
        refused = recorded(path, record, progress)
    if as_json:
        print_json({"profile": found})
    else:
        _show(found, operators=operators)
    if refused:
        raise refused
    show_next(next_step.measure(bundle, store), hidden=as_json or quiet)


def _show(found: Profile, *, operators: bool) -> None:
    from mnv4_mobile.measuring.profile import stage_of

    total = found.total

    def share(ms: float) -> str:
        return f"{ms / total.ms:.1%}"

    def row(part: PartTime, indent: str = "") -> list[str]:
        gflops = "-" if part.gflops is None else f"{part.gflops:.1f}"
        return [indent + part.name, part.role or "", f"{part.ms:.3f}", share(part.ms), gflops]

    rows = []
    for stage in found.stages:
        rows.append(row(stage))
        blocks = [block for block in found.blocks if stage_of(block.name) == stage.name]
        if [stage.name] != [block.name for block in blocks]:
            rows += [row(block, "  ") for block in blocks]
    print_text(f"{found.bundle}: shortest times of {found.runs} runs, threads: {found.threads}")
    print_text()
    print_table(["block", "role", ">ms", ">share", ">GFLOP/s"], [*rows, row(total)])
    print_text()
    kinds = [[k.kind, f"{k.count}", f"{k.ms:.3f}", share(k.ms)] for k in found.kinds]
    print_table(["kind of operator", ">count", ">ms", ">share"], kinds)
    print_text()
    if operators:
        lines = [[o.layer, o.kind, f"{o.ms:.3f}", share(o.ms)] for o in found.operators]
        print_table(["layer", "operator", ">ms", ">share"], lines)
        print_text()
    print_text(
        f"{share(found.convolutions_ms)} in convolutions; a run without the profiler: "
        f"{found.fastest_ms:.3f} ms at best, {found.latency_ms:.3f} ms median"
    )
