"""What stands in a `.pte`, read from its flatbuffer.

ExecuTorch's own deserializer needs all of exir and its flatc; the few tables that count operators
are read here with the flatbuffers library (field numbers: executorch/schema/program.fbs).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from mnv4_mobile.errors import BundleError

_PROGRAM_PLANS = 1
_PLAN_CHAINS, _PLAN_OPERATORS = 5, 6
_CHAIN_INSTRUCTIONS = 2
_INSTRUCTION_TYPE, _INSTRUCTION_VALUE = 0, 1
_KERNEL_CALL, _DELEGATE_CALL = 1, 2


class Table:
    """A flatbuffer table with fields by number; what is left out is 0 or empty."""

    def __init__(self, data: bytes, position: int) -> None:
        from flatbuffers.table import Table

        self._table = Table(data, position)

    def _offset(self, field: int) -> int:
        offset: int = self._table.Offset(4 + 2 * field)
        return offset

    def integer(self, field: int, bits: int) -> int:
        from flatbuffers import number_types

        flags = {
            8: number_types.Uint8Flags,
            32: number_types.Int32Flags,
            64: number_types.Uint64Flags,
        }[bits]
        offset = self._offset(field)
        return int(self._table.Get(flags, self._table.Pos + offset)) if offset else 0

    def text(self, field: int) -> str:
        offset = self._offset(field)
        return bytes(self._table.String(self._table.Pos + offset)).decode() if offset else ""

    def has(self, field: int) -> bool:
        return bool(self._offset(field))

    def table(self, field: int) -> Table:
        position = self._table.Pos + self._offset(field)
        return Table(self._table.Bytes, self._table.Indirect(position))

    def tables(self, field: int) -> list[Table]:
        offset = self._offset(field)
        if not offset:
            return []
        start: int = self._table.Vector(offset)
        count: int = self._table.VectorLen(offset)
        data: Any = self._table.Bytes
        return [Table(data, self._table.Indirect(start + 4 * i)) for i in range(count)]


def operators(path: Path) -> dict[str, int]:
    """How often each operator is called, with `delegate` for calls of a delegate.

    Raises:
        BundleError: Not an ExecuTorch program.
    """
    data = path.read_bytes()
    if data[4:6] != b"ET":
        raise BundleError(f"{path}: not an ExecuTorch program")
    program = Table(data, int.from_bytes(data[:4], "little"))
    plan = program.tables(_PROGRAM_PLANS)[0]
    names = [f"{op.text(0)}.{op.text(1)}".rstrip(".") for op in plan.tables(_PLAN_OPERATORS)]
    found: Counter[str] = Counter()
    for chain in plan.tables(_PLAN_CHAINS):
        for instruction in chain.tables(_CHAIN_INSTRUCTIONS):
            kind = instruction.integer(_INSTRUCTION_TYPE, 8)
            if kind == _DELEGATE_CALL:
                found["delegate"] += 1
            elif kind == _KERNEL_CALL:
                found[names[instruction.table(_INSTRUCTION_VALUE).integer(0, 32)]] += 1
    return dict(found)
