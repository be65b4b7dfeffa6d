"""`mnv4 verify`."""

from __future__ import annotations

from typing import Annotated

import typer

from mnv4_mobile import limits
from mnv4_mobile.cli import complete, next_step
from mnv4_mobile.cli.show import (
    BundlePaths,
    Json,
    ModelOfWeights,
    NoSizeLimits,
    Quiet,
    Threads,
    UnitNames,
    Verbose,
    print_json,
    print_table,
    show_next,
    split,
)
from mnv4_mobile.cli.steps import steps


def verify(
    bundles: BundlePaths,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Compare with this checkpoint on new images. Default: the bundle's golden pairs.",
            metavar="W",
            autocompletion=complete.weights,
        ),
    ] = None,
    model: ModelOfWeights = None,
    threads: Threads = 1,
    unit: UnitNames = [],  # noqa: B006 - typer makes a new list for every call
    no_size_limits: NoSizeLimits = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Reloads artifacts from disk and compares them with the PyTorch model."""
    limits.lift(no_size_limits)
    from mnv4_mobile.bundle.folder import open_bundle
    from mnv4_mobile.bundle.parity import check
    from mnv4_mobile.quality import verify as quality
    from mnv4_mobile.target import check_units, load_target
    from mnv4_mobile.units import read_units

    units = read_units(split("--unit", unit))
    found = {}
    with steps(verbose, quiet) as progress:
        opened = {str(path): open_bundle(path) for path in bundles}
        for bundle in opened.values():
            check_units(load_target(bundle.manifest.target), units)
        with progress.count(len(opened), "bundles"):
            for name, bundle in opened.items():
                progress.step(f"verify {bundle.manifest.id}")
                found[name] = quality.verify(
                    bundle, weights, model=model, threads=threads, units=units
                )
                progress.advance()
                progress.end()
    if as_json:
        print_json({"bundles": [{"path": name, "parity": p} for name, p in found.items()]})
    else:
        rows = [
            [
                bundle_,
                one,
                name,
                f"{p.sqnr_db:.1f}",
                f"{p.sqnr_db_p10:.1f}",
                "-" if p.top1_agreement is None else f"{p.top1_agreement:.1%}",
                f"{p.max_abs:.2e}",
                f"{p.n}",
                f"{p.gate_db:g}",
            ]
            for bundle_, parity in found.items()
            for one, outputs in parity.items()
            for name, p in outputs.items()
        ]
        columns = ["bundle", "unit", "output", ">dB", ">10th percentile", ">top-1 agreement"]
        print_table([*columns, ">max abs", ">images", ">gate"], rows)
    for name, parity in found.items():
        for one, outputs in parity.items():
            check(outputs, f"{name} on {one}")
    show_next(next_step.measure(bundles[0]), hidden=as_json or quiet)
