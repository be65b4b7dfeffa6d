"""A cell of a build matrix: what one bundle is made of."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from mnv4_mobile import files
from mnv4_mobile.build_spec import BuildSpec, OptionValue
from mnv4_mobile.builder.reference import golden_paths
from mnv4_mobile.bundle.versions import versions
from mnv4_mobile.images import Interpolation, KnownPreprocess, Size, check_scale
from mnv4_mobile.labels import check_labels
from mnv4_mobile.model.checkpoint_source import find_checkpoint, read_file
from mnv4_mobile.model.spec import ModelSpec
from mnv4_mobile.option import Given
from mnv4_mobile.program.head import OwnHead
from mnv4_mobile.quantize.calibration import RANDOM_IMAGES, candidates
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.records import replace
from mnv4_mobile.target import Target, completed, first_unit, load_target, target_package
from mnv4_mobile.tensors import Io, Layout, sizes_text
from mnv4_mobile.units import Unit

Hash = Callable[[Path], str]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Everything that may be chosen in a build, except model, weights, targets and recipes.

    Options(size=(224, 224), options={"coreml": {"min_ios": 17}})
    """

    name: str | None = None
    """Replaces the model's name in the bundle's name; for one model only."""
    size: Size | None = None
    """Height and width of the input. Default: the checkpoint's size, or else the model's."""
    more_sizes: tuple[Size, ...] = ()
    """Further sizes that the same artifact takes."""
    batch: int = 1
    """Number of images per run."""
    input: Literal["float", "pixels"] = "float"
    """`float`: normalised floats. `pixels`: RGB bytes, which the artifact normalises."""
    layout: Layout | None = None
    """Input layout. Default: what the runtime prefers."""
    io: Io | None = None
    """Type of inputs and outputs. Default: the type that the target prefers for the recipe."""
    outputs: tuple[str, ...] = ("logits",)
    """`logits`, `probabilities`, `embedding`, `stage_N`, or `features` for the stages that the
    configuration names."""
    num_classes: int | None = None
    """Replaces the classifier by an untrained one of this size."""
    labels: tuple[str, ...] | None = None
    """Class names in the order of the classes. Default: what the checkpoint says."""
    mean: tuple[float, float, float] | None = None
    """Mean of red, green and blue, from 0 to 1. Default: what the checkpoint says."""
    std: tuple[float, float, float] | None = None
    """Standard deviation of red, green and blue. Default: what the checkpoint says."""
    crop: float | None = None
    """Share of the image that the centre crop keeps. Default: what the checkpoint says."""
    interpolation: Interpolation | None = None
    """The filter that resizes images. Default: what the checkpoint says."""
    images: Path | None = None
    """A folder of images for the golden pairs. Default: generated images."""
    calibrate: str | None = None
    """A folder of images for recipes that calibrate, or `random` for generated ones."""
    options: Given = field(default_factory=dict, hash=False)
    """Options of targets: `{"coreml": {"min_ios": 17}}` (`mnv4 targets NAME` lists them)."""
    verify: bool = True
    """Whether each artifact is compared with the PyTorch model before its bundle is written."""
    units: tuple[Unit, ...] = ()
    """Units to verify on. Default: the target's first unit on this machine."""

    def build_spec(
        self,
        model: ModelSpec,
        known: KnownPreprocess,
        labels: tuple[str, ...] | None = None,
    ) -> BuildSpec:
        """Returns what is to be built, except for what the target decides (see `Cell.spec`).

        Args:
            model: The network.
            known: What a checkpoint says about preprocessing; these options override it.
            labels: The labels that a checkpoint has.

        Raises:
            ConfigError: A value is not supported by any target.
        """
        for name in ("mean", "std"):
            if (values := getattr(self, name)) is not None:
                check_scale(f"--{name}", values)
        known = replace(
            known,
            **{
                name: value
                for name in KnownPreprocess.__struct_fields__
                if (value := getattr(self, name)) is not None
            },
        )
        labels = self.labels or labels
        if labels and model.head:
            check_labels(labels, model.head.num_classes)
        outputs: list[str] = []
        for name in self.outputs:
            stages = [f"stage_{index}" for index in model.features]
            outputs += stages if name == "features" else [name]
        return BuildSpec(
            model=model,
            preprocess=known.completed(model.input_size),
            more_sizes=self.more_sizes,
            assumed=known.assumed,
            batch=self.batch,
            input=self.input,
            layout=self.layout,
            outputs=tuple(outputs),
            labels=labels,
        )


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one bundle is made of: everything that another process needs to build it."""

    model: ModelSpec
    weights: str
    """The weights as given on the command line, but with an absolute path."""
    target: str
    recipe: Recipe
    options: Options
    chosen: Mapping[str, OptionValue] = field(default_factory=dict, hash=False)
    """The values given for the target's own options; the others have their defaults."""
    head: OwnHead | None = None
    """A head of the caller's own, which takes the outputs that `options` name."""
    preprocess: KnownPreprocess = field(default_factory=KnownPreprocess)
    """What the weights say about preprocessing."""
    asked: tuple[str, ...] = field(default=(), compare=False)
    """The arguments of a command that name the network and its weights, as the user gave them."""

    @property
    def name(self) -> str:
        """The name in messages: the bundle's name without the parts that the checkpoint decides."""
        options = self.options
        size = sizes_text([options.size, *options.more_sizes]) + "-" if options.size else ""
        own = "".join(f"-{value}" for value in self.chosen.values())
        return f"{options.name or self.model.name}-{size}{self.recipe.name}{own}-{self.target}"

    @property
    def shared(self) -> BuildSpec:
        """What is built, except for what the target decides and the labels of the weights."""
        return self.options.build_spec(self.model, self.preprocess)

    def spec(self, shared: BuildSpec, target: Target) -> BuildSpec:
        """Returns what is built: what the cells of several targets share, and the target's part."""
        io = self.options.io
        spec = completed(shared, target, self.recipe, io=io, options=self.chosen)
        return replace(spec, outputs=self.head.outputs, maps=spec.outputs) if self.head else spec

    @property
    def unit(self) -> Unit:
        """The unit that the artifact is made for."""
        target = load_target(self.target)
        return target.made_for(self.spec(self.shared, target))

    def units(self, target: Target) -> tuple[Unit, ...]:
        """Returns the units that the artifact is verified on."""
        if not self.options.verify:
            return ()
        return self.options.units or (first_unit(target),)

    def contents(self, hashed: Hash) -> dict[str, Any]:
        """Returns everything that decides the bundle's bytes, as JSON values by part.

        Args:
            hashed: Returns the hash of a file.

        Raises:
            MobileError: A file is missing or cannot be read.
        """
        target = load_target(self.target)
        packages = [target_package(name) for name in (self.target, target.base) if name]
        spec = self.spec(self.shared, target)
        options = dataclasses.asdict(self.options) | {"io": spec.io, "options": spec.options}
        options["units"] = list(self.units(target))
        images = options.pop("images")
        if images is not None:
            paths = golden_paths(images, self.options.batch)
            images = [_image_sha256(path, hashed) for path in paths]
        folder, calibration = options.pop("calibrate"), self.recipe.calibration
        if calibration is None:
            folder = None
        elif folder is not None and folder != RANDOM_IMAGES:
            paths = candidates(
                folder,
                images=calibration.images + self.recipe.held_out,
                seed=calibration.seed,
            )
            folder = [_image_sha256(path, hashed) for path in paths]
        return {
            "model": dataclasses.asdict(self.model),
            "weights": [*_weights(self.weights, hashed), repr(self.preprocess)],
            "target": self.target,
            # As text: msgspec leaves out defaults by identity, which another process lacks.
            "recipe": repr(self.recipe.on(target.made_for(spec))),
            **({"head": hashlib.sha256(self.head.program).hexdigest()} if self.head else {}),
            "images": images,
            "calibration": folder,
            "options": options,
            "code": [code_sha256("mnv4_mobile", CODE), *map(code_sha256, packages)],
            "versions": versions(target.distributions),
            "platform": [platform.system(), platform.machine()],
        }

    def ingredients(self, hashed: Hash = files.sha256) -> dict[str, str]:
        """Returns the hash of each part of what the bundle is made of: weights, recipe, ...

        Args:
            hashed: Returns the hash of a file; cells share files, so a cached one reads less.

        Raises:
            MobileError: A file is missing or cannot be read.
        """
        return {part: _json_sha256(value) for part, value in self.contents(hashed).items()}


