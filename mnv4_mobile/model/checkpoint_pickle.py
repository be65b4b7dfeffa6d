"""Reads PyTorch checkpoints through torch's weights-only reader, which runs none of their code."""

from __future__ import annotations

import warnings
import zipfile
from collections import OrderedDict
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from mnv4_mobile.errors import WeightsError
from mnv4_mobile.model.checkpoint_source import reason


def load_pickle(path: Path, data: bytes | None = None) -> Any:
    """Reads a .pth, .pt, .ckpt or .bin file.

    Trainers store objects of their own beside the tensors, for which the weights-only reader
    refuses the whole file. It gets classes that do nothing in place of theirs.

    Args:
        path: The file.
        data: The file's bytes. Default: tensors are mapped from the file, so that reading their
            shapes costs no memory.

    Raises:
        WeightsError: The file is damaged, or has objects that no such class can replace.
    """

    def file() -> Path | BytesIO:
        return path if data is None else BytesIO(data)

    try:
        archive = zipfile.is_zipfile(file())  # else the format of torch before 1.6
        names = get_unsafe_globals_in_checkpoint(file()) if archive else ["argparse.Namespace"]
        with safe_globals([(_stand_in(name), name) for name in names]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mapped = archive and data is None
            return torch.load(file(), map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # noqa: BLE001 - damaged bytes make it raise errors of every kind
        raise WeightsError(
            f"{path}: not a whole PyTorch checkpoint that holds only weights: {reason(error)}; "
            "torch.save(net.state_dict(), 'net.pth') writes one"
        ) from None


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
