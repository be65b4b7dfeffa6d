"""The bundle: a folder with an artifact, its manifest and golden pairs.

`docs/reference/bundle.md` specifies the format for other languages.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from mnv4_mobile import records
from mnv4_mobile.build_spec import OptionValue
from mnv4_mobile.bundle.parity import Parity
from mnv4_mobile.errors import BundleError, ConfigError
from mnv4_mobile.files import read_at_most, regular_files, sha256, size, write_bytes
from mnv4_mobile.images import Assumable, Preprocess, Size
from mnv4_mobile.labels import Label
from mnv4_mobile.layers import Layer
from mnv4_mobile.records import (
    Bytes,
    Count,
    Decibels,
    Natural,
    NotNegative,
    Positive,
    Record,
    SafeInt,
    Sha256,
    Share,
    replace,
    show,
    whole,
)
from mnv4_mobile.tensors import CLASSES, Io, Shape, TensorSpec, check_bytes, resized, sizes_text
from mnv4_mobile.units import Unit

MANIFEST = "manifest.json"
LEAST_MARGIN = 4.0
"""The least margin to float16's limit that counts as safe: sums of other images, and a runtime's
transforms of convolutions, need some room."""
_MAX_MANIFEST = 8 * 2**20
"""Far above the size of a manifest with the labels of ImageNet-21k."""
Identifier = Annotated[
    str,
    Meta(
        pattern=whole("[A-Za-z0-9][A-Za-z0-9._-]*"),
        description="letters, digits, `.`, `_` and `-`, a letter or digit first",
    ),
]
RelativePath = Annotated[
    str,
    Meta(
        pattern=whole("[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*"),
        description="a path inside the bundle, with slashes",
    ),
]


Requirement = Annotated[
    str,
    Meta(pattern=whole(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"), description="<target>.<key>"),
]


class ModelEntry(Record, frozen=True, kw_only=True):
    """Where the network and its weights come from."""

    name: str
    """Name of the model's configuration."""
    config_sha256: Sha256
    """Hash of the configuration."""
    weights: str
    """The weights as they were given; for a file or folder, its name."""
    weights_sha256: Sha256
    """Hash of the weights."""
    licence: str | None
    """Licence of the weights; null if it is not known."""


class ArtifactEntry(Record, frozen=True, kw_only=True):
    """The artifact, a file or a folder."""

    path: RelativePath
    """Path of the artifact in the bundle."""
    bytes: Bytes
    """Size of the artifact."""
    sha256: Sha256
    """Hash of the artifact. For a folder, the hash of the lines `<sha256>  <posix path>` of its
    files, each ended by a line feed, sorted by the parts of their paths."""


class PreprocessEntry(Preprocess, frozen=True, kw_only=True):
    """How a decoded image becomes the artifact's input."""

    inside: bool
    """Whether the artifact takes RGB bytes and normalises them itself."""
    assumed: tuple[Assumable, ...]
    """The keys that neither the weights nor the user specified; their values are defaults."""


class GoldenEntry(Record, frozen=True, kw_only=True):
    """One golden tensor: little-endian, in C order."""

    path: RelativePath
    """The file in the bundle."""
    tensor: str
    """`pixels`, or the name of an output."""
    shape: Shape
    """Length of every axis; the first axis counts images."""
    dtype: Io
    """Type of the elements."""
    sha256: Sha256
    """Hash of the file."""
    source: Literal["input", "eager", "artifact"]
    """`input`: RGB bytes after resizing; `eager`: the float PyTorch model's output for them;
    `artifact`: the artifact's output."""
    min_sqnr_db: Decibels | None
    """The least SQNR in decibels that an output must reach against this tensor; null for inputs."""

    def __post_init__(self) -> None:
        check_bytes(self.shape, self.dtype)


class SizeEntry(Record, frozen=True, kw_only=True):
    """A further input size that the artifact takes."""

    size: Size
    """Height and width of the input; its other axes are those of `inputs`. So are the axes of the
    outputs those of `outputs`, except for the sides of feature maps, which `golden` has."""
    golden: Annotated[tuple[GoldenEntry, ...], Meta(min_length=2)]
    """Inputs of this size and their outputs."""
    parity: Mapping[Unit, Mapping[str, Parity]]
    """How close each output is to the float model's at this size, as in the manifest's `parity`."""


