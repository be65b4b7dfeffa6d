"""Measures what quantization costs trained networks, next to the stock path of each toolchain.

    python -m benchmarks.quantization --checkpoints DIR -o out/quantization

DIR holds MODEL.safetensors of `tools.reference.train` for every model, which is a shipped
configuration or DIR/MODEL.yaml. Every artifact is built, run on evaluation images that calibration
has not seen and compared with the float PyTorch model; then the artifacts of each network and
runtime are timed in turns with one thread. Cells that are already in the output folder are not
built or compared again. Core ML runs in our interpreter, on fewer images, and is not timed.

These recipes are measured besides the shipped ones: `all-int8`, min/max ranges with nothing kept in
float and no preparation; `unprepared-int8`, the recipe `int8` without its preparation;
`equalized-int8`, with only the first step of it; `stock`, the network as it was trained, exported
and quantized by the toolchain's defaults (Core ML: only weights).
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import yaml
from torch import Tensor, nn

from benchmarks import naive
from benchmarks.artifacts import Entry, measure, ratio
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.builder.cell import Options
from mnv4_mobile.builder.matrix import build_cells, cells
from mnv4_mobile.builder.reference import load_net
from mnv4_mobile.bundle.folder import open_bundle
from mnv4_mobile.bundle.parity import compare
from mnv4_mobile.bundle.worker import Worker
from mnv4_mobile.configs import find_config
from mnv4_mobile.files import size
from mnv4_mobile.images import normalise
from mnv4_mobile.model.grammar import read_model
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.weights import load_checkpoint
from mnv4_mobile.progress import Progress
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.target import load_target
from mnv4_mobile.tensors import feed
from tools.reference.draw import PREPROCESS, SIDE, pictures, write_folder

MODELS = "conv-small,conv-medium,hybrid-medium-075"
TARGETS = "executorch,tflite,coreml"
RECIPES = "fp32,fp16,stock,all-int8,unprepared-int8,equalized-int8,int8,int8-distilled,int8-weights"
VARIANTS: dict[str, list[str]] = {
    "all-int8": [],
    "unprepared-int8": [],
    "equalized-int8": ["equalize"],
}
"""Variants of the recipe `int8`, and their preparation steps."""
STOCK = {"stock": "int8", "stock-palettize-4": "palettize-4"}
"""What a toolchain's own path is asked for; only Core AI's has palettes."""
CALIBRATION = 512
Pictures = npt.NDArray[np.uint8]
Values = npt.NDArray[Any]


@cache
def drawn(split: str, count: int) -> tuple[Pictures, npt.NDArray[Any]]:
    """Returns the first images of a split, (N, H, W, 3), and their classes; draws them once."""
    images, labels = pictures(split, count)
    return images.permute(0, 2, 3, 1).numpy(), labels.numpy()


class Logits(nn.Module):
    """A network as its owner would export it: one input, one output."""

    def __init__(self, net: MobileNetV4) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        """Returns the logits, (N, classes), of images (N, 3, H, W)."""
        logits: Tensor = self.net(image)["logits"]
        return logits


@dataclass(frozen=True)
class Place:
    """The folders, and the numbers of evaluation images."""

    checkpoints: Path
    out: Path
    pictures: int
    interpreted: int

    def model(self, name: str) -> str:
        """Returns the model as `mnv4 build` takes it."""
        file = self.checkpoints / f"{name}.yaml"
        return str(file) if file.exists() else name

    def weights(self, name: str) -> str:
        """Returns the path of a model's checkpoint."""
        return str(self.checkpoints / f"{name}.safetensors")

    def net(self, name: str) -> MobileNetV4:
        """Returns the trained network in float."""
        checkpoint = load_checkpoint(read_model(self.model(name)).spec, self.weights(name))
        return load_net(checkpoint, BuildSpec(model=checkpoint.spec, preprocess=PREPROCESS))

    def recipe(self, name: str) -> str:
        """Returns a shipped recipe's name, or writes a variant of `int8` and returns its path."""
        if name not in VARIANTS:
            return name
        text = yaml.safe_load(find_config("recipes", "int8").read_text())
        text |= {"prepare": VARIANTS[name], "gate": {"sqnr_db": -100.0}}
        if name == "all-int8":
            text |= {"activations": {"mode": "static", "range": "minmax"}}
            del text["keep"]
        path = self.out / "recipes" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(text))
        return str(path)

    def has(self, target: str, recipe: str) -> bool:
        """Returns whether a target has a recipe; of the float ones, only the one its users take."""
        if recipe in ("fp32", "fp16"):
            return recipe == ("fp16" if target == "coreml" else "fp32")
        return recipe == "stock" or (
            load_recipe(self.recipe(recipe)).scheme in load_target(target).schemes
        )

    def artifact(self, model: str, target: str, recipe: str) -> Path:
        """Returns the artifact of a cell that was built."""
        if recipe in STOCK:
            return self.out / recipe / f"{model}{naive.TARGETS[target]}"
        # With the size, because the names of other recipes end with `int8` too.
        pattern = f"*-{SIDE}x{SIDE}-{recipe}-{target}"
        (bundle,) = (self.out / "bundles" / model).glob(pattern)
        return open_bundle(bundle).artifact


