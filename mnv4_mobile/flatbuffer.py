"""Reads flatbuffers that may be damaged or hostile.

A flatbuffer is read by following its own offsets, and flatbuffers' Python library follows any: out
of the file, in circles, into vectors of billions of entries. It has no verifier, which the C++
library has for this purpose. Here, every offset stays inside the file, and a file is only read up
to a limit, so that reading ends soon whatever the file says.

Fields are read by number, in the order of the schema; each target has the numbers of its own.
"""

from __future__ import annotations

import struct
from pathlib import Path

from mnv4_mobile.errors import BundleError

_LARGEST = 2**31
"""A flatbuffer's offsets have 31 bits."""
_LIMIT = 8 << 20
"""Number of bytes that are read of an artifact. Weights are not read, and everything else in it is
much smaller."""
_TABLE_COST = 128
"""Number of bytes that a table counts for; it allows 65,536 tables."""
_UNSIGNED = {8: struct.Struct("<B"), 16: struct.Struct("<H"), 32: struct.Struct("<I")}
_UNSIGNED[64] = struct.Struct("<Q")
_OFFSET, _BACK, _SLOT = _UNSIGNED[32], struct.Struct("<i"), _UNSIGNED[16]


class Buffer:
    """The bytes of a file that holds a flatbuffer, or a part of them that holds one of its own.

    All methods of this class and of `Table` raise ValueError for a damaged file;
    `errors.damaged` adds which file it is.
    """

    def __init__(self, data: bytes | memoryview, *, limit: int = _LIMIT) -> None:
        self.data = memoryview(data)
        self._left = [limit]

    @classmethod
    def read(cls, path: Path, identifier: bytes, kind: str) -> Buffer:
        """Reads a file.

        Args:
            path: The file.
            identifier: The beginning of the schema's identifier, which stands at byte 4.
            kind: What the file should be, for the message: `ExecuTorch program`.

        Raises:
            BundleError: The file cannot be read, is too long, or has another identifier.
        """
        try:
            size = path.stat().st_size
            if size > _LARGEST:
                raise BundleError(f"{path}: found {size} bytes, a {kind} has {_LARGEST} at most")
            data = path.read_bytes()
        except OSError as error:
            raise BundleError(f"{path}: cannot be read: {error.strerror}") from None
        if not data.startswith(identifier, 4):
            name = identifier.decode()
            raise BundleError(f"{path}: not a {kind}: the identifier {name} is missing at byte 4")
        return cls(data)

    def part(self, start: int, size: int | None = None) -> Buffer:
        """Returns a part, which ends with the bytes if it has no size."""
        end = len(self.data) if size is None else start + size
        if not start <= end <= len(self.data):
            raise ValueError(f"bytes {start} to {end} are not in its {len(self.data)} bytes")
        found = Buffer(self.data[start:end])
        found._left = self._left  # what the parts of a file may read is counted together
        return found

    def root(self) -> Table:
        """Returns the root table."""
        return Table(self, self.get(_OFFSET, 0))

    def get(self, kind: struct.Struct, at: int) -> int:
        """Returns the integer at a position."""
        if not 0 <= at <= len(self.data) - kind.size:
            raise ValueError(f"byte {at} is not in its {len(self.data)} bytes")
        found: int = kind.unpack_from(self.data, at)[0]
        return found

    def count(self, size: int) -> None:
        """Counts bytes that are read, before anything is made of them."""
        self._left[0] -= size
        if self._left[0] < 0:
            raise ValueError("it has far more tables, numbers or texts than an artifact needs")


class Table:
    """A table, whose fields are read by number."""

    def __init__(self, buffer: Buffer, position: int) -> None:
        buffer.count(_TABLE_COST)
        self._buffer, self._position = buffer, position
        self._slots = position - buffer.get(_BACK, position)
        self._end = self._slots + buffer.get(_SLOT, self._slots)

    def _at(self, field: int) -> int | None:
        """Returns the position of a field; None if it is not stored."""
        slot = self._slots + 4 + 2 * field
        offset = self._buffer.get(_SLOT, slot) if slot < self._end else 0
        return self._position + offset if offset else None

    def _target(self, position: int) -> int:
        return position + self._buffer.get(_OFFSET, position)

    def _vector(self, field: int, item_size: int) -> tuple[int, int]:
        """Returns where the items of a vector begin, and their number."""
        at = self._at(field)
        if at is None:
            return 0, 0
        start = self._target(at)
        count = self._buffer.get(_OFFSET, start)
        if count * item_size > len(self._buffer.data) - start - 4:
            raise ValueError(f"the {count} items at byte {start} are not in it")
        return start + 4, count

    def integer(self, field: int, bits: int) -> int:
        """Returns an unsigned integer with the given number of bits; 0 if it is not stored."""
        at = self._at(field)
        return 0 if at is None else self._buffer.get(_UNSIGNED[bits], at)

    def integers(self, field: int) -> tuple[int, ...]:
        """Returns a vector of signed 32-bit integers; an empty one if it is not stored."""
        start, count = self._vector(field, 4)
        self._buffer.count(4 * count)
        return struct.unpack_from(f"<{count}i", self._buffer.data, start)

    def shape(self, field: int) -> tuple[int, ...]:
        """Returns the lengths of a tensor's axes.

        No runtime supports as many axes as are allowed here; rules look at every one.
        """
        _, count = self._vector(field, 4)
        if count > 16:
            raise ValueError(f"a tensor has {count} axes")
        return self.integers(field)

    def data(self, field: int) -> memoryview:
        """Returns a vector of bytes; an empty one if it is not stored."""
        start, count = self._vector(field, 1)
        return self._buffer.data[start : start + count]

    def text(self, field: int) -> str:
        """Returns a string; an empty one if it is not stored."""
        found = self.data(field)
        self._buffer.count(len(found))
        return str(found, "utf-8")

    def has(self, field: int) -> bool:
        """Returns whether a field is stored."""
        return self._at(field) is not None

    def table(self, field: int) -> Table:
        """Returns a table, or the table of a union."""
        at = self._at(field)
        if at is None:
            raise ValueError(f"field {field} of the table at byte {self._position} is missing")
        return Table(self._buffer, self._target(at))

    def tables(self, field: int) -> list[Table]:
        """Returns a vector of tables; an empty list if it is not stored."""
        start, count = self._vector(field, 4)
        return [Table(self._buffer, self._target(start + 4 * i)) for i in range(count)]
