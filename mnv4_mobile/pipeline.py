"""From a configuration and a checkpoint to verified bundles: the only file that knows the order."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256 as hash_of
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

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
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.images import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Interpolation,
    Preprocess,
    list_images,
    normalise,
    pixels,
    random_images,
    read_image,
)
from mnv4_mobile.labels import check_labels, read_labels
from mnv4_mobile.progress import Progress
from mnv4_mobile.recipe import Recipe, load_recipe
from mnv4_mobile.target import (
    BuildSpec,
    Layout,
    Lowered,
    Target,
    Tensor,
    check_recipe,
    load_target,
    require,
)
from mnv4_mobile.verify import Parity, check, compare
from mnv4_mobile.worker import Worker, run_pixels

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from mnv4_mobile.model.net import MobileNetV4
    from mnv4_mobile.model.weights import Checkpoint

GOLDEN_IMAGES = 4
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
    source = read_model(model)
    if source.unused:
        progress.note(f"not used of {source.path.name}: {', '.join(source.unused)}")

    progress.step("load the weights")
    from mnv4_mobile.model.weights import load_checkpoint

    checkpoint = load_checkpoint(source.spec, weights, num_classes=options.num_classes)
    for note in checkpoint.notes:
        progress.note(note)
    spec = _build_spec(checkpoint, options)
    for target, recipe in cells:
        check_recipe(target, spec, recipe)
        files.check_replaceable(Path(out) / bundle_id(spec, recipe, target), MANIFEST)

    net = load_net(checkpoint, spec)
    images = golden_pixels(spec, options.images)
    reference = eager(net, images, spec)
    entry = ModelEntry(
        name=spec.model.name,
        config_sha256=_config_hash(spec),
        weights=Path(weights).name if Path(weights).is_file() else weights,
        weights_sha256=checkpoint.sha256,
        licence=checkpoint.licence,
    )
    programs: dict[Layout, ExportedProgram] = {}
    bundles = []
    for target, recipe in cells:
        name = bundle_id(spec, recipe, target)
        if target.attention not in programs:
            progress.step("export the deploy form")
            programs[target.attention] = export(net, spec, target.attention)
        with files.new_folder(Path(out) / name, MANIFEST) as folder:
            progress.step(f"{name}: lower")
            artifact = folder / f"model{target.suffix}"
            lowered = target.lower(programs[target.attention], spec, recipe, artifact)
            parity: dict[str, Parity] = {}
            golden = write_golden(folder, "input", {"pixels": images})
            gates = {o.name: recipe.min_sqnr_db for o in lowered.outputs}
            expected = {o.name: _arranged(reference[o.kind], o) for o in lowered.outputs}
            golden += write_golden(folder, "eager", expected, gates)
            if options.verify:
                progress.step(f"{name}: verify")
                with Worker(target.name, artifact) as worker:
                    found = run_pixels(worker, lowered.input, images, spec.preprocess)
                parity = parities(lowered.outputs, expected, found, recipe.min_sqnr_db)
                check(parity, name)
                golden += write_golden(folder, "artifact", _named(found, lowered.outputs), gates)
            manifest = _manifest(name, entry, spec, target, recipe, lowered)
            manifest["golden"], manifest["parity"] = golden, parity
            manifest["layers"] = layers(net, recipe, lowered)
            write_manifest(folder, manifest)
        bundles.append(open_bundle(Path(out) / name))
    return bundles


def _once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def bundle_id(spec: BuildSpec, recipe: Recipe, target: Target) -> str:
    """<model>-<H>x<W>-<recipe>.<target>."""
    height, width = spec.preprocess.size
    return f"{spec.model.name}-{height}x{width}-{recipe.name}.{target.name}"


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


def load_net(checkpoint: Checkpoint, spec: BuildSpec) -> MobileNetV4:
    """The network with its weights, in inference mode."""
    import torch

    from mnv4_mobile.model.net import MobileNetV4

    with torch.device("meta"):
        net = MobileNetV4(spec.model, spec.outputs)
    net.load_state_dict(checkpoint.state, assign=True)
    return net.eval().requires_grad_(False)


def golden_pixels(spec: BuildSpec, images: Path | None, seed: int = 0) -> npt.NDArray[np.uint8]:
    """(N, H, W, 3) RGB after resizing; N is a multiple of the batch."""
    count = -(-GOLDEN_IMAGES // spec.batch) * spec.batch
    if images is None:
        return random_images(spec.preprocess, count, seed)
    paths = list_images(images) if images.is_dir() else [images]
    if len(paths) < count:
        raise ConfigError(f"--images: {images}: found {len(paths)} pictures, needs {count}")
    # Evenly spread, as a folder of classes is sorted by class.
    chosen = [paths[i * len(paths) // count] for i in range(count)]
    return np.stack([pixels(read_image(path), spec.preprocess) for path in chosen])


def eager(
    net: MobileNetV4, images: npt.NDArray[np.uint8], spec: BuildSpec
) -> dict[str, npt.NDArray[np.float32]]:
    """What the float PyTorch model gives for (N, H, W, 3) RGB pixels."""
    import torch

    with torch.inference_mode():
        found = net(torch.from_numpy(normalise(images, spec.preprocess)))
    return {name: value.numpy() for name, value in found.items()}


def export(net: MobileNetV4, spec: BuildSpec, attention: Layout) -> ExportedProgram:
    """The deploy form as one graph, which all targets with this order of attention share."""
    import torch

    from mnv4_mobile.model.deploy import DeployNet

    inside = spec.preprocess if spec.input == "pixels" else None
    module = DeployNet(net, spec.preprocess.size, attention, inside)
    dtype = torch.uint8 if inside else torch.float32
    example = torch.zeros(spec.batch, 3, *spec.preprocess.size, dtype=dtype)
    with torch.no_grad():
        return torch.export.export(module, (example,))


def _named(
    found: dict[str, npt.NDArray[Any]], outputs: Sequence[Tensor]
) -> dict[str, npt.NDArray[Any]]:
    return {output.name: found[output.name] for output in outputs}


def _arranged(reference: npt.NDArray[np.float32], output: Tensor) -> npt.NDArray[np.float32]:
    """What eager gave, in the order of an artifact's output."""
    if output.layout == "nhwc":
        return np.ascontiguousarray(np.moveaxis(reference, 1, -1))
    return reference


