"""Reads the graph in a `.tflite`, which may come from anywhere.

ai-edge-litert's generated classes, which `flatbuffer.py` edits models with, follow any offset of a
damaged file. Field numbers: tflite/converter/schema/schema.fbs of LiteRT.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mnv4_mobile.errors import BundleError, damaged
from mnv4_mobile.flatbuffer import Buffer, Table
from mnv4_mobile.tensors import TensorSpec, declared_input

KIND = "LiteRT model"
SIZES = "mnv4_input_sizes"
"""Name of the metadata with all input sizes that a model takes, if it takes several."""
_CODES, _SUBGRAPHS, _BUFFERS, _METADATA, _SIGNATURES = 1, 2, 4, 6, 7
_TENSORS, _INPUTS, _OUTPUTS, _OPERATORS = 0, 1, 2, 3
_SHAPE, _TYPE, _BUFFER, _NAME = 0, 1, 2, 3
_CODE, _TAKEN, _GIVEN, _CUSTOM_OPTIONS = 0, 1, 2, 5
_OLD_CODE, _CUSTOM_CODE, _NEW_CODE = 0, 1, 3
_DATA, _OFFSET, _SIZE = 0, 1, 2
_METADATA_NAME, _METADATA_BUFFER = 0, 1
_SIGNATURE_INPUTS, _SIGNATURE_OUTPUTS, _PORT_NAME, _PORT_TENSOR = 0, 1, 0, 1


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A tensor of the graph."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: memoryview | None
    """The bytes of a constant."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """An operator of the graph; tensors are given by their numbers."""

    kind: str
    """`CONV_2D`, ..., or the name of a custom operator."""
    inputs: tuple[int, ...]
    """The tensors that it reads; -1 for one that is left out."""
    outputs: tuple[int, ...]
    options: memoryview
    """The options of a custom operator."""


class Model:
    """The graph of a `.tflite`: the first of its subgraphs, which is the one that runs.

    Attributes:
        tensors: The tensors, by number.
        steps: The operators, in the order in which they run.
        inputs: Numbers of the inputs.
        outputs: Numbers of the outputs.
        names: Names that the signature gives to inputs and outputs, by number.
        metadata: Metadata by name.

    Raises:
        BundleError: The file is not a LiteRT model, is damaged, or has several signatures.
    """

    def __init__(self, path: Path) -> None:
        file = Buffer.read(path, b"TFL3", KIND)
        with damaged(path, KIND):
            root = file.root()
            graph = root.tables(_SUBGRAPHS)[0]
            constants = _constants(file, root)
            self.tensors = _tensors(graph, constants)
            self.steps = _steps(graph, root)
            self.inputs = graph.integers(_INPUTS)
            self.outputs = graph.integers(_OUTPUTS)
            signatures = root.tables(_SIGNATURES)
            self.names = {
                port.integer(_PORT_TENSOR, 32): port.text(_PORT_NAME)
                for signature in signatures[:1]
                for ports in (_SIGNATURE_INPUTS, _SIGNATURE_OUTPUTS)
                for port in signature.tables(ports)
            }
            self.metadata = {
                entry.text(_METADATA_NAME): constants[entry.integer(_METADATA_BUFFER, 32)]
                for entry in root.tables(_METADATA)
            }
        if len(signatures) > 1:
            raise BundleError(f"{path}: signatures: found {len(signatures)}, must be one or none")


def _constants(file: Buffer, root: Table) -> list[memoryview | None]:
    """Returns the data of each buffer; None for those of tensors that are computed."""
    found: list[memoryview | None] = []
    for buffer in root.tables(_BUFFERS):
        offset = buffer.integer(_OFFSET, 64)
        if offset > 1:  # it lies after the flatbuffer
            found.append(file.part(offset, buffer.integer(_SIZE, 64)).data)
        else:
            found.append(buffer.data(_DATA) if buffer.has(_DATA) else None)
    return found


def _tensors(graph: Table, constants: list[memoryview | None]) -> list[Tensor]:
    from ai_edge_litert.schema_py_generated import TensorType

    types = {code: name.lower() for name, code in vars(TensorType).items() if name.isupper()}
    return [
        Tensor(
            name=tensor.text(_NAME),
            dtype=types[tensor.integer(_TYPE, 8)],
            shape=tensor.shape(_SHAPE),
            data=constants[tensor.integer(_BUFFER, 32)],
        )
        for tensor in graph.tables(_TENSORS)
    ]


def _steps(graph: Table, root: Table) -> list[Step]:
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    names = {code: name for name, code in vars(BuiltinOperator).items() if name.isupper()}
    # Codes above 126 do not fit into the old field.
    kinds = [
        code.text(_CUSTOM_CODE)
        or names[max(code.integer(_OLD_CODE, 8), code.integer(_NEW_CODE, 32))]
        for code in root.tables(_CODES)
    ]
    return [
        Step(
            kind=kinds[step.integer(_CODE, 32)],
            inputs=step.integers(_TAKEN),
            outputs=step.integers(_GIVEN),
            options=step.data(_CUSTOM_OPTIONS),
        )
        for step in graph.tables(_OPERATORS)
    ]


def custom_operators(path: Path) -> set[str]:
    """Returns the names of the custom operators of a model. This needs no toolchain.

    Raises:
        BundleError: The file is not a LiteRT model, or is damaged.
    """
    file = Buffer.read(path, b"TFL3", KIND)
    with damaged(path, KIND):
        return {code.text(_CUSTOM_CODE) for code in file.root().tables(_CODES)} - {""}


def operators(path: Path) -> dict[str, int]:
    """Returns how often each operator occurs in a model.

    Raises:
        BundleError: The file is not a LiteRT model, or is damaged.
    """
    return dict(Counter(step.kind for step in Model(path).steps))


def input_sizes(path: Path) -> list[tuple[int, ...]]:
    """Returns the shapes that the only input of a model takes besides the one that it declares.

    Raises:
        BundleError: The file is not a LiteRT model, or is damaged.
    """
    model = Model(path)
    with damaged(path, KIND):
        said = model.metadata.get(SIZES)
        if said is None:
            return []
        (number,) = model.inputs
        shape = model.tensors[number].shape
        first, *others = (
            tuple(map(int, one.split("x"))) for one in bytes(said).decode().split("_")
        )
        at = 1 if shape[1:3] == first else 2
        if shape[at : at + 2] != first or any(len(sides) != 2 for sides in others):
            raise ValueError(f"{SIZES}: does not begin with the size of the input")
        return [(*shape[:at], *sides, *shape[at + 2 :]) for sides in others]


def inputs(path: Path) -> tuple[TensorSpec, ...]:
    """Returns the inputs of a model, with the names that `mnv4_tflite.session` uses.

    Raises:
        BundleError: The file is not a LiteRT model, is damaged, or has several signatures.
    """
    model = Model(path)
    with damaged(path, KIND):
        tensors = {number: model.tensors[number] for number in model.inputs}
        return tuple(
            declared_input(model.names.get(number, tensor.name), tensor.shape, tensor.dtype)
            for number, tensor in tensors.items()
        )
