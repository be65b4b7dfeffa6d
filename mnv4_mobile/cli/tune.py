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
    print_text,
    show_next,
    size_of,
)
from mnv4_mobile.cli.steps import steps
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.records import plain


def tune(
    model_or_weights: ModelOrWeights,
    calibrate: Annotated[str, typer.Option(help="Folder of images.", metavar="DIR")],
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
    max_drop: Annotated[
        float,
        typer.Option(
            help="Largest loss of top-1 on --dataset, in points. Without classes: largest "
            "percentage of images whose class changes.",
            min=0,
        ),
    ] = 0.5,
    dataset: Annotated[
        Path | None,
        typer.Option(help="Folder to judge by. Default: a fifth of --calibrate.", metavar="DIR"),
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
        Path, typer.Option("-o", "--out", help="File for the recipe that is found.")
    ] = Path("tuned.yaml"),
    state: Annotated[
        Path | None,
        typer.Option(
            help="File with the state of the search. Default: --out with the suffix .state.json."
        ),
    ] = None,
    cache: Annotated[bool, typer.Option(help="Keep bundles in the cache (mnv4 cache).")] = True,
    no_size_limits: NoSizeLimits = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Searches for a recipe within a bound on accuracy: ranges, preparation, blocks in float."""
    limits.lift(no_size_limits)

    from mnv4_mobile.builder.cache import Cache
    from mnv4_mobile.builder.cell import Options
    from mnv4_mobile.builder.matrix import cells
    from mnv4_mobile.files import cache_folder, check_file, write_bytes
    from mnv4_mobile.images import list_images
    from mnv4_mobile.option import parse_set
    from mnv4_mobile.quality.tune import Wish, recipe_yaml
    from mnv4_mobile.quality.tune import tune as run
    from mnv4_mobile.quantize.calibration import RANDOM_IMAGES

    if out.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--out: found {str(out)!r}, must be a .yaml file")
    state = state or out.with_suffix(".state.json")
    for file in (out, state):
        check_file(file)
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
        wish = Wish(cell=found_cells[0], max_drop=max_drop, dataset=dataset, objective=objective)
        found = run(
            wish,
            state,
            cache=Cache(cache_folder(), progress) if cache else None,
            progress=progress,
        )
        text = recipe_yaml(found)
        write_bytes(out, text.encode())
    if as_json:
        print_json({"recipe": str(out), "reasons": found.reasons, **plain(found.rung)})
    else:
        for line in text.splitlines():
            print_text(line)
    words = ["build", *wish.cell.asked, "-t", target, "-r", str(out), "--calibrate", calibrate]
    words += ["--input-size", input_size] if input_size else []
    show_next(words, hidden=as_json or quiet)
