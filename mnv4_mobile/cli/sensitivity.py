"""`mnv4 sensitivity`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mnv4_mobile import limits
from mnv4_mobile.cli import complete, next_step
from mnv4_mobile.cli.show import (
    Json,
    ModelOrWeights,
    NoSizeLimits,
    Quiet,
    Verbose,
    Weights,
    print_json,
    print_table,
    show_next,
    size_of,
)
from mnv4_mobile.cli.steps import steps


def sensitivity(
    model_or_weights: ModelOrWeights,
    calibrate: Annotated[
        str,
        typer.Option(help="Folder of images. A fifth of them is used to judge.", metavar="DIR"),
    ],
    weights: Weights = None,
    recipe: Annotated[
        str,
        typer.Option(
            "-r",
            "--recipe",
            help="A recipe with static integers.",
            metavar="R",
            autocompletion=complete.recipes,
        ),
    ] = "int8",
    images: Annotated[
        int, typer.Option(help="Judge by at most this many images.", metavar="N", min=2)
    ] = 128,
    unit: Annotated[
        Literal["cpu", "gpu", "npu"] | None,
        typer.Option(help="Keep in float what the recipe keeps in float on this unit."),
    ] = None,
    input_size: Annotated[
        str | None, typer.Option(help="H or HxW. Default: the checkpoint's.", metavar="SIZE")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File for a plot: .png, .svg, .pdf or .html.")
    ] = None,
    no_size_limits: NoSizeLimits = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Shows what each block costs in integers, simulated on images that calibration did not see.

    The figures are 10th percentiles over the images; the block that costs most comes first.
    """
    limits.lift(no_size_limits)
    from dataclasses import asdict

    from mnv4_mobile.builder.cell import Options
    from mnv4_mobile.images import assumption
    from mnv4_mobile.model.resolve import resolve
    from mnv4_mobile.quality.figure import check_figure
    from mnv4_mobile.quality.sensitivity import Judge, plot
    from mnv4_mobile.quality.sensitivity import sensitivity as run
    from mnv4_mobile.recipe import load_recipe

    if out:
        check_figure(out)
    options = Options(size=size_of(input_size) if input_size else None, calibrate=calibrate)
    chosen = load_recipe(recipe)
    chosen = chosen.on(unit) if unit else chosen
    with steps(verbose, quiet) as progress:
        resolved = resolve(model_or_weights, weights)
        spec = resolved.model
        for note in resolved.notes:
            progress.note(note)
        if assumed := resolved.preprocess.assumed:
            progress.note(assumption(assumed))
        judge = Judge(spec, resolved.weights, chosen, options, images=images, progress=progress)
        found = run(judge, chosen, progress)
        if out:
            plot(found, out, f"{spec.name}, {chosen.name}, {found.images} images")
    if as_json:
        print_json(asdict(found))
        return
    total = found.total
    rows = [
        [
            cost.block,
            cost.role,
            f"{cost.alone.sqnr_db_p10:.1f}",
            f"{cost.alone.sqnr_db:.1f}",
            f"{cost.noise_share:.1%}",
            f"{cost.alone.agreement:.1%}",
        ]
        for cost in found.blocks
    ]
    all_blocks = [f"{total.sqnr_db_p10:.1f}", f"{total.sqnr_db:.1f}"]
    rows.append(["all", "", *all_blocks, "", f"{total.agreement:.1%}"])
    columns = ["block", "role", ">alone, dB", ">median", ">noise", ">agreement"]
    title = f"{spec.name}, {chosen.name}: 10th percentile of {found.images} images"
    print_table(columns, rows, title)
    words = ["doctor"]
    if target := next_step.installed_target(chosen):
        words = ["tune", *resolved.asked, "--calibrate", calibrate, "-r", recipe]
        words += ["--input-size", input_size] if input_size else []
        words += ["-t", target]
    show_next(words, hidden=quiet)
