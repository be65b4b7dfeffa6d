"""Runs a `.tflite` on LiteRT's GPU accelerator, which is WebGPU over Vulkan on Linux."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mnv4_mobile.errors import BundleError, DeviceError, ParityError
from mnv4_mobile.target import Session
from mnv4_mobile.tensors import Tensors, check_inputs
from mnv4_mobile.units import Executor
from mnv4_tflite.reader import Model, input_sizes

_RENDER_NODES = "/dev/dri/renderD*", "/dev/nvidia[0-9]*"
_BROWSERS = (
    Path("/usr/lib/chromium"),
    Path("/usr/lib/chromium-browser"),
    Path("/opt/google/chrome"),
)
"""Folders in which Chromium and Chrome keep SwiftShader, a Vulkan driver that runs on the CPU."""
_INSTALL = (
    "needs a GPU with a Vulkan driver, or SwiftShader, which Chromium brings: "
    "apt-get install chromium-common"
)


class _Vulkan(NamedTuple):
    """A Vulkan driver in files, which need not be installed in the system."""

    loader: Path
    driver: Path


def executor() -> Executor:
    """Returns what runs artifacts on the GPU unit here; looks at files, and starts nothing."""
    if sys.platform != "linux":
        return Executor(name="LiteRT's GPU accelerator", missing="runs on Linux only so far")
    if _gpu():
        return Executor(name="LiteRT's GPU accelerator")
    lacks = "" if _swiftshader() else _INSTALL
    return Executor(name="LiteRT's GPU accelerator on SwiftShader", emulated=True, missing=lacks)


def _gpu() -> bool:
    return any(any(Path("/").glob(pattern[1:])) for pattern in _RENDER_NODES)


def _swiftshader() -> _Vulkan | None:
    for folder in _BROWSERS:
        found = _Vulkan(folder / "libvulkan.so.1", folder / "vk_swiftshader_icd.json")
        if all(file.is_file() for file in found):
            return found
    return None


@lru_cache(maxsize=1)
def _prepare() -> None:
    """Lets this process find SwiftShader if the machine has no GPU."""
    vulkan = None if _gpu() else _swiftshader()
    if vulkan is not None:
        os.environ["VK_DRIVER_FILES"] = os.environ["VK_ICD_FILENAMES"] = str(vulkan.driver)
        ctypes.CDLL(str(vulkan.loader))  # the accelerator opens a library of the same name


@dataclass(frozen=True, kw_only=True)
class OnGpu:
    """A model that the GPU runs as a whole: a `Session`."""

    run: Session
    adapter: str
    """What LiteRT runs it on, by its own account: `SwiftShader Device (Subzero)`."""
    partitions: int
    """The number of parts in which the GPU runs it."""

    def __call__(self, tensors: Tensors) -> dict[str, npt.NDArray[Any]]:
        """Runs the model; see `Session`."""
        return self.run(tensors)


def open_on_gpu(path: Path) -> OnGpu:
    """Loads a model that the GPU runs as a whole; names are as in `session.open_session`.

    Raises:
        BundleError: The model is missing, damaged, or has several signatures.
        ParityError: The GPU does not take every operator; the message has LiteRT's reasons.
        DeviceError: LiteRT fails, or does not find the machine's GPU.
    """
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator
    from ai_edge_litert.options import Options

    Model(path)  # refuses damaged files
    _prepare()
    said: list[str] = []
    try:
        with _listening(said):
            # Without the CPU among the accelerators, LiteRT refuses a model that it would cut.
            model = CompiledModel.from_file(
                str(path),
                options=Options(hardware_accelerators=HardwareAccelerator.GPU),
            )
    except RuntimeError as error:
        if "not accelerated" in str(error):
            raise ParityError(
                f"{path}: the GPU does not take all of it: {_refused(said)}"
            ) from None
        errors = [line for line in said if line.startswith("ERROR: ")]
        why = errors[-1].removeprefix("ERROR: ") if errors else str(error).replace("\n", " ")
        raise DeviceError(f"{path}: LiteRT's GPU accelerator cannot load it: {why}") from None
    name, kind = _adapter(said)
    if _gpu() and kind.startswith("CPU"):
        raise DeviceError(
            f"{path}: this machine has a GPU, but LiteRT found only {name}, which computes on the "
            "CPU; install the GPU's Vulkan driver"
        )
    signatures = model.get_signature_list()
    if len(signatures) != 1:
        raise BundleError(f"{path}: found {len(signatures)} signatures, must be 1")
    (key,) = signatures
    parts = sum("Initializing WebGPU-based API" in line for line in said)
    return OnGpu(run=_session(path, model, key), adapter=name, partitions=parts)


def _session(path: Path, model: Any, key: str) -> Session:
    """Returns a session of a model that is loaded, which changes its input size where it may."""
    taken = model.get_input_tensor_details(key)
    expected = {name: (tuple(taken[name]["shape"]), taken[name]["dtype"]) for name in taken}
    others = [
        {name: (shape, dtype) for name, (_, dtype) in expected.items()}
        for shape in input_sizes(path)
    ]
    buffers = _buffers(model, key)

    def run(tensors: Tensors) -> dict[str, npt.NDArray[Any]]:
        nonlocal buffers
        check_inputs(path, tensors, expected, *others)
        for name, value in tensors.items():
            if tuple(model.get_input_tensor_details(key)[name]["shape"]) != value.shape:
                model.resize_input_tensor_by_name(key, name, value.shape, strict=False)
                buffers = _buffers(model, key)
                if not model.is_fully_accelerated():
                    raise ParityError(f"{path}: the GPU does not take all of it at this input size")
        entries, results = buffers
        for name, value in tensors.items():
            entries[name].write(np.ascontiguousarray(value))
        model.run_by_name(key, entries, results)
        outputs = {}
        given = model.get_output_tensor_details(key)
        for name, result in results.items():
            shape, dtype = tuple(given[name]["shape"]), np.dtype(given[name]["dtype"])
            outputs[name] = result.read(int(np.prod(shape)), dtype.type).reshape(shape)
        return outputs

    return run


def _buffers(model: Any, key: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns buffers for the inputs and the outputs, by name."""
    names = model.get_signature_list()[key]
    return (
        {name: model.create_input_buffer_by_name(key, name) for name in names["inputs"]},
        {name: model.create_output_buffer_by_name(key, name) for name in names["outputs"]},
    )


def _adapter(said: list[str]) -> tuple[str, str]:
    """Returns the name and the kind of the processor that LiteRT says it chose."""
    found = re.search(r"Selected adapter: (.*?), arch=.* adapterType=(.*)", "\n".join(said))
    return (found[1], found[2]) if found else ("", "")


@contextmanager
def _listening(said: list[str]) -> Iterator[None]:
    """Collects the lines that native code writes to the standard error output.

    LiteRT says there, and nowhere else, which operators the GPU does not take.
    """
    sys.stderr.flush()
    before = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
            file.seek(0)
            said.extend(file.read().decode(errors="replace").splitlines())


def _refused(said: list[str]) -> str:
    """Returns the operators that LiteRT listed, with its reasons."""
    _, _, listed = "\n".join(said).partition("not supported by GPU delegate:\n")
    lines = takewhile(lambda line: "operations will run" not in line, listed.splitlines())
    return "; ".join(line.strip().rstrip(".") for line in lines) or "LiteRT does not say why"
