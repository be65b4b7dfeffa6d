"""Runs a `.tflite` on a device that has LiteRT's Python runtime, and records how long it took.

This file is copied to the device as it is. It needs Python 3.9, numpy, and ai-edge-litert or
tflite-runtime.
`mnv4_mobile.measuring.devices.tool.Runner` describes its options and its output.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import re
import resource
import sys
import time
from typing import Any

INSTALL = f"on the device: {sys.executable} -m pip install ai-edge-litert numpy"
try:
    import numpy as np
except ImportError:
    raise SystemExit(f"numpy is not installed; {INSTALL}") from None

PACKAGES = ("ai_edge_litert", "tflite_runtime")


def runtime() -> tuple[Any, str]:
    """Returns the interpreter class of this device, and the runtime's name and version."""
    for package in PACKAGES:
        try:
            module = importlib.import_module(package + ".interpreter")
        except ImportError:
            continue
        version = importlib.metadata.version(package.replace("_", "-"))
        return module.Interpreter, f"{'litert' if 'litert' in package else 'tflite'} {version}"
    raise SystemExit(f"LiteRT is not installed; {INSTALL}")


def loaded(interpreters: Any, options: argparse.Namespace) -> tuple[Any, float]:
    """Returns an interpreter that is ready to run, and how long loading it took, in ms."""
    begin = time.perf_counter()
    interpreter = interpreters(model_path=options.model, num_threads=options.threads)
    interpreter.allocate_tensors()
    return interpreter, (time.perf_counter() - begin) * 1000


def ends(interpreter: Any) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    """Returns the input, the outputs, and the names of the outputs' files.

    Files have the outputs' names in the model's only signature. They are numbered if there is not
    one signature, or if a file cannot have such a name.
    """
    (image,) = interpreter.get_input_details()
    outputs = interpreter.get_output_details()
    signatures = list(interpreter.get_signature_list())
    if len(signatures) == 1:
        named = interpreter.get_signature_runner(signatures[0]).get_output_details()
        if all(re.fullmatch(r"[\w.-]+", name) for name in named):
            return image, list(named.values()), list(named)
    return image, outputs, [str(number) for number in range(len(outputs))]


def timed(interpreter: Any) -> float:
    """Runs the model once and returns the time that this took, in ms."""
    begin = time.perf_counter()
    interpreter.invoke()
    return (time.perf_counter() - begin) * 1000


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Loads, runs and times the model, in the order that `Runner` describes."""
    if options.cores:
        os.sched_setaffinity(0, options.cores)
    interpreters, version = runtime()
    _, cold = loaded(interpreters, options)
    interpreter, warm = loaded(interpreters, options)

    image, outputs, names = ends(interpreter)
    first = None
    for i, path in enumerate(options.input):
        values = np.fromfile(path, dtype=image["dtype"])
        if values.size != np.prod(image["shape"]):
            raise ValueError(f"{path}: found {values.size} values, must be {image['shape']}")
        interpreter.set_tensor(image["index"], values.reshape(image["shape"]))
        if first is None:
            first = timed(interpreter)
        interpreter.invoke()
        for j, output in enumerate(outputs):
            interpreter.get_tensor(output["index"]).tofile(f"{options.out}/{i}.{names[j]}.bin")
    if first is None:
        first = timed(interpreter)

    for _ in range(options.warmup):
        interpreter.invoke()
    latencies: list[float] = []
    starts: list[float] = []
    begin = time.perf_counter()
    while options.runs and (
        len(latencies) < options.runs or time.perf_counter() - begin < options.seconds
    ):
        starts.append((time.perf_counter() - begin) * 1000)
        latencies.append(timed(interpreter))
    unknown = {"status": None, "celsius": None}
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0)))) if options.cores else None
    return {
        "golden_sqnr_db": None,
        "load_cold_ms": cold,
        "load_warm_ms": warm,
        "first_ms": first,
        "latencies_ms": latencies,
        "t_ms": starts,
        "summary": None,
        "preprocess_ms": [],
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "ran_on": ["cpu"],  # the interpreter has no other delegate than XNNPACK
        "thermal_before": unknown,
        "thermal_after": unknown,
        "versions": {"runtime": version, "python": sys.version.split()[0]},
        "conditions": {"affinity": cores} if cores else {},
    }


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cores", type=lambda text: [int(core) for core in text.split(",")])
    parser.add_argument("--warmup", type=int, default=0)
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--input", action="append", default=[])
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    try:
        samples = measure(options)
    except (OSError, ValueError, RuntimeError) as error:
        raise SystemExit(f"{options.model}: {error}") from error
    result = {"schema": 1, "job": "", "status": "ok", "error": None, "samples": samples}
    path = os.path.join(options.out, "result.json")
    with open(path + ".new", "w") as file:
        json.dump(result, file)
    os.replace(path + ".new", path)


if __name__ == "__main__":
    main()
