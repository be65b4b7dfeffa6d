"""What to do about a bundle that missed its gate."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from mnv4_mobile.builder.cell import Cell
from mnv4_mobile.builder.network import Network
from mnv4_mobile.builder.selection import maps
from mnv4_mobile.errors import ParityError
from mnv4_mobile.quantize.calibration import RANDOM_IMAGES
from mnv4_mobile.recipe import Recipe, load_recipe
from mnv4_mobile.target import load_target

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from mnv4_mobile.quantize.calibration import Calibration

_CLOSER = {
    "fp16": ("fp32", "int8"),
    "int8": ("int8-distilled", "w8a16", "int8-weights", "fp16"),
    "int8-int16": ("fp16",),
    "int8-dynamic": ("int8-weights", "fp16"),
    "int8-weights": ("fp16", "fp32"),
    "int4-weights": ("int8-weights", "fp16"),
    "palettize-4": ("palettize-6", "palettize-8"),
    "palettize-6": ("palettize-8", "fp16"),
    "palettize-8": ("fp16", "fp32"),
}
"""Shipped recipes closer to the float network, by the scheme of the recipe that missed its gate."""


def advised(
    error: ParityError,
    cell: Cell,
    recipe: Recipe,
    network: Network,
    program: ExportedProgram,
    calibration: Calibration | None,
    *,
    finite: bool,
) -> ParityError:
    """Returns the error of a missed gate, extended by what to do about it.

    Args:
        error: The missed gate.
        cell: What was built.
        recipe: The cell's recipe, for the unit that the artifact is made for.
        network: The network and its golden images.
        program: The deploy form that was lowered.
        calibration: The calibration images.
        finite: Whether all outputs of the artifact are finite.
    """
    lines: list[str] = []
    if recipe.precision == "float16" or not finite:
        lines += _overflow(recipe, program, network, calibration)
    lines += _images(cell, recipe, calibration)
    lines += _commands(cell, recipe)
    return ParityError("\n  ".join([str(error), *lines]))


def _overflow(
    recipe: Recipe, program: ExportedProgram, network: Network, calibration: Calibration | None
) -> Iterator[str]:
    """Yields the layer that has the largest value or sum, on golden and calibration images."""
    from mnv4_mobile.quantize.guard import FLOAT16_MAX, IMAGES, largest_sums

    images = [*network.images, *islice(calibration or (), IMAGES)]
    sums = largest_sums(program, network.spec, images)
    largest = {name: float(found.max()) for name, found in sums.items()}
    layer = max(largest, key=lambda name: largest[name])
    first = next((name for name, found in largest.items() if found > FLOAT16_MAX), None)
    reached = f"{layer} reaches {largest[layer]:.6g}"
    if first is None:
        yield f"no layer overflows: float16 holds up to {FLOAT16_MAX:g}, {reached}"
        return
    where = "" if first == layer else f"; {first} is the first to exceed that"
    yield f"float16 overflows: it holds up to {FLOAT16_MAX:g}, {reached}{where}"
    if "guard" in recipe.prepare and calibration is None:
        yield "scale down what overflows, where that is exact: --calibrate DIR"


def _images(cell: Cell, recipe: Recipe, calibration: Calibration | None) -> Iterator[str]:
    if recipe.calibration is None or not (recipe.static or {*recipe.prepare} - {"guard"}):
        return
    wanted = recipe.calibration.images
    if cell.options.calibrate is None:
        yield f"calibrate with up to {wanted} images: --calibrate DIR"
    elif cell.options.calibrate == RANDOM_IMAGES:
        yield "calibrate with images of your app: random ones are for speed and structure only"
    elif calibration is not None and len(calibration) < wanted:
        yield f"calibrate with more images: found {len(calibration)}, the recipe uses {wanted}"


def _commands(cell: Cell, recipe: Recipe) -> Iterator[str]:
    """Yields commands that build a closer bundle, or that find out how to."""
    if cell.head:
        return  # the command cannot take one
    target = load_target(cell.target)
    folder = cell.options.calibrate
    images = "DIR" if folder in (None, RANDOM_IMAGES) else folder
    calibrate = f" --calibrate {shlex.quote(images)}"
    for name in _CLOSER.get(recipe.scheme, ()):
        other = load_recipe(name)
        if name != recipe.name and maps(target, other):
            useful = other.calibration and folder not in (None, RANDOM_IMAGES)
            needs = calibrate if other.needs_images or useful else ""
            yield f"try: mnv4 build {_same(cell)} -t {cell.target} -r {name}{needs}"
    if recipe.static:
        yield f"see what each block costs: mnv4 sensitivity {shlex.join(cell.asked)}{calibrate}"
        yield (
            "search what to keep in float: "
            f"mnv4 tune {' '.join([shlex.join(cell.asked), *_sets(cell)])} -t {cell.target}"
            f"{calibrate} --max-drop 1"
        )


def _sets(cell: Cell) -> list[str]:
    return [f"--set {cell.target}.{name}={value}" for name, value in cell.chosen.items()]


def _same(cell: Cell) -> str:
    """Returns the arguments of `mnv4 build` for the same network and options of the target."""
    sets = _sets(cell)
    size = cell.options.size
    if size and size != cell.preprocess.completed(cell.model.input_size).size:
        sets.insert(0, f"--input-size {size[0]}x{size[1]}")
    return " ".join([shlex.join(cell.asked), *sets])
