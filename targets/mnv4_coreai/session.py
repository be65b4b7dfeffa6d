"""Running an `.aimodel`: with the system's runtime on macOS, with that of the wheel elsewhere."""

from __future__ import annotations

import asyncio
import atexit
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy.typing as npt

from mnv4_coreai.asset import FUNCTION, check_files, kind
from mnv4_mobile.errors import BundleError, DeviceError
from mnv4_mobile.target import Session
from mnv4_mobile.tensors import Tensors
from mnv4_mobile.units import Unit


def runtime() -> str:
    """Imports Core AI; returns the runtime's name and version."""
    import coreai.runtime  # noqa: F401

    if sys.platform == "darwin":
        return f"coreai macOS {platform.mac_ver()[0]}"
    return f"coreai-core {version('coreai-core')}"


def open_session(path: Path, unit: Unit | None) -> Session:
    """Compiles and loads an asset.

    Args:
        path: The asset's folder.
        unit: The unit to ask for on macOS; None leaves the choice to Core AI. Elsewhere the runtime
            has the CPU only, and no number of threads can be chosen.

    Raises:
        BundleError: The asset is incomplete or damaged, or Core AI cannot compile it.
        DeviceError: Core AI cannot load the program that it compiled.
    """
    check_files(path)
    if sys.platform == "darwin":  # the wheel's own runtime has no Neural Engine and no GPU
        os.environ["USE_OS_COREAI"] = "1"
    from coreai.authoring import AIModelAsset

    loop = asyncio.new_event_loop()
    try:
        context = AIModelAsset.load(path).executable(_specialization(unit))
        model = loop.run_until_complete(context.__aenter__())
    except (RuntimeError, ValueError) as error:
        raise BundleError(f"{path}: not {kind()}: {error}") from None
    # The compiled program is in a temporary folder for as long as the model is in use.
    atexit.register(_close, loop, context)
    try:
        function = model.load_function(FUNCTION)
    except (KeyError, RuntimeError) as error:
        raise DeviceError(f"{path}: function {FUNCTION!r}: cannot be loaded: {error}") from None

    def run(inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        from coreai.runtime import NDArray

        fed: dict[str, Any] = {name: NDArray(value) for name, value in inputs.items()}
        found: dict[str, Any] = loop.run_until_complete(function(fed))
        # Views of memory that the next run may use again.
        return {name: value.numpy().copy() for name, value in found.items()}

    return run


def _close(loop: asyncio.AbstractEventLoop, context: Any) -> None:
    loop.run_until_complete(context.__aexit__(None, None, None))
    loop.close()


def _specialization(unit: Unit | None) -> Any:
    """Returns Core AI's options for a unit; only macOS takes any.

    Written from the source of `coreai.runtime.SpecializationOptions`; not run.
    """
    if unit is None or sys.platform != "darwin":
        return None
    from coreai.runtime import ComputeUnitKind, SpecializationOptions

    if unit == "cpu":
        return SpecializationOptions.cpu_only()
    kind = ComputeUnitKind.gpu() if unit == "gpu" else ComputeUnitKind.neural_engine()
    return SpecializationOptions.from_preferred_compute_unit_kind(kind)
