"""`mnv4 build`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mnv4_mobile.cli.show import (
    Json,
    Verbose,
    agreement,
    decibels,
    megabytes,
    print_json,
    print_table,
    split,
    steps,
)
from mnv4_mobile.errors import ConfigError

_Option = typer.Option


def build(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL...", help="Shipped configurations or YAML files."),
    ],
    weights: Annotated[
        str,
        _Option(help="A checkpoint file, hf-hub:OWNER/NAME, demo, or random:SEED.", metavar="W"),
    ] = "",
    target: Annotated[
        list[str], _Option("-t", "--target", help="Repeat, or separate by commas.", metavar="T")
    ] = [],  # noqa: B006 - typer makes a new list for every call
    recipe: Annotated[
        list[str], _Option("-r", "--recipe", help="Repeat, or separate by commas.", metavar="R")
    ] = ["fp32"],  # noqa: B006
    out: Annotated[Path, _Option("-o", "--out", help="Folder for the bundles.")] = Path("out"),
    input_size: Annotated[
        list[str],
        _Option(help="H or HxW; repeat, or separate by commas.", metavar="SIZE"),
    ] = [],  # noqa: B006
    batch: Annotated[int, _Option(help="Images a run.")] = 1,
    input: Annotated[
        Literal["float", "pixels"],
        _Option(help="Normalised floats, or RGB bytes normalised in the artifact."),
    ] = "float",
    layout: Annotated[
        Literal["nchw", "nhwc"] | None, _Option(help="Of the input; default: the target's own.")
    ] = None,
    io: Annotated[
        Literal["float32", "float16"], _Option(help="Type of float inputs and outputs.")
    ] = "float32",
    outputs: Annotated[
        list[str],
        _Option(
            help="logits, probabilities, embedding, features (all feature maps) or stage_N.",
            metavar="OUTPUT",
        ),
    ] = ["logits"],  # noqa: B006
    num_classes: Annotated[
        int | None, _Option(help="Replaces the classifier by an untrained one of this size.")
    ] = None,
    labels: Annotated[str | None, _Option(help="A file, or imagenet-1k.")] = None,
    mean: Annotated[str | None, _Option(help="R,G,B in 0..1.", metavar="R,G,B")] = None,
    std: Annotated[str | None, _Option(help="R,G,B in 0..1.", metavar="R,G,B")] = None,
    crop: Annotated[float | None, _Option(help="Share that the centre crop keeps.")] = None,
    interpolation: Annotated[
        Literal["nearest", "bilinear", "bicubic", "lanczos"] | None, _Option(help="Of resizing.")
    ] = None,
    images: Annotated[
        Path | None, _Option(help="Pictures for the golden pairs; default: made up.")
    ] = None,
    min_ios: Annotated[int, _Option(help="16, 17 or 18.")] = 16,
    compute_unit: Annotated[
        str, _Option(help="Of Core ML: all, cpu_and_ne, cpu_and_gpu or cpu_only.")
    ] = "all",
    verify: Annotated[bool, _Option(help="Run each artifact against the PyTorch model.")] = True,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Builds verified bundles: one a model, size, recipe and target."""
    if not weights:
        raise ConfigError(
            "--weights: missing; allowed: a checkpoint file, hf-hub:OWNER/NAME, demo, random:SEED"
        )
    targets = split(target)
    if not targets:
        from mnv4_mobile.target import target_names

        raise ConfigError(f"--target: missing; allowed: {', '.join(target_names())}")
    from mnv4_mobile import pipeline

    sizes: list[tuple[int, int] | None] = [_size(text) for text in split(input_size)]
    options = [
        pipeline.Options(
            size=size,
            batch=batch,
            input=input,
            layout=layout,
            io=io,
            outputs=tuple(split(outputs)),
            num_classes=num_classes,
            labels=labels,
            mean=_rgb("--mean", mean),
            std=_rgb("--std", std),
            crop=crop,
            interpolation=interpolation,
            images=images,
            min_ios=min_ios,
            compute_unit=compute_unit,
            verify=verify,
        )
        for size in sizes or [None]
    ]
    built = []
    with steps(verbose) as progress:
        for model in models:
            for chosen in options:
                built += pipeline.build(
                    model,
                    weights=weights,
                    out=out,
                    targets=targets,
                    recipes=split(recipe),
                    options=chosen,
                    progress=progress,
                )
    if as_json:
        print_json([{"path": str(b.path), "manifest": b.manifest} for b in built])
        return
    rows = []
    for bundle in built:
        manifest = bundle.manifest
        size = megabytes(manifest["artifact"]["bytes"])
        parity = dict(manifest["parity"])
        rows.append([str(bundle.path), size, decibels(parity), agreement(parity)])
    print_table(["bundle", ">size", "SQNR in dB", ">top-1 agreement"], rows)


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isascii() and part.isdecimal() for part in parts):
        raise ConfigError(f"--input-size: found {text!r}, must be H or HxW, as in 224 or 256x320")
    return int(parts[0]), int(parts[-1])


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