class LayerEntry(Layer, frozen=True, kw_only=True):
    """The precision of one layer, and where it is in the network."""

    kind: Literal["convolution", "other"]
    """Convolutions come in the order in which they run."""
    block: str
    """The block of the network that the layer belongs to."""


class AgreementEntry(Record, frozen=True, kw_only=True):
    """How often an artifact's class is the float network's."""

    top1: Share
    """Share of the images for which the classes agree."""
    n: Count
    """Number of images."""
    gate: Share
    """The least share that the build accepted."""


class CalibrationEntry(Record, frozen=True, kw_only=True):
    """The images that a recipe was calibrated with."""

    images: Count
    """Number of images used for ranges and preparation."""
    held_out: Natural
    """Number of images left out of calibration and used to judge it."""
    skipped: Natural
    """Number of files that could not be read."""
    seed: SafeInt
    """Seed that chose the images."""
    dataset_sha256: Sha256 | None
    """Hash of the sorted hashes of the images, each ended by a line feed; null if the images were
    generated."""
    range: str | None
    """The range rule of static activations; for `auto`, the rule it chose. Null without them."""
    agreement: AgreementEntry | None
    """Agreement on the held-out images; null if the recipe has no gate for it."""


class Float16RangeEntry(Record, frozen=True, kw_only=True):
    """How far float16 is from overflowing, on calibration images."""

    images: Count
    """Number of images looked at."""
    margin: Positive
    """How many times the largest value or partial sum, in any order of its terms, fits into
    float16's range. The recipe's step `guard` brings it to 4 or more where it can. Layers that
    compute in float32 instead, with the reason `guard`, do not count."""
    layer: str
    """The layer with that value or sum."""


class TriedEntry(Record, frozen=True, kw_only=True):
    """An artifact that `mnv4 tune` built and judged."""

    recipe: str
    """How its recipe differs from the one that the search began with."""
    drop: NotNegative
    """Percentage points of top-1 that it loses; without classes, the percentage of the images whose
    class changes."""
    sqnr_db_p10: Decibels
    """10th percentile over the images of each image's SQNR, in decibels."""
    latency: Positive | None
    """Latency in multiples of that of the artifact that the search began with; null if the machine
    of the search only emulates the unit."""
    bytes: Bytes
    """Size of the artifact."""


class TuningEntry(Record, frozen=True, kw_only=True):
    """How `mnv4 tune` chose the recipe."""

    objective: Literal["size", "latency"]
    """What was minimized."""
    max_drop: NotNegative
    """The bound on `drop`."""
    min_p10: Decibels
    """The bound on `sqnr_db_p10`."""
    max_latency: Positive
    """The bound on `latency`."""
    images: Count
    """Number of images that judged the artifacts."""
    tried: Annotated[tuple[TriedEntry, ...], Meta(min_length=1)]
    """The artifacts that were judged, this one first."""


