"""Measures Core AI artifacts: alone, beside Core ML's, and beside Apple's own ways to make them.

    python -m benchmarks.coreai --checkpoints DIR -o out/coreai [--parts structure,trained,...]

DIR holds MODEL.safetensors of `tools.reference.train` for every trained network, which is a shipped
configuration or DIR/MODEL.yaml. The parts:

- `structure`: every variant with every recipe, with random weights (`random:0`) at its own size;
- `trained`: the trained networks with every recipe, against the float PyTorch model, on evaluation
  images that calibration has not seen;
- `interpreter`: the same network and recipe as a Core ML program in our interpreter and as a Core
  AI asset in Apple's runtime, against the float model and against each other;
- `rounding`: the same int8 network, without preparation, executed four times: by both of these, and
  by torch in float32 and in float16, each pair compared;
- `naive`: timm's network, converted by `TorchConverter` as it is;
- `stock`: what coreai-opt makes of the trained networks. It is no dependency of this project: to
  measure it, install it beside (`uv pip install -c constraints.txt coreai-opt`).

On Linux, Apple's runtime computes on the CPU, so no latencies are measured. CPU seconds are those
of a build with its verification; coreai-opt has none. Cells that are already in the output folder
are not made again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import fx
from torch.export import ExportedProgram

from benchmarks import float_matrix, naive, quantization
from benchmarks.quantization import Pictures, Place, Values, drawn
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
    *(*FLOATS, "int8", "palettize-4"),
    *("int8-weights", "palettize-8", "palettize-6", "int4-weights"),
)
ROUNDED_WITH = 64
"""The number of calibration images of the part `rounding`."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One table: a line for every recipe and network."""

    make: Callable[[Place, str, str], Record]
    """Measures a network with a recipe."""
    recipes: tuple[str, ...]
    models: tuple[str, ...] = ()
    """Names of networks; empty for those that were trained."""


def structure(place: Place, model: str, recipe: str) -> Record:
    """Builds a variant with random weights."""
    found = float_matrix.build_cell(
        model, TARGET, quantization.unbounded(place.out, recipe), place.out
    )
    if "error" in found:
        raise SystemExit(f"{model}, {recipe}: {found['error']}")
    return {key: found[key] for key in ("sqnr_db", "bytes", "operators", "cpu_s")}


def trained(place: Place, model: str, recipe: str) -> Record:
    """Builds a trained network with a recipe, ours or one of coreai-opt, and runs it."""
    found, seconds = logits(place, model, TARGET, recipe)
    artifact = place.artifact(model, TARGET, recipe)
    return {
        "pairs": {"to float": fidelity(floats(place, model), found)},
        "images": place.pictures,
        "bytes": size(artifact),
        "operators": load_target(TARGET).operators(artifact),
        "cpu_s": seconds,
    }


def interpreter(place: Place, model: str, recipe: str) -> Record:
    """Compares the outputs of Core ML's program and Core AI's asset, and both with the float's."""
    expected = floats(place, model)
    coreml, coreai = (logits(place, model, target, recipe)[0] for target in ("coreml", TARGET))
    pairs = {
        "Core ML to float": fidelity(expected, coreml),
        "Core AI to float": fidelity(expected, coreai),
        "to each other": fidelity(coreml, coreai),
    }
    return {"pairs": pairs, "images": place.pictures}


def rounding(place: Place, model: str, recipe: str) -> Record:
    """Compares four executions of a quantized network."""
    outputs: dict[str, Values] = {}
    for target in ("coreml", TARGET):
        # In processes of their own, because toolchains cannot share one.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            outputs |= pool.submit(executed, place, model, target, recipe).result()
    pairs = {
        f"{one}, {other}": fidelity(outputs[one], outputs[other])
        for one, other in combinations(outputs, 2)
    }
    return {"pairs": pairs, "images": place.pictures}


def converted(place: Place, model: str, recipe: str) -> Record:
    """Converts timm's network as it is."""
    path = naive.artifact(place.out, model, TARGET, recipe)
    if not path.exists():
        naive.lower(model, TARGET, recipe, path)
    return {"bytes": size(path), "operators": load_target(TARGET).operators(path)}


PARTS = {
    "structure": Part(make=structure, recipes=RECIPES, models=tuple(shipped("models"))),
    "trained": Part(make=trained, recipes=RECIPES),
    "interpreter": Part(make=interpreter, recipes=RECIPES),
    "rounding": Part(make=rounding, recipes=("int8",)),
    "naive": Part(make=converted, recipes=FLOATS, models=("conv-small", "hybrid-medium")),
    "stock": Part(make=trained, recipes=tuple(quantization.STOCK)),
}


