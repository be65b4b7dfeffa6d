"""Flatbuffers written by hand, with offsets that no writer makes."""

import struct

import pytest

from mnv4_mobile.errors import BundleError, damaged
from mnv4_mobile.flatbuffer import Buffer, Table

# A root table at byte 12 with the table of its fields before it, which has one field, at byte 16.
TABLE = struct.pack("<IHHHxxi", 12, 6, 8, 4, 8)


def root(field):
    """The root table of a buffer whose only field has these bytes."""
    return Buffer(TABLE + field).root()


def vector(items, count=None):
    """A vector that begins right after the offset to it."""
    return struct.pack("<II", 4, len(items) if count is None else count) + items


def test_what_a_sound_buffer_holds():
    assert root(b"\x07\0\0\0").integer(0, 32) == 7
    assert root(vector(b"name")).text(0) == "name"
    assert root(vector(struct.pack("<2i", 3, -1), 2)).integers(0) == (3, -1)
    absent = root(b"")
    assert (absent.integer(1, 32), absent.integers(1), absent.text(1)) == (0, (), "")
    assert (absent.tables(1), absent.has(1)) == ([], False)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(struct.pack("<I", 0xFFFFFFF0), id="a root outside"),
        pytest.param(struct.pack("<Ii", 4, 2**31 - 1), id="fields before the file"),
        pytest.param(struct.pack("<Ii", 4, -(2**31)), id="fields after the file"),
    ],
)
def test_no_root_outside_the_file(data):
    with pytest.raises(ValueError, match="is not in its"):
        Buffer(data).root()


@pytest.mark.parametrize(
    ("read", "field"),
    [
        (lambda table: table.integer(0, 32), b"\x07"),
        (lambda table: table.text(0), vector(b"na", 2**32 - 1)),
        (lambda table: table.integers(0), vector(b"", 2**30)),
        (lambda table: table.tables(0), vector(b"", 2**31)),
        (lambda table: table.tables(0), vector(b"\xff\xff\xff\xff", 1)),
        (lambda table: table.table(0), struct.pack("<I", 2**32 - 1)),
        (lambda table: table.table(1), b""),
        (lambda table: table.shape(0), vector(bytes(80), 20)),
        (lambda table: table.text(0), vector(b"\xff")),
    ],
)
def test_no_field_outside_the_file(read, field):
    with (
        pytest.raises(BundleError, match=r"^model\.bin: a damaged model: "),
        damaged("model.bin", "model"),
    ):
        read(root(field))


def test_parts_stay_inside_the_whole():
    whole = Buffer(bytes(10))
    assert len(whole.part(4).data) == 6
    for start, size in ((4, 7), (11, None), (2**63, 2**63)):
        with pytest.raises(ValueError, match="are not in its 10 bytes"):
            whole.part(start, size)


def test_one_table_or_text_many_times_is_not_read_to_the_end(monkeypatch):
    """A small file with a billion tables: each of its vectors has the next one in every entry."""
    made, init = [], Table.__init__
    monkeypatch.setattr(Table, "__init__", lambda *of: (made.append(of), init(*of))[1])
    entries = 200_000
    back = struct.pack(f"<{entries}I", *(entries * 4 - 4 * i for i in range(entries)))
    again = struct.pack("<i", 12 + 8 + entries * 4) + TABLE[-4:]  # fields of the root; any value
    table = root(vector(back + again, entries))
    with pytest.raises(ValueError, match="far more tables"):
        table.tables(0)
    assert len(made) == 65_537  # one more than is allowed, of 200,001
    text = root(vector(bytes(1 << 20)))
    read = []
    with pytest.raises(ValueError, match="far more"):
        read.extend(len(text.text(0)) for _ in range(1000))
    assert sum(read) < 8 << 20


def test_parts_count_as_their_whole():
    whole = Buffer(TABLE + vector(bytes(1 << 20)))
    with pytest.raises(ValueError, match="far more"):
        [whole.part(0).root().text(0) for _ in range(1000)]


def test_a_file_that_is_none(tmp_path):
    path = tmp_path / "a.tflite"
    with pytest.raises(BundleError, match=r"a\.tflite: cannot be read"):
        Buffer.read(path, b"TFL3", "model")
    path.write_bytes(b"\0\0\0\0TFL2")
    with pytest.raises(BundleError, match=r"a\.tflite: not a model: the identifier TFL3 is miss"):
        Buffer.read(path, b"TFL3", "model")
    with path.open("wb") as file:
        file.truncate(2**31 + 1)
    with pytest.raises(BundleError, match="found 2147483649 bytes, a model has 2147483648 at most"):
        Buffer.read(path, b"TFL3", "model")