class Manifest(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that an app, a verifier or a benchmark needs to know about one artifact."""

    schema: Literal[1]
    """Version of this format."""
    id: Identifier
    """Name of the bundle's folder."""
    ingredients: Mapping[str, Sha256]
    """Hash of each part of what the bundle was made of: `model`, `weights`, `recipe`, `images`,
    `calibration`, `options`, `code`, `versions`, `platform`, `target`."""
    model: ModelEntry
    """Where the network and its weights come from."""
    target: str
    """Name of the target that made the artifact."""
    recipe: str
    """Name of the precision recipe."""
    options: Mapping[str, OptionValue]
    """The target's options with the values used."""
    artifact: ArtifactEntry
    """The artifact, a file or a folder."""
    inputs: Annotated[tuple[TensorSpec, ...], Meta(min_length=1, max_length=1)]
    """The input of the artifact."""
    outputs: Annotated[tuple[TensorSpec, ...], Meta(min_length=1)]
    """The outputs of the artifact."""
    preprocess: PreprocessEntry
    """How a decoded image becomes the input."""
    labels: tuple[Label, ...] | None
    """Class names in the order of the class output; null if they are not known."""
    golden: Annotated[tuple[GoldenEntry, ...], Meta(min_length=2)]
    """Inputs and their outputs, with which a device checks the artifact."""
    parity: Mapping[Unit, Mapping[str, Parity]]
    """How close each output is to the float model's, by unit, then by output. Empty if the build
    did not verify."""
    layers: tuple[LayerEntry, ...]
    """The precision of every layer."""
    more_sizes: tuple[SizeEntry, ...] = ()
    """Further input sizes that the artifact takes, besides `preprocess.size`. Absent from bundles
    with one size."""
    calibration: CalibrationEntry | None = None
    """The images that the recipe was calibrated with. Absent from bundles without calibration."""
    float16_range: Float16RangeEntry | None = None
    """How far float16 is from overflowing. Absent if that was not checked: the recipe has no step
    `guard`, or no calibration images were given."""
    tuning: TuningEntry | None = None
    """How `mnv4 tune` chose the recipe. Absent from other bundles."""
    requires: Mapping[Requirement, str]
    """What a device must have; keys are `<target>.<key>`."""
    versions: Mapping[str, str]
    """Versions of the packages that made the bundle."""

    def __post_init__(self) -> None:
        self._check_input()
        self._check_outputs()
        self._check_golden()
        for index, entry in enumerate(self.more_sizes):
            if entry.size in self.sizes[: index + 1]:
                raise ValueError(f"more_sizes[{index}].size: found {list(entry.size)} twice")
            try:
                resized(self.inputs[0], entry.size)
            except ValueError as error:
                raise ValueError(f"more_sizes[{index}].size: {error}") from None
            try:
                self._alone(entry)
            except ValueError as error:
                raise ValueError(f"more_sizes[{index}].{error}") from None

    @property
    def sizes(self) -> tuple[Size, ...]:
        """All input sizes that the artifact takes, the default first."""
        return (self.preprocess.size, *(entry.size for entry in self.more_sizes))

    def at(self, size: Size) -> Manifest:
        """Returns the manifest with another of its input sizes as the default.

        Raises:
            ConfigError: The artifact does not take this size.
        """
        if size not in self.sizes:
            raise ConfigError(
                f"input size: found {sizes_text([size])}, {self.id} takes: "
                + ", ".join(sizes_text([one]) for one in self.sizes)
            )
        if size == self.preprocess.size:
            return self
        first = SizeEntry(size=self.preprocess.size, golden=self.golden, parity=self.parity)
        (entry,) = (one for one in self.more_sizes if one.size == size)
        others = (one for one in self.more_sizes if one is not entry)
        return replace(self._alone(entry), more_sizes=(first, *others))

    def _alone(self, entry: SizeEntry) -> Manifest:
        """Returns the manifest with this input size alone."""
        shapes = {one.tensor: one.shape for one in entry.golden if one.source == "eager"}
        return replace(
            self,
            inputs=(resized(self.inputs[0], entry.size),),
            outputs=tuple(_with_sides_of(one, shapes.get(one.name, ())) for one in self.outputs),
            preprocess=replace(self.preprocess, size=entry.size),
            golden=entry.golden,
            parity=entry.parity,
            more_sizes=(),
        )

    def _check_input(self) -> None:
        image, (height, width) = self.inputs[0], self.preprocess.size
        if image.kind != "image":
            raise ValueError(f"inputs[0].kind: found {image.kind!r}, must be image")
        if image.layout is None:
            raise ValueError("inputs[0].layout: found ~, allowed: nchw, nhwc")
        sides = {"nhwc": (height, width, 3), "nchw": (3, height, width)}
        if image.shape[1:] != sides[image.layout]:
            raise ValueError(
                f"inputs[0].shape: found {list(image.shape)}, must be a batch of "
                f"{list(sides[image.layout])}, as preprocess.size and inputs[0].layout say"
            )

    def _check_outputs(self) -> None:
        batch = self.inputs[0].shape[0]
        names: set[str] = set()
        for index, output in enumerate(self.outputs):
            place, axes = f"outputs[{index}]", len(output.shape)
            if output.name in names:
                raise ValueError(f"{place}.name: found {show(output.name)} twice")
            names.add(output.name)
            if output.kind == "image":
                raise ValueError(f"{place}.kind: found 'image', which is for the input")
            if output.shape[0] != batch or (output.kind in CLASSES and axes != 2):
                wanted = "[{}, classes]" if output.kind in CLASSES else "a batch of {}"
                raise ValueError(
                    f"{place}.shape: found {list(output.shape)}, must be {wanted.format(batch)}"
                )
            if (output.layout is not None) != (axes == 4):
                raise ValueError(
                    f"{place}.layout: found {output.layout or '~'}, must be the order of four "
                    "axes, or null for another number of axes"
                )
            classes = output.shape[-1]
            if self.labels is not None and output.kind in CLASSES and len(self.labels) != classes:
                raise ValueError(f"labels: found {len(self.labels)}, must be {classes}")
        for unit, outputs in self.parity.items():
            if strange := set(outputs).difference(names):
                raise ValueError(f"parity.{unit}: found {show(min(strange))}, which is no output")

    def _check_golden(self) -> None:
        """Checks that every output has a golden tensor, for the same images."""
        batch = self.inputs[0].shape[0]
        shapes = {output.name: output.shape[1:] for output in self.outputs}
        images = [e.shape[0] for e in self.golden if (e.source, e.tensor) == ("input", "pixels")]
        eager = {e.tensor for e in self.golden if e.source == "eager"}
        if not images or not eager.issuperset(shapes):
            raise ValueError(
                "golden: needs the pixels of the input, and an eager tensor for every output"
            )
        found: set[tuple[str, str]] = set()
        for index, entry in enumerate(self.golden):
            place = f"golden[{index}]"
            sides = {"pixels": (*self.preprocess.size, 3)} if entry.source == "input" else shapes
            if entry.tensor not in sides:
                raise ValueError(
                    f"{place}.tensor: found {show(entry.tensor)}, must be one of {show([*sides])}"
                )
            if (entry.source, entry.tensor) in found:
                raise ValueError(f"{place}.tensor: found {show(entry.tensor)} twice")
            found.add((entry.source, entry.tensor))
            if entry.shape != (images[0], *sides[entry.tensor]) or images[0] % batch:
                raise ValueError(
                    f"{place}.shape: found {list(entry.shape)}, must be a multiple of {batch} "
                    f"images, the same for all, of {list(sides[entry.tensor])}"
                )
            dtype = {"input": "uint8", "eager": "float32"}.get(entry.source, entry.dtype)
            if entry.dtype != dtype:
                raise ValueError(f"{place}.dtype: found {entry.dtype!r}, must be {dtype}")
            if entry.source == "eager" and entry.min_sqnr_db is None:
                raise ValueError(f"{place}.min_sqnr_db: found ~, must be a number")


def _with_sides_of(output: TensorSpec, shape: Shape) -> TensorSpec:
    """Returns an output with the sides that a golden tensor has, if it is a feature map."""
    if output.layout is None or len(shape) != len(output.shape):
        return output
    return resized(output, shape[1:3] if output.layout == "nhwc" else shape[2:])


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle on disk."""

    path: Path
    """The bundle's folder."""
    manifest: Manifest
    """What the bundle is, and what its files are."""

    @property
    def artifact(self) -> Path:
        """The artifact's file or folder."""
        return self.path / self.manifest.artifact.path

    @property
    def input(self) -> TensorSpec:
        """The artifact's input."""
        return self.manifest.inputs[0]

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The artifact's outputs."""
        return self.manifest.outputs

    @property
    def preprocess(self) -> Preprocess:
        """How an image becomes the input."""
        entry = self.manifest.preprocess
        return Preprocess(**{name: getattr(entry, name) for name in Preprocess.__struct_fields__})

    def at(self, size: Size) -> Bundle:
        """Returns the same bundle with another of its input sizes as the default.

        Raises:
            ConfigError: The artifact does not take this size.
        """
        return replace(self, manifest=self.manifest.at(size))

    def class_output(self, *kinds: str) -> TensorSpec:
        """Returns the output with the classes' scores, by the first of these kinds that exists.

        Raises:
            ConfigError: No output is of one of these kinds.
        """
        by_kind = {output.kind: output for output in self.outputs}
        for kind in kinds:
            if kind in by_kind:
                return by_kind[kind]
        raise ConfigError(
            f"{self.path}: has no class output ({' or '.join(CLASSES)}), found: "
            f"{', '.join(by_kind)}"
        )

    @property
    def convolutions(self) -> list[str]:
        """Names of the network's convolutions in the order in which they run."""
        return [layer.name for layer in self.manifest.layers if layer.kind == "convolution"]

    def gates(self) -> dict[str, float]:
        """Returns the least SQNR in dB of every output on the golden pairs, by its name."""
        gates = {e.tensor: e.min_sqnr_db for e in self.manifest.golden if e.source == "eager"}
        return {name: gate for name, gate in gates.items() if gate is not None}

    def golden(self, source: str) -> dict[str, npt.NDArray[Any]]:
        """Returns the golden tensors of a source (`input`, `eager`, `artifact`) by tensor name.

        Raises:
            BundleError: A file is missing or damaged, or holds values that are not finite.
        """
        found = {}
        for entry in self.manifest.golden:
            if entry.source != source:
                continue
            path = self.path / entry.path
            try:
                _check_golden_size(path, entry)
                data = path.read_bytes()
            except OSError as error:
                raise BundleError(f"{path}: cannot be read: {error.strerror}") from None
            _check_sha256(path, hashlib.sha256(data).hexdigest(), entry.sha256)
            tensor = np.frombuffer(data, np.dtype(entry.dtype).newbyteorder("<"))
            if not np.isfinite(tensor).all():
                raise BundleError(f"{path}: holds values that are not finite")
            found[entry.tensor] = tensor.reshape(entry.shape)
        return found

    @property
    def files(self) -> list[str]:
        """Paths in the bundle of its manifest and of the files that the manifest names.

        Only these are shipped, copied to devices or hashed.

        Raises:
            BundleError: The artifact holds a link or a device.
        """
        artifact = [self.artifact]
        if self.artifact.is_dir():
            artifact = regular_files(self.artifact, BundleError)
        parts = [path.relative_to(self.path).as_posix() for path in artifact]
        return [MANIFEST, *parts, *dict.fromkeys(entry.path for entry in self._all_golden)]

    @property
    def _all_golden(self) -> list[GoldenEntry]:
        others = [one for entry in self.manifest.more_sizes for one in entry.golden]
        return [*self.manifest.golden, *others]

    def check_golden_sizes(self) -> None:
        """Checks the lengths of all golden tensors.

        Raises:
            BundleError: A file is missing or has another length than the manifest says.
        """
        for entry in self._all_golden:
            _check_golden_size(self.path / entry.path, entry)

    def copy_to(self, folder: Path) -> None:
        """Copies `files` to a folder, which is made.

        Raises:
            BundleError: The artifact holds a link or a device.
            OSError: A file cannot be copied.
        """
        for name in self.files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.path / name, folder / name)


