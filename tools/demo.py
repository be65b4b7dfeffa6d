"""Builds a model for all targets, verifies it and classifies images with each: `make demo`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mnv4_mobile import Options, build, load
from mnv4_mobile.build_spec import OptionValue
from mnv4_mobile.cli.steps import steps
from mnv4_mobile.errors import MobileError
from mnv4_mobile.images import list_images
from mnv4_mobile.labels import read_labels
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.target import load_target

DEMO = Path(__file__).parent.parent / "mnv4_mobile" / "demo"


def choices(target: str) -> tuple[str, dict[str, OptionValue]]:
    """Returns the float recipe and the required options with which a target builds the demo."""
    found = load_target(target)
    required = [option for option in found.options if option.required]
    recipe = "fp32" if "fp32" in found.schemes else "fp16"
    return recipe, {option.name: option.default_for(load_recipe(recipe)) for option in required}


def main() -> None:
    """Runs the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="demo")
    parser.add_argument("--images", type=Path, help="a folder of images")
    parser.add_argument("-o", "--out", type=Path, default=Path("demo-out"))
    arguments = parser.parse_args()
    weights = arguments.weights
    pictures = DEMO / ("pictures" if weights == "demo" else "photos")
    images = list_images(arguments.images or pictures)
    with steps(verbose=False) as progress:
        bundles = build(
            weights,
            out=arguments.out,
            targets=["all"],
            force=True,
            options=Options(labels=None if weights == "demo" else read_labels("imagenet-1k")),
            progress=progress,
        )
        found = []
        for bundle in bundles:
            progress.step(f"{bundle.manifest.id}: classify {len(images)} images")
            with load(bundle.path) as model:
                found.append(model.classify(images, top=1))
    table = Table(title="Predictions of each artifact", title_justify="left")
    table.add_column("image")
    for bundle in bundles:
        parity = bundle.manifest.parity["cpu"]["logits"]
        table.add_column(
            f"{bundle.manifest.target}\n{bundle.artifact.suffix}, "
            f"{bundle.manifest.artifact.bytes / 1e6:.1f} MB\n{parity.sqnr_db:.0f} dB"
        )
    for index, image in enumerate(images):
        tops = [predictions[index][0] for predictions in found]
        table.add_row(image.name, *(f"{top.label} {top.probability:.0%}" for top in tops))
    Console().print(table)
    print(f"\nThe bundles are in {arguments.out}/; try `mnv4 inspect {bundles[0].path}`.")


if __name__ == "__main__":
    try:
        main()
    except MobileError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
