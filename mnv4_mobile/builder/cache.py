"""A cache of finished bundles. Its keys are hashes of what the bundles are made of.

An entry is a folder named by its key (`Cell.key`) with the bundle and a record that holds the
bundle's hash. It appears by one rename and is checked on every use; a damaged entry is removed.
A cache that cannot be used makes a build slower, but never fails it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mnv4_mobile import files
from mnv4_mobile.bundle.folder import MANIFEST
from mnv4_mobile.bundle.manifest import Identifier
from mnv4_mobile.errors import ConfigError, MobileError, disk_error
from mnv4_mobile.progress import Progress
from mnv4_mobile.records import Record, Sha256, decode, encode

LIMIT = 10 * 10**9
"""Size in bytes, above which the least recently used entries are removed."""
_RECORD = "entry.json"


class _Record(Record, frozen=True, kw_only=True):
    """What an entry says about its bundle."""

    id: Identifier
    sha256: Sha256


class _ChangedError(Exception):
    """An entry has changed while it was copied."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A bundle in the cache."""

    path: Path
    id: str
    """The bundle's id."""
    bytes: int
    used: float
    """Time of the last use, in seconds since the epoch."""


class Cache:
    """Finished bundles by key.

    Args:
        folder: The folder of the entries; it is created with the first one.
        progress: Receives a note if the cache cannot be used.
    """

    def __init__(self, folder: Path, progress: Progress | None = None) -> None:
        self.folder = folder
        self._progress = progress or Progress()

    def take(self, key: str, out: Path) -> Path | None:
        """Copies a bundle to `out`/<its id>, whole or not at all.

        Returns:
            The copy; None if the cache has no such bundle, or only a damaged one.

        Raises:
            MobileError: `out` cannot be written to, or holds something else under that name.
        """
        found = self._whole(key)
        if found is None:
            return None
        path = out / found.id
        files.check_replaceable(path, MANIFEST)
        if path.exists() and files.sha256(path) == found.sha256:
            return path
        try:
            with files.new_folder(path, MANIFEST) as folder:
                files.copy_folder(self._path(key) / found.id, folder)
                if files.sha256(folder) != found.sha256:
                    raise _ChangedError
        except (_ChangedError, FileNotFoundError):  # another process has just pruned the entry
            return None
        return path

    def put(self, key: str, bundle: Path) -> None:
        """Keeps a copy of a bundle."""
        try:
            with files.new_folder(self._path(key), _RECORD) as folder:
                (folder / bundle.name).mkdir()
                files.copy_folder(bundle, folder / bundle.name)
                record = _Record(id=bundle.name, sha256=files.sha256(folder / bundle.name))
                files.write_bytes(folder / _RECORD, encode(record))
            self.prune(limit=LIMIT)
        except (OSError, MobileError) as error:
            self._progress.note(f"not cached: {disk_error(error) or error}")

    def entries(self) -> list[Entry]:
        """Returns all entries, the most recently used first."""
        return sorted(self._entries(), key=lambda entry: -entry.used)

    def prune(self, *, limit: float, older_than_s: float | None = None) -> list[Entry]:
        """Removes the least recently used entries until the others take at most `limit` bytes.

        Args:
            limit: Size in bytes.
            older_than_s: Also removes every entry that was not used for this many seconds.

        Returns:
            The removed entries.

        Raises:
            OSError: An entry cannot be removed.
        """
        now, total, removed = time.time(), 0, []
        for entry in self.entries():
            total += entry.bytes
            if total > limit or (older_than_s is not None and now - entry.used > older_than_s):
                removed.append(entry)
        if removed:
            with files.scratch(self.folder) as work:
                for entry in removed:
                    with suppress(FileNotFoundError):  # another process was faster
                        work.discard(entry.path)
        return removed

    def _path(self, key: str) -> Path:
        return self.folder / key

    def _whole(self, key: str) -> _Record | None:
        """Returns an entry's record; None if the entry is missing or damaged."""
        path = self._path(key)
        try:
            record = _read(path)
            whole = files.sha256(path / record.id) == record.sha256
        except OSError:  # missing, or not a folder
            return None
        except ConfigError:
            whole = False
        # A cache that another user owns can still be read.
        if whole:
            with suppress(OSError):
                os.utime(path / _RECORD)
            return record
        self._progress.note(f"cache: {path.name[:12]}... is damaged: built again")
        with suppress(OSError), files.scratch(self.folder) as work:
            work.discard(path)
        return None

    def _entries(self) -> Iterator[Entry]:
        for path in self.folder.glob(f"*/{_RECORD}"):
            with suppress(OSError, ConfigError):
                yield Entry(
                    path=path.parent,
                    id=_read(path.parent).id,
                    bytes=files.size(path.parent),
                    used=path.stat().st_mtime,
                )


def _read(path: Path) -> _Record:
    """Reads the record of an entry.

    Raises:
        OSError: There is none.
        ConfigError: It is damaged, or the entry holds anything but files and folders.
    """
    files.regular_files(path, ConfigError)
    return decode((path / _RECORD).read_bytes(), _Record, str(path / _RECORD))
