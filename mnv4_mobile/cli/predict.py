"""`mnv4 predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mnv4_mobile import limits
from mnv4_mobile.cli import next_step
from mnv4_mobile.cli.show import (
    BundlePath,
    BundleSize,
    Json,
    NoSizeLimits,
    Quiet,
    Threads,
    open_at,
    print_json,
    print_table,
    show_next,
)


def predict(
    bundle: BundlePath,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    top: Annotated[int, typer.Option(help="Number of classes for each image.", min=1)] = 5,
    input_size: BundleSize = None,
    threads: Threads = 1,
    no_size_limits: NoSizeLimits = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Classifies images with the artifact of a bundle."""
    limits.lift(no_size_limits)
    from mnv4_mobile.quality.predict import load

    with load(open_at(bundle, input_size), threads=threads) as model:
        found = model.classify(images, top)
    if as_json:
        print_json(
            {
                "images": [
                    {"image": str(image), "predictions": predictions}
                    for image, predictions in zip(images, found, strict=True)
                ]
            }
        )
        return
    rows = [
        [str(image) if rank == 0 else "", p.label, f"{p.probability:.1%}"]
        for image, predictions in zip(images, found, strict=True)
        for rank, p in enumerate(predictions)
    ]
    print_table(["image", "class", ">probability"], rows)
    show_next(next_step.measure(bundle), hidden=quiet)
