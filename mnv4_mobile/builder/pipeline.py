"""Builds verified bundles from a checkpoint. This is the only file that orders a build's steps."""

from __future__ import annotations

import platform
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from msgspec.structs import asdict

from mnv4_mobile import files
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.builder.advice import advised
from mnv4_mobile.builder.cell import Cell
from mnv4_mobile.builder.naming import artifact_id, bundle_id
from mnv4_mobile.builder.network import Network
from mnv4_mobile.builder.reference import arranged
from mnv4_mobile.bundle.folder import write_golden, write_manifest
from mnv4_mobile.bundle.manifest import (
    LEAST_MARGIN,
    AgreementEntry,
    ArtifactEntry,
    CalibrationEntry,
    Float16RangeEntry,
    LayerEntry,
    Manifest,
    PreprocessEntry,
    SizeEntry,
)
from mnv4_mobile.bundle.parity import Parity, check, check_agreement, parities, same_class
from mnv4_mobile.bundle.versions import versions
from mnv4_mobile.bundle.worker import Worker, run_pixels
from mnv4_mobile.errors import ConfigError, MobileError, ParityError, user_error
from mnv4_mobile.images import Size
from mnv4_mobile.layers import Layer, block_of
from mnv4_mobile.program.operations import operations
from mnv4_mobile.progress import Progress
from mnv4_mobile.quantize.assignment import OVERFLOWS
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.records import replace
from mnv4_mobile.target import Joining, Lowered, Target, check_recipe, load_target
from mnv4_mobile.tensors import CLASSES, resized, sizes_text
from mnv4_mobile.units import Unit

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from mnv4_mobile.quantize.calibration import Calibration


@dataclass(frozen=True, kw_only=True)
class Task:
    """Cells that share a network and an export: one model, one deploy form."""

    cells: tuple[Cell, ...]
    """Cells that differ only in target, recipe and the target's options."""
    ingredients: Mapping[Cell, Mapping[str, str]]
    """What each cell is made of (`Cell.ingredients`)."""
    scratch: Path
    """A working folder for the bundles; its creator takes them from there, and removes it."""
    size_limits: bool = True
    """Whether images and checkpoints have limits (`mnv4_mobile.limits`)."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """The result of building a cell."""

    cell: Cell
    path: Path | None
    """The bundle, at first in the task's working folder; None if it failed."""
    error: MobileError | None = None
    seconds: float = 0
    """Seconds spent on this cell. Shared work is charged to the first cell."""
    cached: bool = False


def run(task: Task, progress: Progress) -> Iterator[Built]:
    """Builds the cells of a task one by one; `naming.bundle_id` names the bundles.

    Raises:
        MobileError: Something that all cells need failed: weights, images or the export.
    """
    if not task.scratch.is_dir():
        raise ConfigError(
            f"{task.scratch}: not visible on {platform.node()}: a cluster needs a folder that all "
            "of its machines share"
        )
    begin = time.monotonic()
    network = Network(task.cells[0], progress)
    _ = network.golden  # now, not after the first lowering: images may be unreadable
    for cell in task.cells:
        path: Path | None = None
        error = None
        try:
            path = _bundle(task, cell, network, progress)
        except Exception as failed:  # noqa: BLE001 - the other cells go on
            error = user_error(failed)
        yield Built(cell=cell, path=path, error=error, seconds=time.monotonic() - begin)
        begin = time.monotonic()