def _check_golden_size(path: Path, entry: GoldenEntry) -> None:
    if path.is_dir():
        raise BundleError(f"{path}: is a folder, must be a file")
    _check_size(path, math.prod(entry.shape) * np.dtype(entry.dtype).itemsize)


def _check_size(path: Path, wanted: int) -> None:
    """Raises BundleError unless the manifest is right about the size of a file or folder."""
    if not path.exists():
        raise BundleError(f"{path}: missing")
    if (found := size(path)) != wanted:
        raise BundleError(f"{path}: found {found} bytes, the manifest says {wanted}")


def _check_sha256(path: Path, found: str, wanted: str) -> None:
    """Raises BundleError unless the hash is the manifest's."""
    if found != wanted:
        raise BundleError(
            f"{path}: damaged: sha256 {found[:12]}..., the manifest says {wanted[:12]}..."
        )


def bundle_folder(path: Path) -> Path:
    """Returns the folder of the bundle that a path means: itself, or the one around an artifact."""
    inside = path.name not in ("", "..") and path.exists() and not is_bundle(path)
    return path.parent if inside and is_bundle(path.parent) else path


def is_bundle(path: Path) -> bool:
    """Returns whether a path is a bundle's folder.

    The names of its files are compared, because a file system that ignores case also finds an
    `.mlpackage`'s Manifest.json under this name.
    """
    return path.is_dir() and MANIFEST in (file.name for file in path.iterdir())