def unbounded(out: Path, recipe: str) -> str:
    """Writes a shipped recipe without its gate, which random weights miss; returns the path."""
    text = yaml.safe_load(find_config("recipes", recipe).read_text())
    path = out / "recipes" / f"{recipe}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(text | {"gate": {"sqnr_db": -100.0}}))
    return str(path)


def build_stock(place: Place, model: str, target: str, recipe: str, seen: Pictures) -> None:
    """Builds an artifact on the toolchain's own path, with these calibration images."""
    out = place.artifact(model, target, recipe)
    out.parent.mkdir(parents=True, exist_ok=True)
    images = [torch.from_numpy(normalise(one[None], PREPROCESS)) for one in seen]
    naive.convert(Logits(place.net(model)).eval(), images, target, STOCK[recipe], out)


def build(place: Place, model: str, target: str, recipe: str) -> float:
    """Builds a cell; returns the CPU seconds from checkpoint to artifact, with ours verified."""
    if recipe in STOCK:
        calibration = load_recipe("int8").calibration
        assert calibration is not None
        seen, _ = drawn("calibration", calibration.images)
        begin = cpu_seconds()
        # In a process of its own, because toolchains cannot share one.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            pool.submit(build_stock, place, model, target, recipe, seen).result()
        return cpu_seconds() - begin
    begin = cpu_seconds()
    pictures = place.out / "calibration"
    options = Options(calibrate=str(pictures), images=pictures)
    chosen = cells(
        [place.model(model)],
        place.weights(model),
        [target],
        [place.recipe(recipe)],
        [options],
        progress=Progress(),
    )
    (built,) = build_cells(chosen, place.out / "bundles" / model, cache=None, force=True)
    if built.error:
        raise built.error
    return cpu_seconds() - begin


def cpu_seconds() -> float:
    """Returns the CPU time of this process and of its children that have ended."""
    return sum(os.times()[:4])


def run(place: Place, model: str, target: str, recipe: str, images: Pictures) -> Values:
    """Returns the logits of an artifact."""
    path = place.artifact(model, target, recipe)
    found = []
    with Worker(target, path) as worker:
        for image in images:
            inputs = fed(place, model, target, recipe, image)
            (logits,) = worker.run(inputs).values()
            found.append(logits)
    values = np.concatenate(found)
    if values.dtype == np.int8:
        _, (scale, zero) = _integers(path)
        values = ((values.astype(np.float32) - zero) * scale).astype(np.float32)
    return values.astype(np.float32)


def fed(
    place: Place, model: str, target: str, recipe: str, image: npt.NDArray[np.uint8]
) -> dict[str, Values]:
    """Returns an artifact's input for one image."""
    if recipe not in STOCK:
        path = place.artifact(model, target, recipe)
        return dict(feed(open_bundle(path.parent).input, image[None], PREPROCESS))
    values = normalise(image[None], PREPROCESS)
    if target != "tflite":
        return {"image": values}
    (scale, zero), _ = _integers(place.artifact(model, target, recipe))
    return {"args_0": (values / scale + zero).round().clip(-128, 127).astype(np.int8)}


def _integers(path: Path) -> tuple[tuple[float, int], tuple[float, int]]:
    """Returns scale and zero point of the input and the output of an integer LiteRT model."""
    from ai_edge_litert.interpreter import Interpreter

    model = Interpreter(model_path=str(path))
    (first,), (last,) = model.get_input_details(), model.get_output_details()
    return first["quantization"], last["quantization"]


def judge(place: Place, model: str, target: str, recipe: str) -> dict[str, Any]:
    """Builds one cell, and returns how it compares with the float model."""
    images, labels = drawn("evaluation", place.pictures)
    if target == "coreml":
        images, labels = images[: place.interpreted], labels[: place.interpreted]
    floats = expected(place, model, images)
    seconds = build(place, model, target, recipe)
    found = run(place, model, target, recipe, images)
    parity = compare(floats, found, classes=True, gate_db=0)
    drop = float((floats.argmax(1) == labels).mean() - (found.argmax(1) == labels).mean())
    return {
        "model": model,
        "target": target,
        "recipe": recipe,
        "bytes": size(place.artifact(model, target, recipe)),
        "cpu_s": round(seconds, 1),
        "top1_drop": drop,
        **{key: getattr(parity, key) for key in ("sqnr_db", "sqnr_db_p10", "top1_agreement", "n")},
    }


def expected(place: Place, model: str, pixels: Pictures) -> Values:
    """Returns the logits of the trained network in float."""
    net = place.net(model)
    with torch.inference_mode():
        parts = [net(torch.from_numpy(normalise(p, PREPROCESS)))["logits"] for p in _split(pixels)]
    return torch.cat(parts).numpy()


