"""Measures Core AI artifacts: alone, beside Core ML's, and beside Apple's own ways to make them.

    python -m benchmarks.coreai --checkpoints DIR -o out/coreai [--parts structure,trained,...]

DIR holds MODEL.safetensors of `tools.reference.train` for every trained network, which is a shipped
configuration or DIR/MODEL.yaml. The parts:

- `structure`: every variant in fp32 and fp16, with random weights (`random:0`) at its own size;
- `trained`: the trained networks with every recipe, against the float PyTorch model, on evaluation
  images that calibration has not seen;
- `interpreter`: the same network and recipe as a Core ML program in our interpreter and as a Core
  AI asset in Apple's runtime, against the float model and against each other;
- `rounding`: the same int8 network, without preparation, executed four times: by both of these, and
  by torch in float32 and in float16, each pair compared;
- `naive`: timm's network, converted by `TorchConverter` as it is;
- `stock`: what coreai-opt makes of the trained networks. It is no dependency of this project: to
  measure it, install it beside (`pip install -c constraints.txt coreai-opt`).

On Linux, Apple's runtime computes on the CPU: there are no latencies here, and build seconds are
those of a machine that may do other work too. Cells in the output folder are not made again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch.export import ExportedProgram

from benchmarks import float_matrix, naive, quantization
from benchmarks.quantization import Pictures, Place, Values
from mnv4_coreai.rewrite import in_float16
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.bundle.parity import compare
from mnv4_mobile.bundle.worker import Worker
from mnv4_mobile.configs import shipped
from mnv4_mobile.files import size
from mnv4_mobile.images import normalise
from mnv4_mobile.program.export import export
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.target import completed, load_target
from mnv4_mobile.tensors import feed
from tools.reference.draw import PREPROCESS, write_folder

Record = dict[str, Any]
TARGET = "coreai"
FLOATS = ("fp32", "fp16")
RECIPES = (
    *FLOATS,
    *("int8", "int8-weights", "palettize-8", "palettize-6", "palettize-4", "int4-weights"),
)
BOTH = ("fp32", "fp16", "int8", "palettize-4")
"""The recipes whose artifacts are compared with Core ML's."""
EXECUTIONS = ("coreml", "torch float32", "torch float16", TARGET)
ROUNDED_WITH = 64
"""The number of calibration images of the part `rounding`."""
NAIVE = ("conv-small", "hybrid-medium")


def structure(place: Place, model: str, recipe: str) -> Record:
    """Builds a variant with random weights."""
    found = float_matrix.build_cell(model, TARGET, recipe, place.out)
    if "error" in found:
        raise SystemExit(f"{model}, {recipe}: {found['error']}")
    return {**found, "build_s": found["wall_s"], "n": 4}


def trained(place: Place, model: str, recipe: str) -> Record:
    """Builds a trained network with a recipe, ours or one of coreai-opt, and compares it."""
    found = quantization.judge(place, model, TARGET, recipe)
    artifact = place.artifact(model, TARGET, recipe)
    return {**found, "operators": load_target(TARGET).operators(artifact)}


def interpreter(place: Place, model: str, recipe: str) -> Record:
    """Compares the outputs of Core ML's program and Core AI's asset, and both with the float's."""
    images, _ = quantization.drawn("evaluation", place.pictures)
    pixels = images.permute(0, 2, 3, 1).numpy()
    outputs = {"float": quantization.expected(place, model, pixels)}
    for target in ("coreml", TARGET):
        quantization.build(place, model, target, recipe)
        outputs[target] = quantization.run(place, model, target, recipe, pixels)
    pairs = {"coreml": ("float", "coreml"), TARGET: ("float", TARGET), "both": ("coreml", TARGET)}
    record: Record = {"model": model, "recipe": recipe, "n": len(pixels)}
    for name, (one, other) in pairs.items():
        parity = compare(outputs[one], outputs[other], classes=True, gate_db=0)
        for key in ("sqnr_db", "sqnr_db_p10", "top1_agreement"):
            record[f"{name}_{key}"] = getattr(parity, key)
    return record


def rounding(place: Place, model: str, recipe: str) -> Record:
    """Compares four executions of a quantized network."""
    outputs: dict[str, Values] = {}
    for target in ("coreml", TARGET):
        # In processes of their own, because toolchains cannot share one.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            outputs |= pool.submit(executed, place, model, target, recipe).result()
    pairs = {
        f"{one}, {other}": compare(outputs[one], outputs[other], classes=True, gate_db=0)
        for one, other in combinations(outputs, 2)
    }
    return {
        "model": model,
        "recipe": recipe,
        "n": place.pictures,
        "pairs": {name: [pair.sqnr_db, pair.top1_agreement] for name, pair in pairs.items()},
    }


def executed(place: Place, model: str, target: str, recipe: str) -> dict[str, Values]:
    """Lowers a network as it is, and returns the logits of the artifact; for Core AI, torch's too.

    What torch executes is the program that is converted, before and after it becomes float16.
    """
    loaded, chosen = load_target(target), load_recipe(recipe)
    net = place.net(model)
    spec = BuildSpec(model=net.spec, preprocess=PREPROCESS)
    seen, shown = (
        quantization.drawn(split, count)[0].permute(0, 2, 3, 1).numpy()
        for split, count in (("calibration", ROUNDED_WITH), ("evaluation", place.pictures))
    )
    outputs: dict[str, Values] = {}

    def halve(program: ExportedProgram) -> None:
        outputs["torch float32"] = _run(program, shown, torch.float32)
        in_float16(program)
        outputs["torch float16"] = _run(program, shown, torch.float16)

    with TemporaryDirectory() as folder, patch("mnv4_coreai.lower.in_float16", halve):
        lowered = loaded.lower(
            export(net, spec, "nchw"),
            completed(spec, loaded, chosen),
            chosen,
            seen,
            Path(folder) / f"artifact{loaded.suffix}",
        )
        with Worker(target, lowered.path) as worker:
            fed = (feed(lowered.input, image[None], PREPROCESS) for image in shown)
            found = [next(iter(worker.run(inputs).values())) for inputs in fed]
    return {**outputs, target: np.concatenate(found).astype(np.float32)}


