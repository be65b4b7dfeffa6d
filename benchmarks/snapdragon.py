"""Compiles networks for Snapdragon NPUs and runs them on Qualcomm's HTP library for x86.

    python -m benchmarks.snapdragon -o out/snapdragon [--models conv-small,...]
    python -m benchmarks.snapdragon --weights CHECKPOINTS --calibrate DIR --images DIR

Without `--weights`, every shipped model has random weights and is compared with the PyTorch model
on four images. CHECKPOINTS is a folder with MODEL.safetensors of `tools.reference.train` for every
network, which is a shipped configuration or CHECKPOINTS/MODEL.yaml; these are also compared on
`--images`, which calibration must not have seen. A Markdown table goes to stdout, and the records
to snapdragon.jsonl as they are made. Bundles that miss the gate of their recipe are measured, too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mnv4_mobile import Options, evaluate
from mnv4_mobile.builder.matrix import build_cells, cells
from mnv4_mobile.bundle.manifest import Bundle, open_bundle
from mnv4_mobile.configs import read_config, shipped
from mnv4_mobile.progress import SILENT
from mnv4_mobile.target import load_target

Record = dict[str, Any]
RECIPES = ("fp16", "int8")
COLUMNS = ("model", "recipe", "soc", "operators", "SQNR dB", "p10", "same class", "MB", "seconds")


def without_gate(recipe: str, folder: Path) -> str:
    """Returns a file with a shipped recipe that no bundle misses, under the same name."""
    _, values = read_config("recipes", recipe)
    kept = {key: value for key, value in values.items() if key not in ("name", "gate")}
    path = folder / f"{recipe}.yaml"
    path.write_text(json.dumps({**kept, "gate": {"sqnr_db": -200}}))
    return str(path)


def built(
    model: str, weights: str, targets: str, recipes: Sequence[str], out: Path, **options: Any
) -> Iterator[tuple[Record, Bundle | None]]:
    """Builds a network's bundles, and yields a record for each."""
    chosen = [Options(size=(96, 96), **options)]
    found = cells([model], weights, [targets], recipes, chosen, progress=SILENT)
    for one in build_cells(found, out, cache=None, jobs=1, force=True):
        record: Record = {"model": Path(model).stem, "recipe": one.cell.recipe.name}
        record |= {"soc": dict(one.cell.chosen).get("soc", ""), "seconds": one.seconds}
        bundle = open_bundle(one.path) if one.path else None
        yield record | {"error": str(one.error or "")}, bundle


def measured(record: Record, bundle: Bundle, parent: Bundle | None, images: str | None) -> Record:
    """Adds what an artifact holds and how close it comes to the float network."""
    manifest = bundle.manifest
    record |= {
        "bytes": manifest.artifact.bytes,
        "operators": load_target(manifest.target).operators(bundle.artifact),
    }
    if images is None:
        parity = manifest.parity["npu"]["logits"]
        return record | {"sqnr_db": parity.sqnr_db, "p10": parity.sqnr_db_p10, "n": parity.n}
    found = evaluate(bundle, images, parent=parent)
    return record | {
        "sqnr_db": found.sqnr_db,
        "p10": found.sqnr_db_p10,
        "same": found.agreement,
        "n": found.n,
    }


def row(record: Record) -> str:
    """Returns one line of the Markdown table."""
    head = f"| {record['model']} | {record['recipe']} | {record['soc']} "
    if record["error"]:
        return head + f"| failed: {record['error'].splitlines()[0]} | | | | | |"
    operators = ", ".join(f"{count} {kind}" for kind, count in record["operators"].items())
    same = f"{record['same']:.1%}" if record.get("same") is not None else ""
    return head + (
        f"| {operators} | {record['sqnr_db']:.1f} | {record['p10']:.1f} | {same} | "
        f"{record['bytes'] / 1e6:.1f} | {record['seconds']:.0f} |"
    )


def main() -> None:
    """Measures, prints the table, and writes the records."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("out/snapdragon"))
    parser.add_argument("--models")
    parser.add_argument("--socs", default="SM8650,SM8750")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--calibrate", default="random")
    parser.add_argument("--images")
    arguments = parser.parse_args()
    out, weights = arguments.out, arguments.weights
    out.mkdir(parents=True, exist_ok=True)
    known = sorted(path.stem for path in weights.glob("*.safetensors")) if weights else None
    models = arguments.models.split(",") if arguments.models else known or shipped("models")
    recipes = [without_gate(name, out) for name in RECIPES]
    print("| " + " | ".join(COLUMNS) + " |\n|" + " --- |" * len(COLUMNS), flush=True)
    for model in models:
        parent = None
        source, file = model, "random:0"
        if weights:
            file = str(weights / f"{model}.safetensors")
            own = weights / f"{model}.yaml"
            source = str(own) if own.exists() else model
            ((_, parent),) = built(source, file, "tflite", ["fp32"], out / "parents")
        options: Any = {"snapdragon": {"soc": arguments.socs}}
        for record, bundle in built(
            *(source, file, "snapdragon", recipes, out),
            calibrate=arguments.calibrate,
            options=options,
        ):
            if bundle is not None:
                record = measured(record, bundle, parent, arguments.images)
            with (out / "snapdragon.jsonl").open("a") as records:
                records.write(json.dumps(record) + "\n")
            print(row(record), flush=True)


if __name__ == "__main__":
    main()
