"""Reads tensors from checkpoint files without running anything that is in them."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from mnv4_mobile.errors import WeightsError
from mnv4_mobile.model.checkpoint_index import (
    Key,
    StoredTensor,
    members,
    stored_tensors,
    unreadable,
)
from mnv4_mobile.model.checkpoint_source import SAFETENSORS, reason

_DTYPES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
    "torch.ComplexFloatStorage": torch.complex64,
}
"""The type of values by the class that a checkpoint names for them."""


def read_tensors(path: Path, keys: Iterable[Key]) -> dict[Key, Tensor]:
    """Reads tensors of a checkpoint.

    Args:
        path: A checkpoint whose index was read (`read_index`).
        keys: Keys of that index.

    Raises:
        WeightsError: Not readable, or a tensor that is not dense.
    """
    if path.name.endswith(SAFETENSORS):
        return _read_safetensors(path, keys)
    if zipfile.is_zipfile(path):
        return _read_archive(path, keys)
    return _read_old_pickle(path, keys)


def _read_safetensors(path: Path, keys: Iterable[Key]) -> dict[Key, Tensor]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key[-1]) for key in keys}
    except (safetensors.SafetensorError, OSError, ValueError, AttributeError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file: {reason(error)}") from None


def _read_archive(path: Path, keys: Iterable[Key]) -> dict[Key, Tensor]:
    """Reads what `torch.save` wrote.

    torch's own weights-only reader refuses a file for any object of a trainer's beside the tensors.
    """
    stored = stored_tensors(path)
    found: dict[Key, Tensor] = {}
    for key in keys:
        if stored[key].shape is None:
            raise WeightsError(
                f"{path}: {'.'.join(key)}: found {stored[key].kind}, must be dense floating-point "
                "numbers"
            )
    try:
        with zipfile.ZipFile(path) as archive:
            names = members(archive)
            if "byteorder" in names and archive.read(names["byteorder"]) != b"little":
                raise ValueError("written on a big-endian machine")
            for key in keys:
                found[key] = _values(archive, names, stored[key])
    except Exception as error:  # noqa: BLE001 - damaged bytes make it raise errors of every kind
        raise unreadable(path, error) from None
    return found


def _values(archive: zipfile.ZipFile, names: dict[str, str], stored: StoredTensor) -> Tensor:
    _, kind, name, *_ = stored.storage
    dtype = _DTYPES[kind.__name__]
    data = bytearray(archive.read(names[f"data/{name}"]))
    values = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
    return values.as_strided(stored.shape or (), stored.stride, stored.offset).clone()


def _read_old_pickle(path: Path, keys: Iterable[Key]) -> dict[Key, Tensor]:
    """Reads what `torch.save` wrote before torch 1.6."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - damaged bytes make it raise errors of every kind
        raise unreadable(path, error) from None
    found = {}
    for key in keys:
        value: Any = loaded
        for name in key:
            value = value[name]
        found[key] = value
    return found
