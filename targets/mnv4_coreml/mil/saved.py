"""What a saved Core ML model holds: its protobuf, the constants in it and the weight file.

It is read with coremltools' generated protobuf classes alone. The weight file has the format of
MILBlob (coremltools, `mlmodel/src/MILBlob/Blob/StorageFormat.hpp`).
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import math
import struct
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from mnv4_mobile.errors import BundleError, LoweringError, ToolchainError, damaged
from mnv4_mobile.files import read_at_most, regular_files

Array = npt.NDArray[Any]
Message = Any
"""A protobuf message: the generated classes have no types."""

Value = Array | list[Any] | float | str
"""A tensor, the value of a tensor of rank 0, or a list."""

SUB_BYTE = {"uint1": 1, "uint2": 2, "uint3": 3, "uint4": 4, "uint6": 6, "int4": 4}
"""Bits per value of the types that are stored packed, from the lowest bits of a byte up."""

WORKING: dict[str, type[np.generic]] = {
    **{name: np.int8 if name.startswith("int") else np.uint8 for name in SUB_BYTE},
    **{
        name: getattr(np, name)
        for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    },
    "bool": np.bool_,
    "string": np.str_,
    "float16": np.float32,
    "float32": np.float32,
    "float64": np.float64,
}
"""The numpy type that a value of each MIL type is computed in.

