"""Compares one bundle that takes several input sizes with a bundle for each size.

    python -m benchmarks.sizes -o DIR

Builds the demo model for LiteRT, ExecuTorch and Core ML in fp32 and int8 and prints a table:
megabytes, the SQNR in dB against the float model at each size, the number of delegates, and the
time of the bundle of several sizes, as a share of that of the bundle for the size alone. Both take
turns, each in a process of its own, on one thread. Core ML has no times: an interpreter runs it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from mnv4_mobile import build
from mnv4_mobile.builder.cell import Options
from mnv4_mobile.bundle.folder import Bundle
from mnv4_mobile.bundle.worker import Worker
from mnv4_mobile.images import Size
from mnv4_mobile.progress import Progress
from mnv4_mobile.quality.evaluate import evaluate
from mnv4_mobile.target import load_target
from mnv4_mobile.tensors import feed, sizes_text
from tools.reference.sheet import read_sheet

SIZES: tuple[Size, ...] = ((128, 128), (96, 96), (64, 64))
RECIPES = ("fp32", "int8")
TARGETS = ("tflite", "executorch", "coreml")
CALIBRATED_WITH = 128
JUDGED_WITH = 48
TURNS, RUNS = 5, 60
HELD_OUT = Path(__file__).parents[1] / "tests/data/demo_heldout.npz"
DELEGATES = """
import sys
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(sys.argv[1], num_threads=1)
(entry,) = interpreter.get_input_details()
height, width = map(int, sys.argv[2].split("x"))
interpreter.resize_tensor_input(entry["index"], (1, height, width, 3))
interpreter.allocate_tensors()
planned = [one["op_name"] for one in interpreter._get_ops_details()]
print(planned.count("DELEGATE"))
"""


def write_images(folder: Path) -> tuple[Path, Path]:
    """Writes held-out scenes, and returns the folders to calibrate and to judge with."""
    scenes, _ = read_sheet(HELD_OUT)
    parts = scenes[:CALIBRATED_WITH], scenes[CALIBRATED_WITH : CALIBRATED_WITH + JUDGED_WITH]
    found = folder / "calibration", folder / "evaluation"
    for part, out in zip(parts, found, strict=True):
        out.mkdir(parents=True, exist_ok=True)
        for index, scene in enumerate(part):
            Image.fromarray(scene).save(out / f"{index:03}.png")
    return found


def built(folder: Path, calibration: Path, sizes: tuple[Size, ...]) -> dict[str, Bundle]:
    """Builds bundles that take these sizes; returns them by target and recipe."""
    options = Options(
        size=sizes[0],
        more_sizes=sizes[1:],
        calibrate=str(calibration),
        options={"coreml": {"min_ios": 18}},
    )
    bundles = build("demo", out=folder, targets=TARGETS, recipes=RECIPES, options=options)
    return {f"{one.manifest.target} {one.manifest.recipe}": one for one in bundles}


def delegates(bundle: Bundle, size: Size) -> str:
    """Returns the number of delegates in which an artifact runs at a size."""
    if bundle.manifest.target == "executorch":
        return str(load_target("executorch").operators(bundle.artifact)["delegate"])
    if bundle.manifest.target == "coreml":
        return "-"
    command = [sys.executable, "-c", DELEGATES, str(bundle.artifact), sizes_text([size])]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return printed.split()[-1]


def ratio(several: Bundle, alone: Bundle, size: Size) -> str:
    """Returns the time of an artifact of several sizes at one of them, as a share of the other's.

    The time of a turn is the least of its runs, as other work on a machine only adds to it.
    """
    if several.manifest.target == "coreml":
        return "-"
    pixels = np.zeros((1, *size, 3), np.uint8)
    target, bundles = several.manifest.target, (several.at(size), alone)
    times: tuple[list[float], ...] = ([], [])
    with Worker(target, several.artifact) as first, Worker(target, alone.artifact) as second:
        for _ in range(TURNS):
            for bundle, worker, found in zip(bundles, (first, second), times, strict=True):
                fed = feed(bundle.input, pixels, bundle.preprocess)
                found.append(min(worker.time(fed, runs=RUNS).latencies_ms))
    shared, own = map(np.median, times)
    return f"{shared / own:.2f}"


def rows(
    several: Mapping[str, Bundle], alone: Mapping[Size, Mapping[str, Bundle]], images: Path
) -> None:
    """Prints a row for each target and recipe."""
    shown = ", ".join(sizes_text([size]) for size in SIZES)
    print(f"| artifact | MB, one / all | dB at {shown} | of its own bundle | delegates | time |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, bundle in several.items():
        each = {size: found[name] for size, found in alone.items()}
        parent = several[f"{bundle.manifest.target} fp32"]
        decibels, own = [], []
        for size in SIZES:
            float32 = parent.at(size) if bundle is not parent else None
            decibels.append(_db(bundle.at(size), float32, images))
            own.append(_db(each[size], float32, images))
        total = sum(one.manifest.artifact.bytes for one in each.values())
        cells = [
            name,
            f"{bundle.manifest.artifact.bytes / 1e6:.2f} / {total / 1e6:.2f}",
            ", ".join(decibels),
            ", ".join(own),
            ", ".join(delegates(bundle, size) for size in SIZES),
            ", ".join(ratio(bundle, each[size], size) for size in SIZES),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def _db(bundle: Bundle, parent: Bundle | None, images: Path) -> str:
    """Returns the SQNR against the float artifact on images, or that of the build for itself."""
    if parent is None:
        (outputs,) = bundle.manifest.parity.values()
        return f"{outputs['logits'].sqnr_db:.0f}"
    found = evaluate(bundle, images, parent=parent, progress=Progress())
    assert found.agreement is not None
    return f"{found.sqnr_db:.1f} ({found.agreement:.0%})"


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("-o", "--out", type=Path, required=True)
    out = parser.parse_args().out
    calibration, images = write_images(out / "images")
    several = built(out / "bundles", calibration, SIZES)
    alone = {size: built(out / "bundles", calibration, (size,)) for size in SIZES}
    rows(several, alone, images)


if __name__ == "__main__":
    main()
