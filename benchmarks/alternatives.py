"""Compares this project's artifacts with the other ways to run the same network on a CPU.

    python -m benchmarks.alternatives --checkpoints DIR -o out/alternatives [--models conv-small]

DIR holds MODEL.safetensors of `tools.reference.train`. A model without a file gets random weights,
which say nothing about quality: only its times, memory and size are measured. The ways are `mnv4
build`; timm's network with the same weights through each toolchain's own path ("stock", see
`benchmarks.naive`); and through ONNX Runtime, ncnn and MNN (`benchmarks.other_runtimes`, which have
to be installed). All int8 is calibrated with the same images.

Each artifact runs in a process of its own, with the same number of threads, in turns (A B C ...
A B C ...), on the same image. A round gives the median of each artifact's runs, and ratios are
taken within a round. Memory is what the artifact and its first run add to a process that has
imported the runtime. Artifacts that are already in the output folder are not made again. Core ML
has no runtime here; `benchmarks.quantization` compares its artifacts.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from msgspec.structs import replace
from torch import Tensor

from benchmarks import naive, other_runtimes
from benchmarks.artifacts import ROUNDS, RUNS, Ratio, ratio
from benchmarks.other_runtimes import Floats, Opened
from benchmarks.quantization import cpu_seconds, drawn, unbounded
from mnv4_mobile.bundle.folder import open_bundle
from mnv4_mobile.bundle.parity import compare
from mnv4_mobile.bundle.timing import timed
from mnv4_mobile.files import size
from mnv4_mobile.images import Preprocess, normalise, pixels
from mnv4_mobile.target import load_target
from tools.reference.draw import PREPROCESS, write_folder

Record = dict[str, Any]
MODELS = "conv-small,conv-medium,hybrid-medium"
RECIPES = ("fp32", "int8")
CALIBRATED_WITH = 128
"""The number of images that calibrate int8."""


class Network(NamedTuple):
    """A network with its weights and images, at one input size."""

    model: str
    checkpoints: Path
    side: int
    out: Path
    """The folder of its artifacts."""

    @property
    def checkpoint(self) -> Path:
        """The file of its trained weights."""
        return self.checkpoints / f"{self.model}.safetensors"

    @property
    def trained(self) -> bool:
        """Whether it has trained weights."""
        return self.checkpoint.exists()

    @property
    def weights(self) -> str:
        """Its weights, as `--weights` takes them."""
        return str(self.checkpoint) if self.trained else "random:0"

    def images(self, split: str, count: int) -> list[Tensor]:
        """Returns the first normalised images of a split, (1, 3, H, W) each."""
        preprocess: Preprocess = replace(PREPROCESS, size=(self.side, self.side))
        resized = (pixels(image, preprocess) for image in drawn(split, count)[0])
        return [torch.from_numpy(normalise(image[None], preprocess)) for image in resized]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to make an artifact of a network, and to run it."""

    make: Callable[[Network, str, Path], None]
    """Writes an artifact with a recipe."""
    open: Callable[[Path, int], Opened]
    """Opens an artifact with a number of threads."""
    package: str
    """The runtime's package."""
    module: str
    """The runtime's module, which is imported before memory is counted."""
    recipes: tuple[str, ...] = RECIPES


def built(target: str, package: str, module: str) -> Way:
    """Returns our way to a target: the command, which also verifies."""

    def make(network: Network, recipe: str, out: Path) -> None:
        pictures = str(network.out / "calibration")
        command = [sys.executable, "-m", "mnv4_mobile", "build", network.model, "--no-cache"]
        command += ["--weights", network.weights, "-t", target, "-o", str(out)]
        # Quantized random weights may miss the recipe's bound.
        command += ["-r", unbounded(network.out, recipe)]
        command += ["--input-size", str(network.side), "--images", pictures]
        command += ["--crop", str(PREPROCESS.crop), "--interpolation", PREPROCESS.interpolation]
        for flag in ("mean", "std"):
            command += [f"--{flag}", ",".join(map(str, getattr(PREPROCESS, flag)))]
        if recipe == "int8":
            command += ["--calibrate", pictures]
        with (network.out / "log.txt").open("w") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log)

    def open_(folder: Path, threads: int) -> Opened:
        bundle = open_bundle(next(folder.iterdir()))
        session, image = load_target(target).open(bundle.artifact, threads), bundle.input

        def feed(values: Floats) -> Any:
            laid = values if image.layout == "nchw" else np.moveaxis(values, 1, -1)
            return {image.name: np.ascontiguousarray(laid)}

        return Opened(feed=feed, run=session, read=lambda found: found["logits"])

    return Way(make=make, open=open_, package=package, module=module)


