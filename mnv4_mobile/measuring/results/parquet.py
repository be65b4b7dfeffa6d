"""Writes and reads Parquet files of measurements.

They are read in a separate process: a few changed bytes can make pyarrow end its process.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from mnv4_mobile.errors import ConfigError, ToolchainError
from mnv4_mobile.processes import read_isolated

_LEAST_BYTES = 16
"""Size of a record in Parquet: its id is random, and no compression makes it smaller."""
_MOST_TIMES = 100
"""How many times its size a Parquet file may inflate to; times with random digits reach 3."""
_RECORD = "record"
"""The column of whole records, as JSON."""
_KIND = "a Parquet file of measurements"


def parquet_bytes(rows: Sequence[Mapping[str, Any]], types: Mapping[str, Any]) -> bytes:
    """Returns a Parquet file of rows.

    Args:
        rows: The rows: the columns in `types`, the samples `latencies_ms` and the whole `record`.
        types: The type of each column: str, int or float, or one of these or None.

    Raises:
        ToolchainError: pyarrow is missing.
    """
    arrow, parquet = _arrow()
    known = {str: arrow.string(), int: arrow.int64(), float: arrow.float64()}
    columns = [
        (name, known[next(t for t in (get_args(hint) or (hint,)) if t in known)])
        for name, hint in types.items()
    ]
    columns += [("latencies_ms", arrow.list_(arrow.float64())), (_RECORD, arrow.string())]
    file = io.BytesIO()
    table = arrow.Table.from_pylist(rows, schema=arrow.schema(columns))
    parquet.write_table(table, file, compression="zstd")
    return file.getvalue()


def parquet_records(path: Path) -> list[str]:
    """Returns the records of a Parquet file, as JSON.

    Raises:
        ConfigError: The file is damaged, or does not hold measurements.
        ToolchainError: pyarrow is missing.
    """
    reader = f"{__name__}:{read_records.__name__}"
    records: list[str] = read_isolated(reader, path, _KIND, ConfigError)
    return records


def read_records(path: Path) -> list[str]:
    """Returns the records, in the process that reads; see `parquet_records`."""
    return list(_records(path))


def _records(path: Path) -> Iterator[str]:
    arrow, parquet = _arrow()
    try:
        with parquet.ParquetFile(path) as file:
            rows, column = file.metadata.num_rows, file.schema_arrow.field(_RECORD)
            if column.type != arrow.string():
                raise ValueError(f"{_RECORD}: found {column.type}, must be string")
            size = path.stat().st_size
            if rows * _LEAST_BYTES > size or _inflated(file.metadata) > _MOST_TIMES * size:
                raise ValueError(f"found {rows} rows, more than the file can hold")
            texts = 0
            for batch in file.iter_batches(batch_size=100, columns=[_RECORD]):
                for record in batch[_RECORD].to_pylist():
                    texts += len(record or "")
                    if texts > _MOST_TIMES * size:
                        raise ValueError("found more text than the file can hold")
                    yield record or ""
    # Besides its own errors, pyarrow raises these for damaged files.
    except (arrow.ArrowException, KeyError, OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, fault: str) -> ConfigError:
    return ConfigError(f"{path}: not {_KIND}: {fault}")


def _inflated(metadata: Any) -> int:
    """Returns the size of the column of records before compression, as the file states it."""
    groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
    columns = (group.column(i) for group in groups for i in range(group.num_columns))
    return sum(one.total_uncompressed_size for one in columns if one.path_in_schema == _RECORD)


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ToolchainError("Parquet needs pyarrow: pip install 'mnv4-mobile[parquet]'") from None
    return pyarrow, pyarrow.parquet
