"""Exports and imports records; the file's suffix chooses the format.

JSON lines (each `{"measurement": {...}}`, `{"evaluation": {...}}` or `{"profile": {...}}`) and
other stores hold every kind of record as it is. CSV and Parquet hold measurements for notebooks,
one row each; Parquet also has the samples and the whole record, so that it can be imported again.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar, get_type_hints

from mnv4_mobile import records
from mnv4_mobile.errors import ConfigError, DamagedRecord, StoreError, unknown
from mnv4_mobile.files import write_bytes
from mnv4_mobile.measuring.measurement import Measurement
from mnv4_mobile.measuring.profile import StoredProfile
from mnv4_mobile.measuring.results.flat import FlatMeasurement, flat
from mnv4_mobile.measuring.results.parquet import parquet_bytes, parquet_records
from mnv4_mobile.measuring.results.record import RECORD_KINDS, Kept, stored
from mnv4_mobile.measuring.results.store import RECORD_BYTES, Added, Store
from mnv4_mobile.quality.evaluate import Evaluation
from mnv4_mobile.records import Record
from mnv4_mobile.text import csv_cell

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Records:
    """The records of an export; CSV and Parquet hold the measurements only."""

    measurements: Sequence[Measurement]
    evaluations: Sequence[Evaluation] = ()
    profiles: Sequence[StoredProfile] = ()


def export_records(found: Records, path: Path) -> None:
    """Writes records to a file, and leaves no partial file after an error.

    Raises:
        ConfigError: An unknown suffix, or a folder that does not exist.
        ToolchainError: Parquet without pyarrow.
    """
    written = _by_suffix(path, _WRITERS)(found)
    write_bytes(path, written)


def import_records(store: Store, path: Path) -> Added:
    """Adds a file's records to a store. After an error none of them is added.

    Raises:
        ConfigError: An unknown suffix, or a damaged file, naming the line.
        StoreError: The store has a different record with the same id.
        ToolchainError: Parquet without pyarrow.
    """
    return add_records(store, path, read_records(path))


def add_records(store: Store, path: Path, found: Sequence[Kept]) -> Added:
    """Adds the records of a file that was read to a store, all or none.

    Raises:
        StoreError: The store has a different record with the same id; the message names the file.
    """
    try:
        return store.add_all([stored(one) for one in found])
    except StoreError as error:
        raise StoreError(f"{path}: not imported: {error}") from error


def read_records(path: Path) -> list[Kept]:
    """Returns the records of a file, checked.

    Raises:
        ConfigError: An unknown suffix, or a damaged file, naming the line.
        ToolchainError: Parquet without pyarrow.
    """
    read = _by_suffix(path, _READERS)
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file")
    return list(read(path))


def read_measurements(path: Path) -> list[Measurement]:
    """Returns the measurements of a file; see `read_records`."""
    return [one for one in read_records(path) if isinstance(one, Measurement)]


def _by_suffix(path: Path, table: Mapping[str, _T]) -> _T:
    if path.suffix not in table:
        raise ConfigError(unknown(str(path), path.suffix, table))
    return table[path.suffix]


class _Line(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A line of a JSON Lines file: one record under the name of its kind."""

    measurement: Measurement | None = None
    evaluation: Evaluation | None = None
    profile: StoredProfile | None = None


def _lines(found: Records) -> bytes:
    lines = [_Line(measurement=measurement) for measurement in found.measurements]
    lines += [_Line(evaluation=evaluation) for evaluation in found.evaluations]
    lines += [_Line(profile=profile) for profile in found.profiles]
    return b"".join(records.encode(line) + b"\n" for line in lines)


def _read_lines(path: Path) -> Iterator[Kept]:
    with path.open("rb") as file:
        for number, text in enumerate(iter(partial(file.readline, RECORD_BYTES), b""), 1):
            place = f"{path}: line {number}"
            if len(text) == RECORD_BYTES:
                raise ConfigError(f"{place}: has {RECORD_BYTES} bytes or more")
            line = records.decode(text, _Line, place)
            kept = [one for one in (line.measurement, line.evaluation, line.profile) if one]
            if len(kept) != 1:
                kinds = ", ".join(RECORD_KINDS)
                raise ConfigError(f"{place}: must be an object with one key, one of: {kinds}")
            yield kept[0]


def _csv(found: Records) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(get_type_hints(FlatMeasurement)), lineterminator="\n")
    writer.writeheader()
    rows = map(flat, found.measurements)
    writer.writerows({key: csv_cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue().encode()


def _parquet(found: Records) -> bytes:
    rows = [
        {
            **flat(m),
            "latencies_ms": m.samples.latencies_ms if m.samples else (),
            "record": records.encode(m).decode(),
        }
        for m in found.measurements
    ]
    return parquet_bytes(rows, get_type_hints(FlatMeasurement))


def _read_parquet(path: Path) -> Iterator[Kept]:
    for number, record in enumerate(parquet_records(path), 1):
        yield records.decode(record, Measurement, f"{path}: row {number}")


def _read_store(path: Path) -> Iterator[Kept]:
    with Store(path, "read") as other, warnings.catch_warnings():
        warnings.simplefilter("error", DamagedRecord)
        yield from other.measurements()
        yield from other.evaluations()
        yield from other.profiles()


_WRITERS: Mapping[str, Callable[[Records], bytes]] = {
    ".jsonl": _lines,
    ".csv": _csv,
    ".parquet": _parquet,
}
_READERS: Mapping[str, Callable[[Path], Iterator[Kept]]] = {
    ".jsonl": _read_lines,
    ".parquet": _read_parquet,
    ".sqlite": _read_store,
}
IMPORTED = tuple(_READERS)
"""Suffixes of files that can be imported."""
