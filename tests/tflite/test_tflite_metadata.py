"""The metadata in a `.tflite`, read by the slots of tflite-support's metadata_schema.fbs."""

import struct
import zipfile
from pathlib import Path

import pytest

Table = pytest.importorskip("flatbuffers.table").Table
Uint32Flags = pytest.importorskip("flatbuffers.number_types").Uint32Flags
pytestmark = pytest.mark.toolchain("tflite")


def table(parent: Table, slot: int, index: int | None = None) -> Table:
    """A table's field, or an element of it, that is a table."""
    at = parent.Pos + parent.Offset(4 + 2 * slot)
    if index is not None:
        at = parent.Vector(parent.Offset(4 + 2 * slot)) + 4 * index
    return Table(parent.Bytes, parent.Indirect(at))


def text(parent: Table, slot: int) -> str:
    return parent.String(parent.Pos + parent.Offset(4 + 2 * slot)).decode()


def floats(parent: Table, slot: int) -> list[float]:
    offset = parent.Offset(4 + 2 * slot)
    start, length = parent.Vector(offset), parent.VectorLen(offset)
    return list(struct.unpack_from(f"<{length}f", parent.Bytes, start))


def metadata(path: Path) -> Table:
    """The root of the metadata."""
    from ai_edge_litert.schema_py_generated import ModelT

    model = ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    (entry,) = (m for m in model.metadata if m.name == b"TFLITE_METADATA")
    data = model.buffers[entry.buffer].data.tobytes()
    assert data[4:8] == b"M001"
    return Table(data, struct.unpack_from("<I", data)[0])


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [("conv", [127.5, 102, 76.5], [51, 63.75, 127.5]), ("half", [0, 0, 0], [1, 1, 1])],
)
def test_metadata(request, name, mean, std):
    case = request.getfixturevalue(name)
    root = metadata(case.lowered.path)
    assert text(root, 0) == case.spec.model.name
    subgraph = table(root, 3, 0)
    image = table(subgraph, 2, 0)
    assert text(image, 0) == "image"
    size = table(table(table(image, 3), 1), 1)  # content, image properties
    width, height = (size.Get(Uint32Flags, size.Pos + size.Offset(4 + 2 * s)) for s in (0, 1))
    assert (height, width) == case.spec.preprocess.size
    normalization = table(table(image, 4, 0), 1)
    assert floats(normalization, 0) == pytest.approx(mean)
    assert floats(normalization, 1) == pytest.approx(std)
    logits = table(subgraph, 3, 0)
    assert text(logits, 0) == "logits"
    if case.spec.labels:
        assert text(table(logits, 6, 0), 0) == "labels.txt"
        packed = zipfile.ZipFile(case.lowered.path).read("labels.txt").decode()
        assert tuple(packed.splitlines()) == case.spec.labels
    else:
        assert not logits.Offset(4 + 2 * 6)
        assert not zipfile.is_zipfile(case.lowered.path)
