"""Measures the cost of building: `mnv4 build` against timm's network exported as it is.

    python -m benchmarks.builds -o out/builds [--models conv-small,...] [--recipes fp32,fp16]

Every cell is built in a process of its own; `mnv4 build` runs without the cache and without
verification, which the naive export does not have either. Wall and CPU seconds and the peak memory
are those of the process and of what it starts; for `mnv4 build`, each step's seconds are listed. At
the end the whole matrix is built at once: `mnv4 build` on all cores, with verification, against one
naive script.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.artifacts import MODELS
from benchmarks.float_matrix import plain_targets

_MNV4 = [sys.executable, "-m", "mnv4_mobile", "build"]
_NAIVE = [sys.executable, "-m", "benchmarks.naive"]
_STEP = re.compile(r"^(.*) (\d+\.\d) s(?: \(.*\))?$")


def timed(command: Sequence[str], log: Path) -> dict[str, Any]:
    """Returns wall and CPU seconds and peak memory of a command and of what it starts.

    Raises:
        RuntimeError: The command failed; the message has the end of its output.
    """
    begin = time.monotonic()
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
        _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"{' '.join(command)}\n{log.read_text()[-2000:]}")
    return {
        "wall_s": time.monotonic() - begin,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
    }


def ours(models: Sequence[str], targets: Sequence[str], recipes: Sequence[str]) -> list[str]:
    """Returns the command that builds a matrix without the cache."""
    cells = ["-t", ",".join(targets), "-r", ",".join(recipes), "--calibrate", "random"]
    return [*_MNV4, *models, "--weights", "random:0", "--no-cache", "--force", *cells]


def steps(log: Path) -> dict[str, float]:
    """Returns the seconds of our steps by name. The remaining time is starting and importing."""
    found: dict[str, float] = {}
    for line in log.read_text().splitlines():
        if match := _STEP.match(line):
            what = match[1].rpartition(": ")[2]
            found[what] = found.get(what, 0) + float(match[2])
    return found


def cell(model: str, target: str, recipe: str, out: Path) -> dict[str, Any]:
    """Builds one artifact both ways, and returns its record."""
    log = out / "log.txt"
    command = [*ours([model], [target], [recipe]), "--no-verify", "-o", str(out / "ours")]
    mine = timed(command, log)
    where = steps(log)
    naive = timed([*_NAIVE, model, target, recipe, "-o", str(out / "naive")], log)
    return {
        "model": model,
        "target": target,
        "recipe": recipe,
        "ours": mine,
        "steps": where,
        "naive": naive,
        "ratio": mine["cpu_s"] / naive["cpu_s"],
    }


def row(record: dict[str, Any]) -> str:
    """Returns a line of the Markdown table."""
    mine, naive = record["ours"], record["naive"]
    spent = ", ".join(f"{what} {seconds:.1f}" for what, seconds in record["steps"].items())
    return (
        f"| {record['model']} | {record['target']} | {record['recipe']} | {mine['cpu_s']:.0f} | "
        f"{naive['cpu_s']:.0f} | {record['ratio']:.2f} | {mine['wall_s']:.0f} | "
        f"{naive['wall_s']:.0f} | {mine['peak_mb']:.0f} | {naive['peak_mb']:.0f} | {spent} |"
    )


def draw(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Draws the CPU seconds of both ways, one pair of bars per cell."""
    import matplotlib.pyplot as plt

    names = [f"{r['model']} {r['target']} {r['recipe']}" for r in records]
    figure, axis = plt.subplots(figsize=(9, 1 + 0.28 * len(records)))
    at = np.arange(len(records))
    axis.barh(at - 0.2, [r["ours"]["cpu_s"] for r in records], 0.38, label="mnv4 build")
    axis.barh(at + 0.2, [r["naive"]["cpu_s"] for r in records], 0.38, label="naive export")
    axis.set_yticks(at, names, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("CPU seconds, less is better")
    axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measures, prints the table, writes builds.json and builds.png."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("out/builds"))
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--targets", default=",".join(plain_targets()))
    parser.add_argument("--recipes", default="fp32,fp16")
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    lists = [text.split(",") for text in (arguments.models, arguments.targets, arguments.recipes)]
    models, targets, recipes = lists
    print(
        "| model | target | recipe | CPU s | naive CPU s | ratio | wall s | naive wall s | "
        "peak MB | naive peak MB | where our time goes, s |\n|" + " --- |" * 11,
        flush=True,
    )
    records = []
    for model in models:
        for target in targets:
            for recipe in recipes:
                records.append(cell(model, target, recipe, out))
                print(row(records[-1]), flush=True)
    whole = timed([*ours(*lists), "-o", str(out / "matrix")], out / "log.txt")
    script = timed([*_NAIVE, *map(",".join, lists), "-o", str(out / "naive")], out / "log.txt")
    print(
        f"\nThe whole matrix, {len(records)} bundles: {whole['wall_s']:.0f} s, peak "
        f"{whole['peak_mb']:.0f} MB per process; a naive script {script['wall_s']:.0f} s, "
        f"{script['peak_mb']:.0f} MB; ratio {whole['wall_s'] / script['wall_s']:.2f}"
    )
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    document = {"machine": machine, "cells": records, "matrix": whole, "script": script}
    (out / "builds.json").write_text(json.dumps(document, indent=1) + "\n")
    draw(records, out / "builds.png")


if __name__ == "__main__":
    main()