AnyBundle: TypeAlias = Bundle | str | os.PathLike[str]
"""A bundle, its folder, or the artifact in it."""


def open_bundle(path: AnyBundle) -> Bundle:
    """Reads a bundle and checks that its files are those that its manifest names.

    A bundle that holds a link, a device or a FIFO is refused; the path to the bundle may be a link.
    Files that the manifest does not name are ignored. The hashes of golden tensors are checked when
    they are read.

    Args:
        path: The bundle's folder, or the artifact in it. An open bundle is returned unchanged.

    Raises:
        BundleError: Naming the file and what is wrong with it.
    """
    if isinstance(path, Bundle):
        return path
    folder = bundle_folder(Path(path))
    try:
        manifest = _read_manifest(folder)
        bundle = Bundle(path=folder, manifest=manifest)
        if folder != Path(path) and bundle.artifact != Path(path):
            raise BundleError(
                f"{path}: neither a bundle nor the artifact of the bundle that holds it"
            )
        bundle.check_golden_sizes()
        _check_size(bundle.artifact, manifest.artifact.bytes)
        _check_sha256(bundle.artifact, sha256(bundle.artifact), manifest.artifact.sha256)
    except OSError as error:
        raise BundleError(f"{error.filename or folder}: cannot be read: {error.strerror}") from None
    return bundle