def stock(target: str, package: str, module: str) -> Way:
    """Returns a toolchain's own way; LiteRT's int8 takes and returns integers."""

    def export(model: torch.nn.Module, images: list[Tensor], recipe: str, out: Path) -> None:
        naive.convert(model, images, target, recipe, out)

    def open_(path: Path, threads: int) -> Opened:
        session = load_target(target).open(path, threads)
        if target == "executorch":
            return Opened(
                feed=lambda image: {"image": image}, run=session, read=lambda found: found["logits"]
            )
        from ai_edge_litert.interpreter import Interpreter

        model = Interpreter(model_path=str(path))
        (first,), (last,) = model.get_input_details(), model.get_output_details()

        def feed(image: Floats) -> Any:
            if first["dtype"] != np.int8:
                return {"args_0": image}
            scale, zero = first["quantization"]
            return {"args_0": (image / scale + zero).round().clip(-128, 127).astype(np.int8)}

        def read(found: Any) -> Floats:
            (logits,) = found.values()
            scale, zero = last["quantization"] if logits.dtype == np.int8 else (1, 0)
            floats: Floats = ((logits.astype(np.float32) - zero) * scale).astype(np.float32)
            return floats

        return Opened(feed=feed, run=session, read=read)

    return exported(export, open_, package, module)


def exported(
    export: Callable[[torch.nn.Module, list[Tensor], str, Path], None],
    open_: Callable[[Path, int], Opened],
    package: str,
    module: str,
    recipes: tuple[str, ...] = RECIPES,
) -> Way:
    """Returns the way of timm's network through an export of another project."""

    def make(network: Network, recipe: str, out: Path) -> None:
        images = network.images("calibration", CALIBRATED_WITH if recipe == "int8" else 1)
        export(naive.network(network.model, network.weights), images, recipe, out)

    return Way(make=make, open=open_, package=package, module=module, recipes=recipes)


_EXECUTORCH = ("executorch", "executorch", "executorch.runtime")
_LITERT = ("tflite", "ai-edge-litert", "ai_edge_litert.interpreter")
WAYS = {
    "LiteRT": built(*_LITERT),
    "ExecuTorch": built(*_EXECUTORCH),
    "LiteRT, stock": stock(*_LITERT),
    "ExecuTorch, stock": stock(*_EXECUTORCH),
    "ONNX Runtime": exported(
        other_runtimes.onnx, other_runtimes.open_onnx, "onnxruntime", "onnxruntime"
    ),
    "ncnn": exported(other_runtimes.ncnn, other_runtimes.open_ncnn, "ncnn", "ncnn", ("fp32",)),
    "MNN": exported(other_runtimes.mnn, other_runtimes.open_mnn, "MNN", "MNN"),
}
"""The first one is what ratios are relative to."""


class Process:
    """A process that opens one artifact."""

    def __init__(self, way: str, path: Path, threads: int, image: Floats) -> None:
        # A fresh interpreter, because runtimes cannot share one.
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        self.opening: Record = self._pool.submit(_open, way, path, threads, image).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def latency_ms(self) -> float:
        """Returns the median of some runs."""
        return median(self._pool.submit(_times).result())

    def logits(self, images: list[Floats]) -> npt.NDArray[np.float32]:
        """Returns the logits of images, (N, classes)."""
        found: npt.NDArray[np.float32] = self._pool.submit(_logits, images).result()
        return found


