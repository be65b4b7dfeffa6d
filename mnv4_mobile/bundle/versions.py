"""Versions of what makes and runs artifacts."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

_TOOLS = (
    *("torch", "torchao", "executorch", "coremltools", "litert-torch", "litert-converter"),
    *("ai-edge-litert", "ai-edge-quantizer", "numpy", "pillow"),
)


def versions() -> dict[str, str]:
    """Versions of this package, of Python and of the toolchains that are installed."""
    found = {"mnv4-mobile": version("mnv4-mobile"), "python": platform.python_version()}
    for tool in _TOOLS:
        try:
            found[tool] = version(tool)
        except PackageNotFoundError:
            continue
    return found
