"""Reading checkpoint files without running anything that is in them."""

from __future__ import annotations

import argparse
import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from mnv4_mobile.errors import WeightsError

_SAFETENSORS = ".safetensors"
_PICKLES = (".pth", ".pt", ".ckpt", ".bin", ".pth.tar")

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
    try:
        if not path.exists():
            raise WeightsError(f"{path}: no such file")
        if not path.is_file():
            raise WeightsError(f"{path}: not a file")
        if path.stat().st_size == 0:
            raise WeightsError(f"{path}: the file is empty")
        if not path.name.endswith((_SAFETENSORS, *_PICKLES)):
            allowed = ", ".join((_SAFETENSORS, *_PICKLES))
            raise WeightsError(f"{path}: found {path.suffix!r}, allowed: {allowed}")
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None
    metadata: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    if path.name.endswith(_SAFETENSORS):
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
        raise WeightsError(f"{path}: not a readable safetensors file: {_reason(error)}") from None


def _read_pickle(path: Path) -> Any:
    try:
        # timm's training checkpoints keep their command line in a Namespace, which is only data.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - damaged bytes make it raise errors of every kind
        raise WeightsError(
            f"{path}: not a whole PyTorch checkpoint that holds only weights: {_reason(error)}"
        ) from None


def _reason(error: Exception) -> str:
    """A library's message in one line, without its advice to load the file unsafely."""
    text = " ".join(str(error).split())
    text = text.partition("Check the documentation")[0].partition("Please use")[0]
    for advice in ("WeightsUnpickler error:", "from a trusted source."):
        text = text.rpartition(advice)[2]
    text = text.strip()
    if len(text) > 160:
        text = text[:157] + "..."
    return text if " " in text else f"{type(error).__name__} {text}".strip()


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


def fetch_from_hub(repo: str) -> Path:
    """The weights of a Hugging Face repository, with its `config.json` beside them if it has one.

    Raises:
        WeightsError: No such repository, no weights in it, or neither a network nor a cached copy.
    """
    names = ("model.safetensors", "pytorch_model.bin")
    for name in names:
        if weights := _fetch(repo, name):
            _fetch(repo, "config.json")
            return weights
    raise WeightsError(
        f"hf-hub:{repo}: found neither {' nor '.join(names)}, there nor in the cache; {_ADVICE}"
    )


_ADVICE = (
    "check the name (owner/name) and the network, or download the files and give the path of the "
    "weights"
)


def _fetch(repo: str, name: str) -> Path | None:
    """A file of a repository; None where it has none, or offline where the cache has none."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return Path(hf_hub_download(repo, name))
    except EntryNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001 - the client lets the errors of its HTTP library through
        raise WeightsError(
            f"hf-hub:{repo}: cannot be fetched: {_reason(error)}; {_ADVICE}"
        ) from None
