"""Reads PyTorch checkpoints through torch's weights-only reader, which runs none of their code."""

from __future__ import annotations

import os
import pickletools
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import IO, Any, BinaryIO

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from mnv4_mobile import limits
from mnv4_mobile.errors import WeightsError
from mnv4_mobile.model.checkpoint_source import reason

_PICKLES = 4
"""Number of pickles in the format before torch 1.6: three describe the file, one is the object."""
_CLASSES = 1000  # of trainers' own


def load_pickle(path: Path, data: bytes | None = None) -> Any:
    """Reads a .pth, .pt, .ckpt or .bin file.

    Trainers store objects of their own beside the tensors, for which the weights-only reader
    refuses the whole file. It gets classes that do nothing in place of theirs.

    Args:
        path: The file.
        data: The file's bytes. Default: tensors are mapped from the file, so that reading their
            shapes costs no memory.

    Raises:
        WeightsError: The file is damaged, too large, or has objects that no such class can replace.
    """

    def file() -> BinaryIO:
        return path.open("rb") if data is None else BytesIO(data)

    try:
        archive, calls = _check(path, file)
        source = path if data is None else BytesIO(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            names = ["argparse.Namespace"]
            if archive:
                names = get_unsafe_globals_in_checkpoint(source)
            if len(names) > _CLASSES:
                raise ValueError(f"found {len(names)} classes, at most {_CLASSES} are allowed")
            if others := calls.difference(names, _CALLED):
                raise ValueError(f"found a call of {min(others)}, which weights do not need")
            with safe_globals([(_stand_in(name), name) for name in names]):
                source = path if data is None else BytesIO(data)
                mapped = archive and data is None
                return torch.load(source, map_location="cpu", weights_only=True, mmap=mapped)
    except WeightsError:
        raise
    except Exception as error:  # noqa: BLE001 - damaged bytes make it raise errors of every kind
        raise WeightsError(
            f"{path}: not a whole PyTorch checkpoint that holds only weights: {reason(error)}; "
            "torch.save(net.state_dict(), 'net.pth') writes one"
        ) from None


def _check(path: Path, file: Callable[[], BinaryIO]) -> tuple[bool, set[str]]:
    """Refuses a file that would grow when it is read.

    Returns:
        Whether it is an archive, rather than in the format before torch 1.6; what it calls.
    """
    with file() as opened:
        if zipfile.is_zipfile(opened):
            with zipfile.ZipFile(opened) as archive:
                return True, _check_archive(path, archive, opened.seek(0, os.SEEK_END))
        length, calls = opened.seek(0, os.SEEK_END), set[str]()
        opened.seek(0)
        for _ in range(_PICKLES):
            if opened.tell() < length:
                calls |= _check_pickle(path, opened)
    return False, calls


def _check_archive(path: Path, archive: zipfile.ZipFile, length: int) -> set[str]:
    """Refuses entries that are compressed or overlap, and a description that is too large.

    Returns:
        The names of what the pickle calls.
    """
    for entry in archive.infolist():
        if entry.compress_type != zipfile.ZIP_STORED:
            raise WeightsError(
                f"{path}: {entry.filename}: found compressed data ({entry.file_size} bytes "
                f"from {entry.compress_size}), must be stored as torch.save does"
            )
    content = sum(entry.file_size for entry in archive.infolist())
    if content > length:
        raise WeightsError(f"{path}: found {content} bytes of content in a file of {length}")
    calls: set[str] = set()
    for entry in archive.infolist():
        if entry.filename.endswith("data.pkl"):
            limits.check_description(path, entry.file_size)
            with archive.open(entry) as file:
                calls |= _check_pickle(path, file)
    return calls


_MAKES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "REDUCE": 2, "NEWOBJ": 2, "BINPERSID": 1}
_FILLS = {"APPEND": 1, "SETITEM": 2, "BUILD": 1}
_CALLED = {
    *("collections.OrderedDict", "collections.Counter", "__builtin__.set", "__builtin__.complex"),
    *("torch.Size", "torch.device", "torch.nn.parameter.Parameter", "_codecs.encode"),
    *("torch.serialization._get_layout", "torch._utils._rebuild_sparse_tensor"),
    *("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"),
    *("torch._utils._rebuild_tensor_v3", "torch._utils._rebuild_qtensor"),
    *("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"),
}
"""What checkpoints of weights call. The weights-only reader allows more, some of which makes
gigabytes of a few bytes: `bytearray`, `torch.Tensor`, types of storages."""
_LATIN = ("latin1", "latin-1")


