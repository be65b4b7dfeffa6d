"""Reads the contents of a `.pte` from its flatbuffer.

ExecuTorch's own deserializer needs all of exir and its flatc, so the few tables that are needed are
read here with the flatbuffers library (field numbers: executorch/schema/program.fbs).
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv4_mobile.errors import BundleError

_PROGRAM_PLANS, _PROGRAM_SEGMENTS = 1, 4
_PLAN_NAME, _PLAN_VALUES, _PLAN_INPUTS, _PLAN_OUTPUTS = 0, 2, 3, 4
_PLAN_CHAINS, _PLAN_OPERATORS, _PLAN_DELEGATES = 5, 6, 7
_CHAIN_INSTRUCTIONS = 2
_TYPE, _VALUE = 0, 1  # of a union
_KERNEL_CALL, _DELEGATE_CALL, _TENSOR, _STRING = 1, 2, 5, 6
_CALLED, _ARGUMENTS = 0, 1  # of either call
_DELEGATE_DATA, _DATA_INDEX = 1, 1
_SEGMENT_OFFSET, _SEGMENT_SIZE = 0, 1
_TENSOR_TYPE, _TENSOR_SIZES = 0, 2
_BASE = slice(24, 32)  # segments' offset, in the extended header (executorch/schema/README.md)
_TYPES = {0: "uint8", 1: "int8", 3: "int32", 4: "int64", 5: "float16", 6: "float32"}
_DAMAGED = (IndexError, KeyError, ValueError, struct.error)


class Table:
    """A flatbuffer table whose fields are read by number."""

    def __init__(self, data: bytes, position: int) -> None:
        from flatbuffers.table import Table as Flat

        self._table = Flat(data, position)

    def _offset(self, field: int) -> int:
        offset: int = self._table.Offset(4 + 2 * field)
        return offset

    def integer(self, field: int, bits: int) -> int:
        """Returns an integer with the given number of bits; 0 if it is not stored."""
        from flatbuffers import number_types as types

        flags = {
            8: types.Uint8Flags,
            16: types.Int16Flags,
            32: types.Uint32Flags,
            64: types.Uint64Flags,
        }[bits]
        offset = self._offset(field)
        return int(self._table.Get(flags, self._table.Pos + offset)) if offset else 0

    def integers(self, field: int) -> list[int]:
        """Returns a vector of 32-bit integers; an empty list if it is not stored."""
        from flatbuffers.number_types import Int32Flags

        offset = self._offset(field)
        values: list[int] = (
            self._table.GetVectorAsNumpy(Int32Flags, offset).tolist() if offset else []
        )
        return values

    def text(self, field: int) -> str:
        """Returns a string; an empty one if it is not stored."""
        offset = self._offset(field)
        return bytes(self._table.String(self._table.Pos + offset)).decode() if offset else ""

    def has(self, field: int) -> bool:
        """Returns whether a field is stored."""
        return bool(self._offset(field))

    def table(self, field: int) -> Table:
        """Returns a table, or the table of a union."""
        position = self._table.Pos + self._offset(field)
        return Table(self._table.Bytes, self._table.Indirect(position))

    def tables(self, field: int) -> list[Table]:
        """Returns a vector of tables; an empty list if it is not stored."""
        offset = self._offset(field)
        if not offset:
            return []
        start: int = self._table.Vector(offset)
        count: int = self._table.VectorLen(offset)
        data: Any = self._table.Bytes
        return [Table(data, self._table.Indirect(start + 4 * i)) for i in range(count)]


def root(data: bytes) -> Table:
    """Returns the root table of a flatbuffer."""
    return Table(data, int.from_bytes(data[:4], "little"))


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A tensor outside the delegates."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Call:
    """An instruction of the program that calls an operator or a delegate."""

    name: str
    """Name of the operator; empty for a delegate."""
    arguments: tuple[int, ...]
    """Numbers of the values that it reads and writes; the last one is an operator's output."""
    delegate: bytes = b""
    """The data of the delegate; empty for an operator."""


