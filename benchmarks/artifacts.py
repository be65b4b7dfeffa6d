"""Compares artifacts: ours against timm's network exported as it is.

    python -m benchmarks.artifacts -o out/artifacts [--models conv-small,...] [--threads 1,2]

For every variant and runtime, each artifact runs in a process of its own, with the same number of
threads, in turns (A B C ... A B C ...), on the same image. A round gives the median of each
artifact's runs; figures are medians over the rounds. Ratios are taken within a round, and reported
with their quartiles. int8 is calibrated with few images, which does not change the latency. The
share of convolutions in our fp32 is that of `mnv4 profile`; beside it is the ratio to naive fp32 if
everything else took no time.

For Core ML, which runs only on macOS, the programs are compared: operators, constants, lint.
Naive artifacts that are already in the folder are reused.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from benchmarks import naive
from benchmarks.roofline import peak_gflops
from mnv4_mobile.bundle.folder import Bundle, open_bundle
from mnv4_mobile.bundle.worker import Worker
from mnv4_mobile.configs import find_config
from mnv4_mobile.images import Preprocess, normalise, random_images
from mnv4_mobile.measuring.profile import profile_bundle
from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.target import load_target
from mnv4_mobile.tensors import Tensors, feed

MODELS = ("conv-small", "conv-medium", "conv-large", "hybrid-medium", "hybrid-large")
TARGETS = ("executorch", "tflite")
ROUNDS, RUNS = 15, 5
"""The number of rounds, and of each artifact's runs per round."""


class Entry(NamedTuple):
    """An artifact to run."""

    path: Path
    inputs: Tensors


class Ratio(NamedTuple):
    """The ratio of two artifacts' latencies: its quartiles over the rounds."""

    low: float
    middle: float
    high: float

    def __str__(self) -> str:
        """Returns the median, with the other quartiles in parentheses."""
        return f"{self.middle:.2f} ({self.low:.2f} to {self.high:.2f})"


def build(models: Sequence[str], out: Path) -> None:
    """Builds our bundles with the command, and the naive artifacts that are missing."""
    command = [sys.executable, "-m", "mnv4_mobile", "build", *models]
    command += ["--weights", "random:0", "--no-verify", "--force", "-o", str(out)]
    int8 = out / "int8.yaml"
    text = find_config("recipes", "int8").read_text()
    int8.write_text(re.sub(r"images: \d+", f"images: {naive.IMAGES}", text))
    for rest in (
        ["-t", ",".join(TARGETS), "-r", f"fp32,{int8}", "--calibrate", "random"],
        ["-t", ",".join(TARGETS), "-r", "fp32", "--input", "pixels"],
        ["-t", "coreml", "-r", "fp16"],
    ):
        subprocess.run([*command, *rest], check=True, stdout=subprocess.DEVNULL)
    todo = [(m, t, r) for m in models for t in TARGETS for r in ("fp32", "int8")]
    for model, target, recipe in [*todo, *((m, "coreml", "fp16") for m in models)]:
        path = naive.artifact(out, model, target, recipe)
        if not path.exists():
            print(f"naive export: {path.name}", file=sys.stderr)
            arguments = [model, target, recipe, "-o", str(out)]
            with (out / "naive.log").open("a") as log:
                subprocess.run(
                    [sys.executable, "-m", "benchmarks.naive", *arguments],
                    check=True,
                    stdout=log,
                    stderr=log,
                )


def ours(folder: Path, model: str, target: str, recipe: str) -> Bundle:
    """Returns one of the bundles that `build` made."""
    height, width = load_model(model).input_size
    return open_bundle(folder / f"{model}-{height}x{width}-{recipe}-{target}")


