"""Writes files and folders that appear whole or not at all, and hashes both.

Everything is written in a working folder (`scratch`) beside its final path and renamed from there.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from mnv4_mobile.errors import ConfigError, DiskError, MobileError, disk_error

_PREFIX = ".mnv4-"
_SCRATCH = re.compile(re.escape(_PREFIX) + "[a-z0-9_]{8}")
_LOCK = "mnv4.lock"

Read = Callable[[Path], bytes]
"""Returns a file's bytes."""


def check_file(path: Path) -> None:
    """Refuses a file that `write_bytes` cannot write, before any work.

    Raises:
        ConfigError: The path is a folder or a device, or its folder does not exist.
        DiskError: The folder cannot be written to.
    """
    _check_file(path)
    with _writing(path), scratch(path.parent):
        pass


def _check_file(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path}: is a {'folder' if path.is_dir() else 'device'}, must be a file")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: there is no such folder: {path.parent}")


def check_folder(path: Path) -> None:
    """Refuses a folder that cannot be made or written to, before any work.

    Raises:
        ConfigError: Something on the path is not a folder.
        DiskError: The innermost existing folder on the path cannot be written to.
    """
    nearest = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not nearest.is_dir():
        raise ConfigError(f"{nearest}: is a file, must be a folder")
    with _writing(path), scratch(nearest):
        pass


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Makes a disk error in its body name the path that the user gave."""
    try:
        yield
    except OSError as error:
        raise DiskError(f"{path}: cannot be written: {error.strerror}") from error


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all: to a temporary file, flushed to disk, then renamed.

    Raises:
        ConfigError: See `check_file`.
        DiskError: The disk is full, or the folder cannot be written to.
    """
    _check_file(path)
    with _writing(path), scratch(path.parent) as work:
        whole = work.folder / path.name
        with whole.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        whole.replace(path)