def _bundle(task: Task, cell: Cell, network: Network, progress: Progress) -> Path:
    """Builds one bundle; a bundle that fails is removed.

    Raises:
        MobileError: The target or the disk failed, a file has changed, or the bundle missed its
            gate.
    """
    target = load_target(cell.target)
    spec = cell.spec(network.spec, target)
    recipe = cell.recipe.on(target.made_for(spec))
    check_recipe(target, spec, recipe)
    cell.recipe.check_keep(network.layers)  # checks module names before the work starts
    calibration = network.calibration(recipe)  # first, because resolving `auto` needs the images
    _check_unchanged(task, cell, network)
    recipe = network.resolved(recipe)
    program = network.program(target.form(spec, recipe), recipe, calibration)
    margins = network.margins(program, recipe, calibration)
    # A task that a cluster gives to another worker finds what the first one left.
    path = Path(tempfile.mkdtemp(dir=task.scratch), bundle_id(spec, cell, target))
    path.mkdir()
    try:
        progress.step(f"{path.name}: lower")
        overflowing = tuple(name for name, margin in margins.items() if margin < LEAST_MARGIN)
        spec = replace(spec, overflowing=overflowing)
        artifact = path / f"{artifact_id(spec, cell, target)}{target.suffix}"
        lowered = _lowered(network, target, program, spec, recipe, calibration, artifact)
        for note in lowered.notes:
            progress.note(f"{path.name}: {note}")
        kept = {layer.name for layer in lowered.layers if layer.why == OVERFLOWS}
        for note in _narrow(margins, kept):
            progress.note(f"{path.name}: {note}")
        margins = {name: margin for name, margin in margins.items() if name not in kept}
        if cell.options.verify:
            progress.step(f"{path.name}: verify")
        units = cell.units(target)
        sizes = [_size(path, network, target, recipe, lowered, units, size) for size in spec.sizes]
        agreement = None
        try:
            for entry in sizes:
                at = f" at {sizes_text([entry.size])}" if len(sizes) > 1 else ""
                for unit, outputs in entry.parity.items():
                    on = f" on {unit}" if len(units) > 1 else ""
                    check(outputs, f"{path.name}{on}{at}")
            if units and calibration and recipe.gate.top1_agreement is not None:
                gate = recipe.gate.top1_agreement
                agreement = _agreement(network, target, lowered, calibration, units, gate)
                check_agreement(agreement.top1, agreement.gate, path.name)
        except ParityError as error:
            finite = all(p.finite for s in sizes for o in s.parity.values() for p in o.values())
            raise advised(
                error, cell, recipe, network, program, calibration, finite=finite
            ) from None
        write_manifest(
            path,
            Manifest(
                schema=1,
                id=path.name,
                ingredients=task.ingredients[cell],
                model=network.entry,
                target=target.name,
                recipe=recipe.name,
                options=spec.options,
                artifact=ArtifactEntry(
                    path=artifact.name, bytes=files.size(artifact), sha256=files.sha256(artifact)
                ),
                inputs=(lowered.input,),
                outputs=lowered.outputs,
                preprocess=PreprocessEntry(
                    **asdict(network.spec.preprocess),
                    inside=network.spec.input == "pixels",
                    assumed=network.spec.assumed,
                ),
                labels=network.spec.labels or None,
                golden=sizes[0].golden,
                parity=sizes[0].parity,
                layers=layers(program, recipe, lowered),
                more_sizes=tuple(sizes[1:]),
                calibration=_calibration(calibration, recipe, agreement),
                float16_range=_float16_range(calibration, margins),
                requires={f"{target.name}.{key}": v for key, v in lowered.requires.items()},
                versions=versions(target.distributions),
            ),
        )
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    return path


def _lowered(
    network: Network,
    target: Target,
    program: ExportedProgram,
    spec: BuildSpec,
    recipe: Recipe,
    calibration: Calibration | None,
    artifact: Path,
) -> Lowered:
    """Lowers a program, once for each input size if the target joins what it made of them."""
    if not spec.more_sizes or not isinstance(target, Joining):
        return target.lower(program, spec, recipe, calibration, artifact)
    with tempfile.TemporaryDirectory(dir=artifact.parent.parent) as folder:
        parts = []
        for size in spec.sizes:
            one = network.program(target.form(spec, recipe), recipe, calibration, size)
            images = network.calibration(recipe, size)
            out = Path(folder, f"{sizes_text([size])}{target.suffix}")
            parts.append(target.lower(one, spec.at(size), recipe, images, out))
        return target.join(parts, spec, artifact)


def _check_unchanged(task: Task, cell: Cell, network: Network) -> None:
    """Compares what was read with what the bundle is said to be made of, before the long work.

    The hashes are those of the bytes that the network's reader returned, and it refuses a file that
    changes later.

    Raises:
        ConfigError: Naming what differs.
    """
    known = task.ingredients[cell]
    found = cell.ingredients(network.reader.sha256)
    differing = [part for part in known if found[part] != known[part]]
    # What only the weights themselves say.
    spec, shared = (replace(one, labels=None, licence=None) for one in (network.spec, cell.shared))
    if not differing and spec != shared:
        differing = ["weights"]  # they changed even before they were hashed
    if differing:
        places = {
            "weights": cell.weights,
            "images": cell.options.images,
            "calibration": cell.options.calibrate,
        }
        named = [f"{part} ({places[part]})" if places.get(part) else part for part in differing]
        raise ConfigError(
            f"{', '.join(named)} changed after the build began, as seen on {platform.node()}; "
            "nothing was written; run the command again"
        )


def _calibration(
    calibration: Calibration | None, recipe: Recipe, agreement: AgreementEntry | None
) -> CalibrationEntry | None:
    if calibration is None:
        return None
    return CalibrationEntry(
        images=len(calibration),
        held_out=len(calibration.held),
        skipped=calibration.skipped,
        seed=calibration.seed,
        dataset_sha256=calibration.sha256(),
        range=recipe.activations.range if recipe.activations and recipe.static else None,
        agreement=agreement,
    )


