"""Running an `.mlpackage`: with Core ML on macOS, with the interpreter elsewhere."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnv4_coreml.mil import Program
from mnv4_coreml.mil.saved import SavedModel
from mnv4_mobile.target import Session, Tensors


def operators(path: Path) -> dict[str, int]:
    """How often each operation stands in the program of a package.

    Raises:
        BundleError: A package that is incomplete or damaged.
    """
    block = SavedModel(path).block()
    return dict(Counter(op.type for op in block.operations if op.type != "const"))


def open_session(path: Path, threads: int) -> Session:
    """Loads a package.

    Args:
        path: The folder.
        threads: Not used: Core ML has no such option, and numpy takes it from the environment.

    Raises:
        BundleError: A package that is incomplete or damaged.
    """
    return load_core_ml(path)[1] if sys.platform == "darwin" else _interpreter(path)


def _interpreter(path: Path) -> Session:
    program = Program(path)
    tensors = {port.name for port in program.outputs if port.kind != "label"}

    def run(inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        return {name: value for name, value in program(inputs).items() if name in tensors}

    return run


def load_core_ml(path: Path) -> tuple[Any, Session]:
    """Core ML's model, on the compute unit that the package was made for, and its session.

    Written after coremltools' documentation; it was not run.
    """
    from PIL import Image

    from mnv4_coreml.toolchain import coremltools

    description = SavedModel(path).spec.description
    metadata = description.metadata.userDefined
    labels = json.loads(metadata["labels"]) if "labels" in metadata else []
    kinds = {feature.name: feature.type.WhichOneof("Type") for feature in description.input}
    kinds |= {feature.name: feature.type.WhichOneof("Type") for feature in description.output}
    ct = coremltools()
    unit = ct.ComputeUnit[metadata["compute_unit"].upper()]
    model = ct.models.MLModel(str(path), compute_units=unit)

    def run(inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        fed = {
            name: Image.fromarray(value[0]) if kinds[name] == "imageType" else value
            for name, value in inputs.items()
        }
        found = model.predict(fed)
        return {
            name: (
                np.array([[value[label] for label in labels]], np.float32)
                if kinds[name] == "dictionaryType"
                else np.asarray(value)
            )
            for name, value in found.items()
            if kinds[name] != "stringType"
        }

    return model, run
