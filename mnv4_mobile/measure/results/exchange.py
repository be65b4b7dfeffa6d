"""Records in and out of a store; a file's suffix says how.

JSON lines (`{"measurement": {...}}`, `{"evaluation": {...}}` or `{"profile": {...}}` a line) and
other stores hold every kind of record as it is. CSV and Parquet hold measurements for notebooks,
one row each; Parquet has the samples and the whole record beside, so that it can be imported again.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, get_args, get_type_hints

from mnv4_mobile.errors import ConfigError, StoreError, ToolchainError
from mnv4_mobile.files import write_bytes
from mnv4_mobile.measure.measurement import Measurement, trusted_measurement
from mnv4_mobile.measure.results.flat import Row, flat
from mnv4_mobile.measure.results.record import (
    RECORD_KINDS,
    Record,
    RecordKind,
    StoredProfile,
    record,
)
from mnv4_mobile.measure.results.store import Added, Store

if TYPE_CHECKING:
    from mnv4_mobile.quality.evaluate import Evaluation

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Records:
    """What is exported; CSV and Parquet take the measurements only."""

    measurements: Sequence[Measurement]
    evaluations: Sequence[Evaluation] = ()
    profiles: Sequence[StoredProfile] = ()


def export_records(records: Records, path: Path) -> None:
    """Writes records to a file, whole or not at all.

    Raises:
        ConfigError: An unknown suffix, or a folder that is not there.
        ToolchainError: Parquet without pyarrow.
    """
    written = _by_suffix(path, _WRITERS)(records)
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent}: there is no such folder")
    write_bytes(path, written)


def import_records(store: Store, path: Path) -> Added:
    """Adds what a file holds to a store: all of it or, on an error, nothing.

    Raises:
        ConfigError: An unknown suffix, or a damaged file, naming the line.
        StoreError: A different record with the same id is there.
        ToolchainError: Parquet without pyarrow.
    """
    records = read_records(path)
    try:
        return store.add_all(records)
    except StoreError as error:
        raise StoreError(f"{path}: not imported: {error}") from error


def read_records(path: Path) -> list[Record]:
    """The records of a file, checked.

    Raises:
        ConfigError: An unknown suffix, or a damaged file, naming the line.
        ToolchainError: Parquet without pyarrow.
    """
    read = _by_suffix(path, _READERS)
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file")
    return list(read(path))


def read_measurements(path: Path) -> list[Measurement]:
    """The measurements of a file without a store; see `read_records`."""
    found = read_records(path)
    return [trusted_measurement(json.loads(r.body)) for r in found if r.kind == "measurement"]


def _by_suffix(path: Path, table: Mapping[str, _T]) -> _T:
    if path.suffix not in table:
        raise ConfigError(
            f"{path}: found {path.suffix or 'no suffix'}, allowed: {', '.join(table)}"
        )
    return table[path.suffix]


def _lines(records: Records) -> bytes:
    entries: list[dict[str, Any]] = [{"measurement": m.to_json()} for m in records.measurements]
    entries += [{"evaluation": evaluation} for evaluation in records.evaluations]
    entries += [{"profile": profile} for profile in records.profiles]
    return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries).encode()


def _read_lines(path: Path) -> Iterator[Record]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield _record(json.loads(line, parse_constant=_not_a_number))
            except (ConfigError, ValueError, RecursionError) as error:
                raise ConfigError(f"{path}: line {number}: {error}") from error


def _not_a_number(name: str) -> NoReturn:
    raise ValueError(f"found {name}, which JSON does not have")


def _record(entry: object) -> Record:
    kinds: dict[str, RecordKind] = {kind: kind for kind in RECORD_KINDS}
    if not isinstance(entry, dict) or len(entry) != 1 or not entry.keys() <= kinds.keys():
        raise ConfigError(f"must be an object with one key, one of: {', '.join(kinds)}")
    ((kind, entries),) = entry.items()
    return record(kinds[kind], entries)


def _csv(records: Records) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(get_type_hints(Row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat(m) for m in records.measurements)
    return text.getvalue().encode()


def _parquet(records: Records) -> bytes:
    arrow, parquet = _arrow()
    types = {str: arrow.string(), int: arrow.int64(), float: arrow.float64()}
    columns = [
        (name, types[next(t for t in (get_args(hint) or (hint,)) if t in types)])
        for name, hint in get_type_hints(Row).items()
    ]
    columns += [("latencies_ms", arrow.list_(arrow.float64())), ("record", arrow.string())]
    rows = [
        {
            **flat(m),
            "latencies_ms": m.samples.latencies_ms if m.samples else (),
            "record": record("measurement", m.to_json()).body,
        }
        for m in records.measurements
    ]
    file = io.BytesIO()
    table = arrow.Table.from_pylist(rows, schema=arrow.schema(columns))
    parquet.write_table(table, file, compression="zstd")
    return file.getvalue()


def _read_parquet(path: Path) -> Iterator[Record]:
    arrow, parquet = _arrow()
    try:
        bodies = parquet.read_table(path, columns=["record"])["record"].to_pylist()
    except (arrow.ArrowException, KeyError) as error:
        raise ConfigError(f"{path}: no Parquet file of measurements: {error}") from error
    for number, body in enumerate(bodies, 1):
        try:
            yield record("measurement", json.loads(body, parse_constant=_not_a_number))
        except (ConfigError, ValueError, TypeError, RecursionError) as error:
            raise ConfigError(f"{path}: row {number}: {error}") from error


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ToolchainError("Parquet needs pyarrow: pip install 'mnv4-mobile[parquet]'") from None
    return pyarrow, pyarrow.parquet


def _read_store(path: Path) -> Iterator[Record]:
    with Store(path, must_exist=True) as other:
        found: list[tuple[RecordKind, object]] = [
            *(("measurement", m.to_json()) for m in other.measurements()),
            *(("evaluation", evaluation) for evaluation in other.evaluations()),
            *(("profile", profile) for profile in other.profiles()),
        ]
    for kind, entries in found:
        try:
            yield record(kind, entries)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error


_WRITERS: Mapping[str, Callable[[Records], bytes]] = {
    ".jsonl": _lines,
    ".csv": _csv,
    ".parquet": _parquet,
}
_READERS: Mapping[str, Callable[[Path], Iterator[Record]]] = {
    ".jsonl": _read_lines,
    ".parquet": _read_parquet,
    ".sqlite": _read_store,
}
IMPORTED = tuple(_READERS)
"""Suffixes of files that can be imported."""
