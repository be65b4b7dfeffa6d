"""The bundle: a folder with an artifact, its manifest and golden pairs.

`docs/reference/bundle.md` specifies the format for other languages.
"""

from __future__ import annotations

import os
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
from mnv4_mobile.files import sha256, write_bytes
from mnv4_mobile.images import Assumable, Preprocess
from mnv4_mobile.layers import Layer
from mnv4_mobile.records import Bytes, Count, Natural, Record, Sha256, Share, whole
from mnv4_mobile.tensors import CLASSES, Io, Shape, TensorSpec, check_bytes
from mnv4_mobile.units import Unit

MANIFEST = "manifest.json"
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
    source: Literal["input", "eager", "artifact"]
    """`input`: RGB bytes after resizing; `eager`: the float PyTorch model's output for them;
    `artifact`: the artifact's output."""
    min_sqnr_db: float | None
    """The least SQNR in decibels that an output must reach against this tensor; null for inputs."""

    def __post_init__(self) -> None:
        check_bytes(self.shape, self.dtype)


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
    seed: int
    """Seed that chose the images."""
    dataset_sha256: Sha256 | None
    """Hash of the sorted hashes of the images, each ended by a line feed; null if the images were
    generated."""
    range: str | None
    """The range rule of static activations; for `auto`, the rule it chose. Null without them."""
    agreement: AgreementEntry | None
    """Agreement on the held-out images; null if the recipe has no gate for it."""


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
    labels: tuple[str, ...] | None
    """Class names in the order of the class output; null if they are not known."""
    golden: Annotated[tuple[GoldenEntry, ...], Meta(min_length=2)]
    """Inputs and their outputs, with which a device checks the artifact."""
    parity: Mapping[Unit, Mapping[str, Parity]]
    """How close each output is to the float model's, by unit, then by output. Empty if the build
    did not verify."""
    layers: tuple[LayerEntry, ...]
    """The precision of every layer."""
    calibration: CalibrationEntry | None = None
    """The images that the recipe was calibrated with. Absent from bundles without calibration."""
    requires: Mapping[Requirement, str]
    """What a device must have; keys are `<target>.<key>`."""
    versions: Mapping[str, str]
    """Versions of the packages that made the bundle."""

    def __post_init__(self) -> None:
        image, (height, width) = self.inputs[0], self.preprocess.size
        sides = {"nhwc": (height, width, 3), "nchw": (3, height, width)}
        if image.layout is None:
            raise ValueError("inputs[0].layout: found ~, allowed: nchw, nhwc")
        if image.shape[1:] != sides[image.layout]:
            raise ValueError(
                f"inputs[0].shape: found {list(image.shape)}, must be a batch of "
                f"{list(sides[image.layout])}, as preprocess.size and inputs[0].layout say"
            )
        classes = [output.shape[-1] for output in self.outputs if output.kind in CLASSES]
        if self.labels is not None and classes and len(self.labels) != classes[0]:
            raise ValueError(f"labels: found {len(self.labels)}, must be {classes[0]}")


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
        """Returns the least SQNR in dB of every output on the golden pairs, by its name.

        Raises:
            BundleError: The golden pairs are incomplete.
        """
        golden = {(e.source, e.tensor): e.min_sqnr_db for e in self.manifest.golden}
        gates = {output.name: golden.get(("eager", output.name)) for output in self.outputs}
        found = {name: gate for name, gate in gates.items() if gate is not None}
        if ("input", "pixels") not in golden or len(found) < len(gates):
            raise BundleError(
                f"{self.path}: golden: needs the input's pixels, and an eager tensor with "
                "min_sqnr_db for every output"
            )
        return found

    def golden(self, source: str) -> dict[str, npt.NDArray[Any]]:
        """Returns the golden tensors of a source (`input`, `eager`, `artifact`) by tensor name.

        Raises:
            BundleError: A file is missing or has the wrong length.
        """
        found = {}
        for entry in self.manifest.golden:
            if entry.source != source:
                continue
            path = self.path / entry.path
            dtype = np.dtype(entry.dtype).newbyteorder("<")
            try:
                data = path.read_bytes()
            except OSError as error:
                raise BundleError(f"{path}: cannot be read: {error.strerror}") from None
            wanted = int(np.prod(entry.shape)) * dtype.itemsize
            if len(data) != wanted:
                raise BundleError(f"{path}: found {len(data)} bytes, must be {wanted}")
            found[entry.tensor] = np.frombuffer(data, dtype).reshape(entry.shape)
        return found


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
    """Reads a bundle and checks that its artifact is the one that its manifest names.

    Args:
        path: The bundle's folder, or the artifact in it. An open bundle is returned unchanged.

    Raises:
        BundleError: Naming the file and what is wrong with it.
    """
    if isinstance(path, Bundle):
        return path
    folder = bundle_folder(Path(path))
    file = folder / MANIFEST
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{folder}: not a bundle: {MANIFEST} cannot be read: {error.strerror}"
        ) from None
    bundle = Bundle(path=folder, manifest=records.decode(data, Manifest, str(file), BundleError))
    artifact = bundle.manifest.artifact
    if folder != Path(path) and bundle.artifact != Path(path):
        raise BundleError(f"{path}: neither a bundle nor the artifact of the bundle that holds it")
    if not bundle.artifact.exists():
        raise BundleError(f"{bundle.artifact}: missing")
    found = sha256(bundle.artifact)
    if found != artifact.sha256:
        raise BundleError(
            f"{bundle.artifact}: damaged: sha256 {found[:12]}..., the manifest says "
            f"{artifact.sha256[:12]}..."
        )
    return bundle


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
) -> list[GoldenEntry]:
    """Writes golden tensors into a bundle's folder, and returns the manifest's entries for them.

    Args:
        folder: The bundle's folder.
        source: Where the tensors come from: `input`, `eager` or `artifact`.
        tensors: The tensors by name; the first axis counts images.
        gates: The least SQNR in dB that a device must reach, by output; None for inputs.
    """
    entries = []
    (folder / "golden").mkdir(exist_ok=True)
    for name, tensor in tensors.items():
        path = f"golden/{source}.{name}.bin"
        little = tensor.astype(tensor.dtype.newbyteorder("<"), order="C")
        (folder / path).write_bytes(little.tobytes())
        entries.append(
            GoldenEntry(
                path=path,
                tensor=name,
                shape=tensor.shape,
                dtype=cast(Io, tensor.dtype.name),
                source=source,
                min_sqnr_db=gates[name] if gates else None,
            )
        )
    return entries
