"""Keeps measurements, evaluations and profiles in one SQLite file.

A record is kept as its JSON text; the other columns exist only for searches. Records are
added and deleted, never changed, so that files of several machines merge: the same id is the same
record.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import json
import os
import sqlite3
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from mnv4_mobile.errors import DamagedRecord, DiskError, MobileError, StoreError
from mnv4_mobile.files import check_file
from mnv4_mobile.measuring.measurement import Measurement
from mnv4_mobile.measuring.profile import StoredProfile
from mnv4_mobile.measuring.results.record import (
    RECORD_KINDS,
    Kept,
    RecordKind,
    Stored,
    record_id,
    stored,
)
from mnv4_mobile.quality.evaluate import Evaluation

T = TypeVar("T", bound=Kept)
Access = Literal["read", "change", "create"]

ENVIRONMENT = "MNV4_STORE"
_APPLICATION = 0x4D4E5634  # "MNV4" in the file's header
_WAIT_S = 30.0  # for another process, whose transactions take milliseconds
_VERSION = 1
"""The version of the store's tables, kept as the file's `user_version`. A file whose tables were
not made by exactly these statements is no store, so another text needs another version."""
_TABLES = """
CREATE TABLE measurements (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    run TEXT NOT NULL,
    session INTEGER NOT NULL,
    device TEXT NOT NULL,
    artifact TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX measurements_run ON measurements (run);
CREATE INDEX measurements_device ON measurements (device);
CREATE INDEX measurements_artifact ON measurements (artifact);
CREATE TABLE evaluations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    artifact TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE TABLE profiles (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    artifact TEXT NOT NULL,
    device TEXT NOT NULL,
    body TEXT NOT NULL
);
"""
_UNWRITABLE = (
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
)
_HEADER = b"SQLite format 3\0"
_OBJECTS = "SELECT type, name, tbl_name, sql FROM sqlite_schema"
_NAMED = 5
"""Number of damaged records that a warning names."""
RECORD_BYTES = 2**28
"""Size that no record reaches: six million samples have it."""


@dataclass(frozen=True, kw_only=True)
class Added:
    """How many records were new, and how many the store had already."""

    new: int
    """Number of records that were added."""
    known: int
    """Number of records that the store had."""


def store_path(option: str | Path | None) -> Path:
    """Returns the store's file. Default: `$MNV4_STORE`, or `mnv4.sqlite` in this folder."""
    return Path(option or os.environ.get(ENVIRONMENT) or "mnv4.sqlite")


def check_store(path: Path) -> None:
    """Refuses a store that cannot be used, before any work, and makes no file.

    Raises:
        MobileError: See `Store`.
    """
    if path.exists():
        Store(path).close()
    else:
        check_file(path)


class Store:
    """An open store; several processes may have the same file open at once.

    A record that cannot be read is left out with a warning; `delete` removes it.

    Args:
        path: The file.
        access: `read` changes no record, and works in a folder without write permission; `change`
            also deletes and adds records; `create` also makes the file if it does not
            exist.

    Raises:
        StoreError: Not a store, a damaged one, one of a newer version, or one that another process
            holds for too long.
        DiskError: A disk that is full or not writable.
    """

    def __init__(self, path: str | Path, access: Access = "create") -> None:
        self.path = path = Path(path)
        if not path.exists():
            if access != "create":
                raise StoreError(
                    f"{path}: there is no store of measurements; mnv4 measure makes one, and "
                    "--store names another"
                )
        elif not path.is_file():
            raise StoreError(f"{path}: is a {'folder' if path.is_dir() else 'device'}, not a store")
        else:
            self._check_header()
        with self._translated():
            self._db = self._connected("mode=rwc" if access == "create" else "mode=rw")
            try:
                self._prepare(access)
            except BaseException:
                self._db.close()
                raise

    def _check_header(self) -> None:
        """Refuses other files. SQLite takes a file of few bytes for an empty one to be filled."""
        try:
            with self.path.open("rb") as file:
                header = file.read(len(_HEADER))
        except OSError as error:
            raise DiskError(f"{self.path}: cannot be opened: {error.strerror}") from error
        if header not in (b"", _HEADER):
            raise StoreError(f"{self.path}: is not a store of measurements")

    def _connected(self, options: str) -> sqlite3.Connection:
        # Autocommit: transactions begin and end in `_transaction` only.
        address = f"{self.path.absolute().as_uri()}?{options}"
        db = sqlite3.connect(address, timeout=_WAIT_S, isolation_level=None, uri=True)
        return _careful(db)

    def _prepare(self, access: Access) -> None:
        if access == "read":
            try:
                self._db.execute(_OBJECTS).fetchone()
            except sqlite3.OperationalError as error:
                self._open_unwritable(error)
        with self._transaction("DEFERRED"):  # another process may be making it
            application, version = self._pragma("application_id"), self._pragma("user_version")
            objects = frozenset(self._db.execute(_OBJECTS))
        if application == _APPLICATION and version > _VERSION:
            raise StoreError(
                f"{self.path}: written by a newer version (schema {version}, this one reads "
                f"{_VERSION}); upgrade mnv4-mobile"
            )
        made = bool(application or version or objects)
        if made and (application, version, objects) != (_APPLICATION, _VERSION, _objects()):
            raise StoreError(f"{self.path}: is a database, but not a store of measurements")
        (sound,) = self._db.execute("PRAGMA integrity_check(1)").fetchone()
        if sound != b"ok":
            why = " ".join(_text(sound).split())
            raise StoreError(f"{self.path}: is damaged: {why}")
        if access != "read":
            # Written to disk before it is reported: FULL flushes the log at every commit.
            self._use_log()
            self._db.execute("PRAGMA synchronous = FULL")
            with self._transaction():  # which fails if the file cannot be written
                if not self._pragma("user_version"):
                    _make_tables(self._db)
        elif made:
            self._db.execute("PRAGMA query_only = ON")
        else:  # an empty file is read as a store without records
            self._db.close()
            self._db = _careful(sqlite3.connect(":memory:", isolation_level=None))
            _make_tables(self._db)

    def _open_unwritable(self, error: sqlite3.OperationalError) -> None:
        """Opens a file where SQLite cannot make a log: without write permission, on a full disk."""
        if error.sqlite_errorcode & 0xFF not in _UNWRITABLE:
            raise error
        log = self.path.with_name(f"{self.path.name}-wal")
        if log.exists() and log.stat().st_size:
            raise StoreError(
                f"{self.path}: {log.name} holds records that can only be read where files can be "
                "written; copy both files to such a folder"
            ) from error
        self._db.close()
        self._db = self._connected("immutable=1")

    def _use_log(self) -> None:
        # SQLite does not wait here by itself when several processes create the same file.
        end = time.monotonic() + _WAIT_S
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
                time.sleep(0.01)

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def add(self, record: Kept) -> None:
        """Adds a record and writes it to disk before returning.

        Raises:
            StoreError: Another record has its id.
            ConfigError: A value that could not be read back.
            DiskError: A disk that is full or not writable.
        """
        self.add_all([stored(record)])

    def add_all(self, records: Sequence[Stored]) -> Added:
        """Adds all records or, on an error, none of them. Known records stay as they are.

        Raises:
            StoreError: A different record has the id of one of them.
            DiskError: A disk that is full or not writable.
        """
        new = 0
        with self._translated(), self._transaction():
            for added in records:
                id_ = added.columns["id"]
                found = self._db.execute(
                    f"SELECT body FROM {added.kind}s WHERE id = ?", (id_,)
                ).fetchone()
                if found and found[0] != added.body.encode():
                    raise StoreError(
                        f"{self.path}: {added.kind} {id_}: a different record has this id"
                    )
                if not found:
                    names, marks = ", ".join(added.columns), ", ?" * len(added.columns)
                    self._db.execute(
                        f"INSERT INTO {added.kind}s (body, {names}) VALUES (?{marks})",
                        (added.body, *added.columns.values()),
                    )
                    new += 1
        return Added(new=new, known=len(records) - new)

    def measurements(
        self,
        *,
        runs: Sequence[str] = (),
        devices: Sequence[str] = (),
        artifacts: Sequence[str] = (),
        ids: Sequence[str] = (),
    ) -> list[Measurement]:
        """Returns the measurements that match, in the order in which they were recorded.

        Args:
            runs: Names of runs; none means all, here and below.
            devices: Ids of devices.
            artifacts: Hashes of artifacts.
            ids: Ids of measurements.
        """
        wanted = {"run": runs, "device": devices, "artifact": artifacts, "id": ids}
        return list(self._read(Measurement, "measurement", wanted))

    def runs(self) -> list[str]:
        """Returns the names of all runs, in the order in which they began."""
        with self._translated():
            found = self._db.execute("SELECT run FROM measurements GROUP BY run ORDER BY min(seq)")
            return [_text(run) for (run,) in found]

    def ids(self) -> list[str]:
        """Returns the ids of all records, also of those that cannot be read."""
        tables = " UNION ALL ".join(f"SELECT id FROM {kind}s" for kind in RECORD_KINDS)
        with self._translated():
            return [_text(id_) for (id_,) in self._db.execute(tables)]

    def evaluations(self) -> list[Evaluation]:
        """Returns all evaluations, in the order in which they were recorded."""
        return list(self._read(Evaluation, "evaluation", {}))

    def profiles(self) -> list[StoredProfile]:
        """Returns all profiles, in the order in which they were recorded."""
        return list(self._read(StoredProfile, "profile", {}))

    def delete(self, ids: Sequence[str]) -> int:
        """Removes records, and returns how many were removed."""
        with self._translated(), self._transaction():
            return sum(
                self._db.execute(f"DELETE FROM {kind}s WHERE id = ?", (id_,)).rowcount
                for id_ in ids
                for kind in RECORD_KINDS
            )

    def _read(
        self, type_: type[T], kind: RecordKind, wanted: dict[str, Sequence[str]]
    ) -> Iterator[T]:
        asked = {column: list(values) for column, values in wanted.items() if values}
        # One parameter per column, however many values: SQLite limits their number.
        where = " AND ".join(f"{column} IN (SELECT value FROM json_each(?))" for column in asked)
        with self._translated():
            found = self._db.execute(
                f"SELECT id, body FROM {kind}s WHERE {where or 'true'} ORDER BY seq",
                [json.dumps(values) for values in asked.values()],
            ).fetchall()
        decode = msgspec.json.Decoder(type_).decode
        damaged = []
        for id_, body in found:
            try:
                record = decode(body)
                if record_id(record, body) != _text(id_):
                    raise ValueError("its id is another")
            except (ValueError, TypeError, RecursionError) as error:  # msgspec's are ValueErrors
                damaged.append(f"{_text(id_)} ({error})")
            else:
                yield record
        if damaged:
            more = f" and {len(damaged) - _NAMED} more" if len(damaged) > _NAMED else ""
            warnings.warn(
                f"{self.path}: left out a damaged {kind}; mnv4 results delete removes it by its "
                f"id: {', '.join(damaged[:_NAMED])}{more}",
                DamagedRecord,
                stacklevel=3,
            )

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        self._db.execute(f"BEGIN {kind}")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        # The second is for a message of SQLite that repeats damaged text.
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise _error(self.path, error) from error


@contextmanager
def claimed(store: Path, run: str) -> Iterator[None]:
    """Keeps other processes from measuring the same run into the same store.

    The system frees the claim when the process ends, however it ends. The claim is a file beside
    the store; the next run removes those that killed processes left behind.

    Raises:
        StoreError: Another process has claimed the run.
        DiskError: The file cannot be written.
    """
    name = hashlib.sha256(run.encode()).hexdigest()[:16]
    path = store.with_name(f".{store.name}.{name}.lock")
    try:
        handle = _locked(path)
    except BlockingIOError:
        raise StoreError(
            f"{store}: another process is measuring the run {run!r}; wait for it, or give this one "
            "another name with --run"
        ) from None
    except OSError as error:
        raise DiskError(f"{store}: cannot be written: {error.strerror}") from error
    try:
        for other in store.parent.glob(f".{glob.escape(store.name)}.*.lock"):
            with suppress(OSError):  # above all, that it is in use
                _remove(other, _locked(other))
        yield
    finally:
        _remove(path, handle)


def _remove(path: Path, handle: int) -> None:
    """Removes a file while it is locked, so that nobody locks one without a name."""
    path.unlink(missing_ok=True)
    os.close(handle)


def _locked(path: Path) -> int:
    """Returns the descriptor of a file that this process has locked.

    Raises:
        BlockingIOError: Another process has locked it.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its owner may have removed the file since it was opened.
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _careful(db: sqlite3.Connection) -> sqlite3.Connection:
    """Returns a connection that runs nothing that a file's schema asks for."""
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA cell_size_check = ON")
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, RECORD_BYTES)
    db.text_factory = bytes  # what is no text is found by whoever reads a record
    return db


