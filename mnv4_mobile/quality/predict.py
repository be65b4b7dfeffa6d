"""Runs a bundle on images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mnv4_mobile.bundle.folder import AnyBundle, Bundle, open_bundle
from mnv4_mobile.bundle.worker import Worker, run_pixels
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.images import pixels, read_image
from mnv4_mobile.target import load_target, require
from mnv4_mobile.tensors import TensorSpec

Image = str | os.PathLike[str] | npt.NDArray[np.uint8]
"""A file, or (H, W, 3) RGB bytes."""
_CHUNK = 16  # number of images in memory at a time


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One class of an image."""

    index: int
    """Index of the class."""
    label: str
    """The class name, or the index as text if the bundle has no labels."""
    probability: float
    """Probability from 0 to 1."""


class Model:
    """A bundle ready to run; a context manager that ends its worker process.

    Threads may share a model: their runs take turns. A process that was forked needs its own.

    Args:
        bundle: The bundle to run.
        threads: Number of runtime threads.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        require(load_target(bundle.manifest.target))
        self.bundle = bundle
        self._worker = Worker(bundle.manifest.target, bundle.artifact, threads=threads)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.close()

    def run(self, images: Sequence[Image]) -> dict[str, npt.NDArray[Any]]:
        """Returns all outputs by name, with one row for each image.

        Raises:
            ImageError: A file is not an image or cannot be read.
            DeviceError: The runtime failed.
            ParityError: The artifact has other outputs than the manifest says.
            ConfigError: There is no image, or the model is closed or another process's.
        """
        parts = list(self._parts(images))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def classify(self, images: Sequence[Image], top: int = 5) -> list[list[Prediction]]:
        """Returns the likeliest classes of every image, best first.

        Raises:
            ConfigError: The bundle has no class output.
        """
        output = self.bundle.class_output("probabilities", "logits")
        parts = (part[output.name] for part in self._parts(images))
        return [row for part in parts for row in self._classes(output, part, top)]

    def _parts(self, images: Sequence[Image]) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Yields all outputs by name for some images at a time, which alone are in memory."""
        if not images:
            raise ConfigError("no image given")
        bundle = self.bundle
        batch = bundle.input.shape[0]
        step = -(-_CHUNK // batch) * batch
        for start in range(0, len(images), step):
            some = [
                pixels(_decoded(one), bundle.preprocess) for one in images[start : start + step]
            ]
            yield run_pixels(
                self._worker, bundle.input, bundle.outputs, np.stack(some), bundle.preprocess
            )

    def _classes(
        self, output: TensorSpec, scores: npt.NDArray[Any], top: int
    ) -> list[list[Prediction]]:
        """Returns the likeliest classes of every row of a class output."""
        values = scores.astype(np.float64)
        if output.kind == "logits":
            values = np.exp(values - values.max(1, keepdims=True))
            values /= values.sum(1, keepdims=True)
        labels = self.bundle.manifest.labels
        return [
            [
                Prediction(
                    index=int(i), label=labels[i] if labels else str(i), probability=float(row[i])
                )
                for i in np.argsort(-row, kind="stable")[:top]
            ]
            for row in values
        ]


def _decoded(image: Image) -> npt.NDArray[np.uint8]:
    return image if isinstance(image, np.ndarray) else read_image(image)


def load(bundle: AnyBundle, *, threads: int = 1) -> Model:
    """Opens a bundle and starts its runtime.

        with load("out/conv-small-224x224-int8-tflite") as model:
            print(model.classify(["photo.jpg"], top=1)[0][0])

    Args:
        bundle: A bundle, its folder, or the artifact in it.
        threads: Number of runtime threads.

    Raises:
        BundleError: The bundle is incomplete or damaged.
        ToolchainError: The target's runtime is not installed.
    """
    return Model(open_bundle(bundle), threads=threads)
