"""Tests whether `mnv4 compare` catches a network that became slower and passes one that did not.

    python -m benchmarks.regression -o out/regression [--repeats 20]

Measures as docs/how-to/latency-check.yml does in a CI job up to its first comparison, in turns on
this computer: a network, the same bundle again, and a bundle of the same name whose configuration
was changed in one line. Each repeat is a job with new runs, new sessions and an exit code.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import mnv4_mobile
from mnv4_mobile import Options
from mnv4_mobile.configs import find_config
from mnv4_mobile.measuring.perform import measure
from mnv4_mobile.measuring.plan import preset

MNV4 = str(Path(sys.executable).parent / "mnv4")
NETWORK, SIZE, BOUND, SESSIONS = "conv-small-035", 96, "5", 6
LINE = "- - [conv, 16, 3, {stride}]"
"""A line of the configuration. With a stride of 1 the network computes 2.9 times as much."""


def build(out: Path) -> dict[str, str]:
    """Builds the bundles and returns their paths by the run that measures them."""
    text = find_config("models", NETWORK).read_text()
    paths = {}
    slower = text.replace(LINE.format(stride=2), LINE.format(stride=1))
    for side, configuration in (("base", text), ("slower", slower)):
        folder = out / side
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "network.yaml").write_text(configuration)
        source, options = str(folder / "network.yaml"), Options(size=(SIZE, SIZE))
        (bundle,) = mnv4_mobile.build(
            source, weights="random:0", out=folder, targets=["tflite"], options=options, force=True
        )
        paths[side] = str(bundle.path)
    return {"base": paths["base"], "same": paths["base"], "slower": paths["slower"]}


def job(repeat: int, bundles: dict[str, str], store: Path) -> dict[str, Any]:
    """Measures all sides in turns, and compares both with the base."""
    names = {side: f"{side}-{repeat}" for side in bundles}
    for session in range(1, SESSIONS + 1):
        for side, bundle in bundles.items():
            plan = preset("quick").with_values({"repeats": session})
            found = measure(bundle, plan=plan, run=names[side], store=store)
            assert not found.failures, found.failures
    return {side: compared(names["base"], names[side], store) for side in ("same", "slower")}


def compared(base: str, new: str, store: Path) -> dict[str, Any]:
    """Compares two runs with the command; returns its exit code, the change and its interval."""
    command = [MNV4, "compare", base, new, "--max-regression", BOUND]
    command += ["--store", str(store), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    (one,) = json.loads(done.stdout)["differences"]
    return {"exit_code": done.returncode, "change": one["change"], "interval": one["interval"]}


def main() -> None:
    """Repeats the job, prints the results and writes `regression.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-o", "--out", type=Path, default=Path("out/regression"))
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    bundles = build(options.out)
    store = options.out / f"{time.strftime('%Y%m%d-%H%M%S')}.sqlite"
    jobs = []
    for repeat in range(options.repeats):
        jobs.append(job(repeat, bundles, store))
        print(json.dumps(jobs[-1]), flush=True)
    summary = {
        "repeats": len(jobs),
        "exit_codes": {
            side: Counter(str(one[side]["exit_code"]) for one in jobs)
            for side in ("same", "slower")
        },
        "change": {
            side: median(one[side]["change"] for one in jobs) for side in ("same", "slower")
        },
        "interval": {
            side: [median(one[side]["interval"][end] for one in jobs) for end in (0, 1)]
            for side in ("same", "slower")
        },
        "load_average": os.getloadavg()[0],
    }
    (options.out / "regression.json").write_text(json.dumps({**summary, "jobs": jobs}, indent=1))
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