def _make_tables(db: sqlite3.Connection) -> None:
    for statement in filter(str.strip, _TABLES.split(";")):
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {_APPLICATION}")
    db.execute(f"PRAGMA user_version = {_VERSION}")


@cache
def _objects() -> frozenset[tuple[bytes, ...]]:
    """Returns the tables and indexes of a store, as SQLite lists them."""
    with closing(_careful(sqlite3.connect(":memory:", isolation_level=None))) as db:
        _make_tables(db)
        return frozenset(db.execute(_OBJECTS))


def _text(value: object) -> str:
    """Returns a cell that ought to be text."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def _error(path: Path, error: sqlite3.Error | UnicodeDecodeError) -> MobileError:
    """Returns the error for the user that stands for an error of SQLite."""
    # What Python's module itself raises has no code.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    if code == sqlite3.SQLITE_IOERR_SHMSIZE:
        return DiskError(f"{path}: the disk is full")
    match code & 0xFF:  # without what SQLite adds to its primary codes
        case sqlite3.SQLITE_CORRUPT:
            return StoreError(f"{path}: is damaged: {error}")
        case sqlite3.SQLITE_TOOBIG:
            return StoreError(f"{path}: a record has {RECORD_BYTES} bytes or more")
        case sqlite3.SQLITE_NOTADB:
            return StoreError(f"{path}: is not a store of measurements")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreError(f"{path}: another process has been writing for {_WAIT_S:g} s")
        case sqlite3.SQLITE_FULL:
            return DiskError(f"{path}: the disk is full")
        case sqlite3.SQLITE_READONLY:
            return DiskError(f"{path}: cannot be written: no permission")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return DiskError(f"{path}: cannot be opened")
        case sqlite3.SQLITE_IOERR:
            return DiskError(f"{path}: the disk fails: {error}")
    return StoreError(f"{path}: cannot be used: {error}")
