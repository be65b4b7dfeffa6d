"""The attack: hostile inputs with fresh seeds, for as long as asked.

    python -m tests.hostile.attack                   ten minutes of all kinds (`make attack`)
    python -m tests.hostile.attack tflite --minutes 1
    python -m tests.hostile.attack tflite 1234567    that input again, with its files in out/attack/

Prints a table, and for every input that broke the promise (`promise.py`) the command that tries
exactly this input again. Ends with 1 if there is one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import secrets
import shutil
import sys
import time
from collections import Counter
from queue import Empty
from typing import Any

from mnv4_mobile.target import load_target, missing
from tests.hostile.kinds import KINDS, seeded
from tests.hostile.kinds.kind import BUNDLES, ROOT
from tests.hostile.promise import Guard, Outcome, write

OUT = ROOT / "out" / "attack"
_PROCESSES = 4
"""Two cores compute all the time, as a part of the inputs waits for a server."""


def build_bundles(kinds: list[str]) -> None:
    """Builds the demo bundles that kinds need."""
    if BUNDLES in os.environ:
        return
    os.environ[BUNDLES] = str(OUT / "bundles")
    from mnv4_mobile import Options, build
    from tools.demo import choices

    targets = {target for kind in kinds if (target := KINDS[kind].target)}
    if targets:
        print(f"building the demo bundle for {', '.join(sorted(targets))}", flush=True)
    for target in targets:
        recipe, required = choices(target)
        build(
            "conv-small-035",
            weights="demo",
            targets=[target],
            recipes=[recipe],
            options=Options(options={target: required}),
            out=OUT / "bundles",
            force=True,
        )


def possible(names: list[str]) -> list[str]:
    """Returns the kinds whose toolchain is installed."""
    targets = {name: KINDS[name].target for name in names}
    return [
        name for name, target in targets.items() if not (target and missing(load_target(target)))
    ]


def _try(kinds: list[str], seed: int, step: int, seconds: float, results: Any) -> None:
    """Tries inputs of all kinds in turn for that time; runs in a process of its own."""
    with Guard() as guard:
        for kind in kinds:
            guard.warm_up(kind)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for kind in kinds:
                results.put((kind, seed, guard.attempt(kind, seeded(kind, seed))))
            seed += step


def run(kinds: list[str], minutes: float) -> int:
    """Attacks for that time and prints what came of it; returns the number of failures."""
    first, seconds = secrets.randbelow(10**9) * 1000, 60 * minutes
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [
        context.Process(target=_try, args=(kinds, first + at, _PROCESSES, seconds, results))
        for at in range(_PROCESSES)
    ]
    for worker in workers:
        worker.start()
    tried: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    fell: dict[str, list[tuple[int, str]]] = {kind: [] for kind in kinds}
    shown = time.monotonic()
    alive = True
    while alive or not results.empty():
        alive = any(worker.is_alive() for worker in workers)
        try:
            kind, seed, outcome = results.get(timeout=0.5)
        except Empty:
            continue
        tried[kind] += 1
        refused[kind] += outcome.kept and outcome.what != "accepted"
        if not outcome.kept:
            fell[kind].append((seed, outcome.what))
            print(_failure(kind, seed, outcome), flush=True)
        if time.monotonic() - shown > 15:
            shown = time.monotonic()
            failures = sum(map(len, fell.values()))
            print(f"{tried.total()} tried, {failures} failures", flush=True)
    failures = sum(map(len, fell.values()))
    print(
        "\n| kind | tried | as promised | refused | failures |\n| --- | ---: | ---: | ---: | ---: |"
    )
    for kind in kinds:
        kept = tried[kind] - len(fell[kind])
        print(f"| {kind} | {tried[kind]} | {kept} | {refused[kind]} | {len(fell[kind])} |")
    total = tried.total()
    print(f"| all | {total} | {total - failures} | {refused.total()} | {failures} |")
    if any(worker.exitcode for worker in workers):
        print("a process of the attack itself ended early")
        return failures or 1
    return failures


def _failure(kind: str, seed: int, outcome: Outcome) -> str:
    what = " ".join(outcome.what.split())[:400]
    return f"FELL {kind} {seed}: {what}\n     python -m tests.hostile.attack {kind} {seed}"


def repeat(kind: str, seed: int) -> int:
    """Tries one input again, and keeps its files."""
    folder = OUT / f"{kind}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = seeded(kind, seed)
    write(files, folder)
    with Guard() as guard:
        outcome = guard.attempt(kind, files)
    print(f"{folder}: {'as promised' if outcome.kept else 'FELL'}: {outcome.what}")
    return not outcome.kept


def main() -> int:
    """Reads the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.attack")
    parser.add_argument("kind", nargs="?", metavar="KIND", help="default: all")
    parser.add_argument("seed", nargs="?", type=int, help="one input; default: fresh seeds")
    parser.add_argument("--minutes", type=float, default=10)
    given = parser.parse_args()
    kinds = possible(given.kind.split(",") if given.kind else list(KINDS))
    build_bundles(kinds)
    if given.seed is not None:
        return repeat(given.kind, given.seed)
    return 1 if run(kinds, given.minutes) else 0


if __name__ == "__main__":
    sys.exit(main())