_opened: Opened
_fed: Any


def _open(way: str, path: Path, threads: int, image: Floats) -> Record:
    """Opens an artifact in this process, runs it once, and returns what that took."""
    global _opened, _fed
    importlib.import_module(WAYS[way].module)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
    before = _memory("VmRSS")
    begin = time.perf_counter()
    _opened = WAYS[way].open(path, threads)
    loaded = time.perf_counter()
    _fed = _opened.feed(image)
    fed = time.perf_counter()
    _opened.run(_fed)
    return {
        "load_ms": 1e3 * (loaded - begin),
        "first_ms": 1e3 * (time.perf_counter() - fed),
        "memory_mb": _memory("VmHWM") - before,
    }


def _memory(name: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) / 1024


def _times() -> tuple[float, ...]:
    return timed(lambda: _opened.run(_fed), warmup=1, runs=RUNS).latencies_ms


def _logits(images: list[Floats]) -> npt.NDArray[np.float32]:
    return np.concatenate([_opened.read(_opened.run(_opened.feed(image))) for image in images])


def artifact(network: Network, way: str, recipe: str) -> tuple[Path, float]:
    """Makes an artifact if it is missing; returns its path and the CPU seconds that it took."""
    path = network.out / f"{way.replace(', ', '-').replace(' ', '-').lower()}-{recipe}"
    record = path.with_suffix(".json")
    if not record.exists():
        begin = cpu_seconds()
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            pool.submit(_make, network, way, recipe, path).result()
        record.write_text(json.dumps({"cpu_s": cpu_seconds() - begin}))
    return path, json.loads(record.read_text())["cpu_s"]


def _make(network: Network, way: str, recipe: str, path: Path) -> None:
    WAYS[way].make(network, recipe, path)


def judge(network: Network, pictures: int, threads: int) -> list[Record]:
    """Makes and measures every artifact of a network."""
    cells = [(way, recipe) for way in WAYS for recipe in WAYS[way].recipes]
    made = {cell: artifact(network, *cell) for cell in cells}
    images = network.images("evaluation", pictures if network.trained else 1)
    net = naive.network(network.model, network.weights)
    expected = torch.cat([net(image) for image in images]).numpy()
    fed = [image.numpy() for image in images]
    records = []
    with ExitStack() as stack:
        running = {
            cell: stack.enter_context(Process(cell[0], path, threads, fed[0]))
            for cell, (path, _) in made.items()
        }
        rounds: dict[tuple[str, str], list[float]] = {cell: [] for cell in cells}
        for _ in range(ROUNDS):
            for cell, process in running.items():
                rounds[cell].append(process.latency_ms())
        for cell in cells:
            way, recipe = cell
            found = compare(expected, running[cell].logits(fed), classes=True, gate_db=0)
            quality = [found.sqnr_db, found.sqnr_db_p10, found.top1_agreement]
            path, cpu_s = made[cell]
            records.append(
                {
                    "model": network.model,
                    "way": way,
                    "recipe": recipe,
                    "threads": threads,
                    "ms": median(rounds[cell]),
                    "ratio": ratio(rounds[cell], rounds[next(iter(WAYS)), recipe])._asdict(),
                    **running[cell].opening,
                    "bytes": size(artifact_file(path)),
                    "quality": quality if network.trained else None,
                    "cpu_s": cpu_s,
                }
            )
    return records


def artifact_file(path: Path) -> Path:
    """Returns what an app ships of an artifact: of a bundle, only the program."""
    bundles = list(path.glob("*/manifest.json")) if path.is_dir() else []
    return open_bundle(bundles[0].parent).artifact if bundles else path


