"""Importing coremltools."""

from __future__ import annotations

import importlib
import sys
from typing import Any

_PROBED = ("executorch", "sklearn", "torchao", "torchvision", "transformers")


def coremltools() -> Any:
    """The module `coremltools`, imported without the frameworks that it looks for.

    It imports whatever it might have to convert or compress (coremltools/_deps/__init__.py): with
    everything installed 12 of 14 CPU seconds, for nothing that is used here.
    """
    hidden = [name for name in _PROBED if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment] # Python's mark of what is not there
    try:
        return importlib.import_module("coremltools")
    finally:
        for name in hidden:
            del sys.modules[name]
