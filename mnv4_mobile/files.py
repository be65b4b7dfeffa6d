"""Writes files and folders that appear whole or not at all, and hashes both."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mnv4_mobile.errors import ConfigError, DiskError, MobileError


def check_file(path: Path) -> None:
    """Refuses a file that `write_bytes` cannot write, before any work.

    Raises:
        ConfigError: The path is a folder or a device, or its folder does not exist.
        DiskError: The folder cannot be written to.
    """
    _check_file(path)
    with _writing(path):
        tempfile.TemporaryFile(dir=path.parent).close()


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
    with _writing(path):
        Path(tempfile.mkdtemp(dir=nearest)).rmdir()


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
    with _writing(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@contextmanager
def new_folder(path: Path, marker: str, within: Path | None = None) -> Iterator[Path]:
    """Makes a folder to fill; it becomes `path` if the block succeeds, and is removed otherwise.

    Args:
        path: The final path. An existing folder is replaced if it holds the file `marker`, which
            shows that it is one of ours.
        marker: The name of a file that every such folder holds.
        within: A folder on the same filesystem to work in; None works beside `path`.

    Raises:
        ConfigError: `path` holds something else.
        DiskError: The folder cannot be made.
    """
    check_replaceable(path, marker)
    check_folder(path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A hidden folder on the same filesystem, so that the rename is atomic.
    scratch = Path(tempfile.mkdtemp(dir=within or path.parent, prefix=f".{path.name}."))
    try:
        folder, old = scratch / "new", scratch / "old"
        folder.mkdir()
        yield folder
        for file in folder.rglob("*"):
            if file.is_file():
                _sync(file)
        try:
            with suppress(FileNotFoundError):
                path.rename(old)
            folder.rename(path)
        except BaseException as error:
            # Another process may have written the same folder meanwhile; one of them is enough.
            if not isinstance(error, OSError) or error.errno != errno.ENOTEMPTY:
                if old.exists():
                    old.rename(path)
                raise
        _sync(path.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def copy_folder(source: Path, target: Path) -> None:
    """Copies what is in a folder into an existing one.

    Raises:
        OSError: A file cannot be copied; `shutil.copytree` would raise an error of its own.
    """
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir()
        else:
            shutil.copyfile(path, copy)


def check_replaceable(path: Path, marker: str) -> None:
    """Refuses to overwrite what is not ours.

    Raises:
        ConfigError: `path` exists and does not hold the file `marker`.
    """
    if path.exists() and not (path / marker).is_file():
        raise ConfigError(f"{path}: exists and holds no {marker}, so it is not overwritten")


def cache_folder() -> Path:
    """Returns $MNV4_CACHE, or the user's cache folder."""
    import platformdirs

    named = os.environ.get("MNV4_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("mnv4-mobile"))


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
