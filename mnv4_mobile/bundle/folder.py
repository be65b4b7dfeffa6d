"""A bundle on disk: a folder with an artifact, its manifest and golden pairs."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from mnv4_mobile import records
from mnv4_mobile.bundle.manifest import GoldenEntry, Manifest
from mnv4_mobile.errors import BundleError, ConfigError
from mnv4_mobile.files import read_at_most, regular_files, sha256, size, write_bytes
from mnv4_mobile.images import Preprocess, Size
from mnv4_mobile.records import replace
from mnv4_mobile.tensors import CLASSES, Io, TensorSpec

MANIFEST = "manifest.json"
_MAX_MANIFEST = 8 * 2**20
"""Far above the size of a manifest with the labels of ImageNet-21k."""


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
