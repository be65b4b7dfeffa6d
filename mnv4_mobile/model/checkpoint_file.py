"""Reads tensors from checkpoint files without running anything that is in them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from pathlib import Path

import safetensors.torch
from torch import Tensor, strided

from mnv4_mobile.errors import WeightsError
from mnv4_mobile.model.checkpoint_index import Key
from mnv4_mobile.model.checkpoint_pickle import load_pickle
from mnv4_mobile.model.checkpoint_source import SAFETENSORS, reason


def read_tensors(path: Path, data: bytes, keys: Iterable[Key]) -> dict[Key, Tensor]:
    """Reads tensors of a checkpoint.

    Args:
        path: A checkpoint whose index was read (`read_index`).
        data: Its bytes: the file may change, so that a mapping of it would be of no use.
        keys: Keys of that index.

    Raises:
        WeightsError: The file cannot be read.
    """
    if not path.name.endswith(SAFETENSORS):
        loaded = load_pickle(path, data)
        tensors = {key: reduce(lambda found, name: found[name], key, loaded) for key in keys}
        for key, tensor in tensors.items():
            _check_stored(tensor, f"{path}: {'.'.join(key)}")
        return tensors
    try:
        found = safetensors.torch.load(data)
        return {key: found[key[-1]] for key in keys}
    except (safetensors.SafetensorError, ValueError, KeyError, AttributeError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file: {reason(error)}") from None


def _check_stored(tensor: Tensor, place: str) -> None:
    """Refuses a tensor that repeats few stored values, which would grow when it is used."""
    repeats = zip(tensor.stride(), tensor.shape, strict=True) if tensor.layout == strided else ()
    if any(stride == 0 and side > 1 for stride, side in repeats):
        size = "x".join(map(str, tensor.shape))
        raise WeightsError(f"{place}: found one value repeated in {size}, must store every value")