class Scratch:
    """A working folder, and where folders that are replaced wait until the new ones stand.

    Args:
        path: A folder beside the final paths.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.folder = path / "work"
        """Where to work; it is removed at the end."""
        self._old = path / "old"
        self._gone = path / "gone"
        self._count = count()

    def begin(self) -> None:
        """Makes the folders: first the one without which `end` cannot remove the others."""
        for folder in (self._gone, self._old, self.folder):
            folder.mkdir()

    def place(self, new: Path, path: Path, check: Callable[[], None]) -> None:
        """Renames a finished folder to its final path, in place of an earlier one.

        This takes two renames, because no call swaps folders on every file system (network shares
        lack Linux's RENAME_EXCHANGE). The earlier folder waits in `old` between them; if this
        process is killed there, the next one that works in the same place puts it back.

        Several processes may do this at once: a rename fails if it would replace a folder with
        something in it, so that each of them sees what the others placed, and `check` decides.

        Args:
            new: The folder, in `self.folder`.
            path: The final path, beside this working folder.
            check: Raises an error if what stands at `path` must stay.
        """
        for file in new.rglob("*"):
            if file.is_file():
                _sync(file)
        while True:
            check()
            try:
                new.rename(path)
                break
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
            self._drop(path.name)
            with suppress(FileNotFoundError):  # another process has moved it away
                path.rename(self._old / path.name)
        _sync(path.parent)
        self._drop(path.name)

    def discard(self, path: Path) -> None:
        """Removes a folder beside this one in one rename, so that no half of it can be left."""
        gone = path.rename(self._gone / str(next(self._count)))
        shutil.rmtree(gone, ignore_errors=True)

    def _drop(self, name: str) -> None:
        if os.path.lexists(self._old / name):
            self.discard(self._old / name)

    def end(self) -> None:
        """Puts back a folder whose successor does not stand, and removes everything else."""
        with suppress(OSError):
            for kept in self._old.iterdir():
                with suppress(OSError):  # its successor stands, and is not empty
                    kept.rename(self._path.parent / kept.name)
            self._old.rename(self._gone / "old")  # where no half of it can be put back
        for folder in (self._gone, self.folder):
            shutil.rmtree(folder, ignore_errors=True)
        # The lock goes last: a folder without one is removed by the next process if it is empty.
        (self._path / _LOCK).unlink(missing_ok=True)
        with suppress(OSError):
            self._path.rmdir()


@contextmanager
def scratch(folder: Path) -> Iterator[Scratch]:
    """Makes a working folder in a folder, and removes it at the end.

    A process that is killed leaves its working folder behind. The next one that works in the same
    place removes it: a lock on a file in it tells which of them belong to a process that lives.

    Raises:
        OSError: The folder cannot be written to.
    """
    _sweep(folder)
    path, lock = _locked(folder)
    work = Scratch(path)
    try:
        work.begin()
        yield work
    finally:
        work.end()
        os.close(lock)


def _locked(folder: Path) -> tuple[Path, int]:
    """Makes a working folder and locks it."""
    while True:
        path = Path(tempfile.mkdtemp(dir=folder, prefix=_PREFIX))
        try:
            lock = os.open(path / _LOCK, os.O_CREAT | os.O_RDWR, 0o644)
        except FileNotFoundError:  # another process has swept the folder, which was still empty
            continue
        except BaseException:
            path.rmdir()
            raise
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another process is about to sweep it
            os.close(lock)
            continue
        except OSError:  # a file system without locks: there, nothing is swept
            pass
        if (path / _LOCK).exists():
            return path, lock
        os.close(lock)


def _sweep(folder: Path) -> None:
    """Ends the working folders that killed processes left in a folder."""
    with suppress(OSError):
        names = [entry.name for entry in os.scandir(folder) if _SCRATCH.fullmatch(entry.name)]
        for path in (folder / name for name in names):
            if path.is_dir() and not path.is_symlink():
                _end_if_left(path)


def _end_if_left(path: Path) -> None:
    """Ends a working folder unless a process holds it."""
    try:
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:  # killed before it made the lock, or just being made
        with suppress(OSError):  # not empty: it is none of ours
            path.rmdir()
        return
    except OSError:  # another user's
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # a process holds it
        pass
    else:
        Scratch(path).end()
    finally:
        os.close(lock)


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turns errors about a disk in its body into a DiskError."""
    try:
        yield
    except OSError as error:
        if known := disk_error(error):
            raise known from error
        raise


@contextmanager
def new_folder(path: Path, marker: str) -> Iterator[Path]:
    """Makes a folder to fill; it becomes `path` if the block succeeds, and is removed otherwise.

    Args:
        path: The final path. An existing folder is replaced if it holds the file `marker`, which
            shows that it is one of ours.
        marker: The name of a file that every such folder holds.

    Raises:
        ConfigError: `path` holds something else.
        DiskError: The folder cannot be made or filled.
    """
    check_replaceable(path, marker)
    check_folder(path.parent)
    with disk_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch(path.parent) as work:
            folder = work.folder / path.name
            folder.mkdir()
            yield folder
            work.place(folder, path, lambda: check_replaceable(path, marker))


def copy_folder(source: Path, target: Path, without: Collection[str] = ()) -> None:
    """Copies what is in a folder into an existing one.

    Args:
        source: The folder.
        target: The existing one.
        without: Names of files and folders to leave out at any depth.

    Raises:
        OSError: A file cannot be copied; `shutil.copytree` would raise an error of its own.
    """
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        copy = target / relative
        if not set(without).isdisjoint(relative.parts):
            continue
        if path.is_dir():
            copy.mkdir()
        elif path.is_file():  # as in `sha256`: a FIFO would block, a device never end
            shutil.copyfile(path, copy)


def check_replaceable(path: Path, marker: str) -> None:
    """Refuses to overwrite what is not ours.

    Raises:
        ConfigError: `path` exists and does not hold the file `marker`.
    """
    while (found := _identity(path)) and not (path / marker).is_file():
        if _identity(path) == found:  # not one that another process has just replaced
            raise ConfigError(f"{path}: exists and holds no {marker}, so it is not overwritten")


def _identity(path: Path) -> tuple[int, int] | None:
    """Returns what tells a file or folder from others; None if there is none at the path."""
    try:
        state = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return state.st_dev, state.st_ino


def cache_folder() -> Path:
    """Returns $MNV4_CACHE, or the user's cache folder."""
    import platformdirs

    named = os.environ.get("MNV4_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("mnv4-mobile"))


class Reader:
    """Reads the files that something is made of, and remembers the hash of each.

    A hash is that of the bytes that were read: a file that changes between two reads is refused.
    """

    def __init__(self) -> None:
        self._hashes: dict[Path, str] = {}

    def read(self, path: Path) -> bytes:
        """Returns a file's bytes.

        Raises:
            OSError: The file cannot be read.
            ConfigError: It has changed since it was read before.
        """
        data = path.read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if self._hashes.setdefault(path, found) != found:
            raise ConfigError(f"{path}: has changed while it was in use; run the command again")
        return data

    def sha256(self, path: Path) -> str:
        """Returns the hash of a file's bytes as they were read, or as they are if they were not."""
        if path not in self._hashes:
            self._hashes[path] = sha256(path)
        return self._hashes[path]


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def regular_files(folder: Path, error: type[MobileError]) -> list[Path]:
    """Returns the files in a folder of someone else, sorted by the parts of their paths.

    Nothing is opened, and no link is followed.

    Args:
        folder: The folder.
        error: The type of error to raise.

    Raises:
        MobileError: Of the type `error`: the folder holds a link, a device, a FIFO, or a name with
            unprintable characters.
        OSError: A folder cannot be read.
    """
    found, folders = [], [folder]
    for inner in folders:
        with os.scandir(inner) as entries:
            for entry in entries:
                if not entry.name.isprintable():
                    raise error(f"{inner}: holds the name {entry.name!r}, must be printable")
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    found.append(Path(entry.path))
                else:
                    what = "a link" if entry.is_symlink() else "a device, a FIFO or a socket"
                    raise error(f"{entry.path}: is {what}, must be a file or a folder")
    return sorted(found)


def read_at_most(path: Path, limit: int, error: type[MobileError]) -> bytes:
    """Returns the bytes of a file that must be small.

    Args:
        path: The file.
        limit: The most bytes that it may have.
        error: The type of error to raise.

    Raises:
        MobileError: Of the type `error`: the file is larger. It is not read then.
        OSError: The file cannot be read.
    """
    if (found := path.stat().st_size) > limit:
        raise error(f"{path}: found {found} bytes, must be {limit} at most")
    return path.read_bytes()


def sha256(path: Path) -> str:
    r"""Returns the hash of a file, or of the lines `<sha256>  <posix path>\n` of a folder's files.

    These lines are sorted by the parts of the paths.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        lines = [f"{sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in files]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def size(path: Path) -> int:
    """Returns the size in bytes of a file, or of all files in a folder."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size
