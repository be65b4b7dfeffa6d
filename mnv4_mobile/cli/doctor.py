"""`mnv4 doctor`."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from mnv4_mobile.cli.show import Json, print_json, print_table
from mnv4_mobile.errors import MobileError
from mnv4_mobile.target import load_target, missing, patches_of, target_names


def doctor(as_json: Json = False) -> None:
    """Says what this machine has, and what is missing with the command that installs it."""
    rows = [
        ("python", platform.python_version(), ""),
        ("machine", f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores", ""),
        ("free in the temporary folder", _free(tempfile.gettempdir()), ""),
        ("mnv4-mobile", version("mnv4-mobile"), ""),
    ]
    extras = _extras()
    for text in requires("mnv4-mobile") or []:
        requirement = Requirement(text)
        extra = next((extra for extra in extras if _in_extra(requirement, extra)), None)
        if requirement.marker is not None and extra is None:
            continue
        name = requirement.name
        hint = f"pip install 'mnv4-mobile[{extra}]'" if extra else f"pip install '{text}'"
        try:
            found = version(name)
        except PackageNotFoundError:
            rows.append((name, "missing", hint))
            continue
        fits = requirement.specifier.contains(found, prereleases=True)
        rows.append((name, found, "" if fits else f"needs {requirement.specifier}: {hint}"))
    rows += [(f"target {name}", *_path(name)) for name in target_names()]
    rows += [row for name in target_names() for row in _units(name)]
    if as_json:
        print_json([{"what": what, "found": found, "note": note} for what, found, note in rows])
        return
    print_table(["what", "found", "note"], rows)


def _path(name: str) -> tuple[str, str]:
    """Which path a target's builds take, and why."""
    try:
        target = load_target(name)
        if absent := missing(target):
            return "missing", f"not installed: {', '.join(absent)}"
    except MobileError as error:
        return "broken", str(error)
    patches = patches_of(target)
    if patches is None:
        return "stock", "it patches nothing"
    if untested := patches.untested():
        return "stock", f"builds are slower: not tested: {untested}"
    found = ", ".join(f"{tool} {number}" for tool, number in patches.versions().items())
    return "speedups", f"tested with {found}"


def _units(name: str) -> list[tuple[str, str, str]]:
    """What runs a target's artifacts on this machine, unit by unit."""
    try:
        units = load_target(name).units
    except MobileError:
        return []  # `_path` says why
    stand_in = "stands in for the runtime: right values, times that mean nothing"
    return [
        (f"target {name} on {unit}", executor.name, stand_in if executor.emulated else "")
        for unit, executor in units.items()
    ]


def _extras() -> list[str]:
    """The extras that bring the targets' toolchains."""
    found = []
    for name in target_names():
        with suppress(MobileError):
            found.append(load_target(name).extra)
    return found


def _in_extra(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is not None and requirement.marker.evaluate({"extra": extra})


def _free(folder: str) -> str:
    return f"{shutil.disk_usage(folder).free / 1e9:.1f} GB"
