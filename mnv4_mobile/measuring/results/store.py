"""Keeps measurements, evaluations and profiles in one SQLite file.

A record is kept as its JSON text; the other columns exist only for searches. Records are
added and deleted, never changed, so that files of several machines merge: the same id is the same
record.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from mnv4_mobile.errors import DiskError, MobileError, StoreError
from mnv4_mobile.measuring.measurement import Measurement
from mnv4_mobile.measuring.profile import StoredProfile
from mnv4_mobile.measuring.results.record import Kept, RecordKind, Stored, stored
from mnv4_mobile.quality.evaluate import Evaluation

T = TypeVar("T")

ENVIRONMENT = "MNV4_STORE"
_APPLICATION = 0x4D4E5634  # "MNV4" in the file's header
_WAIT_S = 30.0  # for another process, whose transactions take milliseconds
_VERSION = 1
"""The version of the store's tables, kept as the file's `user_version`."""
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


class Store:
    """An open store; several processes may have the same file open at once.

    Args:
        path: The file, which is created if it does not exist.
        must_exist: Whether to refuse a file that does not exist.

    Raises:
        StoreError: Not a store, a damaged one, one of a newer version, or one that another process
            holds for too long.
        DiskError: A disk that is full or not writable.
    """

    def __init__(self, path: Path, *, must_exist: bool = False) -> None:
        self.path = path
        if must_exist and not path.exists():
            raise StoreError(
                f"{path}: there is no store of measurements; mnv4 measure makes one, and --store "
                "names another"
            )
        with self._translated():
            # Autocommit: transactions begin and end in `_transaction` only.
            self._db = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        with self._transaction("DEFERRED"):  # another process may be making it
            application, version = self._pragma("application_id"), self._pragma("user_version")
            tables = self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if application != _APPLICATION and (application or version or tables):
            raise StoreError(f"{self.path}: is a database, but not a store of measurements")
        if version > _VERSION:
            raise StoreError(
                f"{self.path}: written by a newer version (schema {version}, this one reads "
                f"{_VERSION}); upgrade mnv4-mobile"
            )
        # Written to disk before it is reported: FULL flushes the log at every commit.
        self._use_log()
        self._db.execute("PRAGMA synchronous = FULL")
        if not version:
            self._make()

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

    def _make(self) -> None:
        with self._transaction():
            if self._pragma("user_version"):  # another process was quicker
                return
            for statement in filter(str.strip, _TABLES.split(";")):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA application_id = {_APPLICATION}")
            self._db.execute(f"PRAGMA user_version = {_VERSION}")

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
                if found and found[0] != added.body:
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
            return [run for (run,) in found]

    def evaluations(self) -> list[Evaluation]:
        """Returns all evaluations, in the order in which they were recorded."""
        return list(self._read(Evaluation, "evaluation", {}))

    def profiles(self) -> list[StoredProfile]:
        """Returns all profiles, in the order in which they were recorded."""
        return list(self._read(StoredProfile, "profile", {}))

    def delete(self, ids: Sequence[str]) -> int:
        """Removes measurements, and returns how many were removed."""
        with self._translated(), self._transaction():
            return sum(
                self._db.execute("DELETE FROM measurements WHERE id = ?", (id_,)).rowcount
                for id_ in ids
            )

    def _read(
        self, type_: type[T], kind: RecordKind, wanted: dict[str, Sequence[str]]
    ) -> Iterator[T]:
        asked = {column: list(values) for column, values in wanted.items() if values}
        # One parameter per column, however many values: SQLite limits their number.
        where = " AND ".join(f"{column} IN (SELECT value FROM json_each(?))" for column in asked)
        with self._translated():
            found = self._db.execute(
                f"SELECT body FROM {kind}s WHERE {where or 'true'} ORDER BY seq",
                [json.dumps(values) for values in asked.values()],
            ).fetchall()
        decode = msgspec.json.Decoder(type_).decode
        for (body,) in found:
            try:
                yield decode(body)
            except msgspec.MsgspecError as error:
                raise StoreError(f"{self.path}: a damaged {kind}: {error}") from error

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
        except sqlite3.Error as error:
            raise _error(self.path, error) from error


def _error(path: Path, error: sqlite3.Error) -> MobileError:
    """Returns the error for the user that stands for an error of SQLite."""
    match error.sqlite_errorcode & 0xFF:  # without what SQLite adds to its primary codes
        case sqlite3.SQLITE_NOTADB:
            return StoreError(f"{path}: is not a store of measurements")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreError(f"{path}: another process has been writing for {_WAIT_S:g} s")
        case sqlite3.SQLITE_FULL:
            return DiskError(f"{path}: the disk is full")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return DiskError(f"{path}: cannot be opened for writing")
        case sqlite3.SQLITE_IOERR:
            return DiskError(f"{path}: the disk fails: {error}")
    return StoreError(f"{path}: cannot be used: {error}")
