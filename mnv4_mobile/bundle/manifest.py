"""The bundle: a folder with an artifact, its manifest and golden pairs.

The manifest's JSON Schema (`schema/manifest.schema.json`) is the norm for every language. Golden
tensors are little-endian, in C order: RGB bytes after resizing, what the float PyTorch model gave
for them, and what the artifact gave.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict, cast

import numpy as np
import numpy.typing as npt

from mnv4_mobile.bundle.parity import Parity
from mnv4_mobile.errors import BundleError, ConfigError
from mnv4_mobile.files import sha256, write_bytes
from mnv4_mobile.images import Interpolation, Preprocess
from mnv4_mobile.tensors import Layout, Quantization, TensorSpec

MANIFEST = "manifest.json"
SCHEMA = 1


class ModelEntry(TypedDict):
    """Where the network and its weights come from."""

    name: str
    config_sha256: str
    weights: str
    weights_sha256: str
    licence: str | None


class ArtifactEntry(TypedDict):
    """The artifact's file or folder."""

    path: str
    bytes: int
    sha256: str


class QuantizationEntry(TypedDict):
    """The fields of `Quantization`."""

    scale: float
    zero_point: int


class TensorEntry(TypedDict):
    """An input or output; the fields of `TensorSpec`."""

    name: str
    kind: str
    shape: list[int]
    dtype: str
    layout: str | None
    quantization: NotRequired[QuantizationEntry]
    """Only where integers stand for floats."""


class PreprocessEntry(TypedDict):
    """The fields of `Preprocess`, and whether the artifact normalises."""

    size: list[int]
    crop: float
    interpolation: Interpolation
    mean: list[float]
    std: list[float]
    inside: bool


class GoldenEntry(TypedDict):
    """One golden tensor; see the schema."""

    path: str
    tensor: str
    shape: list[int]
    dtype: str
    source: str
    min_sqnr_db: float | None


class LayerEntry(TypedDict):
    """The precision of one layer."""

    name: str
    kind: Literal["convolution", "other"]
    block: str
    precision: str
    why: str | None


class AgreementEntry(TypedDict):
    """On how many pictures an artifact names the float network's class, as a share of 1."""

    top1: float
    n: int
    gate: float


class CalibrationEntry(TypedDict):
    """The pictures that a recipe was given."""

    images: int
    """Used for ranges and preparation."""
    held_back: int
    """Left out of them, to judge by."""
    skipped: int
    """Files that could not be read."""
    seed: int
    dataset_sha256: str | None
    """Of the sorted lines `<sha256>` of the pictures; None where they were made up."""
    range: str | None
    """The rule of the ranges, where there are static activations: where the recipe says `auto`,
    what that came to."""
    agreement: AgreementEntry | None
    """Of the pictures held back, where the recipe has a gate for it."""