class _Value(list[Any]):
    """A value of a pickle: a size, then parts."""

    text: object = None
    """A text or a number; of a class or function, its name."""


def _check_pickle(path: Path, file: IO[bytes]) -> set[str]:
    """Refuses a pickle whose values, written out wherever they are repeated, would be too large.

    A list that holds another one twice, and so on for 40 levels, takes 200 bytes. To hash or to
    print it takes for ever, and the reader does both.

    Returns:
        The names of what the pickle calls.
    """
    stack: list[_Value] = []
    marks: list[int] = []
    memo: dict[int, _Value] = {}
    calls: set[str] = set()
    operations: Iterable[tuple[Any, Any, Any]] = pickletools.genops(file)
    for count, (operation, argument, _) in enumerate(operations):
        name = operation.name
        limits.check(path, "operations", count, limits.OPERATIONS, WeightsError)
        if name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name == "MARK":
            marks.append(len(stack))
        elif name in ("APPENDS", "SETITEMS"):
            at = marks.pop()
            stack[at - 1] += stack[at:]
            del stack[at:]
        elif name == "TUPLE":
            at = marks.pop()
            stack[at:] = [_Value([1, *stack[at:]])]
        elif name in _MAKES:
            if name in ("REDUCE", "NEWOBJ"):
                calls.add(_call(*stack[-2:]))
            stack[-_MAKES[name] :] = [_Value([1, *stack[-_MAKES[name] :]])]
        elif name in _FILLS:
            stack[-_FILLS[name] - 1] += stack[-_FILLS[name] :]
            del stack[-_FILLS[name] :]
        elif name != "PROTO":
            value = _Value([1 + (len(argument) if isinstance(argument, str | bytes) else 0)])
            value.text = argument.replace(" ", ".") if name == "GLOBAL" else argument
            stack.append(value)
    limits.check_description(path, _written_out(_Value([0, *stack])))
    return calls


def _call(function: _Value, arguments: _Value) -> str:
    """Returns the name of a function that a pickle calls.

    Raises:
        ValueError: The call is none of those that numpy's numbers have.
    """
    if function.text == "_codecs.encode":  # chains of other encodings grow
        texts = [value.text for value in arguments[1:]]
        if len(texts) != 2 or not isinstance(texts[0], str) or texts[1] not in _LATIN:
            raise ValueError("found a call of _codecs.encode, whose encoding must be latin1")
    return str(function.text)


def _written_out(whole: _Value) -> int:
    """Returns the size of a value with its parts, wherever they are repeated, up to a limit."""
    sizes: dict[int, int] = {}
    begun: set[int] = set()
    todo: list[_Value] = [whole]
    while todo:
        value = todo[-1]
        rest = [] if id(value) in begun else [part for part in value[1:] if id(part) not in sizes]
        begun.add(id(value))
        if rest:
            todo += rest
        elif id(value) not in sizes:
            size = value[0] + sum(sizes.get(id(part), 1) for part in value[1:])
            sizes[id(value)] = min(size, limits.HEADER_BYTES + 1)
            todo.pop()
        else:
            todo.pop()
    return sizes[id(whole)]


def _stand_in(name: str) -> type:
    """Returns a class that stands in for the class or function of this name."""
    if name.startswith("numpy."):
        return type(name, (_Object,), {})
    kind: type = list if name == "collections.deque" else OrderedDict
    # The reader puts items into these exact types only, not into subclasses.
    return type(name, (), {"__new__": lambda *_, **__: kind()})


class _Object:
    """Takes any arguments and any state, and keeps none."""

    def __new__(cls, *_: object, **__: object) -> _Object:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...
