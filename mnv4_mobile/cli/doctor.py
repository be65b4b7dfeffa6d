"""`mnv4 doctor`."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from mnv4_mobile.cli import next_step
from mnv4_mobile.cli.show import Json, Quiet, print_json, print_table, show_next
from mnv4_mobile.errors import MobileError
from mnv4_mobile.target import Target, load_target, missing, patches_of, target_names


def doctor(as_json: Json = False, quiet: Quiet = False) -> None:
    """Lists what this machine has, and what is missing, with the command that installs it."""
    rows = [
        ("python", platform.python_version(), ""),
        ("machine", f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores", ""),
        ("free in the temporary folder", _free(tempfile.gettempdir()), ""),
        ("mnv4-mobile", version("mnv4-mobile"), ""),
    ]
    targets, broken = _targets()
    extras = [target.extra for target in targets]
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
    rows += [(f"target {target.name}", *_path(target)) for target in targets]
    rows += [(f"target {name}", "broken", why) for name, why in broken.items()]
    rows += [row for target in targets for row in _units(target)]
    if as_json:
        checks = [{"what": what, "found": found, "note": note} for what, found, note in rows]
        print_json({"checks": checks})
        return
    print_table(["what", "found", "note"], rows)
    words = next_step.build()
    show_next(words if words != ["doctor"] else ["targets"], hidden=quiet)


def _targets() -> tuple[list[Target], dict[str, str]]:
    """Returns the installed targets and, by name, why others cannot be loaded."""
    found, broken = [], {}
    for name in target_names():
        try:
            found.append(load_target(name))
        except MobileError as error:
            broken[name] = str(error)
    return found, broken


def _path(target: Target) -> tuple[str, str]:
    """Returns which path a target's builds take, and why."""
    if absent := missing(target):
        return "missing", f"not installed: {', '.join(absent)}"
    patches = patches_of(target)
    if patches is None:
        return "stock", "it patches nothing"
    if untested := patches.untested():
        return "stock", f"builds are slower: not tested: {untested}"
    found = ", ".join(f"{tool} {number}" for tool, number in patches.versions().items())
    return "speedups", f"tested with {found}"


def _units(target: Target) -> list[tuple[str, str, str]]:
    """Returns what runs a target's artifacts on this machine, unit by unit."""
    stand_in = "stands in for the unit: its values are right, its times mean nothing"
    return [
        (
            f"target {target.name} on {unit}",
            "missing" if executor.missing else executor.name,
            executor.missing or (stand_in if executor.emulated else ""),
        )
        for unit, executor in target.units.items()
    ]


def _in_extra(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is not None and requirement.marker.evaluate({"extra": extra})


def _free(folder: str) -> str:
    return f"{shutil.disk_usage(folder).free / 1e9:.1f} GB"