def parities(
    outputs: Sequence[Tensor],
    expected: dict[str, npt.NDArray[Any]],
    found: dict[str, npt.NDArray[Any]],
    gate_db: float,
) -> dict[str, Parity]:
    """The parity of every output."""
    return {
        o.name: compare(
            expected[o.name],
            found[o.name],
            classes=o.kind in ("logits", "probabilities"),
            gate_db=gate_db,
        )
        for o in outputs
    }


def layers(net: MobileNetV4, recipe: Recipe, lowered: Lowered) -> list[LayerEntry]:
    """The precision of every layer that computes, and why where it is not the recipe's."""
    from torch import nn

    entries = []
    activation = lowered.kept.get("activation")
    for name, module in net.named_modules():
        is_activation = isinstance(module, nn.GELU)
        if not isinstance(module, nn.Conv2d) and not (is_activation and activation):
            continue
        parts = name.split(".")
        block = ".".join(parts[:3]) if parts[0] == "stages" else parts[0]
        why = activation if is_activation else None
        entries.append(LayerEntry(name=name, block=block, precision=recipe.precision, why=why))
    return entries


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
    name: str, model: ModelEntry, spec: BuildSpec, target: Target, recipe: Recipe, lowered: Lowered
) -> Manifest:
    preprocess = spec.preprocess
    return Manifest(
        schema=SCHEMA,
        id=name,
        model=model,
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
        layers=[],
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


def verify_bundle(
    bundle: Bundle, weights: str | None = None, *, model: str | None = None, threads: int = 1
) -> dict[str, Parity]:
    """Runs a bundle's artifact and compares it with the float PyTorch model.

    Args:
        bundle: What to verify.
        weights: None compares with the golden pairs, for which the bundle is enough; a checkpoint
            is run afresh on images that the bundle does not hold.
        model: The configuration for `weights`; None is the shipped one of the bundle's model name.
        threads: Of the runtime.

    Returns:
        The parity of every output; `check` decides.
    """
    require(load_target(bundle.manifest["target"]))
    gates = {e["tensor"]: e["min_sqnr_db"] for e in bundle.manifest["golden"]}
    gate = gates[bundle.outputs[0].name] or 0.0
    with Worker(bundle.manifest["target"], bundle.artifact, threads=threads) as worker:
        if weights is None:
            images, expected = bundle.golden("input")["pixels"], bundle.golden("eager")
        else:
            images, expected = _afresh(bundle, weights, model or bundle.manifest["model"]["name"])
        found = run_pixels(worker, bundle.input, images, bundle.preprocess)
    return parities(bundle.outputs, expected, found, gate)


def _afresh(
    bundle: Bundle, weights: str, model: str
) -> tuple[npt.NDArray[np.uint8], dict[str, npt.NDArray[Any]]]:
    """Images that the bundle does not hold, and what a checkpoint gives for them."""
    from mnv4_mobile.model.weights import load_checkpoint

    classes = [o.shape[1] for o in bundle.outputs if o.kind in ("logits", "probabilities")]
    checkpoint = load_checkpoint(
        read_model(model).spec, weights, num_classes=classes[0] if classes else None
    )
    spec = BuildSpec(
        model=checkpoint.spec,
        preprocess=bundle.preprocess,
        batch=bundle.input.shape[0],
        outputs=tuple(output.kind for output in bundle.outputs),
    )
    images = golden_pixels(spec, None, seed=1)
    reference = eager(load_net(checkpoint, spec), images, spec)
    return images, {o.name: _arranged(reference[o.kind], o) for o in bundle.outputs}
