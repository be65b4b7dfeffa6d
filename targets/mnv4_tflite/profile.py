"""Times the operators of a `.tflite`, inside the XNNPACK delegate too.

Neither Python API of ai-edge-litert has a profiler, but the C API of the runtime in the same wheel
has one (github.com/google-ai-edge/LiteRT: litert/c/litert_profiler.h, litert_compiled_model.h).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from ctypes import Structure, byref, c_char_p, c_int, c_size_t, c_uint64, c_void_p
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mnv4_mobile.bundle.timing import WARM_UP
from mnv4_mobile.errors import BundleError, DeviceError
from mnv4_mobile.layers import OperatorTime, operator_times
from mnv4_mobile.tensors import Tensors

_CPU = 1  # LiteRtHwAccelerators
_WRITE = 1  # LiteRtTensorBufferLockMode
_OPERATOR, _DELEGATED_OPERATOR = 1 << 1, 1 << 3  # LiteRtProfilerEventType
_TYPE_BYTES = 256  # more than a LiteRtRankedTensorType, which is only passed on
_SIGNATURE = c_size_t(0)


class _Event(Structure):
    """ProfiledEventData of litert/c/litert_profiler_event.h."""

    _fields_ = (
        ("tag", c_char_p),
        ("type", c_int),
        ("start_us", c_uint64),
        ("elapsed_us", c_uint64),
        ("memory", c_size_t * 6),
        ("metadata", c_uint64 * 2),
        ("source", c_int),
    )


def profile(
    path: Path, inputs: Tensors, layers: Sequence[str], *, threads: int, runs: int
) -> list[OperatorTime]:
    """Times every operator, inside and outside the delegate; see `Target.profile`.

    Raises:
        BundleError: The file is not a LiteRT model.
        DeviceError: The wheel lacks the C library.
    """
    model = _Model(path, threads)
    for name, value in inputs.items():
        model.write(name, value.tobytes())
    found = [list(model.run()) for _ in range(WARM_UP + runs)]
    return operator_times(found[WARM_UP:], layers)


class _Library:
    """The runtime's C library, whose functions return a status."""

    def __init__(self) -> None:
        package = find_spec("ai_edge_litert")
        folders = (package.submodule_search_locations if package else None) or []
        files = [file for folder in folders for file in Path(folder).glob("libLiteRt.*")]
        if not files:
            raise DeviceError("the profiler needs libLiteRt, which this ai-edge-litert lacks")
        self._functions = ctypes.CDLL(str(files[0]))

    def call(self, name: str, *arguments: Any) -> None:
        status = self._functions[name](*arguments)
        if status:
            raise DeviceError(f"{name}: LiteRT status {status}")

    def get(self, name: str, *arguments: Any) -> c_void_p:
        """Returns what a function writes to its last parameter."""
        found = c_void_p()
        self.call(name, *arguments, byref(found))
        return found


class _Model:
    """A compiled model with a profiler; it is freed only when its process ends."""

    def __init__(self, path: Path, threads: int) -> None:
        self._library = _Library()
        get, call = self._library.get, self._library.call
        self._environment = get("LiteRtCreateEnvironment", 0, None)
        try:
            model = get("LiteRtCreateModelFromFile", self._environment, str(path).encode())
        except DeviceError as error:
            raise BundleError(f"{path}: not a readable LiteRT model: {error}") from None
        options = get("LiteRtCreateOptions")
        call("LiteRtSetOptionsHardwareAccelerators", options, _CPU)
        # The identifiers and keys: litert/c/options/litert_{runtime,cpu}_options.cc.
        self._options = {
            b"runtime_options_string": b"enable_profiling = true\n",
            b"xnnpack": b"num_threads = %d\n" % threads,
        }
        for identifier, text in self._options.items():
            entry = get("LiteRtCreateOpaqueOptions", identifier, text, _keep)
            call("LiteRtAddOpaqueOptions", options, entry)
        self._model = get("LiteRtCreateCompiledModel", self._environment, model, options)
        self._profiler = get("LiteRtCompiledModelGetProfiler", self._model)
        self._signature = get("LiteRtGetModelSignature", model, _SIGNATURE)
        self._inputs, self._outputs = self._buffers("Input"), self._buffers("Output")

    def _buffers(self, kind: str) -> dict[str, c_void_p]:
        """Returns a buffer for every input or output of the signature, by name."""
        get, call = self._library.get, self._library.call
        count = c_size_t()
        call(f"LiteRtGetNumSignature{kind}s", self._signature, byref(count))
        found = {}
        for index in map(c_size_t, range(count.value)):
            name = c_char_p()
            call(f"LiteRtGetSignature{kind}Name", self._signature, index, byref(name))
            tensor = get(f"LiteRtGetSignature{kind}TensorByIndex", self._signature, index)
            tensor_type = ctypes.create_string_buffer(_TYPE_BYTES)
            call("LiteRtGetRankedTensorType", tensor, tensor_type)
            needs = get(
                f"LiteRtGetCompiledModel{kind}BufferRequirements", self._model, _SIGNATURE, index
            )
            found[(name.value or b"").decode()] = get(
                "LiteRtCreateManagedTensorBufferFromRequirements",
                self._environment,
                tensor_type,
                needs,
            )
        return found

    def write(self, name: str, data: bytes) -> None:
        """Fills an input."""
        size = c_size_t()
        self._library.call("LiteRtGetTensorBufferPackedSize", self._inputs[name], byref(size))
        if size.value != len(data):
            raise DeviceError(f"input {name}: found {len(data)} bytes, must be {size.value}")
        address = c_void_p()
        self._library.call("LiteRtLockTensorBuffer", self._inputs[name], byref(address), _WRITE)
        ctypes.memmove(address, data, len(data))
        self._library.call("LiteRtUnlockTensorBuffer", self._inputs[name])

    def run(self) -> Iterator[tuple[str, float]]:
        """Runs the model once and yields the name and milliseconds of every operator."""
        call, profiler = self._library.call, self._profiler
        call("LiteRtStartProfiler", profiler)
        arrays = [(c_void_p * len(b))(*b.values()) for b in (self._inputs, self._outputs)]
        call(
            "LiteRtRunCompiledModel",
            self._model,
            _SIGNATURE,
            c_size_t(len(self._inputs)),
            arrays[0],
            c_size_t(len(self._outputs)),
            arrays[1],
        )
        call("LiteRtStopProfiler", profiler)
        count = c_int()
        call("LiteRtGetNumProfilerEvents", profiler, byref(count))
        events = (_Event * count.value)()
        call("LiteRtGetProfilerEvents", profiler, count, events)
        for event in events:
            if event.type in (_OPERATOR, _DELEGATED_OPERATOR):
                yield event.tag.decode(), event.elapsed_us / 1e3
        call("LiteRtResetProfiler", profiler)


_keep = ctypes.CFUNCTYPE(None, c_void_p)(lambda _: None)
"""Deleter for texts that Python owns; it does nothing."""
