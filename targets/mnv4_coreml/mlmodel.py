"""Core ML itself, through coremltools: on this Mac, or on a device that coremltools reaches.

This module was written from coremltools' documentation and source, and tested with stand-ins for
its classes that check their arguments. It has not been run with Core ML.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnv4_coreml.mil.saved import MAIN, SavedModel, refuse_links
from mnv4_coreml.speedups import coremltools
from mnv4_mobile.errors import damaged
from mnv4_mobile.tensors import Tensors


@contextmanager
def copied(path: Path) -> Iterator[Path]:
    """Yields a temporary copy of a package: coremltools rewrites the manifest of what it opens.

    Raises:
        BundleError: See `refuse_links`.
    """
    refuse_links(path)
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copytree(path, Path(folder, path.name)))


class CoreMLModel:
    """A package as coremltools' `MLModel`, with conversions of arrays to its inputs and back.

    Args:
        path: The package. It may be rewritten, and may be removed once it is loaded.
        compute_unit: Core ML's compute units; None means those that the package was made for.
        function: The function of its program; None means its only one, or its default.
        load: Whether Core ML loads it here. False for benchmarkers, which load it themselves.

    Raises:
        BundleError: A package that is incomplete or damaged.
    """

    def __init__(
        self,
        path: Path,
        compute_unit: str | None,
        *,
        function: str | None = None,
        load: bool = True,
    ) -> None:
        saved = SavedModel(path, function or MAIN)
        description = saved.description
        metadata = saved.spec.description.metadata.userDefined
        features = [*description.input, *description.output]
        self.operations = [op.outputs[0].name for op in saved.block().operations if op.outputs]
        self.kinds = {feature.name: feature.type.WhichOneof("Type") for feature in features}
        """The kinds of inputs and outputs, by name: `multiArrayType`, `imageType`, ..."""
        ct = coremltools()
        with damaged(saved.path, "model"):
            self._labels = json.loads(metadata["labels"]) if "labels" in metadata else []
            unit = ct.ComputeUnit[(compute_unit or metadata.get("compute_unit", "all")).upper()]
        named = {} if function is None else {"function_name": function}
        self.model = ct.models.MLModel(
            str(path), compute_units=unit, skip_model_load=not load, **named
        )

    def feed(self, inputs: Tensors) -> dict[str, Any]:
        """Returns inputs, by name, as Core ML takes them: images as PIL images."""
        from PIL import Image

        return {
            name: Image.fromarray(value[0]) if self.kinds[name] == "imageType" else value
            for name, value in inputs.items()
        }

    def answer(self, found: dict[str, Any]) -> dict[str, npt.NDArray[Any]]:
        """Returns Core ML's outputs as arrays by name, without a classifier's label.

        A classifier's dictionary becomes an array in the order of the labels.
        """
        return {
            name: (
                np.array([[value[label] for label in self._labels]], np.float32)
                if self.kinds[name] == "dictionaryType"
                else np.asarray(value)
            )
            for name, value in found.items()
            if self.kinds[name] != "stringType"
        }

    def benchmarker(self, device: Any = None) -> Any:
        """Returns an `MLModelBenchmarker` of the model, here or on one of coremltools' devices."""
        from coremltools.models.ml_program.experimental import perf_utils

        return perf_utils.MLModelBenchmarker(self.model, device)
