"""`mnv4 build`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mnv4_mobile import limits
from mnv4_mobile.cli import complete, next_step
from mnv4_mobile.cli.show import (
    Json,
    NoSizeLimits,
    Quiet,
    Sets,
    UnitNames,
    Verbose,
    agreement,
    decibels,
    error_document,
    megabytes,
    print_json,
    print_table,
    print_text,
    show_next,
    size_of,
    split,
)
from mnv4_mobile.cli.steps import steps
from mnv4_mobile.errors import ConfigError, StoppedError

if TYPE_CHECKING:
    from mnv4_mobile.builder.pipeline import Built

_Option = typer.Option
_GO_ON = "finished bundles are kept; run the same command again to build the rest"


def build(
    models_or_weights: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL_OR_WEIGHTS...",
            autocompletion=complete.models,
            help="Weights, from which the model is found: a checkpoint's file or folder, "
            "hf-hub:OWNER/NAME or demo. Or models, with --weights: names of mnv4 models, timm's "
            "names, or .yaml files. Several may be separated by commas.",
        ),
    ],
    weights: Annotated[
        str | None,
        _Option(
            help="The weights of the models: a checkpoint's file or folder, hf-hub:OWNER/NAME, "
            "demo or random:SEED; {model} in it stands for the name of each model.",
            metavar="W",
            autocompletion=complete.weights,
        ),
    ] = None,
    target: Annotated[
        list[str],
        _Option(
            "-t",
            "--target",
            help="Runtime to build for (see mnv4 targets). Repeat, or separate by commas. all: "
            "every target whose toolchain is installed and whose required options are given.",
            metavar="T",
            autocompletion=complete.targets,
        ),
    ] = [],  # noqa: B006 - typer makes a new list for every call
    recipe: Annotated[
        list[str],
        _Option(
            "-r",
            "--recipe",
            help="Precision to build in (see mnv4 recipes). Repeat, or separate by commas. all: "
            "every shipped recipe.",
            metavar="R",
            autocompletion=complete.recipes,
        ),
    ] = ["fp32"],  # noqa: B006
    out: Annotated[Path, _Option("-o", "--out", help="Folder for the bundles.")] = Path("out"),
    input_size: Annotated[
        list[str],
        _Option(
            help="Input size: H or HxW. Repeat, or separate by commas, for a bundle of each size; "
            "join by + for one bundle that takes all of them, the first by default.",
            metavar="SIZE",
        ),
    ] = [],  # noqa: B006
    batch: Annotated[int, _Option(help="Number of images in one run.")] = 1,
    input: Annotated[
        Literal["float", "pixels"],
        _Option(help="Input: normalised floats, or RGB bytes that the artifact normalises."),
    ] = "float",
    layout: Annotated[
        Literal["nchw", "nhwc"] | None,
        _Option(help="Input layout. Default: what the runtime prefers."),
    ] = None,
    io: Annotated[
        Literal["float32", "float16", "int8", "uint8"] | None,
        _Option(
            help="Type of inputs and outputs; integers need static int8. Default: what the target "
            "prefers for the recipe."
        ),
    ] = None,
    outputs: Annotated[
        list[str],
        _Option(
            help="What the model returns: logits, probabilities, embedding, stage_N, or features "
            "(the stages that the configuration names).",
            metavar="OUTPUT",
        ),
    ] = ["logits"],  # noqa: B006
    num_classes: Annotated[
        int | None, _Option(help="Replace the classifier by an untrained one of this size.")
    ] = None,
    labels: Annotated[
        str | None, _Option(help="Class names: a file with one per line, or imagenet-1k.")
    ] = None,
    mean: Annotated[
        str | None, _Option(help="Mean that pixels are normalised by, in 0..1.", metavar="R,G,B")
    ] = None,
    std: Annotated[
        str | None,
        _Option(help="Deviation that pixels are normalised by, in 0..1.", metavar="R,G,B"),
    ] = None,
    crop: Annotated[
        float | None, _Option(help="Share of the image that the centre crop keeps.")
    ] = None,
    interpolation: Annotated[
        Literal["nearest", "bilinear", "bicubic", "lanczos"] | None,
        _Option(help="How images are resized."),
    ] = None,
    images: Annotated[
        Path | None,
        _Option(help="Folder of images for the golden pairs. Default: generated images."),
    ] = None,
    calibrate: Annotated[
        str | None,
        _Option(
            help="Folder of images, for recipes that calibrate. random: generated images, for "
            "speed and structure only.",
            metavar="DIR",
        ),
    ] = None,
    skip_unsupported: Annotated[
        bool,
        _Option(
            "--skip-unsupported",
            help="Leave out recipes that a target does not support, and those that need "
            "--calibrate where it is not given.",
        ),
    ] = False,
    sets: Sets = [],  # noqa: B006
    verify: Annotated[bool, _Option(help="Run each artifact against the PyTorch model.")] = True,
    unit: UnitNames = [],  # noqa: B006
    jobs: Annotated[
        int | None,
        _Option(help="Number of tasks at a time. Default: what cores and memory allow.", min=1),
    ] = None,
    scheduler: Annotated[
        str | None,
        _Option(help="Build on the workers of this Dask scheduler.", metavar="tcp://HOST:PORT"),
    ] = None,
    name: Annotated[
        str | None, _Option(help="Replace the model's name in the bundle's name.", metavar="NAME")
    ] = None,
    force: Annotated[
        bool,
        _Option("--force", help="Replace bundles in --out that are made of other ingredients."),
    ] = False,
    cache: Annotated[
        bool, _Option(help="Take what was built before from the cache (mnv4 cache).")
    ] = True,
    no_size_limits: NoSizeLimits = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Builds a verified bundle for each model, size, recipe and target, on all cores."""
    limits.lift(no_size_limits)
    targets = split("--target", target)
    if not targets:
        from mnv4_mobile.target import target_names

        raise ConfigError(f"--target: missing; allowed: {', '.join(target_names())}, all")
    from mnv4_mobile.builder.cache import Cache
    from mnv4_mobile.builder.cell import Options
    from mnv4_mobile.builder.matrix import build_cells, cells
    from mnv4_mobile.bundle.folder import open_bundle
    from mnv4_mobile.files import cache_folder
    from mnv4_mobile.labels import read_labels
    from mnv4_mobile.option import parse_set
    from mnv4_mobile.units import read_units

    given, units = parse_set(sets), read_units(split("--unit", unit))
    if units and not verify:
        raise ConfigError("--unit: found with --no-verify, which runs nothing")
    sizes: list[list[Any]] = [
        [size_of(part) for part in text.split("+")] for text in split("--input-size", input_size)
    ]
    options = [
        Options(
            name=name,
            size=first,
            more_sizes=tuple(others),
            batch=batch,
            input=input,
            layout=layout,
            io=io,
            outputs=tuple(split("--outputs", outputs)),
            num_classes=num_classes,
            labels=read_labels(labels) if labels else None,
            mean=_rgb("--mean", mean),
            std=_rgb("--std", std),
            crop=crop,
            interpolation=interpolation,
            images=images.absolute() if images else None,
            calibrate=_folder(calibrate),
            options=given,
            verify=verify,
            units=units,
        )
        for first, *others in sizes or [[None]]
    ]
    try:
        with steps(verbose, quiet) as progress:
            built = build_cells(
                cells(
                    split("MODEL_OR_WEIGHTS", models_or_weights),
                    weights,
                    targets,
                    split("--recipe", recipe),
                    options,
                    skip_unsupported=skip_unsupported,
                    progress=progress,
                ),
                out,
                cache=Cache(cache_folder(), progress) if cache else None,
                jobs=jobs,
                scheduler=scheduler,
                force=force,
                progress=progress,
            )
    except KeyboardInterrupt:
        raise StoppedError(f"interrupted; {_GO_ON}") from None
    if as_json:
        print_json({"bundles": [_record(one) for one in built]})
    else:
        columns = ["bundle", ">size", "SQNR in dB", ">top-1 agreement", ">seconds"]
        print_table(columns, [_row(one) for one in built])
    errors = [one.error for one in built if one.error]
    if len(built) == 1 and errors:
        raise errors[0]
    for one in built:
        if one.error:
            print_text(f"error: {one.cell.name}: {one.error}", err=True)
    if errors:
        raise type(errors[0])(f"{len(errors)} of {len(built)} bundles failed; {_GO_ON}")
    first = open_bundle(built[0].path) if built[0].path else None
    if first:
        show_next(next_step.predict(first, images), hidden=as_json or quiet)