def _float16_range(
    calibration: Calibration | None, margins: Mapping[str, float]
) -> Float16RangeEntry | None:
    if calibration is None or not margins:
        return None
    from mnv4_mobile.quantize.guard import IMAGES

    layer = min(margins, key=lambda name: margins[name])
    return Float16RangeEntry(
        images=min(len(calibration), IMAGES), margin=margins[layer], layer=layer
    )


def _narrow(margins: Mapping[str, float], kept: Collection[str]) -> Iterator[str]:
    """Says which layers come close to float16's limit, and what became of them.

    Args:
        margins: The margin of every layer.
        kept: The layers that the artifact computes in float32.
    """
    below = f"with a margin below {LEAST_MARGIN:g}"
    narrow = {name: margin for name, margin in margins.items() if margin < LEAST_MARGIN}
    if found := [f"{name} {margin:.2g}" for name, margin in narrow.items() if name in kept]:
        yield (
            f"computed in float32, with the layers that read them, because float16 may overflow "
            f"in them and they cannot be scaled, {below}: {', '.join(found)}"
        )
    if found := [f"{name} {margin:.2g}" for name, margin in narrow.items() if name not in kept]:
        yield f"float16 may overflow in layers that cannot be scaled, {below}: {', '.join(found)}"


def _agreement(
    network: Network,
    target: Target,
    lowered: Lowered,
    calibration: Calibration,
    units: Sequence[Unit],
    gate: float,
) -> AgreementEntry:
    """Compares classes on the held-out images; reports the worst of the units."""
    output = next(o for o in lowered.outputs if o.kind in CLASSES)
    pictures, expected = network.judged(calibration)
    top1 = 1.0
    for unit in units:
        found = _run(network, target, lowered, pictures, unit)[output.name]
        top1 = min(top1, float(same_class(expected[output.kind], found).mean()))
    return AgreementEntry(top1=top1, n=len(pictures), gate=gate)


def _run(
    network: Network,
    target: Target,
    lowered: Lowered,
    pictures: npt.NDArray[np.uint8],
    unit: Unit,
) -> dict[str, npt.NDArray[Any]]:
    """Returns the outputs of an artifact on a unit."""
    with Worker(target.name, lowered.path, unit=unit) as worker:
        preprocess = network.spec.preprocess
        return run_pixels(worker, lowered.input, lowered.outputs, pictures, preprocess)


def _size(
    folder: Path,
    network: Network,
    target: Target,
    recipe: Recipe,
    lowered: Lowered,
    units: Sequence[Unit],
    size: Size,
) -> SizeEntry:
    """Writes golden tensors of an input size into a bundle.

    Returns:
        Their entries and the parity on each unit. The artifact's golden outputs are those of the
        first unit.
    """
    images, reference = network.golden[size]
    expected = {o.name: arranged(reference[o.kind], o) for o in lowered.outputs}
    part = "golden"
    if size != network.spec.preprocess.size:
        part += f"/{sizes_text([size])}"
        outputs = (
            replace(o, shape=(o.shape[0], *expected[o.name].shape[1:])) for o in lowered.outputs
        )
        lowered = replace(lowered, input=resized(lowered.input, size), outputs=tuple(outputs))
    gates = {output.name: recipe.gate.sqnr_db for output in lowered.outputs}
    golden = write_golden(folder, "input", {"pixels": images}, part=part)
    golden += write_golden(folder, "eager", expected, gates, part=part)
    parity: dict[Unit, dict[str, Parity]] = {}
    for unit in units:
        found = _run(network, target, lowered, images, unit)
        if not parity:
            named = {o.name: found[o.name] for o in lowered.outputs}
            golden += write_golden(folder, "artifact", named, gates, part=part)
        parity[unit] = parities(lowered.outputs, expected, found, recipe.gate.sqnr_db)
    return SizeEntry(size=size, golden=tuple(golden), parity=parity)


def layers(program: ExportedProgram, recipe: Recipe, lowered: Lowered) -> tuple[LayerEntry, ...]:
    """Returns the precision of every layer, and the reason if it is not the recipe's.

    The deploy form's convolutions come first, in the order in which they run.
    """
    precision = f"int{recipe.weights.bits}" if recipe.weights else recipe.precision
    convolutions = [one.name for one in operations(program.graph) if one.kind == "conv"]
    found = {name: Layer(name=name, precision=precision, why=None) for name in convolutions}
    found |= {layer.name: layer for layer in lowered.layers}
    return tuple(
        LayerEntry(
            name=name,
            kind="convolution" if name in convolutions else "other",
            block=block_of(name),
            precision=layer.precision,
            why=layer.why,
        )
        for name, layer in found.items()
    )
