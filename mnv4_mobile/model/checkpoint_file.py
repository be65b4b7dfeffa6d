"""Reads tensors from checkpoint files without running anything that is in them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from pathlib import Path

import safetensors
from torch import Tensor

from mnv4_mobile.errors import WeightsError
from mnv4_mobile.model.checkpoint_index import Key
from mnv4_mobile.model.checkpoint_pickle import load_pickle
from mnv4_mobile.model.checkpoint_source import SAFETENSORS, reason


def read_tensors(path: Path, keys: Iterable[Key]) -> dict[Key, Tensor]:
    """Reads tensors of a checkpoint.

    Args:
        path: A checkpoint whose index was read (`read_index`).
        keys: Keys of that index.

    Raises:
        WeightsError: The file cannot be read.
    """
    if not path.name.endswith(SAFETENSORS):
        loaded = load_pickle(path)
        # Copied, as the file may change while its tensors are mapped.
        return {key: reduce(lambda found, name: found[name], key, loaded).clone() for key in keys}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key[-1]) for key in keys}
    except (safetensors.SafetensorError, OSError, ValueError, AttributeError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file: {reason(error)}") from None
