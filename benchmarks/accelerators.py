"""Builds networks for CPU, GPU and Snapdragon's NPU, and compares each with the float network.

    python -m benchmarks.accelerators --checkpoints DIR -o out/accelerators [--parts ...]

The parts:

- `variants`: the nine variants of the papers with random weights (`random:0`), 1000 classes, on
  four images;
- `trained`: the networks of DIR, which holds MODEL.safetensors of `tools.reference.train` for each,
  a shipped configuration or DIR/MODEL.yaml, on drawn images that calibration has not seen.

All inputs are 96 x 96 pixels. LiteRT's GPU accelerator runs on SwiftShader where there is no GPU,
and Qualcomm's HTP library for x86 runs what is compiled for the NPU, so no latencies are measured.
CPU seconds are those of a build with its verification: of both units for a `.tflite`, of all SoCs
for the NPU. Bundles that miss the gate of their recipe are measured, too. Cells that are already in
the output folder are not made again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.quantization import cpu_seconds, unbounded
from mnv4_mobile import Options, evaluate
from mnv4_mobile.builder.matrix import build_cells, cells
from mnv4_mobile.bundle.folder import Bundle, open_bundle
from mnv4_mobile.progress import SILENT
from mnv4_mobile.target import load_target
from mnv4_mobile.units import Unit
from tools.reference.draw import write_folder

Record = dict[str, Any]
VARIANTS = (
    *("conv-small-035", "conv-small-050", "conv-small", "conv-medium", "conv-large"),
    *("hybrid-medium-075", "hybrid-medium", "hybrid-large-075", "hybrid-large"),
)
TARGETS = {
    "fp32": ("tflite",),  # what trained networks are compared with
    "fp16": ("tflite", "snapdragon"),
    "int8": ("tflite", "snapdragon"),
}
"""The targets of each recipe; Snapdragon's NPU has no float32."""
UNITS: dict[str, tuple[Unit, ...]] = {"tflite": ("cpu", "gpu"), "snapdragon": ("npu",)}
OPTIONS: dict[str, Any] = {"snapdragon": {"snapdragon": {"soc": "SM8650,SM8750"}}}
CALIBRATION, EVALUATION = 128, 192
EQUAL_DB = 200
"""What stands for equal tensors."""
NPU_PROGRAM = "DISPATCH_OP"
HEADS = (
    *("network", "recipe", "runs on", "left to the CPU", "partitions", "dB", "10th percentile"),
    *("agreement", "MB", "CPU s"),
)


def made(out: Path, part: str, model: str, recipe: str, target: str, weights: Path) -> list[Record]:
    """Builds a network with a recipe for a target; returns a record for each unit or SoC."""
    trained = part == "trained"
    own = weights / f"{model}.yaml"
    given = Options(
        size=(96, 96),
        calibrate=str(out / "calibration") if trained else "random",
        images=out / "calibration" if trained else None,
        options=OPTIONS.get(target, {}),
        units=UNITS[target],
    )
    found = cells(
        [str(own) if trained and own.exists() else model],
        str(weights / f"{model}.safetensors") if trained else "random:0",
        [target],
        [unbounded(out, recipe)],
        [given],
        progress=SILENT,
    )
    begin = cpu_seconds()
    built = list(build_cells(found, out / part, cache=None, jobs=1, force=True))
    seconds = round(cpu_seconds() - begin)
    records: list[Record] = []
    for one in built:
        soc = dict(one.cell.chosen).get("soc", "")
        if one.path is None:
            failed = {"unit": soc or "GPU", "error": str(one.error).splitlines()[0]}
            records.append({"model": model, "recipe": recipe, **failed})
            continue
        bundle = open_bundle(one.path)
        for unit in UNITS[target]:
            record: Record = {"model": model, "recipe": recipe, "unit": soc or unit.upper()}
            record |= {"bytes": bundle.manifest.artifact.bytes} | offloaded(bundle, unit)
            if trained:
                record |= compared(out, model, bundle, unit)
            else:
                parity = bundle.manifest.parity[unit]["logits"]
                record |= {"sqnr_db": parity.sqnr_db, "p10": parity.sqnr_db_p10, "n": parity.n}
            records.append(record)
    return [record | ({} if i else {"cpu_s": seconds}) for i, record in enumerate(records)]