class Manifest(TypedDict):
    """manifest.json."""

    schema: int
    id: str
    model: ModelEntry
    target: str
    recipe: str
    artifact: ArtifactEntry
    inputs: list[TensorEntry]
    outputs: list[TensorEntry]
    preprocess: PreprocessEntry
    labels: list[str] | None
    golden: list[GoldenEntry]
    parity: dict[str, Parity]
    layers: list[LayerEntry]
    calibration: NotRequired[CalibrationEntry]
    """Only of recipes that calibrate."""
    requires: dict[str, str]
    versions: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle on disk."""

    path: Path
    manifest: Manifest

    @property
    def artifact(self) -> Path:
        """The artifact's file or folder."""
        return self.path / self.manifest["artifact"]["path"]

    @property
    def input(self) -> TensorSpec:
        """The artifact's input."""
        return _tensor(self.manifest["inputs"][0])

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The artifact's outputs."""
        return tuple(_tensor(entry) for entry in self.manifest["outputs"])

    @property
    def preprocess(self) -> Preprocess:
        """How a picture becomes the input."""
        entry = self.manifest["preprocess"]
        return Preprocess(
            size=(entry["size"][0], entry["size"][1]),
            crop=entry["crop"],
            interpolation=entry["interpolation"],
            mean=(entry["mean"][0], entry["mean"][1], entry["mean"][2]),
            std=(entry["std"][0], entry["std"][1], entry["std"][2]),
        )

    def class_output(self, *kinds: str) -> TensorSpec:
        """The output with the classes' scores: of the first of these kinds that there is.

        Raises:
            ConfigError: There is none.
        """
        by_kind = {output.kind: output for output in self.outputs}
        for kind in kinds:
            if kind in by_kind:
                return by_kind[kind]
        raise ConfigError(
            f"{self.path}: has no class output (logits or probabilities), found: "
            f"{', '.join(by_kind)}"
        )

    @property
    def convolutions(self) -> list[str]:
        """Names of the network's convolutions in the order in which they run."""
        layers = self.manifest["layers"]
        return [layer["name"] for layer in layers if layer["kind"] == "convolution"]

    def golden(self, source: str) -> dict[str, npt.NDArray[Any]]:
        """The golden tensors of a source (`input`, `eager`, `artifact`) by tensor name.

        Raises:
            BundleError: A file is missing or has the wrong length.
        """
        found = {}
        for entry in self.manifest["golden"]:
            if entry["source"] != source:
                continue
            path = self.path / entry["path"]
            dtype = np.dtype(entry["dtype"]).newbyteorder("<")
            try:
                data = path.read_bytes()
            except OSError as error:
                raise BundleError(f"{path}: cannot be read: {error.strerror}") from None
            wanted = int(np.prod(entry["shape"])) * dtype.itemsize
            if len(data) != wanted:
                raise BundleError(f"{path}: found {len(data)} bytes, must be {wanted}")
            found[entry["tensor"]] = np.frombuffer(data, dtype).reshape(entry["shape"])
        return found


def _tensor(entry: TensorEntry) -> TensorSpec:
    grid = entry.get("quantization")
    return TensorSpec(
        name=entry["name"],
        kind=entry["kind"],
        shape=tuple(entry["shape"]),
        dtype=cast(Any, entry["dtype"]),
        layout=cast(Layout | None, entry["layout"]),
        quantization=Quantization(**grid) if grid else None,
    )


def open_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Reads a bundle and makes sure that its artifact is the one that its manifest names.

    Raises:
        BundleError: Naming the file and what is wrong with it.
    """
    import jsonschema

    folder = Path(path)
    file = folder / MANIFEST
    try:
        manifest = json.loads(file.read_bytes())
    except OSError as error:
        raise BundleError(
            f"{folder}: not a bundle: {MANIFEST} cannot be read: {error.strerror}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{file}: not JSON: {error}") from None
    version = manifest.get("schema") if isinstance(manifest, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        raise BundleError(
            f"{file}: written by a newer version (schema {version}, this one reads {SCHEMA}); "
            "upgrade mnv4-mobile"
        )
    validator = jsonschema.Draft202012Validator(_schema())
    wrong = jsonschema.exceptions.best_match(validator.iter_errors(manifest))
    if wrong is not None:
        raise BundleError(f"{file}: {wrong.json_path}: {wrong.message[:200]}")
    bundle = Bundle(path=folder, manifest=cast(Manifest, manifest))
    artifact = manifest["artifact"]
    if not bundle.artifact.exists():
        raise BundleError(f"{bundle.artifact}: missing")
    found = sha256(bundle.artifact)
    if found != artifact["sha256"]:
        raise BundleError(
            f"{bundle.artifact}: damaged: sha256 {found[:12]}..., the manifest says "
            f"{artifact['sha256'][:12]}..."
        )
    return bundle


def _schema() -> dict[str, Any]:
    text = (files("mnv4_mobile") / "schema/manifest.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes manifest.json with one key a line and a line feed at the end."""
    text = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(folder / MANIFEST, text.encode() + b"\n")


def write_golden(
    folder: Path,
    source: str,
    tensors: Mapping[str, npt.NDArray[Any]],
    gates: Mapping[str, float] | None = None,
) -> list[GoldenEntry]:
    """Writes golden tensors into a bundle's folder; the manifest's entries for them.

    Args:
        folder: The bundle's.
        source: `input`, `eager` or `artifact`.
        tensors: By tensor name; the first axis is the image's.
        gates: For outputs, the least SQNR in dB that a device must reach.
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
                shape=list(tensor.shape),
                dtype=tensor.dtype.name,
                source=source,
                min_sqnr_db=gates[name] if gates else None,
            )
        )
    return entries
