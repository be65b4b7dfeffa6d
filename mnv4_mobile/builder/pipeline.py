"""From a configuration and a checkpoint to verified bundles: the only file that knows the order."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mnv4_mobile import files
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.builder.cell import Cell
from mnv4_mobile.builder.network import Source
from mnv4_mobile.builder.reference import arranged
from mnv4_mobile.bundle.manifest import (
    MANIFEST,
    SCHEMA,
    AgreementEntry,
    ArtifactEntry,
    CalibrationEntry,
    LayerEntry,
    Manifest,
    PreprocessEntry,
    QuantizationEntry,
    TensorEntry,
    write_golden,
    write_manifest,
)
from mnv4_mobile.bundle.parity import check, check_agreement, parities
from mnv4_mobile.bundle.versions import versions
from mnv4_mobile.bundle.worker import Worker, run_pixels
from mnv4_mobile.errors import ConfigError, MobileError, told
from mnv4_mobile.layers import Layer, block_of
from mnv4_mobile.progress import Progress
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.target import Lowered, Target, check_recipe, load_target
from mnv4_mobile.tensors import CLASSES, TensorSpec

if TYPE_CHECKING:
    from mnv4_mobile.model.net import MobileNetV4
    from mnv4_mobile.quantize.calibration import Calibration


@dataclass(frozen=True, kw_only=True)
class Task:
    """Cells that share a network and an export: one model, one layout of attention."""

    cells: tuple[Cell, ...]
    """They differ in target and recipe."""
    out: Path
    """The folder of the bundles."""
    scratch: Path
    """A folder in it to work in; whoever made it removes it, even if this process is killed."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """What became of a cell."""

    cell: Cell
    path: Path | None
    """The bundle; None where it failed."""
    error: MobileError | None = None
    seconds: float = 0
    """Of its own part: what cells share is counted with the first of them."""
    cached: bool = False


def run(task: Task, progress: Progress) -> Iterator[Built]:
    """Builds the cells of a task one by one, as `out`/<model>-<H>x<W>-<recipe>.<target>.

    Raises:
        MobileError: What all cells need failed: weights, pictures, the export.
    """
    if not task.scratch.is_dir():
        raise ConfigError(
            f"{task.out}: not seen from {platform.node()}: a cluster needs a folder that all of "
            "its machines share"
        )
    begin = time.monotonic()
    source = Source(task.cells[0], progress)
    _ = source.reference  # now, not after the first lowering: pictures may be unreadable
    for cell in task.cells:
        path: Path | None = None
        error = None
        try:
            path = _bundle(task, cell, source, progress)
        except Exception as failed:  # noqa: BLE001 - the other cells go on
            error = told(failed)
        yield Built(cell=cell, path=path, error=error, seconds=time.monotonic() - begin)
        begin = time.monotonic()


def _bundle(task: Task, cell: Cell, source: Source, progress: Progress) -> Path:
    """Builds one bundle; nothing is left of one that fails.

    Raises:
        MobileError: The target, the disk or the gate.
    """
    path = task.out / bundle_id(source.spec, cell)
    files.check_replaceable(path, MANIFEST)
    target = load_target(cell.target)
    spec = cell.spec(source.spec, target)
    recipe = cell.recipe.on(target.made_for(spec))
    check_recipe(target, spec, recipe)
    cell.recipe.check_keep(source.layers)  # before the work, as far as modules are concerned
    recipe = source.resolved(recipe)
    calibration = source.calibration(recipe)  # the same that `resolved` has seen
    program = source.program(target.form(spec, recipe), recipe, calibration)
    with files.new_folder(path, MANIFEST, task.scratch) as folder:
        progress.step(f"{path.name}: lower")
        artifact = folder / f"model{target.suffix}"
        lowered = target.lower(program, spec, recipe, calibration, artifact)
        manifest = _manifest(path.name, source, target, recipe, lowered)
        if calibration:
            manifest["calibration"] = _calibration(calibration, recipe)
        if cell.options.verify:
            progress.step(f"{path.name}: verify")
        _golden_pairs(folder, manifest, source, recipe, lowered, verify=cell.options.verify)
        if cell.options.verify and calibration and recipe.min_agreement is not None:
            _check_agreement(manifest, source, lowered, calibration, recipe.min_agreement)
        write_manifest(folder, manifest)
    return path


def _calibration(calibration: Calibration, recipe: Recipe) -> CalibrationEntry:
    return CalibrationEntry(
        images=len(calibration),
        held_back=len(calibration.held),
        skipped=calibration.skipped,
        seed=calibration.seed,
        dataset_sha256=calibration.sha256(),
        range=recipe.activations.range if recipe.activations and recipe.static else None,
        agreement=None,
    )


def _check_agreement(
    manifest: Manifest, source: Source, lowered: Lowered, calibration: Calibration, gate: float
) -> None:
    """Compares classes on the pictures that calibration has not seen.

    Raises:
        ParityError: The gate is missed.
    """
    output = next(o for o in lowered.outputs if o.kind in CLASSES)
    pictures, expected = source.judged(calibration)
    with Worker(manifest["target"], lowered.path) as worker:
        found = run_pixels(worker, lowered.input, lowered.outputs, pictures, source.spec.preprocess)
    same = expected[output.kind].argmax(1) == found[output.name].argmax(1)
    top1 = float(same.mean())
    manifest["calibration"]["agreement"] = AgreementEntry(top1=top1, n=len(same), gate=gate)
    check_agreement(top1, gate, manifest["id"])


def _golden_pairs(
    folder: Path,
    manifest: Manifest,
    source: Source,
    recipe: Recipe,
    lowered: Lowered,
    *,
    verify: bool,
) -> None:
    """Adds golden tensors to a bundle, and the parity where it is to be verified.

    Raises:
        ParityError: The gate is missed.
    """
    outputs = lowered.outputs
    gates = {output.name: recipe.min_sqnr_db for output in outputs}
    expected = {output.name: arranged(source.reference[output.kind], output) for output in outputs}
    golden = write_golden(folder, "input", {"pixels": source.images})
    golden += write_golden(folder, "eager", expected, gates)
    if verify:
        with Worker(manifest["target"], lowered.path) as worker:
            found = run_pixels(
                worker, lowered.input, outputs, source.images, source.spec.preprocess
            )
        manifest["parity"] = parities(outputs, expected, found, recipe.min_sqnr_db)
        check(manifest["parity"], manifest["id"])
        golden += write_golden(folder, "artifact", {o.name: found[o.name] for o in outputs}, gates)
    manifest["golden"] = golden


def bundle_id(spec: BuildSpec, cell: Cell) -> str:
    """<model>-<H>x<W>-<recipe>.<target>."""
    height, width = spec.preprocess.size
    return f"{spec.model.name}-{height}x{width}-{cell.recipe.name}.{cell.target}"


def layers(net: MobileNetV4, recipe: Recipe, lowered: Lowered) -> list[LayerEntry]:
    """The precision of every layer, and why where it is not the recipe's.

    The network's convolutions come first, in the order in which they run.
    """
    from torch import nn

    precision = f"int{recipe.weights.bits}" if recipe.weights else recipe.precision
    convolutions = [name for name, m in net.named_modules() if isinstance(m, nn.Conv2d)]
    found = {name: Layer(name=name, precision=precision, why=None) for name in convolutions}
    found |= {layer.name: layer for layer in lowered.layers}
    return [
        LayerEntry(
            name=name,
            kind="convolution" if name in convolutions else "other",
            block=block_of(name),
            precision=layer.precision,
            why=layer.why,
        )
        for name, layer in found.items()
    ]


def _entry(tensor: TensorSpec) -> TensorEntry:
    entry = TensorEntry(
        name=tensor.name,
        kind=tensor.kind,
        shape=list(tensor.shape),
        dtype=tensor.dtype,
        layout=tensor.layout,
    )
    if grid := tensor.quantization:
        entry["quantization"] = QuantizationEntry(scale=grid.scale, zero_point=grid.zero_point)
    return entry


def _manifest(
    name: str, source: Source, target: Target, recipe: Recipe, lowered: Lowered
) -> Manifest:
    """The manifest, but for golden tensors and parity."""
    spec, preprocess = source.spec, source.spec.preprocess
    return Manifest(
        schema=SCHEMA,
        id=name,
        model=source.entry,
        target=target.name,
        recipe=recipe.name,
        artifact=ArtifactEntry(
            path=lowered.path.name,
            bytes=files.size(lowered.path),
            sha256=files.sha256(lowered.path),
        ),
        inputs=[_entry(lowered.input)],
        outputs=[_entry(output) for output in lowered.outputs],
        preprocess=PreprocessEntry(
            size=list(preprocess.size),
            crop=preprocess.crop,
            interpolation=preprocess.interpolation,
            mean=list(preprocess.mean),
            std=list(preprocess.std),
            inside=spec.input == "pixels",
        ),
        labels=list(spec.labels) if spec.labels else None,
        golden=[],
        parity={},
        layers=layers(source.net, recipe, lowered),
        requires={f"{target.name}.{key}": value for key, value in lowered.requires.items()},
        versions=versions(target.distributions),
    )
