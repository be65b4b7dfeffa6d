"""Reads names and shapes of a checkpoint's tensors, for a .safetensors file without torch."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from mnv4_mobile import limits
from mnv4_mobile.errors import WeightsError
from mnv4_mobile.model.checkpoint_source import SAFETENSORS, check_file, reason
from mnv4_mobile.model.state import Shape
from mnv4_mobile.records import Natural, SafeInt

if TYPE_CHECKING:
    from torch import Tensor

Key = tuple[str, ...]
"""Where a tensor is in a checkpoint: the keys of the dicts around it, and its name."""

_MAX_DEPTH = 6
COUNTER = "num_batches_tracked"


@dataclass(frozen=True, kw_only=True)
class Index:
    """What a checkpoint holds."""

    path: Path
    shapes: Mapping[Key, Shape]
    """The shape of every tensor."""
    metadata: Mapping[str, str]
    """The metadata of a safetensors file."""
    arch: str | None
    """The network that a training checkpoint of timm names; None for other checkpoints."""


def read_index(path: Path, data: bytes | None = None) -> Index:
    """Reads the header of a .safetensors file, or a PyTorch checkpoint without its values.

    Args:
        path: The file.
        data: The file's bytes. Default: reads as few of them as possible.

    Raises:
        WeightsError: The file does not exist or cannot be read.
    """
    check_file(path)
    metadata: Mapping[str, str] = {}
    arch = None
    shapes: dict[Key, Shape]
    if path.name.endswith(SAFETENSORS):
        shapes, metadata = _read_safetensors(path, data)
    else:
        from mnv4_mobile.model.checkpoint_pickle import load_pickle

        loaded = load_pickle(path, data)
        if not isinstance(loaded, dict):
            raise WeightsError(
                f"{path}: found a {type(loaded).__name__}, must be a state dict, as in "
                "torch.save(net.state_dict(), 'net.pth')"
            )
        shapes = {key: tuple(tensor.shape) for key, tensor in _tensors(loaded, ())}
        found = loaded.get("arch")
        arch = found if isinstance(found, str) else None
    shapes = {key: s for key, s in shapes.items() if key[-1].rpartition(".")[2] != COUNTER}
    return Index(path=path, shapes=shapes, metadata=metadata, arch=arch)


class _Entry(msgspec.Struct, frozen=True):
    """What the header of a safetensors file says about a tensor."""

    shape: Annotated[tuple[Natural, ...], Meta(max_length=8)]
    data_offsets: tuple[SafeInt, SafeInt]


def _read_safetensors(path: Path, data: bytes | None) -> tuple[dict[Key, Shape], dict[str, str]]:
    """Returns shapes and metadata from the header (huggingface.co/docs/safetensors)."""
    try:
        with path.open("rb") if data is None else BytesIO(data) as file:
            size = int.from_bytes(file.read(8), "little")
            length = file.seek(0, os.SEEK_END)
            if size > length:
                raise ValueError("its header is longer than the file")
            limits.check_description(path, size)
            file.seek(8)
            header = msgspec.json.decode(file.read(size), type=dict[str, msgspec.Raw])
        metadata = msgspec.json.decode(header.pop("__metadata__", b"{}"), type=dict[str, str])
        entries = {name: msgspec.json.decode(raw, type=_Entry) for name, raw in header.items()}
        ends = [entry.data_offsets[1] for entry in entries.values()]
        if length != 8 + size + max(ends, default=0):
            raise ValueError("its length is not what its header says")
        for name, entry in entries.items():
            first, last = entry.data_offsets
            if math.prod(entry.shape) > 8 * (last - first):  # the smallest types have a bit
                raise ValueError(f"the shape of {name} does not fit its length")
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file: {reason(error)}") from None
    return {(name,): entry.shape for name, entry in entries.items()}, metadata


def _tensors(found: Any, at: Key) -> Iterator[tuple[Key, Tensor]]:
    """Yields the tensors in a dict, and in the dicts nested in it."""
    from torch import Tensor

    for name, value in found.items():
        if not isinstance(name, str):
            continue
        key = (*at, name)
        if isinstance(value, Tensor):
            yield key, value
        elif isinstance(value, dict) and len(key) < _MAX_DEPTH:
            yield from _tensors(value, key)