def _split(pixels: Pictures) -> list[Pictures]:
    return [pixels[start : start + 64] for start in range(0, len(pixels), 64)]


def latencies(place: Place, model: str, target: str, recipes: list[str]) -> dict[str, Any]:
    """Returns medians in ms with one thread, and ratios to `all-int8` in the same rounds."""
    image = drawn("evaluation", 1)[0][0]
    entries = {
        recipe: Entry(
            place.artifact(model, target, recipe), fed(place, model, target, recipe, image)
        )
        for recipe in recipes
    }
    ms = measure(target, entries, 1)
    base = ms.get("all-int8")
    return {
        recipe: {
            "ms": median(times),
            "ratio": ratio(times, base)._asdict() if base else None,
        }
        for recipe, times in ms.items()
    }


def table(records: list[dict[str, Any]]) -> str:
    """Returns the table in Markdown, with one line per cell."""
    lines = [
        "| network | target | recipe | MB | SQNR dB, median / p10 | agreement | top-1 drop, points "
        "| pictures | build CPU s | ms | / all-int8 |",
        "|" + " --- |" * 11,
    ]
    for r in records:
        time_ms, share = "", ""
        if "ms" in r:
            time_ms = f"{r['ms']:.2f}"
            if r["ratio"]:
                share = "{middle:.2f} ({low:.2f} to {high:.2f})".format(**r["ratio"])
        lines.append(
            f"| {r['model']} | {r['target']} | {r['recipe']} | {r['bytes'] / 1e6:.2f} | "
            f"{r['sqnr_db']:.1f} / {r['sqnr_db_p10']:.1f} | {r['top1_agreement']:.1%} | "
            f"{100 * r['top1_drop']:.1f} | {r['n']} | {r['cpu_s']:.0f} | {time_ms} | {share} |"
        )
    return "\n".join(lines) + "\n"


def draw(records: list[dict[str, Any]], path: Path) -> None:
    """Draws the median and 10th percentile of every quantized cell, one panel per target."""
    import matplotlib.pyplot as plt

    shown = [r for r in records if r["recipe"] not in ("fp32", "fp16")]
    targets = list(dict.fromkeys(r["target"] for r in shown))
    figure, axes = plt.subplots(1, len(targets), figsize=(5 * len(targets), 4), squeeze=False)
    for axis, target in zip(axes[0], targets, strict=True):
        recipes = list(dict.fromkeys(r["recipe"] for r in shown if r["target"] == target))
        models = list(dict.fromkeys(r["model"] for r in shown if r["target"] == target))
        for index, model in enumerate(models):
            chosen = [r for r in shown if (r["target"], r["model"]) == (target, model)]
            at = [recipes.index(r["recipe"]) + 0.2 * (index - len(models) / 2) for r in chosen]
            middle = [r["sqnr_db"] for r in chosen]
            low = [max(0.0, r["sqnr_db"] - r["sqnr_db_p10"]) for r in chosen]
            axis.errorbar(at, middle, yerr=[low, [0] * len(low)], fmt="o", label=model)
        axis.axhline(30, color="grey", linewidth=0.8)
        axis.set_xticks(range(len(recipes)), recipes, rotation=30, ha="right")
        axis.set_title(target)
    axes[0][0].set_ylabel("SQNR in dB, median to p10")
    axes[0][-1].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Judges the cells and times them; writes each cell, all records, a table and a chart."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkpoints", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, default=Path("out/quantization"))
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--targets", default=TARGETS)
    parser.add_argument("--recipes", default=RECIPES)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--interpreted", type=int, default=64, help="number of images for Core ML")
    parser.add_argument("--no-latency", action="store_true")
    options = parser.parse_args()
    place = Place(options.checkpoints, options.out, options.pictures, options.interpreted)
    (place.out / "cells").mkdir(parents=True, exist_ok=True)
    if not (place.out / "calibration").exists():
        write_folder("calibration", CALIBRATION, place.out / "calibration")
    records: list[dict[str, Any]] = []
    for model in options.models.split(","):
        for target in options.targets.split(","):
            recipes = [r for r in options.recipes.split(",") if place.has(target, r)]
            found = [kept(place, model, target, recipe) for recipe in recipes]
            if target != "coreml" and not options.no_latency:
                times = latencies(place, model, target, recipes)
                found = [record | times[record["recipe"]] for record in found]
            records += found
            (place.out / "quantization.json").write_text(json.dumps(records, indent=1) + "\n")
            (place.out / "table.md").write_text(table(records))
            draw(records, place.out / "quantization.png")
    print(table(records), end="")


def kept(place: Place, model: str, target: str, recipe: str) -> dict[str, Any]:
    """Returns a cell's record, judging the cell only once."""
    path = place.out / "cells" / f"{model}-{target}-{recipe}.json"
    if not path.exists():
        record = judge(place, model, target, recipe)
        path.write_text(json.dumps(record) + "\n")
        print(table([record]).splitlines()[-1], flush=True)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


if __name__ == "__main__":
    main()