def _record(one: Built) -> dict[str, Any]:
    from mnv4_mobile.bundle.folder import open_bundle

    if one.path is None:
        assert one.error is not None
        return {"cell": one.cell.name, "error": error_document(one.error)}
    manifest = open_bundle(one.path).manifest
    return {"path": str(one.path), "cached": one.cached, "manifest": manifest}


def _row(one: Built) -> list[str]:
    from mnv4_mobile.bundle.folder import open_bundle

    if one.path is None:
        return [one.cell.name, "failed", "", "", ""]
    manifest = open_bundle(one.path).manifest
    parity = manifest.parity
    return [
        str(one.path),
        megabytes(manifest.artifact.bytes),
        decibels(parity),
        agreement(parity),
        "cached" if one.cached else f"{one.seconds:.1f}",
    ]


def _folder(calibrate: str | None) -> str | None:
    """Returns the folder as an absolute path, because workers may run in another folder."""
    from mnv4_mobile.quantize.calibration import RANDOM_IMAGES

    return calibrate if calibrate in (None, RANDOM_IMAGES) else str(Path(calibrate).absolute())


def _rgb(flag: str, text: str | None) -> tuple[float, float, float] | None:
    if text is None:
        return None
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"{flag}: found {text!r}, must be three numbers, as in 0.5,0.5,0.5"
        ) from None
    return red, green, blue
