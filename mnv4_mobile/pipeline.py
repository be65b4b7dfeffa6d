"""From a configuration and a checkpoint to verified bundles: the only file that knows the order."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256 as hash_of
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from mnv4_mobile import files
from mnv4_mobile.bundle import (
    MANIFEST,
    SCHEMA,
    ArtifactEntry,
    Bundle,
    LayerEntry,
    Manifest,
    ModelEntry,
    PreprocessEntry,
    TensorEntry,
    open_bundle,
    write_golden,
    write_manifest,
)
from mnv4_mobile.config import read_model
from mnv4_mobile.images import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Interpolation,
    Preprocess,
)
from mnv4_mobile.labels import check_labels, read_labels
from mnv4_mobile.parity import check, parities
from mnv4_mobile.progress import Progress
from mnv4_mobile.recipe import Recipe, load_recipe
from mnv4_mobile.reference import arranged, eager, export, golden_pixels, load_net
from mnv4_mobile.target import (
    BuildSpec,
    Layer,
    Layout,
    Lowered,
    Target,
    Tensor,
    check_recipe,
    load_target,
    require,
)
from mnv4_mobile.worker import Worker, run_pixels

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from mnv4_mobile.model.net import MobileNetV4
    from mnv4_mobile.model.weights import Checkpoint

_TOOLS = ("torch", "executorch", "coremltools", "litert-torch", "ai-edge-litert")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be chosen beside model, weights, targets and recipes; see `BuildSpec`."""

    size: tuple[int, int] | None = None
    """(height, width); None is the checkpoint's, or else the configuration's."""
    batch: int = 1
    input: Literal["float", "pixels"] = "float"
    layout: Layout | None = None
    io: Literal["float32", "float16"] = "float32"
    outputs: tuple[str, ...] = ("logits",)
    """`features` stands for all of the configuration's feature maps."""
    num_classes: int | None = None
    labels: str | None = None
    """A file, or `imagenet-1k`; None is what the checkpoint says."""
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    crop: float | None = None
    interpolation: Interpolation | None = None
    images: Path | None = None
    """Pictures for the golden pairs; None makes some up."""
    min_ios: int = 16
    compute_unit: str = "all"
    verify: bool = True


def build(
    model: str,
    *,
    weights: str,
    out: str | Path,
    targets: Sequence[str],
    recipes: Sequence[str] = ("fp32",),
    options: Options | None = None,
    progress: Progress | None = None,
) -> list[Bundle]:
    """Builds one bundle a target and recipe, as `out`/<model>-<H>x<W>-<recipe>.<target>.

    Args:
        model: Name of a shipped configuration, or a YAML file.
        weights: `demo`, `random:SEED`, `hf-hub:OWNER/NAME`, or a checkpoint file.
        out: The folder to put the bundles into.
        targets: Names of installed targets.
        recipes: Names of shipped recipes, or YAML files.
        options: All other choices.
        progress: Is told how it goes.

    Raises:
        MobileError: Nothing is left of the bundle that failed; those before it stay.
    """
    options, progress = options or Options(), progress or Progress()
    cells = [(load_target(t), load_recipe(r)) for t in _once(targets) for r in _once(recipes)]
    for target, _ in cells:
        require(target)
    source = _load(model, weights, options, progress)
    paths = [Path(out) / bundle_id(source.spec, recipe, target) for target, recipe in cells]
    for (target, recipe), path in zip(cells, paths, strict=True):
        check_recipe(target, source.spec, recipe)
        files.check_replaceable(path, MANIFEST)
    progress.step("run the PyTorch model")
    _ = source.reference  # now, not after the first lowering: pictures may be unreadable
    programs: dict[Layout, ExportedProgram] = {}
    for (target, recipe), path in zip(cells, paths, strict=True):
        if target.attention not in programs:
            progress.step("export the deploy form")
            programs[target.attention] = export(source.net, source.spec, target.attention)
        program = programs[target.attention]
        with files.new_folder(path, MANIFEST) as folder:
            progress.step(f"{path.name}: lower")
            artifact = folder / f"model{target.suffix}"
            lowered = target.lower(program, source.spec, recipe, None, artifact)
            manifest = _manifest(path.name, source, target, recipe, lowered)
            if options.verify:
                progress.step(f"{path.name}: verify")
            _golden_pairs(folder, manifest, source, recipe, lowered, verify=options.verify)
            write_manifest(folder, manifest)
    return [open_bundle(path) for path in paths]


