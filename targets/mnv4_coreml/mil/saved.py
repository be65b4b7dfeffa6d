"""What a saved Core ML model holds: its protobuf, the constants in it and the weight file.

It is read with coremltools' generated protobuf classes alone. The weight file has the format of
MILBlob (coremltools, `mlmodel/src/MILBlob/Blob/StorageFormat.hpp`).
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnv4_mobile.errors import BundleError, LoweringError, ToolchainError

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


def stored(values: npt.ArrayLike, dtype: str) -> Array:
    """Returns `values` as a tensor of the MIL type `dtype` holds them: rounded for float16."""
    if dtype == "float16":
        values = np.asarray(values).astype(np.float16, copy=False)
    return np.asarray(values).astype(WORKING[dtype], copy=False)


def unpack(packed: Array, bits: int, shape: Sequence[int]) -> Array:
    """Unpacks bytes (uint8) of numbers with `bits` bits, lowest first, to one uint8 per number."""
    count = math.prod(shape)
    binary = np.unpackbits(packed, count=count * bits, bitorder="little").reshape(count, bits)
    return (binary @ (1 << np.arange(bits, dtype=np.uint8))).reshape(shape)


class SavedModel:
    """The model in an .mlpackage folder.

    Attributes:
        path: The model specification, usually `Data/com.apple.CoreML/model.mlmodel`.
        spec: Its protobuf, `CoreML.Specification.Model`.
        function: The program's `main`.

    Raises:
        BundleError: A package that is incomplete or damaged; it names the file.
    """

    def __init__(self, package: Path) -> None:
        self.path = _specification(package)
        self.spec: Message = _model_class()()
        from google.protobuf.message import DecodeError

        try:
            self.spec.ParseFromString(self.path.read_bytes())
        except (OSError, DecodeError) as error:
            raise BundleError(f"{self.path}: not a readable Core ML model: {error}") from None
        if self.spec.WhichOneof("Type") != "mlProgram":
            raise BundleError(f"{self.path}: found no ML Program in it")
        if "main" not in self.spec.mlProgram.functions:
            raise BundleError(f"{self.path}: the program has no function `main`")
        self.function: Message = self.spec.mlProgram.functions["main"]
        self._files: dict[Path, memoryview] = {}

    def block(self) -> Message:
        """Returns the operations of `main` for the operator set that it names."""
        blocks = self.function.block_specializations
        if self.function.opset not in blocks:
            raise BundleError(f"{self.path}: `main` has no block for {self.function.opset!r}")
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
        if any(size.WhichOneof("dimension") != "constant" for size in tensor.dimensions):
            raise LoweringError(f"{self.path}: found a flexible shape, supported: fixed ones")
        return dtype, tuple(size.constant.size for size in tensor.dimensions)

    def value(self, proto: Message) -> Value:
        """Returns the constant in a `Value`.

        It is an array, a Python scalar for rank 0, or a list of these.
        """
        if proto.type.WhichOneof("type") == "listType":
            return [self.value(item) for item in proto.immediateValue.list.values]
        dtype, shape = self.tensor_type(proto.type)
        if proto.WhichOneof("value") == "blobFileValue":
            array = self._decode(self._blob(proto.blobFileValue), dtype, shape)
        else:
            array = self._immediate(proto.immediateValue.tensor, dtype, shape)
        return array if shape else array.item()

    def _immediate(self, tensor: Message, dtype: str, shape: tuple[int, ...]) -> Array:
        """Returns the values that the model itself holds, in the field for their type."""
        field = tensor.WhichOneof("value")
        if field == "bytes":
            return self._decode(memoryview(tensor.bytes.values), dtype, shape)
        found = getattr(tensor, field).values if field else ()
        if len(found) != math.prod(shape):
            raise BundleError(
                f"{self.path}: found {len(found)} values for a {dtype} constant of shape {shape}"
            )
        return np.array(found, WORKING[dtype]).reshape(shape)

    def _decode(self, raw: memoryview, dtype: str, shape: tuple[int, ...]) -> Array:
        """Returns little-endian bytes as an array; packed types get one element per value."""
        count = math.prod(shape)
        bits = SUB_BYTE.get(dtype) or 8 * np.dtype(dtype).itemsize
        if len(raw) != -(-count * bits // 8):
            raise BundleError(
                f"{self.path}: found {len(raw)} bytes for a {dtype} constant of shape {shape}"
            )
        if dtype not in SUB_BYTE:
            return stored(np.frombuffer(raw, np.dtype(dtype)).reshape(shape), dtype)
        values = unpack(np.frombuffer(raw, np.uint8), bits, shape)
        if dtype.startswith("int"):
            sign = 1 << (bits - 1)
            values = (values ^ sign).astype(np.int8) - sign
        return stored(values, dtype)

    def _blob(self, reference: Message) -> memoryview:
        """Returns the bytes that a `BlobFileValue` points to."""
        file = self.path.parent / reference.fileName.removeprefix("@model_path/")
        if file not in self._files:
            try:
                self._files[file] = memoryview(file.read_bytes())
            except OSError as error:
                raise BundleError(f"{file}: cannot read the weights: {error}") from None
        data = self._files[file]
        at = reference.offset
        if at + _BLOB.size > len(data):
            raise BundleError(f"{file}: found {len(data)} bytes, the program points to {at}")
        sentinel, _, size, start = _BLOB.unpack_from(data, at)
        if sentinel != _SENTINEL:
            raise BundleError(f"{file}: found no blob at byte {at}; not the program's weights?")
        if start + size > len(data):
            raise BundleError(
                f"{file}: found {len(data)} bytes, the blob at byte {at} ends at {start + size}"
            )
        return data[start : start + size]


def _specification(package: Path) -> Path:
    """Returns the path of the model specification that a package's manifest names as its root."""
    manifest = package / "Manifest.json"
    try:
        found = json.loads(manifest.read_text("utf-8"))
        root: str = found["itemInfoEntries"][found["rootModelIdentifier"]]["path"]
        return package / "Data" / root
    except OSError as error:
        raise BundleError(f"{manifest}: not an .mlpackage: {error}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{manifest}: names no root model: {error!r}") from None


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