def _run(program: ExportedProgram, images: Pictures, dtype: torch.dtype) -> Values:
    module = program.module(check_guards=False)
    with torch.inference_mode():
        fed = (torch.from_numpy(normalise(image[None], PREPROCESS)) for image in images)
        found = [module(image.half().to(dtype))["logits"].float() for image in fed]
    return torch.cat(found).numpy()


def converted(place: Place, model: str, recipe: str) -> Record:
    """Converts timm's network as it is."""
    path = naive.artifact(place.out, model, TARGET, recipe)
    if not path.exists():
        naive.lower(model, TARGET, recipe, path)
    operators = load_target(TARGET).operators(path)
    return {"model": model, "recipe": recipe, "bytes": size(path), "operators": operators}


def counts(operators: Mapping[str, int]) -> str:
    """Returns the number of operators and how many of them are transposes: `73 / 0`."""
    return f"{sum(operators.values())} / {operators.get('transpose', 0)}"


def fidelity(record: Mapping[str, Any], prefix: str = "") -> str:
    """Returns the cells of a table: dB (median / 10th percentile) and agreement."""
    low, middle = record[f"{prefix}sqnr_db_p10"], record[f"{prefix}sqnr_db"]
    return f"{middle:.1f} / {low:.1f} | {record[f'{prefix}top1_agreement']:.1%}"


def line(record: Mapping[str, Any]) -> str:
    """Returns a record as a line of its part's table."""
    cells = [record["model"], record["recipe"]]
    if "pairs" in record:
        cells += [f"{db:.1f} | {agreement:.1%}" for db, agreement in record["pairs"].values()]
        cells.append(str(record["n"]))
    elif "both_sqnr_db" in record:
        cells += [fidelity(record, f"{name}_") for name in ("coreml", TARGET, "both")]
        cells.append(str(record["n"]))
    else:
        if "sqnr_db" in record:
            cells += [fidelity(record), str(record["n"])]
        cells += [f"{record['bytes'] / 1e6:.2f}", counts(record["operators"])]
        if "build_s" in record:
            cells.append(f"{record['build_s']:.0f}")
    return f"| {' | '.join(cells)} |"


_DB = "dB, median / p10 | agreement"
_BUILT = ["network", "recipe", _DB, "images", "MB", "operators / transposes", "build s"]
HEADS = {
    "structure": _BUILT,
    "trained": _BUILT,
    "interpreter": [
        *("network", "recipe", f"Core ML to float: {_DB}", f"Core AI to float: {_DB}"),
        *(f"to each other: {_DB}", "images"),
    ],
    "rounding": [
        *("network", "recipe"),
        *(f"{one}, {other}: dB | agreement" for one, other in combinations(EXECUTIONS, 2)),
        "images",
    ],
    "naive": ["network", "recipe", "MB", "operators / transposes"],
    "stock": _BUILT,
}
MAKE: dict[str, Callable[[Place, str, str], Record]] = {
    "structure": structure,
    "trained": trained,
    "interpreter": interpreter,
    "rounding": rounding,
    "naive": converted,
    "stock": trained,
}


def kept(place: Place, part: str, model: str, recipe: str) -> Record:
    """Returns a cell's record, making it only once."""
    path = place.out / "cells" / f"{part}-{model}-{recipe}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(MAKE[part](place, model, recipe)) + "\n")
    found: Record = json.loads(path.read_text())
    return found


def cells(part: str, models: list[str]) -> list[tuple[str, str]]:
    """Returns the networks and recipes of a part; `models` are those with a checkpoint."""
    chosen, recipes = {
        "structure": (list(shipped("models")), FLOATS),
        "trained": (models, RECIPES),
        "interpreter": (models, BOTH),
        "rounding": (models, ("int8",)),
        "naive": (list(NAIVE), FLOATS),
        "stock": (models, tuple(quantization.STOCK)),
    }[part]
    return [(model, recipe) for model in chosen for recipe in recipes]


def main() -> None:
    """Makes the cells of the chosen parts; prints their tables and writes one file for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkpoints", type=Path, default=Path("tests/data"))
    parser.add_argument("-o", "--out", type=Path, default=Path("out/coreai"))
    parser.add_argument("--parts", default=",".join(MAKE), help="default: %(default)s")
    parser.add_argument("--pictures", type=int, default=192, help="number of evaluation images")
    options = parser.parse_args()
    place = Place(options.checkpoints, options.out, options.pictures, options.pictures)
    if not (place.out / "calibration").exists():
        write_folder("calibration", quantization.CALIBRATION, place.out / "calibration")
    models = sorted(path.stem for path in options.checkpoints.glob("*.safetensors"))
    for part in options.parts.split(","):
        lines = [f"| {' | '.join(HEADS[part])} |"]
        lines.append("|" + " --- |" * lines[0].count(" | ") + " --- |")
        print("\n".join([f"{part}:", *lines]), flush=True)
        for model, recipe in cells(part, models):
            lines.append(line(kept(place, part, model, recipe)))
            print(lines[-1], flush=True)
        (place.out / f"{part}.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