def entries(out: Path, model: str, target: str) -> dict[str, Entry]:
    """Returns the artifacts of a variant and a runtime, with the same image for each."""
    preprocess = Preprocess(size=load_model(model).input_size)
    picture = random_images(preprocess, 1, seed=0)
    found = {}
    for name, folder, recipe in (
        ("fp32", out, "fp32"),
        ("int8", out, "int8"),
        ("pixels", out, "fp32-pixels"),
    ):
        bundle = ours(folder, model, target, recipe)
        found[name] = Entry(bundle.artifact, feed(bundle.input, picture, preprocess))
    name = "image" if target == "executorch" else "args_0"
    for recipe in ("fp32", "int8"):
        inputs = {name: normalise(picture, preprocess)}
        if (target, recipe) == ("tflite", "int8"):  # takes integers; which ones costs no time
            inputs = {name: (32 * inputs[name]).clip(-128, 127).astype(np.int8)}
        found[f"naive {recipe}"] = Entry(naive.artifact(out, model, target, recipe), inputs)
    return found


def measure(target: str, artifacts: dict[str, Entry], threads: int) -> dict[str, list[float]]:
    """Returns the median run in ms of every round, by artifact."""
    found: dict[str, list[float]] = {name: [] for name in artifacts}
    with contextlib.ExitStack() as stack:
        workers = {
            name: stack.enter_context(Worker(target, entry.path, threads=threads))
            for name, entry in artifacts.items()
        }
        for _ in range(ROUNDS):
            for name, worker in workers.items():
                found[name].append(
                    median(worker.time(artifacts[name].inputs, runs=RUNS).latencies_ms)
                )
    return found


def ratio(ours: Sequence[float], other: Sequence[float]) -> Ratio:
    """Returns the ratio of latencies of the same rounds."""
    ratios = [a / b for a, b in zip(ours, other, strict=True)]
    return Ratio(*np.percentile(ratios, (25, 50, 75)).tolist())


def convolutions_share(out: Path, model: str, target: str, threads: int) -> float:
    """Returns the share of convolutions in the time of our fp32, from 0 to 1."""
    found = profile_bundle(ours(out, model, target, "fp32"), threads=threads)
    return found.convolutions_ms / found.total.ms


def normalise_ms(model: str) -> float:
    """Returns the ms of numpy's normalisation, which apps do for artifacts that take floats."""
    preprocess = Preprocess(size=load_model(model).input_size)
    picture = random_images(preprocess, 1, seed=0)
    times = []
    for _ in range(5 * RUNS):
        begin = time.perf_counter()
        normalise(picture, preprocess)
        times.append(1e3 * (time.perf_counter() - begin))
    return min(times)


def run(models: Sequence[str], threads: Sequence[int], out: Path) -> list[dict[str, Any]]:
    """Measures all cells, prints each as a line of the table, and returns their records."""
    print(
        "| model | runtime | threads | fp32 ms | / naive fp32 | int8 ms | / naive int8 | / our "
        "fp32 | pixels / (normalise + naive fp32) | GFLOP/s, share of the peak | convolutions, "
        "they alone / naive fp32 |\n|" + " --- |" * 11,
        flush=True,
    )
    records = []
    peaks = {count: peak_gflops(count) for count in threads}
    for model in models:
        operations = 2 * sum(row.cost.macs for row in load_model(model).table())
        outside = normalise_ms(model)
        for target in TARGETS:
            artifacts = entries(out, model, target)
            for count in threads:
                ms = measure(target, artifacts, count)
                floats = [outside + value for value in ms["naive fp32"]]
                gflops = operations / median(ms["fp32"]) / 1e6
                fp32 = ratio(ms["fp32"], ms["naive fp32"])
                convolutions = convolutions_share(out, model, target, count)
                record = {
                    "model": model,
                    "target": target,
                    "threads": count,
                    "ms": ms,
                    "normalise_ms": outside,
                    "fp32": fp32,
                    "int8": ratio(ms["int8"], ms["naive int8"]),
                    "int8_of_fp32": ratio(ms["int8"], ms["fp32"]),
                    "pixels": ratio(ms["pixels"], floats),
                    "gflops": gflops,
                    "peak_share": gflops / peaks[count],
                    "convolutions": convolutions,
                }
                records.append(record)
                print(
                    f"| {model} | {target} | {count} | {median(ms['fp32']):.2f} | "
                    f"{fp32} | {median(ms['int8']):.2f} | {record['int8']} | "
                    f"{record['int8_of_fp32']} | {record['pixels']} | {gflops:.0f}, "
                    f"{record['peak_share']:.0%} | {convolutions:.0%}, "
                    f"{convolutions * fp32.middle:.2f} |",
                    flush=True,
                )
    return records


