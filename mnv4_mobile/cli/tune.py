"""`mnv4 tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mnv4_mobile import limits
from mnv4_mobile.cli import complete
from mnv4_mobile.cli.show import (
    Json,
    ModelOrWeights,
    NoSizeLimits,
    Quiet,
    Sets,
    Verbose,
    Weights,
    print_json,
    print_table,
    print_text,
    show_next,
    size_of,
)
from mnv4_mobile.cli.steps import steps
from mnv4_mobile.errors import ConfigError, ParityError


def tune(
    model_or_weights: ModelOrWeights,
    calibrate: Annotated[
        str,
        typer.Option(help="Folder of images. A fifth of them or more judges.", metavar="DIR"),
    ],
    target: Annotated[
        str,
        typer.Option(
            "-t",
            "--target",
            help="The target to tune for.",
            metavar="T",
            autocompletion=complete.targets,
        ),
    ],
    weights: Weights = None,
    minutes: Annotated[
        float, typer.Option(help="How long the search may take.", metavar="N", min=0)
    ] = 15,
    max_drop: Annotated[
        float,
        typer.Option(
            help="Largest loss of top-1 on --dataset, in points. Without classes: largest "
            "percentage of images whose class changes.",
            min=0,
        ),
    ] = 1.0,
    min_p10: Annotated[
        float,
        typer.Option(help="Least 10th percentile over the images of the SQNR, in dB."),
    ] = 22.0,
    max_latency: Annotated[
        float,
        typer.Option(help="Largest latency on this machine, in multiples of --recipe's.", min=0),
    ] = 1.1,
    dataset: Annotated[
        Path | None,
        typer.Option(
            help="Folder to judge artifacts by. Default: images of --calibrate.", metavar="DIR"
        ),
    ] = None,
    objective: Annotated[
        Literal["size", "latency"], typer.Option(help="What to minimize.")
    ] = "size",
    recipe: Annotated[
        str,
        typer.Option(
            "-r",
            "--recipe",
            help="The recipe to begin with; it must have static integers.",
            metavar="R",
            autocompletion=complete.recipes,
        ),
    ] = "int8",
    input_size: Annotated[
        str | None, typer.Option(help="H or HxW. Default: the checkpoint's.", metavar="SIZE")
    ] = None,
    sets: Sets = [],  # noqa: B006 - typer makes a new list for every call
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            help="Folder for the recipe, its bundle and what the search has finished.",
            metavar="DIR",
        ),
    ] = Path("tuned"),
    no_size_limits: NoSizeLimits = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Searches for a recipe within bounds on accuracy and latency, and builds its bundle.

    The same command goes on where it was stopped, or answers other bounds.
    """
    limits.lift(no_size_limits)

    from mnv4_mobile.builder.cell import Options
    from mnv4_mobile.builder.matrix import cells
    from mnv4_mobile.files import check_folder
    from mnv4_mobile.images import list_images
    from mnv4_mobile.option import parse_set
    from mnv4_mobile.quality.bounds import Bounds
    from mnv4_mobile.quality.tune import Wish
    from mnv4_mobile.quality.tune import tune as run
    from mnv4_mobile.quantize.calibration import RANDOM_IMAGES

    check_folder(out)
    bounds = Bounds(
        max_drop=max_drop, min_p10=min_p10, max_latency=max_latency, objective=objective
    )
    if calibrate == RANDOM_IMAGES:
        raise ConfigError("--calibrate: found 'random'; generated images cannot judge accuracy")
    list_images(dataset or calibrate)  # refuses a folder without images
    options = Options(
        size=size_of(input_size) if input_size else None,
        calibrate=str(Path(calibrate).absolute()),
        options=parse_set(sets),
    )
    with steps(verbose, quiet) as progress:
        found_cells = cells(
            [model_or_weights], weights, [target], [recipe], [options], progress=progress
        )
        if len(found_cells) > 1:
            raise ConfigError("--set: found several values of an option, tune takes one")
        wish = Wish(cell=found_cells[0], dataset=dataset, bounds=bounds, minutes=minutes)
        found = run(wish, out, progress=progress)
    best = found.tried[0]
    if as_json:
        print_json(
            {
                "recipe": found.recipe and str(found.recipe),
                "bundle": found.bundle and str(found.bundle),
                "tried": [one.entry for one in found.tried],
                "missed": found.missed,
                "reasons": found.reasons,
            }
        )
    else:
        rows = [
            [
                one.entry.recipe,
                f"{one.entry.sqnr_db_p10:.1f}",
                f"{one.sqnr_db:.1f}",
                f"{one.entry.drop:.2f}",
                "-" if one.entry.latency is None else f"{one.entry.latency:.2f}",
                f"{one.entry.bytes / 1e6:.2f}",
            ]
            for one in found.tried
        ]
        columns = ["recipe", ">dB, 10th", ">median", ">points", ">latency", ">MB"]
        print_table(columns, rows, f"the best first, by {best.images} images")
    late = "; time was up: more --minutes go on from there" if found.late else ""
    if found.missed:
        raise ParityError(
            f"none of {len(found.tried)} artifacts keeps all bounds; the best, "
            f"{best.entry.recipe}, misses {'; '.join(found.missed)}{late}"
        )
    if not as_json:
        print_text(f"{found.bundle}, made by {found.recipe}{late}")
    show_next(["inspect", found.bundle], hidden=as_json or quiet)
