"""Reading checkpoint files without running anything that is in them."""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from mnv4_mobile.errors import WeightsError
from mnv4_mobile.model.checkpoint_source import SAFETENSORS, file_sha256, reason

# Where training checkpoints keep the weights, the preferred ones first.
_EMA = ("state_dict_ema", "model_ema")
_WRAPPERS = (*_EMA, "state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.")  # DistributedDataParallel, torch.compile


@dataclass(frozen=True, kw_only=True)
class CheckpointFile:
    """The tensors of a file in its own names, without `num_batches_tracked`."""

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    """What a safetensors file says about itself."""
    sha256: str
    notes: tuple[str, ...]


def read_checkpoint(path: Path) -> CheckpointFile:
    """Reads .safetensors, or a PyTorch checkpoint through the weights-only unpickler.

    Raises:
        WeightsError: No such file, not readable, code in a pickle, or no state dict in it.
    """
    sha256 = file_sha256(path)
    metadata: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    if path.name.endswith(SAFETENSORS):
        tensors, metadata = _read_safetensors(path)
    else:
        tensors, notes = _unwrap(_read_pickle(path), path)
    tensors = {
        name: tensor
        for name, tensor in _without_prefix(tensors).items()
        if name.rpartition(".")[2] != "num_batches_tracked"
    }
    return CheckpointFile(path=path, tensors=tensors, metadata=metadata, sha256=sha256, notes=notes)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError, AttributeError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file: {reason(error)}") from None


def _read_pickle(path: Path) -> Any:
    try:
        # timm's training checkpoints keep their command line in a Namespace, which is only data.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - damaged bytes make it raise errors of every kind
        raise WeightsError(
            f"{path}: not a whole PyTorch checkpoint that holds only weights: {reason(error)}"
        ) from None


def _unwrap(loaded: Any, path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The state dict of a checkpoint, out of a training checkpoint where it is in one."""
    notes: tuple[str, ...] = ()
    if not isinstance(loaded, dict):
        raise WeightsError(f"{path}: found a {type(loaded).__name__}, must be a state dict")
    wrapper = next((key for key in _WRAPPERS if isinstance(loaded.get(key), dict)), None)
    if wrapper is not None:
        loaded = loaded[wrapper]
        if wrapper in _EMA:
            notes = (f"the averaged weights of the checkpoint were taken ({wrapper})",)
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise WeightsError(
                f"{path}: not a state dict: found {name!r} with a {type(value).__name__}, must be "
                f"names with tensors, or have them under one of: {', '.join(_WRAPPERS)}"
            )
    return loaded, notes


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names without what a training wrapper puts before all of them."""
    for prefix in (*_PREFIXES, *_PREFIXES):  # the wrappers come in either order
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors
