"""Builds every variant on every target in fp32 and fp16: structure, parity, size and build time.

    python -m benchmarks.float_matrix -o out/bench [--models conv-small,...] [--recipes fp32]

Each cell is built by `mnv4 build` in a process of its own, with random weights (`random:0`) and at
the variant's own input size; CPU seconds and peak memory are those of the process and its workers.
A Markdown table goes to stdout and the records to matrix.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mnv4_mobile.bundle.folder import open_bundle
from mnv4_mobile.configs import shipped
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.target import load_target, target_names
from tools.demo import choices

_SLOW = ("transpose", "TRANSPOSE", "permute", "batch_norm", "expand")


def plain_targets() -> list[str]:
    """Returns the targets without required options."""
    return [name for name in target_names() if not choices(name)[1]]


def build_cell(model: str, target: str, recipe: str, out: Path) -> dict[str, Any]:
    """Builds one bundle with the command, and returns its cost and its properties."""
    command = [sys.executable, "-m", "mnv4_mobile", "build", model]
    command += ["--no-cache", "--force"]
    command += ["--weights", "random:0", "-t", target, "-r", recipe, "-o", str(out), "--json"]
    if load_recipe(recipe).needs_images:
        command += ["--calibrate", "random"]
    begin = time.monotonic()
    with (out / "log.txt").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
    record: dict[str, Any] = {
        "model": model,
        "target": target,
        "recipe": recipe,
        "wall_s": round(time.monotonic() - begin, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mb": round(usage.ru_maxrss / 1024),
    }
    if os.waitstatus_to_exitcode(status):
        record["error"] = (out / "log.txt").read_text()[-2000:]
        return record
    bundle = open_bundle(json.loads(text)["bundles"][0]["path"])
    operators = load_target(target).operators(bundle.artifact)
    parity = bundle.manifest.parity["cpu"]["logits"]
    return record | {
        "bytes": bundle.manifest.artifact.bytes,
        "sqnr_db": parity.sqnr_db,
        "sqnr_db_p10": parity.sqnr_db_p10,
        "top1_agreement": parity.top1_agreement,
        "operators": operators,
    }


def row(record: dict[str, Any]) -> str:
    """Returns one line of the Markdown table."""
    head = f"| {record['model']} | {record['target']} | {record['recipe']} "
    if "error" in record:
        return head + f"| failed: {record['error'].strip().splitlines()[-1]} | | | | | |"
    operators = record["operators"]
    delegates = operators.get("delegate", "-")
    beside = sum(count for name, count in operators.items() if name != "delegate")
    slow = sum(n for name, n in operators.items() if any(word in name for word in _SLOW))
    return head + (
        f"| {delegates} | {beside} | {slow} | {record['sqnr_db']:.1f} | "
        f"{record['bytes'] / 1e6:.1f} | {record['cpu_s']:.0f} | {record['peak_mb']} |"
    )


def main() -> None:
    """Builds the matrix, prints the table and writes `matrix.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-o", "--out", type=Path, default=Path("out/bench"))
    parser.add_argument("--models", default=",".join(shipped("models")))
    parser.add_argument("--targets", default=",".join(plain_targets()))
    parser.add_argument("--recipes", default="fp32,fp16")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(
        "| model | target | recipe | delegate calls | other operators | of these transposes, "
        "batch norms, copies | SQNR dB | MB | CPU s | peak MB |\n|" + " --- |" * 10,
        flush=True,
    )
    records = []
    for model in arguments.models.split(","):
        for target in arguments.targets.split(","):
            for recipe in arguments.recipes.split(","):
                records.append(build_cell(model, target, recipe, arguments.out))
                print(row(records[-1]), flush=True)
    text = json.dumps({"cores": os.cpu_count(), "records": records}, indent=1)
    (arguments.out / "matrix.json").write_text(text + "\n")
    if any("error" in record for record in records):
        sys.exit(1)


if __name__ == "__main__":
    main()