Half precision is kept in float32 arrays whose values float16 can represent: numpy's own float16
arithmetic would also round inside an operator, and is slow."""

# The metadata of a blob in the weight file, 64 bytes, to which a program's offset points: sentinel,
# type, number of data bytes, offset of the data in the file.
_BLOB = struct.Struct("<IIQQ40x")
_SENTINEL = 0xDEADBEEF

_LARGEST = 8 << 20
"""Number of bytes of a specification or of Manifest.json. Weights are in a file of their own."""
_PARTS, _AXES = 65_536, 16
"""The most parts of a program (see `_Walk`), and axes of a tensor."""
MAIN = "main"
"""The function of a package with one, and the default of one with a function for each size."""
MOST_ELEMENTS = 2**29
"""The most elements of a tensor."""


def stored(values: npt.ArrayLike, dtype: str) -> Array:
    """Returns `values` as a tensor of the MIL type `dtype` holds them: rounded for float16."""
    if dtype == "float16":
        values = np.asarray(values).astype(np.float16, copy=False)
    return np.asarray(values).astype(WORKING[dtype], copy=False)


def unpack(packed: Array, bits: int, shape: Sequence[int]) -> Array:
    """Unpacks bytes (uint8) of numbers with `bits` bits, lowest first, to one uint8 per number."""
    count = math.prod(map(int, shape))
    if count * bits > 8 * packed.size:  # numpy would add zeros
        raise ValueError(f"{packed.size} bytes for {count} numbers of {bits} bits")
    binary = np.unpackbits(packed, count=count * bits, bitorder="little").reshape(count, bits)
    return (binary @ (1 << np.arange(bits, dtype=np.uint8))).reshape(shape)


class _Item(msgspec.Struct):
    path: str


class _Manifest(msgspec.Struct, rename="camel"):
    """The Manifest.json of a package, which Apple does not document."""

    root_model_identifier: str
    item_info_entries: dict[str, _Item]


class SavedModel:
    """The model in an .mlpackage folder, which may come from anywhere.

    Nothing outside the folder is read: links are refused, and so is any path in its files that
    leaves it, used or not, because Core ML would follow it.

    Args:
        package: The .mlpackage folder.
        name: The function of its program.

    Attributes:
        path: The model specification, usually `Data/com.apple.CoreML/model.mlmodel`.
        spec: Its protobuf, `CoreML.Specification.Model`.
        function: The function.
        description: The function's inputs and outputs as Core ML shows them.
        functions: Names of all functions that Core ML shows; none in a package with one.

    Raises:
        BundleError: A package that is incomplete or damaged, or lacks the function; it names the
            file.
    """

    def __init__(self, package: Path, name: str = MAIN) -> None:
        refuse_links(package)
        self.path = _specification(package)
        self.spec: Message = _model_class()()
        from google.protobuf.message import DecodeError

        try:
            self.spec.ParseFromString(_small_file(self.path))
        except DecodeError as error:
            raise BundleError(f"{self.path}: not a readable Core ML model: {error}") from None
        if self.spec.WhichOneof("Type") != "mlProgram":
            raise BundleError(f"{self.path}: found no ML Program in it")
        program = self.spec.mlProgram
        if name not in program.functions:
            raise BundleError(f"{self.path}: the program has no function `{name}`")
        self.function: Message = program.functions[name]
        described = {one.name: one for one in self.spec.description.functions}
        self.functions = tuple(described)
        self.description: Message = described.get(name, self.spec.description)
        with damaged(self.path, "program"):
            for reference in _Walk(program).blobs:
                self._weights(reference)

    def block(self) -> Message:
        """Returns the operations of the function for the operator set that it names."""
        blocks = self.function.block_specializations
        if self.function.opset not in blocks:
            raise BundleError(f"{self.path}: has no block for {self.function.opset!r}")
        return blocks[self.function.opset]

    def tensor_type(self, proto: Message) -> tuple[str, tuple[int, ...]]:
        """Returns the name of the MIL type and the shape of a `ValueType` that is a tensor."""
        tensor = proto.tensorType
        names = tensor.DESCRIPTOR.fields_by_name["dataType"].enum_type.values_by_number
        known = names.get(tensor.dataType)
        dtype = known.name.lower() if known else str(tensor.dataType)
        if dtype not in WORKING:
            raise LoweringError(
                f"{self.path}: found a value of type {dtype}, the interpreter supports "
                + ", ".join(WORKING)
            )
        if (axes := len(tensor.dimensions)) > _AXES:
            raise BundleError(
                f"{self.path}: found a tensor of {axes} axes, must be {_AXES} or less"
            )
        if any(size.WhichOneof("dimension") != "constant" for size in tensor.dimensions):
            raise LoweringError(f"{self.path}: found a flexible shape, supported: fixed ones")
        shape = tuple(size.constant.size for size in tensor.dimensions)
        if math.prod(shape) > MOST_ELEMENTS:
            raise BundleError(
                f"{self.path}: found a tensor of shape {list(shape)}, must have {MOST_ELEMENTS} "
                "elements at most"
            )
        return dtype, shape

    def value(self, proto: Message) -> Value:
        """Returns the constant in a `Value`.

        It is an array, a Python scalar for rank 0, or a list of these.
        """
        if proto.type.WhichOneof("type") == "listType":
            return [self.value(item) for item in proto.immediateValue.list.values]
        dtype, shape = self.tensor_type(proto.type)
        if proto.WhichOneof("value") == "blobFileValue":
            array = self._decode(self._blob(proto.blobFileValue, dtype, shape), dtype, shape)
        else:
            array = self._immediate(proto.immediateValue.tensor, dtype, shape)
        return array if shape else array.item()

    def _immediate(self, tensor: Message, dtype: str, shape: tuple[int, ...]) -> Array:
        """Returns the values that the model itself holds, in the field for their type."""
        field = tensor.WhichOneof("value")
        if field == "bytes":
            raw = memoryview(tensor.bytes.values)
            self._check_bytes(len(raw), dtype, shape)
            return self._decode(raw, dtype, shape)
        found = getattr(tensor, field).values if field else ()
        if len(found) != math.prod(shape):
            raise BundleError(
                f"{self.path}: found {len(found)} values for a {dtype} constant of shape {shape}"
            )
        return np.array(found, WORKING[dtype]).reshape(shape)

    def _decode(self, raw: memoryview, dtype: str, shape: tuple[int, ...]) -> Array:
        """Returns little-endian bytes as an array; packed types get one element per value."""
        if dtype not in SUB_BYTE:
            return stored(np.frombuffer(raw, np.dtype(dtype)).reshape(shape), dtype)
        bits = SUB_BYTE[dtype]
        values = unpack(np.frombuffer(raw, np.uint8), bits, shape)
        if dtype.startswith("int"):
            sign = 1 << (bits - 1)
            values = (values ^ sign).astype(np.int8) - sign
        return stored(values, dtype)

    def _check_bytes(self, found: int, dtype: str, shape: tuple[int, ...]) -> None:
        bits = SUB_BYTE.get(dtype) or 8 * np.dtype(dtype).itemsize
        if found != -(-math.prod(shape) * bits // 8):
            raise BundleError(
                f"{self.path}: found {found} bytes for a {dtype} constant of shape {shape}"
            )

    def _weights(self, reference: Message) -> Path:
        """Returns the file that a `BlobFileValue` names."""
        name = reference.fileName.removeprefix("@model_path/")
        return _inside(self.path.parent, name, self.path)

    def _blob(self, reference: Message, dtype: str, shape: tuple[int, ...]) -> memoryview:
        """Returns the bytes of a constant, which a `BlobFileValue` points to."""
        path, at = self._weights(reference), reference.offset
        try:
            with path.open("rb") as file:
                length = file.seek(0, io.SEEK_END)
                if at + _BLOB.size > length:
                    raise BundleError(f"{path}: found {length} bytes, the program points to {at}")
                file.seek(at)
                sentinel, _, size, start = _BLOB.unpack(file.read(_BLOB.size))
                if sentinel != _SENTINEL:
                    raise BundleError(
                        f"{path}: found no blob at byte {at}; not the program's weights?"
                    )
                if start + size > length:
                    raise BundleError(
                        f"{path}: found {length} bytes, the blob at byte {at} ends at "
                        f"{start + size}"
                    )
                self._check_bytes(size, dtype, shape)
                file.seek(start)
                return memoryview(file.read(size))
        except OSError as error:
            raise BundleError(f"{path}: cannot read the weights: {error.strerror}") from None


def refuse_links(package: Path) -> None:
    """Refuses a package that holds anything but files and folders.

    Raises:
        BundleError: The package holds a link, a device or a FIFO, or is no folder.
    """
    try:
        regular_files(package, BundleError)
    except OSError as error:
        raise BundleError(f"{package}: not an .mlpackage: {error.strerror}") from None


def _inside(folder: Path, name: str, where: Path) -> Path:
    """Returns the path of a file that another file names, as a path inside a folder.

    Raises:
        BundleError: The path leaves the folder, or no file can have it.
    """
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or not name.isprintable():
        raise BundleError(f"{where}: found the path {name!r}, must stay inside {folder.name}")
    return folder / path


def _small_file(path: Path) -> bytes:
    try:
        return read_at_most(path, _LARGEST, BundleError)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from None


def _specification(package: Path) -> Path:
    """Returns the path of the model specification that a package's manifest names as its root."""
    if package.suffix == ".mlmodelc":
        raise BundleError(
            f"{package}: was compiled by Xcode, and nothing but Core ML in an app reads it; use "
            "the .mlpackage from which it was made"
        )
    path = package / "Manifest.json"
    with damaged(path, "manifest"):
        manifest = msgspec.json.decode(_small_file(path), type=_Manifest)
        files = {
            key: _inside(package / "Data", item.path, path)
            for key, item in manifest.item_info_entries.items()
        }
        return files[manifest.root_model_identifier]


