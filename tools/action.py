"""The steps of action.yml: builds bundles, verifies them and compares them with the base's.

It reads the Action's inputs from the environment (`INPUT_MODELS`, ...), runs `mnv4` as a user
would, and writes a summary in Markdown. Its exit code is that of the first command that failed.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mnv4_mobile.text import markdown_text

MNV4 = str(Path(sys.executable).with_name("mnv4"))
FIDELITY_MISSED = 3
HEADINGS = ("Bundle", "MB", "Fidelity dB", "Agreement", "Top-1")


class InputError(Exception):
    """An input of the Action that cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The inputs, as action.yml describes them."""

    models: list[str]
    weights: str
    targets: str
    recipes: str
    calibrate: str
    build_options: list[str]
    out: Path
    images: str
    min_agreement: float | None
    base: Path | None
    device: str
    sessions: int
    max_regression: float


def read_inputs(environment: dict[str, str]) -> Inputs:
    """Reads and checks the inputs.

    Raises:
        InputError: An input cannot be used; names it, what was found and what is allowed.
    """
    given = {k.removeprefix("INPUT_"): v.strip() for k, v in environment.items()}
    agreement = _number("min-agreement", given["MIN_AGREEMENT"]) if given["MIN_AGREEMENT"] else None
    if agreement is not None and not 0 <= agreement <= 100:
        raise InputError(f"min-agreement: found {agreement:g}, must be a percentage, 0 to 100")
    if agreement is not None and not given["IMAGES"]:
        raise InputError("min-agreement: needs images")
    if given["DEVICE"] and not given["BASE"]:
        raise InputError("device: needs base, whose bundles are measured too")
    base = Path(given["BASE"]) if given["BASE"] else None
    if base is not None and not base.is_dir():
        raise InputError(f"base: {base}: no such folder")
    sessions = _number("sessions", given["SESSIONS"])
    if sessions < 1 or not sessions.is_integer():
        raise InputError(f"sessions: found {sessions:g}, must be a whole number, 1 or more")
    return Inputs(
        models=given["MODELS"].splitlines(),
        weights=given["WEIGHTS"],
        targets=given["TARGETS"],
        recipes=given["RECIPES"],
        calibrate=given["CALIBRATE"],
        build_options=shlex.split(given["BUILD_OPTIONS"]),
        out=Path(given["OUT"]),
        images=given["IMAGES"],
        min_agreement=agreement,
        base=base,
        device=given["DEVICE"],
        sessions=int(sessions),
        max_regression=_number("max-regression", given["MAX_REGRESSION"]),
    )


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{name}: found {text!r}, must be a number") from None


@dataclass
class Run:
    """The state of the job so far."""

    store: Path
    code: int = 0
    """Exit code of the first command that failed."""
    lines: list[str] = field(default_factory=list)
    """The summary."""

    def mnv4(self, *words: str | Path) -> str:
        """Runs a command, shows it in the log, and returns what it printed.

        Its failure fails the job, but not the commands that follow.
        """
        command = [MNV4, *map(str, words)]
        print(f"$ mnv4 {shlex.join(command[1:])}", flush=True)
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        print(done.stdout, flush=True)
        if done.returncode:
            self.fail(done.returncode, f"`mnv4 {words[0]}` ended with exit code {done.returncode}")
        return done.stdout

    def fail(self, code: int, reason: str) -> None:
        """Fails the job and adds the reason to the summary; the first failure's code remains."""
        self.code = self.code or code
        self.lines += [f"**Failed:** {reason}.", ""]


def build(inputs: Inputs, run: Run) -> None:
    """Builds the bundles, and verifies them from their bytes."""
    words: list[str | Path] = ["-t", inputs.targets, "-r", inputs.recipes, "-o", inputs.out]
    words += ["--weights", inputs.weights] if inputs.weights else []
    words += ["--calibrate", inputs.calibrate] if inputs.calibrate else []
    run.mnv4("build", *words, *inputs.build_options, "--", *inputs.models)
    if built := bundles(inputs.out):
        run.mnv4("verify", "--", *built)


def bundles(folder: Path) -> list[Path]:
    """Returns the bundles in a folder, sorted by name."""
    return sorted(path.parent for path in folder.glob("*/manifest.json"))


def evaluate(inputs: Inputs, run: Run) -> dict[str, dict[str, Any]]:
    """Evaluates every bundle and the fp32 bundle of its model, size and target on the images.

    Returns:
        The evaluations by bundle id.
    """
    found = {}
    parents = {
        _cell(path): path for path in bundles(inputs.out) if _manifest(path)["recipe"] == "fp32"
    }
    for path in bundles(inputs.out) if inputs.images else []:
        parent = parents.get(_cell(path), path)
        words: list[str | Path] = [] if parent == path else ["--parent", parent]
        printed = run.mnv4(
            "evaluate", *words, "--store", run.store, "--json", "--", path, inputs.images
        )
        if evaluations := json.loads(printed or "{}").get("evaluations"):
            found[path.name] = evaluations[0]
    return found