def ratios(records: list[Record]) -> str:
    """Returns the table of latencies in Markdown, with one line for each way and recipe."""
    columns = list(dict.fromkeys((one["model"], one["threads"]) for one in records))
    heads = ["way", "recipe", *(f"{model}, threads: {threads}" for model, threads in columns)]
    rows = [heads, ["---"] * len(heads)]
    found = {
        (one["way"], one["recipe"], one["model"], one["threads"]): Ratio(**one["ratio"])
        for one in records
    }
    for way in WAYS:
        for recipe in WAYS[way].recipes:
            rows.append(
                [way, recipe, *(str(found.get((way, recipe, *one), "")) for one in columns)]
            )
    return _markdown(rows)


def table(records: list[Record]) -> str:
    """Returns the table of everything else in Markdown, with one line for each artifact."""
    heads = ["network", "way", "recipe", "ms", "load ms", "first ms", "memory MB", "file MB"]
    heads += ["dB, median / p10", "agreement", "build CPU s"]
    rows = [heads, ["---"] * len(heads)]
    for one in records:
        cells = [one["model"], one["way"], one["recipe"], f"{one['ms']:.2f}"]
        cells += [f"{one['load_ms']:.0f}", f"{one['first_ms']:.1f}", f"{one['memory_mb']:.0f}"]
        cells += [f"{one['bytes'] / 1e6:.2f}"]
        quality = one["quality"]
        cells += (
            [f"{quality[0]:.1f} / {quality[1]:.1f}", f"{quality[2]:.1%}"] if quality else ["", ""]
        )
        rows.append([*cells, f"{one['cpu_s']:.0f}"])
    return _markdown(rows)


def _markdown(rows: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def draw(records: list[Record], path: Path) -> None:
    """Draws the ratios of latencies, with their quartiles: one panel for each recipe."""
    import matplotlib.pyplot as plt

    models = list(dict.fromkeys(record["model"] for record in records))
    figure, axes = plt.subplots(1, len(RECIPES), figsize=(12, 4), sharey=True)
    for axis, recipe in zip(axes, RECIPES, strict=True):
        for index, model in enumerate(models):
            chosen = [r for r in records if (r["model"], r["recipe"]) == (model, recipe)]
            at = np.array([list(WAYS).index(r["way"]) for r in chosen])
            ratios = np.array([tuple(r["ratio"].values()) for r in chosen])
            spread = [ratios[:, 1] - ratios[:, 0], ratios[:, 2] - ratios[:, 1]]
            place = at + (index - (len(models) - 1) / 2) * 0.25
            axis.bar(place, ratios[:, 1], 0.23, yerr=spread, capsize=2, label=model)
        axis.axhline(1, color="grey", linewidth=0.8)
        axis.set_xticks(range(len(WAYS)), list(WAYS), rotation=30, ha="right")
        axis.set_title(recipe)
    axes[0].set_ylabel(f"latency / {next(iter(WAYS))}, lower is faster")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Makes and measures the artifacts; writes the records, the tables and the chart.

    The second table and the chart are those of the first number of threads.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkpoints", type=Path, default=Path("tests/data"))
    parser.add_argument("-o", "--out", type=Path, default=Path("out/alternatives"))
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--size", type=int, default=224, help="side of the input")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--pictures", type=int, default=192, help="number of evaluation images")
    options = parser.parse_args()
    records: list[Record] = []
    for model in options.models.split(","):
        network = Network(model, options.checkpoints, options.size, options.out / model)
        network.out.mkdir(parents=True, exist_ok=True)
        if not (network.out / "calibration").exists():
            write_folder("calibration", CALIBRATED_WITH, network.out / "calibration")
        for threads in options.threads.split(","):
            records += judge(network, options.pictures, int(threads))
            document = {
                "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
                "versions": {way.package: version(way.package) for way in WAYS.values()},
                "size": options.size,
                "records": records,
            }
            (options.out / "alternatives.json").write_text(json.dumps(document, indent=1) + "\n")
            one = [record for record in records if record["threads"] == records[0]["threads"]]
            tables = f"{ratios(records)}\n{table(one)}"
            (options.out / "alternatives.md").write_text(tables)
            draw(one, options.out / "alternatives.png")
    print(tables, end="")


if __name__ == "__main__":
    main()
