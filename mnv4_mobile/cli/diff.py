"""`mnv4 diff`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    print_text,
    show_next,
    split,
)
from mnv4_mobile.cli.steps import steps

if TYPE_CHECKING:
    from mnv4_mobile.quality.diff import Diff


def diff(
    bundles: BundlePaths,
    unit: UnitNames = [],  # noqa: B006 - typer makes a new list for every call
    weights: Annotated[
        str | None,
        typer.Option(
            help="Compare with what PyTorch computes with this checkpoint.",
            metavar="W",
            autocompletion=complete.weights,
        ),
    ] = None,
    model: ModelOfWeights = None,
    calibrate: Annotated[
        str | None,
        typer.Option(
            help="The images that the bundle was calibrated with, to prepare --weights as its "
            "recipe does, and to simulate its integers.",
            metavar="DIR",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "-r",
            "--recipe",
            help="The recipe for --weights. Default: the shipped one of the bundle's recipe name.",
            metavar="R",
            autocompletion=complete.recipes,
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Folder of images to compare on. Default: the first bundle's golden images.",
            metavar="DIR",
        ),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(help="Use at most this many images, evenly spread.", metavar="N", min=1),
    ] = 16,
    bound: Annotated[
        float | None,
        typer.Option(
            help="Report the first layer below this. Default: the lowest gate of the bundles.",
            metavar="DB",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="File for a page or plot: .html, .png, .svg or .pdf."),
    ] = None,
    threads: Threads = 1,
    no_size_limits: NoSizeLimits = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compares programs of one network layer by layer, to find where they part.

    The first one is the reference: the first bundle on the first unit, or with --weights the
    deploy form in PyTorch.
    """
    limits.lift(no_size_limits)
    from mnv4_mobile.bundle.folder import open_bundle
    from mnv4_mobile.quality.diff import check_same_network, images_for, plot
    from mnv4_mobile.quality.diff import diff as run
    from mnv4_mobile.quality.figure import check_figure
    from mnv4_mobile.quality.sides import Origin, artifact_sides, torch_sides
    from mnv4_mobile.units import read_units

    units = read_units(split("--unit", unit))
    if out:
        check_figure(out)
    origin = None
    if weights is not None:
        origin = Origin(weights=weights, model=model, recipe=recipe, calibrate=calibrate)
    else:
        _check_alone(bundles, len(units), model=model, calibrate=calibrate, recipe=recipe)
    with steps(verbose, quiet) as progress:
        opened = [open_bundle(path) for path in bundles]
        check_same_network(opened)
        if bound is None:
            bound = min(max(bundle.gates().values()) for bundle in opened)
        pictures = images_for(opened[0], images, limit)
        with artifact_sides(opened, units, threads) as artifacts:
            others = torch_sides(opened[0], origin, progress) if origin else []
            found = run([*others, *artifacts], pictures, bound, progress)
        if out:
            plot(found, out, f"{opened[0].manifest.model.name}, {found.images} images")
    if as_json:
        print_json(asdict(found))
    else:
        _print(found)
    show_next(next_step.measure(bundles[0]), hidden=as_json or quiet)


def _check_alone(bundles: Sequence[Path], units: int, **options: str | None) -> None:
    """Refuses what needs --weights, which was not given."""
    from mnv4_mobile.errors import ConfigError

    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"--{name}: found {value!r} without --weights, which it belongs to")
    if len(bundles) * max(1, units) < 2:
        raise ConfigError(
            f"{bundles[0]}: found one program; name another bundle, two units (--unit cpu,gpu), "
            "or its --weights"
        )


def _print(found: Diff) -> None:
    from mnv4_mobile.quality.diff import summary, table

    columns, rows = table(found)
    reference = found.shown(found.pairs[0].reference)
    print_table(columns, rows, f"against {reference}: {found.images} images")
    for pair in found.pairs:
        print_text()
        print_text(f"{found.shown(pair.other)}:")
        for line in summary(pair, found.bound_db):
            print_text(f"  {line}")