def offloaded(bundle: Bundle, unit: Unit) -> Record:
    """Returns the operators that a unit leaves to the CPU, and the number of partitions it has."""
    operators = load_target(bundle.manifest.target).operators(bundle.artifact)
    if unit == "npu":
        left = {name: count for name, count in operators.items() if name != NPU_PROGRAM}
        return {"left": left, "partitions": operators.get(NPU_PROGRAM, 0)}
    if unit == "gpu":  # which takes all of a model or refuses it
        # In a process of its own, because toolchains cannot share one.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return {"left": {}, "partitions": pool.submit(gpu_partitions, bundle.artifact).result()}
    return {}


def gpu_partitions(path: Path) -> int:
    """Returns the number of parts in which LiteRT's accelerator runs a model."""
    session: Any = load_target("tflite").open(path, 1, "gpu")
    return int(session.partitions)


def compared(out: Path, model: str, bundle: Bundle, unit: Unit) -> Record:
    """Compares a trained network with its float `.tflite` on the CPU."""
    parent = out / "trained" / f"{model}-96x96-fp32-tflite"
    found = evaluate(bundle, out / "evaluation", parent=parent, unit=unit)
    return {
        "sqnr_db": found.sqnr_db,
        "p10": found.sqnr_db_p10,
        "same": found.agreement,
        "n": found.n,
    }


def row(record: Record) -> list[str]:
    """Returns the cells of a record's line."""
    head = [record["model"], record["recipe"], record["unit"]]
    if "error" in record:
        return [*head, f"failed: {record['error']}", *[""] * (len(HEADS) - len(head) - 1)]
    left = ", ".join(f"{count} {name}" for name, count in record.get("left", {}).items())
    return [
        *head,
        (left or "nothing") if "left" in record else "",
        str(record.get("partitions", "")),
        *("equal" if db >= EQUAL_DB else f"{db:.1f}" for db in (record["sqnr_db"], record["p10"])),
        f"{record['same']:.1%}" if record.get("same") is not None else "",
        f"{record['bytes'] / 1e6:.1f}",
        str(record.get("cpu_s", "")),
    ]


def table(records: list[Record]) -> str:
    """Returns the table of a part in Markdown.

    Repeated networks and recipes are left out, and so are columns without a figure.
    """
    rows = [row(record) for record in records]
    lines = [list(HEADS), ["---"] * 4 + ["---:"] * (len(HEADS) - 4)]
    for above, line in pairwise([[], *rows]):
        same = 2 if line[:2] == above[:2] else int(line[:1] == above[:1])
        lines.append([*[""] * same, *line[same:]])
    used = [at for at in range(len(HEADS)) if any(line[at] for line in rows)]
    return "".join(f"| {' | '.join(line[at] for at in used)} |\n" for line in lines)


def kept(out: Path, part: str, model: str, recipe: str, target: str, weights: Path) -> list[Record]:
    """Returns the records of a cell, making them only once."""
    path = out / "cells" / f"{part}-{model}-{recipe}-{target}.json"
    if not path.exists():
        records = made(out, part, model, recipe, target, weights)
        path.write_text(json.dumps(records) + "\n")
    found: list[Record] = json.loads(path.read_text())
    return found


def plan(part: str, weights: Path) -> Iterator[tuple[str, str, str]]:
    """Yields the network, recipe and target of every cell of a part."""
    trained = sorted(path.stem for path in weights.glob("*.safetensors"))
    for model in trained if part == "trained" else VARIANTS:
        for recipe, targets in TARGETS.items():
            yield from ((model, recipe, target) for target in targets)


def main() -> None:
    """Makes the cells of the chosen parts; writes the table of each part after every cell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkpoints", type=Path, default=Path("tests/data"))
    parser.add_argument("-o", "--out", type=Path, default=Path("out/accelerators"))
    parser.add_argument("--parts", default="trained,variants", help="default: %(default)s")
    options = parser.parse_args()
    out = options.out
    (out / "cells").mkdir(parents=True, exist_ok=True)
    for split, count in (("calibration", CALIBRATION), ("evaluation", EVALUATION)):
        if not (out / split).exists():
            write_folder(split, count, out / split)
    for part in options.parts.split(","):
        records: list[Record] = []
        for model, recipe, target in plan(part, options.checkpoints):
            records += kept(out, part, model, recipe, target, options.checkpoints)
            print(part, table(records).splitlines()[-1], flush=True)
            (out / f"{part}.md").write_text(table(records))


if __name__ == "__main__":
    main()
