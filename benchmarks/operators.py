"""Compares runtimes by kind of operator: where one of them is faster than another.

    python -m benchmarks.operators -o out/alternatives [--models conv-small] [--threads 1]

The artifacts are the float32 ones that `benchmarks.alternatives` left in the output folder. Each is
profiled in a process of its own, in turns, with LiteRT's and ExecuTorch's profilers (as `mnv4
profile`) and ONNX Runtime's. An operator's time is its shortest, so that times are comparable on a
machine with other work. The last line is the fastest run without a profiler, which costs ONNX
Runtime most. Speeds count two operations for each multiplication of a weight.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.alternatives import MODELS
from benchmarks.other_runtimes import open_onnx
from benchmarks.roofline import peak_gflops
from mnv4_mobile.bundle.folder import Bundle, open_bundle
from mnv4_mobile.bundle.timing import WARM_UP, timed
from mnv4_mobile.bundle.worker import Worker
from mnv4_mobile.layers import is_convolution
from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.tensors import feed

ROUNDS, RUNS = 7, 30
"""The number of rounds, and of each artifact's runs per round."""
OURS = {"LiteRT": "litert-fp32", "ExecuTorch": "executorch-fp32"}
THEIRS = "ONNX Runtime"
OTHER = "other"
RUN = "a run without the profiler"


class Operator(NamedTuple):
    """An operator of a program, or `RUN`, with its shortest time."""

    kind: str
    ms: float


def kind(weight: Sequence[int], side: int) -> str:
    """Returns how the tables call a convolution.

    Args:
        weight: The weight's shape, (out, in / groups, height, width).
        side: The side of the map that it writes.
    """
    if side == 1:
        return "1 x 1 after pooling"
    _, channels, size, _ = weight
    if size == 1:
        return "1 x 1"
    square = f"{size} x {size}"
    if channels == 1:
        return f"{square} depthwise"
    return f"{square}, {'stem' if channels == 3 else 'dense'}"


def convolutions(bundle: Bundle) -> dict[str, tuple[str, int]]:
    """Returns the kind of each convolution, and its multiplications, by its layer's name."""
    (logits,) = bundle.outputs
    spec = load_model(bundle.manifest.model.name).with_head(logits.shape[1])
    found: dict[str, tuple[str, int]] = {}

    def watch(name: str) -> Any:
        def note(module: nn.Module, _: Any, out: Tensor) -> None:
            weight = module.weight
            assert isinstance(weight, Tensor)
            pixels = out.shape[2] * out.shape[3]
            found[name] = kind(weight.shape, out.shape[-1]), weight.numel() * pixels

        return note

    net = MobileNetV4(spec).eval()
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(watch(name))
    with torch.no_grad():
        net(torch.zeros(1, 3, *bundle.preprocess.size))
    return found


def ours(bundle: Bundle, worker: Worker) -> list[Operator]:
    """Profiles a bundle in its worker."""
    pixels = bundle.golden("input")["pixels"][: bundle.input.shape[0]]
    inputs = feed(bundle.input, pixels, bundle.preprocess)
    known = convolutions(bundle)
    found = [
        Operator(known[one.layer][0] if is_convolution(one.kind) else OTHER, one.ms)
        for one in worker.profile(inputs, bundle.convolutions, RUNS)
    ]
    return [*found, Operator(RUN, min(worker.time(inputs, runs=RUNS).latencies_ms))]


def theirs(path: Path, side: int, threads: int) -> list[Operator]:
    """Profiles an ONNX model in ONNX Runtime."""
    import onnxruntime

    image = np.random.default_rng(0).standard_normal((1, 3, side, side)).astype(np.float32)
    opened = open_onnx(path, threads)
    run = Operator(RUN, min(timed(lambda: opened.run({"image": image}), runs=RUNS).latencies_ms))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_profiling = True
    with TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        for _ in range(WARM_UP + RUNS):
            session.run(None, {"image": image})
        events = json.loads(Path(session.end_profiling()).read_text())
    found: dict[str, Operator] = {}
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            ms = event["dur"] / 1e3
            if event["name"] in found:
                ms = min(ms, found[event["name"]].ms)
            found[event["name"]] = Operator(_node(event["args"]), ms)
    return [*found.values(), run]


def _node(arguments: Mapping[str, Any]) -> str:
    """Returns the kind of an operator of ONNX Runtime's profile."""
    if arguments["op_name"] == "Gemm":  # its packed weight is not among the inputs
        return kind((), 1)
    if arguments["op_name"] != "Conv":
        return OTHER
    weight, output = (
        next(iter(arguments[f"{end}_type_shape"][index].values()))
        for end, index in (("input", 1), ("output", 0))
    )
    return kind(weight, output[3])


def shortest(rounds: Sequence[Sequence[Operator]]) -> list[Operator]:
    """Returns a program's operators, each with the shortest time of all rounds."""
    return [min(same, key=lambda one: one.ms) for same in zip(*rounds, strict=True)]


def table(programs: Mapping[str, Sequence[Operator]], macs: Mapping[str, int], peak: float) -> str:
    """Returns the table in Markdown, with one line for each kind of operator.

    Args:
        programs: The operators of each runtime's program.
        macs: The multiplications of each kind of convolution.
        peak: What the shares in parentheses are relative to, in GFLOP/s.
    """
    heads = ["operators", "MMAC", *(f"{name} ms" for name in programs)]
    heads += [f"{name} GFLOP/s" for name in programs]
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    everything = [*macs, OTHER]
    rows_of = {**{kind: [kind] for kind in everything}, "all": everything, RUN: [RUN]}
    for name, kinds in rows_of.items():
        count = sum(macs.get(kind, 0) for kind in kinds)
        times = [
            sum(one.ms for one in operators if one.kind in kinds) for operators in programs.values()
        ]
        speeds = [2 * count / ms / 1e6 for ms in times] if count else []
        row = [name, f"{count / 1e6:.0f}" if count else "", *(f"{ms:.2f}" for ms in times)]
        row += [f"{speed:.0f} ({speed / peak:.0%})" for speed in speeds] or [""] * len(times)
        rows.append(row)
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def compared(folder: Path, threads: int, peak: float) -> str:
    """Profiles the artifacts of a network, in turns, and returns the table."""
    bundles = {way: open_bundle(next((folder / name).iterdir())) for way, name in OURS.items()}
    some = next(iter(bundles.values()))
    macs: dict[str, int] = {}
    for name, count in convolutions(some).values():
        macs[name] = macs.get(name, 0) + count
    rounds: dict[str, list[list[Operator]]] = {way: [] for way in [*OURS, THEIRS]}
    for _ in range(ROUNDS):
        for way, bundle in bundles.items():
            with Worker(bundle.manifest.target, bundle.artifact, threads=threads) as worker:
                rounds[way].append(ours(bundle, worker))
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            onnx = folder / "onnx-runtime-fp32"
            found = pool.submit(theirs, onnx, some.preprocess.size[0], threads).result()
            rounds[THEIRS].append(found)
    return table({way: shortest(runs) for way, runs in rounds.items()}, macs, peak)


def main() -> None:
    """Profiles the artifacts; prints and writes a table for each network."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("out/alternatives"))
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    peak = peak_gflops(options.threads)
    text = f"XNNPACK's peak: {peak:.0f} GFLOP/s\n"
    for model in options.models.split(","):
        text += f"\n{model}:\n\n{compared(options.out / model, options.threads, peak)}"
        (options.out / "operators.md").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