class Program:
    """The method `forward` of a `.pte`.

    Attributes:
        calls: The calls that it makes, in order.
        tensors: Those of its values that are tensors, by number.

    Raises:
        BundleError: The file is not an ExecuTorch program, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._data = _read(path)
        try:
            self._root = root(self._data)
            plan = _plans(self._root)["forward"]
            self.calls = self._calls(plan)
            self.tensors = _tensors(plan)
        except _DAMAGED as error:
            raise BundleError(f"{path}: a damaged ExecuTorch program: {error!r}") from error

    def _calls(self, plan: Table) -> list[Call]:
        names = [f"{op.text(0)}.{op.text(1)}".rstrip(".") for op in plan.tables(_PLAN_OPERATORS)]
        delegates = plan.tables(_PLAN_DELEGATES)
        found = []
        for chain in plan.tables(_PLAN_CHAINS):
            for instruction in chain.tables(_CHAIN_INSTRUCTIONS):
                kind = instruction.integer(_TYPE, 8)
                if kind not in (_KERNEL_CALL, _DELEGATE_CALL):
                    continue
                call = instruction.table(_VALUE)
                called, arguments = call.integer(_CALLED, 32), tuple(call.integers(_ARGUMENTS))
                if kind == _KERNEL_CALL:
                    found.append(Call(name=names[called], arguments=arguments))
                else:
                    data = self._delegate_data(delegates[called].table(_DELEGATE_DATA))
                    found.append(Call(name="", arguments=arguments, delegate=data))
        return found

    def _delegate_data(self, reference: Table) -> bytes:
        """Returns the bytes that a reference points to, in a segment.

        Programs have segments because `extract_delegate_segments` is on by default.
        """
        index = reference.integer(_DATA_INDEX, 32)
        segment = self._root.tables(_PROGRAM_SEGMENTS)[index]
        start = int.from_bytes(self._data[_BASE], "little")
        start += segment.integer(_SEGMENT_OFFSET, 64)
        return self._data[start : start + segment.integer(_SEGMENT_SIZE, 64)]


def _read(path: Path) -> bytes:
    data = path.read_bytes()
    if data[4:6] != b"ET":
        raise BundleError(f"{path}: not an ExecuTorch program")
    return data


def _plans(program: Table) -> dict[str, Table]:
    """Returns the methods of a program by name."""
    return {plan.text(_PLAN_NAME): plan for plan in program.tables(_PROGRAM_PLANS)}


def inputs(path: Path) -> dict[str, Tensor]:
    """Returns the inputs of `forward` by name, as `mnv4_executorch.session` names them.

    Raises:
        BundleError: The file is not an ExecuTorch program, is damaged, or has other inputs than
            tensors.
    """
    data = _read(path)
    try:
        plans = _plans(root(data))
        forward = plans["forward"]
        tensors = _tensors(forward)
        found = [tensors[number] for number in forward.integers(_PLAN_INPUTS)]
        names = port_names("input", len(found), _texts(plans.get("get_input_names")))
    except _DAMAGED as error:
        raise BundleError(
            f"{path}: inputs are not tensors, or the program is damaged: {error!r}"
        ) from error
    return dict(zip(names, found, strict=True))


def _texts(constant: Table | None) -> list[str]:
    """Returns the strings that a constant method returns; none if there is no such method."""
    if constant is None:
        return []
    values = constant.tables(_PLAN_VALUES)
    chosen = [values[number] for number in constant.integers(_PLAN_OUTPUTS)]
    return [value.table(_VALUE).text(0) for value in chosen if value.integer(_TYPE, 8) == _STRING]


def port_names(kind: str, count: int, own: Sequence[str]) -> list[str]:
    """Returns the names of a program's inputs or outputs: its own, or else their positions."""
    return list(own) or [f"{kind}_{i}" for i in range(count)]


def _tensors(plan: Table) -> dict[int, Tensor]:
    found = {}
    for number, value in enumerate(plan.tables(_PLAN_VALUES)):
        if value.integer(_TYPE, 8) == _TENSOR:
            tensor = value.table(_VALUE)
            code = tensor.integer(_TENSOR_TYPE, 8)
            found[number] = Tensor(
                dtype=_TYPES.get(code, f"type {code}"),
                shape=tuple(tensor.integers(_TENSOR_SIZES)),
            )
    return found


def operators(path: Path) -> dict[str, int]:
    """Returns how often each operator is called, with `delegate` for calls of a delegate.

    Raises:
        BundleError: The file is not an ExecuTorch program, or is damaged.
    """
    return dict(Counter(call.name or "delegate" for call in Program(path).calls))