@cache
def logits(place: Place, model: str, target: str, recipe: str) -> tuple[Values, float]:
    """Builds an artifact; returns its logits for the evaluation images and the CPU seconds."""
    seconds = quantization.build(place, model, target, recipe)
    images, _ = drawn("evaluation", place.pictures)
    return quantization.run(place, model, target, recipe, images), round(seconds, 1)


@cache
def floats(place: Place, model: str) -> Values:
    """Returns the logits of the trained network for the evaluation images."""
    return quantization.expected(place, model, drawn("evaluation", place.pictures)[0])


def fidelity(one: Values, other: Values) -> list[float | None]:
    """Returns the median SQNR, its 10th percentile and the agreement of two outputs."""
    found = compare(one, other, classes=True, gate_db=0)
    return [found.sqnr_db, found.sqnr_db_p10, found.top1_agreement]


def executed(place: Place, model: str, target: str, recipe: str) -> dict[str, Values]:
    """Lowers a network as it is, and returns the logits of the artifact; for Core AI, torch's too.

    What torch executes is the program that is converted, before and after it becomes float16.
    """
    loaded, chosen = load_target(target), load_recipe(recipe)
    net = place.net(model)
    spec = BuildSpec(model=net.spec, preprocess=PREPROCESS)
    seen, shown = drawn("calibration", ROUNDED_WITH)[0], drawn("evaluation", place.pictures)[0]
    outputs: dict[str, Values] = {}

    def halve(program: ExportedProgram, wide: Collection[fx.Node]) -> None:
        outputs["torch float32"] = _run(program, shown, torch.float32)
        in_float16(program, wide)
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
    name = {"coreml": "Core ML", TARGET: "Core AI"}[target]
    return {**outputs, name: np.concatenate(found).astype(np.float32)}


def _run(program: ExportedProgram, images: Pictures, dtype: torch.dtype) -> Values:
    module = program.module(check_guards=False)
    with torch.inference_mode():
        fed = (torch.from_numpy(normalise(image[None], PREPROCESS)) for image in images)
        found = [module(image.half().to(dtype))["logits"].float() for image in fed]
    return torch.cat(found).numpy()


def columns(record: Record) -> dict[str, str]:
    """Returns the cells of a record's line, by the heads of their columns."""
    cells = {"network": record["model"], "recipe": record["recipe"]}
    for pair, (middle, low, agreement) in record.get("pairs", {}).items():
        cells[f"{pair}: dB, median / p10, agreement"] = f"{middle:.1f} / {low:.1f}, {agreement:.1%}"
    if "sqnr_db" in record:
        cells["dB"] = f"{record['sqnr_db']:.1f}"
    if "images" in record:
        cells["images"] = str(record["images"])
    if "operators" in record:
        operators: Mapping[str, int] = record["operators"]
        cells["MB"] = f"{record['bytes'] / 1e6:.2f}"
        cells["operators"] = str(sum(operators.values()))
        cells["transposes"] = str(operators.get("transpose", 0))
    if "cpu_s" in record:
        cells["build CPU s"] = f"{record['cpu_s']:.0f}"
    return cells


def table(records: list[Record]) -> str:
    """Returns the table of a part in Markdown, with one line for each record."""
    lines = [columns(record) for record in records]
    rows = [list(lines[0]), ["---"] * len(lines[0]), *(list(line.values()) for line in lines)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def kept(place: Place, part: str, model: str, recipe: str) -> Record:
    """Returns a cell's record, making it only once."""
    path = place.out / "cells" / f"{part}-{model}-{recipe}.json"
    if not path.exists():
        record = {"model": model, "recipe": recipe, **PARTS[part].make(place, model, recipe)}
        path.write_text(json.dumps(record) + "\n")
    found: Record = json.loads(path.read_text())
    return found


def main() -> None:
    """Makes the cells of the chosen parts; writes the table of each part after every cell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkpoints", type=Path, default=Path("tests/data"))
    parser.add_argument("-o", "--out", type=Path, default=Path("out/coreai"))
    parser.add_argument("--parts", default=",".join(PARTS), help="default: %(default)s")
    parser.add_argument("--pictures", type=int, default=1000, help="number of evaluation images")
    options = parser.parse_args()
    place = Place(options.checkpoints, options.out, options.pictures, options.pictures)
    (place.out / "cells").mkdir(parents=True, exist_ok=True)
    if not (place.out / "calibration").exists():
        write_folder("calibration", quantization.CALIBRATION, place.out / "calibration")
    models = sorted(path.stem for path in options.checkpoints.glob("*.safetensors"))
    for part in options.parts.split(","):
        records: list[Record] = []
        for recipe in PARTS[part].recipes:
            for model in PARTS[part].models or models:
                records.append(kept(place, part, model, recipe))
                print(part, table(records).splitlines()[-1], flush=True)
                (place.out / f"{part}.md").write_text(table(records))


if __name__ == "__main__":
    main()
