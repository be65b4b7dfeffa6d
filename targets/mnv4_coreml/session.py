"""Running an `.mlpackage`: with Core ML on macOS, with the interpreter elsewhere."""

from __future__ import annotations

import platform
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy.typing as npt

from mnv4_coreml.mil import Program
from mnv4_coreml.mil.saved import MAIN, SavedModel
from mnv4_mobile.errors import damaged
from mnv4_mobile.target import Session
from mnv4_mobile.tensors import Tensors, TensorSpec, declared_input


def operators(path: Path) -> dict[str, int]:
    """Returns how often each operation occurs in the program of a package, without constants.

    Raises:
        BundleError: A package that is incomplete or damaged.
    """
    block = SavedModel(path).block()
    return dict(Counter(op.type for op in block.operations if op.type != "const"))


def inputs(path: Path) -> tuple[TensorSpec, ...]:
    """Returns the inputs of a package.

    Raises:
        BundleError: A package that is incomplete or damaged.
        LoweringError: An input whose shape or type the interpreter does not support either.
    """
    return _inputs(path, MAIN)


def _inputs(path: Path, function: str | None) -> tuple[TensorSpec, ...]:
    """Returns the inputs of a function; None means the only one."""
    model = SavedModel(path, function or MAIN)
    declared = {port.name: port.type for port in model.function.inputs}
    found = []
    with damaged(model.path, "program"):
        for feature in model.description.input:
            if feature.type.WhichOneof("Type") == "imageType":
                image = feature.type.imageType
                shape: tuple[int, ...] = (1, image.height, image.width, 3)
                dtype = "uint8"
            else:
                dtype, shape = model.tensor_type(declared[feature.name])
            found.append(declared_input(feature.name, shape, dtype))
    return tuple(found)


def runtime() -> str:
    """Imports coremltools if Core ML runs packages here; returns the runtime's name and version."""
    if sys.platform != "darwin":
        return f"interpreter {version('mnv4-mobile')}"
    from mnv4_coreml.speedups import coremltools

    coremltools()
    return f"coreml macOS {platform.mac_ver()[0]}"


def open_session(path: Path, threads: int, compute_unit: str | None) -> Session:
    """Loads a package.

    Args:
        path: The package's folder.
        threads: Not used: Core ML has no such option, and numpy takes it from the environment.
        compute_unit: Core ML's compute units; None means those that the package was made for.

    Raises:
        BundleError: A package that is incomplete or damaged.
    """
    return _core_ml(path, compute_unit) if sys.platform == "darwin" else _interpreter(path)


def _interpreter(path: Path) -> Session:
    main = Program(path)
    others = [Program(path, name) for name in SavedModel(path).functions if name != MAIN]
    by_shape = {_shapes(program): program for program in others}
    tensors = {port.name for port in main.outputs if port.kind != "label"}

    def run(inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        shapes = frozenset((name, value.shape) for name, value in inputs.items())
        found = by_shape.get(shapes, main)(inputs)
        return {name: value for name, value in found.items() if name in tensors}

    return run


def _shapes(program: Program) -> frozenset[tuple[str, tuple[int, ...]]]:
    """Returns the names and shapes of a function's inputs."""
    return frozenset((port.name, port.shape) for port in program.inputs)


def _core_ml(path: Path, compute_unit: str | None) -> Session:
    from mnv4_coreml.mlmodel import CoreMLModel, copied

    names = SavedModel(path).functions or (None,)
    with copied(path) as package:
        loaded = {name: CoreMLModel(package, compute_unit, function=name) for name in names}
    by_shape = {
        frozenset((one.name, one.shape) for one in _inputs(path, name)): loaded[name]
        for name in names
    }
    default = loaded.get(MAIN) or loaded[names[0]]

    def run(inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        shapes = frozenset((name, value.shape) for name, value in inputs.items())
        model = by_shape.get(shapes, default)
        return model.answer(model.model.predict(model.feed(inputs)))

    return run
