"""Reads names and shapes of a checkpoint's tensors, without torch and without running its code."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mnv4_mobile.errors import WeightsError
from mnv4_mobile.model.checkpoint_source import SAFETENSORS, check_file, reason
from mnv4_mobile.model.state import Shape

Key = tuple[str, ...]
"""Where a tensor is in a checkpoint: the keys of the dicts around it, and its name."""

_MAX_HEADER = 100 * 10**6  # the limit of safetensors itself
_MAX_DEPTH = 6
_MAGIC = 0x1950A86A20F9469CFC6C  # begins the files of torch before 1.6
_FORBIDDEN = ("os", "posix", "nt", "sys", "subprocess")  # modules that torch refuses, too
COUNTER = "num_batches_tracked"


@dataclass(frozen=True, kw_only=True)
class Index:
    """What a checkpoint holds."""

    path: Path
    shapes: Mapping[Key, Shape | None]
    """The shape of every tensor; None for tensors of a kind whose shape is not stored plainly."""
    metadata: Mapping[str, str]
    """The metadata of a safetensors file."""
    arch: str | None
    """The network that a training checkpoint of timm names, if it is one."""


def read_index(path: Path) -> Index:
    """Reads the header of a .safetensors file, or the pickle of a PyTorch checkpoint.

    Raises:
        WeightsError: No such file, not readable, or code in a pickle.
    """
    check_file(path)
    metadata: Mapping[str, str] = {}
    arch = None
    shapes: dict[Key, Shape | None]
    if path.name.endswith(SAFETENSORS):
        shapes, metadata = _read_safetensors(path)
    else:
        loaded = _read_pickle(path)
        if not isinstance(loaded, dict):
            raise WeightsError(
                f"{path}: found {_kind(loaded)}, must be a state dict, as in "
                "torch.save(net.state_dict(), 'net.pth')"
            )
        shapes = {key: tensor.shape for key, tensor in _tensors(loaded, ())}
        found = loaded.get("arch")
        arch = found if isinstance(found, str) else None
    shapes = {key: s for key, s in shapes.items() if key[-1].rpartition(".")[2] != COUNTER}
    return Index(path=path, shapes=shapes, metadata=metadata, arch=arch)


def stored_tensors(path: Path) -> dict[Key, StoredTensor]:
    """Returns the tensors of a PyTorch checkpoint whose index was read, without their values."""
    return dict(_tensors(_read_pickle(path), ()))


def _read_safetensors(path: Path) -> tuple[dict[Key, Shape | None], dict[str, str]]:
    """Returns shapes and metadata from the header (huggingface.co/docs/safetensors)."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > _MAX_HEADER:
                raise ValueError("its header is too large")
            header: Any = json.loads(file.read(size))
        metadata = header.pop("__metadata__", {})
        ends = [entry["data_offsets"][1] for entry in header.values()]
        if path.stat().st_size != 8 + size + max(ends, default=0):
            raise ValueError("its length is not what its header says")
        if not all(isinstance(text, str) for text in metadata.values()):
            raise ValueError("its metadata must be texts")
        shapes: dict[Key, Shape | None] = {
            (name,): tuple(int(side) for side in entry["shape"]) for name, entry in header.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file: {reason(error)}") from None
    return shapes, metadata


def _read_pickle(path: Path) -> Any:
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                return _read_old_pickle(file)
        with zipfile.ZipFile(path) as archive:
            names = members(archive)
            if "constants.pkl" in names:
                raise ValueError("a TorchScript archive, must be a state dict")
            if archive.getinfo(names["data.pkl"]).file_size > _MAX_HEADER:
                raise ValueError("its pickle is too large")
            with archive.open(names["data.pkl"]) as file:
                return _Reader(file).load()
    except Exception as error:  # noqa: BLE001 - damaged bytes make it raise errors of every kind
        raise unreadable(path, error) from None


def members(archive: zipfile.ZipFile) -> dict[str, str]:
    """Returns the names in a checkpoint's archive by their names without its top folder."""
    return {name.partition("/")[2]: name for name in archive.namelist()}


def unreadable(path: Path, error: Exception) -> WeightsError:
    """Returns the error of a PyTorch checkpoint that cannot be read."""
    return WeightsError(f"{path}: not a whole PyTorch checkpoint: {reason(error)}")


def _read_old_pickle(file: BinaryIO) -> Any:
    """Reads the format of torch before 1.6: magic number, version, system, then the checkpoint."""
    magic, _, _ = (_Reader(file).load() for _ in range(3))
    if magic != _MAGIC:
        raise ValueError("has no magic number of torch")
    return _Reader(file).load()


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a PyTorch checkpoint, without its values."""

    kind: str
    """The function that rebuilds it."""
    shape: Shape | None
    storage: Any = None
    """Where the values are: a tuple that has the name of their type and of their file."""
    offset: int = 0
    """The index of the first value."""
    stride: Shape = ()
    """How far apart in the storage the values along each axis are."""


class _Dict(dict[Any, Any]):
    """Stands for an OrderedDict, which takes attributes."""


class _StandIn:
    """Stands for an object of any other class; does nothing, whatever is done with it."""

    def __new__(cls, *_: object, **__: object) -> _StandIn:
        """An instance, whatever the arguments are."""
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...

    def __setitem__(self, *_: object) -> None: ...

    def append(self, _: object) -> None:
        """Does nothing."""

    def extend(self, _: object) -> None:
        """Does nothing."""

    def add(self, _: object) -> None:
        """Does nothing."""


_REBUILD = "torch._utils._rebuild_"


def _dense(storage: Any, offset: Any, size: Any, stride: Any, *_: object) -> StoredTensor:
    """Stands for torch._utils._rebuild_tensor and _rebuild_tensor_v2, which make dense tensors."""
    shape, steps = (tuple(int(side) for side in sides) for sides in (size, stride))
    return StoredTensor(f"{_REBUILD}tensor", shape, storage, int(offset), steps)


# The pickle module's reader in Python: the one in C takes gigabytes for a damaged number.
class _Reader(pickle._Unpickler):
    """An unpickler that makes tensors' shapes and inert objects, and calls nothing by name."""

    _KNOWN: Mapping[str, Any] = {
        "collections.OrderedDict": _Dict,
        "torch.Size": tuple,
        f"{_REBUILD}tensor": _dense,
        f"{_REBUILD}tensor_v2": _dense,
        f"{_REBUILD}parameter": lambda data, *_: data,
        f"{_REBUILD}parameter_with_state": lambda data, *_: data,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Returns what stands for a name in the pickle."""
        full = f"{module}.{name}"
        if module.partition(".")[0] in _FORBIDDEN:
            raise pickle.UnpicklingError(f"found the code {full}")
        if full in self._KNOWN:
            return self._KNOWN[full]
        if full.startswith(_REBUILD):
            return lambda *_: StoredTensor(full, None)
        return type(full, (_StandIn,), {})

    def persistent_load(self, pid: Any) -> object:
        """Returns where a tensor's values are, without reading them."""
        return pid


def _tensors(found: Any, at: Key) -> Iterator[tuple[Key, StoredTensor]]:
    """Yields the tensors in dicts, and in dicts in them."""
    for name, value in found.items():
        if not isinstance(name, str):
            continue
        key = (*at, name)
        if isinstance(value, StoredTensor):
            yield key, value
        elif isinstance(value, dict) and len(key) < _MAX_DEPTH:
            yield from _tensors(value, key)


def _kind(value: object) -> str:
    if isinstance(value, StoredTensor):
        return "a tensor"
    return f"a {type(value).__name__}"
