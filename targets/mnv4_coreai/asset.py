"""Reads what an `.aimodel` asset holds, without running it.

An asset is a folder: the program as MLIR bytecode, its sha256, and metadata as JSON. Only files are
read here; Core AI's parser is native code, so it runs in a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from mnv4_mobile.errors import BundleError, LoweringError
from mnv4_mobile.files import read_at_most, regular_files
from mnv4_mobile.processes import read_isolated
from mnv4_mobile.tensors import TensorSpec, declared_input

PROGRAM, HASH, METADATA = "main.mlirb", "main.hash", "metadata.json"
FUNCTION = "main"
_MOST_METADATA = 8 << 20
_MOST_SIZES = 16
"""More than the elements of any constant that says how an operator works, such as its axes."""
_TYPE = re.compile(r"tensor<((?:\d+x)*)([a-zA-Z0-9]+)(?:, .*)?>")
_SIZES = ("si32", "ui32")
"""The types of such constants."""
_DTYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"} | {
    f"{short}{bits}": f"{name}{bits}"
    for short, name in (("si", "int"), ("ui", "uint"), ("i", "int"))
    for bits in (1, 2, 3, 4, 6, 8, 16, 32, 64)
}


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A value of a program."""

    shape: tuple[int, ...]
    dtype: str
    """The name of the type: as numpy names it, or `uint4` and the like for smaller ones."""
    constant: bool = False
    sizes: tuple[int, ...] = ()
    """The elements of a small constant of integers."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One use of an operator."""

    kind: str
    """Its name without the dialect: `conv2d`."""
    inputs: tuple[int, ...]
    """The positions of its operands in `Program.values`."""
    outputs: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Program:
    """The program of an asset: what its function `main` computes, in order."""

    inputs: tuple[tuple[str, int], ...]
    """The names of the inputs and their positions in `values`."""
    outputs: tuple[tuple[str, int], ...]
    values: tuple[Tensor, ...]
    calls: tuple[Call, ...]

    def declared(self) -> tuple[TensorSpec, ...]:
        """Returns the inputs as a target declares them."""
        return tuple(
            declared_input(name, self.values[at].shape, self.values[at].dtype)
            for name, at in self.inputs
        )

    def counts(self) -> dict[str, int]:
        """Returns how often each operator occurs."""
        return dict(Counter(call.kind for call in self.calls))


def kind() -> str:
    """Returns what an asset must be: `a Core AI asset that coreai-core 1.0.0b3 reads`."""
    return f"a Core AI asset that coreai-core {version('coreai-core')} reads"


def check_files(path: Path) -> None:
    """Checks that an asset is complete, and that its program is the one that was hashed.

    Raises:
        BundleError: Naming the file.
    """
    try:
        found = {file.relative_to(path).as_posix() for file in regular_files(path, BundleError)}
    except OSError as error:
        raise BundleError(f"{path}: not a Core AI asset: {error.strerror}") from None
    for name in (PROGRAM, HASH, METADATA):
        if name not in found:
            raise BundleError(f"{path}: not a Core AI asset: lacks {name}")
    metadata = path / METADATA
    try:
        known = json.loads(read_at_most(metadata, _MOST_METADATA, BundleError))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{metadata}: damaged: {error}") from None
    if not isinstance(known, dict):
        raise BundleError(f"{metadata}: damaged: found {type(known).__name__}, must be an object")
    with (path / PROGRAM).open("rb") as file:
        hashed = hashlib.file_digest(file, "sha256").digest()
    if read_at_most(path / HASH, len(hashed), BundleError) != hashed:
        raise BundleError(f"{path / PROGRAM}: damaged: its sha256 is not the one in {HASH}")


def describe(path: Path) -> Program:
    """Returns the program of an asset.

    Raises:
        BundleError: The asset is incomplete or damaged, or of another version of Core AI.
        LoweringError: It has no function `main`, or a shape that is not fixed.
    """
    check_files(path)
    found: Program = read_isolated(f"{__name__}:{read.__name__}", path, kind(), BundleError)
    return found


def read(path: Path) -> Program:
    """Reads a program with Core AI's parser, in this process; see `describe`."""
    from mnv4_coreai.speedups import graph_of

    try:
        _program, graph = graph_of(path, FUNCTION)
    except (RuntimeError, ValueError) as error:
        raise BundleError(f"{path / PROGRAM}: not {kind()}: {error}") from None
    if graph is None:
        raise LoweringError(f"{path}: has no function {FUNCTION!r}")
    return _Reader(path).program(graph)


class _Reader:
    """Numbers the values of a graph while it reads the operators."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[Any, int] = {}
        self._values: list[Tensor] = []

    def program(self, graph: Any) -> Program:
        names = [_name(attributes) for attributes in graph.arg_attrs]
        inputs = [self._add(argument) for argument in graph.arguments]
        calls: list[Call] = []
        outputs: tuple[tuple[str, int], ...] = ()
        for op in graph.bodyRegion.blocks[0].operations:
            kind = op.name.rpartition(".")[2]
            if kind == "constant":
                self._add(op.results[0], constant=op.attributes["value"])
                continue
            operands = tuple(self._places[value] for value in op.operands)
            if kind == "output":
                kept = (_name(attributes) for attributes in graph.res_attrs)
                outputs = tuple(zip(kept, operands, strict=True))
                continue
            results = tuple(self._add(result) for result in op.results)
            calls.append(Call(kind=kind, inputs=operands, outputs=results))
        return Program(
            inputs=tuple(zip(names, inputs, strict=True)),
            outputs=outputs,
            values=tuple(self._values),
            calls=tuple(calls),
        )

    def _add(self, value: Any, *, constant: Any = None) -> int:
        text = str(value.type)
        found = _TYPE.fullmatch(text)
        if not found or found[2] not in _DTYPES:
            raise LoweringError(f"{self._path}: found a value of type {text}, must be a tensor")
        shape = tuple(map(int, found[1].split("x")[:-1]))
        sizes: tuple[int, ...] = ()
        if constant is not None and found[2] in _SIZES and math.prod(shape) <= _MOST_SIZES:
            sizes = tuple(int(size) for size in np.ravel(np.array(constant)))
        self._places[value] = len(self._values)
        self._values.append(
            Tensor(shape=shape, dtype=_DTYPES[found[2]], constant=constant is not None, sizes=sizes)
        )
        return len(self._values) - 1


def _name(attributes: Any) -> str:
    name: str = attributes["coreai.name"].value
    return name
