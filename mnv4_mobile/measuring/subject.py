"""What is measured: a bundle, or an artifact from elsewhere as a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnv4_mobile.bundle.folder import Bundle, bundle_folder, is_bundle, open_bundle
from mnv4_mobile.bundle.parity import median_db
from mnv4_mobile.errors import ConfigError, ParityError
from mnv4_mobile.files import sha256, size
from mnv4_mobile.measuring.measurement import Artifact
from mnv4_mobile.target import load_target, target_names, target_of
from mnv4_mobile.tensors import Tensors, TensorSpec, answer, feed
from mnv4_mobile.text import printable

CHECKED_IMAGES = 2
"""Number of golden runs that check a device in one session."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An artifact, with its bundle if it has one."""

    path: Path
    artifact: Artifact
    bundle: Bundle | None

    def feeds(self) -> list[Tensors]:
        """Returns the inputs of each run of the golden check: arrays by input name.

        An artifact without a golden pair has one run, with the same noise every time.

        Raises:
            BundleError: A damaged artifact.
            ConfigError: An input that has neither floats nor integers.
        """
        if self.bundle is None:
            return [noise(load_target(self.artifact.target).inputs(self.path))]
        image, pixels = self.bundle.input, self.bundle.golden("input")["pixels"]
        batch = image.shape[0]
        return [
            feed(image, pixels[i : i + batch], self.bundle.preprocess)
            for i in range(0, min(CHECKED_IMAGES * batch, len(pixels)), batch)
        ]

    def check(self, outputs: list[dict[str, npt.NDArray[Any]]]) -> float | None:
        """Compares the device's outputs for `feeds` with the float model's.

        Returns:
            SQNR in dB of the worst output; None for an artifact without a golden pair.

        Raises:
            ParityError: An output missed the gate of the bundle.
            BundleError: A golden tensor is damaged.
        """
        if self.bundle is None:
            return None
        expected = self.bundle.golden("eager")
        gates = self.bundle.gates()
        worst = float("inf")
        for output in self.bundle.outputs:
            where = f"{self.artifact.name} on the device"
            found = np.concatenate([answer([output], run, where)[output.name] for run in outputs])
            wanted = expected[output.name][: len(found)]
            if found.shape != wanted.shape:
                raise ParityError(
                    f"{self.artifact.name}: output {output.name}: the device returned shape "
                    f"{found.shape}, must be {wanted.shape}"
                )
            ratio = median_db(wanted, found)
            gate = gates[output.name]
            if not ratio >= gate:
                raise ParityError(
                    f"{self.artifact.name}: output {output.name}: wrong on the device: "
                    f"{ratio:.1f} dB, must be {gate:g} or more"
                )
            worst = min(worst, ratio)
        return worst


def noise(inputs: Sequence[TensorSpec]) -> dict[str, npt.NDArray[Any]]:
    """Returns random inputs by name, from a fixed seed, for an artifact without a golden pair.

    Floats are from the standard normal distribution, integers from 0 to 127.

    Raises:
        ConfigError: An input that has neither.
    """
    for tensor in inputs:
        if not tensor.dtype.startswith(("float", "int", "uint")):
            raise ConfigError(
                f"input {tensor.name}: found {tensor.dtype}, must be floats or integers"
            )
    rng = np.random.default_rng(0)
    return {
        tensor.name: (
            rng.standard_normal(tensor.shape)
            if tensor.dtype.startswith("float")
            else rng.integers(0, 128, tensor.shape)
        ).astype(tensor.dtype)
        for tensor in inputs
    }


def open_subject(path: Path) -> Subject:
    """Opens a bundle's folder or the artifact in it, or an artifact from elsewhere.

    Raises:
        BundleError: A damaged bundle.
        ConfigError: The path is none of these; the message names the suffixes of artifacts.
    """
    suffixes = {load_target(name).suffix for name in target_names()}
    if path.suffix in suffixes and not is_bundle(bundle_folder(path)):
        if not path.exists():
            raise ConfigError(f"{path}: does not exist")
        target = target_of(path)
        assert target is not None
        artifact = Artifact(
            sha256=sha256(path),
            bytes=size(path),
            target=target,
            bundle_id=None,
            name=printable(path.name),
            model=None,
            recipe=None,
            size=None,
        )
        return Subject(path=path, artifact=artifact, bundle=None)
    if not bundle_folder(path).is_dir():
        raise ConfigError(
            f"{path}: neither a bundle's folder nor an artifact ({', '.join(sorted(suffixes))})"
        )
    bundle = open_bundle(path)
    manifest = bundle.manifest
    artifact = Artifact(
        sha256=manifest.artifact.sha256,
        bytes=manifest.artifact.bytes,
        target=manifest.target,
        bundle_id=manifest.id,
        name=manifest.id,
        model=manifest.model.name,
        recipe=manifest.recipe,
        size=bundle.preprocess.size,
    )
    return Subject(path=bundle.artifact, artifact=artifact, bundle=bundle)