def key(ingredients: Mapping[str, str]) -> str:
    """Returns the cache key of a bundle: one hash of the hashes of its ingredients."""
    return _json_sha256(dict(ingredients))


def _json_sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _image_sha256(path: Path, hashed: Hash) -> str:
    """Returns an image's hash; what is no file (a link to nothing, a FIFO) is refused when read."""
    return hashed(path) if path.is_file() else ""


def _weights(source: str, hashed: Hash) -> list[str]:
    """Returns a checkpoint's name, which is in the manifest, and its hashes; a seed unchanged."""
    path = find_checkpoint(source)
    if path is None:
        return [source]
    about = path.with_name("config.json")
    return [shown(source), read_file(path, hashed), hashed(about) if about.is_file() else ""]


def shown(weights: str) -> str:
    """Returns how a manifest names weights: a file or folder without the folders around it."""
    return Path(weights).name if Path(weights).exists() else weights


CODE = (
    *("builder", "bundle", "model", "program", "quantize"),
    *("build_spec.py", "configs.py", "errors.py", "files.py", "images.py", "labels.py"),
    *("layers.py", "limits.py", "lint.py", "option.py", "patches.py", "plugins.py"),
    *(
        "processes.py",
        "progress.py",
        "recipe.py",
        "records.py",
        "target.py",
        "tensors.py",
        "units.py",
        "watch.py",
        "yaml_file.py",
    ),
)
"""The folders and files of the core that a bundle's bytes depend on."""


@cache
def code_sha256(package: str, parts: tuple[str, ...] | None = None) -> str:
    """Hashes the code of a package, or of a module that is not a package.

    Args:
        package: The import name.
        parts: The folders and files in it that count; None means all of them.
    """
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    file = Path(spec.origin)
    if file.name != "__init__.py":
        return files.sha256(file)
    return folder_code_sha256(file.parent, parts)


def folder_code_sha256(folder: Path, parts: tuple[str, ...] | None = None) -> str:
    """Hashes the Python code in a folder; see `code_sha256`."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder)
        if parts is None or name.parts[0] in parts:
            digest.update(name.as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