def _read_manifest(folder: Path) -> Manifest:
    """Reads a bundle's manifest, after a check that the bundle holds files and folders only.

    Nothing is opened before that: a link could lead to any file, a device has no end, and a FIFO
    waits for ever.

    Raises:
        BundleError: The folder is not a bundle, or holds something else.
    """
    file = folder / MANIFEST
    try:
        file.lstat()
    except OSError as error:
        raise BundleError(
            f"{folder}: not a bundle: {MANIFEST} cannot be read: {error.strerror}"
        ) from None
    regular_files(folder, BundleError)
    data = read_at_most(file, _MAX_MANIFEST, BundleError)
    return records.decode(data, Manifest, str(file), BundleError)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes manifest.json, indented, with a line feed at the end.

    Raises:
        BundleError: `open_bundle` would refuse a value.
    """
    file = folder / MANIFEST
    data = records.encode(manifest, indent=1)
    records.decode(data, Manifest, str(file), BundleError)
    write_bytes(file, data + b"\n")


def write_golden(
    folder: Path,
    source: Literal["input", "eager", "artifact"],
    tensors: Mapping[str, npt.NDArray[Any]],
    gates: Mapping[str, float] | None = None,
    *,
    part: str = "golden",
) -> list[GoldenEntry]:
    """Writes golden tensors into a bundle's folder, and returns the manifest's entries for them.

    Args:
        folder: The bundle's folder.
        source: Where the tensors come from: `input`, `eager` or `artifact`.
        tensors: The tensors by name; the first axis counts images.
        gates: The least SQNR in dB that a device must reach, by output; None for inputs.
        part: The folder in the bundle.
    """
    entries = []
    (folder / part).mkdir(exist_ok=True)
    for name, tensor in tensors.items():
        path = f"{part}/{source}.{name}.bin"
        data = tensor.astype(tensor.dtype.newbyteorder("<"), order="C").tobytes()
        (folder / path).write_bytes(data)
        entries.append(
            GoldenEntry(
                path=path,
                tensor=name,
                shape=tensor.shape,
                dtype=cast(Io, tensor.dtype.name),
                sha256=hashlib.sha256(data).hexdigest(),
                source=source,
                min_sqnr_db=gates[name] if gates else None,
            )
        )
    return entries