def _manifest(bundle: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((bundle / "manifest.json").read_text("utf-8"))
    return manifest


def _cell(bundle: Path) -> tuple[str, str, str]:
    manifest = _manifest(bundle)
    return manifest["model"]["name"], str(manifest["preprocess"]["size"]), manifest["target"]


def too_different(evaluations: dict[str, dict[str, Any]], min_agreement: float | None) -> list[str]:
    """Returns a reason for each bundle whose agreement with its fp32 bundle is too small."""
    return [
        f"{name} agrees with its fp32 bundle on {found['agreement']:.1%} of {found['n']} images, "
        f"must be {min_agreement:g}% or more"
        for name, found in evaluations.items()
        if min_agreement is not None
        and found["agreement"] is not None
        and 100 * found["agreement"] < min_agreement
    ]


def table(inputs: Inputs, evaluations: dict[str, dict[str, Any]]) -> list[str]:
    """Returns a table of all bundles, with the base's figure beside each that changed."""
    base = {path.name: path for path in bundles(inputs.base)} if inputs.base else {}
    rows = []
    for path in bundles(inputs.out):
        new = _figures(path)
        old = _figures(base[path.name]) if path.name in base else new
        sized = [n if n == o else f"{n} (base: {o})" for n, o in zip(new, old, strict=True)]
        name = path.name if path.name in base or inputs.base is None else f"{path.name} (new)"
        found = evaluations.get(path.name, {})
        rates = [found.get("agreement"), found.get("top1")]
        shares = ["" if rate is None else f"{rate:.1%}" for rate in rates]
        rows.append([markdown_text(name), *sized, *shares])
    gone = [markdown_text(name) for name in base if not (inputs.out / name).exists()]
    lines = ["| " + " | ".join(HEADINGS) + " |", "| --- | ---: | ---: | ---: | ---: |"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return [*lines, "", *([f"Only in the base: {', '.join(gone)}.", ""] if gone else [])]


def _figures(bundle: Path) -> tuple[str, str]:
    """Returns a bundle's size and its worst fidelity, as the summary shows them."""
    manifest = _manifest(bundle)
    ratios = [one["sqnr_db"] for unit in manifest["parity"].values() for one in unit.values()]
    return f"{manifest['artifact']['bytes'] / 1e6:.2f}", f"{min(ratios):.1f}" if ratios else ""


def compare(inputs: Inputs, run: Run) -> None:
    """Measures base and new in turns, under the same conditions, and compares them."""
    assert inputs.base is not None
    new = {path.name: path for path in bundles(inputs.out)}
    both = [path for path in bundles(inputs.base) if path.name in new]
    if not both:
        run.fail(2, "base and new have no bundle of the same name to measure")
        return
    for session in range(1, inputs.sessions + 1):
        for name, paths in (("base", both), ("new", [new[path.name] for path in both])):
            options: list[str | Path] = ["--run", name, "--repeats", str(session)]
            options += ["-d", inputs.device, "--store", run.store]
            run.mnv4("measure", *options, "--", *paths)
            if run.code:
                return
    bound = f"{inputs.max_regression:g}"
    shown = run.mnv4("compare", "base", "new", "--max-regression", bound, "--store", run.store)
    run.lines += ["```", shown.strip(), "```", ""]


def steps(inputs: Inputs, run: Run) -> None:
    """Does what the inputs ask for."""
    build(inputs, run)
    evaluations = evaluate(inputs, run)
    run.lines += table(inputs, evaluations)
    for reason in too_different(evaluations, inputs.min_agreement):
        run.fail(FIDELITY_MISSED, reason)
    if inputs.device and not run.code:
        compare(inputs, run)


def write(environment: dict[str, str], inputs: Inputs, run: Run, folder: Path) -> None:
    """Writes the summary and the Action's outputs."""
    summary = folder / "summary.md"
    text = "\n".join(["## MobileNetV4 bundles", "", *run.lines])
    summary.write_text(text, "utf-8")
    for name, content in (
        ("GITHUB_STEP_SUMMARY", text),
        ("GITHUB_OUTPUT", f"bundles={inputs.out}\nsummary={summary}\nstore={run.store}\n"),
    ):
        with Path(environment[name]).open("a", encoding="utf-8") as file:
            file.write(content)


def main(environment: dict[str, str]) -> int:
    """Runs the steps and returns the exit code."""
    try:
        inputs = read_inputs(environment)
    except InputError as error:
        print(f"::error::{error}")
        return 2
    folder = Path(tempfile.mkdtemp(prefix="mnv4-", dir=environment["RUNNER_TEMP"]))
    run = Run(store=folder / "mnv4.sqlite")
    steps(inputs, run)
    write(environment, inputs, run, folder)
    return run.code


if __name__ == "__main__":
    sys.exit(main(dict(os.environ)))