@dataclass(frozen=True, kw_only=True)
class _Source:
    """What all bundles of a build are made of and compared with."""

    spec: BuildSpec
    net: MobileNetV4
    entry: ModelEntry
    pictures: Path | None

    @cached_property
    def images(self) -> npt.NDArray[np.uint8]:
        """(N, H, W, 3) RGB pixels of the golden pairs."""
        return golden_pixels(self.spec, self.pictures)

    @cached_property
    def reference(self) -> dict[str, npt.NDArray[np.float32]]:
        """What the PyTorch model gives for them."""
        return eager(self.net, self.images, self.spec)


def _golden_pairs(
    folder: Path,
    manifest: Manifest,
    source: _Source,
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
            found = run_pixels(worker, lowered.input, source.images, source.spec.preprocess)
        manifest["parity"] = parities(outputs, expected, found, recipe.min_sqnr_db)
        check(manifest["parity"], manifest["id"])
        golden += write_golden(folder, "artifact", {o.name: found[o.name] for o in outputs}, gates)
    manifest["golden"] = golden


def _once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def bundle_id(spec: BuildSpec, recipe: Recipe, target: Target) -> str:
    """<model>-<H>x<W>-<recipe>.<target>."""
    height, width = spec.preprocess.size
    return f"{spec.model.name}-{height}x{width}-{recipe.name}.{target.name}"


def _load(model: str, weights: str, options: Options, progress: Progress) -> _Source:
    """Reads configuration and weights."""
    progress.step("load the weights")
    from mnv4_mobile.model.weights import load_checkpoint

    file = read_model(model)
    if file.unused:
        progress.note(f"not used of {file.path.name}: {', '.join(file.unused)}")
    checkpoint = load_checkpoint(file.spec, weights, num_classes=options.num_classes)
    for note in checkpoint.notes:
        progress.note(note)
    spec = _build_spec(checkpoint, options)
    entry = ModelEntry(
        name=spec.model.name,
        config_sha256=_config_hash(spec),
        weights=Path(weights).name if Path(weights).is_file() else weights,
        weights_sha256=checkpoint.sha256,
        licence=checkpoint.licence,
    )
    net = load_net(checkpoint, spec)
    return _Source(spec=spec, net=net, entry=entry, pictures=options.images)


def _build_spec(checkpoint: Checkpoint, options: Options) -> BuildSpec:
    model = checkpoint.spec
    known = checkpoint.preprocess
    size = options.size or (known.size if known else model.input_size)
    preprocess = Preprocess(
        size=size,
        crop=options.crop or (known.crop if known else 0.875),
        interpolation=options.interpolation or (known.interpolation if known else "bicubic"),
        mean=options.mean or (known.mean if known else IMAGENET_MEAN),
        std=options.std or (known.std if known else IMAGENET_STD),
    )
    outputs: list[str] = []
    for name in options.outputs:
        outputs += model.feature_channels() if name == "features" else [name]
    labels = read_labels(options.labels) if options.labels else checkpoint.labels
    if labels and model.head:
        check_labels(labels, model.head.num_classes)
    return BuildSpec(
        model=model,
        preprocess=preprocess,
        batch=options.batch,
        input=options.input,
        layout=options.layout,
        io=options.io,
        outputs=tuple(outputs),
        labels=labels,
        min_ios=options.min_ios,
        compute_unit=options.compute_unit,
    )


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
            block=_block(name),
            precision=layer.precision,
            why=layer.why,
        )
        for name, layer in found.items()
    ]


def _block(layer: str) -> str:
    """The block of the YAML that a layer is in."""
    parts = layer.split(".")
    return ".".join(parts[:3]) if parts[0] == "stages" else parts[0]


def _config_hash(spec: BuildSpec) -> str:
    values = json.dumps(dataclasses.asdict(spec.model), sort_keys=True)
    return hash_of(values.encode()).hexdigest()


def _entry(tensor: Tensor) -> TensorEntry:
    return TensorEntry(
        name=tensor.name,
        kind=tensor.kind,
        shape=list(tensor.shape),
        dtype=tensor.dtype,
        layout=tensor.layout,
    )


def _manifest(
    name: str, source: _Source, target: Target, recipe: Recipe, lowered: Lowered
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
        requires=dict(lowered.requires),
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    found = {"mnv4-mobile": version("mnv4-mobile"), "python": platform.python_version()}
    for tool in _TOOLS:
        try:
            found[tool] = version(tool)
        except PackageNotFoundError:
            continue
    return found
