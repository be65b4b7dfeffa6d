"""Reads tensors from checkpoint files without running anything that is in them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from pathlib import Path

import safetensors.torch
from torch import Tensor

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
        return {key: reduce(lambda found, name: found[name], key, loaded) for key in keys}
    try:
        found = safetensors.torch.load(data)
        return {key: found[key[-1]] for key in keys}
    except (safetensors.SafetensorError, ValueError, KeyError, AttributeError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file: {reason(error)}") from None
