"""The errors that this package raises on purpose; any other exception is a bug."""

import errno
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches

_CLOSE = 0.7
"""Similarity from which a value is suggested: `int-8` for int8, but not `npu` for gpu."""
_DISK = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS, errno.EPERM, errno.EIO),
    *(errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP),  # wrong paths
}


class MobileError(Exception):
    """An error with a message for the user; the command prints it and ends with `exit_code`."""

    exit_code = 2


class ConfigError(MobileError):
    """A configuration, a flag, or a combination of these, that cannot be used."""


class WeightsError(MobileError):
    """A checkpoint that cannot be read or does not fit the model."""


class ImageError(MobileError):
    """An image that cannot be read."""


class BundleError(MobileError):
    """A bundle that is incomplete, damaged or written by a newer version."""


class LoweringError(MobileError):
    """A target that does not support, or fails at, what was asked of it."""


class ToolchainError(MobileError):
    """A toolchain that is not installed; the message is the command that installs it."""


class ParityError(MobileError):
    """An artifact that does not compute what the PyTorch model computes, or not on the unit."""

    exit_code = 3


class BoundError(MobileError):
    """Bounds that no bundle keeps."""

    exit_code = 3


class DeviceError(MobileError):
    """A device or its runtime that failed."""

    exit_code = 5


class StoreError(MobileError):
    """A store of measurements that cannot be used, or a record that does not fit into it."""


class DamagedRecord(StoreError, UserWarning):
    """A record of a store that cannot be read and is left out."""


class RegressionError(MobileError):
    """An artifact is slower than its base by more than is allowed."""

    exit_code = 4


class InconclusiveError(MobileError):
    """A comparison whose measurements do not allow a decision."""

    exit_code = 6


class UnexpectedError(MobileError):
    """A bug, as JSON output reports it; stderr shows a traceback instead."""

    exit_code = 1


class StoppedError(MobileError):
    """Ctrl-C or SIGTERM; the message says how to continue, if that is possible."""

    exit_code = 130


class DiskError(MobileError):
    """A disk that is full or not writable."""


class CrashError(MobileError):
    """A build that ended unexpectedly: a bug in a toolchain or here, or a killed process."""

    exit_code = 5


def unknown(
    where: str,
    found: object,
    allowed: Iterable[object],
    *,
    hint: str = "",
    others: Mapping[str, str] | None = None,
) -> str:
    """Returns the message for a value that is not in a closed list.

    unknown("--target", "litert", ["coreml", "tflite"], others={"litert": "tflite"})
    --target: found 'litert', did you mean tflite? allowed: coreml, tflite

    Args:
        where: The flag, key or file that has the value.
        found: The value.
        allowed: The closed list.
        hint: Text about what else is allowed, with which the message ends.
        others: Other names that people use, with the allowed value that each one means.
    """
    text = repr(found)
    shown = text if len(text) <= 60 else text[:57] + "..."
    return f"{where}: found {shown}, {_meant(found, allowed, others, hint)}"


def unknown_key(where: str, key: object, allowed: Iterable[object]) -> str:
    """Returns the message for a key that does not exist.

    Args:
        where: The file, and the keys down to the unknown one: `plan.yaml: pause.secnds`.
        key: The unknown key.
        allowed: The keys that exist.
    """
    return f"{where}: unknown key, {_meant(key, allowed)}"


def _meant(
    found: object,
    allowed: Iterable[object],
    others: Mapping[str, str] | None = None,
    hint: str = "",
) -> str:
    """Returns the value that was probably meant, if one is similar, and all allowed values."""
    names = {str(one).lower(): str(one) for one in allowed}
    table = {name.lower(): value for name, value in (others or {}).items()} | names
    word = found.lower() if isinstance(found, str) else ""
    close = [] if word in names else get_close_matches(word, table, n=1, cutoff=_CLOSE)
    meant = f"did you mean {table[close[0]]}? " if close else ""
    return f"{meant}allowed: {', '.join(names.values())}{hint and '; ' + hint}"


def disk_error(error: Exception) -> DiskError | None:
    """Returns the error to report if an error is about a disk, else None."""
    if not isinstance(error, OSError) or error.errno not in _DISK:
        return None
    return DiskError(f"{error.filename or 'cannot write'}: {error.strerror}")


@contextmanager
def damaged(path: object, kind: str) -> Iterator[None]:
    """Makes an error in its body say which file is damaged.

    A reader looks up what a file's own numbers and names refer to. In a damaged file, they may
    refer to anything or to nothing, which surfaces wherever they are used.

    Args:
        path: The file.
        kind: What the file should be: `ExecuTorch program`.

    Raises:
        BundleError: A lookup or a conversion in the body failed.
    """
    try:
        yield
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        found = str(error) if type(error) is ValueError else repr(error)
        raise BundleError(f"{path}: a damaged {kind}: {found}") from error


def user_error(error: Exception) -> MobileError:
    """Returns the error to report for a failed build; prints the traceback of an unexpected one."""
    if isinstance(error, MobileError):
        return error
    if disk := disk_error(error):
        return disk
    traceback.print_exception(error)
    return CrashError(f"{type(error).__name__}: {error}")