def compare_coreml(models: Sequence[str], out: Path) -> list[dict[str, Any]]:
    """Compares Core ML programs: operators by type, the constants' size, findings of the lint."""
    target = load_target("coreml")
    print("\n| model | program | MB | operators | findings of the lint |\n|" + " --- |" * 5)
    records = []
    for model in models:
        bundle = ours(out, model, "coreml", "fp16")
        for name, path in (
            ("ours", bundle.artifact),
            ("naive", naive.artifact(out, model, "coreml", "fp16")),
        ):
            operators = target.operators(path)
            weights = sum(file.stat().st_size for file in path.rglob("*.bin"))
            findings = target.lint(path, bundle.convolutions)
            records.append(
                {
                    "model": model,
                    "program": name,
                    "bytes": weights,
                    "operators": operators,
                    "findings": [dataclasses.asdict(finding) for finding in findings],
                }
            )
            text = ", ".join(f"{count} {kind}" for kind, count in sorted(operators.items()))
            print(f"| {model} | {name} | {weights / 1e6:.1f} | {text} | {len(findings)} |")
    return records


def draw(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Draws the ratios: one bar per variant, with its spread, one panel per runtime and ratio."""
    import matplotlib.pyplot as plt

    kinds = {
        "fp32": "fp32 / naive fp32",
        "int8": "int8 / naive int8",
        "int8_of_fp32": "int8 / fp32",
    }
    figure, axes = plt.subplots(len(TARGETS), len(kinds), figsize=(12, 6), sharey=True)
    models = list(dict.fromkeys(record["model"] for record in records))
    counts = sorted({record["threads"] for record in records})
    for row, target in zip(axes, TARGETS, strict=True):
        for axis, (kind, title) in zip(row, kinds.items(), strict=True):
            for index, count in enumerate(counts):
                chosen = [r for r in records if r["target"] == target and r["threads"] == count]
                middle = np.array([r[kind].middle for r in chosen])
                low = middle - [r[kind].low for r in chosen]
                high = [r[kind].high for r in chosen] - middle
                at = np.arange(len(models)) + (index - (len(counts) - 1) / 2) * 0.35
                label = f"{count} thread{'s' if count > 1 else ''}"
                axis.bar(at, middle, 0.33, yerr=[low, high], capsize=2, label=label)
            axis.axhline(1, color="grey", linewidth=0.8)
            axis.set_title(f"{target}: {title}", fontsize=10)
            axis.set_xticks(range(len(models)), models, rotation=30, ha="right", fontsize=8)
    axes[0][0].legend(fontsize=8)
    figure.supylabel("latency, lower is faster")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Builds, measures, prints tables, writes artifacts.json and artifacts.png."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("out/artifacts"))
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--threads", default="1,2")
    arguments = parser.parse_args()
    models, out = arguments.models.split(","), arguments.out
    out.mkdir(parents=True, exist_ok=True)
    build(models, out)
    records = run(models, [int(count) for count in arguments.threads.split(",")], out)
    document = {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "latency": [
            {k: v._asdict() if isinstance(v, Ratio) else v for k, v in record.items()}
            for record in records
        ],
        "coreml": compare_coreml(models, out),
    }
    (out / "artifacts.json").write_text(json.dumps(document, indent=1) + "\n")
    draw(records, out / "artifacts.png")


if __name__ == "__main__":
    main()
