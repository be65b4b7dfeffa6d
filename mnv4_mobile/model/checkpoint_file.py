"""Reads tensors from checkpoint files without running anything that is in them."""

from __future__ import annotations

import argparse
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from mnv4_mobile.errors import WeightsError
from mnv4_mobile.model.checkpoint_index import Key, stand_in
from mnv4_mobile.model.checkpoint_source import SAFETENSORS, reason


def read_tensors(path: Path, keys: Iterable[Key]) -> dict[Key, Tensor]:
    """Reads tensors of a .safetensors file, or of a PyTorch checkpoint by the weights-only reader.

    Args:
        path: A file whose index was read.
        keys: The tensors to read; a key of the index (`read_index`).

    Raises:
        WeightsError: Not readable, or code in a pickle.
    """
    if path.name.endswith(SAFETENSORS):
        return _read_safetensors(path, keys)
    loaded = _read_pickle(path)
    found: dict[Key, Tensor] = {}
    for key in keys:
        value: Any = loaded
        for name in key:
            value = value[name]
        if not isinstance(value, Tensor):
            raise WeightsError(f"{path}: {'.'.join(key)}: found a {type(value).__name__}")
        found[key] = value
    return found


def _read_safetensors(path: Path, keys: Iterable[Key]) -> dict[Key, Tensor]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key[-1]) for key in keys}
    except (safetensors.SafetensorError, OSError, ValueError, AttributeError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file: {reason(error)}") from None


def _read_pickle(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(_harmless(path)), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - damaged bytes make it raise errors of every kind
        raise WeightsError(
            f"{path}: not a whole PyTorch checkpoint that holds only weights: {reason(error)}"
        ) from None


def _harmless(path: Path) -> list[Any]:
    """What may be in a pickle beside tensors: inert stand-ins for the classes of a trainer."""
    if not zipfile.is_zipfile(path):
        return [argparse.Namespace]
    names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    return [(stand_in(name), name) for name in names]
