"""Tests installations with the toolchain of one target only, and one with none.

    python -m tools.extras [EXTRA...]

Every extra gets its own environment, installed from uv's cache. The tests that need no toolchain
run in it, and commands: those with the installed target must work, those with other targets must
end with exit code 2 and print the `pip install` line. No command may print a traceback. The exit
code is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mnv4_mobile.target import first_unit, load_target, target_names
from tools.demo import choices

ROOT = Path(__file__).parents[1]
NONE = "none"
_UV = ROOT / ".tools" / "bin" / "uv"
_QUICK = "not toolchain and not peer and not slow"
_PICTURES = ROOT / "mnv4_mobile" / "demo" / "pictures"
_IGNORED = (
    *("test_browser_*", "test_report_page*"),
    *("test_packaging*", "test_notebooks*", "test_document*"),
)
"""Tests that need an extra that belongs to no target: browser or dev."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """A command and how it must end."""

    arguments: tuple[str, ...]
    code: int = 0
    says: str = ""
    """Text that it must print."""


def checks(ready: set[str], bundles: Path, out: Path) -> Iterator[Check]:
    """Yields the commands for an environment.

    Args:
        ready: The targets that must work in it.
        bundles: A folder with a bundle of the demo for every target, built in another environment.
        out: A folder to write to.
    """
    for verb in ("targets", "recipes", "models", "doctor", "devices"):
        yield Check(arguments=(verb,))
    for name in target_names():
        (bundle,) = bundles.glob(f"*-{name}")
        build = (*_build(name, out), "--no-cache")
        run = [
            ("verify", str(bundle)),
            ("predict", str(bundle), str(_PICTURES / "seven.jpg")),
            ("lint", str(bundle)),
            ("inspect", str(bundle)),
        ]
        yield Check(arguments=("targets", name))
        if name in ready:
            yield from (Check(arguments=one) for one in (build, *run))
            target = load_target(name)
            emulated = target.units[first_unit(target)].emulated
            yield Check(arguments=("profile", str(bundle)), code=5 if emulated else 0)
            quick = ("--plan", "quick", "--seconds", "0", "--runs", "3", "--repeats", "1")
            measure = ("measure", str(bundle), *quick, "--store", str(out / "s.sqlite"))
            yield Check(arguments=measure, code=2 if emulated else 0)
        else:
            pip = f"pip install 'mnv4-mobile[{name}]'"
            calibrated = ("--calibrate", str(_PICTURES))
            tune = ("tune", "demo", *calibrated, "-t", name, *_required(name))
            for arguments in (build, *run, tune):
                yield Check(arguments=arguments, code=2, says=pip)


def _build(name: str, out: Path) -> tuple[str, ...]:
    """Returns the command that builds the demo for a target."""
    recipe, _ = choices(name)
    return ("build", "demo", "-t", name, "-r", recipe, *_required(name), "-o", str(out))


def _required(name: str) -> tuple[str, ...]:
    """Returns the arguments that give a target's required options."""
    _, options = choices(name)
    given = (f"{name}.{option}={value}" for option, value in options.items())
    return tuple(argument for text in given for argument in ("--set", text))


def _run(command: list[str], **variables: str) -> tuple[int, str]:
    names = ("MNV4_REQUIRE_ALL", "PYTHONPATH", "VIRTUAL_ENV")
    environment = {k: v for k, v in os.environ.items() if k not in names} | variables
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def _install(extra: str, folder: Path) -> None:
    """Makes an environment with an extra."""
    extras = "test" if extra == NONE else f"{extra},test"
    python = str(folder / "bin" / "python")
    for command in (
        ("venv", "--python", sys.executable, str(folder)),
        ("pip", "install", "--python", python, "-c", "constraints.txt", "-e", f".[{extras}]"),
    ):
        subprocess.run([_UV, "--quiet", *command], cwd=ROOT, check=True)


def _tests(extra: str, folder: Path) -> str | None:
    """Runs the core of the suite, and returns the end of its output if it failed."""
    others = [f"--ignore=tests/{name}" for name in target_names() if name != extra]
    ignored = [f"--ignore-glob=*/{name}.py" for name in _IGNORED]
    pytest = [str(folder / "bin" / "python"), "-m", "pytest", "-q", "-n", "2", "-m", _QUICK]
    code, text = _run([*pytest, *others, *ignored], OMP_NUM_THREADS="1")
    return "\n".join(text.splitlines()[-60:]) if code else None


def _failures(extra: str, folder: Path, bundles: Path, out: Path) -> Iterator[str]:
    """Runs the commands, and yields a message for each that did not end as it must."""
    mnv4 = str(folder / "bin" / "mnv4")
    # ExecuTorch's wheel also installs coremltools.
    rows = json.loads(subprocess.check_output([mnv4, "targets", "--json"], cwd=ROOT))["targets"]
    ready = {row["target"] for row in rows if row["state"] == "ready"} | {extra}
    for check in checks(ready, bundles, out):
        code, text = _run([mnv4, *check.arguments])
        if code != check.code or check.says not in text or "Traceback" in text:
            asked = " ".join(check.arguments)
            yield f"mnv4 {asked}: exit code {code}, must be {check.code} {check.says}\n{text}"


def main() -> None:
    """Runs the checks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("extras", nargs="*", help="Default: none, and the extra of each target.")
    extras = parser.parse_args().extras or [NONE, *target_names()]
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="mnv4-extras-") as name:
        folder = Path(name)
        mnv4, bundles = str(Path(sys.executable).with_name("mnv4")), folder / "bundles"
        for target in target_names():
            code, text = _run([mnv4, *_build(target, bundles)])
            if code:
                sys.exit(text)
        for extra in extras:
            begin = time.monotonic()
            environment = folder / extra
            _install(extra, environment)
            failures = list(_failures(extra, environment, bundles, folder / "out"))
            if extra != NONE and (failed := _tests(extra, environment)):
                failures.append(failed)
            state = f"{len(failures)} failed" if failures else "works"
            print(f"extra {extra}: {state}, {time.monotonic() - begin:.0f} s", *failures, sep="\n")
            wrong += len(failures)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