class _Walk:
    """A walk through all parts of a program, which ends with ValueError if there are too many.

    Attributes:
        blobs: Every reference to a weight file, whether or not its block would run.
    """

    def __init__(self, program: Message) -> None:
        self._left = _PARTS
        self.blobs: list[Message] = []
        self._values(program.attributes.values())
        for function in self._counted(program.functions.values()):
            self._counted(function.inputs)
            self._values(function.attributes.values())
            self._blocks(function.block_specializations.values())

    def _counted(self, parts: Collection[Message]) -> Collection[Message]:
        self._left -= len(parts)
        if self._left < 0:
            raise ValueError(f"has more than {_PARTS:_} operations, arguments and constants")
        return parts

    def _blocks(self, blocks: Collection[Message]) -> None:
        for block in self._counted(blocks):
            self._values(block.attributes.values())
            for operation in self._counted(block.operations):
                self._counted(operation.outputs)
                self._values(operation.attributes.values())
                for argument in self._counted(operation.inputs.values()):
                    bindings = self._counted(argument.arguments)
                    self._values([one.value for one in bindings if one.HasField("value")])
                self._blocks(operation.blocks)

    def _values(self, values: Collection[Message]) -> None:
        for value in self._counted(values):
            if value.HasField("blobFileValue"):
                self.blobs.append(value.blobFileValue)
            elif value.HasField("immediateValue"):
                self._contents(value.immediateValue)

    def _contents(self, value: Message) -> None:
        """Walks through the constants in a constant."""
        match value.WhichOneof("value"):
            case "tuple" | "list" as kind:
                self._values(getattr(value, kind).values)
            case "dictionary":
                for pair in self._counted(value.dictionary.values):
                    self._values((pair.key, pair.value))


def _model_class() -> Message:
    """Returns coremltools' class `CoreML.Specification.Model` without importing coremltools.

    Importing the package imports torch and every converter, which takes seconds; the generated
    modules inside need nothing else, and their classes are the same under either name.
    """
    name = "_coremltools_proto"
    if name not in sys.modules:
        found = importlib.util.find_spec("coremltools")
        if found is None or not found.submodule_search_locations:
            raise ToolchainError("pip install 'mnv4-mobile[coreml]'")
        folder = Path(found.submodule_search_locations[0]) / "proto"
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return importlib.import_module(f"{name}.Model_pb2").Model
